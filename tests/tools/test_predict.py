"""tools/predict.py: answers to pictures in files, and clear words where there is none."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from conftest import IMAGES, LABELS, Run
from digits.pictures.mnist_format import to_mnist_format
from handwriting.answers import percent
from handwriting.recognizer import Recognizer

import numpy as np
import onnx
import pytest
from PIL import Image

PREDICT = "python", "tools/predict.py"
INTRODUCTION = "logistic, trained on optdigits:"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty of the bundled test digits, dark on light, in folders named for them."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(20):
        path = folder / str(LABELS[number].item()) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(255 - IMAGES[number]).resize((112, 112)).save(path)
    return folder


def predict(project: Path, *arguments: str, status: int = 0) -> tuple[str, str]:
    """What the tool prints: the answers, and what else there is to say."""
    done = subprocess.run(
        [sys.executable, "tools/predict.py", *arguments], cwd=project, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done
    return done.stdout, done.stderr


def test_a_line_for_each_picture_of_a_folder(finished: Path, pictures: Path) -> None:
    answers, about = predict(finished, str(pictures))
    lines = answers.splitlines()
    assert len(lines) == 20
    right = sum(line.removeprefix(str(pictures))[1] == line.split()[1] for line in lines)
    assert right >= 12
    assert about.startswith(INTRODUCTION)
    assert "`make cnn`" in about


def test_json_has_the_probabilities_that_the_model_gives(finished: Path, pictures: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))
    answers = json.loads(predict(finished, "--json", *map(str, paths))[0])
    images = np.stack([to_mnist_format(Image.open(path)) for path in paths])
    expected = Recognizer(finished / "models/model.onnx").probabilities(images)
    for path, answer, probabilities in zip(paths, answers, expected, strict=True):
        assert answer["file"] == str(path)
        assert answer["probabilities"] == dict(zip("0123456789", probabilities.tolist(), strict=True))
        first, second = probabilities.argsort()[:-3:-1]
        assert (answer["class"], answer["runner_up"]) == (str(first), str(second))
        assert (answer["probability"], answer["runner_up_probability"]) == tuple(
            probabilities[[first, second]].tolist()
        )


def test_standard_input(finished: Path, pictures: Path) -> None:
    path = next(pictures.rglob("*.png"))
    with path.open("rb") as file:
        done = subprocess.run([sys.executable, *PREDICT[1:], "-"], cwd=finished, stdin=file, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.split()[1:] == predict(finished, str(path))[0].encode().split()[1:]


def test_show_writes_what_the_model_saw(finished: Path, pictures: Path, tmp_path: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))[:2]
    predict(finished, "--show", str(tmp_path / "seen"), *map(str, paths))
    assert len(list((tmp_path / "seen").iterdir())) == 2
    for path in paths:
        (seen,) = (tmp_path / "seen").glob(f"*-{path.parent.name}-{path.name}.png")
        assert np.array_equal(np.asarray(Image.open(seen)), to_mnist_format(Image.open(path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"a text", "not a picture"),
        (b"%PDF-1.4", "not a picture"),
        (b"\x89PNG\r\n\x1a\n and then nothing", "not a picture"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_picture(finished: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "file.png"
    if content is not None:
        path.write_bytes(content)
    answers, about = predict(finished, str(path), status=1)
    assert message in answers
    assert "Traceback" not in about
    assert message in json.loads(predict(finished, "--json", str(path), status=1)[0])[0]["problem"]


def test_a_damaged_picture_is_named_and_the_others_answered(finished: Path, pictures: Path, tmp_path: Path) -> None:
    good = next(pictures.rglob("*.png"))
    (tmp_path / "half.png").write_bytes(good.read_bytes()[:100])
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    shutil.copyfile(good, tmp_path / "good.png")
    for name in ("notes.txt", "report.pdf"):
        (tmp_path / name).write_text("no picture, and not taken for one")
    (tmp_path / "folder.png").mkdir()
    lines = predict(finished, str(tmp_path), status=1)[0].splitlines()
    assert [line.split()[0].rpartition("/")[2] for line in lines] == ["empty.png", "good.png", "half.png"]
    assert "nothing on it" in lines[0]
    assert "%" in lines[1]
    assert "damaged" in lines[2]


def test_what_a_picture_says_of_its_camera_may_be_damaged(finished: Path, pictures: Path, tmp_path: Path) -> None:
    path = next(pictures.rglob("*.png"))
    Image.open(path).save(tmp_path / "camera.png", exif=b"damaged")
    answers, about = predict(finished, str(tmp_path / "camera.png"))
    assert answers.split()[1:] == predict(finished, str(path))[0].split()[1:]
    assert len(about.splitlines()) == 3


@pytest.mark.parametrize("side", [10_001, 20_000])
def test_a_picture_that_is_too_large(finished: Path, tmp_path: Path, side: int) -> None:
    Image.new("1", (side, 10_000)).save(tmp_path / "large.png")
    assert "more than 100,000,000 pixels" in predict(finished, str(tmp_path), status=1)[0]


def test_all_digits_of_a_picture(finished: Path, pictures: Path, tmp_path: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))[:3]
    row = Image.new("L", (3 * 130, 130), 255)
    for number, path in enumerate(paths):
        row.paste(Image.open(path), (9 + 130 * number, 9))
    row.save(tmp_path / "row.png")
    (answer,) = json.loads(predict(finished, "--all", "--json", str(tmp_path / "row.png"))[0])
    alone = json.loads(predict(finished, "--json", *map(str, paths))[0])
    assert answer["number"] == "".join(each["class"] for each in alone)
    assert [int(3 * each["box"][0]) for each in answer["digits"]] == [0, 1, 2]
    text = predict(finished, "--all", "--show", str(tmp_path / "seen"), str(tmp_path / "row.png"))[0]
    first, *others = text.splitlines()
    assert first.split() == [str(tmp_path / "row.png"), answer["number"]]
    assert [line.split()[0] for line in others] == [*answer["number"]]
    assert all("% across, " in line and len(line) <= 80 for line in others)
    assert len(list((tmp_path / "seen").iterdir())) == 3
    assert "3 shapes; one at a time, or --all" in predict(finished, str(tmp_path / "row.png"), status=1)[0]
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    assert "nothing on it" in predict(finished, "--all", str(tmp_path / "empty.png"), status=1)[0]


def test_ctrl_c(finished: Path) -> None:
    command = [sys.executable, "tools/predict.py", "-"]
    with subprocess.Popen(command, cwd=finished, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        printed = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "Traceback" not in "".join(printed) + process.stderr.read()


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, ">99.9%"), (0.9991, ">99.9%"), (0.999, "99.9%"), (0.5, "50.0%"), (0.001, "0.1%"), (0.0009, "<0.1%")],
)
def test_nothing_is_rounded_to_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_evaluate_counts_what_is_right(finished: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "known")
    Image.new("L", (50, 50), 255).save(tmp_path / "known/3/empty.png")
    paths = sorted((tmp_path / "known").rglob("*.png"))
    (tmp_path / "known/3/.ipynb_checkpoints").mkdir()
    for hidden in "._empty.png", ".ipynb_checkpoints/empty-checkpoint.png":
        shutil.copy(tmp_path / "known/3/empty.png", tmp_path / "known/3" / hidden)
    output = predict(finished, "--evaluate", str(tmp_path / "known"))[0]
    answers = json.loads(predict(finished, "--json", *map(str, paths), status=1)[0])
    right = sum(answer.get("class") == Path(answer["file"]).parent.name for answer in answers)
    assert f"{right} of 21 right: {right / 21:.1%} (95 % interval " in output
    assert "1 without an answer" in output
    assert "3/empty.png: there is nothing on it" in output
    assert output.count(".png: ") == 21 - right

    seen = tmp_path / "seen"
    found = json.loads(predict(finished, "--evaluate", str(tmp_path / "known"), "--json", "--show", str(seen))[0])
    assert (found["images"], found["errors"], found["unanswered"]) == (21, 21 - right, 1)
    assert found["accuracy"] == right / 21
    assert f"{found['accuracy_low']:.1%} to {found['accuracy_high']:.1%}" in output
    for count in found["classes"]:
        of_digit = [answer for answer in answers if Path(answer["file"]).parent.name == count["class"]]
        assert count["images"] == len(of_digit)
        assert count["errors"] == sum(answer.get("class") != count["class"] for answer in of_digit)
    assert [{key: each[key] for key in each if key != "actual"} for each in found["wrong"]] == [
        answer for answer in answers if answer.get("class") != Path(answer["file"]).parent.name
    ]
    assert len(list(seen.iterdir())) == 20


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "give either pictures or --evaluate"),
        (["--evaluate", "tests", "README.md"], 2, "give either pictures or --evaluate"),
        (["--all", "--evaluate", "tests"], 2, "leave it out with --evaluate"),
        (["--show", "README.md", "plots"], 1, "error: README.md: File exists"),
        (["--show", "/proc/seen", "plots"], 1, "error: /proc/seen: "),
        (["--evaluate", "tests"], 1, "error: tests: has to have folders with pictures, named after classes"),
        (["stages"], 1, "error: stages: holds no pictures"),
        (["--model", "nowhere.onnx", "plots"], 1, "error: nowhere.onnx: No such file"),
        (["--model", "README.md", "plots"], 1, "error: README.md: is not a model that `dvc repro` made"),
    ],
)
def test_wrong_arguments(finished: Path, arguments: list[str], status: int, message: str) -> None:
    assert message in predict(finished, *arguments, status=status)[1]


def test_a_model_that_says_nothing_of_itself(project: Path) -> None:
    model = onnx.load(project / "models/model.onnx")
    del model.metadata_props[:]
    onnx.save(model, project / "other.onnx")
    assert "is not a model that `dvc repro` made" in predict(project, "--model", "other.onnx", "plots", status=1)[1]


def test_a_model_with_damaged_weights(project: Path) -> None:
    model = onnx.load(project / "models/model.onnx")
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0]) * np.float32(np.nan)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, model.graph.initializer[0].name))
    onnx.save(model, project / "other.onnx")
    assert "is not a model that `dvc repro` made" in predict(project, "--model", "other.onnx", "plots", status=1)[1]


def test_the_page_and_predict_need_four_packages_alone(finished: Path, run: Run) -> None:
    listing = "import sys, draw, predict; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(run(finished / "tools", "python", "-c", listing).split())
    assert {"cv2", "numpy", "onnxruntime", "PIL"} <= loaded
    assert not loaded & {
        "torch",
        "torchvision",
        "scipy",
        "pandas",
        "sklearn",
        "matplotlib",
        "yaml",
        "dvc",
        "pydantic",
        "pi_heif",
    }
