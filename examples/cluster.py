"""Gains of all pairs of tasks, which HOA and MTG-Net predict from, on a dask cluster.

``python examples/cluster.py`` compares one net after another on this machine with processes of
joblib and with a dask cluster of two workers here; ``--scheduler ADDRESS`` takes a cluster that
runs already. All find the same gains. (Where a cluster has a single thread, joblib makes the calls
in the process that asks, so that one worker is no case of its own.)
"""

import argparse
import time
from contextlib import nullcontext

import numpy as np
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.base import clone

from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.selection import GroupGains


def measure(gains, X, Y, config):
    """The gains, and the seconds they take where workers have made some before."""
    with config:
        clone(gains).set_params(masks=np.eye(Y.shape[1])[:2]).fit(X[:200], Y[:200])
        start = time.perf_counter()
        gains = clone(gains).fit(X, Y)
    return gains, time.perf_counter() - start


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-tasks", type=int, default=10)
    parser.add_argument("--max-epochs", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2, help="of joblib; 0 leaves them out")
    parser.add_argument("--scheduler", help="the address of a dask scheduler")
    options = parser.parse_args(argv)

    X, Y = load_digit_tasks(return_X_y=True)
    Y = Y[:, : options.n_tasks]
    net = MultiTaskNet.stg_mtl(max_epochs=options.max_epochs)
    gains = GroupGains(net, masks="pairs", strategy="sequential", random_state=0)
    alone, seconds = measure(gains, X, Y, nullcontext())
    print(f"{alone.n_trained_} nets one after another: {seconds:.1f} s")

    def compare(name, config):
        found, others = measure(gains, X, Y, config)
        same = np.allclose(found.gains_, alone.gains_, atol=1e-4, equal_nan=True)
        print(f"{name}: {others:.1f} s, {seconds / others:.2f} times as fast; same gains: {same}")

    if options.processes:
        config = parallel_config("loky", n_jobs=options.processes)
        compare(f"{options.processes} processes of joblib", config)
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    cluster = LocalCluster(**local) if options.scheduler is None else nullcontext(options.scheduler)
    with cluster as address, Client(address) as client:
        compare(f"dask, {len(client.ncores())} workers", parallel_config("dask"))


if __name__ == "__main__":
    main()
