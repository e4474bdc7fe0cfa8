"""The handwritten digits bundled with scikit-learn, converted to MNIST's format; download writes them."""

import numpy as np
from PIL import Image

from digits.dataset import Dataset


def load_optdigits() -> Dataset:
    """Read the 1,797 images of the test part of "Optical Recognition of Handwritten Digits" (UCI).

    Each 8 x 8 image is scaled to the 20 x 20 box in the middle of a 28 x 28 image, as in MNIST.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # the original values are 0 to 16
    boxes = [np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC)) for image in small]
    return Dataset(np.pad(boxes, [(0, 0), (4, 4), (4, 4)]), bunch.target.astype(np.int64))
