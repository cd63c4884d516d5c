"""The data probe of a loop that was watched: of the samples that it trained on, and of its validation samples."""

import dataclasses

import numpy as np
from torch import Tensor, nn

from studies.readings import NAN, DataProbe
from tuner.training.data_probe import COPIED, probe_data, telling_features
from tuner.training.datasets.copies import are_told_apart
from tuner.training.datasets.moved_copies import MOST_ASKED, places_asked
from tuner.training.leak_harm import Copies, LeakMarks
from tuner.training.watching.grading import Validation
from tuner.training.watching.marks import Array
from tuner.training.watching.outputs import are_probabilities
from tuner.training.watching.sample_log import SampleLog, label_mixing


def seen_data(
    samples: SampleLog,
    validation: Validation | None,
    *,
    n_classes: int | None,
    n_evaluated: int = 0,
    told: SampleLog | None = None,
    looks_up: bool = False,
) -> DataProbe | None:
    """What was seen of the data in the first epoch; None if nothing was.

    Args:
        samples: those that were trained on.
        validation: None where the loop validates by itself.
        n_classes: None for a regression.
        n_evaluated: samples that the loop validated on, as far as it showed.
        told: those, where they are surely what it tells the accuracy of.
        looks_up: the model has tables of embeddings, for which integer inputs are names: they have no scale, and who
            has near ones is no neighbor.
    """
    if not samples.n_seen:
        return None
    labels = samples.labels()
    mixing = NAN if n_classes is None else label_mixing(labels, samples.sizes)
    valid_x, valid_y = (None, None) if validation is None else (validation.x, validation.y)
    if validation is None and told is not None:
        valid_x, _answers = told.samples() or (None, None)
    if valid_y is not None and n_classes is not None:
        valid_y = _class_numbers(valid_y)
    probe = _of_inputs(samples, valid_x, valid_y, n_classes=n_classes, mixing=mixing)
    kept = samples.samples()
    if looks_up and kept is not None and not kept[0].is_floating_point():
        probe = _of_names(probe)
    return dataclasses.replace(
        probe,
        n_train=samples.n_seen,
        n_validation=n_evaluated if valid_y is None else len(valid_y),
        n_non_finite=max(probe.n_non_finite, samples.n_bad_samples()),
        train_class_counts=_counts(labels, n_classes),
        validation_class_counts=() if valid_y is None else _counts(valid_y.cpu().numpy(), n_classes),
    )


def _of_inputs(
    samples: SampleLog,
    valid_x: Tensor | None,
    valid_y: Tensor | None,
    *,
    n_classes: int | None,
    mixing: float,
) -> DataProbe:
    kept = samples.samples()
    if kept is None:
        return _without_inputs(mixing)
    probe = probe_data(
        *kept,
        valid_x,
        None if valid_x is None else valid_y,
        n_outputs=n_classes,
        kind="regression" if n_classes is None else "classification",
        label_mixing=mixing,
        finds_copies=False,
    )
    if valid_x is None:
        return probe
    return dataclasses.replace(  # copies of all that was seen, and not only of what was kept
        probe,
        overlap_fraction=_overlap(samples, kept[0], valid_x),
        moved_fraction=_share_of(_some_moved(samples, valid_x)),
    )


def has_embeddings(model: nn.Module) -> bool:
    """Whether ``model`` has tables in which integers are looked up."""
    return any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in model.modules())


def seen_leaks(
    found: DataProbe, samples: SampleLog, validation: Validation | None, *, n_classes: int | None
) -> LeakMarks | None:
    """Where the kept validation samples leak; None where nothing does, or where it cannot be known.

    Args:
        found: what was seen of the data.
        samples: those that were trained on.
        validation: None where the loop validates by itself.
        n_classes: None for a regression.
    """
    kept = samples.samples()
    if validation is None or validation.x is None or n_classes is None or kept is None:
        return None
    train_x, train_y = kept
    if not (_are_class_numbers(train_y) and _are_class_numbers(validation.kept_y)):
        return None
    are_copies = None
    if max(found.overlap_fraction, found.moved_fraction) > COPIED:
        are_copies = copied(samples, validation.x, looks_for_moved=found.moved_fraction > COPIED)
    marks = LeakMarks.of(are_copies, None, telling_features(found, train_x.cpu(), train_y.cpu()))
    return marks or None


def copied(samples: SampleLog, inputs: Tensor, *, looks_for_moved: bool) -> Copies | None:
    """Which of ``inputs`` were trained on, as they are or moved a little, [n]; None if not comparable."""
    twins = samples.twins(inputs)
    moved = samples.moved_twins(inputs) if looks_for_moved else None
    if twins is None:
        return None
    return (twins >= 0) | (False if moved is None else moved >= 0)


def _overlap(samples: SampleLog, kept: Tensor, inputs: Tensor) -> float:
    """Share of ``inputs`` that were trained on; NaN where that is not known, or samples may be equal by chance."""
    share = _share_of(samples.twins(inputs))
    return share if share == 0.0 or are_told_apart(kept) else NAN


def _some_moved(samples: SampleLog, inputs: Tensor) -> Array | None:
    """Of some of ``inputs`` the places of the samples that they are moved copies of, else -1."""
    return samples.moved_twins(inputs[places_asked(inputs, MOST_ASKED)])


def _share_of(twins: Array | None) -> float:
    return NAN if twins is None or not len(twins) else float((twins >= 0).mean())


def _of_names(probe: DataProbe) -> DataProbe:
    """Without the readings that say nothing of inputs that are names."""
    return dataclasses.replace(
        probe,
        input_min=NAN,
        input_max=NAN,
        input_mean=NAN,
        input_std=NAN,
        input_shift=NAN,
        moved_fraction=NAN,
        label_disagreement=NAN,
        clear_disagreement=NAN,
        neighbor_guidance=NAN,
    )


def _without_inputs(mixing: float) -> DataProbe:
    return DataProbe(
        n_train=0,
        n_validation=0,
        n_test=0,
        input_min=NAN,
        input_max=NAN,
        input_mean=NAN,
        input_std=NAN,
        label_mixing=mixing,
    )


def _are_class_numbers(y: Tensor | None) -> bool:
    return y is not None and y.ndim == 1 and not y.is_floating_point()


def _class_numbers(y: Tensor) -> Tensor:
    return y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 and are_probabilities(y) else y.flatten().long()


def _counts(labels: Array, n_classes: int | None) -> tuple[int, ...]:
    if n_classes is None or not len(labels):
        return ()
    known = labels[(labels >= 0) & (labels < n_classes)]
    return tuple(np.bincount(known, minlength=n_classes).tolist())
