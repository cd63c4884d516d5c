"""The numbers that compare a trial with the study's best."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

GATE_PEERS = Threshold(value=3, unit="complete trials", source=OWN)
"""Below this many, "near the study's best" says nothing."""

GATE_PROGRESS = Threshold(value=0.5, unit="fraction of the way from chance to perfect", source=OWN)
"""A study whose best trial is worse than this has no healthy trial to be near to."""

BEHIND_FIT = Threshold(
    value=0.25,
    unit="train loss or error / that of validation, of a trial that is known to be behind",
    source=f"{OWN}: half of what is asked where nobody knows how good it could be",
)
SHORT_PATH = Threshold(
    value=0.5,
    unit="norms of the weights, all updates laid end to end, of a trial that is known to be behind",
    source=f"{OWN}: a quarter of USUAL_PATH",
)
