import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError
from tests.problems import blobs, images
from tuner.training.augmentation import Augmentation, Changes, augmentation, changed
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun

UNCHANGED = Changes(
    angle=torch.zeros(1),
    scale=torch.ones(1),
    shift=torch.zeros(1, 2),
    square_center=torch.full((1, 2), 0.5),
    square_side=torch.zeros(1),
)


def noise(n: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)


def pixel(image: Tensor, x: int, y: int) -> float:
    """The pixel in column ``x`` and row ``y``; outside is 0."""
    height, width = image.shape
    return float(image[y, x]) if 0 <= x < width and 0 <= y < height else 0.0


def changed_slowly(image: Tensor, changes: Changes, index: int) -> Tensor:
    """One channel of one image, pixel by pixel, as one would explain it."""
    height, width = image.shape
    angle, scale = float(changes.angle[index]), float(changes.scale[index])
    shift_x, shift_y = changes.shift[index].tolist()
    center_x, center_y = changes.square_center[index].tolist()
    half = float(changes.square_side[index]) * min(height, width) / 2
    result = torch.zeros(height, width)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            if abs(x - center_x * width) < half and abs(y - center_y * height) < half:
                continue
            # Undo the shift, then the scaling and the turn, seen from the center.
            right, down = x - width / 2 - shift_x * width, y - height / 2 - shift_y * height
            from_x = (right * math.cos(angle) - down * math.sin(angle)) / scale + width / 2 - 0.5
            from_y = (right * math.sin(angle) + down * math.cos(angle)) / scale + height / 2 - 0.5
            left, top = math.floor(from_x), math.floor(from_y)
            for near_x, near_y in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
                share = (1 - abs(from_x - near_x)) * (1 - abs(from_y - near_y))
                result[row, column] += share * pixel(image, near_x, near_y)
    return result


@pytest.mark.parametrize("shape", [(1, 7, 7), (2, 5, 9), (3, 8, 4)])
def test_every_pixel_is_that_of_the_slow_twin(shape: tuple[int, ...]) -> None:
    """Random changes at full strength give what a loop over samples, channels and pixels gives."""
    batch = noise(6, *shape)
    torch.manual_seed(0)
    changes = Augmentation(strength=1.0).drawn(len(batch), batch.device)
    fast = changed(batch, changes)
    slow = torch.stack(
        [
            torch.stack([changed_slowly(channel, changes, n) for channel in image])
            for n, image in enumerate(batch)
        ]
    )
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, slow, rtol=0, atol=0.01)


def test_each_change_does_what_its_name_says() -> None:
    """A quarter turn, a shift by half a side, a doubling and a square, each on an image where one can see it."""
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    turned = changed(image, dataclasses.replace(UNCHANGED, angle=torch.tensor([math.pi / 2])))
    torch.testing.assert_close(turned[0, 0], torch.tensor([[2.0, 4.0], [1.0, 3.0]]))
    shifted = changed(image, dataclasses.replace(UNCHANGED, shift=torch.tensor([[0.5, 0.0]])))
    torch.testing.assert_close(shifted[0, 0], torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 2, 2] = 1.0
    doubled = changed(dot, dataclasses.replace(UNCHANGED, scale=torch.tensor([2.0])))
    assert float(doubled.sum()) == pytest.approx(4.0)
    erased = changed(torch.ones(1, 1, 6, 6), dataclasses.replace(UNCHANGED, square_side=torch.tensor([0.5])))
    assert float(erased[0, 0, 2:4, 2:4].sum()) == 0
    assert float(erased.sum()) == 36 - 4


def test_changes_go_as_far_as_the_strength() -> None:
    """At half the strength: 7.5 % shift, 7.5 degrees, 7.5 % scaling, a square of 15 %; and no two images are alike."""
    torch.manual_seed(0)
    changes = Augmentation(strength=0.5).drawn(5000, torch.device("cpu"))
    reach = 0.5 * 0.15
    assert float(changes.shift.abs().max()) == pytest.approx(reach, rel=0.01)
    assert float(changes.angle.abs().max()) == pytest.approx(math.radians(7.5), rel=0.01)
    assert float((changes.scale - 1).abs().max()) == pytest.approx(reach, rel=0.01)
    assert float(changes.square_side.max()) == pytest.approx(0.15, rel=0.01)
    assert abs(float(changes.angle.mean())) < 0.01
    assert len(changes.angle.unique()) > 4900


def losses(config: TrainingConfig) -> np.ndarray:
    run = TrainingRun(config, split_dataset(images(side=9)))
    for _ in run.epochs():
        pass
    return run.telemetry().step_series("train_loss")


SHORT = TrainingConfig(epochs=3, batch_size=16, width=8, dropout=0.5)


def test_no_strength_changes_no_bit() -> None:
    """At 0 nothing is drawn: losses with dropout, which shares the generator, are those of no augmentation."""
    assert augmentation(SHORT, (1, 8, 8)) is None
    drawn = torch.get_rng_state()
    Augmentation(strength=1.0)(noise(2, 1, 4, 4))
    assert not torch.equal(torch.get_rng_state(), drawn)
    assert not np.array_equal(losses(SHORT), losses(dataclasses.replace(SHORT, augmentation=0.5)))


def test_augmented_trainings_repeat_and_resume() -> None:
    """The same seed gives the same losses, and a run that goes on from a state goes on to the bit."""
    config = dataclasses.replace(SHORT, augmentation=1.0)
    whole = losses(config)
    np.testing.assert_array_equal(whole, losses(config))
    splits = split_dataset(images(side=9))
    first, second = TrainingRun(config, splits), TrainingRun(config, splits)
    for readings in first.epochs():
        if readings.epoch == 1:
            break
    second.load_state_dict(first.state_dict())
    for _ in second.epochs():
        pass
    np.testing.assert_array_equal(second.telemetry().step_series("train_loss"), whole)


@pytest.mark.parametrize("input_scaling", ["unit", "standardize", "none"])
def test_what_comes_in_is_the_raw_background(input_scaling: str) -> None:
    """In images without a dark pixel, the darkest that the network sees is what the scaling makes of raw 0."""
    data = images(side=9)
    bright = dataclasses.replace(data, x_train=data.x_train // 2 + 100)
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(data.n_outputs))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                seen.append(x)
            outputs: Tensor = self.layers(x)
            return outputs

    for strength, darkest in ((0.0, 100), (1.0, 0)):
        config = TrainingConfig(epochs=1, input_scaling=input_scaling, augmentation=strength)
        run = TrainingRun(config, split_dataset(bright), model=lambda *_: Watching(), telemetry=False)
        epochs = run.epochs()
        next(epochs)  # the untrained network is read without augmentation
        seen.clear()
        next(epochs)
        pixel = run.scaling(torch.full_like(run.splits.train_x[:1], darkest))
        assert float(torch.cat(seen).min()) == pytest.approx(float(pixel.min()), abs=1e-5)


def test_validation_is_never_augmented() -> None:
    """Two passes over validation agree, and training sees other images than evaluation does."""
    run = TrainingRun(dataclasses.replace(SHORT, augmentation=1.0, dropout=0.0), images(side=9))
    for _ in run.epochs():
        pass
    assert run.evaluate("validation").loss == run.telemetry().epochs[-1].validation_loss
    assert run.evaluate("train").loss < run.telemetry().epochs[-1].train_loss


def test_rows_are_refused() -> None:
    """Only images have a left and a right; the sentence says what the input is, and the way out."""
    message = (
        "augmentation needs images [channels, height, width] of 2 x 2 or more, but one input is [4]; set augm"
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        TrainingRun(TrainingConfig(augmentation=0.1), blobs())
    with pytest.raises(ConfigurationError, match=re.escape("[1, 1, 9]")):
        augmentation(TrainingConfig(augmentation=0.1), (1, 1, 9))
