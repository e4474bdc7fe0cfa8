"""Data sets other than MNIST: a folder of pictures, and archives that others publish."""

import hashlib
import json
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

import compare
import download
import preprocess
from conftest import ROOT, Call, Run
from digits.data.raw import read_raw
from digits.dataset import load_dataset, load_summary
from digits.export.runtime import open_session
from digits.foundation.stage import UserError
from digits.known_datasets import PUBLISHED
from digits.sources.archives import ARCHIVE_NAMES
from digits.sources.mirrors import cache_of
from samples import SHAPES, draw_shapes, packed_idx, some_digits


def test_a_folder_of_pictures_runs_from_pictures_to_plots(project: Path, run: Run, call: Call, tmp_path: Path) -> None:
    folder = draw_shapes(tmp_path / "shapes", 24)
    chosen = "download.dataset=folder", f"download.folder.path={folder}", "preprocess.val_size=12", "train.epochs=10"
    output = run(project, "dvc", "exp", "run", "-n", "shapes", *(f"-S{each}" for each in chosen))
    assert "shapes: 72 pictures of 3 classes, brought to 28 x 28 gray pixels" in output
    assert "shapes: 45 training and 12 validation images, on cpu" in output
    assert "of 15 test images correct" in output
    assert (project / "metrics/predictions.csv").read_text().splitlines()[1].split(",")[1] == "circles"
    assert {line.split(",")[0] for line in (project / "plots/classes.csv").read_text().splitlines()[1:]} == {*SHAPES}
    assert len((project / "plots/confusion.csv").read_text().splitlines()) == 10
    session = open_session((project / "models/model.onnx").read_bytes())
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == SHAPES
    assert (project / "models/model_card.md").read_text().startswith("# logistic, trained on shapes\n")
    found = json.loads(call(compare, project, "--classes", "--json", "shapes", "shapes")[0])
    assert [each["class"] for each in found["comparisons"][0]["classes"]] == SHAPES

    # The folder is a dependency: one picture more is a change.
    shutil.copyfile(folder / "circles/0.png", folder / "squares/new.png")
    output = run(project, "dvc", "repro", "download")
    assert f"note: {folder}/squares/new.png: is left out: it is the same picture as {folder}/circles/0.png" in output
    assert "71 pictures of 3 classes" in output


def choose(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `folder`, to run stages in, have a params.yaml that names a data set, and no arguments."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["download"]["dataset"], params["preprocess"] = name, {"val_size": 5, "seed": 0, "drawings": 0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr("sys.argv", ["download.py"])


def test_a_class_with_a_single_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_shapes(tmp_path / "data/pictures", 3)
    for path in sorted((folder / "triangles").glob("*"))[1:]:
        path.unlink()
    choose(tmp_path, "folder", monkeypatch)
    with chdir(tmp_path), pytest.raises(UserError, match="got fewer of 'triangles' in "):
        download.main()


def test_a_data_set_has_the_name_of_its_folder() -> None:
    paths = ["data/My shapes", "a/../t\x1b[31mö\nns/", "b" * 50, ".", "../..", "/data/mnist"]
    names = ["My shapes", "t[31möns", "b" * 40, "folder", "folder", "folder mnist"]
    assert [download.name_of(Path(path)) for path in paths] == names


def test_archives_of_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made here in the format of the published ones, which would take a network; the bundled digits follow them."""
    name, train, digits = "fashion-mnist", some_digits(0, 50), some_digits(50, 80)
    (tmp_path / "mirror").mkdir()
    for archive in ARCHIVE_NAMES:
        split = train if archive.startswith("train") else digits
        content = packed_idx(split.images if "images" in archive else split.labels)
        (tmp_path / "mirror" / archive).write_bytes(content)
    hashes = tuple(hashlib.sha256((tmp_path / "mirror" / each).read_bytes()).hexdigest() for each in ARCHIVE_NAMES)
    monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(hashes=hashes))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FASHION_MNIST_MIRROR", str(tmp_path / "mirror"))
    with chdir(tmp_path):
        choose(tmp_path, name, monkeypatch)
        download.main()
        _, raw, _ = read_raw(preprocess.RAW)
        assert (raw.images.tolist(), raw.labels.tolist()) == (train.images.tolist(), train.labels.tolist())
        preprocess.main()
        summary = load_summary(preprocess.SUMMARY)
        assert (summary.about, summary.train, summary.val, summary.test) == (PUBLISHED[name].about, 45, 5, 30)
        test = load_dataset(preprocess.TEST, 10)
        assert (test.images.tolist(), test.labels.tolist()) == (digits.images.tolist(), digits.labels.tolist())
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
