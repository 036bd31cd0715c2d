"""Nets in other processes: what travels to them, and how long it takes."""

from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import clone

from benchmarks.harness import MIB, case, compare
from skgroup import MultiTaskNet
from skgroup.training.engine import check_data, fit_many

N_NETS, N_TASKS = 24, 12


@contextmanager
def sent_bytes():
    """Bytes that this process writes to pipes inside the block."""
    send, sent = Connection._send_bytes, []

    def counting(self, buffer):
        sent.append(len(buffer))
        return send(self, buffer)

    Connection._send_bytes = counting
    try:
        yield sent
    finally:
        Connection._send_bytes = send


def _fit(net, X, Y):
    return net.fit(X, Y)


@case("workers", target="X travels once, ≤ 2 MiB beside it")
def workers(size, repeats):
    n_samples = 400_000 if size == "full" else 100_000
    X = np.random.default_rng(0).normal(size=(n_samples, 50)).astype(np.float32)
    Y = (X[:, :N_TASKS] > 0).astype(int)
    net = MultiTaskNet.stg_mtl(
        module__hidden_units=(16,), max_epochs=1, batch_size=4_096, random_state=0
    )
    tasks = [np.array([j % N_TASKS]) for j in range(N_NETS)]
    tensor = torch.from_numpy(X)

    def ours():
        data = check_data(net, X, Y)
        nets = [clone(net) for _ in tasks]
        fit_many(nets, [data.select(t) for t in tasks], [0] * N_NETS, n_jobs=2)

    def rival():
        Parallel(n_jobs=2)(delayed(_fit)(clone(net), tensor, Y[:, t]) for t in tasks)

    ours()  # processes start
    with sent_bytes() as by_us:
        ours()
    with sent_bytes() as by_rival:
        rival()
    yield compare(ours, rival, repeats).row(
        f"{N_NETS} nets, X of {X.nbytes / MIB:.0f} MiB",
        rival=f"(net.fit in joblib: {sum(by_rival) / MIB:.1f} MiB sent)",
        ours=f"({sum(by_us) / MIB:.1f} MiB sent)",
        met=sum(by_us) <= 2 * MIB,
    )
