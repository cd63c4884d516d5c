"""The numbers that compare a trial with the study's best."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

GATE_PEERS = Threshold(value=3, unit="complete trials", source=OWN)
"""Below this many, "near the study's best" says nothing."""

GATE_PROGRESS = Threshold(value=0.5, unit="fraction of the way from chance to perfect", source=OWN)
"""A study whose best trial is worse than this has no healthy trial to be near to."""

ERROR_FIT_FLOORS = Threshold(
    value=5,
    unit="noise floors of the accuracy on training samples, below a trial that does not have the error",
    source="benchmarks/diagnosis, draws 13, 16 and 20: a softmax before the cross-entropy that costs nothing 5.0 at "
    "most but for one of ten runs, one that does harm 5.8 and more but for one of twenty",
)
"""Twice what an anomaly takes that is judged by itself then: of an error nothing more is asked."""
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
QUARTER_OF_BEST = Threshold(
    value=0.25,
    unit="updates over those of the best, and so of all of them laid end to end, to a poorer fit",
    source=f"{OWN}: by chance they differ by less than half",
)
