import numpy as np
import pytest
from plotting import LONG, overlap, plt
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.dataset import ValidSplit

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.inspection import DataMapDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


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
    right = np.array([[1.0, 0.5, 0.0]])
    display = DataMapDisplay(one[None, :, 0], one[None, :, 1], correctness=right).plot()
    np.testing.assert_array_equal(points(display.ax_)[1], [0.0, 0.5, 1.0])
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
    assert all(t.get_fontsize() >= 6 for t in titles)
    # Names are cut in the middle, but not so far that they are all the same.
    assert len({t.get_text() for t in titles}) == 40
    assert [bool(ax.get_ylabel()) for ax in display.axes_[:6]] == [True, *[False] * 4, True]
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


def test_given_maps_keep_points_at_zero():
    given = np.zeros((1, 1, 3, 2))
    given[0, 0, 0] = [0.5, 0.1]
    display = DataMapDisplay.from_data_map(given)
    assert np.isfinite(display.confidence).all()


# -- nets of a grouped classifier ----------------------------------------------------------------


@pytest.fixture
def grouped(tasks, small_net):
    groups = {"evens": ["even", "round"], "others": ["low", "prime"]}
    return GroupedMTLClassifier(small_net, groups, random_state=0).fit(*tasks)


def test_the_net_that_grouped_the_tasks_is_recorded_again_as_it_was(tasks, small_net):
    X, Y = tasks
    net = small_net.set_params(random_state=1)
    clf = GroupedMTLClassifier(net, n_groups=2).fit(X, Y)  # keeps no maps
    before = clf.predict_proba(X)
    display = DataMapDisplay.from_estimator(clf, ["low", "even"], net="relation", X=X, y=Y)
    first = clf.grouper_[0]
    assert not hasattr(first, "data_map_")
    kept = TaskGrouper(small_net, random_state=first.random_state).fit(X, Y).data_map_
    np.testing.assert_array_equal(display.confidence, kept[[1, 0], -1, :, 0])
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert [ax.get_title() for ax in display.axes_] == ["low", "even"]
    piped = make_pipeline(StandardScaler(), GroupedMTLClassifier(net, n_groups=2)).fit(X, Y)
    of_pipe = DataMapDisplay.from_estimator(piped, "low", net="relation", X=X, y=Y)
    scaled = DataMapDisplay.from_estimator(
        piped[1], "low", net="relation", X=piped[0].transform(X), y=Y
    )
    np.testing.assert_array_equal(of_pipe.confidence, scaled.confidence)


def test_a_specialist_is_recorded_on_its_tasks_with_its_weights(tasks, grouped, small_net):
    X, Y = tasks
    display = DataMapDisplay.from_estimator(grouped, ["round", "even"], net="evens", X=X, y=Y)
    assert [ax.get_title() for ax in display.axes_] == ["round (evens)", "even (evens)"]
    alone = TaskGrouper(clone(small_net).set_params(task_weight=[1.0, 1.0]), random_state=0)
    own = alone.fit(X, Y[["even", "round"]]).data_map_
    np.testing.assert_array_equal(display.confidence, own[[1, 0], -1, :, 0])
    again = DataMapDisplay.from_estimator(grouped, ["round"], net=0, X=X, y=Y[Y.columns[::-1]])
    np.testing.assert_array_equal(again.confidence, display.confidence[:1])
    soft = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    clf = GroupedMTLClassifier(small_net, soft, random_state=0).fit(X, Y)
    first = DataMapDisplay.from_estimator(clf, "low", net=0, X=X, y=Y)
    weighted = TaskGrouper(clone(small_net).set_params(task_weight=soft[:, 0]), random_state=0)
    expected = weighted.fit(X, Y).data_map_[1, -1, :, 0]
    np.testing.assert_allclose(first.confidence[0], expected, atol=1e-6)
    assert first.ax_.get_title() == "low (group 0)"
    half = np.r_[np.ones(100), np.zeros(100)]
    kwargs = {"net": "evens", "X": X, "y": Y}
    one = DataMapDisplay.from_estimator(grouped, "even", sample_weight=half, **kwargs)
    each = np.repeat(half[:, None], 4, axis=1)
    label = DataMapDisplay.from_estimator(grouped, "even", sample_weight=each, **kwargs)
    seen = half > 0  # a label without weight counts as missing in the map
    np.testing.assert_allclose(label.confidence[:, seen], one.confidence[:, seen], atol=1e-6)


def test_tasks_of_a_single_class_have_no_map_in_a_classifier(tasks, small_net):
    X, Y = tasks
    Y = Y.assign(alone=1)[["alone", *Y.columns]]
    given = make_pipeline(TaskGrouper(small_net, random_state=0), FuzzyKMeans(2, random_state=0))
    with pytest.warns(UserWarning, match="single observed class"):
        clf = GroupedMTLClassifier(small_net, given, random_state=0).fit(X, Y)
    display = DataMapDisplay.from_estimator(clf, "low")
    np.testing.assert_array_equal(display.confidence, clf.grouper_[0].data_map_[[1], -1, :, 0])
    with pytest.raises(ValueError, match=r"one of the tasks of the net.*Got 'alone'"):
        DataMapDisplay.from_estimator(clf, "alone")


@pytest.mark.parametrize(
    ("task", "kwargs", "match"),
    [
        ("low", {}, r"net='relation' or a group, X and y\. Got GroupedMTL"),
        ("low", {"net": "others"}, r"net='others' needs X and y"),
        ("low", {"net": "relation"}, r"by whose data maps.*came from None"),
        ("low", {"net": 2}, r"position in \[0, 1\] or one of the names.*Got 2"),
        ("low", {"net": "evens"}, r"one of the tasks of the net, \['even', 'round'\]. Got 'low'"),
        ("tiny", {"net": "evens"}, r"Got 'tiny'"),
    ],
)
def test_nets_that_are_not_there_are_refused_before_training(
    tasks, grouped, task, kwargs, match, monkeypatch
):
    def fail(*args, **kwargs):
        raise AssertionError("trained")

    monkeypatch.setattr(MultiTaskNet, "train_step", fail)
    X, Y = tasks
    if "needs" not in match and kwargs:
        kwargs = {**kwargs, "X": X, "y": Y}
    with pytest.raises(ValueError, match=match):
        DataMapDisplay.from_estimator(grouped, task, **kwargs)
