"""For every lever of the catalog: what its name promises is what a training does.

A lever is here as soon as it is in the catalog, or a test fails; so no one searches what changes nothing.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from search_spaces.catalog import CONDITIONS, LEVERS, lever
from search_spaces.lever import Lever
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Space
from studies.records import Outcome
from tests.problems import blobs, images
from tuner.api import search
from tuner.one_training import train
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.losses import training_loss
from tuner.training.optimizers import build_optimizer
from tuner.training.reproducibility import data_order

BLOBS = split_dataset(blobs(spread=1.0))  # 96 training samples
IMAGES = split_dataset(images(side=9))
RATE = 2**-10
"""A power of two, so that factors of it are exact."""


def trained(splits: Splits = BLOBS, **keys: Any) -> TrainingRun:
    run = TrainingRun(TrainingConfig(**{"width": 8, **keys}), splits)
    for _ in run.epochs():
        pass
    return run


def positions(splits: Splits = BLOBS, **keys: Any) -> list[Tensor]:
    """All parameters as one vector: before the first, and after each of the epochs, of one full batch each."""
    run = TrainingRun(TrainingConfig(**{"width": 8, "epochs": 1, "batch_size": "full", **keys}), splits)
    return [_position(run) for _ in run.epochs()]


def _position(run: TrainingRun) -> Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in run.model.parameters()])


def steps(splits: Splits = BLOBS, **keys: Any) -> list[Tensor]:
    """What each full batch moved."""
    return [after - before for before, after in itertools.pairwise(positions(splits, **keys))]


def walk(gradients: Sequence[float], **keys: Any) -> list[float]:
    """Where the optimizer of these keys takes one number that starts at 0, at rate 1."""
    parameter = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = build_optimizer(TrainingConfig(**keys), [parameter])
    places = []
    for gradient in gradients:
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step(1.0)
        places.append(float(parameter.detach()))
    return places


def rates(**keys: Any) -> npt.NDArray[np.float64]:
    """The learning rate of each step, as a factor of the peak: ten steps an epoch, six epochs."""
    config = {"learning_rate": RATE, "epochs": 6, "batch_size": 10, **keys}
    series = trained(**config).telemetry().step_series("learning_rate").astype(np.float64)
    assert len(series) == 10 * config["epochs"]
    return series / RATE


def close(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    found, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (found, expected))
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=1e-6)


# -- optimization --


def check_learning_rate() -> None:
    """Twice the rate, twice the step of plain SGD."""
    close(steps(learning_rate=0.2)[0], 2 * steps(learning_rate=0.1)[0])


def check_optimizer() -> None:
    """First steps: SGD goes by the gradient's size, Adam and AdamW by the rate, RMSprop ten times as far."""
    small, large = walk([1e-3]), walk([1.0])
    close(large[0], 1000 * small[0])
    for name, size in {"adam": 1.0, "adamw": 1.0, "rmsprop": 10.0}.items():
        for gradient in (1e-3, 1.0):
            close(walk([gradient], optimizer=name)[0], -size)


def check_one_minus_momentum() -> None:
    """The second step has the first one in it, times the momentum."""
    plain, heavy = steps(epochs=2), steps(epochs=2, momentum=0.7)
    close(heavy[0], plain[0])
    close(heavy[1] - plain[1], 0.7 * plain[0])


def check_nesterov() -> None:
    """As in the textbook: the velocity of the step ahead, so the first step is already 1 + momentum long."""
    velocity, place, places = 0.0, 0.0, []
    for gradient in (1.0, -0.5, 2.0):
        velocity = 0.9 * velocity + gradient
        place -= gradient + 0.9 * velocity
        places.append(place)
    close(walk([1.0, -0.5, 2.0], momentum=0.9, nesterov=True), places)


def check_one_minus_beta1() -> None:
    """After one gradient and then none, Adam rolls on by what the mean remembers: beta1 / (1 + beta1)."""
    for optimizer in CONDITIONS["one_minus_beta1"].values:
        for beta1 in (0.0, 0.5, 0.9):
            first, second = walk([1.0, 0.0], optimizer=optimizer, beta1=beta1, beta2=0.5)
            close(second - first, -(beta1 / (1 + beta1)) / math.sqrt(0.5 / 1.5))


def check_one_minus_beta2() -> None:
    """A large gradient makes the next steps short for as long as beta2 remembers it."""
    for optimizer in CONDITIONS["one_minus_beta2"].values:
        for beta2 in (0.1, 0.5, 0.999):
            first, second = walk([10.0, 1.0], optimizer=optimizer, beta1=0.0, beta2=beta2)
            scale = math.sqrt((beta2 * (1 - beta2) * 100 + (1 - beta2)) / (1 - beta2**2))
            close(second - first, -1 / scale)


def check_one_minus_alpha() -> None:
    """RMSprop's first step is 1 / sqrt(1 - alpha): the less it takes in, the longer."""
    for alpha in (0.5, 0.9, 0.99):
        close(walk([1.0], optimizer="rmsprop", alpha=alpha)[0], -1 / math.sqrt(1 - alpha))


def check_epsilon() -> None:
    """A gradient as small as epsilon makes half a step of Adam, and of RMSprop a half of what its scale allows."""
    for optimizer, scale in {"adam": 1.0, "adamw": 1.0, "rmsprop": 0.1}.items():
        for epsilon in (1e-8, 1e-3):
            close(walk([epsilon / scale], optimizer=optimizer, epsilon=epsilon)[0], -0.5 / scale)


def check_clipping() -> None:
    """Off, clip_norm does nothing, and no step counts as clipped; on, it does."""
    off = {"clipping": False, "clip_norm": 0.01}
    close(steps(**off)[0], steps()[0])
    assert math.isnan(trained(**off).telemetry().epochs[1].clip_fraction)
    assert trained(clip_norm=0.01).telemetry().epochs[1].clip_fraction == 1


def check_clip_norm() -> None:
    """No step of SGD is longer than rate times clip_norm; those that were shorter stay as they were."""
    free = [float(step.norm()) / 0.1 for step in steps(epochs=9)]
    limit = sorted(free)[4]
    close(steps(clip_norm=2 * max(free))[0], steps()[0])
    lengths = [float(step.norm()) / 0.1 for step in steps(epochs=9, clip_norm=limit)]
    assert max(lengths) == pytest.approx(limit, rel=1e-4)
    assert min(lengths) < 0.99 * limit


# -- batching --


def check_batch_size() -> None:
    """Steps of an epoch are samples by batch size, and while weights stand still, larger batches' losses vary less."""
    still = {"learning_rate": 1e-12, "epochs": 20}
    small, large = (trained(batch_size=size, **still).telemetry() for size in (6, 48))
    assert (len(small.step_series("train_loss")), len(large.step_series("train_loss"))) == (320, 40)
    ratio = small.step_series("train_loss").std() / large.step_series("train_loss").std()
    assert 2 < ratio < 7  # sqrt(48 / 6) is 2.8; batches without replacement vary still less


def check_accumulation_steps() -> None:
    """Four minibatches of 12 make one step, which is that of a batch of 48."""
    added = trained(epochs=1, batch_size=12, accumulation_steps=4)
    assert len(added.last_steps) == 2
    close(_position(added), _position(trained(epochs=1, batch_size=48)))
    assert not torch.equal(_position(added), _position(trained(epochs=1, batch_size=12)))


def check_batch_lr_rule() -> None:
    """Four times the base batch: four times the rate by the linear rule, twice by the square root."""
    for rule, factor in {"none": 1.0, "linear": 4.0, "sqrt": 2.0}.items():
        run = trained(epochs=1, batch_size=96, base_batch_size=24, batch_lr_rule=rule)
        assert run.peak_learning_rate == pytest.approx(0.1 * factor)
        assert run.last_steps.learning_rate.tolist() == pytest.approx([0.1 * factor])
        close(steps(base_batch_size=24, batch_lr_rule=rule)[0], factor * steps(base_batch_size=24)[0])


# -- regularization --


def check_weight_decay() -> None:
    """SGD also goes towards zero, by rate x decay x weight; after a while the weights are smaller."""
    start, _ = positions()
    close(steps(weight_decay=0.5)[0] - steps()[0], -0.1 * 0.5 * start)
    norms = [float(_position(trained(epochs=20, weight_decay=decay)).norm()) for decay in (0.0, 0.01, 0.3)]
    assert norms == sorted(norms, reverse=True)
    assert norms[2] < 0.8 * norms[0]


def check_weight_decay_kind() -> None:
    """Adam's first step: with l2 the sign of gradient and decay together, decoupled the gradient's and a shrinking."""
    keys = {"optimizer": "adam", "learning_rate": 0.01}
    start, _ = positions(**keys)
    decoupled = steps(**keys, weight_decay=0.5, weight_decay_kind="decoupled")[0]
    close(decoupled - steps(**keys)[0], -0.01 * 0.5 * start)
    l2 = steps(**keys, weight_decay=1e6, weight_decay_kind="l2")[0]  # so that decay is all there is
    is_weight = start != 0  # biases begin at 0
    close(l2[is_weight], -0.01 * start[is_weight].sign(), 1e-3)


def check_dropout() -> None:
    """In training a share of the hidden units is off, another each time; in evaluation none is."""
    run = trained(epochs=0, width=500, dropout=0.4, activation="sigmoid")  # a sigmoid is never 0 by itself
    hidden = nn.Sequential(*[layer for name, layer in run.model.named_children() if name != "output"])
    run.model.train()
    first, second = (hidden(BLOBS.train_x) for _ in range(2))
    assert float((first == 0).float().mean()) == pytest.approx(0.4, abs=0.01)
    assert not torch.equal(first, second)
    run.model.eval()
    assert float((hidden(BLOBS.train_x) == 0).float().mean()) == 0


def check_label_smoothing() -> None:
    """A network that could be certain stops at 1 - s + s / classes."""
    run = trained(split_dataset(blobs()), epochs=150, batch_size=16, width=32, label_smoothing=0.3)
    confidence = run.model(run.splits.train_x).softmax(1).amax(1).mean()
    assert float(confidence.detach()) == pytest.approx(1 - 0.3 + 0.3 / 3, abs=0.02)


class _Watching(nn.Module):
    """A linear model that keeps what it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == len(IMAGES.train_x):
            self.seen.append(x)
        outputs: Tensor = self.layer(x)
        return outputs


def check_augmentation() -> None:
    """Training sees other images, others in each epoch, and farther from the true ones the stronger it is."""
    order = TrainingConfig(epochs=2, batch_size="full")
    distances = []
    for strength in (0.0, 0.3, 1.0):
        model = _Watching()
        config = dataclasses.replace(order, augmentation=strength)
        run = TrainingRun(config, IMAGES, model=lambda *_, model=model: model)
        for _ in run.epochs():
            pass
        first, second = (
            seen[data_order(len(seen), seed=0, epoch=epoch).argsort()]
            for epoch, seen in enumerate(model.seen[-2:], start=1)
        )
        distances.append(float((first - IMAGES.train_x / 255).abs().mean()))
        assert torch.equal(first, second) == (strength == 0)
    assert distances[0] < 1e-6
    assert distances[2] > distances[1] > 0.01


def check_class_weights() -> None:
    """With nine of ten samples in one class, balanced weighs the rare one nine times as much."""
    y = (torch.arange(len(BLOBS.train_y)) % 10 == 0).long()
    splits = dataclasses.replace(BLOBS, train_y=y, validation_y=BLOBS.validation_y.clamp(max=1), n_outputs=2)
    loss = training_loss(TrainingConfig(class_weights="balanced"), splits)
    equal = training_loss(TrainingConfig(), splits)
    n_rare = int(y.sum())
    common, rare = (float(loss(torch.zeros(1, 2), torch.tensor([label]))) for label in (0, 1))
    assert rare / common == pytest.approx((len(y) - n_rare) / n_rare)
    assert float(equal(torch.zeros(1, 2), torch.tensor([0]))) == pytest.approx(math.log(2))
    runs = [trained(splits, epochs=3, class_weights=kind) for kind in ("none", "balanced")]
    shares = [float((run.model(BLOBS.train_x).argmax(1) == 1).float().mean()) for run in runs]
    assert shares[1] > shares[0]  # it guesses the rare class more often


# -- scheduling --


def check_schedule() -> None:
    """Each curve as its name says, over six epochs of ten steps."""
    found = {name: rates(schedule=name) for name in lever("schedule").distribution.choices}  # type: ignore[attr-defined]
    assert set(found["constant"]) == {1.0}
    close(found["step"], np.repeat([1, 0.1, 0.01], 20))
    close(found["multistep"], np.concatenate([np.full(30, 1.0), np.full(15, 0.1), np.full(15, 0.01)]))
    close(np.diff(np.log(found["exponential"])), np.full(59, math.log(0.01) / 60))
    close(found["cosine"][30], (1 + 0.01) / 2)
    close(np.diff(found["linear"]), np.full(59, -0.99 / 60))
    assert found["one_cycle"].argmax() == 17
    assert found["one_cycle"][0] == pytest.approx(1 / 25)
    assert found["plateau"][0] == 1
    close(found["restarts"], np.tile(found["restarts"][:20], 3))
    assert found["restarts"][0] == 1 > found["restarts"][19]


def check_warmup_steps() -> None:
    """The first rate is one of 20 parts, the 20th the whole; cosine with it is cosine with warmup."""
    close(rates(warmup_steps=20)[:25], [*(np.arange(1, 21) / 20), *[1.0] * 5])
    warm = rates(warmup_steps=20, schedule="cosine")
    assert warm.argmax() in {19, 20}
    assert warm[0] == pytest.approx(0.05)
    assert warm[-1] < 0.02


def check_warmup_fraction() -> None:
    """A tenth of 60 steps is 6."""
    close(rates(warmup_fraction=0.1), rates(warmup_steps=6))
    assert rates(warmup_fraction=0.1)[0] == pytest.approx(1 / 6)


def check_final_lr_fraction() -> None:
    """Every falling schedule ends there, and restarts comes down to it each time."""
    for name in CONDITIONS["final_lr_fraction"].values:
        for fraction in (0.02, 0.3):
            keys: dict[str, Any] = {"schedule": name, "final_lr_fraction": fraction, "epochs": 12}
            if name == "plateau":  # what it is told never becomes better
                keys |= {"learning_rate": 1e-30, "plateau_patience": 0}
                last = trained(**keys).telemetry().epochs[-1].learning_rate / 1e-30
            else:
                last = float(rates(**keys)[-1])
            a_step = 2 / 120  # the last step begins one step before the end
            assert fraction - 1e-6 <= last <= fraction + a_step, name


def check_step_size() -> None:
    """A drop every so many epochs."""
    for size in (1, 2, 4):
        curve = rates(schedule="step", step_size=size)
        assert (np.flatnonzero(np.diff(curve)) + 1).tolist() == list(range(10 * size, 60, 10 * size))


def check_step_gamma() -> None:
    """The factor of each drop of step and multistep, and of plateau's."""
    for name in ("step", "multistep"):
        curve = rates(schedule=name, step_gamma=0.3)
        assert np.unique(curve.round(6)).tolist() == pytest.approx([0.09, 0.3, 1.0])
    stuck = {"schedule": "plateau", "learning_rate": 1e-30, "plateau_patience": 0, "epochs": 3}
    for gamma in (0.3, 0.5):
        row = trained(**stuck, step_gamma=gamma).telemetry().epochs[-1]
        assert row.learning_rate / 1e-30 == pytest.approx(gamma)


def check_plateau_patience() -> None:
    """With a validation loss that never moves, the first drop comes patience + 1 epochs after the best one."""
    for patience in (0, 2):
        run = trained(schedule="plateau", learning_rate=1e-30, plateau_patience=patience, epochs=6)
        by_epoch = [row.learning_rate / 1e-30 for row in run.telemetry().epochs[1:]]
        first_drop = next(epoch for epoch, rate in enumerate(by_epoch, start=1) if rate < 0.5)
        assert first_drop == 1 + (patience + 1) + 1


def check_restart_period() -> None:
    """The rate is back at its peak every so many epochs."""
    for period in (1, 2, 3):
        curve = rates(schedule="restarts", restart_period=period)
        assert np.flatnonzero(curve > 0.999).tolist() == list(range(0, 60, 10 * period))


# -- architecture --


def layers(splits: Splits = BLOBS, **keys: Any) -> list[nn.Module]:
    """The modules of the network that is trained, but for the outermost."""
    return [*trained(splits, epochs=1, **keys).model.modules()][1:]


def check_model() -> None:
    """cnn has convolutions, which do not mind where a pattern is; mlp has none."""
    kinds = {name: {type(layer) for layer in layers(IMAGES, model=name)} for name in ("mlp", "cnn")}
    assert nn.Conv2d in kinds["cnn"]
    assert nn.Conv2d not in kinds["mlp"]


def check_depth() -> None:
    """So many hidden layers before the output."""
    for depth in (1, 3, 5):
        assert sum(isinstance(layer, nn.Linear) for layer in layers(depth=depth)) == depth + 1


def check_width() -> None:
    """So many units in each hidden layer."""
    for width in (5, 64):
        hidden = [layer for layer in layers(depth=2, width=width) if isinstance(layer, nn.Linear)][:-1]
        assert [layer.out_features for layer in hidden] == [width, width]


def check_activation() -> None:
    """The hidden layer's output is that function of what comes in."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": lambda x: x.clamp(min=0),
        "sigmoid": lambda x: 1 / (1 + (-x).exp()),
        "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
        "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
        "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
        "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
        "selu": lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1)),
    }
    assert set(functions) == set(lever("activation").distribution.choices)  # type: ignore[attr-defined]
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    for name, function in functions.items():
        close(layers(activation=name)[2](x), function(x))


def check_normalization() -> None:
    """In training, batch makes each unit of mean 0 and deviation 1 over the batch, layer each sample over its units."""
    for name, axis in {"batch": 0, "layer": 1}.items():
        _, linear, normalization, *_ = [
            layer.double() for layer in layers(normalization=name, learning_rate=1e-9)
        ]
        out = normalization.train()(5 + 100 * linear(BLOBS.train_x.double())).detach()
        assert float(out.mean(axis).abs().max()) < 1e-6
        assert float((out.std(axis, correction=0) - 1).abs().max()) < 1e-2
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.LayerNorm) for layer in layers())


def check_initialization() -> None:
    """First weights are uniform up to the bound of the scheme's paper; torch's own have biases, too."""
    n_in, n_out = 4, 400
    bounds = {
        "default": 1 / math.sqrt(n_in),
        "glorot": math.sqrt(6 / (n_in + n_out)),
        "he": math.sqrt(6 / n_in),
        "lecun": math.sqrt(3 / n_in),
    }
    for name, bound in bounds.items():
        first = TrainingRun(TrainingConfig(initialization=name, width=n_out), BLOBS).model.hidden1
        assert float(first.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
        assert bool(first.bias.detach().any()) == (name == "default")


CHECKS = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
"""Lever name -> what shows that it does what its name says."""


def test_every_lever_is_checked() -> None:
    """A new lever needs a check, and no check is without its lever."""
    assert set(CHECKS) == {known.name for known in LEVERS}


@pytest.mark.parametrize("name", CHECKS)
def test_a_lever_does_what_its_name_says(name: str) -> None:
    """See the check of that name."""
    CHECKS[name]()


PAGE = Path(__file__).parents[3] / "docs/levers.md"


def row_of(known: Lever) -> str:
    """The lever's row in the table of its family."""
    condition = CONDITIONS.get(known.name)
    default = "-" if known.default is None else known.default
    log = " (log)" if getattr(known.distribution, "log", False) else ""
    cells = (
        f"`{known.name}`",
        known.range_text + log,
        known.anchor_text,
        default,
        condition.text if condition else "",
    )
    return f"| {' | '.join(map(str, cells))} |"


def preset_row(space: Space) -> str:
    """The row of a ready-made space."""
    n_points = space.n_grid_points()
    grid = str(n_points) if n_points < 10_000 else f"{n_points:.1e}"
    keys = ", ".join(known.key for known in space)
    return f"| `{space.name}` | {keys} | {grid} | {space.description} |"


def test_the_page_is_the_catalog() -> None:
    """docs/levers.md has each lever's row, reason, source and checked effect, each preset's row, and no others."""
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [*map(row_of, LEVERS), *map(preset_row, PRESETS.values())]
    for known in LEVERS:
        story = f"- **`{known.name}`** {known.reason}\n  *Effect:* {CHECKS[known.name].__doc__}\n"
        assert f"{story}  *Source:* {known.source}.\n" in page, known.name


def test_every_lever_makes_sound_configs() -> None:
    """Both ends of each lever, under each value of its condition, are a config that a training takes."""
    for known in LEVERS:
        condition = CONDITIONS.get(known.name)
        parents = [{condition.key: value} for value in condition.values] if condition else [{}]
        for parent in parents:
            for point in known.grid(2):
                assert TrainingConfig(**{**parent, known.key: known.to_config(point)})  # type: ignore[arg-type]


def test_the_resolved_rate_is_recorded() -> None:
    """A searched trial, and a single one, keep the base pair in their config and what it came to beside it."""
    rule: dict[str, Any] = {"batch_lr_rule": "sqrt", "base_batch_size": 32, "learning_rate": 0.1}
    space = Space(name="batch", levers=(lever("batch_size").among((32, 512)),))
    where = {"study": "s", "storage": "sqlite:///tuner.db", "epochs": 1}
    search(space, "digits", **where, trials=2, sampler="grid", workers=1, fixed=rule)
    train({**rule, "batch_size": 128, "epochs": 1}, "digits", study="one", storage="sqlite:///tuner.db")
    storage = optuna.storages.get_storage("sqlite:///tuner.db")
    recorded = {
        trial.params.get("batch_size", 128): trial.user_attrs["resolved_learning_rate"]
        for name in ("s", "one")
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    }
    assert recorded == pytest.approx({32: 0.1, 128: 0.2, 512: 0.4})


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs(name: str) -> None:
    """Two trials of one epoch on the digits end with an answer, and its grid can be counted."""
    found = search(name, "digits", study=name, storage="sqlite:///tuner.db", trials=2, epochs=1, workers=1)
    trials = found.record().trials
    assert len(trials) == 2
    assert all(trial.outcome.is_answer and trial.outcome is not Outcome.LOST for trial in trials)
    assert preset(name).n_grid_points() > 1
