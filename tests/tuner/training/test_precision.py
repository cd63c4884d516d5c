import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError
from tests.problems import blobs, images, line, linear_model
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.precision import check_precision

SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 16, "width": 8}


def losses_of(precision: str, **keys: Any) -> list[float]:
    run = TrainingRun(TrainingConfig(**SHORT, precision=precision, **keys), split_dataset(images()))
    return [row.validation_loss for row in run.epochs()]


@pytest.mark.parametrize(
    "keys", [{}, {"class_weights": "balanced", "label_smoothing": 0.1}, {"model": "cnn"}]
)
def test_precisions_train_alike(keys: dict[str, Any]) -> None:
    """float64 is float32 to seven digits or so, bfloat16 to two; none of them is another."""
    single, double, short = (losses_of(name, **keys) for name in ("float32", "float64", "bfloat16"))
    np.testing.assert_allclose(single, double, rtol=1e-4)
    np.testing.assert_allclose(short, double, rtol=0.1)
    assert single != double
    assert short != single


def test_float64_is_float64_throughout() -> None:
    """Weights, inputs and the optimizer's state, for a regression as well."""
    seen = []

    def model(config: object, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        built = linear_model(config, shape, n_outputs)
        built.register_forward_pre_hook(lambda _module, args: seen.append(args[0].dtype))
        return built

    config = TrainingConfig(**SHORT, precision="float64", momentum=0.9, learning_rate=0.01, clip_norm=1.0)
    run = TrainingRun(config, line(), model=model)
    rows = list(run.epochs())
    assert rows[-1].validation_loss < rows[0].validation_loss
    assert set(seen) == {torch.float64}
    state = run.state_dict()
    assert {tensor.dtype for tensor in state["model"].values()} == {torch.float64}
    assert {tensor.dtype for tensor in state["optimizer"]["momentum"]} == {torch.float64}


def test_bfloat16_is_of_products_only() -> None:
    """Products give bfloat16; weights and outputs stay float32."""
    inner: list[torch.dtype] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.linear(x)
            if self.training:
                inner.append(outputs.dtype)
            return outputs

    run = TrainingRun(
        TrainingConfig(**SHORT, precision="bfloat16"), blobs(), model=lambda *_: Watching(), telemetry=False
    )
    for _ in run.epochs():
        pass
    assert inner[-1] is torch.bfloat16
    assert run.model.linear.weight.dtype is torch.float32


def test_what_the_device_cannot_is_refused() -> None:
    """tf32 is CUDA's own: on the CPU the sentence says what there is."""
    config = TrainingConfig(precision="tf32")
    with pytest.raises(
        ConfigurationError, match=r"device cpu has \(float32, bfloat16, float64\), but got tf32"
    ):
        TrainingRun(config, blobs(), device="cpu")
    with pytest.raises(ConfigurationError, match="device mps has"):
        check_precision(dataclasses.replace(config, precision="float64"), torch.device("mps"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="tf32 is of CUDA devices")
def test_tf32_is_on_while_it_trains_and_off_again() -> None:
    """The caller's own setting is back between epochs, and cuDNN was never turned off."""
    seen = []

    def model(config: object, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        built = linear_model(config, shape, n_outputs)
        built.register_forward_hook(
            lambda *_: seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled))
        )
        return built

    run = TrainingRun(TrainingConfig(**SHORT, precision="tf32"), blobs(), device="cuda", model=model)
    for _ in run.epochs():
        assert torch.get_float32_matmul_precision() == "highest"
    assert seen[-1] == ("high", True)
