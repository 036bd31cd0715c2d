"""Whether affinities of sets of tasks say what groups gain: TAG's higher orders on the digits.

    python -m benchmarks.set_affinities --train-size 0.5 0.1

Seven of the digits' tasks, all 127 groups: each is trained from `--n-nets` seeds on a share of the
samples, and its gains (the share of its loss on half of the samples that a task saves beside being
trained alone) are the mean over them. One net of all tasks, trained on the same samples, gives the
affinities; every predictor says of each task in each group what it gains.

Z is `InterTaskAffinity`: "mean of pairs" is TAG's, the mean of what the others do to the task;
"sum of pairs" their sum; "the others' step" what one step for the sum of the others' losses does
to it (`set_affinity_` of the group without the task); "the group's step" what one for all of
them, its own included, does more than one for the task alone. C is `GradientCosineAffinity`. "First
fifth" is the same from the first fifth of the epochs (`of_epochs`). 1 / size knows nothing but how
many tasks are in the group.

Correlations (Pearson) are over all (group, task) entries of groups of three and more; "within
tasks": each task's mean taken off both sides; "Spearman" within tasks: the mean over tasks. "Gain
of three groups": the measured gain of the three groups that `GroupSelector` chooses by what was
predicted, each task served by the best one, as predicted, of those that it is in. Spread is the
standard deviation over splits.
"""

import argparse
import warnings
from itertools import product

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit

from benchmarks.gain_predictors import correlation, means_of_tasks, within_tasks
from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity
from skgroup.selection import GroupGains, GroupSelector, HigherOrderApproximation

TASKS = ("digit 3", "digit 8", "digit 9", "less than 5", "5 or more", "odd", "random")


def nets(epochs):
    """The paper's recipe with a small net, and this package's default with a smaller one."""
    small = {"max_epochs": epochs, "batch_size": 64, "device": "cpu"}
    return {
        "paper": MultiTaskNet.stg_mtl(module__hidden_units=(32,), lr=0.003, **small),
        "default": MultiTaskNet(module__hidden_units=(64,), **small),
    }


def rows_of(masks, wanted):
    """Where each of the groups `wanted` stands; -1 for that of no task."""
    place = {mask.tobytes(): row for row, mask in enumerate(masks)}
    return np.array([place.get(mask.tobytes(), -1) for mask in wanted])


def predictions(relation):
    """What each way predicts, (n_groups, n_tasks) each, for all groups of a fitted relation."""
    masks, of_sets, pairs = relation.masks_, relation.set_affinity_, relation.affinity_
    alone = pairs.diagonal()
    summed = masks @ (pairs - np.diag(alone))
    others = np.zeros(masks.shape)
    for t in range(masks.shape[1]):
        without = masks & (np.arange(masks.shape[1]) != t)
        others[:, t] = of_sets[rows_of(masks, without), t] * without.any(axis=1)
    n_others = np.maximum(masks.sum(axis=1, keepdims=True) - 1, 1)
    return {
        "mean of pairs": summed / n_others,
        "sum of pairs": summed,
        "the others' step": others,
        "the others' step / their number": others / n_others,
        "the group's step": of_sets - alone,
    }


def of_three_groups(predicted, masks, truth):
    """The measured gain of three groups that are chosen by predicted ones."""
    chosen = GroupSelector(3, random_state=0).fit(predicted, masks=masks)
    rows = rows_of(masks, chosen.membership_.T.astype(bool))
    return truth[rows[chosen.serving_weights_.argmax(axis=1)], np.arange(masks.shape[1])].mean()


def judge(predicted, masks, truth):
    large = masks & (masks.sum(axis=1, keepdims=True) >= 3)
    ranks = [
        spearmanr(predicted[of_task, t], truth[of_task, t]).statistic
        for t, of_task in enumerate(large.T)
        if np.ptp(predicted[of_task, t]) > 1e-12
    ]
    return (
        correlation(predicted, truth, large),
        within_tasks(predicted, truth, large),
        np.mean(ranks) if ranks else np.nan,
        of_three_groups(predicted, masks, truth),
    )


def measure(net, X, Y, split, seed, n_nets):
    """The score of every predictor on a split."""
    train, _ = split
    gains = GroupGains(net, cv=[split] * n_nets, random_state=seed).fit(X, Y)
    masks, losses = gains.masks_, gains.scores_
    # Of each seed alone, to see how much of the gains is noise.
    alone = np.array(
        [
            losses[rows_of(masks, [one])[0], t]
            for t, one in enumerate(np.eye(len(TASKS), dtype=bool))
        ]
    )
    of_seeds = (alone - losses) / alone
    truth, size = gains.gains_, masks.sum(axis=1, keepdims=True)
    found = {}
    relations = {
        "Z": InterTaskAffinity(clone(net), masks=masks, random_state=seed),
        "C": GradientCosineAffinity(clone(net), masks=masks, random_state=seed),
    }
    for letter, relation in relations.items():
        relation.fit(X[train], Y[train])
        n_epochs = len(relation.epoch_affinity_)
        parts = {"": relation, ", first fifth": relation.of_epochs(last=max(n_epochs // 5, 1))}
        for epochs, part in parts.items():
            of_part = predictions(part)
            for name, predicted in of_part.items():
                found[f"{letter}, {name}{epochs}"] = judge(predicted, masks, truth)
            sides = of_part["sum of pairs"], of_part["the others' step"]
            same = correlation(*sides, masks & (size >= 3))
            found[f"{letter}, sum of pairs against the others' step{epochs}"] = (
                same,
                *3 * [np.nan],
            )
    found["1 / size"] = judge(1 / size * np.ones(masks.shape), masks, truth)
    small = size[:, 0] <= 2
    hoa = HigherOrderApproximation().fit(masks[small], truth[small]).predict(masks)
    found["HOA, 28 groups measured"] = judge(np.nan_to_num(hoa), masks, truth)
    some = np.random.default_rng(seed).permutation(len(masks))[:30]
    means = means_of_tasks(masks[some], truth[some]) * np.ones(masks.shape)
    # Which of the groups it chooses is arbitrary.
    found["mean of each task, 30 groups measured"] = (*judge(means, masks, truth)[:3], np.nan)
    if n_nets > 1:
        scores = [
            judge(of_seeds[..., s], masks, np.delete(of_seeds, s, axis=2).mean(axis=2))
            for s in range(n_nets)
        ]
        found["gains from one seed (judged by the others)"] = tuple(np.mean(scores, axis=0))
    found["the measured gains themselves"] = (
        *3 * [np.nan],
        of_three_groups(truth, masks, truth),
    )
    together = truth[masks.all(axis=1)][0].mean()
    found["one net for all tasks"] = (*3 * [np.nan], together)
    return found


def cell(values):
    values = np.array(values)
    if np.isnan(values).all():
        return ""
    spread = f" ± {np.nanstd(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.nanmean(values):.2f}{spread}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-splits", type=int, default=3)
    parser.add_argument("--n-nets", type=int, default=3, help="seeds that gains are the mean of")
    parser.add_argument("--train-size", type=float, nargs="*", default=[0.5, 0.1])
    parser.add_argument("--nets", nargs="*", choices=list(nets(1)), default=list(nets(1)))
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    digits = load_digit_tasks()
    X, Y = digits.data, digits.target[:, [list(digits.task_names).index(t) for t in TASKS]]
    for title, share in product(args.nets, args.train_size):
        net = nets(args.epochs)[title]
        splits = ShuffleSplit(args.n_splits, train_size=share, test_size=0.5, random_state=0)
        scores = {}
        for seed, split in enumerate(splits.split(X)):
            for name, found in measure(net, X, Y, split, seed, args.n_nets).items():
                scores.setdefault(name, []).append(found)
        print(
            f"\nDigits, {share} of the samples, the {title}'s net, {args.n_splits} splits\n",
            flush=True,
        )
        print("| | correlation | within tasks | Spearman within tasks | gain of three groups |")
        print("|---|---|---|---|---|")
        for name, found in scores.items():
            print(f"| {name} | {' | '.join(map(cell, zip(*found, strict=True)))} |", flush=True)


if __name__ == "__main__":
    main()
