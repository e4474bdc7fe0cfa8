"""What `dvc plots` shows, in a real browser with no network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from browser import needs_browser, open_browser
from conftest import MakeProject, Run

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

TITLES = [
    "Loss",
    "Accuracy",
    "Learning rate",
    "Validation accuracy",
    "Confusion matrix",
    "Errors per class",
    "Reliability",
]
IMAGES = ["confused", "data", "most_wrong", "saliency"]

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def project(copy_finished: MakeProject, run: Run) -> Path:
    """A project with an experiment."""
    folder = copy_finished()
    run(folder, "dvc", "exp", "run", "--name", "slow", "-S", "train.lr=0.01", "evaluate")
    return folder


def open_plots(browser: webdriver.Chrome, page: Path) -> dict[str, Any]:
    """Open a page and wait for its plots, by title: the elements that hold one drawing each."""
    browser.get(page.as_uri())
    WebDriverWait(browser, 30).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, "svg.marks")) == len(TITLES))
    log: list[dict[str, Any]] = browser.get_log("browser")
    errors = [entry for entry in log if entry["level"] == "SEVERE"]
    assert not errors
    plots: dict[str, Any] = {}
    for svg in browser.find_elements(By.CSS_SELECTOR, "svg.marks"):
        # The last title is that of the whole: those of its facets come before it.
        title = svg.find_elements(By.CSS_SELECTOR, "g.role-title-text text")[-1].get_attribute("textContent")
        plots[str(title)] = svg
    return plots


def count(svg: Any, mark: str) -> int:
    """How many marks of a kind a drawing has, without those of its axes and legends."""
    return len(svg.find_elements(By.CSS_SELECTOR, f"g.mark-{mark}.role-mark > *"))


@pytest.mark.parametrize(
    ("command", "revisions"), [pytest.param(["show"], 1, marks=pytest.mark.long), (["diff", "HEAD", "slow"], 2)]
)
def test_every_plot_is_drawn(
    browser: webdriver.Chrome, project: Path, run: Run, command: list[str], revisions: int
) -> None:
    run(project, "dvc", "plots", *command)
    plots = open_plots(browser, project / "dvc_plots/index.html")
    assert sorted(plots) == sorted(TITLES)
    assert count(plots["Loss"], "line") == count(plots["Accuracy"], "line") == 2 * revisions
    assert count(plots["Validation accuracy"], "line") == count(plots["Learning rate"], "line") == revisions
    assert count(plots["Confusion matrix"], "rect") == 100 * revisions
    assert count(plots["Errors per class"], "rect") == 10 * revisions
    assert count(plots["Reliability"], "line") == 1 + revisions

    images = browser.find_elements(By.TAG_NAME, "img")
    assert len(images) == len(IMAGES) * revisions
    assert {name for name in IMAGES for image in images if name in str(image.get_attribute("src"))} == set(IMAGES)
    assert all(int(str(image.get_property("naturalWidth"))) > 300 for image in images)


@pytest.mark.long
def test_an_experiment_without_validation_images_keeps_its_other_lines(
    browser: webdriver.Chrome, project: Path, run: Run
) -> None:
    run(project, "dvc", "exp", "run", "--temp", "--name", "noval", "-S", "preprocess.val_size=0", "evaluate")
    run(project, "dvc", "plots", "diff", "HEAD", "noval")
    plots = open_plots(browser, project / "dvc_plots/index.html")
    assert count(plots["Loss"], "line") == count(plots["Accuracy"], "line") == 3
    assert count(plots["Validation accuracy"], "line") == 1
