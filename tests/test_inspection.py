import builtins

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from plotting import (
    LONG,
    contrast,
    inside,
    names_of,
    overlap,
    plt,
    random_gains,
    random_membership,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, TaskGrouper
from skgroup.inspection import (
    AffinityDisplay,
    CoMembershipDisplay,
    DataMapDisplay,
    ExpertWeightsDisplay,
    GainsDisplay,
    LearningCurvesDisplay,
    MembershipDisplay,
)
from skgroup.populations import PooledTasksRegressor
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupGains, HOAGrouping

# -- all heat maps -----------------------------------------------------------------------------

pytestmark = pytest.mark.usefixtures("closed_figures")


def draw(kind, n_tasks, **kwargs):
    rng, names = np.random.default_rng(0), LONG[:n_tasks]
    if kind == "membership":
        values = random_membership(n_tasks, 10 if n_tasks == 100 else 3)
        return MembershipDisplay.from_membership(values, task_names=names, **kwargs)
    if kind == "co-membership":
        labels = rng.integers(0, 3, size=(10, n_tasks))
        values = (labels[:, :, None] == labels[:, None]).mean(axis=0)
        return CoMembershipDisplay.from_co_membership(
            values, n_groups=2, task_names=names, **kwargs
        )
    if kind == "affinity":
        values = rng.normal(size=(n_tasks, n_tasks))
        return AffinityDisplay.from_affinity(values, task_names=names, **kwargs)
    if kind == "gains":
        return GainsDisplay.from_gains(*random_gains(n_tasks), task_names=names, **kwargs)
    weights = [rng.dirichlet([0.3] * (2 * n_tasks + 1), n_tasks) for _ in range(2)]
    experts = [f"{name} #{i}" for name in names for i in range(2)] + ["shared #0"]
    return ExpertWeightsDisplay.from_expert_weights(
        weights, task_names=names, expert_names=experts, **kwargs
    )


@pytest.mark.parametrize("n_tasks", [2, 15, 100])
@pytest.mark.parametrize("kind", ["membership", "co-membership", "affinity", "gains", "experts"])
def test_heat_maps_are_readable(kind, n_tasks):
    display = draw(kind, n_tasks)
    figure, ax = display.figure_, display.ax_
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert (width <= 10) if n_tasks < 100 else (width <= 17)  # a page; more is to zoom into
    assert (height <= 18) if n_tasks < 100 else (height <= 26)
    for axis in (ax.yaxis, *([ax.xaxis] if kind != "experts" else [])):
        labels = axis.get_ticklabels()
        assert overlap(labels) == 0
        assert all(label.get_fontsize() >= 6 for label in labels)
        inside(figure, labels)
    bar = next(other for other in figure.axes if not other.images)
    inside(figure, [bar.xaxis.label, bar.yaxis.label])
    assert overlap(bar.get_xticklabels() or bar.get_yticklabels()) == 0
    # Every row has its name; so have the columns, but where owners stand for their experts.
    assert len(ax.get_yticks()) == ax.images[0].get_array().shape[0]
    last = getattr(display, "axes_", [ax])[-1]
    assert len(last.get_xticks()) == (
        {2: 5, 15: 31, 100: 101}[n_tasks]
        if kind == "experts"
        else ax.images[0].get_array().shape[1]
    )
    if n_tasks < 100 or kind == "membership":
        assert overlap(ax.texts) == 0
        image = ax.images[0]
        cells = image.to_rgba(image.get_array())
        for text in ax.texts:
            column, row = map(int, text.get_position())
            assert contrast(text.get_color(), cells[row, column][:3]) > 4
            assert text.get_fontsize() >= 5
    else:
        assert len(ax.texts) == 0  # a hundred columns have no room for values


@pytest.mark.parametrize("kind", ["membership", "affinity", "gains", "experts"])
def test_heat_maps_take_an_axes_of_a_grid(kind):
    figure, axes = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
    display = draw(kind, 6, ax=axes[1, 0])
    assert display.figure_ is figure
    assert kind == "experts" or display.ax_ is axes[1, 0]
    assert plt.get_fignums() == [figure.number]
    assert not axes[0, 0].images
    figure.draw_without_rendering()
    assert overlap(display.ax_.get_yticklabels()) == 0
    # In a subfigure too.
    part = plt.figure().subfigures(1, 2)[0]
    assert draw(kind, 3, ax=part.subplots()).figure_ is part


def test_names_are_thinned_where_there_is_no_room_for_all():
    _, axes = plt.subplots(3, 3, figsize=(9, 9))
    display = draw("membership", 100, ax=axes[0, 0])
    assert 10 < len(axes[0, 0].get_yticks()) < 50
    shown = names_of(axes[0, 0].yaxis)
    assert shown == [LONG[display.order_[int(i)]] for i in axes[0, 0].get_yticks()]
    display.figure_.draw_without_rendering()
    assert overlap(axes[0, 0].get_yticklabels()) == 0


@pytest.mark.parametrize("kind", ["membership", "affinity", "gains", "experts"])
def test_values_can_be_forced_and_left_out(kind):
    _, ax = plt.subplots(1, 2, figsize=(1, 1))
    assert len(draw(kind, 2, values=False).ax_.texts) == 0
    assert len(draw(kind, 4, values=True, ax=ax[0]).ax_.texts) > 0
    assert len(draw(kind, 4, ax=ax[1]).ax_.texts) == 0


def test_very_long_names_are_cut_in_the_middle():
    name = "the_first_part_of_a_name_that_goes_on_for_long_and_ends"
    (shown,) = names_of(MembershipDisplay.from_membership([[1.0]], task_names=[name]).ax_.yaxis)
    head, tail = shown.split("…")
    assert len(shown) == 30
    assert name.startswith(head)
    assert name.endswith(tail)
    assert tail


@pytest.mark.parametrize(
    "plot",
    [
        lambda: MembershipDisplay.from_membership(np.eye(2)),
        lambda: AffinityDisplay.from_affinity(np.eye(2)),
        lambda: GainsDisplay.from_gains(np.eye(2), np.eye(2)),
        lambda: ExpertWeightsDisplay.from_expert_weights(np.eye(2)),
        lambda: DataMapDisplay.from_data_map(np.full((3, 2), 0.2)),
        lambda: LearningCurvesDisplay.from_scores({"a": [1.0, 2.0]}),
    ],
)
def test_without_matplotlib_the_error_says_how_to_get_it(plot, monkeypatch):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=r"Display needs matplotlib.*pip install skgroup\[plot\]"):
        plot()


# -- memberships -------------------------------------------------------------------------------


def test_membership_rows_are_ordered_by_group_and_strength():
    membership = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.7, 0.3]])
    display = MembershipDisplay.from_membership(membership, task_names=list("abcd"))
    assert display.order_.tolist() == [3, 1, 2, 0]
    assert names_of(display.ax_.yaxis) == ["d", "b", "c", "a"]
    assert names_of(display.ax_.xaxis) == ["0", "1"]
    np.testing.assert_array_equal(display.ax_.images[0].get_array(), membership[[3, 1, 2, 0]])
    texts = [t.get_text() for t in display.ax_.texts]
    assert texts == ["0.70", "0.30", "0.60", "0.40", "0.10", "0.90", "0.20", "0.80"]
    (line,) = display.ax_.lines  # between the tasks of the two groups
    assert line.get_ydata()[0] == 1.5


def test_membership_may_have_tasks_in_its_columns(tasks, small_net):
    membership = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.7, 0.3]])
    display = MembershipDisplay.from_membership(
        membership, task_names=list("abcd"), transpose=True, values=True
    )
    assert display.order_.tolist() == [3, 1, 2, 0]
    assert names_of(display.ax_.xaxis) == ["d", "b", "c", "a"]
    assert names_of(display.ax_.yaxis) == ["0", "1"]
    assert (display.ax_.get_ylabel(), display.ax_.get_xlabel()) == ("group", "")
    np.testing.assert_array_equal(display.ax_.images[0].get_array(), membership[[3, 1, 2, 0]].T)
    texts = [t.get_text() for t in display.ax_.texts]
    assert texts == ["0.70", "0.60", "0.10", "0.20", "0.30", "0.40", "0.90", "0.80"]
    (line,) = display.ax_.lines
    assert line.get_xdata()[0] == 1.5
    grouped = GroupedMTLClassifier(small_net, np.ones((4, 3)), random_state=0).fit(*tasks)
    display = MembershipDisplay.from_estimator(grouped, transpose=True)
    assert sorted(names_of(display.ax_.xaxis)) == sorted(tasks[1].columns)
    with pytest.raises(ValueError, match=r"transpose must be a bool\. Got 'yes'"):
        MembershipDisplay.from_membership(membership, transpose="yes")


def test_membership_of_estimators(tasks, small_net):
    X, Y = tasks
    grouping = make_pipeline(TaskGrouper(small_net), FuzzyKMeans(2, random_state=0)).fit(X, Y)
    display = MembershipDisplay.from_estimator(grouping)
    np.testing.assert_array_equal(display.membership, grouping[-1].membership_)
    assert sorted(names_of(display.ax_.yaxis)) == sorted(Y.columns)
    display = MembershipDisplay.from_estimator(grouping, task_names=list("wxyz"))
    assert sorted(names_of(display.ax_.yaxis)) == list("wxyz")

    given = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    grouped = GroupedMTLClassifier(small_net, given, random_state=0).fit(X, Y)
    display = MembershipDisplay.from_estimator(grouped)
    np.testing.assert_array_equal(display.membership, given)
    assert sorted(names_of(display.ax_.yaxis)) == sorted(Y.columns)


def test_membership_of_populations_shows_their_names():
    X = np.column_stack([np.arange(24) % 3, np.arange(24) % 7])
    pooled = PooledTasksRegressor(task=0, n_groups=2, cv=2, random_state=0).fit(X, X[:, 1])
    display = MembershipDisplay.from_estimator(pooled)
    assert sorted(names_of(display.ax_.yaxis)) == ["0", "1", "2"]


def test_membership_of_a_hard_clusterer_is_one_hot():
    from sklearn.cluster import KMeans

    rows = np.array([[0.0], [0.1], [5.0], [5.1]])
    display = MembershipDisplay.from_estimator(KMeans(2, random_state=0).fit(rows))
    labels = display.membership.argmax(axis=1)
    assert labels[0] == labels[1] != labels[2] == labels[3]
    np.testing.assert_array_equal(np.sort(display.membership, axis=1), [[0, 1]] * 4)


def test_estimators_of_a_search_are_found(tasks, small_net):
    X, Y = tasks
    grid = {"n_groups": [2]}
    classifier = GroupedMTLClassifier(small_net, random_state=0)
    search = GridSearchCV(classifier, grid, cv=2).fit(X, Y)
    best = search.best_estimator_
    display = MembershipDisplay.from_estimator(search)
    np.testing.assert_array_equal(display.membership, best.membership_)
    assert sorted(names_of(display.ax_.yaxis)) == sorted(Y.columns)
    # Maps are kept by a grouper that is given.
    with pytest.raises(ValueError, match=r"a step that keeps its maps, as in Grouped.*GridSearch"):
        DataMapDisplay.from_estimator(search, "low")
    given = make_pipeline(TaskGrouper(small_net), FuzzyKMeans(2))
    with_maps = GridSearchCV(clone(classifier), {"grouper": [given]}, cv=2).fit(X, Y)
    maps = DataMapDisplay.from_estimator(with_maps, "low")
    of_best = DataMapDisplay.from_estimator(with_maps.best_estimator_, "low")
    np.testing.assert_array_equal(maps.confidence, of_best.confidence)
    # A search as a step of a pipeline, and a pipeline in a search.
    nested = GridSearchCV(make_pipeline(search), {}, cv=2).fit(X, Y)
    np.testing.assert_array_equal(
        MembershipDisplay.from_estimator(nested).membership,
        nested.best_estimator_[-1].best_estimator_.membership_,
    )
    with pytest.raises(NotFittedError):
        MembershipDisplay.from_estimator(GridSearchCV(classifier, grid))
    # Without refit a search has no estimator.
    without = GridSearchCV(classifier, grid, cv=2, refit=False).fit(X, Y)
    with pytest.raises(ValueError, match=r"membership_ or labels_.*GridSearchCV"):
        MembershipDisplay.from_estimator(without)


def test_membership_errors(tasks):
    with pytest.raises(NotFittedError):
        MembershipDisplay.from_estimator(FuzzyKMeans())
    with pytest.raises(ValueError, match=r"membership_ or labels_.*LabelCorrelationAffinity"):
        MembershipDisplay.from_estimator(LabelCorrelationAffinity().fit(*tasks))
    with pytest.raises(
        ValueError, match=r"must hold a group \(an int or str\) for each of the 3 tasks"
    ):
        MembershipDisplay.from_membership([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="finite and non-negative"):
        MembershipDisplay.from_membership([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"task_names must name the 2 tasks.*3 names"):
        MembershipDisplay.from_membership(np.eye(2), task_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"one name each. Got 'ab'"):
        MembershipDisplay.from_membership(np.eye(2), task_names="ab")


# -- affinities --------------------------------------------------------------------------------


def test_affinity_puts_blocks_together_and_diverges_from_zero():
    group = np.array([0, 1, 0, 1, 0, 1])
    affinity = np.where(group[:, None] == group, 0.3, -0.1) + np.arange(36).reshape(6, 6) / 4e3
    np.fill_diagonal(affinity, 5.0)
    display = AffinityDisplay.from_affinity(affinity, task_names=list("abcdef"))
    assert (np.diff(group[display.order_]) != 0).sum() == 1
    shown = affinity[np.ix_(display.order_, display.order_)]
    image = display.ax_.images[0]
    np.testing.assert_array_equal(image.get_array(), shown)
    assert names_of(display.ax_.xaxis) == names_of(display.ax_.yaxis)
    assert names_of(display.ax_.yaxis) == [list("abcdef")[t] for t in display.order_]
    assert display.ax_.get_ylabel() == "trained on"
    assert display.ax_.get_xlabel() == "effect on"
    # The diagonal does not make the rest pale, and nothing is the middle of the colours.
    low, high = image.get_clim()
    assert high == -low == 0.4  # the next round number
    blue, red = image.to_rgba([0.3, -0.1])
    assert blue[2] > blue[0]
    assert red[0] > red[2]


@pytest.mark.parametrize("n_tasks", [40, 100])
def test_cells_of_large_affinities_are_about_square(n_tasks):
    display = AffinityDisplay.from_affinity(np.eye(n_tasks))
    display.figure_.draw_without_rendering()
    box = display.ax_.get_window_extent()
    assert 0.8 < box.width / box.height < 1.25


def test_affinity_order_can_be_given():
    affinity = np.arange(9.0).reshape(3, 3)
    display = AffinityDisplay.from_affinity(affinity, order="given")
    assert display.order_.tolist() == [0, 1, 2]
    display = AffinityDisplay.from_affinity(affinity, order=[2, 0, 1], vmax=4.0)
    np.testing.assert_array_equal(
        display.ax_.images[0].get_array(), affinity[[2, 0, 1]][:, [2, 0, 1]]
    )
    assert display.ax_.images[0].get_clim() == (-4, 4)
    for order in ([0, 1, 1], [0, 1], "best"):
        with pytest.raises(ValueError, match="order must be"):
            AffinityDisplay.from_affinity(affinity, order=order)
    with pytest.raises(ValueError, match="vmax must be positive"):
        AffinityDisplay.from_affinity(affinity, vmax=0.0)


def test_unknown_affinities_are_grey_and_do_not_stop_the_clustering():
    affinity = np.array([[1, 0.5, np.nan], [0.4, 1, np.nan], [np.nan, np.nan, 1]])
    display = AffinityDisplay.from_affinity(affinity)
    image = display.ax_.images[0]
    assert image.get_array().mask.sum() == 4
    assert to_rgba(image.cmap.get_bad()) == to_rgba("0.85")
    assert len(display.ax_.texts) == 5
    assert np.abs(np.diff(np.argsort(display.order_)[:2])) == 1  # the two that help each other
    everything = AffinityDisplay.from_affinity(np.full((3, 3), np.nan))
    assert sorted(everything.order_) == [0, 1, 2]


def test_affinity_of_estimators(tasks, small_net):
    X, Y = tasks
    relation = LabelCorrelationAffinity().fit(X, Y)
    display = AffinityDisplay.from_estimator(relation)
    np.testing.assert_array_equal(display.affinity, relation.affinity_)
    assert sorted(names_of(display.ax_.yaxis)) == sorted(Y.columns)
    piped = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2)).fit(X, Y)
    np.testing.assert_array_equal(
        AffinityDisplay.from_estimator(piped).affinity, relation.affinity_
    )
    with pytest.raises(ValueError, match=r"must hold effects of pairs.*Got TaskGrouper"):
        AffinityDisplay.from_estimator(TaskGrouper(small_net).fit(X, Y))
    with pytest.raises(NotFittedError):
        AffinityDisplay.from_estimator(LabelCorrelationAffinity())
    with pytest.raises(ValueError, match=r"\(n_tasks, n_tasks\). Got shape \(2, 3\)"):
        AffinityDisplay.from_affinity(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="infinity"):
        AffinityDisplay.from_affinity([[np.inf]])


# -- gains -------------------------------------------------------------------------------------


def test_gains_colour_members_alone_and_best_groups_first():
    masks = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    gains = np.array([[0.1, 0.2, 9.0], [7.0, -0.1, np.nan], [0.3, 8.0, 0.2]])
    display = GainsDisplay.from_gains(masks, gains, task_names=["a", "b", "c"])
    assert display.order_.tolist() == [2, 0, 1]
    np.testing.assert_allclose(display.mean_gains_, [0.15, -0.1, 0.25])
    image, unknown = display.ax_.images
    np.testing.assert_array_equal(
        image.get_array().mask,
        ~masks.astype(bool)[[2, 0, 1]]
        | [[False, False, False], [False, False, False], [False, False, True]],
    )
    assert image.get_clim() == (-0.3, 0.3)
    # A member that is not known is told from a task that is no member.
    assert np.argwhere(~unknown.get_array().mask).tolist() == [[2, 2]]
    assert to_rgba(unknown.cmap(0.0)) == to_rgba("0.6") != to_rgba(image.cmap.get_bad())
    texts = {t.get_position(): t.get_text() for t in display.ax_.texts}
    assert texts == {
        (0, 0): "0.30",
        (2, 0): "0.20",
        (0, 1): "0.10",
        (1, 1): "0.20",
        (1, 2): "\N{MINUS SIGN}0.10",
        (2, 2): "?",
    }


def test_of_many_groups_the_best_and_the_worst_are_shown():
    masks, gains = random_gains(40)
    gains[7] = np.nan  # not measured
    display = GainsDisplay.from_gains(masks, gains, max_groups=9)
    means = np.nanmean(np.delete(gains, 7, axis=0), axis=1)
    shown = display.mean_gains_[display.order_]
    np.testing.assert_allclose(shown[:5], np.sort(means)[::-1][:5])
    np.testing.assert_allclose(shown[5:], np.sort(means)[::-1][-4:])
    assert display.ax_.get_title(loc="right") == "best 5 and worst 4 of 820 groups"
    assert len(display.ax_.get_yticks()) == 9
    assert display.ax_.lines[0].get_ydata()[0] == 4.5
    everything = GainsDisplay.from_gains(masks[:20], gains[:20], max_groups=None)
    assert len(everything.order_) == 20
    assert everything.order_[-1] == 7
    assert everything.ax_.get_title() == ""
    assert names_of(everything.ax_.yaxis)[-1] == "task 7: ?"


def test_a_group_of_many_is_named_by_its_size():
    display = GainsDisplay.from_gains(np.ones((1, 9)), np.full((1, 9), 0.5), task_names=LONG[:9])
    assert names_of(display.ax_.yaxis) == ["9 tasks: +0.500"]


def test_gains_of_estimators(tasks, small_net):
    X, Y = tasks
    measured = GroupGains(small_net, masks="pairs", random_state=0).fit(X, Y.iloc[:, :3])
    display = GainsDisplay.from_estimator(measured)
    np.testing.assert_array_equal(display.masks, measured.masks_)
    np.testing.assert_array_equal(display.gains, measured.gains_)
    assert names_of(display.ax_.xaxis) == ["even", "low", "round"]
    grouping = HOAGrouping(small_net, n_groups=2, random_state=0).fit(X, Y.iloc[:, :3])
    display = GainsDisplay.from_estimator(grouping)
    np.testing.assert_array_equal(display.gains, grouping.gains_.gains_)
    with pytest.raises(NotFittedError):
        GainsDisplay.from_estimator(GroupGains())
    with pytest.raises(ValueError, match=r"must be a GroupGains.*FuzzyKMeans"):
        GainsDisplay.from_estimator(FuzzyKMeans(2).fit(np.eye(3)))


@pytest.mark.parametrize(
    ("masks", "gains", "kwargs", "match"),
    [
        (np.eye(2), np.eye(3), {}, r"shape of masks, \(2, 2\). Got shape \(3, 3\)"),
        ([[2, 0]], [[1, 1]], {}, "0 and 1"),
        ([[0, 0]], [[1, 1]], {}, "no empty group. Got row 0 without a task"),
        ([[1, 0]], [[np.inf, 1]], {}, "infinite"),
        ([[1, 0]], [[1, 1]], {"max_groups": 1}, "max_groups must be an int of at least 2"),
        ([[1, 0]], [[1, 1]], {"vmax": -1}, "vmax must be positive"),
        ([[1, 0]], [[1, 1]], {"task_names": ["a"]}, "task_names must name the 2 tasks"),
    ],
)
def test_gains_errors(masks, gains, kwargs, match):
    with pytest.raises(ValueError, match=match):
        GainsDisplay.from_gains(masks, gains, **kwargs)


def test_names_are_not_read_as_formulas():
    display = MembershipDisplay.from_membership(
        np.eye(2), task_names=["$\\frac{$", "cost $5 to $10"]
    )
    display.figure_.canvas.draw()
    assert {t.get_text() for t in display.ax_.get_yticklabels()} == {"$\\frac{$", "cost $5 to $10"}
