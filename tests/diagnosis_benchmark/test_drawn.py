"""Parts that are drawn from a seed. Nothing here is diagnosed."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.diagnosis import parts
from benchmarks.diagnosis.causes import CASES, FRESH_CASES, case_named
from benchmarks.diagnosis.command import parts_of
from benchmarks.diagnosis.data import N_DRAWS, arrays_of
from benchmarks.diagnosis.drawn import soundness
from benchmarks.diagnosis.drawn.drawing import (
    N_HEALTHY,
    N_OF_A_CAUSE,
    ORDINARY,
    Candidate,
    drawn_part,
    unplantable,
)
from benchmarks.diagnosis.drawn.listing import (
    FOLDER,
    DrawnList,
    read_drawn,
    setup_from_json,
    setup_to_json,
    write_drawn,
)
from benchmarks.diagnosis.drawn.names import check_seeds, draw_of, first_seed, part_of
from benchmarks.diagnosis.drawn.ranges import MODELS
from benchmarks.diagnosis.drawn.soundness import DISTANCE, Soundness, checked
from benchmarks.diagnosis.networks import builder
from benchmarks.diagnosis.parts import FIRST_SEEDS, N_SEEDS, PARTS, part_asked_for, read_list
from benchmarks.diagnosis.repair import N_NEW_SEEDS
from benchmarks.diagnosis.telemetry import jobs_of, train
from search_spaces.errors import ConfigurationError
from studies.diagnosis import CauseName
from tuner.training.config import TrainingConfig
from tuner.training.models import build_model

WRITTEN = sorted(draw for path in FOLDER.glob("drawn-*.json") if (draw := draw_of(path.stem)) is not None)


def _most_are_sound(candidates: Iterable[Candidate]) -> Iterator[Soundness]:
    """Two of three: in place of the trainings that show it."""
    for candidate in candidates:
        yield Soundness(is_sound=candidate.number % 3 != 1, reached={"x1": 0.9})


@pytest.fixture(scope="module")
def drawn() -> DrawnList:
    return drawn_part(7, _most_are_sound)


def test_a_draw_is_the_same_again_and_another_seed_draws_another(drawn: DrawnList) -> None:
    """Trainings and faults."""
    assert drawn_part(7, _most_are_sound) == drawn
    other = drawn_part(8, _most_are_sound)
    for mine, its in ((drawn.bases, other.bases), (drawn.faulty, other.faulty)):
        setups = [case.setup for case in its]
        assert not [case.name for case in mine if case.setup in setups]


def test_every_cause_is_planted_into_two_trainings(drawn: DrawnList) -> None:
    """All but seed noise; beside them stand as many ordinary trainings as were asked for."""
    counted = Counter(case.cause for case in drawn.faulty)
    assert counted == dict.fromkeys(set(CauseName) - {CauseName.SEED_NOISE}, N_OF_A_CAUSE)
    assert len({(case.cause, case.twin) for case in drawn.faulty}) == len(drawn.faulty)
    assert len(drawn.healthy) >= N_HEALTHY
    watched = sum(case.is_watched for case in drawn.healthy) / len(drawn.healthy)
    assert 0.3 <= watched <= 0.7
    assert {case.architecture for case in drawn.healthy} == set(MODELS)


def test_every_drawn_case_is_a_training_and_a_network(drawn: DrawnList) -> None:
    """And a fault differs from its twin, which is its base."""
    names = drawn.by_name
    for case in names.values():
        config = TrainingConfig.from_mapping(case.config(0))
        build_model(config, (1, 14, 14), 10, builder=builder(case.setup.network))
        base = names[case.twin]
        assert (case.reference.setup, case.reference.name) == (base.setup, base.name)
        assert (case.setup == case.healthy) is (case.cause is None), case.name


def test_a_fault_differs_from_its_base_in_one_thing(drawn: DrawnList) -> None:
    """In the config, the data, the network or the loop; some data also in the lever that mends it."""
    for case in drawn.faulty:
        setup, base = case.setup, case.healthy
        config = {key for key in setup.config if setup.config[key] != base.config.get(key)}
        if setup.data != base.data:
            config -= {"input_scaling", "split"}
        assert sum((
            bool(config), setup.data != base.data, setup.network != base.network, setup.loop != base.loop
        )) == 1, case.name  # fmt: skip


def test_no_minibatch_of_one_meets_batch_normalization(drawn: DrawnList) -> None:
    """What a split leaves for the last minibatch of an epoch, after the changes of the data."""
    added = {"duplicated": 1, "repeated": 4, "moved_copies": 1}
    for case in drawn.by_name.values():
        config = TrainingConfig.from_mapping(case.config(0))
        if config.normalization != "batch" or not isinstance(config.batch_size, int):
            continue
        (n, *others) = (int(each.strength) for each in case.setup.data)
        assert not others or case.setup.data[1].name not in added
        assert (n - round(n * config.validation_fraction)) % config.batch_size != 1, case.name


def test_a_file_keeps_every_training(drawn: DrawnList, tmp_path: Path) -> None:
    """Whatever is changed: data, network, loop, tuples."""
    write_drawn(drawn, tmp_path)
    assert read_drawn(7, tmp_path) == drawn
    for case in drawn.by_name.values():
        assert setup_from_json(json.loads(json.dumps(setup_to_json(case.setup)))) == case.setup


@pytest.mark.parametrize("draw", WRITTEN)
def test_a_written_list_is_the_drawn_one(draw: int) -> None:
    """Nobody changed a training by hand: what was kept is what the seed draws, and its faults too."""
    written = read_drawn(draw)
    reached = written.reached

    def as_then(candidates: Iterable[Candidate]) -> Iterator[Soundness]:
        for candidate in candidates:
            name = candidate.case.name
            yield Soundness(is_sound=name in reached, reached=reached.get(name, {}))

    assert drawn_part(draw, as_then, n_healthy=len(written.healthy)) == written
    for name, values in reached.items():
        assert max(values[key] for key in ("x0.3", "x3.0")) - values["x1"] <= DISTANCE + 1e-3, name


@pytest.mark.parametrize("draw", WRITTEN)
def test_a_written_list_is_a_part(draw: int) -> None:
    """Its cases have names, and the twins are trained once, with as many seeds as the faults."""
    listed = read_list(part_of(draw))
    assert listed.seeds(2) == [1000 * draw, 1000 * draw + 1]
    name = listed.faulty[0]
    case = case_named(name)
    jobs = jobs_of([*listed.healthy, name], listed.seeds(1))
    assert len(jobs) == len(listed.healthy) + 1 + (case.twin not in listed.healthy)
    assert {job.case.name for job in jobs} >= {case.name, case.twin}


def test_no_training_is_one_of_another_part(drawn: DrawnList) -> None:
    """By all that makes it."""
    old = [TrainingConfig.from_mapping(case.config(0)) for case in (*CASES, *FRESH_CASES)]
    assert not [case.name for case in drawn.bases if TrainingConfig.from_mapping(case.config(0)) in old]


def test_no_part_shares_a_seed() -> None:
    """Those of repairs and of the check of soundness included."""
    firsts = [*FIRST_SEEDS.values(), *(first_seed(draw) for draw in range(1, 9))]
    scored = [seed for first in firsts for seed in range(first, first + N_SEEDS + N_NEW_SEEDS)]
    seeds = scored + [seed for draw in range(1, 9) for seed in check_seeds(draw)]
    assert len(set(seeds)) == len(seeds)


def test_no_part_shares_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of MNIST's 70,000, as long as there are any left: the sixth draw has those of the first."""
    monkeypatch.setattr("benchmarks.diagnosis.data.load_dataset", lambda *_args, **_options: _NumberedImages)
    arrays_of.cache_clear()
    try:
        seen = [arrays_of("mnist", part) for part in (*PARTS, *map(part_of, range(1, N_DRAWS + 2)))]
    finally:
        arrays_of.cache_clear()
    numbers = [np.concatenate([each.x, each.x_test]).ravel() for each in seen]
    assert len(np.unique(np.concatenate(numbers))) == 8000 * (len(PARTS) + N_DRAWS)
    assert np.array_equal(numbers[-1], numbers[len(PARTS)])


class _NumberedImages:
    """As many as MNIST has, each of one pixel, its number."""

    x_train = torch.arange(60_000, dtype=torch.int32).reshape(-1, 1, 1, 1)
    y_train = torch.zeros(60_000, dtype=torch.int64)
    x_test = torch.arange(60_000, 70_000, dtype=torch.int32).reshape(-1, 1, 1, 1)
    y_test = torch.zeros(10_000, dtype=torch.int64)


# -- soundness --


def _checked(monkeypatch: pytest.MonkeyPatch, *, better: float, longer: float = 0.0) -> Soundness:
    """Of a training that reaches 0.9, that much more at a third of its rate, and with twice the epochs."""
    training = Candidate(draw=7, purpose=ORDINARY, number=0).training
    rate, epochs = (training.setup.config[key] for key in ("learning_rate", "epochs"))

    def accuracy(_architecture: object, setup: parts.Case, _seed: int, **_about: object) -> float:
        is_lower, is_longer = setup.config["learning_rate"] < rate, setup.config["epochs"] > epochs
        return 0.9 + better * is_lower + longer * is_longer

    monkeypatch.setattr(soundness, "accuracy", accuracy)
    return checked(training, draw=7, task="mnist", is_ordinary=True, plain=0.92)


def test_a_training_is_sound_when_no_other_rate_is_much_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor twice the epochs."""
    assert _checked(monkeypatch, better=0.01, longer=0.01).is_sound
    assert not _checked(monkeypatch, better=0.02).is_sound
    assert not _checked(monkeypatch, better=0.05).is_sound
    assert not _checked(monkeypatch, better=0.0, longer=0.02).is_sound


def test_a_training_is_not_far_below_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four points are too far, but for one that has fewer images."""
    monkeypatch.setattr(soundness, "accuracy", lambda *_args, **_about: 0.9)
    purposes = (ORDINARY, CauseName.MISSING_WARMUP, CauseName.OVERFITTING)
    verdicts = [
        checked(
            Candidate(draw=7, purpose=purpose, number=0).training,
            draw=7,
            task="mnist",
            is_ordinary=purpose == ORDINARY,
            plain=0.95,
        ).is_sound
        for purpose in purposes
    ]
    assert verdicts == [False, False, True]


def test_a_draw_goes_on_until_every_cause_can_be_planted(drawn: DrawnList) -> None:
    """Whatever few trainings are asked for."""
    few = drawn_part(7, _most_are_sound, n_healthy=2)
    assert unplantable([case.setup for case in few.healthy[:-1]])
    assert not unplantable([case.setup for case in few.healthy])
    assert few.healthy == drawn.healthy[: len(few.healthy)]


def test_a_draw_in_which_nothing_is_sound_ends() -> None:
    """With one sentence."""
    with pytest.raises(ConfigurationError, match="enough must be sound, but 0 are"):
        drawn_part(7, lambda candidates: (Soundness(is_sound=False, reached={}) for _ in candidates))


# -- commands --


def test_a_drawn_part_has_a_number() -> None:
    """And no other part has one."""
    assert part_asked_for("drawn", 3) == "drawn-3"
    assert part_asked_for("blind", None) == "blind"
    assert part_asked_for(None, None) is None
    for only, draw in (("drawn", None), ("blind", 1), (None, 1)):
        with pytest.raises(ConfigurationError, match="--draw must be with --only drawn"):
            part_asked_for(only, draw)
    with pytest.raises(ConfigurationError, match="1 or more, but got 0"):
        part_asked_for("drawn", 0)


def test_a_part_that_was_not_drawn_is_refused() -> None:
    """With the command that draws it."""
    with pytest.raises(ConfigurationError, match="drawn --draw 987 draws it"):
        read_list("drawn-987")
    with pytest.raises(ConfigurationError, match="A part must be one of"):
        read_list("drawn-0")


def test_scores_are_told_of_drawn_parts_that_have_runs(tmp_path: Path) -> None:
    """In the order of their numbers."""
    for name in ("blind", "drawn-10", "drawn-2", "drawn-x"):
        (tmp_path / name).mkdir()
    assert parts_of(None, tmp_path, trains=False) == ["blind", "drawn-2", "drawn-10"]
    assert parts_of(None, tmp_path, trains=True) == list(PARTS)


@pytest.mark.parametrize("number", [0, 1])
def test_drawn_trainings_train(drawn: DrawnList, number: int) -> None:
    """In either loop, on the digits, for one epoch."""
    case = next(each for each in drawn.healthy if each.is_watched is bool(number))
    setup = replace(case.setup, config={**case.setup.config, "epochs": 1})
    run = train(replace(case, setup=setup), 7000, task="digits", part="drawn-7")
    assert run.record.trials[0].telemetry is not None
