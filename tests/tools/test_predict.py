"""tools/predict.py: answers to pictures in files, and clear words where there is none."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import predict as command
from bad_input import many, refusal
from conftest import Call, Run
from digits.pictures.mnist_format import to_mnist_format
from digits.scoring import score
from handwriting.answers import percent
from handwriting.recognizer import UNKNOWN, Recognizer
from samples import SHAPES, draw, draw_shapes, some_digits
from small_networks import with_metadata

OUTPUTS = "logits", "probabilities"
Predict = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty of the bundled digits, in folders named for them."""
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder, some_digits(0, 20))
    return folder


@pytest.fixture
def predict(finished: Path, call: Call) -> Predict:
    """Call the command; what it prints: the answers, and what else there is to say."""
    model = finished / "models/model.onnx"
    return lambda *arguments, status=0: call(
        command, finished, "--model", str(model), *map(str, arguments), status=status
    )


def answers_of(predict: Predict, *arguments: object, status: int = 0) -> Any:
    return json.loads(predict("--json", *arguments, status=status)[0])


def test_the_answers_are_those_of_the_model(finished: Path, pictures: Path, tmp_path: Path, predict: Predict) -> None:
    answers, about = predict(pictures)
    lines = answers.splitlines()
    assert len(lines) == 20
    assert sum(line.removeprefix(str(pictures))[1] == line.split()[1] for line in lines) >= 12
    assert about.startswith("logistic, trained on optdigits:")
    assert "`make cnn`" in about

    paths = sorted(pictures.rglob("*.png"))
    images = np.stack([to_mnist_format(Image.open(path)) for path in paths])
    expected = Recognizer(finished / "models/model.onnx").probabilities(images)
    found = answers_of(predict, *paths, "--show", tmp_path / "seen")
    for path, image, answer, probabilities in zip(paths, images, found, expected, strict=True):
        second, first = probabilities.argsort()[-2:].tolist()
        assert answer == {
            "file": str(path),
            "class": str(first),
            "probability": probabilities[first],
            "runner_up": str(second),
            "runner_up_probability": probabilities[second],
            "probabilities": dict(zip("0123456789", probabilities.tolist(), strict=True)),
        }
        (seen,) = (tmp_path / "seen").glob(f"*-{path.parent.name}-{path.name}.png")
        assert np.array_equal(np.asarray(Image.open(seen)), image)

    with paths[0].open("rb") as file:
        reading = [sys.executable, "tools/predict.py", "-"]
        done = subprocess.run(reading, cwd=finished, stdin=file, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.split()[1:] == lines[0].split()[1:]


def test_what_is_no_picture_is_named_and_the_others_answered(pictures: Path, tmp_path: Path, predict: Predict) -> None:
    good = next(pictures.rglob("*.png"))
    for number, content in enumerate([b"", b"a text", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n and nothing"]):
        (tmp_path / f"{number}.png").write_bytes(content)
    Image.open(good).save(tmp_path / "camera.png", exif=b"damaged")
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    (tmp_path / "half.png").write_bytes(good.read_bytes()[:100])
    for side in (10_001, 20_000):
        Image.new("1", (side, 10_000)).save(tmp_path / f"large{side}.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("notes.txt", "report.pdf"):
        (tmp_path / name).write_text("no picture, and not taken for one")
    shutil.copyfile(good, tmp_path / "the \x1b[31mred.png")
    answers, about = predict(tmp_path, tmp_path / "nowhere.png", status=1)
    others, large = ["not a picture"] * 4, ["100,000,000 pixels"] * 2
    expected = [*others, "%", "nothing on it", "damaged", *large, "%", "No such file"]
    assert all(words in line for line, words in zip(answers.splitlines(), expected, strict=True))
    assert answers.count("\\x1b[31mred.png") == 1
    assert len(about.splitlines()) == 3
    assert "not a picture" in answers_of(predict, tmp_path / "0.png", status=1)[0]["problem"]


def test_all_digits_of_a_picture(pictures: Path, tmp_path: Path, predict: Predict) -> None:
    paths = sorted(pictures.rglob("*.png"))[:3]
    row = Image.new("L", (3 * 220, 220), 255)
    for number, path in enumerate(paths):
        row.paste(Image.open(path), (10 + 220 * number, 10))
    row.save(tmp_path / "row.png")
    (answer,) = answers_of(predict, "--all", tmp_path / "row.png")
    assert answer["number"] == "".join(each["class"] for each in answers_of(predict, *paths))
    assert [int(3 * each["box"][0]) for each in answer["digits"]] == [0, 1, 2]
    first, *others = predict("--all", "--show", tmp_path / "seen", tmp_path / "row.png")[0].splitlines()
    assert first.split() == [str(tmp_path / "row.png"), answer["number"]]
    assert [line.split()[0] for line in others] == [*answer["number"]]
    assert all("% across, " in line and len(line) <= 80 for line in others)
    (place,) = (tmp_path / "seen").glob("*-row.png-digits.png")
    assert len(list((tmp_path / "seen").iterdir())) == 4
    pixels = np.asarray(Image.open(place))
    assert pixels.shape == (220, 660, 3)
    for left, top, _, _ in (each["box"] for each in answer["digits"]):
        y, x = int(220 * top), int(660 * left)
        assert (pixels[y : y + 2, x : x + 2] == [255, 0, 0]).all(axis=2).any()
    assert "3 shapes; one at a time, or --all" in predict(tmp_path / "row.png", status=1)[0]
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    assert "nothing on it" in predict("--all", tmp_path / "empty.png", status=1)[0]


def test_what_looks_like_no_class_is_refused(finished: Path, pictures: Path, tmp_path: Path, predict: Predict) -> None:
    known = Recognizer(finished / "models/model.onnx")
    paths = sorted(pictures.rglob("*.png"))
    most = [known.logits(to_mnist_format(Image.open(path))[None]).max() for path in paths]
    least = {"least_logit": float(sorted(most)[10])}
    with_metadata(finished / "models/model.onnx", tmp_path / "strict.onnx", metrics=least)
    answers = answers_of(predict, "--model", tmp_path / "strict.onnx", *paths, status=1)
    assert [each.get("problem") for each in answers] == [
        UNKNOWN if logit < sorted(most)[10] else None for logit in most
    ]
    unknown = paths[int(np.argmin(most))]
    assert predict("--model", tmp_path / "strict.onnx", "--all", unknown, status=1)[0].split()[1] == "?"


def test_nothing_is_rounded_to_certainty() -> None:
    texts = [percent(probability) for probability in (1.0, 0.9991, 0.999, 0.5, 0.001, 0.0009)]
    assert texts == [">99.9%", ">99.9%", "99.9%", "50.0%", "0.1%", "<0.1%"]


def test_evaluate_counts_what_is_correct(pictures: Path, tmp_path: Path, predict: Predict) -> None:
    known, seen = tmp_path / "known", tmp_path / "seen"
    shutil.copytree(pictures, known)
    Image.new("L", (50, 50), 255).save(known / "3/empty.png")
    paths = sorted(known.rglob("*.png"))
    (known / "3/.ipynb_checkpoints").mkdir()
    for hidden in "._empty.png", ".ipynb_checkpoints/empty-checkpoint.png":
        shutil.copy(known / "3/empty.png", known / "3" / hidden)
    output, _ = predict("--evaluate", known)
    found = answers_of(predict, *paths, status=1)
    answers = [{"actual": path.parent.name, **answer} for path, answer in zip(paths, found, strict=True)]
    wrong = [answer for answer in answers if answer.get("class") != answer["actual"]]
    correct = 21 - len(wrong)
    assert f"{correct} of 21 correct: {correct / 21:.1%} (95 % interval " in output
    assert "1 without an answer" in output
    assert "3/empty.png: there is nothing on it" in output
    assert output.count(".png: ") == len(wrong)

    found = answers_of(predict, "--evaluate", known, "--show", seen)
    images, errors = (Counter(answer["actual"] for answer in some) for some in (answers, wrong))
    classes = [{"class": name, "images": count, "errors": errors[name]} for name, count in images.items()]
    assert found == score(correct, 21) | {"unanswered": 1, "classes": classes, "wrong": wrong}
    assert f"{found['accuracy_low']:.1%} to {found['accuracy_high']:.1%}" in output
    rows = [line.split() for line in output.splitlines()]
    assert all([name, str(count - errors[name]), str(count)] in rows for name, count in images.items())
    assert len(list(seen.iterdir())) == 20


def test_wrong_arguments(predict: Predict) -> None:
    for arguments, status, message in [
        ([], 2, "give either pictures or --evaluate"),
        (["--evaluate", "tests", "README.md"], 2, "give either pictures or --evaluate"),
        (["--all", "--evaluate", "tests"], 2, "--evaluate: not allowed with argument --all"),
        (["--show", "README.md", "plots"], 1, "error: README.md: cannot be read or written, got File exists"),
        (["--show", "/proc/seen", "plots"], 1, "error: /proc/seen: "),
        (["--evaluate", "tests"], 1, "error: tests: must have folders with pictures, named after classes"),
        (["stages"], 1, "error: stages: holds no pictures"),
        # Control characters do not reach the terminal.
        (["--model", "\x1b[31m.onnx", "x"], 1, "error: \\x1b[31m.onnx: No such file or directory; `dvc repro` makes "),
        (["--model", "README.md", "plots"], 1, "error: README.md: must be a model that `dvc repro` made"),
    ]:
        assert message in predict(*arguments, status=status)[1]


def constant(values: "np.ndarray[Any, Any]") -> onnx.ModelProto:
    """A model that always answers with these values, whatever it is shown."""
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["k"], [name]) for name in OUTPUTS],
        "constant",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info(name, kind, list(values.shape)) for name in OUTPUTS],
        [numpy_helper.from_array(values, "k")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def test_a_model_of_whole_pictures_has_classes_of_any_name(finished: Path, tmp_path: Path, predict: Predict) -> None:
    folder, path = draw_shapes(tmp_path / "shapes", 4), tmp_path / "model.onnx"
    with_metadata(finished / "models/model.onnx", path, classes=[*SHAPES, *map(str, range(7))], pictures="whole")
    output, _ = predict("--model", path, "--evaluate", folder)
    assert "of 12 correct" in output
    assert [line.split()[0] for line in output.splitlines()[-3:]] == SHAPES
    assert "--all: needs a model of" in predict("--model", path, "--all", folder, status=1)[1]


def test_what_is_no_model_of_the_pipeline_is_refused(finished: Path, tmp_path: Path, predict: Predict) -> None:
    digits, file, path = list("0123456789"), finished / "models/model.onnx", tmp_path / "wrong.onnx"
    damaged, anonymous = onnx.load(file), onnx.load(file)
    weights = damaged.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(np.nan), weights.name))
    # The third would be right for one image, but not for two.
    answers = [np.full(shape, 0.1, np.float32) for shape in [(10,), (2, 5), (1, 10)]]
    constants = [constant(values) for values in (*answers, *(np.full((1, 10), 7, kind) for kind in ("f4", "i8")))]
    for each in constants:
        each.metadata_props.extend(anonymous.metadata_props)
    del anonymous.metadata_props[:]
    classes = [["7"] * 10, [[name] for name in digits], digits[1:]]
    classes += [[name, *digits[1:]] for name in ("a\0b", "\x1b[31m", "a/b", ".a", "a" * 101)]
    wrong: list[tuple[onnx.ModelProto | None, dict[str, Any]]] = [
        *((model, {}) for model in (damaged, anonymous, *constants)),
        (None, {"architecture": "\x1b[2J\x1b]0;title\x07"}),
        (None, {"dataset": "\n"}),
        (None, {"pictures": "none"}),
        *((None, {"classes": names}) for names in classes),
        *((None, {"metrics": values}) for values in ({"accuracy": nan}, {"accuracy_high": inf}, {"images": 10**30})),
    ]
    for model, changes in wrong:
        with_metadata(file, path, **changes)
        if model:
            path.write_bytes(model.SerializeToString())
        _, said = predict("--model", path, "plots", status=1)
        assert said.startswith(f"error: {path}: must be a model that `dvc repro` made, got "), (changes, said)
        assert said.count("\n") == 1 and said[:-1].isprintable()


@many(60)
@given(start=st.integers(0, 400) | st.integers(0, 40_000), length=st.integers(0, 30), inserted=st.binary(max_size=30))
def test_any_damage_of_a_model(finished: Path, tmp_path: Path, start: int, length: int, inserted: bytes) -> None:
    content, path = (finished / "models/model.onnx").read_bytes(), tmp_path / "model.onnx"
    path.write_bytes(content[:start] + inserted + content[start + length :])
    refusal(lambda: Recognizer(path), path)


def test_the_page_and_predict_load_no_large_libraries(finished: Path, run: Run) -> None:
    listing = "import sys, draw, predict; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(run(finished / "tools", "python", "-c", listing).split())
    assert {"cv2", "numpy", "onnxruntime", "PIL"} <= loaded
    assert not loaded & {"torch", "torchvision", "scipy", "pandas", "sklearn", "matplotlib", "dvc", "onnx", "pi_heif"}
