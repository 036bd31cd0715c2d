"""Every example runs, from small data, and draws its picture."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
OPTIONS = {
    "architectures": ["--n-seeds", "1"],
    "choose_clusters": ["--n-folds", "2"],
    "compare_groupings": ["--n-seeds", "1", "--n-groups", "2", "--yeast", "small.npz"],
    "data_maps": [],
    "group_digit_tasks": [],
    "images": ["--path", "images.npz", "--n-train", "100", "--n-test", "50"],
    "missing_labels": ["--n-seeds", "2", "--tox21", "small.npz"],
    "overview": ["--n-seeds", "2"],
    "own_net": [],
    "parquet_rows": ["--n-rows", "300", "--row-group-size", "50"],
    "stores": ["--n-days", "20"],
}


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6)).astype(np.float32)
    y = (x[:, :4] + rng.normal(size=(120, 4)) > 0).astype(np.float32)
    with_missing = np.where(rng.random(y.shape) < 0.2, np.nan, y)
    np.savez(
        "small.npz",
        **{"x_train": x[:80], "x_test": x[80:], "y_train": y[:80], "y_test": y[80:]},
        **{"x": x, "y": with_missing, "tasks": list("abcd")},
    )
    classes = np.arange(200) % 10
    images = rng.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    parts = {
        f"{name}_{part}": v
        for part in ("train", "test")
        for name, v in zip("xy", (images, classes), strict=True)
    }
    np.savez("images.npz", **parts)


def test_no_example_is_left_out():
    elsewhere = {"reports", "accelerate_net", "cluster"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*OPTIONS, *elsewhere}


@pytest.mark.usefixtures("few_trees")
def test_reports(small_data, tmp_path, monkeypatch, capsys):
    plt = pytest.importorskip("matplotlib.pyplot")
    options = ["--folder", "pages", "--yeast", "small.npz", "--n-samples", "100"]
    options += ["--n-seeds", "1", "--n-repetitions", "2", "--n-references", "19"]
    options += ["--max-epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["reports", *options])
    plt.switch_backend("Agg")
    runpy.run_path(str(EXAMPLES / "reports.py"), run_name="__main__")
    for name in ("digits", "random", "yeast"):
        for kind in ("md", "html"):
            assert "Does it pay?" in (tmp_path / "pages" / f"{name}.{kind}").read_text()
    assert capsys.readouterr().out.count("In short") == 3


def test_reports_that_are_shown_are_small_and_whole():
    pages = EXAMPLES / "reports"
    for name in ("digits", "random", "yeast"):
        text = (pages / f"{name}.md").read_text()
        for picture in re.findall(r"\]\((.+?)\)", text):
            assert (pages / picture).exists(), picture
    assert max(path.stat().st_size for path in pages.iterdir()) < 300_000


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("name", OPTIONS)
def test_example(name, small_data, tmp_path, monkeypatch, capsys):
    needed = {"images": "torchvision", "parquet_rows": "pyarrow"}
    pytest.importorskip(needed.get(name, "matplotlib"))
    import matplotlib.pyplot as plt

    epochs = [] if name == "stores" else ["--max-epochs", "2"]  # which has no net
    options = ["--plot", "drawn.png", *epochs, *OPTIONS[name]]
    monkeypatch.setattr(sys, "argv", [name, *options])
    plt.switch_backend("Agg")
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    plt.close("all")
    assert plt.imread(tmp_path / "drawn.png")[..., :3].std() > 0
    assert "drawn.png" in capsys.readouterr().out
