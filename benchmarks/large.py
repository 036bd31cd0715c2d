"""Data that do not fit: data maps and predictions from a file, beside a loop written by hand.

    python -m benchmarks.large                      # 2,000,000 x 200 float32, a file of 1.6 GB
    python -m benchmarks.large --n-samples 100000

Makes the file in a temporary folder (`--folder` says where), and in a process each trains one epoch
of a small net with `TaskGrouper`, trains as long by a minimal torch loop over the same file, and
predicts to a file. Memory is anonymous memory (RssAnon of Linux, read every 10 ms) above what the
process had when everything was imported: what pages of files take, the system can have back.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from skgroup import MultiTaskNet, TaskGrouper
from skgroup.nn import MLP

N_FEATURES, N_TASKS, BATCH, HIDDEN = 200, 10, 256, (64,)
MIB = 2**20


def make_file(folder, n_samples):
    """Samples in a file, never in memory together, and labels."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(N_FEATURES, N_TASKS)).astype(np.float32)
    labels = []
    with open(folder / "X.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n_samples, N_FEATURES)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n_samples, 2**14):
            n_rows = min(2**14, n_samples - start)
            rows = rng.standard_normal((n_rows, N_FEATURES), dtype=np.float32)
            labels.append((rows @ weights > 10).astype(np.int8))
            file.write(rows)
    np.save(folder / "Y.npy", np.concatenate(labels))


def anonymous():
    """Bytes of anonymous memory of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


class Peak:
    """The most anonymous memory while it is entered, above what there was before."""

    def __enter__(self):
        self.before = self.most = anonymous()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        self.start = time.perf_counter()
        return self

    def watch(self):
        while not self.over.wait(0.01):
            self.most = max(self.most, anonymous())

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.start
        self.over.set()
        self.thread.join()
        self.bytes = self.most - self.before


def ours(folder, block_size):
    torch.set_num_threads(1)
    X, Y = np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "Y.npy")
    net = MultiTaskNet(
        MLP,
        module__hidden_units=HIDDEN,
        batch_size=BATCH,
        max_epochs=1,
        iterator_train__block_size=block_size,
        random_state=0,
    )
    TaskGrouper(net).fit(np.array(X[:512]), Y[:512])  # imports what is imported late
    with Peak() as fit:
        grouper = TaskGrouper(net, output="isometric").fit(X, Y)
    yield "fit with data maps", fit.seconds, fit.bytes
    yield "    of it the epoch", grouper.estimator_.history_[-1]["dur"], None


def predicted(folder, block_size):
    torch.set_num_threads(1)
    X, Y = np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "Y.npy")
    net = MultiTaskNet(MLP, module__hidden_units=HIDDEN, max_epochs=1, random_state=0)
    net.fit(np.array(X[:5_000]), Y[:5_000])
    net.predict_proba(X[:512], out=folder / "proba.npy")
    with Peak() as predict:
        net.predict_proba(X, out=folder / "proba.npy")
    yield "predict_proba to a file", predict.seconds, predict.bytes


def by_hand(folder, block_size):
    torch.set_num_threads(1)
    X, Y = np.load(folder / "X.npy", mmap_mode="c"), np.load(folder / "Y.npy")
    X, labels = torch.from_numpy(X), torch.from_numpy(Y).float()
    module = MLP(N_TASKS, N_FEATURES, hidden_units=HIDDEN)
    loss, optimizer = nn.BCEWithLogitsLoss(), torch.optim.AdamW(module.parameters(), fused=True)
    with Peak() as epoch:
        for index in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            loss(module(X[index]), labels[index]).backward()
            optimizer.step()
    yield "an epoch by hand, no maps", epoch.seconds, epoch.bytes


def listed(run, *args):
    return list(run(*args))


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--n-samples", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="where the file is made, and deleted")
    parser.add_argument("--block-size", type=int, help="iterator_train__block_size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        make_file(Path(folder), options.n_samples)
        size = (Path(folder) / "X.npy").stat().st_size
        print(
            f"{options.n_samples:,} x {N_FEATURES} float32, {N_TASKS} tasks: {size / MIB:,.0f} MiB"
        )
        print("\n| what | seconds | anonymous memory, MiB |\n|---|---|---|", flush=True)
        context = multiprocessing.get_context("spawn")
        for run in (by_hand, ours, predicted):
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                rows = pool.submit(listed, run, Path(folder), options.block_size).result()
            for name, seconds, memory in rows:
                shown = "" if memory is None else f"{memory / MIB:.0f}"
                print(f"| {name} | {seconds:.1f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
