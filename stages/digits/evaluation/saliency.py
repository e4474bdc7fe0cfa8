"""Saliency: which pixels a classifier looks at."""

from digits.data.dataset import to_pixels

import torch
from torch import nn

IMAGES_PER_DIGIT = 100


def mean_saliency(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How much a typical change of each pixel is evidence for a digit, averaged over its first 100 images.

    This is the derivative, with respect to the pixel, of the digit's logit minus the mean logit (softmax ignores what
    all ten share), times the pixel's standard deviation over the images (a pixel that is always blank has no effect).
    For softmax regression the derivative is the same for every image: the weights.

    Args:
        images: uint8 (N, 28, 28).
        labels: int64 (N,).

    Returns:
        float32 (10, 28, 28); 0 for a digit without images.
    """
    model.eval()
    saliency = torch.zeros(10, 28, 28)
    if len(images) == 0:
        return saliency
    for digit in range(10):
        pixels = to_pixels(images[labels == digit][:IMAGES_PER_DIGIT]).requires_grad_()
        if len(pixels) > 0:
            logits = model(pixels)
            (gradient,) = torch.autograd.grad((logits[:, digit] - logits.mean(dim=1)).sum(), pixels)
            saliency[digit] = gradient.mean(dim=(0, 1))
    return saliency * to_pixels(images).std(dim=(0, 1), correction=0)
