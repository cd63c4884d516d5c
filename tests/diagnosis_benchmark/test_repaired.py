from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.diagnosis.changes import changes_of
from benchmarks.diagnosis.repair_table import markdown, methods, wilson
from benchmarks.diagnosis.repaired import (
    BY_HAND_FOLDER,
    FOLDER,
    Attempt,
    ByHand,
    Repair,
    p_better,
    read_by_hand,
    read_repairs,
    write,
)
from tuner.training.config import TrainingConfig

GOOD = Attempt(
    change="learning_rate=0.1", levers=("learning_rate",), recovered=0.9, p_better=0.8, symptom_gone=True
)
BAD = replace(GOOD, change="dropout=0.5", levers=("dropout",), recovered=0.1)


def _repair(*ours: Attempt, **others: tuple[Attempt, ...]) -> Repair:
    tried = {"random": (), "rate": (), "tpe": (), **others}
    return Repair(case="label_noise/mlp/mild", gap=0.1, named="label_noise", ours=ours, seconds=1.0, **tried)


@pytest.mark.parametrize(
    "lack",
    [{"recovered": 0.79}, {"p_better": 0.6}, {"symptom_gone": False}, {"new_symptoms": ("overfitting",)}],
)
def test_a_repair_needs_all_four(lack: dict[str, object]) -> None:
    """Most of the gap, on most seeds, without the symptom, without a new one."""
    assert GOOD.repairs
    assert not replace(GOOD, **lack).repairs  # type: ignore[arg-type]


def test_every_method_has_as_many_trials_as_ours() -> None:
    """Ours repaired at the second one: the third of another method counts for nothing."""
    repair = _repair(BAD, GOOD, BAD, rate=(BAD, BAD, GOOD), tpe=(BAD, GOOD))
    assert repair.n_trials == 2
    assert (repair.is_repaired, repair.rate_repairs, repair.tpe_repairs) == (True, False, True)


def test_every_step_along_a_lever_is_a_trial() -> None:
    """Two failed changes, one of them in three steps, and the one that repaired: five trials for everyone."""
    stepped = replace(BAD, n_trials=3)
    repair = _repair(BAD, stepped, GOOD, tpe=(BAD, BAD, BAD, BAD, GOOD))
    assert repair.n_trials == 5
    assert repair.tpe_repairs


def test_a_silent_diagnosis_still_grants_others_one_trial() -> None:
    """And is no repair itself."""
    repair = _repair(random=(GOOD,), tpe=(GOOD,))
    assert (repair.n_trials, repair.is_repaired, repair.random_chance, repair.tpe_repairs) == (
        1,
        False,
        1.0,
        True,
    )


@pytest.mark.parametrize("n_trials", [1, 2, 3, 4])
@pytest.mark.parametrize("n_good", [0, 1, 3])
def test_the_chance_of_a_random_lever_is_that_over_all_draws(n_trials: int, n_good: int) -> None:
    """Counted out over every draw of so many from the changes that were tried."""
    drawn = (*[GOOD] * n_good, *[BAD] * (5 - n_good))
    repair = _repair(*[BAD] * (n_trials - 1), GOOD, random=drawn)
    counted = fmean(any(each.repairs for each in draw) for draw in combinations(drawn, n_trials))
    assert repair.random_chance == pytest.approx(counted)


def test_proven_counts_only_what_the_test_part_confirms() -> None:
    """What validation calls proven and the test part does not is told apart."""
    assert _repair(replace(GOOD, verdict="proven")).is_proven
    assert not _repair(GOOD).is_proven
    fooled = _repair(replace(BAD, verdict="proven"))
    assert (fooled.is_proven, fooled.is_proven_wrongly) == (False, True)


def test_neutral_are_levers_that_repair_alone() -> None:
    """Whoever tried them; two levers at once tell of neither."""
    both = replace(GOOD, levers=("clipping", "clip_norm"))
    repair = _repair(both, random=(replace(GOOD, levers=("batch_size",)), BAD))
    assert repair.neutral == {"batch_size"}


def test_laplace() -> None:
    """Three of three seeds are 80%, two of three 60%."""
    assert p_better([1, 1, 1], [0, 0, 0]) == pytest.approx(0.8)
    assert p_better([1, 1, 0], [0, 0, 0]) == pytest.approx(0.6)


def test_wilson_by_hand() -> None:
    """8 of 10 lie in 49% to 94% (Brown, Cai and DasGupta 2001); of nothing nothing is known."""
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)


def test_files_give_back_what_was_written(tmp_path: Path) -> None:
    """Both kinds, each in its folder."""
    repair = _repair(GOOD, BAD, random=(BAD,), rate=(BAD,), tpe=(GOOD,))
    by_hand = ByHand(
        case="label_noise/mlp/mild",
        named="label_noise",
        actions=("Look.",),
        place=0,
        recovered=0.9,
        p_better=0.8,
        seconds=1.0,
    )
    write(repair, tmp_path / FOLDER / "a.json")
    write(by_hand, tmp_path / BY_HAND_FOLDER / "a.json")
    assert read_repairs(tmp_path) == [repair]
    assert read_by_hand(tmp_path) == [by_hand]


def test_the_tables_tell_the_shares() -> None:
    """One of two repaired by us, none by others."""
    repairs = [_repair(GOOD, random=(BAD,)), _repair(BAD, random=(BAD,))]
    assert dict(methods(repairs))["our remedies"] == 1
    text = markdown("blind", repairs, [])
    assert "| our remedies | 1/2 | 50% | 9% to 91% |" in text
    assert "| `label_noise` | `dropout` | 0/1 |" in text


def test_a_random_lever_is_one_that_the_config_has() -> None:
    """Else the baseline wastes its trials: Adam has no momentum, and the convolutional network no depth."""
    levers = {
        model: {
            each.lever
            for each in changes_of(TrainingConfig.from_mapping({"model": model, **optimizer}).to_mapping())
        }
        for model, optimizer in (
            ("mlp", {"optimizer": "sgd", "momentum": 0.5}),
            ("cnn", {"optimizer": "adam", "momentum": 0.0}),
        )
    }
    assert {"momentum", "depth"} <= levers["mlp"]
    assert not {"momentum", "depth"} & levers["cnn"]
