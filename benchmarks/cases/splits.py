"""Folds in which every label has its share: label by label beside sample by sample."""

from functools import partial

import numpy as np

from benchmarks.harness import case, compare
from skgroup.metrics import MultiTaskKFold


def table_of(n_samples, n_tasks):
    """Binary tasks, half of them with positives in less than 3 % of the samples."""
    random = np.random.default_rng(0)
    rates = np.geomspace(1e-3, 0.3, n_tasks)
    return (random.random((n_samples, n_tasks)) < rates).astype(float)


def sample_by_sample(Y, n_folds):
    """Algorithm 1 of Sechidis et al. (2011) as it is published, the counts vectorised."""
    random = np.random.default_rng(0)
    positive = Y == 1
    wanted = np.full(n_folds, len(Y) / n_folds)
    wanted_of = np.tile(positive.sum(axis=0) / n_folds, (n_folds, 1))
    fold, left = np.full(len(Y), -1), positive.sum(axis=0)
    while True:
        label = np.where(left > 0, left, len(Y) + 1).argmin() if left.any() else None
        of_label = fold < 0 if label is None else (fold < 0) & positive[:, label]
        for sample in np.flatnonzero(of_label):
            most = wanted if label is None else wanted_of[:, label]
            best = np.flatnonzero(most == most.max())
            best = best[wanted[best] == wanted[best].max()]
            fold[sample] = chosen = best[0] if len(best) == 1 else random.choice(best)
            wanted_of[chosen, positive[sample]] -= 1
            wanted[chosen] -= 1
        if label is None:
            return fold
        left = positive[fold < 0].sum(axis=0)


def folds_of(Y, n_folds):
    fold = np.empty(len(Y), dtype=int)
    cv = MultiTaskKFold(n_folds, shuffle=True, random_state=0)
    for j, (_, test) in enumerate(cv.split(Y, Y)):
        fold[test] = j
    return fold


def off(Y, fold, n_folds):
    """How far shares of positives of folds are from even, in samples: the largest of a task that
    has less than 1 % of them, and of any."""
    counts = np.array([Y[fold == j].sum(axis=0) for j in range(n_folds)])
    distance = abs(counts - Y.sum(axis=0) / n_folds).max(axis=0)
    return f"off {distance[Y.mean(axis=0) < 0.01].max():.1f}, {distance.max():.0f}"


@case("stratified folds", target="≥ 5x faster than sample by sample")
def stratified_folds(size, repeats):
    n_folds, n_samples = 5, 200_000 if size == "full" else 20_000
    for n_tasks in (10, 40):
        Y = table_of(n_samples, n_tasks)
        rival, ours = partial(sample_by_sample, Y, n_folds), partial(folds_of, Y, n_folds)
        times = compare(ours, rival, repeats)
        yield times.row(
            f"{n_samples:,} x {n_tasks}, {n_folds} folds",
            rival=off(Y, rival(), n_folds),
            ours=off(Y, ours(), n_folds),
            at_least=5,
        )
    once, twice = (table_of(n, 40) for n in (n_samples // 2, n_samples))
    times = compare(partial(folds_of, twice, n_folds), partial(folds_of, once, n_folds), repeats)
    yield times.row("twice the samples", rival="once", ours="twice", target="(work x 2: 0.5)")
