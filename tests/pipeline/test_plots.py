"""What `dvc plots` shows, in a real browser with no network."""

from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from browser import open_browser
from conftest import Run

TITLES = ["Loss", "Accuracy", "Learning rate", "Validation accuracy"]
TITLES += ["Confusion matrix", "Errors per class", "Reliability"]
IMAGES = ["confused", "data", "most_wrong", "saliency"]


def open_plots(browser: webdriver.Chrome, page: Path, number: int) -> dict[str, Any]:
    """Open a page and wait for its plots, by title: the elements that hold one drawing each."""
    browser.get(page.as_uri())
    WebDriverWait(browser, 30).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, "svg.marks")) == number)
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


def test_every_plot_is_drawn(project: Path, tmp_path: Path, run: Run) -> None:
    """Of two revisions; one has no validation images, and keeps its other lines. Then of a model without errors."""
    run(project, "dvc", "exp", "run", "--name", "noval", "-S", "preprocess.val_size=0", "evaluate")
    run(project, "dvc", "plots", "diff", "HEAD", "noval")
    names = ["Bag", "Ankle boot", "T-shirt or top"]
    rows = [f"{actual},{predicted},{int(actual == predicted)},0.0\n" for actual in names for predicted in names]
    (project / "plots/confusion.csv").write_text(f"actual,predicted,count,share\n{''.join(rows)}")
    run(project, "dvc", "plots", "show", "plots/confusion.csv", "--out", "one_plot")
    with open_browser(tmp_path / "browser") as browser:
        plots = open_plots(browser, project / "dvc_plots/index.html", len(TITLES))
        assert sorted(plots) == sorted(TITLES)
        assert count(plots["Loss"], "line") == count(plots["Accuracy"], "line") == 2 + 1
        assert count(plots["Validation accuracy"], "line") == 1
        assert count(plots["Learning rate"], "line") == 2
        assert count(plots["Confusion matrix"], "rect") == 2 * 100
        assert count(plots["Errors per class"], "rect") == 2 * 10
        assert count(plots["Reliability"], "line") == 1 + 2

        images = browser.find_elements(By.TAG_NAME, "img")
        assert len(images) == 2 * len(IMAGES)
        assert {name for name in IMAGES for image in images if name in str(image.get_attribute("src"))} == set(IMAGES)
        assert all(int(str(image.get_property("naturalWidth"))) > 300 for image in images)

        # No colour where nothing is confused, and long names are complete.
        plot = open_plots(browser, project / "one_plot/index.html", 1)["Confusion matrix"]
        labels = plot.find_elements(By.CSS_SELECTOR, "g.role-axis-label text")
        assert [label.text for label in labels] == 2 * names
        _, second, third = labels[3:]  # below the columns, turned where they are wider
        assert second.size["height"] > second.size["width"]
        assert second.rect["x"] + second.rect["width"] <= third.rect["x"]
        cells = plot.find_elements(By.CSS_SELECTOR, "g.mark-rect.role-mark > *")
        assert {cell.get_attribute("fill") for cell in cells} == {"#eeeeee", "rgb(255, 255, 255)"}
