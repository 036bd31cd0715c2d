"""Stacked nets beside one after another, on an idle machine and beside a process that is busy."""

import functools
import multiprocessing
import os
from contextlib import contextmanager

import numpy as np
from sklearn.base import clone

from benchmarks.cases.training import BatchNormed, make_tasks
from benchmarks.harness import case, compare, torch_threads
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.training.engine import fit_many


def _spin():
    while True:
        pass


@contextmanager
def busy_process():
    """A process that computes without a pause, until the block ends."""
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


@contextmanager
def idle():
    yield


@case("beside a busy process", target="predicts and fits in ≤ 1.2x its nets one by one")
def beside_a_busy_process(size, repeats):
    n_samples = 100_000 if size == "full" else 20_000
    X, Y = make_tasks(n_samples, 12, (20,))
    membership = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    nets = {
        "MLP 64": MultiTaskNet.stg_mtl(module__hidden_units=(64,), max_epochs=5, random_state=0),
        "MLP 128-128": MultiTaskNet.stg_mtl(
            module__hidden_units=(128, 128), max_epochs=5, random_state=0
        ),
        "batch norm": MultiTaskNet.stg_mtl(BatchNormed, max_epochs=5, random_state=0),
    }
    for kind, net in nets.items():
        clf = GroupedMTLClassifier(net, membership).fit(X[:2_000], Y[:2_000])

        def together(clf=clf):
            clf.predict_proba(X)

        def one_by_one(clf=clf):
            for specialist in clf.specialists_:
                specialist.predict_proba(X)

        def fit(strategy, net=net):
            data = net._check_data(X[:2_000], Y[:2_000], None)
            nets = [clone(net).set_params(task_weight=w) for w in membership.T]
            fit_many(nets, [data] * 3, [0, 1, 2], strategy=strategy)

        for others, load in (("idle", idle), ("busy", busy_process)):
            for n_threads in sorted({1, 2, os.cpu_count() or 1}):
                name = f"{kind}, {others}, {n_threads} threads"
                with load(), torch_threads(n_threads):
                    times = compare(together, one_by_one, repeats)
                    yield times.row(
                        f"{name}: predict {n_samples:,} rows",
                        rival="(3 nets one by one)",
                        target="≥ 0.83",
                        at_least=1 / 1.2,
                    )
                    times = compare(
                        functools.partial(fit, "auto"),
                        functools.partial(fit, "sequential"),
                        repeats,
                    )
                    yield times.row(
                        f"{name}: fit",
                        rival="(3 nets one by one)",
                        target="≥ 0.83",
                        at_least=1 / 1.2,
                    )
