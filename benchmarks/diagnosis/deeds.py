"""What undoes each planted fault of data, code or network: words that advice must have to be the right advice.

They were written from what is planted, one line beside the other, and never from what the diagnosis says: a right cause
with the wrong line to write (`model.train()` where `model.eval()` is missing) is no right action.
"""

from collections.abc import Mapping

from benchmarks.diagnosis.case import Case, Loop
from studies.diagnosis import CauseName

BY_HAND = frozenset(
    {
        CauseName.NON_FINITE_DATA,
        CauseName.TRAIN_VALIDATION_OVERLAP,
        CauseName.TARGET_LEAKAGE,
        CauseName.CLASS_IMBALANCE,
        CauseName.LABEL_NOISE,
        CauseName.BAD_INITIALIZATION,
        CauseName.DYING_RELU,
        CauseName.FROZEN_LAYERS,
        CauseName.DOUBLE_SOFTMAX,
        CauseName.EVALUATION_MODE_BUG,
        CauseName.STALE_GRADIENTS,
        CauseName.UNSHUFFLED_DATA,
        CauseName.AUGMENTATION_DRIFT,
    }
)
"""Causes that are planted in data, in code, or in a network of one's own: there is no lever for them. All others have
one, an unfit scale of the input (`input_scaling`) and an unstratified split (`split`) among them."""

_OF_DATA: Mapping[str, tuple[str, ...]] = {
    "with_nan": ("isfinite", "isnan"),
    "with_infinity": ("isfinite", "isinf"),
    "duplicated": ("copies", "duplicate"),
    "repeated": ("copies", "duplicate"),
    "moved_copies": ("copies", "duplicate"),
    "label_in_row": ("remove or mask",),
    "label_in_corner": ("remove or mask",),
    "label_in_last_row": ("remove or mask",),
    "label_in_background": ("remove or mask",),
    "imbalanced": ("class_weights", "weight the classes", "rare classes"),
    "rare": ("class_weights", "weight the classes", "rare classes"),
    "mislabeled": ("correct or drop",),
    "mislabeled_next": ("correct or drop",),
}
_OF_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "deviation": ("initialize",),
    "constant": ("initialize",),
    "copied_units": ("initialize",),
    "magnified": ("initialize",),
    "negative_weights": ("initialize",),
    "negative_biases": ("zeros_(layer.bias)",),
    "negative_inner_biases": ("zeros_(layer.bias)",),
}
_OF_FREEZING: Mapping[str, tuple[str, ...]] = {
    "requires_grad": ("requires_grad_(true)",),
    "optimizer": ("model.parameters()",),
    "detach": (".detach()",),
}


def undoes(case: Case, sentence: str) -> bool:
    """Whether advice says what undoes the case's fault."""
    return any(word in sentence.lower() for word in words_of(case))


def words_of(case: Case) -> tuple[str, ...]:
    """In lower case; advice is right if it has one of them.

    Raises:
        ValueError: for a fault that is none of data, code or network.
    """
    loop, network = case.setup.loop, case.setup.network
    if case.setup.data:
        return tuple(word for planted in case.setup.data for word in _OF_DATA.get(planted.name, ()))
    if network is not None:
        return _OF_NETWORKS[network.name]
    if loop is not None:
        return _of_loop(loop)
    raise ValueError(f"Only faults of data, code or network are undone by hand, but {case.name} is none.")


def _of_loop(loop: Loop) -> tuple[str, ...]:
    if loop.n_frozen:
        return _OF_FREEZING[loop.frozen_by]
    if loop.has_softmax:
        return ("softmax",)
    if loop.evaluates_in_train_mode:
        return ("model.eval()",)
    if loop.stays_in_eval_mode:
        return ("model.train()",)
    if loop.transform:
        return ("validation inputs alike",)
    return ("shuffle=true",) if loop.shuffled < 1.0 else ("zero_grad()",)
