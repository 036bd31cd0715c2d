"""Callbacks of skorch in estimators that train many nets: who hears, by what name, whose files."""

import io
import json
import os
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    Initializer,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
)

from skgroup import (
    GroupedMTLClassifier,
    MultiTaskNet,
    PortfolioClassifier,
    TaskGrouper,
    compare,
)
from skgroup._fit_parts import part_of_fit, path_of_fit, within_fit
from skgroup.cluster import FuzzyKMeans
from skgroup.populations import CrossLosses, Gradients, PooledTasksClassifier
from skgroup.relations import GradTAG, InterTaskAffinity
from skgroup.selection import GroupGains


class Log(Callback):
    """Writes down who has ended an epoch."""

    def __init__(self, lines):
        self.lines = lines

    def on_epoch_end(self, net, **kwargs):
        self.lines.append((net.name_, len(net.history)))


class Heard(Callback):
    """Keeps the name of its own net."""

    def on_train_begin(self, net, **kwargs):
        self.name_ = net.name_


class OpensAFile(Callback):
    def __init__(self):
        self.file = 3


@pytest.fixture(scope="module")
def tasks():
    X = np.random.default_rng(0).normal(size=(60, 4))
    return X, np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])


def small(*callbacks, **params):
    return MultiTaskNet.stg_mtl(
        **{"module__hidden_units": (4,), "max_epochs": 2, "callbacks": list(callbacks), **params}
    )


def names(lines):
    """Names in the order of their first lines; each net has ended both of its epochs."""
    found = list(dict.fromkeys(name for name, _ in lines))
    assert sorted(lines) == sorted((name, epoch) for name in found for epoch in (1, 2))
    return found


# -- who hears ---------------------------------------------------------------------------------


def test_a_list_that_a_callback_is_given_hears_of_each_net_by_its_name(tasks):
    X, Y = tasks
    lines = []
    net = small(("log", Log(lines)), random_state=0)
    net.fit(X, Y)
    assert names(lines) == [net.name_] == [""]
    lines.clear()

    clf = GroupedMTLClassifier(net, n_groups=2, random_state=0)
    clf.fit(X, Y)
    assert names(lines) == ["relation", "specialist 0", "specialist 1"]
    assert [one.name_ for one in clf.specialists_] == ["specialist 0", "specialist 1"]
    lines.clear()

    table = pd.DataFrame(Y, columns=["a", "b", "c"])
    groups = {"left": ["a", "b"], "right/up": ["c"]}
    GroupedMTLClassifier(net, groups).fit(X, table)
    assert names(lines) == ["specialist 0 (left)", "specialist 1 (right_up)"]
    lines.clear()

    single = TaskGrouper(net, source="stl")
    GroupedMTLClassifier(net, make_pipeline(single, FuzzyKMeans(1))).fit(X, table)
    alone = [f"relation, task {t} ({name!r})" for t, name in enumerate("abc")]
    assert names(lines) == [*alone, "specialist 0"]
    lines.clear()

    members = [("net", net), ("tree", DecisionTreeClassifier()), ("grouped", clf)]
    PortfolioClassifier(members, cv=2, random_state=0).fit(X, Y)
    parts = ["relation", "specialist 0", "specialist 1"]
    assert names(lines) == [
        name
        for fold in (", fold 0", ", fold 1", "")
        for name in (f"member net{fold}", *(f"member grouped{fold}/{part}" for part in parts))
    ]


def test_relations_gains_and_comparisons_name_their_nets(tasks):
    X, Y = tasks
    lines = []
    net = small(("log", Log(lines)), random_state=0)
    InterTaskAffinity(net).fit(X, Y)
    assert names(lines) == ["relation"]
    lines.clear()
    GradTAG(net, cv=2, projection_dim=4, random_state=0).fit(X, Y)
    assert names(lines) == ["relation, split 0", "relation, split 1"]
    lines.clear()
    gains = GroupGains(net, masks=[[True, True, False]], random_state=0).fit(X, Y)
    assert sorted(names(lines)) == [f"group {j}, held-out part 0" for j in range(len(gains.masks_))]
    lines.clear()
    candidates = {"net": net, "grouped": GroupedMTLClassifier.mtl(net)}
    compare(X, Y, candidates, baselines="net", cv=2, seeds=[3])
    assert names(lines) == [
        f"candidate {name}, seed 3, fold {fold}{part}"
        for fold in range(2)
        for name, part in (("net", ""), ("grouped", "/specialist 0"))
    ]


@pytest.fixture(scope="module")
def rows():
    """Rows of four populations, the last column."""
    X = np.random.default_rng(0).normal(size=(48, 3))
    X[:, 2] = np.arange(48) % 4
    return X, np.where(X[:, 2] < 2, 1, -1) * X[:, 0] > 0


def test_models_of_populations_name_their_nets(rows):
    lines = []
    net = small(("log", Log(lines)))
    ways = {"task": 2, "n_groups": 2, "shrinkage": 9, "cv": 2, "random_state": 0}
    grouper = make_pipeline(Gradients(net), FuzzyKMeans())
    clf = PooledTasksClassifier(net, grouper=grouper, **ways).fit(*rows)
    each = [f"population {t}" for t in range(4)]
    of_split = ["for all", "relation", "group 0 of 2", "group 1 of 2", *each]
    assert names(lines) == [
        *(f"split {k}/{name}" for k in range(2) for name in of_split),
        *("relation", "for all", "group 0", "group 1", *each),
    ]
    assert clf.model_for_all_.name_ == "for all"
    assert [one.name_ for one in clf.models_] == ["group 0", "group 1"]
    lines.clear()
    PooledTasksClassifier(net, **ways).fit(*rows)
    searched = [name for name in names(lines) if "search" in name]
    assert all(re.fullmatch(r"(split [01]/)?search \d+", name) for name in searched)
    assert set(names(lines)) - set(searched) >= {"split 1/group 1 of 2", "group 1", "for all"}
    lines.clear()
    CrossLosses(net, task=2, cv=2, random_state=0).fit(*rows)
    assert names(lines) == [f"relation/search {i}" for i in range(8)]


def test_what_a_callback_holds_is_shared_and_what_it_learns_is_not(tasks):
    X, Y = tasks
    lines = []
    log, heard = Log(lines), Heard()
    clf = GroupedMTLClassifier.stl(small(("log", log), ("heard", heard))).fit(X, Y)
    of_nets = [dict(one.callbacks_) for one in clf.specialists_]
    assert [of_net["heard"].name_ for of_net in of_nets] == [f"specialist {j}" for j in range(3)]
    assert not hasattr(heard, "name_")
    assert all(of_net["log"].lines is lines and of_net["log"] is not log for of_net in of_nets)
    # By its parameters a clone of the whole is as good.
    lines.clear()
    clone(clf).fit(X, Y)
    assert len(lines) == 6


def test_a_callback_that_says_so_is_one_for_all_nets(tasks):
    class One(Callback):
        def __init__(self):
            self.seen = []

        def __sklearn_clone__(self):
            return self

        def on_train_end(self, net, **kwargs):
            self.seen.append(net.name_)

    one = One()
    GroupedMTLClassifier.stl(small(one)).fit(*tasks)
    assert one.seen == [f"specialist {j}" for j in range(3)]


def test_an_open_file_is_written_by_all_nets(tasks, tmp_path):
    class Writes(Log):
        def on_epoch_end(self, net, **kwargs):
            self.lines.write(f"{net.name_}\n")

    with (tmp_path / "log").open("w") as file:
        net = small(("writes", Writes(file)))
        GroupedMTLClassifier.stl(net).fit(*tasks)
        by_name = small(callbacks__print_log=Writes(file))
        for one, name in ((net, "writes"), (by_name, "print_log")):
            message = rf"'n_jobs' .* callback '{name}' \(Writes\) .* cannot"
            with pytest.raises(ValueError, match=message):
                GroupedMTLClassifier.stl(one, n_jobs=2).fit(*tasks)
        with pytest.raises(ValueError, match=r"'n_jobs' .* callback 'writes' \(Writes\) .* cannot"):
            PortfolioClassifier([("net", net)], cv=2, n_jobs=2).fit(*tasks)
    lines = (tmp_path / "log").read_text().split("\n")[:-1]
    assert lines == [f"specialist {j}" for j in range(3) for _ in range(2)]


def test_each_net_stops_early_by_itself(tasks):
    X, Y = tasks
    Y = np.column_stack([Y[:, :2], np.random.default_rng(1).random(len(Y)) > 0.5])
    patient = EarlyStopping("train_loss", patience=3, threshold=0.02)
    net = small(patient, max_epochs=40, lr=0.05, random_state=0)
    clf = GroupedMTLClassifier.stl(net).fit(X, Y)
    assert len({len(one.history) for one in clf.specialists_}) > 1


@pytest.mark.parametrize(
    "callback",
    [
        BatchScoring("f1"),
        Checkpoint(dirname="a", fn_prefix="b"),
        EarlyStopping(patience=7),
        EpochScoring("f1", name="x"),
        Freezer("a*"),
        GradientNormClipping(2.0),
        Initializer("a*", fn=print),
        LRScheduler("StepLR", step_size=3),
        ParamMapper("a*", schedule=print),
        PassthroughScoring("a"),
        PrintLog(sink=print),
        ProgressBar(),
        TrainEndCheckpoint(dirname="a"),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_of_skorch_are_cloned_with_their_parameters(callback):
    cloned = clone(clone(MultiTaskNet(callbacks=[("it", callback)])))
    name, copied = cloned.callbacks[0]
    assert name == "it"
    assert type(copied) is type(callback)
    assert copied is not callback
    assert copied.get_params() == callback.get_params()


def test_callbacks_that_are_set_by_name_or_hold_others_are_cloned():
    checkpoint = Checkpoint()
    net = MultiTaskNet(callbacks=[checkpoint, ("load", LoadInitState(checkpoint)), ("no", None)])
    net.set_params(callbacks__print_log=Log([]), callbacks__load__use_safetensors=True)
    cloned = clone(net)
    assert cloned.callbacks[1][1].checkpoint is cloned.callbacks[0] is not checkpoint
    assert cloned.callbacks[2] == ("no", None)
    assert cloned.callbacks__print_log is not net.callbacks__print_log
    assert cloned.callbacks__print_log.lines is net.callbacks__print_log.lines
    assert cloned.callbacks__load__use_safetensors is True
    assert clone(MultiTaskNet(callbacks="disable")).callbacks == "disable"
    assert clone(MultiTaskNet(callbacks=[Log])).callbacks == [Log]


class StoresAnother(Callback):
    def __init__(self, lines):
        self.lines = list(lines)


@pytest.mark.parametrize(
    ("callback", "why"),
    [
        (OpensAFile(), "unexpected keyword argument 'file'"),
        (StoresAnother([]), "does not store the parameter 'lines' as it is"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        GroupedMTLClassifier,
        TaskGrouper,
        InterTaskAffinity,
        GroupGains,
        lambda net: PortfolioClassifier([("net", net)]),
        lambda net: GroupedMTLClassifier(small(), make_pipeline(TaskGrouper(net), FuzzyKMeans(2))),
    ],
)
def test_a_callback_that_cannot_be_cloned_is_named_before_training(tasks, make, callback, why):
    lines = []
    net = small(("log", Log(lines)), ("mine", callback))
    message = rf"callback 'mine' \({type(callback).__name__}\) cannot be: TypeError: .*{why}"
    with pytest.raises(ValueError, match=message):
        make(net).fit(*tasks)
    assert lines == []


# -- files -------------------------------------------------------------------------------------


class Writer:
    """As TensorBoard's SummaryWriter."""

    def __init__(self, log_dir):
        self.log_dir = log_dir
        Path(log_dir).mkdir(parents=True, exist_ok=True)

    def add(self, line):
        with (Path(self.log_dir) / "events").open("a") as file:
            file.write(line)


class Board(Callback):
    def __init__(self, writer):
        self.writer = writer

    def on_epoch_end(self, net, **kwargs):
        self.writer.add(f"{net.name_};")


class History(Callback):
    def __init__(self, f_history, log_dir, checkpoint="of its own"):
        self.f_history, self.log_dir, self.checkpoint = f_history, log_dir, checkpoint

    def on_train_end(self, net, **kwargs):
        Path(self.f_history).write_text(json.dumps(net.name_))
        Path(self.log_dir).mkdir(parents=True)


class Keeps(History):
    """The same, told by strings."""


def found(folder, name):
    return sorted(str(path.parent.relative_to(folder)) for path in folder.rglob(name))


def test_files_of_all_nets_are_apart_whatever_keeps_them(tasks, tmp_path):
    X, Y = tasks
    net = small(
        Checkpoint(monitor=None, dirname=tmp_path),
        Board(Writer(tmp_path)),
        History(tmp_path / "name.json", tmp_path / "runs"),
        Keeps(str(tmp_path / "name.txt"), str(tmp_path / "logs")),
        random_state=0,
    )
    clf = GroupedMTLClassifier(net, n_groups=2, random_state=0)
    members = [("net", net), ("grouped", clf)]
    PortfolioClassifier(members, cv=2, random_state=0).fit(X, Y)
    nets = [
        f"member {name}"
        for fold in (", fold 0", ", fold 1", "")
        for name in (
            f"net{fold}",
            *(f"grouped{fold}/{part}" for part in ("relation", "specialist 0", "specialist 1")),
        )
    ]
    assert found(tmp_path, "params.pt") == sorted(nets)
    for name in nets:
        assert (tmp_path / name / "events").read_text() == f"{name};" * 2
        assert json.loads((tmp_path / name / "name.json").read_text()) == name
        assert json.loads((tmp_path / name / "name.txt").read_text()) == name
        assert (tmp_path / "runs" / name).is_dir()
        assert (tmp_path / "logs" / name).is_dir()
    # A net by itself keeps its files where it is told to.
    clone(net).set_params(callbacks=[Checkpoint(monitor=None, dirname=str(tmp_path))]).fit(X, Y)
    assert "." in found(tmp_path, "params.pt")


def test_files_of_relations_and_gains_are_apart(tasks, tmp_path):
    net = small(Checkpoint(monitor=None, dirname=str(tmp_path)), random_state=0)
    InterTaskAffinity(net).fit(*tasks)
    gains = GroupGains(net, masks=[[True, True, False]], random_state=0).fit(*tasks)
    nets = [f"group {j}, held-out part 0" for j in range(len(gains.masks_))]
    assert found(tmp_path, "params.pt") == [*nets, "relation"]


def test_names_may_be_longer_than_those_of_folders(tasks, tmp_path):
    X, Y = tasks
    net = small(Checkpoint(monitor=None, dirname=tmp_path))
    TaskGrouper(net, source="stl").fit(
        X, pd.DataFrame(Y, columns=["a" * 300, "a" * 300 + "b", "c"])
    )
    assert len(found(tmp_path, "params.pt")) == 3


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Checkpoint(None, f_params="/p.pt"), r"Checkpoint .* files inside .* Got f_params='/p.pt'"),
        (History(io.StringIO(), "logs"), r"History .* must name its files, .* Got f_history=<"),
    ],
)
def test_files_that_nets_would_share_are_refused_before_training(tasks, callback, message):
    lines = []
    net = small(Log(lines), callback)
    for estimator in (GroupedMTLClassifier.stl(net), TaskGrouper(net)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(*tasks)
    assert lines == []


@pytest.mark.parametrize("process", ["LokyProcess-1", "ForkPoolWorker-3", "Dask Worker process"])
def test_workers_of_others_are_known(monkeypatch, process):
    monkeypatch.setattr("multiprocessing.current_process", lambda: SimpleNamespace(name=process))
    assert path_of_fit() == (f"process {os.getpid()}",)
    with part_of_fit("relation"):
        assert path_of_fit() == (f"process {os.getpid()}", "relation")
    with within_fit(()):
        assert path_of_fit() == ()


def test_processes_know_the_names_and_keep_files_apart(tasks, rows, tmp_path, forked):
    X, Y = tasks
    lines = []
    net = small(
        ("log", Log(lines)), Checkpoint(monitor=None, dirname=str(tmp_path)), random_state=0
    )
    clf = GroupedMTLClassifier.stl(net, n_jobs=2).fit(X, Y)
    parts = [f"specialist {j}" for j in range(3)]
    assert found(tmp_path, "params.pt") == parts
    # What was logged elsewhere comes back on each net.
    logged = [dict(one.callbacks_)["log"].lines for one in clf.specialists_]
    assert [[name for name, _ in of_net] for of_net in logged] == [[part] * 2 for part in parts]
    assert lines == []

    members = [("grouped", GroupedMTLClassifier.stl(net))]
    portfolio = PortfolioClassifier(members, cv=2, n_jobs=2, random_state=0).fit(X, Y)
    assert [one.name_ for one in portfolio.members_[0].specialists_] == [
        f"member grouped/{part}" for part in parts
    ]
    folds = [f"member grouped, fold {k}/{part}" for k in range(2) for part in parts]
    assert set(folds) < set(found(tmp_path, "params.pt"))

    compare(X, Y, {"a": net, "b": clone(net)}, baselines="a", cv=2, seeds=[3], n_jobs=2)
    fits = {f"candidate {name}, seed 3, fold {fold}" for name in "ab" for fold in range(2)}
    assert fits < set(found(tmp_path, "params.pt"))

    ways = {"n_groups": 2, "shrinkage": np.inf, "cv": 2, "n_jobs": 2, "random_state": 0}
    grouper = make_pipeline(Gradients(net), FuzzyKMeans())
    pooled = PooledTasksClassifier(net, task=2, grouper=grouper, **ways).fit(*rows)
    groups = [f"split {k}/group {g} of 2" for k in range(2) for g in range(2)]
    groups += ["split 0/relation", "split 1/relation", "relation", "group 0", "for all"]
    assert set(groups) < set(found(tmp_path, "params.pt"))
    assert [one.name_ for one in pooled.models_] == ["group 0", "group 1"]
    stays = small(Log([threading.Lock()]))
    for of_net in (
        {"estimator": stays},
        {"grouper": make_pipeline(Gradients(stays), FuzzyKMeans())},
    ):
        with pytest.raises(ValueError, match="'n_jobs' parameter must be None or 1"):
            clone(pooled).set_params(**of_net).fit(*rows)

    # A search trains the same parts of other fits at the same time, without names.
    before = set(found(tmp_path, "params.pt"))
    single = GroupedMTLClassifier.stl(net)
    search = GridSearchCV(single, {"mixing": ["probability"]}, cv=2, n_jobs=2).fit(X, Y)
    new = set(found(tmp_path, "params.pt")) - before
    assert new
    assert all(re.fullmatch(r"process \d+/specialist [0-2]", name) for name in new)
    assert [one.name_ for one in search.best_estimator_.specialists_] == parts
