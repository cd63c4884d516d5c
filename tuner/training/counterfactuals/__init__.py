"""Counterfactual probes: short continuations of a training with one change, which tell its causes of trouble apart."""

from tuner.training.counterfactuals.live import of_live
from tuner.training.counterfactuals.own import of_course

__all__ = ["of_course", "of_live"]
