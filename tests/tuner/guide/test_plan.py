"""Where a guide starts, what it may touch, and which rounds that leaves."""

from typing import Any

import pytest

from search_spaces import Space, catalog, preset
from search_spaces.errors import ConfigurationError
from tuner.guide.levers import Levers
from tuner.guide.plan import TOUCHED, baseline_config, planned_rounds, untouched_levers, wishes_from
from tuner.training.config import TrainingConfig


def space(*names: str, **fixed: Any) -> Space:
    return Space(name="own", levers=tuple(catalog.lever(name) for name in names), fixed=fixed)


def skipped(levers: Levers, *, is_image: bool = True, is_regression: bool = False) -> dict[str, str]:
    planned = planned_rounds(levers, is_image=is_image, is_regression=is_regression)
    return {each.name: each.skipped for each in planned if each.skipped}


def test_the_sensible_baseline_is_adam_on_two_hidden_layers() -> None:
    """The one that the issue names: 1e-3, batch 64, 2 x 128."""
    assert baseline_config(Levers(), None) == {
        "depth": 2, "width": 128, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 64,
    }  # fmt: skip


def test_a_cnn_keeps_its_own_shape_and_sgd_has_a_rate_of_its_own() -> None:
    """Depth and width mean something else there; 1e-3 would be far too low for SGD."""
    assert "depth" not in baseline_config(Levers(fixed={"model": "cnn"}), None)
    assert baseline_config(Levers(fixed={"optimizer": "sgd"}), None)["learning_rate"] == 0.1


def test_the_optimizer_is_chosen_from_the_space_and_then_its_rate() -> None:
    """AdamW where a space has no Adam; SGD at Adam's rate and without momentum would be easily beaten."""
    own = space("optimizer", "learning_rate", "momentum")
    of_two, of_one = (
        Levers(space=own.rebuilt(levers=[own["optimizer"].among(names), *list(own)[1:]]))
        for names in (("sgd", "adamw"), ("sgd", "rmsprop"))
    )
    expected = {"learning_rate": 1e-3, "optimizer": "adamw"}
    assert baseline_config(of_two, None).items() >= expected.items()
    assert baseline_config(Levers(space=preset("cnn")), None).items() >= expected.items()
    sgd = {"learning_rate": 0.1, "momentum": 0.9, "optimizer": "sgd"}
    assert baseline_config(of_one, None).items() >= sgd.items()
    assert baseline_config(Levers(space=preset("quick")), None).items() >= sgd.items()
    plain = Levers(space=preset("lr-range"))
    assert baseline_config(plain, None).items() >= (sgd | {"momentum": 0.0}).items()


def test_a_present_config_is_the_baseline_as_it_is() -> None:
    """Nothing sensible is put over it; --set goes over it, and texts of a file are read as values."""
    found = baseline_config(Levers(fixed={"width": 32}), {"learning_rate": "0.5", "width": 64})
    assert found == {"learning_rate": 0.5, "width": 32}
    with pytest.raises(ConfigurationError, match="lerning_rate"):
        baseline_config(Levers(), {"lerning_rate": 0.1})


def test_the_baseline_lies_inside_the_space() -> None:
    """A lever whose range does not hold the sensible value takes its default, else its middle."""
    own = space("learning_rate", "batch_size", width=32)
    narrow = own.rebuilt(
        levers=[
            own["learning_rate"].within(low=0.01, high=1.0),
            own["batch_size"].among((16, 32)),
        ]
    )
    found = baseline_config(Levers(space=narrow), None)
    assert found["learning_rate"] == 0.1  # the lever's default
    assert found["batch_size"] in {16, 32}
    assert found["width"] == 32
    for name in ("quick", "mlp", "cnn", "full"):
        config = baseline_config(Levers(space=preset(name)), None)
        assert all(lever.contains(config[lever.key]) for lever in preset(name))


def test_without_a_space_every_round_is_taken() -> None:
    """On images with classes; else what needs them is left out, and the other half of its round stays."""
    assert skipped(Levers()) == {}
    assert skipped(Levers(), is_image=False, is_regression=True).keys() == {"regularization.data"}
    assert skipped(Levers(), is_image=False) == {}


def test_a_space_leaves_the_rounds_of_its_levers() -> None:
    """A step without levers says which and why."""
    found = skipped(Levers(space=space("learning_rate", "dropout")))
    assert found.keys() == {
        "batch.sizes", "regularization.data", "schedule.shapes", "schedule.warmup", "schedule.optimizers",
    }  # fmt: skip
    assert found["batch.sizes"] == "batch_size is no lever of the space own"


def test_what_is_fixed_is_never_touched() -> None:
    """By --set, and by the space."""
    assert skipped(Levers(fixed={"learning_rate": 0.1}))["rate.around"] == "learning_rate is fixed at 0.1"
    fixed = Levers(space=space("dropout", learning_rate=0.1))
    assert fixed.why_not("learning_rate") == "the space fixes learning_rate at 0.1"
    assert not fixed.allows({"dropout": 0.1, "learning_rate": 0.2})


def test_values_outside_a_levers_range_are_not_tried() -> None:
    """Where fewer than two of the guide's own lie inside, a grid of the range stands in."""
    own = space("dropout", "schedule")
    narrow = Levers(space=own.rebuilt(levers=[own["dropout"].within(low=0.4, high=0.6), own["schedule"]]))
    assert narrow.values("dropout", [0.0, 0.4, 0.5]) == [0.4, 0.5]
    grid = narrow.values("dropout", [0.0, 0.1, 0.2])
    assert len(grid) == 4
    assert (min(grid), max(grid)) == (0.4, 0.6)
    assert narrow.values("weight_decay", [0.0, 0.1]) == []
    assert Levers().values("dropout", [0.0, 0.9]) == [0.0, 0.9]


def test_levers_that_no_step_changes_are_named() -> None:
    """Architecture is not part of the guide."""
    assert untouched_levers(space("learning_rate", "width", "activation")) == ["width", "activation"]
    assert untouched_levers(None) == []


def test_wishes_of_rounds_that_are_skipped_do_not_count() -> None:
    """What they would have taken goes to the others."""
    planned = planned_rounds(
        Levers(fixed={"batch_size": 64, "schedule": "cosine", "warmup_fraction": 0.0, "optimizer": "adam"}),
        is_image=True,
        is_regression=False,
    )
    first, later = wishes_from(planned, "rate.around")
    assert first.n == 6
    assert [wish.n for wish in later] == [10, 6]


def test_every_key_that_a_step_touches_is_a_config_key() -> None:
    """A renamed one would be left out in silence."""
    assert set(TrainingConfig().to_mapping()) >= TOUCHED
