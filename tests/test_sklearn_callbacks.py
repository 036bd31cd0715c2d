"""Callbacks of scikit-learn (`set_callbacks`): what they hear of fits, and of what they score."""

import importlib.util
import sys
from multiprocessing.util import register_after_fork

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from skgroup import (
    GroupedMTLClassifier,
    MultiTaskNet,
    PortfolioClassifier,
    TaskGrouper,
    _compat,
)
from skgroup.cluster import FuzzyKMeans
from skgroup.metrics import get_scorer
from skgroup.relations import InterTaskAffinity
from skgroup.selection import GroupSelector
from skgroup.training import stack

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn is older than callbacks")


class Recorder:
    """Writes down the names of tasks, from the outermost, when they begin and when they end."""

    max_propagation_depth = None

    def __init__(self):
        self.events, self.fitted = [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", *path_of(context)))

    def on_fit_task_end(self, estimator, context):
        self.events.append(("end", *path_of(context)))

    @property
    def ended(self):
        return [event[1:] for event in self.events if event[0] == "end"]


class Watcher(Recorder, callback.ProgressBar):
    """A progress bar that shows nothing, for which rich need not be there."""

    __init__ = Recorder.__init__


class Looker(Recorder):
    """Keeps what it is given of estimators in training."""

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        super().on_fit_task_end(estimator, context)
        self.fitted.append((fitted_estimator, X, y))


def path_of(context):
    name = context.source_task_name or context.task_name
    return (*(() if context.parent is None else path_of(context.parent)), name)


@pytest.fixture(scope="module")
def tasks():
    X = np.random.default_rng(0).normal(size=(60, 4))
    return X, np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])


def small(**params):
    return MultiTaskNet.stg_mtl(
        **{"module__hidden_units": (4,), "max_epochs": 2, "random_state": 0, **params}
    )


RELATION = ("fit", "relation", "fit-transform-taskgrouper", "relation")


def matched(events):
    """Whether each task that begins ends, after its parts."""
    under_way = []
    for event in events[1:-1]:
        if event[0] == "begin":
            assert list(event[1:-1]) == list(under_way[-1] if under_way else ())
            under_way.append(event[1:])
        else:
            assert under_way.pop() == event[1:]
    return events[0] == "setup" and events[-1] == "teardown" and not under_way


def test_a_grouped_fit_is_a_tree_from_relation_and_specialists_to_epochs(tasks):
    clf = GroupedMTLClassifier(small(), n_groups=2, random_state=0, strategy="sequential")
    recorder = Recorder()
    clf.set_callbacks(recorder).fit(*tasks)
    assert matched(recorder.events)
    ended = recorder.ended
    assert ended[:3] == [(*RELATION, "epoch")] * 2 + [RELATION]
    assert ended.count(("fit", "relation", "fit-final-estimator", "start")) == 10
    specialists = [("fit", "specialists", f"specialist {j}") for j in range(2)]
    assert ended[-8:] == [
        *[(*specialists[0], "epoch")] * 2,
        specialists[0],
        *[(*specialists[1], "epoch")] * 2,
        specialists[1],
        ("fit", "specialists"),
        ("fit",),
    ]
    plain = clone(clf).set_callbacks().fit(*tasks)
    np.testing.assert_array_equal(clf.predict_proba(tasks[0]), plain.predict_proba(tasks[0]))
    left = {*vars(clf), *vars(clf.specialists_[0]), *vars(clf.grouper_), *vars(clf.grouper_[0])}
    assert not any("callback_" in name for name in left - {"_skl_callbacks"})
    assert not hasattr(clf.specialists_[0], "_skl_callbacks")


def test_a_stack_tells_what_a_loop_tells(tasks, monkeypatch):
    stacks = []
    train = stack.train_stacked
    monkeypatch.setattr(
        "skgroup.training.engine.train_stacked",
        lambda *args, **kwargs: stacks.append(1) or train(*args, **kwargs),
    )
    told = []
    for strategy in ("sequential", "stacked"):
        clf = GroupedMTLClassifier.stl(small(), strategy=strategy)
        watcher = Watcher()
        clf.set_callbacks(watcher).fit(*tasks)
        told.append(sorted(watcher.ended))
        assert len(told[-1]) == 11
    assert told[0] == told[1]
    assert stacks == [1]
    # What may look into nets, or end their training, is for the loop.
    with pytest.raises(ValueError, match=r"'strategy' .* must not be 'stacked' where callbacks"):
        clf.set_callbacks(Recorder()).fit(*tasks)


def test_relations_selectors_and_portfolios_are_heard(tasks):
    X, Y = tasks
    recorder = Recorder()
    grouper = make_pipeline(InterTaskAffinity(small()), GroupSelector(2))
    clf = GroupedMTLClassifier(small(), grouper)
    members = [("net", small()), ("grouped", clf)]
    PortfolioClassifier(members, cv=2, random_state=0).set_callbacks(recorder).fit(X, Y)
    assert matched(recorder.events)
    ended = recorder.ended
    for fold in (", fold 0", ", fold 1", ""):
        assert ended.count(("fit", "members", f"member net{fold}", "epoch")) == 2
        grouped = ("fit", "members", f"member grouped{fold}")
        relation = (*grouped, "relation", "fit-transform-intertaskaffinity", "relation", "epoch")
        assert ended.count(relation) == 2
        assert (*grouped, "specialists", "specialist 1", "epoch") in ended

    recorder = Recorder()
    TaskGrouper(small(), source="stl").set_callbacks(recorder).fit(X, Y)
    assert recorder.ended.count(("fit", "relation, task 2", "epoch")) == 2


def test_what_callbacks_are_given_predicts_as_if_training_had_ended(tasks):
    X, Y = tasks
    names = np.where(Y, "yes", "no").astype(object)
    names[:3, 1] = None
    looker = Looker()
    net = small(max_epochs=3).set_callbacks(looker).fit(X, names)
    probabilities = []
    for epochs, (fitted, given, labels) in enumerate(looker.fitted[:-1], 1):
        alone = small(max_epochs=epochs).fit(X, names)
        probabilities.append(fitted.predict_proba(X))
        np.testing.assert_allclose(probabilities[-1], alone.predict_proba(X), atol=1e-6)
        np.testing.assert_array_equal(labels, names)
        np.testing.assert_allclose(given, X, rtol=1e-6)
    assert not np.array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(looker.fitted[-1][0].predict(X), net.predict(X))


def test_scores_of_a_grouped_fit_and_of_its_nets(tasks, forked):
    X, Y = tasks
    # A forked process takes itself for the one that scikit-learn's scores are sent to.
    here = callback._transport
    register_after_fork(
        forked, lambda _: (here._listeners.clear(), here._message_consumers.clear())
    )
    f1 = {"f1": get_scorer("f1")}
    of_all = callback.ScoringMonitor(scoring=f1)
    of_nets = callback.ScoringMonitor(scoring=f1)
    net = small().set_callbacks(of_nets)
    clf = GroupedMTLClassifier(net, n_groups=2, random_state=0, n_jobs=2)
    clf.set_callbacks(of_all).fit(X, Y)
    (row,) = of_all.get_logs().data
    assert row["f1"] == clf.score(X, Y)
    # Specialists were trained in processes.
    rows = of_nets.get_logs().data
    assert sum(row["task_name"] == "epoch" for row in rows) == 3 * 2
    for specialist, tasks_of, place in zip(
        clf.specialists_, clf.specialist_tasks_, [(0, 1, 0, 1), (0, 1, 1, 1)], strict=True
    ):
        (last,) = [row["f1"] for row in rows if row["task_id_path"] == place]
        assert last == pytest.approx(specialist.score(X, Y[:, tasks_of]))


def test_scores_know_names_weights_and_numbers(tasks):
    X, Y = tasks
    frame = pd.DataFrame(X, columns=list("abcd"))
    numbers = np.column_stack([5 * X[:, 0] + 7, np.where(X[:, 1] > 1, np.nan, X[:, 1])])
    weight = np.arange(len(X)) % 3.0
    for table, name in ((pd.DataFrame(Y, columns=list("xyz")), "f1"), (numbers, "r2")):
        scorer = get_scorer(name)
        monitor = callback.ScoringMonitor(scoring={"own": scorer})
        net = small().set_callbacks(monitor).fit(frame, table, sample_weight=weight)
        rows = monitor.get_logs().data
        assert [row["task_name"] for row in rows] == ["fit", "epoch", "epoch"]
        assert rows[-1]["own"] == pytest.approx(scorer(net, frame, table, sample_weight=weight))


@pytest.mark.parametrize("n_features", [3, 300])  # of rows shorter and longer than there are
def test_iterations_of_fuzzy_c_means_are_scored(n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, n_features)).cumsum(axis=0)
    y = np.arange(40) // 14
    monitor = callback.ScoringMonitor(scoring={"rand": lambda est, X, y: scored(est, X, y)})
    clusters = FuzzyKMeans(3, algorithm="fuzzy", n_init=2, random_state=0)
    clusters.set_callbacks(monitor).fit(X, y)
    rows = monitor.get_logs().data
    starts = [[r for r in rows if r["task_id_path"][:2] == (0, k)] for k in range(2)]
    best = [start for start in starts if len(start) == clusters.n_iter_ + 1]
    assert any(start[-1]["rand"] == scored(clusters, X, y) for start in best)
    assert len({row["rand"] for row in rows}) > 1
    plain = FuzzyKMeans(3, algorithm="fuzzy", n_init=2, random_state=0).fit(X)
    np.testing.assert_array_equal(clusters.membership_, plain.membership_)
    # Those of k-means are scikit-learn's, which does not tell of them.
    watcher = Watcher()
    FuzzyKMeans(3, n_init=4, random_state=0).set_callbacks(watcher).fit(X)
    assert watcher.ended == [("fit", "start")] * 4 + [("fit",)]


def scored(estimator, X, y):
    assert estimator.membership_.shape == (40, 3)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    return adjusted_rand_score(y, estimator.labels_) + estimator.inertia_


class Stops(Recorder):
    """Wants no epoch, or iteration, after the second."""

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return context.task_name in ("epoch", "iteration") and context.task_id == 1


def test_a_callback_can_end_training(tasks):
    X, Y = tasks
    net = small(max_epochs=9)
    assert len(clone(net).set_callbacks(Stops()).fit(X, Y).history) == 2
    clf = GroupedMTLClassifier.stl(net).set_callbacks(Stops()).fit(X, Y)
    assert [len(one.history) for one in clf.specialists_] == [2] * 3
    X = np.random.default_rng(1).normal(size=(50, 2))
    clusters = FuzzyKMeans(3, algorithm="fuzzy", n_init=1).set_callbacks(Stops()).fit(X)
    assert clusters.n_iter_ == 2


class Breaks(Recorder):
    def on_fit_task_end(self, estimator, context):
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    "make",
    [small, lambda: GroupedMTLClassifier.stl(small()), lambda: TaskGrouper(small())],
    ids=["net", "grouped", "relation"],
)
def test_after_an_error_an_estimator_is_as_it_was_and_callbacks_have_heard_of_the_end(tasks, make):
    breaks = Breaks()
    estimator = make().set_callbacks(breaks)
    before = vars(estimator).copy()
    with pytest.raises(RuntimeError, match="broken"):
        estimator.fit(*tasks)
    assert breaks.events[0] == "setup"
    assert breaks.events[-1] == "teardown"
    assert breaks.events.count("teardown") == 1
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())


def test_progress_bars_show_relations_and_specialists(tasks, capsys):
    pytest.importorskip("rich")
    clf = GroupedMTLClassifier(small(), n_groups=2, random_state=0)
    bar = callback.ProgressBar(max_propagation_depth=None)
    clf.set_callbacks(bar).fit(*tasks)
    shown = capsys.readouterr().out
    for name in ("GroupedMTLClassifier", "relation", "TaskGrouper", "specialists", "specialist 1"):
        assert name in shown


def test_scikit_learn_before_its_callbacks_is_not_hurt(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("before_callbacks", _compat.__file__)
    before = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(before)

    class Estimator(before.CallbackSupportMixin, BaseEstimator):
        _parameter_constraints = {}  # noqa: RUF012

        @before._fit_context(prefer_skip_nested_validation=True)
        def fit(self, X, y=None):
            with before.whole_fit(self, 3) as whole, whole.part("one").running():
                self.heard_ = whole.is_heard
            return self

    assert not hasattr(Estimator(), "set_callbacks")
    assert vars(Estimator().fit([[0.0]])) == {"heard_": False}
    assert before.only_watched(Estimator())
