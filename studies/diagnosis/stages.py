"""The stages of a training, in the order in which a fault can first show."""

from enum import IntEnum


class Stage(IntEnum):
    """Where in a training something is abnormal: the earliest such stage holds the cause of the later ones."""

    CODE = 0
    """The training loop itself: what is trained, in which mode, on which loss."""
    DATA = 1
    """Inputs, labels and splits, before any network has seen them."""
    UNTRAINED = 2
    """The network before its first update: no fault of the optimizer."""
    EARLY = 3
    """The first updates."""
    CURVES = 4
    """The course of the training."""
    STUDY = 5
    """Several trials together."""

    @property
    def label(self) -> str:
        """The stage as JSON and people spell it."""
        return self.name.lower()
