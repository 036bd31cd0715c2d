"""Gains of all groups from a few measured ones: MTG-Net beside HOA and TAG, on published gains.

    python -m benchmarks.gain_predictors --data FOLDER --n-seeds 5

FOLDER holds the ETTm1 tables of MTG-Net's authors: 7 tasks, 127 groups; `ETTm1_x.csv` the groups,
`ETTm1_val_y.csv` and `ETTm1_y.csv` the gains on validation and test samples, `ETTm1_TAG_HOA.csv`
what TAG predicts. Every predictor learns from validation gains and is judged by test gains.
MTG-Net is this package's `MTGNet()`, of five nets or of one; and the published one, as the paper
says, 128 wide as in its authors' code, as a mean of five, and its network alone, trained as ours.
It is given the 7 single tasks and the group of all, and then more groups: chosen by
`MTGNet.suggest`, 7 at a time (each task has its turn), or at random. HOA is given the 28 groups of
one task and of two.

Correlations (Pearson) are over all (group, task) entries of groups of three and more; "not
measured": of those among them that were not given; "within tasks": the same, each task's mean
over those entries taken off both sides, so that knowing which tasks gain at all counts for nothing.
"Mean of each task" is the predictor that says, whatever the group, the mean of the task's measured
gains in groups of two and more. "Chosen groups" are the best 3 of all
127 by the mean over tasks of a task's best predicted gain, found by trying every 3 (fewer would
not be better), a task alone gaining 0; every task is served by the group where its predicted gain
is largest, and the column is the mean of the test gains there. In the column after it, measured
gains stand in for predictions of measured groups (as they do in HOA anyway); in the last, groups
are chosen among measured ones alone, which needs no predictor.

`--validation` judges by validation gains instead: the defaults of `MTGNet` were tuned on those
(correlation on groups not measured, measured ones at random).
"""

import argparse
import itertools
import warnings
from pathlib import Path

import numpy as np
import torch

from skgroup.selection import HigherOrderApproximation, MTGNet, read_gain_tables

NETS = {
    "MTGNet(n_nets=1)": MTGNet(n_nets=1),
    "MTGNet()": MTGNet(),
    "MTGNet.published()": MTGNet.published(),
    "MTGNet.published(128)": MTGNet.published(128),
    "MTGNet.published(n_nets=5)": MTGNet.published(n_nets=5),
    'MTGNet(network="published")': MTGNet(network="published"),
}


def correlation(predicted, truth, present):
    return np.corrcoef(predicted[present], truth[present])[0, 1]


def within_tasks(predicted, truth, present):
    n = present.sum(axis=0)
    sides = [v - np.where(present, v, 0).sum(axis=0) / n for v in (predicted, truth)]
    # A prediction that is the same in all groups says nothing of them.
    if np.allclose(sides[0][present], 0):
        return np.nan
    return correlation(*sides, present)


def means_of_tasks(masks, gains):
    several = masks & (masks.sum(axis=1, keepdims=True) > 1)
    return np.where(several, gains, 0).sum(axis=0) / several.sum(axis=0)


def choose(gains, n_groups=3):
    """The groups of the largest mean over tasks of the best gain; NaN where a task is absent."""
    gains = np.where(np.isnan(gains), -np.inf, gains)
    subsets = np.array(list(itertools.combinations(range(len(gains)), n_groups)))
    best = np.maximum.reduce([gains[subsets[:, k]] for k in range(n_groups)])
    return subsets[np.maximum(best, 0).mean(axis=1).argmax()]


def served(predicted, truth, groups):
    """Mean over tasks of the true gain in the group of the largest prediction, alone if < 0."""
    offered = np.vstack([np.where(np.isnan(predicted), -np.inf, predicted)[groups], 0 * truth[:1]])
    true = np.vstack([truth[groups], 0 * truth[:1]])
    return np.take_along_axis(true, offered.argmax(axis=0)[None], axis=0).mean()


def judge(predicted, masks, known, truth, measured):
    large = masks & (masks.sum(axis=1, keepdims=True) >= 3)
    unseen = large & ~measured[:, None]
    predicted = np.where(masks, predicted, np.nan)
    with_measured = np.where(measured[:, None] & masks, known, predicted)
    measured_alone = np.where(measured[:, None] & masks, known, np.nan)
    return (
        correlation(predicted, truth, large),
        correlation(predicted, truth, unseen),
        within_tasks(predicted, truth, unseen),
        served(predicted, truth, choose(predicted)),
        served(with_measured, truth, choose(with_measured)),
        served(measured_alone, truth, choose(measured_alone)) if measured.any() else np.nan,
    )


def row_numbers(masks, wanted):
    return [int(np.flatnonzero((masks == mask).all(axis=1))[0]) for mask in wanted]


def grow(net, masks, gains, n_measured, how, seed):
    """Groups measured so far, for each of the numbers `n_measured`."""
    sizes = masks.sum(axis=1)
    rows = np.flatnonzero((sizes == 1) | (sizes == masks.shape[1])).tolist()
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.setdiff1d(np.arange(len(masks)), rows)).tolist()
    for n in n_measured:
        while len(rows) < n:
            if how == "at random":
                rows.append(shuffled.pop())
                continue
            n_next = min(masks.shape[1], n - len(rows))
            more = net.suggest(masks, masks[rows], gains[rows], n_next)
            rows += row_numbers(masks, more)
        yield n, list(rows)


def cell(values):
    values = np.array(values)
    if np.isnan(values).all():
        return ""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--n-measured", type=int, nargs="*", default=[20, 30, 40])
    parser.add_argument("--validation", action="store_true", help="judge by validation gains")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    tables = {"validation": "ETTm1_val_y.csv", "test": "ETTm1_y.csv", "tag": "ETTm1_TAG_HOA.csv"}
    tables = {name: args.data / file for name, file in tables.items()}
    published = read_gain_tables(args.data / "ETTm1_x.csv", **tables)
    masks = published.masks
    known, test, tag = (np.nan_to_num(published[name]) for name in tables)
    truth = known if args.validation else test
    small = masks.sum(axis=1) <= 2
    nothing = np.zeros(len(masks), dtype=bool)

    hoa = HigherOrderApproximation().fit(masks[small], known[small]).predict(masks)
    rows = {
        "HOA, singles and pairs": (small.sum(), [judge(hoa, masks, known, truth, small)]),
        "TAG, as published": (0, [judge(tag, masks, known, truth, nothing)]),
    }
    for seed in range(args.n_seeds):
        for n, measured in grow(None, masks, known, sorted(args.n_measured), "at random", seed):
            predicted = means_of_tasks(masks[measured], known[measured]) * np.ones(masks.shape)
            given = np.isin(np.arange(len(masks)), measured)
            scores = judge(predicted, masks, known, truth, given)
            name = f"mean of each task, {n} groups at random"
            rows.setdefault(name, (n, []))[1].append(scores)
    for kind, net in NETS.items():
        for how in ("chosen actively", "at random"):
            for seed in range(args.n_seeds):
                net.set_params(random_state=seed)
                for n, measured in grow(net, masks, known, sorted(args.n_measured), how, seed):
                    predicted = net.fit(masks[measured], known[measured]).predict(masks)
                    name = f"{kind}, {n} groups {how}"
                    given = np.isin(np.arange(len(masks)), measured)
                    scores = judge(predicted, masks, known, truth, given)
                    rows.setdefault(name, (n, []))[1].append(scores)
    best = choose(np.where(masks, truth, np.nan))
    everything = np.flatnonzero(masks.all(axis=1))
    what = "validation" if args.validation else "test"
    print(f"ETTm1, {args.n_seeds} seeds, judged by {what} gains\n")
    print(
        "| | groups measured | correlation | not measured | within tasks "
        "| gain of chosen groups | measured gains kept | chosen among measured |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name, (n, scores) in rows.items():
        cells = [cell(values) for values in zip(*scores, strict=True)]
        print(f"| {name} | {n} | {' | '.join(cells)} |")
    of_known = np.where(masks, known, np.nan)
    chosen = served(of_known, truth, choose(of_known))
    print(f"| all measured (validation gains) | {len(masks)} | | | | | | {chosen:.3f} |")
    optimum = served(np.where(masks, truth, np.nan), truth, best)
    print(f"| the best there is, by {what} gains | {len(masks)} | | | | | | {optimum:.3f} |")
    print(f"| one net for all tasks | | | | | {truth[everything[0]].mean():.3f} | | |")

    of_hoa = rows["HOA, singles and pairs"][1][0]
    print()
    columns = (
        "correlation",
        "correlation on groups not measured",
        "correlation within tasks",
        "gain of chosen groups",
        "gain of groups chosen with measured gains kept",
    )
    for k, column in enumerate(columns):
        worse = {"HOA": [], "the mean of each task": []}
        for name, (n, scores) in rows.items():
            if not name.startswith(tuple(NETS)):
                continue
            of_means = rows[f"mean of each task, {n} groups at random"][1]
            ours = np.mean([s[k] for s in scores])
            rivals = {"HOA": of_hoa[k], "the mean of each task": np.mean([s[k] for s in of_means])}
            for rival, score in rivals.items():
                if ours <= score:
                    worse[rival].append(f"{name} ({ours:.3f}, not {score:.3f})")
        if column == "correlation within tasks":
            del worse["the mean of each task"]  # it says nothing there
        for rival, lost in worse.items():
            print(f"MTG-Net does not beat {rival} in {column}: {'; '.join(lost) or 'none'}.")
    for kind in NETS:
        for k, column in enumerate(columns):
            gaps = [
                np.mean([s[k] for s in rows[f"{kind}, {n} groups chosen actively"][1]])
                - np.mean([s[k] for s in rows[f"{kind}, {n} groups at random"][1]])
                for n in sorted(args.n_measured)
            ]
            said = ", ".join(f"{gap:+.3f}" for gap in gaps)
            print(f"{kind}, {column}, chosen actively less at random: {said}.")
    for name, (_, scores) in rows.items():
        if name.startswith(tuple(NETS)):
            gap = np.mean([s[4] - s[5] for s in scores])
            print(f"{name}: predictions add {gap:+.3f} to the choice among measured groups.")


if __name__ == "__main__":
    main()
