"""Step 1: is the data sound, and what does a sensible config reach - and how far does that differ from seed to seed?"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch

from search_spaces.errors import DataError
from tuner.guide import questions
from tuner.guide.asked import Asked
from tuner.guide.budget import N_BASELINE, all_fits, epochs_that_fit, shortage
from tuner.guide.checklist import Notes
from tuner.guide.follow_ups import note_findings
from tuner.guide.plan import PlannedRound, max_changes, untouched_levers, wishes_of
from tuner.guide.preview import preview
from tuner.guide.rounds import Candidate, noise_floor_of
from tuner.guide.session import Session
from tuner.launchers.cores import available_cores
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.data_checks import CheckVerdict, DataCheck, check_data
from tuner.training.datasets.splits import Splits

STEP = "baseline"
LARGEST_AUGMENTATION = 0.6
"""What the regularization step tries at most: the check for drift looks at that."""
SHORTEST_EPOCH = 1e-3
"""Seconds; a clock that shows less shows nothing."""
LEAST_FLOOR = 0.5
"""Standard errors of the validation accuracy below which no noise floor is believed: three seeds agree by luck one time
in ten. Own design."""


def take(session: Session, notes: Notes) -> None:
    """Check the data, choose the epochs, and train the baseline on three seeds."""
    for check in checked(session.asked, session.splits):
        write = notes.done if check.verdict is CheckVerdict.OK else notes.warned
        write(f"data: {check.name}", check.sentence, **check.numbers)
    settle_epochs(session, notes)
    seeds = session.seeds_of("baseline.floor", N_BASELINE)
    decided = session.ledger.decide(
        "baseline.floor.round", lambda: session.decision(STEP, [Candidate(label=STEP)], seeds)
    )
    round_ = session.run(notes, "baseline.floor", decided)
    values = [trial.value for trial in round_.tried[0].trials]
    session.noise_floor = noise_floor_of(values, least=_least_floor(session, values))
    session.reached, session.trial_seconds = round_.tried[0].value, round_.tried[0].seconds
    notes.done(
        "measure the noise floor",
        f"{len(values)} seeds reach {', '.join(map(session.asked.shown, values))}: a deviation of "
        f"{session.asked.shown_difference(session.noise_floor)}, which what follows must beat.",
        values=values,
        noise_floor=session.noise_floor,
    )
    if untouched := untouched_levers(session.asked.levers.space):
        notes.skipped(
            "other levers of the space",
            f"No step of the guide changes {', '.join(untouched)}: they stay as the baseline has them; "
            f"`tuner search` searches them.",
        )
    notes.items += questions.of_one_config(round_, "A single config was trained")
    note_findings(session, notes, round_)


def checked(asked: Asked, splits: Splits) -> tuple[DataCheck, ...]:
    """The data checks on what the guide will train on, with as much augmentation as it may try.

    Raises:
        DataError: when one of them is a blocker: every number that follows would be worth nothing.
    """
    config = TrainingConfig.from_mapping({**asked.baseline, "seed": asked.seed})
    if asked.levers.may_change("augmentation"):
        config = dataclasses.replace(config, augmentation=max(config.augmentation, LARGEST_AUGMENTATION))
    checks = check_data(splits, config)
    blockers = [check.sentence for check in checks if check.verdict is CheckVerdict.BLOCKER]
    if blockers:
        raise DataError(f"The data must pass its checks before anything is tuned on it. {' '.join(blockers)}")
    return checks


def settle_epochs(session: Session, notes: Notes) -> None:
    """Decide how long every training is: as asked, or as long as the budget has room for all rounds."""
    asked = session.asked
    decided = session.ledger.decide(
        "baseline.epochs", lambda: timed_epochs(asked, session.splits, session.planned)
    )
    session.trial_seconds = decided["seconds_per_epoch"] * decided["epochs"]
    epochs, why = decided["epochs"], _why_so_long(session)
    notes.done(
        "choose the epochs",
        f"Every training has {epochs} epoch{'s' if epochs > 1 else ''}, {why}.",
        **decided,
    )
    if short := shortage(asked.budget, session.pace):
        notes.warned("keep the budget", short)
    asked.on_plan(preview(session.planned, budget=asked.budget, pace=session.pace, epochs=epochs))


def _why_so_long(session: Session) -> str:
    """Where the epochs come from, and whether all rounds fit with them, as a clause."""
    asked, budget = session.asked, session.asked.budget
    fits = all_fits(
        budget, wishes_of(session.planned), n_rungs=max_changes(session.planned), pace=session.pace
    )
    at_speed = budget.text
    if budget.seconds is not None:
        at_speed += f" at {session.trial_seconds / session.epochs:.2g} s an epoch"
    if asked.epochs is not None:
        return "as asked for" if fits else f"as asked for; not all rounds fit into {at_speed}"
    if budget.seconds is None:
        return "which is the default where the budget counts trials"
    if fits:
        return f"so that all rounds fit into {at_speed}"
    return f"the fewest there are; even so not all rounds fit into {at_speed}"


def timed_epochs(asked: Asked, splits: Splits, planned: Sequence[PlannedRound]) -> dict[str, float]:
    """The epochs as asked, else those that fit, from the time that one epoch of the baseline takes here."""
    config = TrainingConfig.from_mapping({**asked.baseline, "epochs": 1, "seed": asked.seed})
    with _threads_of_a_worker(asked.n_workers):
        run = TrainingAlone(config, splits, model=asked.model, metric=asked.metric, direction=asked.direction)
        seconds = max([readings.seconds for readings in run.epochs()][-1], SHORTEST_EPOCH)
    if asked.epochs is not None:
        return {"epochs": asked.epochs, "seconds_per_epoch": seconds}
    epochs = epochs_that_fit(
        asked.budget,
        wishes_of(planned),
        n_rungs=max_changes(planned),
        epoch=asked.pace(seconds),
    )
    return {"epochs": epochs, "seconds_per_epoch": seconds}


@contextlib.contextmanager
def _threads_of_a_worker(n_workers: int) -> Iterator[None]:
    """Torch with as many threads as each of so many workers has; else one epoch here would be timed too fast."""
    own = torch.get_num_threads()
    torch.set_num_threads(min(own, max(1, available_cores() // n_workers)))
    try:
        yield
    finally:
        torch.set_num_threads(own)


def _least_floor(session: Session, values: list[float | None]) -> float:
    """Half a standard error of the validation accuracy; nothing is known of other metrics."""
    finite = [value for value in values if value is not None]
    if session.asked.metric != "validation_accuracy" or not finite:
        return 0.0
    accuracy, n = sum(finite) / len(finite), len(session.splits.validation_y)
    return LEAST_FLOOR * max(math.sqrt(max(accuracy * (1 - accuracy), 0.0) / n), 1 / n)
