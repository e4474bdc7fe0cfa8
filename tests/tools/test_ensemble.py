"""tools/ensemble.py: the average of several models, as one."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

import ensemble
from conftest import Call, MakeProject, Run
from digits.foundation.stage import UserError
from experiments.ensembles import average
from handwriting.recognizer import Recognizer
from small_networks import with_metadata


@pytest.mark.long
def test_the_average_of_two_models(
    copy_with_experiments: MakeProject, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_with_experiments()
    monkeypatch.setattr(ensemble, "MODEL", project / "models/ensemble.onnx")
    output, _ = call(ensemble, project, "HEAD", "seed-1")
    path = project / "models/ensemble.onnx"
    assert output.endswith(f"{path}: the average of 2 models\n")
    run(project, "dvc", "get", ".", "models/model.onnx", "--rev", "seed-1", "-o", "models/seed-1.onnx")
    for name, split in ("validation", "val"), ("test", "test"):
        tensors = load_file(project / f"data/tensors/{split}.safetensors")
        images, labels = tensors["images"], tensors["labels"]
        members = [Recognizer(project / f"models/{member}.onnx").logits(images) for member in ("model", "seed-1")]
        mean = np.mean(members, axis=0)
        assert Recognizer(path).logits(images) == pytest.approx(mean, abs=1e-5)
        assert f"{name}: {(mean.argmax(axis=1) == labels).mean():.2%} of {len(labels):,} images correct" in output

    recognizer = Recognizer(path)
    found = recognizer.metrics
    assert recognizer.introduction().startswith(f"2 models, trained on optdigits: {found.accuracy:.2%} of 360 ")
    assert f"HEAD {run(project, 'git', 'rev-parse', 'HEAD')}" in onnx.load(path).doc_string
    kept, linked = project / "models/model.onnx", project / "models/linked.onnx"
    before = kept.read_bytes()
    linked.hardlink_to(kept)
    call(ensemble, project, "HEAD", "seed-1", "--model", str(linked))
    assert linked.read_bytes() == path.read_bytes()
    assert kept.read_bytes() == before


def test_models_of_other_classes_are_not_averaged(finished: Path, tmp_path: Path) -> None:
    with_metadata(finished / "models/model.onnx", tmp_path / "words.onnx", classes=["zero", *"123456789"])
    digits, words = (onnx.load(path) for path in (finished / "models/model.onnx", tmp_path / "words.onnx"))
    with pytest.raises(UserError, match=r"b: has other classes than a, got .*zero"):
        average({"a": digits, "b": words}, ["", ""])


@pytest.mark.long
def test_what_cannot_be_averaged_is_refused(copy_with_experiments: MakeProject, call: Call) -> None:
    project = copy_with_experiments()
    for arguments, status, message in [
        (["HEAD"], 2, "REVISION: two or more, all different, are needed"),
        (["HEAD", "HEAD~0"], 2, "REVISION: two or more, all different, are needed"),
        (["HEAD", "workspace"], 2, "REVISION: must be an experiment or a commit, got workspace"),
        (["HEAD", "nothing"], 1, "error: revision: must be a commit, an experiment or workspace, got nothing; "),
        (["HEAD", "unscored"], 1, "error: unscored: has no ONNX model, since the stage export has not run; `dvc "),
        (["HEAD", "split"], 1, "error: data/tensors/val.safetensors: has other images than split was scored on; "),
        (["HEAD", "seed-1", "--model", "README.md/a"], 1, "error: README.md/a: cannot be read or written, got "),
    ]:
        assert message in call(ensemble, project, *arguments, status=status)[1]
    shutil.rmtree(project / ".dvc/cache/files")
    said = call(ensemble, project, "HEAD", "seed-1", status=1)[1]
    assert said.startswith(
        "error: HEAD: its model is in no cache or remote of DVC, got Can't find 'models/model.onnx' "
    )
