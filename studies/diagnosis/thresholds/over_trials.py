"""The numbers that decide over the trials of a study."""

from studies.diagnosis.thresholds.threshold import OWN_OVER_TRIALS as OWN
from studies.diagnosis.thresholds.threshold import Threshold

EDGE_FRACTION = Threshold(
    value=0.1, unit="of the (log-)range, from a bound", source=f"{OWN}, after the Tuning Playbook"
)
EDGE_SHARE = Threshold(value=0.5, unit="of the best trials lie at that edge", source=OWN)
EDGE_TOP = Threshold(value=5, unit="best trials looked at, at least (or a tenth of all)", source=OWN)
EDGE_MIN_TRIALS = Threshold(value=10, unit="complete trials", source=OWN)
NEAR_BEST = Threshold(
    value=3, unit="complete trials within the noise of the best", source=f"{OWN}, after the Tuning Playbook"
)
TRIALS_PER_LEVER = Threshold(value=10, unit="complete trials per lever", source=OWN)
INFEASIBLE_SHARE = Threshold(
    value=0.5, unit="of the trials diverged or failed", source=f"{OWN}, after the Tuning Playbook"
)
INFEASIBLE_MIN_TRIALS = Threshold(value=5, unit="counted trials", source=f"{OWN}: of fewer, half is two")
FAILED_SHARE = Threshold(
    value=0.1, unit="of the trials ended by an exception", source=f"{OWN}; a bug, not a bad config"
)
STABILITY_LIMIT = Threshold(
    value=3, unit="times between the best rate and the first that diverges", source=OWN
)
COMMON_SHARE = Threshold(value=0.25, unit="of the trials show it", source=f"{OWN}, after the Tuning Playbook")
"""A symptom of rarer trials is what a search is expected to meet: a note."""
COMMON_MIN_TRIALS = Threshold(
    value=3, unit="trials show it", source=f"{OWN}: of eight trials, two bad ones are a search"
)
SPREAD_DF = Threshold(
    value=3, unit="degrees of freedom between replicates", source=f"{OWN}: fewer give no deviation"
)
SEED_SWING = Threshold(
    value=2,
    unit="times the standard error of a validation accuracy, between seeds",
    source=f"{OWN}; by chance alone 1 time of 135 (F test, 3 degrees of freedom)",
)
TOP_SHARE = Threshold(
    value=0.25, unit="of the complete trials", source=f"{OWN}: those a search chooses among"
)
TOP_MIN = Threshold(value=5, unit="complete trials that are called the top, at least", source=OWN)
FALSE_PRUNES = Threshold(
    value=0.2, unit="of the spared trials, lower 95% bound", source=f"{OWN}, after olmo_core.hpo's reserve"
)
SPARED_MIN = Threshold(value=5, unit="spared trials", source=f"{OWN}: fewer tell nothing")
LATE_BEST = Threshold(
    value=0.25,
    unit="last share of the epochs",
    source="Deep Learning Tuning Playbook: best step in the last 25 %",
)
EARLY_BEST = Threshold(
    value=0.1,
    unit="first share of the epochs",
    source="Deep Learning Tuning Playbook: best step in the first 10 %",
)
LENGTH_SHARE = Threshold(value=0.75, unit="of the better half of the trials", source=f"{OWN}: consistently")
LENGTH_MIN_TRIALS = Threshold(value=5, unit="trials in the better half", source=OWN)
