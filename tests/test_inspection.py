import builtins
import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup.cluster import Clusterings
from skgroup.inspection import (
    AffinityDisplay,
    DataMapDisplay,
    ExpertWeightsDisplay,
    GainsDisplay,
    LearningCurvesDisplay,
    MembershipDisplay,
)
from skgroup.nn import MLP, PLE
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupGains, HOAGrouping

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pd = pytest.importorskip("pandas")
import matplotlib.pyplot as plt  # noqa: E402 - once the backend is chosen
from matplotlib.colors import to_rgb, to_rgba  # noqa: E402

LONG = [f"{i}_o_Clock_Shadow_attribute" for i in range(100)]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def tasks(digits):
    """X and a DataFrame of four named tasks, small enough to train on in no time."""
    X, Y = digits
    return X[:200], pd.DataFrame(Y[:200, -4:], columns=["even", "low", "round", "prime"])


def names_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def overlap(texts):
    """Pairs of texts of a drawn figure whose boxes share more than a hair."""
    boxes = [t.get_window_extent() for t in texts if t.get_text() and t.get_visible()]
    corners = np.array([b.extents for b in boxes])
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    both = ((high - low) > 1.0).all(axis=2)
    return int(np.triu(both, k=1).sum())


def inside(figure, artists):
    """Whether all of a drawn figure is on it."""
    width, height = figure.get_size_inches() * figure.dpi
    for artist in artists:
        box = artist.get_window_extent()
        assert box.x0 > -1, artist
        assert box.y0 > -1, artist
        assert box.x1 < width + 1, artist
        assert box.y1 < height + 1, artist


def contrast(one, two):
    """WCAG 2."""

    def luminance(color):
        c = np.array(to_rgb(color))
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return c @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted([luminance(one), luminance(two)])
    return (light + 0.05) / (dark + 0.05)


def random_membership(n_tasks, n_groups):
    return np.random.default_rng(0).dirichlet([0.3] * n_groups, n_tasks)


def random_gains(n_tasks):
    """All single tasks and pairs."""
    i, j = np.triu_indices(n_tasks, k=1)
    one = np.eye(n_tasks, dtype=bool)
    masks = np.vstack([one, one[i] | one[j]])
    gains = np.random.default_rng(0).normal(size=masks.shape) * 0.03
    return masks, np.where(masks, gains, np.nan)


# -- all heat maps -----------------------------------------------------------------------------


def draw(kind, n_tasks, **kwargs):
    rng, names = np.random.default_rng(0), LONG[:n_tasks]
    if kind == "membership":
        values = random_membership(n_tasks, 10 if n_tasks == 100 else 3)
        return MembershipDisplay.from_membership(values, task_names=names, **kwargs)
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
@pytest.mark.parametrize("kind", ["membership", "affinity", "gains", "experts"])
def test_heat_maps_are_readable(kind, n_tasks):
    display = draw(kind, n_tasks)
    figure, ax = display.figure_, display.ax_
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert width <= 10
    assert height <= 18
    for axis in (ax.yaxis, *([ax.xaxis] if kind != "experts" else [])):
        labels = axis.get_ticklabels()
        assert overlap(labels) == 0
        assert all(label.get_fontsize() > 4 for label in labels)
        inside(figure, labels)
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


def test_membership_of_a_hard_clusterer_is_one_hot():
    from sklearn.cluster import KMeans

    rows = np.array([[0.0], [0.1], [5.0], [5.1]])
    display = MembershipDisplay.from_estimator(KMeans(2, random_state=0).fit(rows))
    labels = display.membership.argmax(axis=1)
    assert labels[0] == labels[1] != labels[2] == labels[3]
    np.testing.assert_array_equal(np.sort(display.membership, axis=1), [[0, 1]] * 4)


def test_membership_of_several_clusterings_follows_the_one_with_the_most_groups():
    # The strongest entries of the rows are all in the first clustering, which parts {a, b} from
    # {c, d, e}; the second one has {b, e}, {a, d} and {c}.
    membership = np.array(
        [
            [0.9, 0.1, 0.3, 0.6, 0.1],
            [1.0, 0.0, 0.5, 0.2, 0.3],
            [0.0, 1.0, 0.2, 0.1, 0.7],
            [0.2, 0.8, 0.1, 0.7, 0.2],
            [0.1, 0.9, 0.8, 0.1, 0.1],
        ]
    )
    display = MembershipDisplay.from_membership(
        membership, task_names=list("abcde"), clustering=[0, 0, 1, 1, 1]
    )
    assert names_of(display.ax_.xaxis) == ["2: 0", "2: 1", "3: 0", "3: 1", "3: 2"]
    assert names_of(display.ax_.yaxis) == list("ebdac")
    np.testing.assert_array_equal(display.ax_.images[0].get_array(), membership[[4, 1, 3, 0, 2]])
    *between_tasks, between_clusterings = display.ax_.lines
    assert [line.get_ydata()[0] for line in between_tasks] == [1.5, 3.5]
    assert between_clusterings.get_xdata()[0] == 1.5
    # The most groups count, not the last.
    turned = MembershipDisplay.from_membership(
        membership[:, [2, 3, 4, 0, 1]], clustering=[0, 0, 0, 1, 1]
    )
    np.testing.assert_array_equal(turned.order_, display.order_)
    assert names_of(turned.ax_.xaxis) == ["3: 0", "3: 1", "3: 2", "2: 0", "2: 1"]
    assert turned.ax_.lines[-1].get_xdata()[0] == 2.5


def test_membership_of_an_estimator_with_several_clusterings_is_named_as_in_html(tasks, small_net):
    X, Y = tasks
    classifier = GroupedMTLClassifier(small_net, n_groups=[2, 3], random_state=0).fit(X, Y)
    columns = ["2: 0", "2: 1", "3: 0", "3: 1", "3: 2"]
    of = TaskGrouper(small_net, random_state=0)
    clusterings = make_pipeline(of, Clusterings(n_clusters=[2, 3], random_state=0)).fit(X, Y)
    for estimator in (classifier, clusterings):
        display = MembershipDisplay.from_estimator(estimator)
        assert names_of(display.ax_.xaxis) == columns
        group = display.membership[display.order_, 2:].argmax(axis=1)
        assert (np.diff(group) >= 0).all()
    html = classifier._groups_html()
    assert all(f">{name.replace(': ', ' groups: group ')}<" in html for name in columns)
    # A single clustering needs no number of groups.
    alone = Clusterings(n_clusters=[2], random_state=0).fit(Y.T)
    assert names_of(MembershipDisplay.from_estimator(alone).ax_.xaxis) == ["0", "1"]


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
    with pytest.raises(ValueError, match=r"shape \(n_tasks, n_groups\).*\(3,\)"):
        MembershipDisplay.from_membership([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="finite and non-negative"):
        MembershipDisplay.from_membership([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"task_names must name the 2 tasks.*3 names"):
        MembershipDisplay.from_membership(np.eye(2), task_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"one name each. Got 'ab'"):
        MembershipDisplay.from_membership(np.eye(2), task_names="ab")
    for clustering in ([0], [1, 1], [0, 2], [1, 0], [0.0, 1.0]):
        with pytest.raises(ValueError, match=r"clustering must number .* each of the 2 groups"):
            MembershipDisplay.from_membership(np.eye(2), clustering=clustering)


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
    assert display.ax_.get_ylabel() == "training on"
    assert display.ax_.get_xlabel() == "does to"
    # The diagonal does not make the rest pale, and nothing is the middle of the colours.
    low, high = image.get_clim()
    assert high == -low == affinity[~np.eye(6, dtype=bool)].max()
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
    with pytest.raises(ValueError, match=r"TaskGrouper.*from_affinity"):
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
        ([[0, 0]], [[1, 1]], {}, "a task in every group. Got none in 0"),
        ([[1, 0]], [[np.inf, 1]], {}, "infinite"),
        ([[1, 0]], [[1, 1]], {"max_groups": 1}, "max_groups must be an int of at least 2"),
        ([[1, 0]], [[1, 1]], {"vmax": -1}, "vmax must be positive"),
        ([[1, 0]], [[1, 1]], {"task_names": ["a"]}, "task_names must name the 2 tasks"),
    ],
)
def test_gains_errors(masks, gains, kwargs, match):
    with pytest.raises(ValueError, match=match):
        GainsDisplay.from_gains(masks, gains, **kwargs)


# -- expert weights ----------------------------------------------------------------------------


def test_expert_weights_of_a_net(tasks):
    X, Y = tasks
    net = MultiTaskNet(
        PLE,
        module__expert_hidden_units=[(8,), (8,)],
        module__n_task_experts=1,
        module__n_shared_experts=2,
        max_epochs=1,
        random_state=0,
    ).fit(X, Y)
    display = ExpertWeightsDisplay.from_estimator(net, X)
    expected = net.expert_weights(X)
    assert len(display.axes_) == 2
    assert display.ax_ is display.axes_[0]
    for ax, weights in zip(display.axes_, expected, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), weights)
        assert names_of(ax.yaxis) == list(Y.columns)
        # A task sees its own expert and the two shared ones; the rest is blank.
        assert len(ax.texts) == 4 * 3
        # Experts of four tasks and the shared ones: four lines between them.
        assert [line.get_xdata()[0] for line in ax.lines] == [0.5, 1.5, 2.5, 3.5]
        assert ax.images[0].get_clim() == (0, max(w.max() for w in expected))
    # The levels have the same experts; they are named below the last.
    assert names_of(display.axes_[0].xaxis) == []
    experts = [f"{name} #0" for name in Y.columns] + ["shared #0", "shared #1"]
    assert names_of(display.axes_[1].xaxis) == experts
    renamed = ExpertWeightsDisplay.from_estimator(net, X, task_names=list("abcd"))
    assert names_of(renamed.axes_[1].xaxis)[:4] == ["a #0", "b #0", "c #0", "d #0"]


def test_negative_expert_weights_diverge_from_zero():
    display = ExpertWeightsDisplay.from_expert_weights([np.eye(2), [[0.2, -1.4], [0.3, 0.1]]])
    for ax in display.axes_:
        assert ax.images[0].get_clim() == (-1.4, 1.4)
        blue, red = ax.images[0].to_rgba([1.0, -1.0])
        assert blue[2] > blue[0]
        assert red[0] > red[2]
    texts = [t.get_text() for t in display.axes_[1].texts]
    assert texts == ["0.20", "\N{MINUS SIGN}1.40", "0.30", "0.10"]


def test_expert_weights_of_levels_that_differ_are_named_each():
    figure, axes = plt.subplots(1, 2)
    display = ExpertWeightsDisplay.from_expert_weights(
        [np.full((2, 3), 0.3), np.full((2, 2), 0.5)],
        expert_names=[["x", "y", "z"], ["u", "v"]],
        ax=axes,
    )
    assert display.figure_ is figure
    assert [names_of(ax.xaxis) for ax in axes] == [["x", "y", "z"], ["u", "v"]]
    assert [ax.get_title() for ax in axes] == ["level 0", "level 1"]
    assert not axes[0].lines  # no owners are known
    single = ExpertWeightsDisplay.from_expert_weights([[0.3, 0.7], [0.5, 0.5]])
    assert names_of(single.ax_.xaxis) == ["expert 0", "expert 1"]
    assert single.ax_.get_title() == ""


def test_expert_weights_errors(tasks, small_net):
    X, Y = tasks
    with pytest.raises(NotFittedError):
        ExpertWeightsDisplay.from_estimator(MultiTaskNet(PLE), X)
    with pytest.raises(ValueError, match=r"whose module has expert weights.*Got MLP"):
        ExpertWeightsDisplay.from_estimator(small_net.fit(X, Y), X)
    plot = ExpertWeightsDisplay.from_expert_weights
    with pytest.raises(ValueError, match="at least one level"):
        plot([])
    with pytest.raises(ValueError, match=r"one row a task at every level. Got 2 rows and 3"):
        plot([np.ones((2, 2)), np.ones((3, 2))])
    with pytest.raises(ValueError, match="finite"):
        plot([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"expert_names must name the 2 experts.*3 names"):
        plot(np.eye(2), expert_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"each of 2 levels. Got 1 lists"):
        plot([np.eye(2), np.eye(2)], expert_names=[["a", "b"]])
    with pytest.raises(ValueError, match=r"one a panel. Got 3"):
        plot([np.eye(2), np.eye(2)], ax=plt.subplots(1, 3)[1])
    with pytest.raises(ValueError, match="grid of subplots"):
        plot([np.eye(2), np.eye(2)], ax=plt.figure().add_axes((0, 0, 1, 1)))


# -- data maps ---------------------------------------------------------------------------------


def cumulative(p):
    """Maps (n_tasks, n_epochs, n_samples, 2) of probabilities (n_epochs, n_samples, n_tasks)."""
    epochs = range(1, len(p) + 1)
    return np.stack(
        [np.stack([p[:e].mean(axis=0).T, p[:e].std(axis=0).T], axis=-1) for e in epochs], axis=1
    )


def points(ax):
    """Points in the order of their variability: σ, μ and colour."""
    (scatter,) = ax.collections
    offsets = np.asarray(scatter.get_offsets())
    order = np.lexsort(offsets.T)
    return offsets[order], np.asarray(scatter.get_array())[order]


def test_correctness_of_all_epochs_is_exact_and_else_that_of_spans():
    p = np.random.default_rng(0).random((12, 50, 3))
    maps = cumulative(p)
    for snapshot, until in ((-1, 12), (4, 5)):
        display = DataMapDisplay.from_data_map(
            maps, [0, 2], snapshot=snapshot, snapshot_epochs=range(1, 13)
        )
        np.testing.assert_allclose(display.correctness, (p[:until] > 0.5).mean(axis=0).T[[0, 2]])
        np.testing.assert_allclose(display.confidence, p[:until].mean(axis=0).T[[0, 2]])
        np.testing.assert_allclose(display.variability, p[:until].std(axis=0).T[[0, 2]])
        assert display.correctness_label == "correctness"
    # Epochs 1-4, 5-6 and 7-12: spans count by their lengths.
    display = DataMapDisplay.from_data_map(maps[:, [3, 5, 11]], 1, snapshot_epochs=[4, 6, 12])
    spans = [p[:4, :, 1], p[4:6, :, 1], p[6:, :, 1]]
    expected = sum(len(s) * (s.mean(axis=0) > 0.5) for s in spans) / 12
    np.testing.assert_allclose(display.correctness[0], expected)
    assert display.correctness_label == "correctness (in 3 spans of epochs)"
    assert display.ax_.get_title() == "task 1"
    offsets, colors = points(display.ax_)
    order = np.lexsort([display.variability[0], display.confidence[0]])
    np.testing.assert_allclose(offsets[:, 0], display.variability[0, order])
    np.testing.assert_allclose(offsets[:, 1], display.confidence[0, order])
    np.testing.assert_allclose(colors, expected[order])


def test_data_map_of_a_task_grouper(tasks, small_net):
    X, Y = tasks
    Y = Y.astype(float)
    Y.iloc[:30, 1] = np.nan
    grouper = TaskGrouper(small_net, snapshot_epochs="all", random_state=0).fit(X, Y)
    display = DataMapDisplay.from_estimator(grouper, "low")
    np.testing.assert_allclose(display.confidence[0], grouper.data_map_[1, -1, :, 0])
    np.testing.assert_allclose(display.variability[0], grouper.data_map_[1, -1, :, 1])
    assert display.ax_.get_title() == "low"
    assert display.ax_.get_xlabel() == "variability \N{GREEK SMALL LETTER SIGMA}"
    assert display.ax_.get_ylabel() == "confidence μ"
    assert len(points(display.ax_)[0]) == 200
    assert set(np.unique(display.correctness)) <= {0, 0.25, 0.5, 0.75, 1}
    # Samples without a label are left out where the labels are given.
    display = DataMapDisplay.from_estimator(grouper, ["low", 0], y=Y)
    assert [len(points(ax)[0]) for ax in display.axes_] == [170, 200]
    assert np.isnan(display.confidence[0, :30]).all()
    piped = make_pipeline(grouper, FuzzyKMeans(2)).fit(X, Y)
    np.testing.assert_allclose(
        DataMapDisplay.from_estimator(piped, 1, snapshot=0).confidence[0],
        piped[0].data_map_[1, 0, :, 0],
    )


def test_data_map_leaves_out_samples_that_were_not_trained_on(tasks, small_net):
    from skorch.dataset import ValidSplit

    net = small_net.set_params(train_split=ValidSplit(0.25, random_state=0))
    grouper = TaskGrouper(net, random_state=0).fit(*tasks)
    display = DataMapDisplay.from_estimator(grouper, [0, 1])
    unseen = (grouper.data_map_[0, -1] == 0).all(axis=1)
    assert 40 <= unseen.sum() <= 60
    np.testing.assert_array_equal(np.isnan(display.confidence), [unseen, unseen])


def test_data_map_of_single_task_nets_that_stop_early_counts_their_own_epochs(tasks, small_net):
    X, Y = tasks
    net = small_net.set_params(max_epochs=4)
    grouper = TaskGrouper(net, source="stl", snapshot_epochs=[1, 2, 4], random_state=0)
    grouper.fit(X, Y)
    whole = DataMapDisplay.from_estimator(grouper, 0).correctness[0]
    # As a net of three epochs leaves it: its last map, of epoch 3, in the place of the fourth's.
    del grouper.estimators_[0].history_[-1]
    grouper.data_map_[0, 2] = np.clip(grouper.data_map_[0, 1], 0.1, 0.4)
    stopped = DataMapDisplay.from_estimator(grouper, 0).correctness[0]
    means = grouper.data_map_[0, :, :, 0].astype(float)
    last = 3 * means[2] - 2 * means[1]
    second = 2 * means[1] - means[0]
    expected = ((means[0] > 0.5) * 1.0 + (second > 0.5) + (last > 0.5)) / 3
    np.testing.assert_allclose(stopped, expected)
    assert set(np.unique(whole)) <= {0, 0.25, 0.5, 0.75, 1}


def test_isometric_maps_have_one_span(tasks, small_net):
    grouper = TaskGrouper(small_net, output="isometric", random_state=0).fit(*tasks)
    display = DataMapDisplay.from_estimator(grouper, 2)
    np.testing.assert_array_equal(display.correctness, display.confidence > 0.5)
    assert display.correctness_label == "correctness (in 1 span of epochs)"


def test_many_samples_are_drawn_at_random_by_a_seed():
    maps = cumulative(np.random.default_rng(0).random((2, 300, 2)))
    maps[0, :, :100] = np.nan

    def drawn(**kwargs):
        display = DataMapDisplay.from_data_map(maps, [0, 1], snapshot_epochs=[1, 2], **kwargs)
        return [np.asarray(ax.collections[0].get_offsets()) for ax in display.axes_]

    assert [len(d) for d in drawn()] == [200, 300]
    some = drawn(max_samples=50)
    assert [len(d) for d in some] == [50, 50]
    np.testing.assert_array_equal(some, drawn(max_samples=50))
    assert not np.array_equal(some[1], drawn(max_samples=50, random_state=1)[1])
    everything = {tuple(xy) for xy in maps[1, -1, :, ::-1]}
    assert {tuple(xy) for xy in some[1]} <= everything
    display = DataMapDisplay.from_data_map(maps, 1, max_samples=50)
    assert display.ax_.get_title(loc="right") == "50 of 300"
    assert display.ax_.collections[0].get_rasterized()


def test_data_map_correctness_given_or_unknown():
    one = np.array([[0.9, 0.1], [0.4, 0.2], [0.1, 0.0]])
    display = DataMapDisplay.from_data_map(one, correctness=[1.0, 0.5, 0.0], task_names=["a"])
    np.testing.assert_array_equal(display.correctness, [[1.0, 0.5, 0.0]])
    assert len(display.figure_.axes) == 2  # with a bar of colours
    unknown = DataMapDisplay.from_data_map(one)
    assert unknown.correctness is None
    assert len(unknown.figure_.axes) == 1


def test_data_maps_of_many_tasks_fit_a_page():
    maps = np.full((40, 1, 4, 2), 0.3)
    display = DataMapDisplay.from_data_map(maps, range(40), task_names=LONG[:40])
    figure = display.figure_
    width, height = figure.get_size_inches()
    assert width <= 10
    assert height <= 18
    assert len(display.axes_) == 40
    figure.draw_without_rendering()
    titles = [ax.title for ax in display.axes_]
    assert overlap(titles) == 0
    assert all(t.get_fontsize() >= 4.5 for t in titles)
    assert [bool(ax.get_ylabel()) for ax in display.axes_[:11]] == [True, *[False] * 9, True]
    # In a place of a grid of others.
    figure, axes = plt.subplots(1, 2, figsize=(10, 5))
    display = DataMapDisplay.from_data_map(maps, [3, 5], ax=axes[1])
    assert display.figure_ is figure
    assert not axes[1].axison
    assert len(display.axes_) == 2
    # In one place, panels are about as wide as high.
    _, ax = plt.subplots(figsize=(7, 5))
    boxes = [
        a.get_window_extent() for a in DataMapDisplay.from_data_map(maps, range(6), ax=ax).axes_
    ]
    assert all(0.5 < box.width / box.height < 2 for box in boxes)


@pytest.mark.parametrize(
    ("data_map", "kwargs", "match"),
    [
        (np.zeros((3, 3)), {}, r"shape \(n_samples, 2\).*Got shape \(3, 3\)"),
        (np.zeros((2, 3, 2)), {}, r"Got shape \(2, 3, 2\)"),
        ([[1.5, 0.0]], {}, r"confidence in \[0, 1.0\]. Got one of 1.5"),
        ([[0.5, 0.7]], {}, r"variability in \[0, 0.5\]. Got one of 0.7"),
        ([[0.5, 0.1]], {"task": 1}, r"position in \[0, 0\].*Got 1"),
        ([[0.5, 0.1]], {"task": "bald", "task_names": ["young"]}, "names 'young'.*Got 'bald'"),
        ([[0.5, 0.1]], {"task": []}, "at least one task"),
        ([[0.5, 0.1]], {"snapshot": 1}, "one of 1 snapshots.*Got 1"),
        ([[0.5, 0.1]], {"snapshot_epochs": [1, 2]}, "the 1 rising epochs"),
        ([[0.5, 0.1]], {"correctness": [0.1, 0.2]}, r"= \(1, 1\) or \(1,\). Got shape \(2,\)"),
        ([[0.5, 0.1]], {"correctness": [2.0]}, r"correctness must be in \[0, 1\]"),
        ([[0.5, 0.1]], {"max_samples": 0}, "max_samples must be an int of at least 1"),
        ([[0.5, 0.1]], {"task_names": ["a", "b"]}, "task_names must name the 1 tasks"),
    ],
)
def test_data_map_errors(data_map, kwargs, match):
    with pytest.raises(ValueError, match=match):
        DataMapDisplay.from_data_map(data_map, **kwargs)


def test_data_map_errors_of_estimators(tasks, small_net):
    X, Y = tasks
    with pytest.raises(NotFittedError):
        DataMapDisplay.from_estimator(TaskGrouper(), 0)
    with pytest.raises(ValueError, match=r"must be a TaskGrouper.*MultiTaskNet"):
        DataMapDisplay.from_estimator(small_net.fit(X, Y), 0)
    grouper = TaskGrouper(small_net).fit(X, Y)
    with pytest.raises(ValueError, match=r"names 'even', 'low', 'round', 'prime'.*Got 'odd'"):
        DataMapDisplay.from_estimator(grouper, "odd")
    with pytest.raises(ValueError, match=r"of 200 samples and 4 tasks. Got 100 samples and 4"):
        DataMapDisplay.from_estimator(grouper, 0, y=Y[:100])


# -- learning curves ---------------------------------------------------------------------------


def curves_of(estimator, X, Y, **kwargs):
    return LearningCurvesDisplay.from_estimator(estimator, X, Y, **{"seeds": [3, 4], **kwargs})


def test_learning_curves_of_estimators_are_scores_of_shorter_training(tasks):
    """After e epochs, an estimator scores what one that trains for e epochs scores."""
    X, Y = tasks
    net = MultiTaskNet(lr=0.01, max_epochs=6, module__hidden_units=(16,))
    membership = np.array([[0.7, 0.3], [0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])

    def estimators(epochs):
        own = clone(net).set_params(max_epochs=epochs)
        return {
            "MTL": own,
            "STL": GroupedMTLClassifier.stl(own, strategy="auto" if epochs < 6 else "stacked"),
            "grouped": GroupedMTLClassifier(
                own, membership, n_mtl_nets=1, specialist_epochs=min(epochs, 3)
            ),
            "scaled": make_pipeline(StandardScaler(), GroupedMTLClassifier.mtl_ensemble(2, own)),
        }

    given = estimators(6)
    drawn = curves_of(given, X, Y, n_epochs=3)
    assert drawn.epochs.tolist() == [2, 4, 6]
    assert drawn.score_name == "test F1"
    for column, epochs in enumerate([2, 4, 6]):
        found = compare(X, Y, estimators(epochs), baselines=["MTL"], seeds=[3, 4])
        for name, scores in zip(found.candidates, found.overall, strict=True):
            assert drawn.scores[name][:, column] == pytest.approx(scores, abs=1e-6)
    assert not np.allclose(drawn.scores["MTL"][:, 0], drawn.scores["MTL"][:, -1])
    assert given["STL"].strategy == "stacked"
    assert not net.callbacks
    assert not hasattr(net, "module_")

    both = curves_of(net, X, Y, score_type="both")
    assert list(both.scores) == ["MultiTaskNet (train)", "MultiTaskNet (test)"]
    assert both.epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert both.scores["MultiTaskNet (test)"][:, 1::2] == pytest.approx(drawn.scores["MTL"])
    assert both.score_name == "F1"
    train, test = both.ax_.lines[:2]  # of one colour, training dashed
    assert train.get_color() == test.get_color()
    assert (train.is_dashed(), test.is_dashed()) == (True, False)
    assert all(tick == round(tick) for tick in both.ax_.get_xticks())
    assert both.scores["MultiTaskNet (train)"][0, -1] > both.scores["MultiTaskNet (test)"][0, -1]


@pytest.mark.parametrize(("n_epochs", "expected"), [(1, [4, 7]), (2, [4, 7]), (5, [2, 4, 6, 7])])
def test_learning_curves_of_estimators_choose_epochs(tasks, n_epochs, expected):
    drawn = curves_of(MultiTaskNet(max_epochs=7), *tasks, n_epochs=n_epochs)
    assert drawn.epochs.tolist() == expected


def test_learning_curves_of_estimators_that_end_apart(tasks):
    X, Y = tasks
    net = MultiTaskNet(lr=0.01, max_epochs=5)
    longer = clone(net).set_params(max_epochs=7)
    both = {"short": net, "long": longer}
    drawn = curves_of(both, X, Y, n_epochs=4, scoring="accuracy")
    assert drawn.epochs.tolist() == [2, 4, 5, 6, 7]
    assert np.isfinite(drawn.scores["short"][0]).tolist() == [True, True, True, False, False]
    assert np.isfinite(drawn.scores["long"][0]).tolist() == [True, True, False, True, True]
    assert drawn.ax_.get_ylabel() == "test accuracy"
    # Bands go on over what other curves are scored at.
    bands = [band.get_paths()[0].vertices[:, 0] for band in drawn.ax_.collections]
    assert [(x.min(), x.max()) for x in bands] == [(2, 5), (2, 7)]


def _accuracy(net, X, y):
    return (net.predict(X) == np.asarray(y)).mean()


@pytest.mark.parametrize(
    "callbacks", [[EpochScoring(_accuracy, name="own", on_train=True)], "disable", None]
)
def test_learning_curves_of_estimators_keep_their_callbacks(tasks, callbacks, capsys):
    plain = curves_of(MultiTaskNet(max_epochs=3), *tasks)
    net = MultiTaskNet(max_epochs=3, callbacks=callbacks)
    drawn = curves_of(net, *tasks)
    assert np.array_equal(drawn.scores["MultiTaskNet"], plain.scores["MultiTaskNet"])
    assert net.callbacks is callbacks
    assert not capsys.readouterr().out


def test_learning_curves_of_estimators_go_on_where_training_stopped_early(tasks):
    stopping = MultiTaskNet(
        lr=0.05,
        max_epochs=60,
        train_split=ValidSplit(4),
        callbacks=[EarlyStopping(patience=1)],
    )
    drawn = curves_of(stopping, *tasks, seeds=6, n_epochs=60)
    scores = drawn.scores["MultiTaskNet"]
    assert len(drawn.epochs) < 60
    assert np.isfinite(scores).all()
    still = (scores == scores[:, -1:]).sum(axis=1)  # epochs at the end that changed nothing
    assert still.max() > still.min()


def test_learning_curves_of_estimators_train_base_nets_of_their_own(tasks):
    """The net of data maps serves too, though its grouper was given none."""
    grouper = make_pipeline(TaskGrouper(), FuzzyKMeans(2))
    clf = GroupedMTLClassifier(MultiTaskNet(max_epochs=2), grouper, n_mtl_nets=1)
    drawn = curves_of(clf, *tasks, seeds=1, n_epochs=60)
    assert drawn.epochs.tolist() == list(range(1, 51))  # of MultiTaskNet()


class Noisy(MLP):
    def forward(self, x):
        return super().forward(x) + torch.randn(len(x), 1)


def test_learning_curves_of_estimators_leave_random_states(tasks):
    net = MultiTaskNet(Noisy, max_epochs=2)
    before = torch.get_rng_state()
    first, second = (curves_of(net, *tasks).scores["MultiTaskNet"] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first, second)


class Breaks(MultiTaskNet):
    """Fails, or is interrupted, at its second fit."""

    error, n_fits = ValueError("no more"), 0

    def fit(self, *args, **kwargs):
        Breaks.n_fits += 1
        if Breaks.n_fits == 2:
            raise self.error
        return super().fit(*args, **kwargs)


def test_learning_curves_of_estimators_leave_out_a_fit_that_fails(tasks, monkeypatch):
    monkeypatch.setattr(Breaks, "n_fits", 0)
    with pytest.warns(FitFailedWarning, match="'Breaks' failed with seed 1"):
        drawn = curves_of(Breaks(max_epochs=2), *tasks, seeds=3)
    assert np.isfinite(drawn.scores["Breaks"]).all(axis=1).tolist() == [True, False, True]
    monkeypatch.setattr(Breaks, "n_fits", 1)
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match="All fits of LearningCurvesDisplay") as raised,
    ):
        curves_of(Breaks(max_epochs=2), *tasks, seeds=1)
    assert raised.value.__cause__ is Breaks.error


def test_learning_curves_of_estimators_are_all_or_none_if_interrupted(tasks, monkeypatch):
    monkeypatch.setattr(Breaks, "error", KeyboardInterrupt())
    monkeypatch.setattr(Breaks, "n_fits", 0)
    with pytest.raises(KeyboardInterrupt):
        curves_of(Breaks(max_epochs=2), *tasks, seeds=3)


@pytest.mark.parametrize(
    ("estimator", "kwargs", "match"),
    [
        (LogisticRegression(), {}, "have no epochs"),
        ({}, {}, "at least one"),
        ({1: MultiTaskNet()}, {}, "non-empty strings"),
        (MultiTaskNet(), {"ax": "no"}, "Axes"),
        ({"a": MultiTaskNet}, {}, "have no epochs"),
        (MultiTaskNet(), {"n_epochs": 0}, "n_epochs"),
        (MultiTaskNet(max_epochs="5"), {}, "max_epochs"),
        (GroupedMTLClassifier(specialist_epochs="3"), {}, "specialist_epochs"),
        (MultiTaskNet(callbacks=[EarlyStopping()]), {}, "'MultiTaskNet' of LearningCurves"),
        (MultiTaskNet(), {"score_type": "valid"}, "score_type"),
        (MultiTaskNet(), {"scoring": "F3"}, "'scoring' parameter of LearningCurvesDisplay"),
        (MultiTaskNet(), {"seeds": 0}, "'seeds' parameter of LearningCurvesDisplay"),
        (MultiTaskNet(), {"cv": 1.5}, "LearningCurvesDisplay"),
        (MultiTaskNet(), {"labels": "none"}, "labels"),
        (MultiTaskNet(lr=-1.0), {}, "'MultiTaskNet' of LearningCurvesDisplay"),
    ],
)
def test_learning_curves_of_estimators_errors(tasks, estimator, kwargs, match, monkeypatch):
    monkeypatch.setattr(MultiTaskNet, "fit", None)  # errors come before any training
    with pytest.raises(ValueError, match=match):
        LearningCurvesDisplay.from_estimator(estimator, *tasks, **kwargs)


def test_learning_curves_of_estimators_need_a_label_row_a_sample(tasks):
    X, Y = tasks
    with pytest.raises(ValueError, match="same number of samples"):
        LearningCurvesDisplay.from_estimator(MultiTaskNet(), X, Y[:60])


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


def test_learning_curves_of_a_frame_with_gaps():
    frame = pd.DataFrame(
        [
            ("MTL", 0, 2, 0.6),
            ("MTL", 0, 1, 0.5),
            ("MTL", 1, 1, 0.7),
            ("grouped", 0, 1, 0.8),
            ("grouped", 0, 4, 0.9),
        ],
        columns=["method", "seed", "epoch", "f1"],
    )
    display = LearningCurvesDisplay.from_frame(frame, score="f1")
    assert display.epochs.tolist() == [1, 2, 4]
    np.testing.assert_allclose(display.mean_["MTL"], [0.6, 0.6, np.nan])
    np.testing.assert_allclose(display.std_["MTL"], [np.sqrt(0.02), np.nan, np.nan])
    np.testing.assert_allclose(display.mean_["grouped"], [0.8, np.nan, 0.9])
    assert list(display.mean_) == ["MTL", "grouped"]
    assert display.ax_.get_ylabel() == "f1"
    grouped = display.ax_.lines[1]  # goes on over the epoch that it lacks
    np.testing.assert_array_equal(grouped.get_xdata(), [1, 4])
    np.testing.assert_allclose(grouped.get_ydata(), [0.8, 0.9])
    with pytest.raises(ValueError, match=r"lacks \['score'\]"):
        LearningCurvesDisplay.from_frame(frame)
    with pytest.raises(ValueError, match=r"Got several of method MTL, seed 0, epoch 2"):
        LearningCurvesDisplay.from_frame(pd.concat([frame, frame[:1]]), score="f1")
    with pytest.raises(ValueError, match="empty"):
        LearningCurvesDisplay.from_frame(frame[:0], score="f1")


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


def test_given_maps_keep_points_at_zero():
    given = np.zeros((1, 1, 3, 2))
    given[0, 0, 0] = [0.5, 0.1]
    display = DataMapDisplay.from_data_map(given)
    assert np.isfinite(display.confidence).all()


def test_names_are_not_read_as_formulas():
    display = MembershipDisplay.from_membership(
        np.eye(2), task_names=["$\\frac{$", "cost $5 to $10"]
    )
    display.figure_.canvas.draw()
    assert {t.get_text() for t in display.ax_.get_yticklabels()} == {"$\\frac{$", "cost $5 to $10"}
