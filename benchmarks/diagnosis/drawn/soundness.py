"""Is a drawn training sound? Shown by training it: at other rates, for longer, and beside a plain one.

Only test accuracies are read: nothing is diagnosed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from benchmarks.diagnosis.admission import HEALTHY_MARGIN
from benchmarks.diagnosis.case import Architecture, Case, Planted, Setup
from benchmarks.diagnosis.drawn.names import check_seeds, part_of
from benchmarks.diagnosis.drawn.planting import configured
from benchmarks.diagnosis.drawn.ranges import Training

RATE_FACTORS = (0.3, 3.0)
"""Other rates of the same training, none of which may be much better."""
DISTANCE = 0.015
"""Of test accuracy, a mean over the check's seeds: how much better another rate or twice the epochs may be."""
DECIDED = (DISTANCE / 2, 2 * DISTANCE)
"""With one seed: nearer than the one and further than the other no second seed would change the verdict."""
N_PLAIN_IMAGES = 2700
"""Of the plain training that each network is held against: as few as any ordinary training has."""


@dataclass(frozen=True, kw_only=True)
class Soundness:
    """What a training reached on the test part, by what was changed: ``x1`` is itself, ``longer`` twice the epochs."""

    is_sound: bool
    reached: Mapping[str, float]


def checked(training: Training, *, draw: int, task: str, is_ordinary: bool, plain: float) -> Soundness:
    """``plain`` is what the architecture's own plain training reaches: with as many images, one must be near to it."""
    first, *others = check_seeds(draw)
    setups = {"x1": training.setup} | {
        f"x{factor}": _at_rate(training.setup, factor) for factor in RATE_FACTORS
    }

    def reached(setup: Setup, seed: int) -> float:
        return accuracy(training.architecture, setup, seed, draw=draw, task=task)

    by_name = {name: [reached(setup, first)] for name, setup in setups.items()}
    surely, hardly = DECIDED
    is_poor = _n_images(training.setup) >= N_PLAIN_IMAGES and by_name["x1"][0] < plain - HEALTHY_MARGIN
    if is_poor or _distance(by_name) > hardly:
        return _soundness(by_name, is_sound=False)
    if _distance(by_name) > surely:
        for name, setup in setups.items():
            by_name[name] += [reached(setup, seed) for seed in others]
    if _distance(by_name) > DISTANCE:
        return _soundness(by_name, is_sound=False)
    if is_ordinary:
        by_name["longer"] = [reached(_longer(training.setup), first)]
        if by_name["longer"][0] - by_name["x1"][0] > DISTANCE:
            return _soundness(by_name, is_sound=False)
    return _soundness(by_name, is_sound=True)


def plain_accuracy(architecture: Architecture, *, draw: int, task: str) -> float:
    """Of the older parts' sound training of that network, on as few images as a drawn one has."""
    setup = Setup(data=(Planted(name="fewer", strength=N_PLAIN_IMAGES),))
    return accuracy(architecture, setup, check_seeds(draw)[0], draw=draw, task=task)


def accuracy(architecture: Architecture, setup: Setup, seed: int, *, draw: int, task: str) -> float:
    """On the test part, after one training."""
    from benchmarks.diagnosis.drawn.quick import quick_accuracy

    case = Case(name="check", cause=None, architecture=architecture, setup=setup)
    return quick_accuracy(case, seed, task=task, part=part_of(draw))


def _at_rate(setup: Setup, factor: float) -> Setup:
    return configured(setup, learning_rate=setup.config["learning_rate"] * factor)


def _longer(setup: Setup) -> Setup:
    """With a drop that comes twice as late, too."""
    longer = configured(setup, epochs=2 * setup.config["epochs"])
    if "step_size" in setup.config:
        longer = configured(longer, step_size=2 * setup.config["step_size"])
    return longer


def _n_images(setup: Setup) -> float:
    return setup.data[0].strength


def _distance(by_name: Mapping[str, list[float]]) -> float:
    """How far the training is below the best of its rates."""
    return max(map(fmean, by_name.values())) - fmean(by_name["x1"])


def _soundness(by_name: Mapping[str, list[float]], *, is_sound: bool) -> Soundness:
    reached = {name: round(fmean(values), 4) for name, values in by_name.items()}
    return Soundness(is_sound=is_sound, reached=reached)
