import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import Parameter

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig
from tuner.training.optimizers import build_optimizer

N_STEPS = 30
SHAPES = ((16, 7), (16,), (3, 16), (3,), ())
TorchOptimizer = Callable[[list[Parameter]], optim.Optimizer]


def parameters_like_a_networks() -> list[Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients_of(step: int, parameters: list[Parameter]) -> list[Tensor | None]:
    """Some gradients of every size; the second parameter never has one, the third only from step 5 on."""
    generator = torch.Generator().manual_seed(step)
    scale = 10.0 ** (step % 5 - 3)
    drawn = [scale * torch.randn(parameter.shape, generator=generator) for parameter in parameters]
    return [None if i == 1 or (i == 2 and step < 5) else gradient for i, gradient in enumerate(drawn)]


def rate_of(step: int) -> float:
    return 0.1 / (1 + step % 7)


OPTIMIZERS: dict[str, tuple[dict[str, Any], TorchOptimizer]] = {
    "sgd": ({}, lambda p: optim.SGD(p, fused=True)),
    "sgd decayed": ({"weight_decay": 0.1}, lambda p: optim.SGD(p, weight_decay=0.1, fused=True)),
    "momentum": ({"momentum": 0.9}, lambda p: optim.SGD(p, momentum=0.9, fused=True)),
    "momentum decayed": (
        {"momentum": 0.9, "weight_decay": 0.1},
        lambda p: optim.SGD(p, momentum=0.9, weight_decay=0.1, fused=True),
    ),
    "nesterov": (
        {"momentum": 0.9, "nesterov": True},
        lambda p: optim.SGD(p, momentum=0.9, nesterov=True, fused=True),
    ),
    "nesterov decayed": (
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        lambda p: optim.SGD(p, momentum=0.9, nesterov=True, weight_decay=0.1, fused=True),
    ),
    "nesterov without momentum": ({"nesterov": True}, lambda p: optim.SGD(p, fused=True)),
    "adam": ({"optimizer": "adam"}, lambda p: optim.Adam(p, fused=True)),
    "adam decayed": (
        {"optimizer": "adam", "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-4},
        lambda p: optim.Adam(p, weight_decay=0.1, betas=(0.8, 0.9), eps=1e-4, fused=True),
    ),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.1},
        lambda p: optim.AdamW(p, weight_decay=0.1, fused=True),
    ),
    "adam decoupled is adamw": (
        {"optimizer": "adam", "weight_decay": 0.1, "weight_decay_kind": "decoupled"},
        lambda p: optim.AdamW(p, weight_decay=0.1, fused=True),
    ),
    "adam with l2": (
        {"optimizer": "adam", "weight_decay": 0.1, "weight_decay_kind": "l2"},
        lambda p: optim.Adam(p, weight_decay=0.1, fused=True),
    ),
    "rmsprop": ({"optimizer": "rmsprop"}, lambda p: optim.RMSprop(p, foreach=True)),
    "rmsprop decayed": (
        {"optimizer": "rmsprop", "weight_decay": 0.1, "alpha": 0.8, "epsilon": 1e-4},
        lambda p: optim.RMSprop(p, weight_decay=0.1, alpha=0.8, eps=1e-4, foreach=True),
    ),
    "rmsprop momentum": (
        {"optimizer": "rmsprop", "momentum": 0.9},
        lambda p: optim.RMSprop(p, momentum=0.9, foreach=True),
    ),
    "rmsprop momentum decayed": (
        {"optimizer": "rmsprop", "momentum": 0.9, "weight_decay": 0.1},
        lambda p: optim.RMSprop(p, momentum=0.9, weight_decay=0.1, foreach=True),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_step_is_torchs_own_to_the_bit(name: str) -> None:
    """30 steps at changing rates, with gradients that are missing or come late, end where torch.optim does."""
    keys, torchs_of = OPTIMIZERS[name]
    mine, theirs = parameters_like_a_networks(), parameters_like_a_networks()
    optimizer = build_optimizer(TrainingConfig(**keys), mine)
    # One for each parameter: torch's fused SGD fails when a gradient comes later than the others.
    torchs = [torchs_of([parameter]) for parameter in theirs]
    for step in range(N_STEPS):
        for parameters in (mine, theirs):
            for parameter, gradient in zip(parameters, gradients_of(step, parameters), strict=True):
                parameter.grad = gradient
        optimizer.step(rate_of(step))
        for single in torchs:
            single.param_groups[0]["lr"] = rate_of(step)
            single.step()
        for a, b in zip(mine, theirs, strict=True):
            assert torch.equal(a, b)
    assert torch.equal(mine[1], parameters_like_a_networks()[1])
    assert not torch.equal(mine[2], parameters_like_a_networks()[2])


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_steps_are_counted_together_and_each(name: str) -> None:
    """Adam's counters: all gradients are there, then the second is missing for a while, then all are there again."""
    keys, torchs_of = OPTIMIZERS[name]
    mine, theirs = parameters_like_a_networks(), parameters_like_a_networks()
    optimizer = build_optimizer(TrainingConfig(**keys), mine)
    torchs = torchs_of(theirs)
    for step in range(12):
        for parameters in (mine, theirs):
            for i, parameter in enumerate(parameters):
                is_missing = i == 1 and 4 <= step < 8
                parameter.grad = None if is_missing else torch.full_like(parameter, 0.1 * (i + step))
        optimizer.step(rate_of(0))
        torchs.param_groups[0]["lr"] = rate_of(0)
        torchs.step()
    assert [float(n) for n in optimizer.state_dict()["n_steps"]] == [12, 8, 12, 12, 12]
    assert all(map(torch.equal, mine, theirs))


@pytest.mark.parametrize(
    "keys",
    [
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"optimizer": "rmsprop"},
        {"optimizer": "rmsprop", "momentum": 0.9},
    ],
    ids=str,
)
def test_decoupled_decay_shrinks_beside_the_step(keys: dict[str, Any]) -> None:
    """p *= 1 - rate * decay, then the step that there is without decay, for each parameter that has a gradient."""
    decayed, plain = parameters_like_a_networks(), parameters_like_a_networks()
    decays = {"weight_decay": 0.2, "weight_decay_kind": "decoupled"}
    optimizer, without = (
        build_optimizer(TrainingConfig(**keys, **extra), parameters)
        for extra, parameters in ((decays, decayed), ({}, plain))
    )
    for step in range(8):
        for mine, theirs, gradient in zip(decayed, plain, gradients_of(step, plain), strict=True):
            mine.grad = theirs.grad = gradient
            with torch.no_grad():
                theirs.mul_(1 - rate_of(step) * 0.2 if gradient is not None else 1)
        optimizer.step(rate_of(step))
        without.step(rate_of(step))
        for mine, theirs in zip(decayed, plain, strict=True):
            assert torch.equal(mine, theirs)


def test_adamw_knows_no_l2() -> None:
    """One sentence, with the optimizer to take instead."""
    message = "decays weights apart from the gradient, but got weight_decay_kind=l2; take optimizer=adam"
    with pytest.raises(ConfigurationError, match=message):
        TrainingConfig(optimizer="adamw", weight_decay_kind="l2")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loaded_state_goes_on_to_the_bit(name: str) -> None:
    """Saved with torch.save after 10 steps and read with weights_only, an optimizer goes on as if nothing was."""
    keys, _ = OPTIMIZERS[name]
    whole, halved = parameters_like_a_networks(), parameters_like_a_networks()
    first, second = (build_optimizer(TrainingConfig(**keys), halved) for _ in range(2))
    uninterrupted = build_optimizer(TrainingConfig(**keys), whole)
    for step in range(20):
        if step == 10:
            file = io.BytesIO()
            torch.save(first.state_dict(), file)
            file.seek(0)
            second.load_state_dict(torch.load(file, weights_only=True))
        active = first if step < 10 else second
        for parameters, optimizer in ((whole, uninterrupted), (halved, active)):
            for parameter, gradient in zip(parameters, gradients_of(step, parameters), strict=True):
                parameter.grad = gradient
            optimizer.step(rate_of(step))
    for a, b in zip(whole, halved, strict=True):
        assert torch.equal(a, b)


def test_parameters_of_two_types_are_moved_apart() -> None:
    """A model may mix float32 and float64: each is updated as if it were alone."""
    together = [Parameter(torch.ones(3)), Parameter(torch.ones(3, dtype=torch.float64))]
    optimizer = build_optimizer(TrainingConfig(optimizer="adam"), together)
    for parameter in together:
        parameter.grad = torch.full_like(parameter, 0.3)
    optimizer.step(0.1)
    for parameter in together:
        alone = Parameter(torch.ones(3, dtype=parameter.dtype))
        alone.grad = torch.full_like(alone, 0.3)
        build_optimizer(TrainingConfig(optimizer="adam"), [alone]).step(0.1)
        assert torch.equal(parameter, alone)


def test_a_frozen_parameter_is_none_of_the_optimizers() -> None:
    """What requires no gradient is not in `parameters`."""
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(requires_grad=False)
    assert len(build_optimizer(TrainingConfig(), layer.parameters()).parameters) == 1


def test_complex_parameters_are_refused() -> None:
    """torch's kernels take real numbers; the error says so instead of failing in the first step."""
    with pytest.raises(ConfigurationError, match=r"must be real numbers, but got torch\.complex64"):
        build_optimizer(TrainingConfig(), [Parameter(torch.ones(2, dtype=torch.complex64))])


SLOW_IMPORTS = ("torch._dynamo", "sympy", "torchvision", "sklearn", "scipy", "matplotlib", "plotly")
"""Each costs a process 50 ms to a second."""


@pytest.mark.parametrize("task", ["blobs()", "'digits'"])
def test_a_training_imports_nothing_slow(task: str) -> None:
    """A process that trains an epoch with every optimizer loads neither torch's compiler nor other heavy packages."""
    code = f"""
import sys
import tuner
from tests.problems import blobs
for optimizer in ("sgd", "adam", "adamw", "rmsprop"):
    tuner.train({{"epochs": 1, "optimizer": optimizer, "schedule": "plateau"}}, {task})
print(*(name for name in {SLOW_IMPORTS} if name in sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
