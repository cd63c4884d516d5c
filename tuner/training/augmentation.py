"""Training images, each time a little different: shifted, rotated, scaled, and with a square erased.

One strength says how far. At 1 an image is shifted by up to 15 % of each side, rotated by up to 15 degrees, scaled by
up to 15 %, and a square of up to 30 % of its shorter side is erased; at half the strength, half as far. Rotation and
scaling reach about as far as Ciresan et al. 2010 (arXiv:1003.0358) went on MNIST; erasing is DeVries and Taylor 2017
(arXiv:1708.04552); the shift, the square's size and the common strength are our own.

It works on images as the data set has them, before input scaling: what comes in from outside, and what is erased, is
raw 0, the background of MNIST and its kin. A training's train_loss and train_accuracy are then those of augmented
images, and may be worse than validation's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig

LARGEST_SHIFT = 0.15
"""Of each side."""
LARGEST_ROTATION = math.radians(15)
LARGEST_SCALING = 0.15
"""Larger or smaller, as a fraction of the size."""
LARGEST_SQUARE = 0.3
"""Side of the erased square, of the image's shorter side."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is done to each of n images. Counted in the image's own units: sides are 1, angles in radians."""

    angle: Tensor
    """[n], counterclockwise as one looks at the image."""
    scale: Tensor
    """[n], above 1 is larger."""
    shift: Tensor
    """[n, 2]: right and down."""
    square_center: Tensor
    """[n, 2]: from the left and from the top; near an edge the square is cut off."""
    square_side: Tensor
    """[n], of the shorter side."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes every image at random, by ``strength`` in 0..1.

    It draws from ``generator``, of the images' device; None is torch's own.
    """

    strength: float

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``images`` [n, channels, height, width] as float32, changed."""
        return changed(images, self.drawn(len(images), images.device, generator))

    def drawn(self, n: int, device: torch.device, generator: torch.Generator | None = None) -> Changes:
        """Random changes for ``n`` images: uniform between nothing and the most that the strength allows."""
        unit = torch.rand(n, 7, device=device, generator=generator)
        symmetric = (2 * unit - 1) * self.strength
        return Changes(
            angle=symmetric[:, 0] * LARGEST_ROTATION,
            scale=1 + symmetric[:, 1] * LARGEST_SCALING,
            shift=symmetric[:, 2:4] * LARGEST_SHIFT,
            square_center=unit[:, 4:6],
            square_side=unit[:, 6] * self.strength * LARGEST_SQUARE,
        )


def augmentation(config: TrainingConfig, input_shape: tuple[int, ...]) -> Augmentation | None:
    """What ``config.augmentation`` asks for; None where that is nothing.

    Raises:
        ConfigurationError: for inputs that are no images.
    """
    if not config.augmentation:
        return None
    if len(input_shape) != 3 or min(input_shape[1:]) < 2:
        raise ConfigurationError(
            f"augmentation needs images [channels, height, width] of 2 x 2 or more, "
            f"but one input is {list(input_shape)}; set augmentation=0."
        )
    return Augmentation(strength=config.augmentation)


def changed(images: Tensor, changes: Changes) -> Tensor:
    """``images`` [n, channels, height, width] as float32: turned and scaled about their center, shifted, then erased.

    Pixels are interpolated linearly; beyond the edge is 0.
    """
    height, width = images.shape[2:]
    grid = functional.affine_grid(_sources(changes, height / width), list(images.shape), align_corners=False)
    warped = functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return warped.masked_fill_(_erased(changes, height, width)[:, None], 0.0)


def _sources(changes: Changes, aspect: float) -> Tensor:
    """For each image the map from where a pixel goes to where it comes from, [n, 2, 3].

    In torch's coordinates, where every side goes from -1 to 1: a rotation must know the ``aspect``, height by width.
    """
    cos, sin = changes.angle.cos() / changes.scale, changes.angle.sin() / changes.scale
    linear = torch.stack(
        [torch.stack([cos, -sin * aspect], 1), torch.stack([sin / aspect, cos], 1)], 1
    )  # y points down
    moved = linear @ (2 * changes.shift)[:, :, None]
    return torch.cat([linear, -moved], 2)


def _erased(changes: Changes, height: int, width: int) -> Tensor:
    """Which pixels have their center in the image's square, bool [n, height, width]."""
    device = changes.square_side.device
    half = changes.square_side[:, None] * min(height, width) / 2
    x = torch.arange(width, device=device) + 0.5 - changes.square_center[:, :1] * width
    y = torch.arange(height, device=device) + 0.5 - changes.square_center[:, 1:] * height
    return (y.abs() < half)[:, :, None] & (x.abs() < half)[:, None, :]
