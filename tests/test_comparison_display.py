"""The picture of a comparison."""

import numpy as np
import pytest
from comparing import MTL, STL, crafted
from plotting import LONG, inside, names_of, overlap, plt

from skgroup.inspection import ComparisonDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")

NAMES = ["MTL", "STL", "MTL ensemble, 4 nets", "grouped", "TAG grouping with three groups"]
NAMES += [f"another candidate no. {i}" for i in range(7)]
GREY, BLUE, ORANGE = "0.45", "#0072B2", "#D55E00"


def drawn(n_candidates, n_tasks, *, values=None, n_splits=5, tasks=None, **params):
    rng = np.random.default_rng(0)
    shape = n_candidates, n_splits, n_tasks
    if values is None:
        values = 0.8 + rng.normal(0, 0.03, (n_candidates, 1, n_tasks)) + rng.normal(0, 0.02, shape)
    names = NAMES[:n_candidates]
    return crafted(
        dict.fromkeys(names, np.zeros(n_splits)),
        [1.0] * n_candidates,
        baselines=names[:2],
        n_tasks=n_tasks,
        values=values,
        tasks=tasks or LONG[:n_tasks],
        **params,
    )


def intervals(ax, color):
    """Rows and ends of the intervals of a colour."""
    lines = [c for c in ax.collections if c.get_edgecolor().tolist() == [[*to_rgba(color)]]]
    segments = [segment for line in lines for segment in line.get_segments()]
    return {int(s[0, 1]): (s[0, 0], s[1, 0]) for s in segments}


def to_rgba(color):
    from matplotlib.colors import to_rgba

    return to_rgba(color)


def test_rows_are_differences_to_the_best_baseline_with_their_intervals():
    better = [s + 0.1 + 0.001 * i for i, s in enumerate(STL)]
    found = crafted(
        {"MTL": MTL, "STL": STL, "grouped": better}, [1, 9, 4], baselines=["MTL", "STL"], n_tasks=3
    )
    display = found.plot()
    assert isinstance(display, ComparisonDisplay)
    assert [ax.get_title() for ax in display.axes_] == ["MTL", "grouped"]
    assert names_of(display.axes_[0].yaxis) == ["mean over tasks", "t0", "t1", "t2"]
    frame = found.frame
    for i, name in enumerate(["MTL", "grouped"]):
        expected = frame.loc[name, ["difference", "low", "high"]].to_numpy()
        np.testing.assert_allclose(display.differences[i], expected)
    below, above = display.axes_
    assert set(intervals(below, ORANGE)) == set(intervals(above, BLUE)) == {0, 1, 2, 3}
    row = frame.loc[("grouped", "t1")]
    assert intervals(above, BLUE)[2] == pytest.approx((row["low"], row["high"]))
    assert "F1: difference to “STL”, 95 % interval" in display.figure_.get_supxlabel()
    other = found.plot(baseline="grouped")
    assert [ax.get_title() for ax in other.axes_] == ["MTL", "STL"]
    np.testing.assert_allclose(other.differences[1], -display.differences[1][:, [0, 2, 1]])


def test_an_interval_with_zero_is_grey():
    unsure = [0.95, 0.70, 0.90, 0.72, 0.93]
    found = crafted({"STL": STL, "grouped": unsure}, [9, 4], baselines=["STL"])
    display = found.plot()
    (ax,) = display.axes_
    assert set(intervals(ax, GREY)) == {0}
    assert names_of(ax.yaxis) == ["t0"]  # whose mean is no other row


@pytest.mark.parametrize(("n_candidates", "n_tasks"), [(2, 4), (4, 40), (12, 4), (12, 40)])
def test_it_is_readable_with_few_and_many(n_candidates, n_tasks):
    display = drawn(n_candidates, n_tasks).plot()
    figure, axes = display.figure_, display.axes_
    figure.draw_without_rendering()
    names = axes[0].get_yticklabels()
    titles = [ax.title for ax in axes]
    assert overlap(names) == overlap(titles) == 0
    inside(figure, [*names, *titles, figure._supxlabel])
    assert len(names) == n_tasks + 1
    assert len({ax.get_xlim() for ax in axes}) == 1
    for ax in axes:
        assert overlap(ax.get_xticklabels()) == 0
    width, height = figure.get_size_inches()
    assert width <= 24
    assert height <= 10


def test_of_many_tasks_those_of_the_largest_differences_are_shown():
    values = np.full((2, 5, 60), 0.5) + 0.001 * np.arange(5)[:, None]
    changed = np.arange(0, 60, 3)
    values[0][:, changed] += np.linspace(-0.3, 0.3, 20)
    display = drawn(2, 60, values=values).plot(max_tasks=20)
    np.testing.assert_array_equal(display.tasks_shown_, changed)
    assert "20 of 60 tasks, those of the largest" in display.figure_.get_supxlabel()
    assert len(drawn(2, 60, values=values).plot(max_tasks=None).tasks_shown_) == 60
    with pytest.raises(ValueError, match="max_tasks must be an int of at least 1, or None"):
        drawn(2, 3).plot(max_tasks=0)


def test_scores_of_several_kinds_are_drawn_in_standard_deviations():
    kinds = ["classes", "regression", "regression"]
    values = np.random.default_rng(0).normal(size=(3, 5, 3)) * [1, 100, 1e-3]
    mixed = {"scoring": {"classes": "F1", "regression": "R²"}, "task_kinds": kinds}
    found = drawn(3, 3, values=values, **mixed)
    display = found.plot()
    best = found.best_baseline
    other = found.candidates[2]
    p = found.paired(other, best, 1)
    np.testing.assert_allclose(
        display.differences[-1, 2], np.array([p.difference, p.low, p.high]) / found.spread[1]
    )
    assert display.differences[-1, 0, 0] == found.paired(other, best).difference
    assert "F1 and R², in standard deviations" in display.figure_.get_supxlabel()


def test_a_few_extreme_values_leave_the_others_readable():
    rng = np.random.default_rng(0)
    values = rng.normal(0.8, 0.02, (4, 5, 12))
    values[3, :, 4] -= 50
    display = drawn(4, 12, values=values).plot()
    low, high = display.axes_[0].get_xlim()
    assert high - low < 3
    arrows = [line for line in display.axes_[-1].lines if line.get_marker() == 4]
    assert sum(len(line.get_xdata()) for line in arrows) >= 2  # of the task, and of the mean
    lines = [line for line in display.axes_[-1].lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in lines) == 11


def test_what_failed_or_has_no_interval_is_drawn_without():
    values = np.random.default_rng(0).normal(0.8, 0.02, (4, 1, 3))
    values[3] = np.nan
    display = drawn(4, 3, values=values, n_splits=1).plot()
    assert [text.get_text() for text in display.axes_[-1].texts] == ["no score"]
    assert display.figure_.get_supxlabel().endswith("”")  # and no word of intervals
    nothing = drawn(3, 3, values=np.full((3, 2, 3), np.nan), n_splits=2)
    with pytest.raises(ValueError, match=r"None where a baseline has finished a fit\. Got None"):
        nothing.plot()


def test_another_scoring_has_a_picture_of_its_own():
    from skgroup.comparison._figures import Measure

    values = np.random.default_rng(0).normal(0.8, 0.02, (3, 5, 3))
    found = drawn(3, 3, others={"auc": Measure("ROC AUC", values)})
    display = found.by_scoring("auc").plot()
    assert display.figure_.get_supxlabel().startswith("ROC AUC: difference to")
    assert not np.allclose(display.differences, found.plot().differences)


def test_it_draws_where_it_is_told():
    figure, axes = plt.subplots(1, 2, layout="constrained")
    display = drawn(4, 3).plot(ax=axes[0])
    assert display.figure_ is figure
    assert len(display.axes_) == 3
    assert "difference to" in display.axes_[1].get_xlabel()
    _, given = plt.subplots(1, 3)
    np.testing.assert_array_equal(drawn(4, 3).plot(ax=given).axes_, given)
    with pytest.raises(ValueError, match="ax must be an Axes, or 3 of them"):
        drawn(4, 3).plot(ax=given[:2])


def test_names_are_shown_as_they_are():
    tasks = ["$x^2$", "a_b", "<&>"]
    display = drawn(2, 3, tasks=tasks).plot()
    display.figure_.draw_without_rendering()
    labels = display.axes_[0].get_yticklabels()
    assert [label.get_text() for label in labels][1:] == tasks
    assert not any(label.get_parse_math() for label in labels)


def test_what_is_no_comparison_is_refused():
    with pytest.raises(TypeError, match=r"must be what skgroup\.compare returns\. Got dict"):
        ComparisonDisplay.from_comparison({})
    with pytest.raises(ValueError, match=r"baseline must be one of the candidates \['MTL', 'STL'"):
        drawn(3, 2).plot(baseline="grouped")
    alone = crafted({"MTL": MTL}, [1], baselines=["MTL"])
    with pytest.raises(ValueError, match="another candidate than 'MTL'"):
        alone.plot()
