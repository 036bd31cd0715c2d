"""Data maps that never exist: `TaskGrouper(output="isometric")` beside holding the maps."""

from functools import partial

import numpy as np
import torch
from scipy.spatial.distance import pdist

from benchmarks.harness import MIB, Row, case, compare, peak_memory
from skgroup import MultiTaskNet, TaskGrouper
from skgroup.relations._task_grouper import _Embedded


def tasks(n_samples, n_tasks):
    random = np.random.default_rng(0)
    X = random.normal(size=(n_samples, 16)).astype(np.float32)
    W = random.normal(size=(16, n_tasks)).astype(np.float32)
    Y = np.empty((n_samples, n_tasks), np.int8)
    for start in range(0, n_samples, 1000):
        rows = X[start : start + 1000]
        Y[start : start + 1000] = rows @ W + random.normal(size=(len(rows), n_tasks)) > 0
    return X, Y


def grouper(n_snapshots, output="isometric"):
    net = MultiTaskNet.stg_mtl(max_epochs=n_snapshots, batch_size=1024, module__hidden_units=(16,))
    return TaskGrouper(net, snapshot_epochs="all", output=output, random_state=0)


def build(n_tasks, n_samples, n_snapshots, output="isometric"):
    X, Y = tasks(n_samples, n_tasks)
    grouper(2).fit(X[:1000], Y[:1000, :2])
    return lambda: grouper(n_snapshots, output).fit(X, Y)


def snapshot(n_tasks, n_samples):
    """Mean and standard deviation as a recorder hands them out."""
    return torch.rand(n_samples, n_tasks), torch.rand(n_samples, n_tasks)


def embed(mean, std):
    """One snapshot more, ours."""
    _Embedded()(1, mean, std)


def hold(mean, std):
    """One snapshot more, where the maps are held."""
    return torch.stack([mean.T, std.T], dim=2)


@case("isometric", target="peak ≤ 2.5 GB")
def isometric(size, repeats):
    X, Y = tasks(500, 12)
    raw = pdist(grouper(4, "raw").fit_transform(X, Y).astype(np.float64))
    embedded = pdist(grouper(4).fit_transform(X, Y))
    error = abs(embedded / raw - 1).max()
    yield Row(
        "distances, 12 tasks x 500 samples x 4 snapshots",
        ours=f"relative difference from raw {error:.0e}",
        target="exact",
        met=bool(error < 1e-9),
    )

    n_tasks, n_samples = (1000, 50_000) if size == "full" else (200, 10_000)
    n_snapshots = 3  # more change nothing: each takes the place of the one before
    name = f"{n_tasks:,} tasks x {n_samples:,} samples"
    peak = peak_memory(build, n_tasks, n_samples, n_snapshots)
    held = 8 * n_tasks * n_samples * 50
    yield Row(
        f"{name}, training with {n_snapshots} snapshots",
        memory=f"{peak / MIB:,.0f} MiB (50 maps held: {held / MIB:,.0f} MiB)",
        target="peak ≤ 2.5 GB at 1,000 x 50,000",
        met=peak < 2.5e9 if size == "full" else None,  # the target is stated for the full size
    )

    maps = snapshot(n_tasks, n_samples)
    times = compare(partial(embed, *maps), partial(hold, *maps), repeats)
    yield times.row(f"{name}, cost a snapshot", rival="(held, not yet clustered)")

    # Half of the samples, so that "once" and "twice" together stay near the size above.
    n_samples //= 2
    once = snapshot(n_tasks, n_samples)
    sizes = {
        "tasks": (2 * n_tasks, n_samples, n_snapshots),
        "samples": (n_tasks, 2 * n_samples, n_snapshots),
        "snapshots": (n_tasks, n_samples, 2 * n_snapshots),
    }
    peak = peak_memory(build, n_tasks, n_samples, n_snapshots)
    for what, twice in sizes.items():
        memory = f"{peak / MIB:,.0f} MiB, twice {peak_memory(build, *twice) / MIB:,.0f} MiB"
        name = f"{n_tasks:,} x {n_samples:,}, twice the {what}"
        if what == "snapshots":
            yield Row(name, memory=memory)
        else:
            maps = snapshot(*twice[:2])
            times = compare(partial(embed, *maps), partial(embed, *once), repeats)
            work = "4: 0.25" if what == "tasks" else "2: 0.50"
            yield times.row(
                name, rival="once", ours="twice", memory=memory, target=f"(work x {work})"
            )
