import json
from collections import defaultdict

import pytest

from benchmarks.diagnosis.causes import CASES, FAULTS, case_named
from benchmarks.diagnosis.parts import FIRST_SEEDS, FOLDER, N_HEALTHY_SEEDS, N_SEEDS, drawn_lists, read_list
from search_spaces.errors import ConfigurationError
from studies.diagnosis import CauseName
from tuner.training.config import TrainingConfig


def test_the_committed_lists_are_the_drawn_ones() -> None:
    """Nobody moved a case from one list to the other by hand."""
    for drawn in drawn_lists():
        assert read_list(drawn.part) == drawn
        assert json.loads((FOLDER / f"{drawn.part}.json").read_text(encoding="utf-8"))["faulty"] == list(
            drawn.faulty
        )


def test_the_parts_share_no_case_and_no_seed() -> None:
    """Calibration and blind together are all cases, and neither knows one of the other's."""
    calibration, blind = read_list("calibration"), read_list("blind")
    seen, unseen = {*calibration.faulty, *calibration.healthy}, {*blind.faulty, *blind.healthy}
    assert not seen & unseen
    assert seen | unseen == {case.name for case in CASES}
    assert FIRST_SEEDS["blind"] - FIRST_SEEDS["calibration"] > N_SEEDS


def test_the_blind_list_holds_what_calibration_never_had() -> None:
    """Of every cause a severity and a network are new."""
    by_cause: dict[str, list[str]] = defaultdict(list)
    for name in read_list("calibration").faulty:
        by_cause[name.split("/")[0]].append(name)
    for cause, names in by_cause.items():
        blind = [name for name in read_list("blind").faulty if name.startswith(f"{cause}/")]
        assert len(names) == 2
        assert len({name.split("/")[1] for name in names}) == 1
        assert len(blind) == 4


def test_there_are_enough_healthy_runs() -> None:
    """At least 60 to calibrate on, at least 125 blind ones, of 40 configs and more, half of them watched."""
    n_calibration, n_blind = (len(read_list(part).healthy) for part in ("calibration", "blind"))
    assert n_calibration * N_HEALTHY_SEEDS >= 60
    assert n_blind * N_HEALTHY_SEEDS >= 125
    assert n_blind >= 40
    watched = [case_named(name).is_watched for name in read_list("blind").healthy]
    assert 0.4 <= sum(watched) / len(watched) <= 0.6


def test_every_cause_is_planted() -> None:
    """All but seed noise, which no single training has."""
    assert {fault.cause for fault in FAULTS} == set(CauseName) - {CauseName.SEED_NOISE}


def test_every_case_is_a_training() -> None:
    """The toolkit takes its config and that of its healthy twin, and a fault differs from its twin."""
    for case in CASES:
        TrainingConfig.from_mapping(case.config(0))
        TrainingConfig.from_mapping(case.reference.config(0))
        assert case.cause is None or case.setup != case.healthy, case.name


def test_an_unknown_case_is_refused() -> None:
    """With one sentence."""
    with pytest.raises(ConfigurationError, match="case"):
        case_named("learning_rate_too_high/mlp/mildest")
    with pytest.raises(ConfigurationError, match="calibration, blind"):
        read_list("test")
