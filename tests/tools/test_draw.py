"""tools/draw.py: its page in a real browser, and its server against requests that the page would not send."""

import asyncio
import io
import math
import re
import shutil
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import requests
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageDraw
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_MOUSE, POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

import draw as tools_draw
from bad_input import many
from browser import open_browser
from conftest import Call, MakeProject, Once, Run
from digits.pictures.conversion import to_gray_square
from digits.pictures.mnist_format import to_mnist_format
from handwriting import server
from handwriting.answers import answer as predicted
from handwriting.answers import percent
from handwriting.drawings import Drawings
from handwriting.recognizer import UNKNOWN, Recognizer
from pipeline_runs import set_params
from small_networks import with_metadata

HEIC = Path(__file__).parents[1] / "pictures/seven.heic"
# Points of a stroke, as shares of the canvas's side from its middle.
SHAPES: dict[str, list[tuple[float, float]]] = {
    "0": [(0.2 * math.sin(angle), -0.3 * math.cos(angle)) for angle in np.linspace(0, 2 * math.pi, 25)],
    "1": [(0, -0.3), (0, 0), (0, 0.3)],
    "7": [(-0.2, -0.3), (0, -0.3), (0.2, -0.3), (0.1, -0.1), (0, 0.1), (-0.05, 0.3)],
}


@pytest.fixture(scope="module")
def project(copy_finished: MakeProject, run: Run, once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a model that is good enough for what the tests draw."""

    def make() -> Path:
        folder = copy_finished()
        set_params(folder, {"model": "cnn", "augment": "affine", "epochs": 10})
        run(folder, "dvc", "repro")
        return folder

    return Path(shutil.copytree(once("good-model", make), tmp_path_factory.mktemp("draw") / "project"))


@contextmanager
def serving(project: Path, *arguments: str, says: str = "") -> Iterator[str]:
    """Run the tool, then end it by Ctrl-C; the URL of its page. It may print nothing after its introduction."""
    command = [sys.executable, str(project / "tools/draw.py"), "--no-browser", *arguments]
    server = subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout
    introduction: list[str] = []
    while not introduction or "Ctrl-C" not in introduction[-1]:
        introduction.append(server.stdout.readline())
        assert introduction[-1], introduction
    assert all(len(line) <= 81 for line in introduction)
    assert says in "".join(introduction)
    try:
        yield introduction[-1].split()[2]
    finally:
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=10)
    assert (server.returncode, rest) == (0, "\n")


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    with serving(project, "--port", "0") as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def page(browser: Chrome, url: str) -> Iterator[Chrome]:
    """The page, as new; it may complain of nothing."""
    look(browser, 1280, 800, "light")
    browser.get(url)
    yield browser
    assert browser.get_log("browser") == []


def look(page: Chrome, width: int, height: int, theme: str) -> None:
    window = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def draw(page: Chrome, points: list[tuple[float, float]], kind: str = POINTER_MOUSE) -> None:
    canvas = page.find_element(By.ID, "screen")
    actions = ActionBuilder(page, mouse=PointerInput(kind, kind), duration=20)
    for number, (x, y) in enumerate(points):
        side = canvas.size["width"]
        actions.pointer_action.move_to(canvas, round(x * side), round(y * side))
        if number == 0:
            actions.pointer_action.pointer_down()
    actions.pointer_action.pointer_up()
    actions.perform()


def text(page: Chrome, name: str) -> str:
    return str(page.find_element(By.ID, name).get_property("textContent"))


def answer(page: Chrome) -> tuple[str, list[str]]:
    """The digit and the numbers at the bars, once they are what a screen reader has been told."""
    script = """
        const numbers = [...bars.querySelectorAll("[role=meter]")].map(meter => meter.ariaValueText);
        const best = digit.textContent;
        return best && live.textContent === `${best}, ${numbers[best]}` ? [best, numbers] : null;
    """
    best, numbers = WebDriverWait(page, 10).until(lambda page: page.execute_script(script))
    return best, numbers


def saved(page: Chrome, label: int) -> Path:
    """Where the page says that it has saved the drawing with a label."""
    start = f"Saved as {'an' if label == 8 else 'a'} {label}: "
    WebDriverWait(page, 10).until(lambda page: text(page, "note").startswith(start))
    return Path(text(page, "note").removeprefix(start))


def test_what_is_drawn_is_recognised(page: Chrome) -> None:
    for digit, kind in [*((digit, POINTER_MOUSE) for digit in SHAPES), ("7", POINTER_TOUCH)]:
        draw(page, SHAPES[digit], kind)
        assert answer(page)[0] == digit
        page.find_element(By.ID, "clear").click()
        WebDriverWait(page, 10).until(lambda page: text(page, "digit") == "")
    page.execute_script("delete PointerEvent.prototype.getCoalescedEvents")  # a page of another machine lacks it
    draw(page, SHAPES["7"])
    assert answer(page)[0] == "7"


def test_the_numbers_are_those_of_the_drawing_that_is_saved(page: Chrome, project: Path) -> None:
    draw(page, SHAPES["7"])
    _, numbers = answer(page)
    page.find_element(By.CSS_SELECTOR, "[aria-label='Save as 3']").click()
    path = saved(page, 3)
    assert path.parent == project / "data/drawings/3"
    with Image.open(path) as image:
        pixels = to_mnist_format(image)
    probabilities = Recognizer(project / "models/model.onnx").probabilities(pixels[None])[0]
    assert [number.replace(" ", "") for number in numbers] == [percent(each) for each in probabilities.tolist()]
    seen = page.execute_script("return [...sees.getContext('2d').getImageData(0, 0, 28, 28).data]")
    assert seen[3::4] == pixels.ravel().tolist()

    taught = page.find_element(By.ID, "collection").text
    assert taught.endswith("dvc exp run -S preprocess.drawings=10")  # as the pipeline reads this folder

    # By keys, as other digits: the theme leaves no trace in the file, and the last word counts.
    look(page, 1280, 800, "dark")
    ActionChains(page).send_keys("3", "4", "8").perform()
    assert saved(page, 8) == project / "data/drawings/8" / path.name
    assert len([*(project / "data/drawings").rglob(path.name)]) == 1


def test_strokes_are_taken_back(page: Chrome) -> None:
    draw(page, SHAPES["1"])
    before = answer(page)
    draw(page, [(-0.1, -0.2)])
    WebDriverWait(page, 10).until(lambda page: answer(page) != before)
    ActionChains(page).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    WebDriverWait(page, 10).until(lambda page: answer(page) == before)

    buttons = page.find_elements(By.CSS_SELECTOR, "#undo, #clear, #labels button")
    assert all(button.is_enabled() for button in buttons)
    page.find_element(By.ID, "clear").click()
    assert not any(button.is_enabled() for button in buttons)
    WebDriverWait(page, 10).until(lambda page: text(page, "digit") == "")
    draw(page, SHAPES["1"])
    assert answer(page) == before
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not any(button.is_enabled() for button in buttons)


def test_the_keyboard_draws(page: Chrome) -> None:
    """While Space is held, or from Enter to Enter."""
    down, up = Keys.ARROW_DOWN * 14, Keys.ARROW_UP * 14
    with_space = ActionChains(page).send_keys(Keys.TAB).key_down(Keys.SPACE).send_keys(down).key_up(Keys.SPACE)
    with_enter = ActionChains(page).send_keys(Keys.ENTER, down, Keys.ENTER)
    for actions in (with_space, with_enter):
        actions.send_keys(up, Keys.ARROW_LEFT).perform()  # the pen is up
        assert answer(page)[0] == "1"
        assert page.find_element(By.ID, "cursor").is_displayed()
        ActionChains(page).send_keys(Keys.ESCAPE, Keys.ARROW_RIGHT).perform()
        WebDriverWait(page, 10).until(lambda page: text(page, "digit") == "")


def test_saves_are_counted_and_undone_and_the_server_waited_for(browser: Chrome, project: Path, tmp_path: Path) -> None:
    def counted(number: str) -> str:
        WebDriverWait(browser, 10).until(lambda page: text(page, "count") == number)
        return str(browser.find_element(By.ID, "collection").text)

    with serving(project, "--port", "0", "--drawings", str(tmp_path)) as url:
        browser.get(url)
        undo, screen = (browser.find_element(By.ID, name) for name in ("unsave", "screen"))
        assert counted("0 drawings saved.") == ""
        draw(browser, SHAPES["1"])
        screen.send_keys("1")
        first = saved(browser, 1)
        assert counted("1 drawing saved.") == "1 drawing saved."  # the pipeline does not read this folder
        undo.click()
        WebDriverWait(browser, 10).until(lambda page: text(page, "note") == "Undone: no longer saved.")
        counted("0 drawings saved.")
        assert not first.exists()
        screen.send_keys("1")
        saved(browser, 1)
        draw(browser, [(-0.1, -0.2)])
        assert not undo.is_displayed()
        screen.send_keys("7")
        second = saved(browser, 7)

        # It was another digit, then none after all. Clear leaves the button; the keyboard reaches it, and goes on.
        screen.send_keys("8", Keys.ESCAPE)
        saved(browser, 8)
        browser.find_element(By.ID, "choose").send_keys(Keys.TAB)
        assert browser.switch_to.active_element == undo
        undo.send_keys(Keys.ENTER)
        WebDriverWait(browser, 10).until(lambda page: text(page, "note") == "Undone: saved as a 7 again.")
        assert not undo.is_displayed()
        assert browser.switch_to.active_element == screen
        assert {*tmp_path.rglob("*.png")} == {first, second}

        browser.get(url)
        assert counted("2 drawings saved.") != ""
        assert browser.get_log("browser") == []

    draw(browser, SHAPES["1"])
    WebDriverWait(browser, 10).until(lambda page: "No answer from the server" in text(page, "live"))
    with serving(project, "--port", url.strip("/").rpartition(":")[2]):
        assert answer(browser)[0] == "1"
        browser.get("about:blank")
    browser.get_log("browser")  # it names the failed requests


def photograph(folder: Path, digits: str, side: int) -> Path:
    """A picture file of digits in a row, lying on its side, as EXIF tells."""
    image = Image.new("RGB", (side * len(digits), side + side // 2), "#d8d4c8")
    for number, digit in enumerate(digits):
        points = [(side * (number + 0.5 + x), side * (0.75 + y)) for x, y in SHAPES[digit]]
        ImageDraw.Draw(image).line(points, "#203060", side // 14, joint="curve")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(folder / f"{digits}.jpg", exif=exif)
    return folder / f"{digits}.jpg"


def give(page: Chrome, path: Path) -> str:
    """Choose a picture file; what a screen reader is told of it."""
    page.execute_script("live.textContent = ''")
    page.find_element(By.ID, "file").send_keys(str(path))
    return str(WebDriverWait(page, 30).until(lambda page: text(page, "live")))


def boxes(page: Chrome) -> list[tuple[str, list[float]]]:
    """The answer at each box, and its left, top, right and bottom, as fractions of the picture's width and height."""
    script = """
        const { left, top, width, height } = photo.getBoundingClientRect(), margin = 5;
        return [...document.querySelectorAll("#frame button")].map(button => {
          const box = button.getBoundingClientRect();
          return [button.textContent, [(box.left + margin - left) / width, (box.top + margin - top) / height,
            (box.right - margin - left) / width, (box.bottom - margin - top) / height]];
        });
    """
    return [(str(answer), box) for answer, box in page.execute_script(script)]


@pytest.mark.parametrize("side", [300, 900])  # the file is sent as it is, or scaled down
def test_the_digits_on_a_picture_are_in_their_boxes(page: Chrome, project: Path, tmp_path: Path, side: int) -> None:
    page.execute_script("const send = fetch; fetch = (path, options) => send(path, window.sent = options)")
    path = photograph(tmp_path, "7017", side)
    expected = predicted(Recognizer(project / "models/model.onnx"), path, several=True)["digits"]
    said, sent = give(page, path), page.execute_script("return sent.body.size")
    assert said == "; ".join(answer.replace(" ", ", ", 1) for answer, _ in boxes(page))
    for (answer, box), each in zip(boxes(page), expected, strict=True):
        assert np.allclose(box, each["box"], atol=0.01)
        if side == 300:
            assert answer.replace(" ", "") == each["class"] + percent(each["probability"])
    assert (sent == path.stat().st_size) == (side == 300)
    for button in page.find_elements(By.CSS_SELECTOR, "#frame button"):
        button.click()
        assert button.text.split() == [text(page, "digit"), *text(page, "share").split()]
    look(page, 390, 844, "dark")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390


def test_a_problem_stands_in_place_of_the_answer(browser: Chrome, project: Path, tmp_path: Path) -> None:
    def says(problem: str) -> None:
        WebDriverWait(browser, 10).until(lambda page: text(page, "live").startswith(problem))
        assert text(browser, "message") == text(browser, "live")
        assert text(browser, "digit") == text(browser, "share") == ""

    with_metadata(project / "models/model.onnx", tmp_path / "strict.onnx", metrics={"least_logit": 1000})
    with serving(project, "--port", "0", "--model", str(tmp_path / "strict.onnx")) as address:
        browser.get(address)
        draw(browser, SHAPES["1"])
        says(UNKNOWN)
        assert give(browser, photograph(tmp_path, "71", 200)) == "?; ?"
        assert text(browser, "message") == UNKNOWN
        browser.get(address)
        for x in (-0.2, 0.2):
            draw(browser, [(x, -0.3), (x, 0.3)])
        says("it shows 2 shapes; one at a time")
        # As after its server was restarted with a model of other classes.
        browser.execute_script("fetch = async () => ({ json: () => ({ probabilities: { cat: 1, dog: 0 } }) })")
        draw(browser, SHAPES["1"])
        WebDriverWait(browser, 10).until(lambda page: text(page, "message").startswith("The model has changed. Load"))
        assert browser.get_log("browser") == []


def test_a_picture_gives_way_to_the_drawing(page: Chrome, tmp_path: Path) -> None:
    frame, label = page.find_element(By.ID, "frame"), page.find_element(By.CSS_SELECTOR, "#labels button")
    draw(page, SHAPES["1"])
    before = answer(page)
    assert give(page, photograph(tmp_path, "7", 200)).endswith(" %")
    assert frame.is_displayed() and not label.is_enabled()
    page.find_element(By.ID, "undo").click()
    WebDriverWait(page, 10).until(lambda page: answer(page) == before)
    assert label.is_enabled() and not frame.is_displayed()
    assert give(page, HEIC).endswith(" %")  # which this browser cannot read
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    WebDriverWait(page, 10).until(lambda page: text(page, "live").startswith("The answer appears here"))
    assert not frame.is_displayed()


def test_what_is_given_may_be_no_picture(page: Chrome, tmp_path: Path) -> None:
    give_data = """
        const [event, ...items] = arguments, data = new DataTransfer();
        for (const [size, type] of items) {
          if (size) data.items.add(new File([new Uint8Array(size)], "file", { type }));
          else data.items.add("https://digits.example/7.png", type);
        }
        live.textContent = "";
        document.dispatchEvent(event === "drop" ? new DragEvent(event, { dataTransfer: data })
          : new ClipboardEvent(event, { clipboardData: data }));
    """
    draw(page, SHAPES["1"])
    answer(page)
    given: list[tuple[str, list[tuple[int, str]], str]] = [
        ("drop", [(0, "text/uri-list")], "It is text or a link"),
        ("paste", [(0, "text/plain")], "It is text or a link"),
        ("drop", [(9, "image/png"), (9, "image/png")], "Those are 2 files"),
        ("paste", [(9, "image/png")], "it is not a picture, or a damaged one"),
        ("drop", [(30_000_001, "image/heic")], "It has more than 30 MB"),
    ]
    for event, items, problem in given:
        page.execute_script(give_data, event, *items)
        said = str(WebDriverWait(page, 10).until(lambda page: text(page, "live")))
        assert said.startswith(problem)
        assert text(page, "message") == said
        assert page.find_element(By.ID, "screen").is_displayed()  # with the drawing
    page.get_log("browser")  # it names the refused request

    data = {"items": [], "files": [str(tmp_path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 9, "y": 9, "data": data})
    WebDriverWait(page, 10).until(lambda page: text(page, "live") == "It cannot be read; it may be a folder.")

    Image.new("L", (60, 60), 200).save(tmp_path / "empty.png")
    assert give(page, tmp_path / "empty.png") == "there is nothing on it, or it is too faint"
    assert page.find_element(By.ID, "photo").is_displayed()


def test_the_page_fits(page: Chrome) -> None:
    draw(page, SHAPES["0"])
    answer(page)
    page.find_element(By.CSS_SELECTOR, "[aria-label='Save as 0']").click()
    saved(page, 0)
    for (width, height), theme in product([(1280, 800), (900, 700), (390, 844), (360, 740)], ["light", "dark"]):
        look(page, width, height, theme)
        size = page.execute_script(
            "const {scrollWidth, scrollHeight} = document.documentElement; return [scrollWidth, scrollHeight]"
        )
        assert size[0] <= width
        assert size[1] <= height or (width, height) != (1280, 800)
        paper = page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        assert (int(str(re.findall(r"\d+", paper)[0])) < 128) == (theme == "dark")


def png(width: int = 20, height: int = 20) -> bytes:
    """A file with a stroke from top to bottom."""
    image = Image.new("RGBA", (width, height))
    image.paste((0, 0, 0, 255), (width // 2, 2, width // 2 + 2, height - 2))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A small file that says it is huge."""
    file = bytearray(png())
    file[16:24] = side.to_bytes(4) * 2
    file[29:33] = zlib.crc32(file[12:29]).to_bytes(4)
    return bytes(file)


REFUSED: list[tuple[str, str, dict[str, str], bytes, int]] = [
    ("GET", "", {"Host": "digits.example:8000"}, b"", 403),
    ("POST", "answer", {"Host": "digits.example"}, png(), 403),
    ("POST", "answer", {"Origin": "http://digits.example"}, png(), 403),
    ("POST", "answer", {"Origin": "null"}, png(), 403),
    ("POST", "answer", {"Host": "localhost:9000", "Origin": "http://localhost:1"}, png(), 403),
    ("POST", "drawings/7", {"Origin": "http://127.0.0.1"}, png(), 403),
    ("POST", "undo", {"Origin": "http://digits.example"}, b"", 403),
    ("POST", "picture", {"Origin": "http://digits.example"}, png(), 403),
    ("POST", "picture", {}, bytes(30_000_001), 413),
    ("GET", "draw.html", {}, b"", 404),
    *(("POST", f"drawings/{name}", {}, png(), 404) for name in ("10", "x", "../7", "%2e%2e%2f7", "..%2f7")),
    ("GET", "answer", {}, b"", 405),
    *(("POST", path, {}, bytes(2_000_000), 413) for path in ("answer", "drawings/7")),
    *(("POST", path, {}, b"no picture", 400) for path in ("answer", "drawings/7", "picture")),
    ("POST", "picture", {}, bomb(12_000), 400),
    *(("POST", "answer", {}, body, 400) for body in (b"", png()[:-30], png(1001, 1000), bomb(12_000), bomb(100_000))),
    *(("POST", "undo", {}, path, 409) for path in (b"", str(Path(__file__)).encode(), b"\xff\0")),
    ("POST", "answer", {}, png(560, 4), 200),
]


def test_what_the_page_would_not_send_is_refused(url: str) -> None:
    with requests.Session() as session:
        for method, path, headers, body, status in REFUSED:
            answered = session.request(method, url + path, data=body, headers=headers, timeout=10)
            assert (answered.status_code, list(answered.json())) == (status, ["problem"]), (method, path, headers)
            assert session.post(f"{url}answer", png(), timeout=10).status_code == 200  # it goes on
        # A port may be forwarded, as by `ssh -L 9000:localhost:8000`.
        for host in ("localhost:9000", "127.0.0.1:9000", "localhost"):
            headers = {"Host": host, "Origin": f"http://{host}"}
            assert session.post(f"{url}answer", png(), headers=headers, timeout=10).status_code == 200


HEADER = st.tuples(
    st.sampled_from(["Host", "Origin", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade"]),
    st.sampled_from(["localhost", "null", "-1", "0", "9" * 30, "chunked", "gzip", "100-continue", "websocket"])
    | st.text(st.characters(max_codepoint=255), max_size=9),
)


@many(100)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PUT", "X", ""]),
    path=st.sampled_from(
        ["/", "/answer", "/undo", "/drawings/7", "/drawings/..%2f7", "*", "//", "/%00", "http://x/answer"]
    )
    | st.text(st.characters(max_codepoint=255), max_size=9),
    headers=st.lists(HEADER, max_size=4),
    body=st.binary(max_size=40),
)
def test_any_request(url: str, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> None:
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        answered = connection.makefile("rb").read()
    assert not re.match(rb"HTTP/1\S+ 5", answered), answered
    assert requests.post(f"{url}answer", png(), timeout=10).status_code == 200


def test_the_page_may_load_nothing_else(url: str) -> None:
    response = requests.get(url, timeout=10)
    policy = str(response.headers["Content-Security-Policy"])
    nonces = set(re.findall("nonce[=-][\"']?([^\"']+)", response.text + policy))
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert len(nonces) == 1
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert "cnn, trained on optdigits" in response.text


def test_a_class_may_have_any_name_and_a_network_is_let_in_aloud(project: Path, tmp_path: Path) -> None:
    names = ["50 % & more", "a?b#c+d", "für ツ", "<script>", *"456789"]
    with_metadata(project / "models/model.onnx", tmp_path / "names.onnx", classes=names)
    arguments = ["--port", "0", "--model", f"{tmp_path}/names.onnx", "--drawings", f"{tmp_path}/new"]
    arguments += ["--host", "0.0.0.0"]  # noqa: S104 - to be reachable from everywhere is what is tested
    with serving(project, *arguments, says="Others in your network") as url:
        assert url.startswith("http://127.0.0.1:")
        for host, status in [("192.168.0.9:8000", 200), ("digits.example", 403)]:
            assert requests.post(f"{url}answer", png(), headers={"Host": host}, timeout=10).status_code == status
        for name in names:
            content = requests.post(f"{url}drawings/{quote(name, safe='')}", png(), timeout=10).json()
            saved = Path(content["saved"])
            assert saved.parent == tmp_path / "new" / name
            assert saved.read_bytes() == png()
        assert [*(tmp_path / "new").rglob("*.png")] == [saved]
        assert '"<script>"' not in requests.get(url, timeout=10).text
        saved.unlink()
        saved.parent.rmdir()
        saved.parent.write_text("a file, where a folder must be")
        answered = requests.post(f"{url}drawings/9", png(), timeout=10)
        assert answered.status_code == 500
        assert answered.json()["problem"].startswith(str(saved.parent))


def test_a_picture_that_stalls_stops_no_other(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is taken whole."""
    recognizer, picture = Recognizer(project / "models/model.onnx"), png(60, 40)
    recognizer.pictures = "whole"
    monkeypatch.setattr(server, "RECEIVE_SECONDS", 0.5)

    async def stalled() -> AsyncIterator[bytes]:
        yield picture[:9]
        await asyncio.sleep(60)

    async def post_both() -> list[Any]:
        app = server.make_app(recognizer, Drawings(tmp_path, recognizer.classes))
        async with TestClient(TestServer(app)) as client:
            answers = await asyncio.gather(*(client.post("/picture", data=data) for data in (stalled(), picture)))
            return [await each.json() for each in answers]

    first, second = asyncio.run(post_both())
    assert first == {"problem": "it took too long to arrive"}
    assert second["size"] == [60, 40]
    (found,) = second["digits"]
    assert found.keys() == {"probabilities", "image"}
    assert found["image"] == to_gray_square(Image.open(io.BytesIO(picture))).ravel().tolist()


def test_a_save_is_undone_once(tmp_path: Path) -> None:
    drawings = Drawings(tmp_path, "15780")
    by_hand = tmp_path / "5/mine.png"
    by_hand.parent.mkdir()
    by_hand.touch()
    kept, moved, again = (drawings.save(*each) for each in [("1", b"one"), ("7", b"two"), ("8", b"two")])
    assert drawings.save("8", b"two") == again  # changes nothing, so that the save before stays the last
    assert (drawings.undo(str(again)), drawings.count()) == ("7", 3)
    assert (moved.read_bytes(), again.exists()) == (b"two", False)
    assert (drawings.undo(str(moved)), drawings.count()) == (None, 2)
    for path in (again, moved, by_hand):
        with pytest.raises(KeyError):
            drawings.undo(str(path))
    assert {*tmp_path.rglob("*.png")} == {kept, by_hand}
    kept.unlink()
    assert (drawings.undo(str(kept)), drawings.count()) == (None, 1)


def test_ports_and_wrong_arguments(project: Path, call: Call) -> None:
    model = str(project / "models/model.onnx")
    host = IPv4Address("127.0.0.1")
    with tools_draw.listen(host, None) as first, tools_draw.listen(host, None) as second:
        port, other = (listener.getsockname()[1] for listener in (first, second))
        assert port != other
        _, said = call(tools_draw, project, "--model", model, "--port", str(port), "--no-browser", status=1)
        assert said.startswith(f"error: 127.0.0.1:{port}: cannot listen there")
    for argument in ("--host=nowhere.invalid", f"--host={'a' * 64}", "--host=\udcff", "--port=-1", "--port=65536"):
        *_, said = call(tools_draw, project, argument, status=2)[1].splitlines()
        assert re.match(r"draw.py: error: argument --(host: invalid |port: must be a port, 0 to )", said)
    for option, value, message in [
        ("--host", "192.0.2.1", "error: 192.0.2.1:8000: cannot listen there"),
        ("--drawings", "params.yaml", f"error: {project}/params.yaml: cannot be read or written, got File exists"),
        ("--drawings", "/proc", "error: /proc"),
    ]:
        _, said = call(tools_draw, project, "--model", model, option, value, status=1)
        assert said.startswith(message) and said.count("\n") == 1
