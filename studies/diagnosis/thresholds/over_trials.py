"""The numbers that decide over the trials of a study."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

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
FAILED_SHARE = Threshold(
    value=0.1, unit="of the trials ended by an exception", source=f"{OWN}; a bug, not a bad config"
)
STABILITY_LIMIT = Threshold(
    value=3, unit="times between the best rate and the first that diverges", source=OWN
)
COMMON_SHARE = Threshold(value=0.25, unit="of the trials show it", source=f"{OWN}, after the Tuning Playbook")
"""A symptom of rarer trials is what a search is expected to meet: a note."""
