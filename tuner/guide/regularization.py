"""Step 4: weight decay and dropout together, then label smoothing and augmentation: they do the same work twice."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from tuner.guide.checklist import Notes
from tuner.guide.follow_ups import search_round
from tuner.guide.plan import IMAGE_DIMENSIONS
from tuner.guide.rounds import Candidate
from tuner.guide.session import Session, label

STEP = "regularization"
DECOUPLED_DECAYS = (0.0, 0.01, 0.1)
"""Of AdamW, whose decay is apart from the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101)."""
L2_DECAYS = (0.0, 1e-4, 1e-3)
"""Of SGD and RMSprop, and of Adam where its decay stays a part of the gradient; around the 5e-4 of Krizhevsky et al.
2012."""
DROPOUTS = (0.0, 0.2, 0.1, 0.3)
SMOOTHINGS = (0.0, 0.1, 0.05)
"""0.1 is Szegedy et al. 2016's."""
AUGMENTATIONS = (0.0, 0.3, 0.6)
"""Of the full strength; see tuner.training.augmentation."""


def take(session: Session, notes: Notes) -> None:
    """Two grids, each beside the incumbent."""
    for name, keys, grid in (
        ("regularization.weights", ("weight_decay", "dropout"), weights_grid),
        ("regularization.data", ("label_smoothing", "augmentation"), data_grid),
    ):
        planned = next(each for each in session.planned if each.name == name)
        if planned.skipped:
            notes.skipped(planned.purpose, f"Both stay: {planned.skipped}.")
        else:
            search_round(session, notes, name, grid(session, notes), ranges=keys)


def weights_grid(session: Session, notes: Notes) -> list[Candidate]:
    """Weight decay x dropout."""
    current = session.current
    # Adam with decoupled decay is AdamW; with L2 the decay would be divided by the gradient's size.
    may_decouple = current.optimizer == "adam" and session.asked.levers.allows(
        {"weight_decay_kind": "decoupled"}
    )
    is_decoupled = current.optimizer == "adamw" or (
        current.optimizer == "adam" and current.weight_decay_kind == "decoupled"
    )
    decays = DECOUPLED_DECAYS if is_decoupled or may_decouple else L2_DECAYS
    also = {"weight_decay_kind": "decoupled"} if may_decouple else {}
    return _grid(session, notes, {"weight_decay": decays, "dropout": DROPOUTS}, also=also)


def data_grid(session: Session, notes: Notes) -> list[Candidate]:
    """Label smoothing x augmentation; for images only, and for classes only."""
    ladders: dict[str, Sequence[float]] = {}
    if session.splits.kind != "regression":
        ladders["label_smoothing"] = SMOOTHINGS
    if len(session.splits.input_shape) == IMAGE_DIMENSIONS:
        ladders["augmentation"] = AUGMENTATIONS
    for key, why in (
        ("label_smoothing", "there are no classes"),
        ("augmentation", "the inputs are no images"),
    ):
        if key not in ladders:
            notes.skipped(key, f"It stays: {why}.")
    return _grid(session, notes, ladders)


def _grid(
    session: Session,
    notes: Notes,
    ladders: Mapping[str, Sequence[float]],
    *,
    also: Mapping[str, Any] | None = None,
) -> list[Candidate]:
    """Every combination but the incumbent's: changes of one lever first, then the mildest of both."""
    present = session.current.to_mapping()
    values: dict[str, list[float]] = {}
    for key, wanted in ladders.items():
        if why := session.asked.levers.why_not(key):
            notes.skipped(key, f"It stays: {why}.")
        held = session.asked.levers.values(key, wanted)
        values[key] = [present[key], *(value for value in held if value != present[key])]
    places = product(*(range(len(column)) for column in values.values()))
    ordered = sorted(places, key=lambda place: (sum(number > 0 for number in place), sum(place)))
    candidates = []
    for place in ordered[1:]:  # the first is the incumbent
        changes: dict[str, Any] = {
            key: values[key][number] for key, number in zip(values, place, strict=True) if number > 0
        }
        said = ", ".join(label(key, value) for key, value in changes.items())
        if "weight_decay" in changes and changes["weight_decay"] > 0:
            changes |= also or {}
        candidates.append(Candidate(label=said, changes=changes))
    return candidates
