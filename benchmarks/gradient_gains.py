"""Gains of groups from gradients: Grad-TAG, ETAP and TAG beside measured gains.

    python -m benchmarks.gradient_gains --results gradient_gains.jsonl
    python -m benchmarks.gradient_gains --results gradient_gains.jsonl --data FOLDER \
        --tables digits subsets yeast oes97

The second reads `yeast.npz` and `oes97.npz` (x, y) too, and ends with the published ETTm1 tables
that `benchmarks.gain_predictors` reads, wherever in FOLDER they are. Each table and seed adds a
line to the results file; a run that was interrupted goes on where it was. All that the file holds
is printed.

**Tables.** The 15 tasks of the digits; 60 tasks, each whether a digit is among 2 to 5 digits that
were drawn at random; yeast, 14 tasks; oes97, 16 regression tasks. Half of the samples, drawn by
the seed, train. Nets are MLP 64-64 of the paper's recipe without class weights, 20 epochs.

**Measured gains.** Random groups (120 of 2 to 8 tasks, the same for all seeds) and single tasks are
trained twice, with other first weights, and scored on the other half: what predictors are judged
by ("measured again" is the one of the two beside the other). Once more they are trained on four
fifths of the training half and scored on the rest: what a user would know. Nothing that predicts
sees the other half.

**Predictors.** *Grad-TAG* as it is by default, its penalty chosen on the digits; its `affinity_`,
whose mean over the other members is the prediction, as with *TAG* (lookahead at every tenth step)
and *ETAP's affinity* (g_i · g_j / L_j at every step). From known gains: *ETAP* with its affinity,
from 20 and 40 groups drawn at random, *MTG-Net* from the same, the *mean of each task* in them,
*HOA* from all pairs (not for 60 tasks, which have 1,770). *Fewer tasks* says minus the size of the
group.

**Figures.** Pearson's correlation with the measured gains over all entries (group, task) of groups
that were not given; *within tasks*: each task's mean taken off both sides, so that knowing which
tasks gain at all counts for nothing; *and sizes*: what a number for each task and one for each size
of groups explain taken off, so that knowing that large groups gain less counts for nothing. Nets
that are trained, and seconds of CPU time of one thread for the gains of all groups, training
included.
"""

import argparse
import itertools
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.gain_predictors import grow, judge, means_of_tasks, within_tasks
from benchmarks.result_file import ResultFile
from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.relations import GradTAG, InterTaskAffinity
from skgroup.selection import (
    ETAP,
    GroupGains,
    HigherOrderApproximation,
    MTGNet,
    read_gain_tables,
)

TABLES = ("digits", "subsets", "yeast", "oes97")
N_GROUPS, LARGEST, N_REPEATS = 120, 8, 2
N_KNOWN = (20, 40)
MOST_PAIRED = 20


def net():
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(64, 64), max_epochs=20, class_weight=None, device="cpu"
    )


def load(name, folder):
    if name == "digits":
        X, Y = load_digit_tasks(return_X_y=True, random_state=0)
        return X.astype(np.float32), Y
    if name == "subsets":
        X, digit = load_digits(return_X_y=True)
        rng, members = np.random.default_rng(0), set()
        while len(members) < 60:
            drawn = rng.choice(10, rng.integers(2, 6), replace=False)
            members.add(tuple(sorted(drawn.tolist())))
        Y = np.column_stack([np.isin(digit, some) for some in sorted(members)])
        return (X / 16).astype(np.float32), Y.astype(int)
    with np.load(next(folder.rglob(f"{name}.npz")), allow_pickle=True) as file:
        if "x" in file:
            X, Y = file["x"].astype(float), file["y"].astype(float)
        else:
            X = np.concatenate([file["x_train"], file["x_test"]]).astype(float)
            Y = np.concatenate([file["y_train"], file["y_test"]]).astype(float)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)
    return X.astype(np.float32), Y


def random_groups(n_tasks):
    rng, groups = np.random.default_rng(0), set()
    while len(groups) < N_GROUPS:
        drawn = rng.choice(n_tasks, rng.integers(2, LARGEST + 1), replace=False)
        groups.add(tuple(sorted(drawn.tolist())))
    return np.array([np.isin(np.arange(n_tasks), group) for group in sorted(groups)])


def mean_of_others(masks, affinity):
    """Mean affinity of the other members onto each task."""
    others = affinity - np.diag(np.diag(affinity))
    return masks @ others / np.maximum(masks.sum(axis=1, keepdims=True) - 1, 1)


def correlations(predicted, truth, masks, given=()):
    present = masks & (masks.sum(axis=1, keepdims=True) > 1)
    present[list(given)] = False
    predicted = np.where(present, predicted, 0.0)
    over_all = np.corrcoef(predicted[present], truth[present])[0, 1]
    within = within_tasks(predicted, truth, present)
    # Off both sides: a number for each task and one for each size of groups.
    group, task = np.nonzero(present)
    size = masks.sum(axis=1)[group]
    known = np.hstack([np.eye(masks.shape[1])[task], np.eye(LARGEST + 1)[size]])
    sides = [v[present] - known @ np.linalg.lstsq(known, v[present])[0] for v in (predicted, truth)]
    same = np.allclose(sides[0], 0, atol=1e-9 * np.abs(predicted).max())
    beyond = np.nan if same else np.corrcoef(*sides)[0, 1]
    return [float(over_all), float(within), float(beyond)]


def run(name, folder, seed):
    """Figures of each way: the three correlations, nets, seconds."""
    X, Y = load(name, folder)
    masks, n_tasks = random_groups(Y.shape[1]), Y.shape[1]
    parts = train_test_split(np.arange(len(X)), test_size=0.5, random_state=seed)
    of_test = {"masks": masks, "random_state": seed}
    measured = GroupGains(net(), cv=[tuple(parts)] * N_REPEATS, **of_test).fit(X, Y)
    known = GroupGains(net(), **of_test).fit(X[parts[0]], Y[parts[0]])
    X, Y = X[parts[0]], Y[parts[0]]
    order = [np.flatnonzero((measured.masks_ == mask).all(axis=1))[0] for mask in masks]
    truth = np.where(masks, measured.gains_[order], 0.0)
    gains = np.where(masks, known.gains_[order], np.nan)
    halves = [1 - s / alone_of(measured)[:, m] for m, s in enumerate(scores_of(measured, order))]
    figures = {"measured again": [*correlations(halves[0], halves[1], masks), N_GROUPS, None]}

    def note(way, predicted, n_nets, start, given=()):
        seconds = None if start is None else time.process_time() - start
        figures[way] = [*correlations(predicted, truth, masks, given), n_nets, seconds]

    start = time.process_time()
    grad_tag = GradTAG(net(), random_state=seed).fit(X, Y)
    note("Grad-TAG", grad_tag.predict(masks), 1, start)
    note("Grad-TAG's affinity", mean_of_others(masks, grad_tag.affinity_), 1, start)
    start = time.process_time()
    tag = InterTaskAffinity(net(), random_state=seed).fit(X, Y).affinity_
    note("TAG", mean_of_others(masks, tag), 1, start)
    start, options = time.process_time(), {"method": "gradient", "scale_by_lr": True, "every": 1}
    affinity = InterTaskAffinity(net(), random_state=seed, **options).fit(X, Y).affinity_
    note("ETAP's affinity", mean_of_others(masks, affinity), 1, start)
    note("fewer tasks", -masks.sum(axis=1, keepdims=True) * np.ones(masks.shape), 0, None)
    shuffled = np.random.default_rng(seed).permutation(len(masks))
    for n in N_KNOWN:
        rows = shuffled[:n]
        nets = n + n_tasks
        means = np.zeros(n_tasks)
        held = masks[rows].any(axis=0)
        means[held] = means_of_tasks(masks[rows][:, held], gains[rows][:, held])
        note(f"mean of each task, {n} groups", means * np.ones(masks.shape), nets, None, rows)
        predicted = ETAP(affinity).fit(masks[rows], gains[rows]).predict(masks)
        note(f"ETAP, {n} groups", predicted, nets + 1, None, rows)
        if held.all():
            mtg_net = MTGNet(random_state=seed).fit(masks[rows], gains[rows])
            note(f"MTG-Net, {n} groups", mtg_net.predict(masks), nets, None, rows)
    if n_tasks <= MOST_PAIRED:
        start = time.process_time()
        pairs = GroupGains(net(), masks="pairs", random_state=seed).fit(X, Y)
        hoa = HigherOrderApproximation().fit(pairs.masks_, pairs.gains_)
        note("HOA, pairs", hoa.predict(masks), len(pairs.masks_), start)
    return figures


def alone_of(gains):
    """Scores of single tasks, (n_tasks, n_parts)."""
    alone = np.empty(gains.scores_.shape[1:])
    rows = np.flatnonzero(gains.masks_.sum(axis=1) == 1)
    tasks = gains.masks_[rows].argmax(axis=1)
    alone[tasks] = gains.scores_[rows, tasks]
    return alone


def scores_of(gains, order):
    return [np.nan_to_num(gains.scores_[order][..., m]) for m in range(gains.scores_.shape[2])]


def published(folder, n_seeds):
    """ETAP's curve and correction on TAG's published affinities of ETTm1."""
    files = {"validation": "ETTm1_val_y.csv", "test": "ETTm1_y.csv", "tag": "ETTm1_TAG_HOA.csv"}
    found = {name: next(folder.rglob(file)) for name, file in files.items()}
    tables = read_gain_tables(next(folder.rglob("ETTm1_x.csv")), **found)
    masks, n_tasks = tables.masks, tables.masks.shape[1]
    known, test, tag = (np.nan_to_num(tables[name]) for name in files)
    affinity = np.zeros((n_tasks, n_tasks))
    for i, j in itertools.permutations(range(n_tasks), 2):
        pair = (masks == np.isin(np.arange(n_tasks), (i, j))).all(axis=1)
        affinity[i, j] = tag[pair, j][0]
    rows = {"TAG's affinities alone": {0: [judge(tag, masks, known, test, np.zeros(127, bool))]}}
    for seed in range(n_seeds):
        for n, given in grow(None, masks, known, [20, 30, 40], "at random", seed):
            measured = np.isin(np.arange(len(masks)), given)
            predictions = {
                "ETAP": ETAP(affinity).fit(masks[given], known[given]).predict(masks),
                "ETAP without its affinity": ETAP(np.zeros((n_tasks, n_tasks)))
                .fit(masks[given], known[given])
                .predict(masks),
                "mean of each task": means_of_tasks(masks[given], known[given])
                * np.ones(masks.shape),
            }
            for way, predicted in predictions.items():
                judged = judge(predicted, masks, known, test, measured)
                rows.setdefault(way, {}).setdefault(n, []).append(judged)
    print(f"\nETTm1, {n_seeds} seeds, groups measured at random, judged by test gains\n")
    columns = ("correlation", "not measured", "within tasks", "gain of the choice", "gains kept")
    print(f"| | groups measured | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for way, of_way in rows.items():
        for n, judged in of_way.items():
            cells = [cell(values) for values in list(zip(*judged, strict=True))[:5]]
            print(f"| {way} | {n} | {' | '.join(cells)} |")


def cell(values):
    values = np.array([np.nan if v is None else v for v in values], dtype=float)
    if np.isnan(values).any():
        return ""
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"


def show(records):
    for name in TABLES:
        of_table = [r["figures"] for r in records if r["table"] == name]
        if not of_table:
            continue
        print(f"\n{name}, {len(of_table)} seeds\n")
        columns = ("correlation", "within tasks", "and sizes", "nets", "seconds")
        print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for way in of_table[0]:
            lines = [figures[way] for figures in of_table if way in figures]
            *three, nets, seconds = zip(*lines, strict=True)
            took = "" if None in seconds else f"{np.mean(seconds):.1f}"
            print(f"| {way} | {' | '.join(map(cell, three))} | {nets[0]} | {took} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="file of results")
    parser.add_argument("--data", type=Path, help="folder with tables")
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=["digits", "subsets"])
    parser.add_argument("--n-seeds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    file = ResultFile(args.results, "gradient_gains")
    done = {(r["table"], r["seed"]) for r in file.read()}
    for seed, name in itertools.product(range(args.n_seeds), args.tables):
        if (name, seed) not in done:
            file.append({"table": name, "seed": seed, "figures": run(name, args.data, seed)})
    show(file.read())
    if args.data is not None and any(args.data.rglob("ETTm1_x.csv")):
        published(args.data, 5)


if __name__ == "__main__":
    main()
