"""Every strength of the augmentation is what it says."""

from collections.abc import Mapping

import pytest
import torch
from scipy.ndimage import gaussian_filter

from digits.training.augmentation import Augmentation
from samples import some_tensors

IMAGES, _ = some_tensors(0, 200)
NONE = {"degrees": 0.0, "shift": 0.0, "scale": 0.0, "shear": 0.0, "alpha": 0.0, "sigma": 4.0, "share": 1.0}
RECIPE = {
    "degrees": 10.0, "shift": 2.0, "scale": 0.1, "shear": 0.1, "alpha": 10.0, "sigma": 4.0,
    "share": 0.5, "stroke": 1.0, "noise": 0.2,
}  # fmt: skip


def augment(images: torch.Tensor, strengths: Mapping[str, float]) -> torch.Tensor:
    everything = len(images), slice(None)
    return Augmentation(**NONE | dict(strengths))(images, torch.Generator().manual_seed(0), *everything)


def centers(images: torch.Tensor) -> torch.Tensor:
    """Where the ink is, (N, 2): columns right and rows below the middle."""
    places = torch.arange(28.0) - 13.5
    ink = images.sum(dim=(1, 2))
    return torch.stack([images.sum(dim=1) @ places / ink, images.sum(dim=2) @ places / ink], dim=1)


def test_no_strength_changes_nothing() -> None:
    torch.testing.assert_close(augment(IMAGES, {}), IMAGES.float(), rtol=0, atol=0.01)


def test_every_image_is_distorted_differently() -> None:
    same = IMAGES[:1].expand(20, 28, 28)
    changed = augment(same, {"alpha": 10.0})
    assert (changed.shape, changed.dtype) == (same.shape, torch.float32)
    assert torch.cdist(changed.flatten(1), changed.flatten(1)).fill_diagonal_(1e9).min() > 1


def test_a_shift_is_in_pixels_a_rotation_in_degrees_a_scale_a_share_and_a_shear_in_pixels_per_pixel() -> None:
    dot = torch.zeros(500, 28, 28, dtype=torch.uint8)
    dot[:, 23, 23] = 255
    before = centers(dot.float())
    moved = centers(augment(dot, {"shift": 3.0})) - before
    assert moved.abs().max().item() == pytest.approx(3, abs=0.1)
    turned = centers(augment(dot, {"degrees": 20.0}))
    angles = torch.atan2(turned[:, 1], turned[:, 0]).rad2deg() - 45
    assert angles.abs().max().item() == pytest.approx(20, abs=0.7)
    assert turned.norm(dim=1).mean().item() == pytest.approx(9.5 * 2**0.5, abs=0.1)
    resized = centers(augment(dot, {"scale": 0.2})) / before
    assert (resized.min().item(), resized.max().item()) == pytest.approx((0.8, 1.2), abs=0.02)
    sheared = (centers(augment(dot, {"shear": 0.2})) - before).abs().amax(dim=0)
    assert sheared.tolist() == pytest.approx([0.2 * 9.5, 0], abs=0.1)


def test_displacements_are_those_of_a_gaussian_filter() -> None:
    augmentation = Augmentation(**NONE | {"alpha": 14.0, "sigma": 2.0})
    noise = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(5)) * 2 - 1
    found = augmentation.displacements(noise)
    expected = gaussian_filter(noise.numpy(), sigma=2, mode="constant", axes=(2, 3), truncate=14)
    torch.testing.assert_close(found, torch.from_numpy(expected).movedim(0, -1), rtol=1e-3, atol=1e-4)


def test_strokes_grow_and_shrink_by_up_to_a_pixel_at_each_edge() -> None:
    bar = torch.zeros(500, 28, 28, dtype=torch.uint8)
    bar[:, 4:24, 10:16] = 255
    widths = augment(bar, {"stroke": 1.0})[:, 14].sum(dim=1) / 255
    assert (widths.min().item(), widths.max().item()) == pytest.approx((4, 8), abs=0.05)
    assert widths.mean().item() == pytest.approx(6, abs=0.2)
    half = augment(bar, {"stroke": 0.5})[:, 14].sum(dim=1) / 255
    assert (half.min().item(), half.max().item()) == pytest.approx((5, 7), abs=0.05)


def test_noise_is_a_fraction_of_the_range_and_stays_in_it() -> None:
    noisy = augment(IMAGES, {"noise": 0.2})
    assert (noisy.min().item(), noisy.max().item()) == (0, 255)
    gray = torch.full((500, 28, 28), 128, dtype=torch.uint8)
    deviations = augment(gray, {"noise": 0.1}).std(dim=(1, 2)) / 255
    assert (deviations.min().item(), deviations.max().item()) == pytest.approx((0, 0.1), abs=0.005)


def test_a_share_of_the_images_is_changed() -> None:
    for name in "stroke", "noise":
        changed = augment(IMAGES, {name: RECIPE[name], "share": 0.3})
        assert ((changed - IMAGES).abs().amax(dim=(1, 2)) > 1).float().mean().item() == pytest.approx(0.3, abs=0.08)


def test_an_image_is_changed_alike_whoever_changes_the_others() -> None:
    augmentation, batch = Augmentation(**RECIPE), IMAGES[:30]
    parts = [slice(0, 30), slice(0, 7), slice(7, 30)]
    together, *shares = [augmentation(batch[part], torch.Generator().manual_seed(3), 30, part) for part in parts]
    torch.testing.assert_close(torch.cat(shares), together)
