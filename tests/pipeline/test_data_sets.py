"""Data sets other than MNIST: a folder of pictures, and archives that others publish."""

import hashlib
import json
import shutil
from contextlib import chdir
from pathlib import Path

import download
from conftest import ROOT, SHAPES, Run, draw_shapes, some_digits
from digits.data import published
from digits.data.idx import write_idx
from digits.data.mirrors import cache_of
from digits.data.published import NAMES, PUBLISHED
from digits.data.raw import read_description, read_raw
from handwriting.recognizer import Recognizer

import pytest


def test_a_folder_of_pictures_runs_from_pictures_to_plots(project: Path, run: Run, tmp_path: Path) -> None:
    folder = draw_shapes(tmp_path / "shapes", 24)
    chosen = ("-S", "download.dataset=folder", "-S", f"download.folder.path={folder}")
    output = run(project, "dvc", "exp", "run", *chosen, status=255)
    assert "72 pictures of 3 classes; 72 converted to 28 x 28 gray" in output
    assert "smaller than the 57 training images of folder, got 137; `-S preprocess.val_size=5`" in output
    command = ("dvc", "exp", "run", "-n", "shapes", *chosen, "-S", "preprocess.val_size=12", "-S", "train.epochs=10")
    output = run(project, *command)
    assert "folder: 45 training and 12 validation images, on cpu" in output
    assert "of 15 test images right" in output
    assert (project / "metrics/predictions.csv").read_text().splitlines()[1].split(",")[1] == "circles"
    assert {line.split(",")[0] for line in (project / "plots/classes.csv").read_text().splitlines()[1:]} == {*SHAPES}
    assert len((project / "plots/confusion.csv").read_text().splitlines()) == 10
    assert Recognizer(project / "models/model.onnx").classes == SHAPES
    found = json.loads(run(project, "python", "tools/compare.py", "--classes", "--json", "shapes", "shapes"))
    assert [each["class"] for each in found["comparisons"][0]["classes"]] == SHAPES

    output = run(project, "python", "tools/predict.py", "--evaluate", str(folder))
    assert "of 72 right" in output
    assert [line.split()[0] for line in output.splitlines()[-3:]] == SHAPES
    assert "--all: needs a model of" in run(project, "python", "tools/predict.py", "--all", str(folder), status=1)

    # The folder is a dependency: one picture more is a change.
    assert "up to date" in run(project, "dvc", "status", "download")
    shutil.copyfile(folder / "circles/0.png", folder / "squares/new.png")
    assert str(folder) in run(project, "dvc", "status", "download")
    output = run(project, "dvc", "repro", "download")
    assert f"note: {folder}/squares/new.png: is left out: it is a copy of {folder}/circles/0.png" in output


@pytest.mark.parametrize(
    ("names", "problem"),
    [([], "download.folder.path"), (["circles"], "2 to 100 folders"), (SHAPES, "got fewer of 'triangles' in ")],
)
def test_a_folder_that_cannot_be_learned(project: Path, run: Run, names: list[str], problem: str) -> None:
    folder = project.parent / "shapes"
    draw_shapes(folder, 3)
    for shape in {*SHAPES} - {*names}:
        shutil.rmtree(folder / shape)
    if names == SHAPES:
        for path in sorted((folder / "triangles").iterdir())[1:]:
            path.unlink()
    chosen = ("-S", "download.dataset=folder", "-S", f"download.folder.path={folder}")
    assert problem in run(project, "dvc", "exp", "run", *chosen, status=255)


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_archives_of_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Made here in the format of the published ones, which would take a network."""
    digits = some_digits(0, 50)
    for archive in NAMES:
        write_idx(tmp_path / "mirror" / archive, digits.images if "images" in archive else digits.labels)
    hashes = {each: hashlib.sha256((tmp_path / "mirror" / each).read_bytes()).hexdigest() for each in NAMES}
    monkeypatch.setitem(published.PUBLISHED, name, PUBLISHED[name]._replace(hashes=hashes))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(f"{name.upper().replace('-', '_')}_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr("sys.argv", ["download.py"])
    params = (ROOT / "params.yaml").read_text().replace("dataset: mnist", f"dataset: {name}")
    (tmp_path / "params.yaml").write_text(params)
    with chdir(tmp_path):
        download.main()
        about = read_description(download.RAW)
        assert about == PUBLISHED[name].about
        assert read_raw(download.RAW, "t10k", len(about.classes)).labels.tolist() == digits.labels.tolist()
    assert {path.name for path in cache_of(name).iterdir()} >= {*NAMES}
    assert cache_of(name) != cache_of("mnist")


def test_published_data_sets_have_ten_classes_and_hashes_of_their_own() -> None:
    hashes = [value for data in PUBLISHED.values() for value in data.hashes.values()]
    assert len({*hashes}) == 4 * len(PUBLISHED)
    assert all(len(data.about.classes) == 10 and data.about.name == name for name, data in PUBLISHED.items())
