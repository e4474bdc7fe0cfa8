"""Data augmentation: every image is changed a little, differently each time."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from digits.training.params import TrainParams

SIZE = 28


@dataclass(kw_only=True)
class Augmentation:
    """A random affine map for each image and, optionally, more.

    Elastic distortions are random smooth displacements. Other pens draw thinner or thicker strokes, and other cameras
    add noise; both are for a share of the images only, since they cost accuracy on the others.

    Source of the displacements: P. Y. Simard, D. Steinkraus, J. C. Platt, Best practices for convolutional neural
    networks applied to visual document analysis, ICDAR (2003).
    """

    degrees: float  # largest rotation in either direction
    shift: float  # largest shift in either direction, in pixels, of rows and of columns
    scale: float  # largest change of width and of height, as a fraction
    shear: float  # largest shear in either direction, in pixels per pixel
    alpha: float = 0.0  # strength of the displacements, in pixels, as Simard et al. define it; 0 for none
    sigma: float = 1.0  # standard deviation, in pixels, of the Gaussian that smooths them
    share: float = 0.0  # of the images that get another width of strokes, and of those that get noise, in [0, 1]
    stroke: float = 0.0  # largest shift of a stroke's edge in either direction, in pixels, at most 1
    noise: float = 0.0  # largest standard deviation of the Gaussian noise, as a fraction of the range of pixels

    def __post_init__(self) -> None:
        distance = torch.arange(SIZE)[:, None] - torch.arange(SIZE)
        density = torch.exp(-(distance**2) / (2 * self.sigma**2))
        self.smoothing = density / (self.sigma * math.sqrt(2 * math.pi))

    def __call__(self, images: torch.Tensor, generator: torch.Generator, batch_size: int, part: slice) -> torch.Tensor:
        """Transform images, uint8 (N, 28, 28), 0 to 255, to float32 in the same range.

        Pixels from outside the old image are 0. These images are `part` of a batch of `batch_size`. The generator draws
        for the whole batch, so that each image gets the same whoever computes the others.
        """
        maps = self.affine_maps(batch_size, generator)[part]
        grid = functional.affine_grid(maps, [len(images), 1, SIZE, SIZE], align_corners=False)
        if self.alpha > 0:
            grid += self.displacements(uniform(generator, 2, batch_size, SIZE, SIZE)[:, part])
        values = functional.grid_sample(images.unsqueeze(1).float(), grid.to(images.device), align_corners=False)
        if self.share > 0:
            change = self.stroke * uniform(generator, batch_size) * self.chosen(batch_size, generator)
            values = change_strokes(values, change[part].to(images.device))
            deviation = 255 * self.noise * torch.rand(batch_size, generator=generator)
            deviation *= self.chosen(batch_size, generator)
            noise = deviation[:, None, None, None] * torch.randn((batch_size, 1, SIZE, SIZE), generator=generator)
            values = (values + noise[part].to(images.device)).clamp(0, 255)
        return values.squeeze(1)

    def affine_maps(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Affine maps, float32 (count, 2, 3), from coordinates in the new image to those in the old one, in [-1, 1]."""
        angle, width, height, shear, right, down = uniform(generator, 6, count)
        cos, sin = (angle * math.radians(self.degrees)).cos(), (angle * math.radians(self.degrees)).sin()
        width, height, shear = 1 + width * self.scale, 1 + height * self.scale, shear * self.shear
        half = SIZE / 2
        first_row = cos / width, (shear * cos - sin) / width, right * self.shift / half
        second_row = sin / height, (shear * sin + cos) / height, down * self.shift / half
        return torch.stack([*first_row, *second_row], dim=1).view(count, 2, 3)

    def displacements(self, noise: torch.Tensor) -> torch.Tensor:
        """Smooth displacements, float32 (N, 28, 28, 2) in the units of `affine_maps`, of noise (2, N, 28, 28)."""
        return (self.smoothing @ noise @ self.smoothing).movedim(0, -1) * (self.alpha / (SIZE / 2))

    def chosen(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Whether an image is among the share that is changed, bool (count,)."""
        return torch.rand(count, generator=generator) < self.share


def choose_augmentation(params: TrainParams) -> Augmentation | None:
    """How the parameters say to change the images of a batch, if at all."""
    if params.augment == "none":
        return None
    return Augmentation(**params.affine.model_dump() | getattr(params, params.augment).model_dump())


def change_strokes(values: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Values, float32 (N, 1, 28, 28), more for ink than for paper, with the edges of strokes moved.

    They move by `change`, float32 (N,), -1 to 1, in pixels, outwards if positive.
    """
    thicker = functional.max_pool2d(values, kernel_size=3, stride=1, padding=1)
    thinner = -functional.max_pool2d(-values, kernel_size=3, stride=1, padding=1)
    change = change[:, None, None, None]
    return values + change.clamp(min=0) * (thicker - values) + change.clamp(max=0) * (values - thinner)


def uniform(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Uniform random numbers between -1 and 1."""
    return torch.rand(shape, generator=generator) * 2 - 1
