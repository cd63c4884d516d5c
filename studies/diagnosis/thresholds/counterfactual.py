"""The numbers that decide over counterfactual probes: when they are run, and what their answers weigh."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

# --- when to ask

AMBIGUOUS_MARGIN = Threshold(
    value=0.25,
    unit="confidence between the likeliest cause and a rival",
    source=f"{OWN}; two priors this near tie",
)
SURE_ENOUGH = Threshold(
    value=0.6,
    unit="confidence of the likeliest cause",
    source=f"{OWN}; above it, a cause without a rival stands",
)

# --- what an answer says

COUNTERFACTUAL_HELPS = Threshold(
    value=0.8,
    unit="times the loss of the unchanged continuation",
    source=f"{OWN}: the change takes a fifth of the loss away",
)
COUNTERFACTUAL_NO_HELP = Threshold(
    value=0.95,
    unit="times the loss of the unchanged continuation",
    source=f"{OWN}; between this and COUNTERFACTUAL_HELPS an answer says nothing",
)
COUNTERFACTUAL_TIE = Threshold(
    value=1.1,
    unit="times the loss after the lower rate",
    source=f"{OWN}: up to here the other change does as well",
)
COUNTERFACTUAL_SPEED_UP = Threshold(
    value=1.5,
    unit="times the unchanged continuation's fall of the loss",
    source=f"{OWN}; the rate is three times",
)
COUNTERFACTUAL_FALL = Threshold(
    value=0.05, unit="relative fall of the loss in the unchanged continuation", source=OWN
)
"""A training that falls on like this has not come to its end."""
COUNTERFACTUAL_LEAST_FALL = Threshold(
    value=1e-4, unit="relative fall of the loss", source=f"{OWN}; less is float32's rounding"
)
SMALL_BATCH_AT_MOST = Threshold(
    value=8, unit="samples", source=f"{OWN}: with more, a larger batch only stands in for a lower rate"
)

# --- what it weighs

COUNTERFACTUAL_ODDS = Threshold(
    value=4, unit="factor of a cause's odds", source=f"{OWN}; one answer outweighs a prior of 0.8 against 0.5"
)
UNLISTED_CONFIDENCE = Threshold(
    value=0.3,
    unit="confidence before the answer",
    source=f"{OWN}: of a cause that the readings did not suggest",
)
