"""Activities of all lanes in one pass, against the hooks that read each module."""

import pytest
import torch

from tests.tuner.training.lanes.test_mlp import engine_with, splits_of, stepped
from tuner.training.config import TrainingConfig
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.probes import probe_pass, watched_layers


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "selu"])
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_one_pass_reads_what_hooks_read_of_each(activation: str, normalization: str) -> None:
    """Deviations, dead and saturated units, norms and outputs of each lane; some units are dead, some saturated."""
    configs = [
        TrainingConfig(
            depth=2, width=7, seed=seed, activation=activation, normalization=normalization, dropout=0.3
        )
        for seed in range(3)
    ]
    splits = splits_of()
    engine, models = engine_with(lambda each: MlpEngine(each, stacks=True), configs, splits)
    stepped(engine, splits)
    with torch.no_grad():
        models[1].hidden1.bias[:3] = -100.0
        models[2].hidden2.bias[:2] = 100.0
    passes = engine.probe_passes(splits.train_x)
    for model, found in zip(models, passes, strict=True):
        expected = probe_pass(model, watched_layers(model), splits.train_x)
        torch.testing.assert_close(found.outputs, expected.outputs)
        assert list(found.activities) == list(expected.activities)
        for name, activity in expected.activities.items():
            assert vars(found.activities[name]) == pytest.approx(vars(activity), rel=1e-4, nan_ok=True)
    if activation == "relu" and normalization == "none":
        assert passes[1].activities["hidden1"].dead_fraction >= 3 / 7


def test_without_hidden_layers_and_in_bfloat16() -> None:
    """A linear model has one layer to read; bfloat16 is read of the modules, whose products are not shortened."""
    splits = splits_of()
    for config in (TrainingConfig(depth=0), TrainingConfig(precision="bfloat16", width=5)):
        engine, models = engine_with(lambda each: MlpEngine(each, stacks=True), [config] * 2, splits)
        for model, found in zip(models, engine.probe_passes(splits.train_x), strict=True):
            expected = probe_pass(model, watched_layers(model), splits.train_x)
            torch.testing.assert_close(found.outputs, expected.outputs)
            assert vars(found.activities["output"]) == pytest.approx(
                vars(expected.activities["output"]), rel=1e-4, nan_ok=True
            )
