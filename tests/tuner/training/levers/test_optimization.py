"""What each lever of optimization promises is what a step does."""

import math

import pytest

from search_spaces.catalog import CONDITIONS
from tests.tuner.training.levers.measured import near, numbers, steps, trained, walk


def test_learning_rate() -> None:
    """Twice the rate, twice the step of plain SGD."""
    assert numbers(steps(learning_rate=0.2)[0]) == near(2 * steps(learning_rate=0.1)[0])


def test_optimizer() -> None:
    """First steps: SGD goes by the gradient's size, Adam and AdamW by the rate, RMSprop ten times as far."""
    small, large = walk([1e-3]), walk([1.0])
    assert numbers(large[0]) == near(1000 * small[0])
    for name, size in {"adam": 1.0, "adamw": 1.0, "rmsprop": 10.0}.items():
        for gradient in (1e-3, 1.0):
            assert numbers(walk([gradient], optimizer=name)[0]) == near(-size)


def test_one_minus_momentum() -> None:
    """The second step has the first one in it, times the momentum."""
    plain, heavy = steps(epochs=2), steps(epochs=2, momentum=0.7)
    assert numbers(heavy[0]) == near(plain[0])
    assert numbers(heavy[1] - plain[1]) == near(0.7 * plain[0])


def test_nesterov() -> None:
    """As in the textbook: the velocity of the step ahead, so the first step is already 1 + momentum long."""
    velocity, place, places = 0.0, 0.0, []
    for gradient in (1.0, -0.5, 2.0):
        velocity = 0.9 * velocity + gradient
        place -= gradient + 0.9 * velocity
        places.append(place)
    assert numbers(walk([1.0, -0.5, 2.0], momentum=0.9, nesterov=True)) == near(places)


def test_one_minus_beta1() -> None:
    """After one gradient and then none, Adam rolls on by what the mean remembers: beta1 / (1 + beta1)."""
    for optimizer in CONDITIONS["one_minus_beta1"].values:
        for beta1 in (0.0, 0.5, 0.9):
            first, second = walk([1.0, 0.0], optimizer=optimizer, beta1=beta1, beta2=0.5)
            assert numbers(second - first) == near(-(beta1 / (1 + beta1)) / math.sqrt(0.5 / 1.5))


def test_one_minus_beta2() -> None:
    """A large gradient makes the next steps short for as long as beta2 remembers it."""
    for optimizer in CONDITIONS["one_minus_beta2"].values:
        for beta2 in (0.1, 0.5, 0.999):
            first, second = walk([10.0, 1.0], optimizer=optimizer, beta1=0.0, beta2=beta2)
            scale = math.sqrt((beta2 * (1 - beta2) * 100 + (1 - beta2)) / (1 - beta2**2))
            assert numbers(second - first) == near(-1 / scale)


def test_one_minus_alpha() -> None:
    """RMSprop's first step is 1 / sqrt(1 - alpha): the less it takes in, the longer."""
    for alpha in (0.5, 0.9, 0.99):
        assert numbers(walk([1.0], optimizer="rmsprop", alpha=alpha)[0]) == near(-1 / math.sqrt(1 - alpha))


def test_epsilon() -> None:
    """A gradient as small as epsilon makes half a step of Adam, and of RMSprop a half of what its scale allows."""
    for optimizer, scale in {"adam": 1.0, "adamw": 1.0, "rmsprop": 0.1}.items():
        for epsilon in (1e-8, 1e-3):
            assert numbers(walk([epsilon / scale], optimizer=optimizer, epsilon=epsilon)[0]) == near(
                -0.5 / scale
            )


def test_clipping() -> None:
    """Off, clip_norm does nothing, and no step counts as clipped; on, it does."""
    off = {"clipping": False, "clip_norm": 0.01}
    assert numbers(steps(**off)[0]) == near(steps()[0])
    assert math.isnan(trained(**off).telemetry().epochs[1].clip_fraction)
    assert trained(clip_norm=0.01).telemetry().epochs[1].clip_fraction == 1


def test_clip_norm() -> None:
    """No step of SGD is longer than rate times clip_norm; those that were shorter stay as they were."""
    free = [float(step.norm()) / 0.1 for step in steps(epochs=9)]
    limit = sorted(free)[4]
    assert numbers(steps(clip_norm=2 * max(free))[0]) == near(steps()[0])
    lengths = [float(step.norm()) / 0.1 for step in steps(epochs=9, clip_norm=limit)]
    assert max(lengths) == pytest.approx(limit, rel=1e-4)
    assert min(lengths) < 0.99 * limit
