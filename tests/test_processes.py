"""Several processes and threads at once: the results of one, and always an end."""

import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import sklearn
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, Checkpoint, LoadInitState, TrainEndCheckpoint
from skorch.dataset import ValidSplit

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup._random import local_seed, open_seed
from skgroup.training import processes
from skgroup.training._threads import one_thread
from skgroup.training.engine import check_data, fit_many
from skgroup.training.processes import in_parallel


@pytest.fixture(scope="module")
def tasks():
    X = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    return X, (X[:, :3] > 0).astype(int)


def tiny(**params):
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(4,), **{"max_epochs": 2, "lr": 0.05, **params}
    )


def ends(function, seconds=60):
    """The result of a function that must not hang."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return found[0]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_calls_side_by_side_keep_the_settings_of_scikit_learn(n_jobs):
    calls = [delayed(sklearn.get_config)() for _ in range(4)]
    settings = {"enable_metadata_routing": True, "transform_output": "pandas"}
    with sklearn.config_context(**settings), parallel_config("threading"):
        for config in in_parallel(calls, n_jobs):
            assert settings.items() <= config.items()


def _meet(barrier):
    barrier.wait(30)
    return threading.get_ident()


def test_no_n_jobs_is_one_unless_a_parallel_config_says_more():
    alone = in_parallel([delayed(threading.get_ident)() for _ in range(2)], None)
    assert set(alone) == {threading.get_ident()}
    with parallel_config("threading", n_jobs=2):
        calls = [delayed(_meet)(threading.Barrier(2))] * 2  # neither ends before both have begun
        assert len(set(in_parallel(calls, None))) == 2
        alone = in_parallel([delayed(threading.get_ident)() for _ in range(2)], 1)
        assert set(alone) == {threading.get_ident()}


def test_a_call_that_cannot_be_sent_is_an_error_and_no_wait():
    calls = (delayed(bool)(value) for value in (1, 2, 3, threading.Lock(), 4))
    with (
        parallel_config("multiprocessing"),
        pytest.raises(pickle.PicklingError, match=r"cannot be sent to a worker: TypeError: .*lock"),
    ):
        list(in_parallel(calls, 2))


def _threads_here():
    return os.getpid(), torch.get_num_threads()


def test_workers_share_the_threads_of_the_machine(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    try:
        with parallel_config("multiprocessing"):
            found = list(in_parallel([delayed(_threads_here)()] * 2, max(2, cpu_count())))
    finally:
        torch.set_num_threads(1)
    assert {n_threads for _, n_threads in found} == {1}
    assert os.getpid() not in dict(found)


class WhereFrom(Callback):
    """Which file the features are in."""

    def on_train_begin(self, net, X=None, **kwargs):
        place = X.X.data_ptr()
        with open("/proc/self/maps") as file:
            for line in file:
                start, stop = (int(number, 16) for number in line.split()[0].split("-"))
                if start <= place < stop:
                    self.file = line.split()[-1]


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="nothing says what is mapped")
def test_all_nets_of_all_processes_map_the_features_from_one_file():
    X = np.random.default_rng(0).normal(size=(20_000, 20)).astype(np.float32)
    net = tiny(max_epochs=1, batch_size=-1, callbacks=[WhereFrom()])
    clf = GroupedMTLClassifier.stl(net, random_state=0, n_jobs=2).fit(X, X[:, :4] > 0)
    files = {dict(trained.callbacks_)["WhereFrom"].file for trained in clf.specialists_}
    assert len(files) == 1
    assert files.pop().endswith(".pkl")  # joblib's


def test_data_that_workers_may_only_read_are_trained_on_without_a_warning(tasks):
    data = check_data(tiny(), *tasks).select(np.array([0, 2]))
    buffers = []
    packed = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    sent = pickle.loads(packed, buffers=[bytes(buffer) for buffer in buffers])
    assert len(buffers) >= 2  # X and labels, which cannot be written to
    nets, _ = fit_many([tiny()], [sent], [0])
    expected, _ = fit_many([tiny()], [data], [0])
    np.testing.assert_array_equal(
        nets[0].predict_proba(tasks[0]), expected[0].predict_proba(tasks[0])
    )


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("inner", ["nets", "search"])
def test_n_jobs_within_n_jobs_ends_with_the_same_scores(tasks, backend, inner):
    X, Y = tasks
    candidate = GroupedMTLClassifier.stl(tiny(), n_jobs=2)
    if inner == "search":
        candidate = GridSearchCV(tiny(), {"lr": [0.1, 0.01]}, cv=2, n_jobs=2)
    expected = compare(
        X, Y, {"c": clone(candidate).set_params(n_jobs=None)}, seeds=2, baselines="c"
    )

    def run():
        with parallel_config(backend):
            return compare(X, Y, {"c": candidate}, seeds=2, n_jobs=2, baselines="c")

    np.testing.assert_array_equal(ends(run).values, expected.values)


class InThreads(ClassifierMixin, BaseEstimator):
    """Trains in threads and waits for them, as a search does."""

    def fit(self, X, y):
        nets = Parallel(n_jobs=2, backend="threading")(
            delayed(tiny(random_state=0).fit)(X, y) for _ in range(2)
        )
        self.net_, self.classes_ = nets[0], nets[0].classes_
        return self

    def predict(self, X):
        return self.net_.predict(X)


def test_a_candidate_may_wait_for_threads_of_its_own(tasks):
    X, Y = tasks
    found = ends(lambda: compare(X, Y, {"c": InThreads()}, seeds=2, baselines="c"))
    assert np.isfinite(found.values).all()


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_open_seeds_of_several_threads_give_the_global_state_back():
    first_in, last_in, first_out = (threading.Event() for _ in range(3))

    def first():
        with open_seed(1):
            first_in.set()
            assert last_in.wait(10)
        first_out.set()

    def last():
        assert first_in.wait(10)
        with open_seed(2):
            last_in.set()
            assert first_out.wait(10)

    threads = [threading.Thread(target=target) for target in (first, last)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_open_seed_draws_what_a_local_one_does():
    with local_seed(3):
        expected = torch.rand(2).tolist(), np.random.rand()
    with open_seed(3):
        assert (torch.rand(2).tolist(), np.random.rand()) == expected


def test_a_fork_while_another_thread_trains_can_train(tasks):
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with local_seed(0):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_train_or_fail, args=tasks)
    child.start()
    child.join(30)
    hangs = child.is_alive()
    if hangs:
        child.kill()
    leave.set()
    thread.join()
    assert not hangs
    assert child.exitcode == 0


def _train_or_fail(X, Y):
    torch.set_num_threads(1)
    tiny().fit(X, Y)
    os._exit(0)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_every_backend_of_joblib_trains_the_same_nets(tasks, backend):
    X, Y = tasks
    grouper = TaskGrouper(tiny(), source="stl", snapshot_epochs=2, random_state=0, n_jobs=2)
    clf = GroupedMTLClassifier.stl(tiny(), random_state=0, n_jobs=2)
    expected = clone(grouper).set_params(n_jobs=None).fit(X, Y).data_map_
    alone = clone(clf).set_params(n_jobs=None).fit(X, Y).predict_proba(X)
    scores = compare(X, Y, {"c": tiny()}, seeds=3, baselines="c").values
    with parallel_config(backend):
        np.testing.assert_allclose(grouper.fit(X, Y).data_map_, expected, atol=1e-5)
        np.testing.assert_allclose(clf.fit(X, Y).predict_proba(X), alone, atol=1e-5)
        found = compare(X, Y, {"c": tiny()}, seeds=3, n_jobs=2, baselines="c").values
    np.testing.assert_array_equal(found, scores)


SCRIPT = """
import functools
import numpy as np
from sklearn.model_selection import cross_validate
from skorch.callbacks import LRScheduler
from torch import nn
from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper


class MyNet(nn.Module):
    def __init__(self, n_features, n_outputs, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, width), nn.Linear(width, n_outputs))

    def forward(self, x):
        return self.layers(x)


class MyMultiTaskNet(MultiTaskNet):
    pass


if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    Y = (X[:, :3] > 0).astype(int)
    schedule = [("rate", LRScheduler("LambdaLR", lr_lambda=lambda epoch: 0.5**epoch))]
    for net in (
        MultiTaskNet.stg_mtl(MyNet, max_epochs=1, callbacks=schedule),
        MultiTaskNet.stg_mtl(functools.partial(MyNet, width=3), max_epochs=1),
        MyMultiTaskNet(MyNet, max_epochs=1),
    ):
        net.set_params(random_state=0)
        clf = GroupedMTLClassifier.stl(net, n_jobs=2).fit(X, Y)
        alone = GroupedMTLClassifier.stl(net).fit(X, Y)
        assert all(type(s.module_) is MyNet for s in clf.specialists_)
        np.testing.assert_allclose(clf.predict_proba(X), alone.predict_proba(X), atol=1e-5)
    TaskGrouper(MultiTaskNet.stg_mtl(MyNet, max_epochs=1), source="stl", n_jobs=2).fit(X, Y)
    found = cross_validate(
        MultiTaskNet.stg_mtl(MyNet, max_epochs=1), X, Y, cv=2, n_jobs=2, return_estimator=True
    )
    assert all(type(net.module_) is MyNet for net in found["estimator"])
    print("trained")
"""


def test_classes_and_functions_of_a_script_go_to_processes_and_back(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", path],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.stdout == "trained\n", run.stderr[-2000:]


# -- files of callbacks ------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_nets_that_train_together_keep_their_files_apart(tasks, tmp_path, n_jobs):
    X, Y = tasks
    net = tiny(
        max_epochs=6,
        train_split=ValidSplit(4, stratified=False),
        callbacks=[
            ("best", Checkpoint(dirname=str(tmp_path), load_best=True)),
            ("end", TrainEndCheckpoint(dirname=str(tmp_path))),
        ],
    )
    clf = GroupedMTLClassifier.stl(net, random_state=0, n_jobs=n_jobs).fit(X, Y)
    for j, trained in enumerate(clf.specialists_):
        kept = torch.load(tmp_path / f"specialist {j}" / "params.pt", weights_only=True)
        for name, value in trained.module_.state_dict().items():
            torch.testing.assert_close(value, kept[name])
        assert (tmp_path / f"specialist {j}" / "train_end_params.pt").exists()
    # And each starts from its own.
    before = net.callbacks
    net.set_params(callbacks=[*before, ("start", LoadInitState(before[0][1]))])
    GroupedMTLClassifier.stl(net, random_state=0, n_jobs=n_jobs).fit(X, Y)


class CountSteps(Callback):
    seen = 0

    def on_batch_end(self, net, **kwargs):
        CountSteps.seen += 1


def test_files_that_cannot_be_kept_apart_are_refused_before_training(tasks, tmp_path):
    X, Y = tasks
    CountSteps.seen = 0
    given = Checkpoint(monitor=None, f_params=str(tmp_path / "params.pt"))
    net = tiny(callbacks=[CountSteps(), given])
    with pytest.raises(ValueError, match=r"The callback Checkpoint of nets .* Got f_params='/.*"):
        GroupedMTLClassifier.stl(net).fit(X, Y)
    assert CountSteps.seen == 0


# -- threads of torch --------------------------------------------------------------------------


def test_a_block_of_one_thread_gives_the_others_back():
    torch.set_num_threads(2)
    try:
        with one_thread(False):
            assert torch.get_num_threads() == 2
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_n_jobs_is_joblib_s():
    X = np.random.default_rng(0).normal(size=(40, 3))
    clf = GroupedMTLClassifier(MultiTaskNet(max_epochs=1), n_groups=2, random_state=0)
    with parallel_config("threading"):
        clf.set_params(n_jobs=-2).fit(X, X > 0)  # all cores but one
    with pytest.raises(ValueError, match="'n_jobs' parameter of GroupedMTLClassifier"):
        clf.set_params(n_jobs=0).fit(X, X > 0)


def test_a_worker_does_not_outlive_a_killed_parent(monkeypatch):
    monkeypatch.setattr("skgroup.training.processes._LOOK_EVERY", 0.05)
    ended, held = os.pipe()
    if not (parent := os.fork()):
        try:
            if not os.fork():  # the worker
                processes._end_with(os.getppid())
                os.write(held, b"works")
            else:
                os.close(held)
            time.sleep(60)
        finally:
            os._exit(0)
    os.close(held)
    try:
        assert os.read(ended, 5) == b"works"
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    readable, *_ = select.select([ended], [], [], 30)
    assert readable
    assert os.read(ended, 1) == b""  # nobody holds its other end any more
    os.close(ended)
