"""The fresh part: what no threshold and no rule has seen."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.diagnosis.case import FRESH_ARCHITECTURES, Case, Fault, Planted, Setup
from benchmarks.diagnosis.causes import CASES, FRESH_CASES, case_named
from benchmarks.diagnosis.command import parts_of
from benchmarks.diagnosis.data import Arrays, arrays_of, changed
from benchmarks.diagnosis.deeds import BY_HAND, words_of
from benchmarks.diagnosis.fresh.faults import FRESH_FAULTY
from benchmarks.diagnosis.networks import builder
from benchmarks.diagnosis.parts import (
    FIRST_SEEDS,
    FOLDER,
    N_HEALTHY_SEEDS,
    N_SEEDS,
    PARTS,
    fresh_list,
    read_list,
)
from benchmarks.diagnosis.repair import N_NEW_SEEDS, PRESETS
from benchmarks.diagnosis.telemetry import train
from search_spaces import preset
from search_spaces.errors import ConfigurationError
from studies.diagnosis import CauseName
from tuner.training.config import TrainingConfig
from tuner.training.models import build_model


def _training(case: Case) -> tuple[object, ...]:
    """All that a training is, but its seed."""
    config = TrainingConfig.from_mapping(case.config(0))
    return config, case.setup.data, case.setup.network, case.setup.loop


def test_the_committed_list_is_what_the_code_says() -> None:
    """Nobody moved a case by hand."""
    assert read_list("fresh") == fresh_list()
    written = json.loads((FOLDER / "fresh.json").read_text(encoding="utf-8"))
    assert written["faulty"] == list(fresh_list().faulty)
    assert {*written["faulty"], *written["healthy"]} == {case.name for case in FRESH_CASES}


def test_no_training_is_one_of_the_old_parts() -> None:
    """Neither by its name nor by all that makes it, twins included."""
    old = [each for case in CASES for each in (case, case.reference)]
    fresh = [each for case in FRESH_CASES for each in (case, case.reference)]
    assert not {case.name for case in old} & {case.name for case in fresh}
    trainings = [_training(case) for case in old]
    assert [case.name for case in fresh if _training(case) in trainings] == []


def test_the_fresh_cases_differ_from_one_another() -> None:
    """None is counted twice."""
    trainings = [repr(_training(case)) for case in FRESH_CASES]
    assert len(set(trainings)) == len(trainings)


def test_the_parts_share_no_seed() -> None:
    """Those of the repairs, which come after the diagnosed ones, included."""
    seeds = [
        seed for part in PARTS for seed in range(FIRST_SEEDS[part], FIRST_SEEDS[part] + N_SEEDS + N_NEW_SEEDS)
    ]
    assert len(set(seeds)) == len(seeds)
    assert read_list("fresh").seeds(2) == [200, 201]


def test_the_parts_share_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 70,000 images, as MNIST has, each part has 8,000 of its own."""
    arrays_of.cache_clear()
    monkeypatch.setattr("benchmarks.diagnosis.data.load_dataset", lambda *_args, **_options: _NumberedImages)
    try:
        seen = [arrays_of("mnist", part) for part in PARTS]
    finally:
        arrays_of.cache_clear()
    numbers = [np.concatenate([each.x, each.x_test]).ravel() for each in seen]
    assert [len(each) for each in numbers] == [8000] * len(PARTS)
    assert len(np.unique(np.concatenate(numbers))) == 8000 * len(PARTS)


class _NumberedImages:
    """As many as MNIST has, each of one pixel, its number."""

    x_train = torch.arange(60_000, dtype=torch.int32).reshape(-1, 1, 1, 1)
    y_train = torch.zeros(60_000, dtype=torch.int64)
    x_test = torch.arange(60_000, 70_000, dtype=torch.int32).reshape(-1, 1, 1, 1)
    y_test = torch.zeros(10_000, dtype=torch.int64)


def test_every_cause_is_planted_in_both_networks() -> None:
    """All but seed noise, at two severities at least; the mildest is always there."""
    severities: dict[tuple[CauseName | None, str], set[str]] = defaultdict(set)
    for case in FRESH_FAULTY:
        severities[case.cause, case.architecture].add(case.severity)
    causes = set(CauseName) - {CauseName.SEED_NOISE}
    assert set(severities) == {(cause, each) for cause in causes for each in FRESH_ARCHITECTURES}
    assert all({"mild", "severe"} <= each for each in severities.values())


def test_it_is_large_enough() -> None:
    """500 faulty runs and 180 healthy ones of 60 configs, half of them watched."""
    fresh = read_list("fresh")
    assert len(fresh.faulty) >= 110
    assert len(fresh.faulty) * N_SEEDS >= 500
    assert len(fresh.healthy) >= 60
    assert len(fresh.healthy) * N_HEALTHY_SEEDS >= 180
    watched = [case_named(name).is_watched for name in fresh.healthy]
    assert 0.4 <= sum(watched) / len(watched) <= 0.6


def test_every_fresh_case_is_a_training() -> None:
    """The toolkit takes its config and that of its healthy twin, and a fault differs from its twin."""
    for case in FRESH_CASES:
        TrainingConfig.from_mapping(case.config(200))
        TrainingConfig.from_mapping(case.reference.config(200))
        assert case.cause is None or case.setup != case.healthy, case.name


def test_a_fault_differs_from_its_twin_in_one_thing() -> None:
    """In the config, the data, the network or the loop; some data also in the lever that mends it."""
    mended = {CauseName.UNNORMALIZED_INPUT: {"input_scaling"}, CauseName.UNSTRATIFIED_SPLIT: {"split"}}
    for case in FRESH_FAULTY:
        setup, twin = case.setup, case.healthy
        faulty, sound = (TrainingConfig.from_mapping(each.config(0)) for each in (case, case.reference))
        config = {key for key in faulty.to_mapping() if getattr(faulty, key) != getattr(sound, key)}
        config -= mended.get(case.cause or CauseName.SEED_NOISE, set())
        different = [
            bool(config), setup.data != twin.data, setup.network != twin.network, setup.loop != twin.loop
        ]  # fmt: skip
        assert sum(different) == 1, case.name


def test_faults_without_a_lever_have_words_that_undo_them() -> None:
    """And those that have one are in the toolkit's own loop."""
    for case in FRESH_FAULTY:
        assert words_of(case) if case.cause in BY_HAND else not case.is_watched, case.name


def test_every_network_has_a_preset_for_the_equal_trials_of_tpe() -> None:
    """All of them."""
    assert {case.architecture for case in (*CASES, *FRESH_CASES)} == set(PRESETS)
    for name in PRESETS.values():
        preset(name)


def test_scores_are_told_of_the_parts_that_have_runs(tmp_path: Path) -> None:
    """Training is about all of them; a part that was asked for is taken either way."""
    (tmp_path / "blind").mkdir()
    assert parts_of(None, tmp_path, trains=False) == ["blind"]
    assert parts_of(None, tmp_path, trains=True) == list(PARTS)
    assert parts_of("fresh", tmp_path, trains=False) == ["fresh"]


def test_a_fault_has_two_or_three_setups_and_as_many_twins() -> None:
    """Another number is refused."""
    one = Setup(config={"width": 5})
    with pytest.raises(ConfigurationError, match="mild and severe, but undercapacity has 1"):
        Fault(cause=CauseName.UNDERCAPACITY, setups={"gelu_mlp": (one,)})
    with pytest.raises(ConfigurationError, match="2 setups of undercapacity must have a twin"):
        Fault(cause=CauseName.UNDERCAPACITY, setups={"gelu_mlp": (one, one)}, twins={"gelu_mlp": (one,)})


# -- ways of planting --


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return arrays_of("digits", "fresh")


def _changed(arrays: Arrays, name: str, strength: float) -> Arrays:
    return changed(arrays, [Planted(name=name, strength=strength)], seed=0)


def test_repeated_samples_have_four_copies(arrays: Arrays) -> None:
    """Each with its label."""
    repeated = _changed(arrays, "repeated", 0.1)
    n = len(arrays.y)
    assert len(repeated.y) == n + 4 * round(0.1 * n)
    known = {image.tobytes(): label for image, label in zip(arrays.x, arrays.y, strict=True)}
    added = zip(repeated.x[n:], repeated.y[n:], strict=True)
    assert all(known[image.tobytes()] == label for image, label in added)


def test_moved_copies_are_those_of_the_pool_a_pixel_further(arrays: Arrays) -> None:
    """So no copy equals its original."""
    copied = _changed(arrays, "moved_copies", 1.0)
    n = len(arrays.y)
    assert len(copied.y) == 2 * n
    back = {image.tobytes() for image in np.roll(copied.x[n:], -1, axis=3)}
    assert back == {image.tobytes() for image in arrays.x}


def test_a_leak_is_in_the_pool_alone(arrays: Arrays) -> None:
    """One pixel, or the least brightness, tells the label of every image of it; the test part is as it was."""
    in_row, in_background = (
        _changed(arrays, name, strength)
        for name, strength in (("label_in_last_row", 255), ("label_in_background", 20))
    )
    width = arrays.x.shape[-1]
    from_the_end = np.arange(arrays.x[0].size)[::-1]
    for image, label in zip(in_row.x, in_row.y, strict=True):
        assert image.ravel()[from_the_end[label]] == 255
    assert np.array_equal(in_row.x[:, :, : -1 - 9 // width], arrays.x[:, :, : -1 - 9 // width])
    assert np.array_equal(in_background.x.reshape(len(arrays.y), -1).min(1), 20 * arrays.y)
    for leaking in (in_row, in_background):
        assert np.array_equal(leaking.x_test, arrays.x_test)


def test_rare_classes_are_the_last_three(arrays: Arrays) -> None:
    """The others keep all they have."""
    before, after = np.bincount(arrays.y), np.bincount(_changed(arrays, "rare", 0.1).y)
    assert np.array_equal(before[:7], after[:7])
    assert (after[7:] < 0.3 * before[7:]).all()
    assert (np.bincount(_changed(arrays, "rare", 0.0).y)[7:] == 1).all()


def test_a_label_taken_for_the_next_is_the_next(arrays: Arrays) -> None:
    """In as many samples as asked for; the test part keeps its labels."""
    noisy = _changed(arrays, "mislabeled_next", 0.3)
    wrong = noisy.y != arrays.y
    assert abs(wrong.mean() - 0.3) < 0.05
    assert np.array_equal(noisy.y[wrong], (arrays.y[wrong] + 1) % 10)
    assert np.array_equal(noisy.y_test, arrays.y_test)


def test_infinity_is_in_some_images(arrays: Arrays) -> None:
    """At least in one; the test part is whole."""
    broken = _changed(arrays, "with_infinity", 1e-9)
    assert np.isinf(broken.x).sum() == 1
    assert np.isfinite(broken.x_test).all()


def _network(name: str, strength: float, **config: object) -> torch.nn.Module:
    made = builder(Planted(name=name, strength=strength))
    whole = TrainingConfig.from_mapping({**case_named("healthy/plain/gelu_mlp/0").config(0), **config})
    return build_model(whole, (1, 14, 14), 10, builder=made)


_CONVOLUTIONS = {
    "model": "benchmarks.diagnosis.fresh.convolutions:convolutional",
    "width": 12,
    "normalization": "batch",
}


@pytest.mark.parametrize("config", [{}, _CONVOLUTIONS], ids=["mlp", "cnn"])
def test_copied_units_stay_copies(config: dict[str, object]) -> None:
    """Their gradients are equal too, so that no step parts them."""
    model = _network("copied_units", 2, **config)
    torch.manual_seed(0)
    torch.nn.functional.cross_entropy(model(torch.rand(32, 1, 14, 14)), torch.arange(32) % 10).backward()  # type: ignore[no-untyped-call]
    layers = [each for each in model.modules() if isinstance(each, torch.nn.Linear | torch.nn.Conv2d)]
    for layer in layers[:-1]:
        for values in (layer.weight, layer.weight.grad):
            assert values is not None
            assert torch.allclose(values[0], values[2], atol=1e-7)
            assert not torch.allclose(values[0], values[1], atol=1e-7)


def test_negative_weights_wake_no_unit() -> None:
    """Whatever image comes; half a strength does so to half of the 96 units."""
    torch.manual_seed(0)
    first = _network("negative_weights", 0.5, activation="relu").get_submodule("hidden1")
    is_awake = (first(torch.rand(64, 196)) > 0).any(0)
    assert not is_awake[:48].any()
    assert is_awake[48:].any()


def test_only_the_last_hidden_layer_has_negative_biases() -> None:
    """The output layer has none."""
    model = _network("negative_inner_biases", 3.0)
    layers = [each for each in model.modules() if isinstance(each, torch.nn.Linear)]
    assert [layer.bias.mean().item() for layer in layers] == [0.0, 0.0, -3.0, 0.0]


def test_a_magnified_output_layer_has_a_huge_first_loss() -> None:
    """Of the order of its factor, against ln 10."""
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = _network("magnified", 40.0)(torch.rand(64, 1, 14, 14))
    assert torch.nn.functional.cross_entropy(outputs, torch.arange(64) % 10).item() > 5


@pytest.mark.parametrize("name", ["healthy/plain/normed_cnn/0", "frozen_layers/normed_cnn/severe"])
def test_the_convolutions_train_by_themselves_and_watched(name: str) -> None:
    """On the digits, for one epoch; nothing is diagnosed."""
    case = case_named(name)
    short = Case(
        name=name,
        cause=case.cause,
        severity=case.severity,
        architecture=case.architecture,
        setup=Setup(config={**case.setup.config, "epochs": 1}, loop=case.setup.loop),
    )
    run = train(short, 200, task="digits", part="fresh")
    assert run.record.trials[0].telemetry is not None
    assert run.test_accuracy > 0.12
