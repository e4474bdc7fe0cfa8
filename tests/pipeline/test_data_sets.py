"""Data sets other than MNIST: a folder of pictures, and archives that others publish."""

import hashlib
import json
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

import download
import preprocess
from conftest import ROOT, Run
from digits.data.raw import ARCHIVE_NAMES
from digits.dataset import load_dataset, load_summary
from digits.foundation.stage import UserError
from digits.known_datasets import PUBLISHED
from digits.sources.mirrors import cache_of
from handwriting.recognizer import Recognizer
from samples import SHAPES, draw_shapes, packed_idx, some_digits


def test_a_folder_of_pictures_runs_from_pictures_to_plots(project: Path, run: Run, tmp_path: Path) -> None:
    folder = draw_shapes(tmp_path / "shapes", 24)
    chosen = ("-S", "download.dataset=folder", "-S", f"download.folder.path={folder}")
    output = run(project, "dvc", "exp", "run", *chosen, status=255)
    assert "shapes: 72 pictures of 3 classes, brought to 28 x 28 gray pixels" in output
    assert "smaller than the 57 training images of shapes, got 137; `-S preprocess.val_size=5`" in output
    command = ("dvc", "exp", "run", "-n", "shapes", *chosen, "-S", "preprocess.val_size=12", "-S", "train.epochs=10")
    output = run(project, *command)
    assert "shapes: 45 training and 12 validation images, on cpu" in output
    assert "of 15 test images correct" in output
    assert (project / "metrics/predictions.csv").read_text().splitlines()[1].split(",")[1] == "circles"
    assert {line.split(",")[0] for line in (project / "plots/classes.csv").read_text().splitlines()[1:]} == {*SHAPES}
    assert len((project / "plots/confusion.csv").read_text().splitlines()) == 10
    assert Recognizer(project / "models/model.onnx").classes == SHAPES
    assert (project / "models/model_card.md").read_text().startswith("# logistic, trained on shapes\n")
    found = json.loads(run(project, "python", "tools/compare.py", "--classes", "--json", "shapes", "shapes"))
    assert [each["class"] for each in found["comparisons"][0]["classes"]] == SHAPES

    output = run(project, "python", "tools/predict.py", "--evaluate", str(folder))
    assert "of 72 correct" in output
    assert [line.split()[0] for line in output.splitlines()[-3:]] == SHAPES
    assert "--all: needs a model of" in run(project, "python", "tools/predict.py", "--all", str(folder), status=1)

    # The folder is a dependency: one picture more is a change.
    assert "up to date" in run(project, "dvc", "status", "download")
    shutil.copyfile(folder / "circles/0.png", folder / "squares/new.png")
    assert str(folder) in run(project, "dvc", "status", "download")
    output = run(project, "dvc", "repro", "download")
    assert f"note: {folder}/squares/new.png: is left out: it is the same picture as {folder}/circles/0.png" in output
    assert "71 pictures of 3 classes" in output


def choose(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `folder`, to run stages in, have a params.yaml that names a data set, and no arguments."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["download"]["dataset"], params["preprocess"] = name, {"val_size": 5, "seed": 0, "drawings": 0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr("sys.argv", ["download.py"])


@pytest.mark.parametrize(
    ("names", "problem"),
    [([], "download.folder.path"), (["circles"], "2 to 100 folders"), (SHAPES, "got fewer of 'triangles' in ")],
)
def test_a_folder_that_cannot_be_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], problem: str
) -> None:
    folder = draw_shapes(tmp_path / "data/pictures", 3)
    for shape in {*SHAPES} - {*names}:
        shutil.rmtree(folder / shape)
    for path in sorted((folder / "triangles").glob("*"))[1:]:
        path.unlink()
    choose(tmp_path, "folder", monkeypatch)
    with chdir(tmp_path), pytest.raises(UserError, match=problem):
        download.main()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/My shapes", "My shapes"),
        ("a/../t\x1b[31mö\nns/", "t[31möns"),
        ("b" * 50, "b" * 40),
        (".", "folder"),
        ("../..", "folder"),
        ("/data/mnist", "folder mnist"),
    ],
)
def test_a_data_set_has_the_name_of_its_folder(path: str, name: str) -> None:
    assert download.name_of(Path(path)) == name


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_archives_of_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Made here in the format of the published ones, which would take a network; the bundled digits follow them."""
    digits = some_digits(0, 50)
    (tmp_path / "mirror").mkdir()
    for archive in ARCHIVE_NAMES:
        content = packed_idx(digits.images if "images" in archive else digits.labels)
        (tmp_path / "mirror" / archive).write_bytes(content)
    hashes = tuple(hashlib.sha256((tmp_path / "mirror" / each).read_bytes()).hexdigest() for each in ARCHIVE_NAMES)
    monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(hashes=hashes))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(f"{name.upper().replace('-', '_')}_MIRROR", str(tmp_path / "mirror"))
    with chdir(tmp_path):
        choose(tmp_path, name, monkeypatch)
        download.main()
        preprocess.main()
        summary = load_summary(preprocess.SUMMARY)
        assert (summary.about, summary.train, summary.val, summary.test) == (PUBLISHED[name].about, 45, 5, 50)
        assert load_dataset(preprocess.TEST, 10).labels.tolist() == digits.labels.tolist()
        assert {path.name for path in cache_of(name).iterdir()} == {*ARCHIVE_NAMES}
        assert cache_of(name) != cache_of("mnist")
        choose(tmp_path, "optdigits", monkeypatch)
        download.main()
        preprocess.main()
        assert load_summary(preprocess.SUMMARY).test == 360


def test_published_data_sets_have_ten_classes_and_hashes_of_their_own() -> None:
    hashes = [each for data in PUBLISHED.values() for each in data.hashes]
    assert len({*hashes}) == len(hashes) == 4 * 3
    assert all(len(data.about.classes) == 10 and data.about.name == name for name, data in PUBLISHED.items())
