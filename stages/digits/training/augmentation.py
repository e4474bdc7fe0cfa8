"""Data augmentation: every image is transformed and distorted a little, differently each time."""

import math

import torch
from torch.nn import functional

SIZE = 28


class Augmentation:
    """A random affine map for each image and, optionally, random smooth displacements (elastic distortions).

    Args:
        degrees: largest rotation in either direction.
        shift: largest shift in either direction, in pixels, of rows and of columns.
        scale: largest change of width and of height, as a fraction.
        shear: largest shear in either direction, in pixels per pixel.
        alpha: strength of the displacements, in pixels, as Simard et al. define it; 0 for none.
        sigma: standard deviation, in pixels, of the Gaussian that smooths them.

    Source of the displacements: P. Y. Simard, D. Steinkraus, J. C. Platt, Best practices for convolutional neural
    networks applied to visual document analysis, ICDAR (2003).
    """

    def __init__(
        self, *, degrees: float, shift: float, scale: float, shear: float, alpha: float = 0.0, sigma: float = 1.0
    ) -> None:
        self.degrees, self.shift, self.scale, self.shear = degrees, shift, scale, shear
        self.alpha = alpha
        distance = torch.arange(SIZE)[:, None] - torch.arange(SIZE)
        self.smoothing = torch.exp(-(distance**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Transform images, uint8 (N, 28, 28); pixels from outside the old image are 0.

        Returns:
            float32 (N, 28, 28) in the same range, 0 to 255.
        """
        count = len(images)
        grid = functional.affine_grid(self.affine_maps(count, generator), [count, 1, SIZE, SIZE], align_corners=False)
        if self.alpha > 0:
            grid += self.displacements(count, generator)
        values = images.unsqueeze(1).float()
        return functional.grid_sample(values, grid.to(values.device), align_corners=False).squeeze(1)

    def affine_maps(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Affine maps, float32 (count, 2, 3), from coordinates in the new image to those in the old one, in [-1, 1]."""
        angle, width, height, shear, right, down = uniform(generator, 6, count)
        cos, sin = (angle * math.radians(self.degrees)).cos(), (angle * math.radians(self.degrees)).sin()
        width, height, shear = 1 + width * self.scale, 1 + height * self.scale, shear * self.shear
        half = SIZE / 2
        return torch.stack(
            [
                torch.stack([cos / width, (shear * cos - sin) / width, right * self.shift / half], dim=1),
                torch.stack([sin / height, (shear * sin + cos) / height, down * self.shift / half], dim=1),
            ],
            dim=1,
        )

    def displacements(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Smooth displacements, float32 (count, 28, 28, 2), in the units of `affine_maps`."""
        noise = uniform(generator, 2, count, SIZE, SIZE)
        return (self.smoothing @ noise @ self.smoothing).movedim(0, -1) * (self.alpha / (SIZE / 2))


def uniform(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Uniform random numbers between -1 and 1."""
    return torch.rand(shape, generator=generator) * 2 - 1
