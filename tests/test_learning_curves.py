import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from plotting import inside, matplotlib, plt

from skgroup.inspection import LearningCurvesDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_learning_curves_draw_means_and_bands():
    rng = np.random.default_rng(0)
    scores = {"MTL": rng.random((5, 4)), "grouped": rng.random((3, 4)), "one seed": rng.random(4)}
    display = LearningCurvesDisplay.from_scores(
        scores, epochs=[1, 5, 10, 20], score_name="test F1", reference={"published": 0.7}
    )
    ax = display.ax_
    *lines, reference = ax.lines
    for line, (name, values) in zip(lines, scores.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), [1, 5, 10, 20])
        np.testing.assert_allclose(line.get_ydata(), np.atleast_2d(values).mean(axis=0))
    assert len({line.get_color() for line in lines}) == 3
    assert reference.get_linestyle() == "--"
    assert reference.get_ydata()[0] == 0.7
    # A band of one standard deviation, none for a single seed.
    assert len(ax.collections) == 2
    for band, name, line in zip(ax.collections, scores, lines, strict=False):
        corners = {tuple(np.round(xy, 9)) for xy in band.get_paths()[0].vertices}
        mean, std = scores[name].mean(axis=0), scores[name].std(axis=0, ddof=1)
        for bound in (mean - std, mean + std):
            assert {tuple(np.round(xy, 9)) for xy in zip([1, 5, 10, 20], bound, strict=True)} <= (
                corners
            )
        assert to_rgb(band.get_facecolor()[0]) == to_rgb(line.get_color())
    assert ax.get_ylabel() == "test F1"
    assert ax.get_xlabel() == "epoch"
    # Names at the ends of the lines, apart from each other.
    assert sorted(t.get_text() for t in ax.texts) == ["MTL", "grouped", "one seed", "published"]
    assert ax.get_legend() is None
    display.figure_.draw_without_rendering()
    inside(display.figure_, ax.texts)


def test_names_of_lines_that_end_together_do_not_overlap():
    scores = {f"method {i}": np.full((2, 3), 0.5 + 1e-4 * i) for i in range(8)}
    display = LearningCurvesDisplay.from_scores(scores)
    texts = display.ax_.texts
    assert len(texts) == 8
    display.figure_.draw_without_rendering()
    centers = [matplotlib.text.Text.get_window_extent(t) for t in texts]
    bottom = sorted((box.y0, box.y1) for box in centers)
    assert all(a[1] < b[0] + 1 for a, b in itertools.pairwise(bottom))
    assert [t.get_text() for t in sorted(texts, key=lambda t: t.xyann[1])] == list(scores)
    inside(display.figure_, texts)


def test_many_methods_have_a_legend_and_styles_of_their_own():
    scores = {f"method {i}": np.full((2, 3), 0.1 * i) for i in range(15)}
    display = LearningCurvesDisplay.from_scores(scores, reference=0.9)
    legend = display.ax_.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == [*scores, "reference"]
    assert not display.ax_.texts
    display.figure_.draw_without_rendering()
    looks = {(line.get_color(), str(line._dash_pattern)) for line in display.ax_.lines}
    assert len(looks) == 16
    inside(display.figure_, legend.get_texts())
    few = LearningCurvesDisplay.from_scores({"a": [1.0, 2.0]}, labels="legend")
    assert few.ax_.get_legend() is not None


def test_learning_curves_with_gaps():
    nan = np.nan
    scores = {"MTL": [[0.5, 0.6, nan], [0.7, nan, nan]], "grouped": [0.8, nan, 0.9]}
    display = LearningCurvesDisplay.from_scores(scores, epochs=[1, 2, 4])
    np.testing.assert_allclose(display.mean_["MTL"], [0.6, 0.6, np.nan])
    np.testing.assert_allclose(display.std_["MTL"], [np.sqrt(0.02), np.nan, np.nan])
    np.testing.assert_allclose(display.mean_["grouped"], [0.8, np.nan, 0.9])
    assert list(display.mean_) == ["MTL", "grouped"]
    grouped = display.ax_.lines[1]  # goes on over the epoch that it lacks
    np.testing.assert_array_equal(grouped.get_xdata(), [1, 4])
    np.testing.assert_allclose(grouped.get_ydata(), [0.8, 0.9])


def test_learning_curves_take_an_axes():
    figure, axes = plt.subplots(1, 2)
    display = LearningCurvesDisplay.from_scores({"a": [[1.0, 2.0]]}, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].lines


@pytest.mark.parametrize(
    ("scores", "kwargs", "match"),
    [
        ({}, {}, "at least one method"),
        ([1.0], {}, "must be a dict.*list"),
        ({"a": [["x"]]}, {}, "scores of 'a' must be an array of numbers"),
        ({"a": np.zeros((2, 2, 2))}, {}, r"\(n_seeds, n_epochs\).*\(2, 2, 2\)"),
        ({"a": [np.inf]}, {}, "infinite"),
        ({"a": [1.0, 2.0], "b": [1.0]}, {}, "each of 2 epochs.*Got 1 of 'b'"),
        ({"a": [1.0, 2.0]}, {"epochs": [2, 1]}, "rising"),
        ({"a": [1.0, 2.0]}, {"epochs": [1, 2, 3]}, "each of 3 epochs.*Got 2 of 'a'"),
        ({"a": [1.0]}, {"labels": "none"}, "labels must be"),
        ({"a": [1.0]}, {"reference": np.nan}, "finite number"),
        ({"a": [1.0]}, {"reference": {"b": "x"}}, "Got 'x' for 'b'"),
    ],
)
def test_learning_curves_errors(scores, kwargs, match):
    with pytest.raises(ValueError, match=match):
        LearningCurvesDisplay.from_scores(scores, **kwargs)
