"""Convert the raw data and the user's drawings to tensors: training, validation and test images with their labels.

Reads data/raw and data/drawings; writes train.safetensors, val.safetensors, test.safetensors, drawings.safetensors
(those that are never trained on), others.safetensors (shapes that are not digits, if these are) and dataset.json in
data/tensors, and plots/data.png.
Command: python stages/preprocess.py
"""

from pathlib import Path
from typing import Annotated

from digits.data.others import other_shapes
from digits.data.picture_folder import check_unchanged, list_files, read_pictures
from digits.data.raw import read_raw
from digits.data.split import stratified_split
from digits.dataset import DRAWINGS, Summary, pixel_statistics, save_dataset
from digits.figures.data import draw_data
from digits.figures.style import save_figure
from digits.foundation.files import write_json
from digits.foundation.params import Field, Section, Seed, params_error, read_params
from digits.foundation.stage import UserError, run

RAW = Path("data/raw")
TRAIN = Path("data/tensors/train.safetensors")
VAL = Path("data/tensors/val.safetensors")
TEST = Path("data/tensors/test.safetensors")
HELD_OUT = Path("data/tensors/drawings.safetensors")
OTHERS = Path("data/tensors/others.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
FIGURE = Path("plots/data.png")


class PreprocessParams(Section):
    """Section `preprocess` of params.yaml."""

    val_size: Annotated[int, Field(ge=0, le=10**9)]
    seed: Seed
    drawings: Annotated[int, Field(ge=0, le=10**4)]


def main() -> None:
    params = read_params("preprocess", PreprocessParams)
    about, all_train, test = read_raw(RAW)
    if params.val_size >= len(all_train):
        raise params_error(
            f"preprocess.val_size: must be smaller than the {len(all_train):,} training images of {about.name}, got "
            f"{params.val_size}; `-S preprocess.val_size={len(all_train) // 10}` sets a tenth of them aside"
        )
    train_indices, val_indices = stratified_split(all_train.labels, params.val_size, params.seed)
    train, val = all_train.take(train_indices), all_train.take(val_indices)
    files = list_files(DRAWINGS)
    drawings, is_held_out = read_pictures(DRAWINGS, files, about)
    taught, held_out = drawings.take(~is_held_out), drawings.take(is_held_out)
    if params.drawings > 0 and len(taught) == 0:
        raise params_error(
            f"preprocess.drawings: needs drawings of these classes in {DRAWINGS} that are not held out, got none; save "
            f"some with `make draw`, run `git add {DRAWINGS}` if this is a sweep, the queue or --temp, or set it to 0"
        )
    train = train.extended(taught, params.drawings)
    mean, std = pixel_statistics(train.images)
    if std < 1e-6:
        raise UserError(f"{RAW}: pixels must vary, got a standard deviation of {std:g}; delete it and run `dvc repro`")

    others = other_shapes(about.classes)
    for path, dataset in ((TRAIN, train), (VAL, val), (TEST, test), (HELD_OUT, held_out), (OTHERS, others)):
        save_dataset(path, dataset)
    sizes = {"train": len(train), "val": len(val), "test": len(test)}
    summary = Summary(about=about, **sizes, drawings=len(taught) * params.drawings, pixel_mean=mean, pixel_std=std)
    write_json(SUMMARY, summary.model_dump())
    labels = {"train": train.labels, "val": val.labels, "test": test.labels}
    save_figure(FIGURE, draw_data(about, train.images, labels))
    print(f"{about.name}:", ", ".join(f"{size:,} {split}" for split, size in sizes.items()), "images")
    if files:
        print(f"drawings: {len(taught):,} used for training, {params.drawings} times each, {len(held_out):,} held out")
    check_unchanged(DRAWINGS, files)


if __name__ == "__main__":
    run(main)
