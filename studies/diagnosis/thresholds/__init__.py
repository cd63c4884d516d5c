"""Every number that decides a finding, with its unit and its source; one file per stage of a training.

A threshold is never repeated elsewhere, and every finding quotes the one it used together with ``source``.
"""

from studies.diagnosis.thresholds.before_training import *  # noqa: F403 - one namespace, `thresholds.NAME`
from studies.diagnosis.thresholds.counterfactual import *  # noqa: F403
from studies.diagnosis.thresholds.curves import *  # noqa: F403
from studies.diagnosis.thresholds.memorizing import *  # noqa: F403
from studies.diagnosis.thresholds.over_trials import *  # noqa: F403
from studies.diagnosis.thresholds.recovering import *  # noqa: F403
from studies.diagnosis.thresholds.slowness import *  # noqa: F403
from studies.diagnosis.thresholds.standing import *  # noqa: F403
from studies.diagnosis.thresholds.threshold import OWN, Threshold

__all__ = ["OWN", "Threshold"]
