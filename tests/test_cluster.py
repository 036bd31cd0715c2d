"""On a dask cluster of two workers: what this machine alone gives, with data that travel once."""

import os
import pickle
import time

import numpy as np
import pytest
import torch
from joblib import delayed, parallel_config
from sklearn.linear_model import LogisticRegression
from torch import nn

from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier, compare
from skgroup.selection import GroupGains
from skgroup.training.processes import in_parallel

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
N_TASKS = 6


@pytest.fixture(scope="module")
def client(quick_processes):
    """Connected to two workers of one thread each."""
    # Any free port: that of dask's own choice may be another cluster's, of which it warns.
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    method = {"distributed.worker.multiprocessing-method": quick_processes.get_start_method()}
    with (
        dask.config.set(method),
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def sent(client, monkeypatch):
    """Bytes that go to the cluster: of arrays that are handed out once, and of each call."""
    arrays, calls = [], []
    scatter, submit = client.scatter, client.submit

    def scattering(data, *args, **kwargs):
        arrays.append(data.nbytes)
        return scatter(data, *args, **kwargs)

    def submitting(function, *args, tasks=(), **kwargs):
        calls.append(len(pickle.dumps([a for _, args, _ in tasks for a in args if _small(a)])))
        return submit(function, *args, tasks=tasks, **kwargs)

    monkeypatch.setattr(client, "scatter", scattering)
    monkeypatch.setattr(client, "submit", submitting)
    return arrays, calls


def _small(value):
    return not isinstance(value, distributed.Future)


@pytest.fixture(scope="module")
def tasks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 100)).astype(np.float32)
    return X, (X[:, :N_TASKS] + rng.normal(size=(3_000, N_TASKS)) > 0).astype(int)


def tiny(module=None, **params):
    params = {"max_epochs": 1, "batch_size": 1_000, "lr": 0.05, "random_state": 0, **params}
    if module is not None:
        return MultiTaskNet.stg_mtl(module, **params)
    return MultiTaskNet.stg_mtl(module__hidden_units=(4,), **params)


def grouped(X, Y, n_jobs):
    # One after the other on both sides, for the same bits: a stack rounds otherwise.
    clf = GroupedMTLClassifier(
        tiny(), n_groups=3, strategy="sequential", n_jobs=n_jobs, random_state=0
    )
    return clf.fit(X, Y).predict_proba(X)


def portfolio(X, Y, n_jobs):
    members = [
        ("net", tiny()),
        ("grouped", GroupedMTLClassifier(tiny(), n_groups=2, n_jobs=n_jobs)),
    ]
    members.append(("line", LogisticRegression(max_iter=20, tol=1.0)))
    clf = PortfolioClassifier(members, cv=2, n_jobs=n_jobs, random_state=0)
    return clf.fit(X[:800], Y[:800]).predict_proba(X)


def gains(X, Y, n_jobs):
    masks = np.arange(1, 61)[:, None] >> np.arange(N_TASKS) & 1 == 1
    of_groups = GroupGains(
        tiny(), masks=masks, strategy="sequential", n_jobs=n_jobs, random_state=0
    ).fit(X, Y)
    return of_groups.gains_


def comparison(X, Y, n_jobs):
    stl = GroupedMTLClassifier.stl(tiny(), strategy="sequential", n_jobs=n_jobs)
    candidates = {"stl": stl, "mtl": tiny()}
    found = compare(X[:800], Y[:800], candidates, seeds=2, n_jobs=n_jobs, baselines="mtl")
    return found.values


@pytest.mark.parametrize(
    ("function", "n_jobs", "n_calls"),
    [(grouped, 2, 3), (portfolio, 2, 9), (gains, None, 60), (comparison, 2, 4)],
)
def test_a_cluster_gives_what_this_machine_gives(
    client, tasks, sent, monkeypatch, function, n_jobs, n_calls
):
    X, Y = tasks
    expected = function(X, Y, None)
    with parallel_config("dask"):
        found = function(X, Y, n_jobs)
    np.testing.assert_array_equal(found, expected)
    arrays, calls = sent
    assert 0 < len(calls) <= n_calls  # quick ones go together
    assert sum(n_bytes > X.nbytes / 3 for n_bytes in arrays) <= 8  # once a size of groups
    assert max(calls) < 300_000 < X.nbytes / 3


def test_a_class_that_workers_cannot_import_comes_back_as_it_is(client, tasks):
    class Local(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.layer = nn.Linear(n_features, n_outputs)

        def forward(self, x):
            return self.layer(x)

    with parallel_config("dask"):
        clf = GroupedMTLClassifier.stl(tiny(Local)).fit(*tasks)
    assert all(type(net.module_) is Local for net in clf.specialists_)


def test_the_example_says_how_time_falls_and_that_gains_are_the_same(client, capsys):
    from examples.cluster import main

    options = ["--n-tasks", "3", "--max-epochs", "1", "--processes", "0"]
    main([*options, "--scheduler", client.scheduler.address])
    assert "6 nets one after another" in (printed := capsys.readouterr().out)
    assert printed.splitlines()[1].startswith("dask, 2 workers")
    assert printed.endswith("same gains: True\n")


def _wait(folder, i):
    (folder / str(i)).touch()
    time.sleep(0.5)
    return i


def test_an_interruption_leaves_the_cluster_nothing_to_do(client, tmp_path):
    with parallel_config("dask"):
        made = in_parallel((delayed(_wait)(tmp_path, i) for i in range(20)), 2, ordered=False)
        next(made)
        with pytest.raises(KeyboardInterrupt):
            made.throw(KeyboardInterrupt())
        time.sleep(0.4)  # what had begun goes on to its end
        begun = len(list(tmp_path.iterdir()))
        time.sleep(0.8)
        assert len(list(tmp_path.iterdir())) == begun <= 4
        assert not any(client.processing().values())


def _write(array, i):
    try:
        array[i] = 1
    except ValueError:
        return float(array.sum())


def test_calls_on_one_worker_cannot_write_to_what_others_are_given(client):
    array = np.zeros(100_000)
    with parallel_config("dask"):
        assert list(in_parallel((delayed(_write)(array, i) for i in range(4)), 2)) == [0.0] * 4


def _die_once(file, i, caller):
    if i == 1 and not file.exists() and os.getpid() != caller:
        file.touch()
        os._exit(1)
    return i, torch.get_num_threads()


def test_the_calls_of_a_worker_that_dies_are_made_by_others(client, tmp_path):
    client.wait_for_workers(2, timeout=60)
    calls = [delayed(_die_once)(tmp_path / "died", i, os.getpid()) for i in range(6)]
    with parallel_config("dask"):
        assert list(in_parallel(calls, 2)) == [(i, 1) for i in range(6)]
    assert (tmp_path / "died").exists()
