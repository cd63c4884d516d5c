import pytest
from optuna.distributions import FloatDistribution

from search_spaces import load_space


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_our_space_is_the_rivals(optimizer: str) -> None:
    """Everyone searches the same levers over the same ranges on the same scales, and fixes the same momentum."""
    from workload import DROPOUTS, MOMENTUM, WEIGHT_DECAYS, Workload

    workload = Workload(optimizer=optimizer)
    space = load_space(workload.space)
    assert {lever.name: lever.distribution for lever in space.levers} == {
        "learning_rate": FloatDistribution(*workload.learning_rates, log=True),
        "weight_decay": FloatDistribution(*WEIGHT_DECAYS, log=True),
        "dropout": FloatDistribution(*DROPOUTS),
    }
    momentum = {"momentum": MOMENTUM} if optimizer == "sgd" else {}
    assert dict(space.fixed) == {"optimizer": optimizer} | momentum


def test_the_arithmetic_of_one_hidden_layer_by_hand() -> None:
    """Two products of the first layer and three of the second for each training sample, one each in validation."""
    from workload import Workload

    flops = Workload(width=5).epoch_flops(n_inputs=7, n_outputs=3, n_train=11, n_validation=13)
    assert flops == 2 * (11 * (2 * 7 * 5 + 3 * 5 * 3) + 13 * (7 * 5 + 5 * 3))


def test_each_hidden_layer_adds_its_products() -> None:
    """A further layer of 5 units costs three products of 5 x 5 in training and one in validation."""
    from workload import Workload

    shallow, deep = (
        Workload(width=5, depth=depth).epoch_flops(n_inputs=7, n_outputs=3, n_train=11, n_validation=13)
        for depth in (1, 2)
    )
    assert deep - shallow == 2 * 5 * 5 * (3 * 11 + 13)


@pytest.mark.parametrize(
    ("keys", "rule"),
    [({"optimizer": "lamb"}, r"must be one of \['sgd', 'adam'\]"), ({"n_epochs": 0}, r"must be at least 1")],
)
def test_a_workload_that_cannot_be_is_refused(keys: dict[str, object], rule: str) -> None:
    """With the rule that it breaks."""
    from workload import Workload

    with pytest.raises(ValueError, match=rule):
        Workload(**keys)
