"""Print the seconds that a recipe takes for an epoch, the fastest of all but the first.

Arguments: RECIPE ARITHMETIC IMAGES. It needs a process of its own, since PyTorch reads once how it is to compute.
"""

import sys
import time
from itertools import pairwise

from bench import ROOT
from digits.models.portable_arithmetic import use_portable_arithmetic
from digits.training.machine import keep_freed_memory


def main(recipe: str, arithmetic: str, images: int) -> None:
    if arithmetic == "portable":
        use_portable_arithmetic()
    import numpy as np
    import torch

    from digits.dataset import load_dataset
    from loops import CLASSES, fit_recipe, recipe_params

    params = recipe_params(recipe, arithmetic=arithmetic, precision="float32", channels_last=False, epochs=4)
    keep_freed_memory()
    torch.set_num_threads(params.threads)
    train, val = (load_dataset(ROOT / f"data/tensors/{split}.safetensors", CLASSES) for split in ("train", "val"))
    _, rows = fit_recipe(params, train.take(np.arange(images)), val)
    ends = [time.perf_counter() for _ in rows]
    print(min(end - start for start, end in pairwise(ends)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
