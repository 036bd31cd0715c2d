"""Do groups help nets that are good already? Default nets, grouped in every way there is.

    python -m benchmarks.strong_groups --data FOLDER --results results.jsonl
    python -m benchmarks.strong_groups --results benchmarks/results/strong_groups.jsonl --n-seeds 0

The second only prints what was measured. Tables and splits are those of `benchmarks.evidence`.
Every net is a default one (TabM of 16 members), every way has 3 groups at most. Beside each kind of
groups stand the same memberships dealt out to the tasks at random, and ensembles of as many nets
that serve (3) or train (4). "Warm" specialists start from the net that made the data maps; the net
that trains twice as long is what they may be compared to. In the last ways, one net is trained,
and groups are weights of its members: each member belongs to a group and weighs the losses of tasks
by their memberships, and so its predictions.

AUC, and log loss after the class balance of the nets is undone by the shares of the training part
(q = p / (p + (1 − p)(1 − π)/π)); both are means over tasks. Each fit adds a line to the results
file; a run that was interrupted goes on where it was. Intervals (95 %, Student's t over seeds,
paired) speak of other splits of the same samples.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from benchmarks.evidence import (
    auc_of_tasks,
    cost,
    interval,
    score_of_tasks,
    tables,
    with_interval,
)
from benchmarks.result_file import ResultFile
from benchmarks.rivals import DealtGroups
from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupSelector, TAGGrouping
from skgroup.training.loss import MultiTaskLoss

SETS = ("digits", "yeast", "birds", "tox21")
N_GROUPS = 3
EPOCHS = MultiTaskNet().max_epochs
#: The number of members of the default module.
N_MEMBERS = 16


class GivenGroups(BaseEstimator):
    """Memberships, and which groups serve, that are known."""

    def __init__(self, membership, serving):
        self.membership = membership
        self.serving = serving

    def fit(self, X, y=None):
        self.membership_, self.serving_weights_ = self.membership, self.serving
        return self


class MemberLoss(MultiTaskLoss):
    """The loss of a net whose members weigh the tasks, each its own way.

    `member_weight` (n_members, n_tasks): the mean over members is 1, so that no task loses.
    """

    def __init__(self, task_outputs, member_weight, task_weight=None, class_weight=None):
        super().__init__(task_outputs, task_weight, class_weight)
        self.register_buffer("member_weight", torch.as_tensor(member_weight, dtype=torch.float32))

    def forward(self, logits, target):
        # Members were folded into the batch, and are taken apart again.
        n_members = len(self.member_weight)
        of_member = logits.unflatten(0, (-1, n_members)).transpose(0, 1)
        target = {
            key: part.unflatten(0, (-1, n_members)).transpose(0, 1) for key, part in target.items()
        }
        weight = self.weight * self.member_weight[:, :, None]
        return self.of_batch(of_member, target, weight, self.layout, self.complete).mean()


def grouped(grouper, seed, **params):
    return GroupedMTLClassifier(grouper=grouper, random_state=seed, **params)


def by_data_maps(clusterer):
    # As the default grouper, seeds included.
    return make_pipeline(TaskGrouper(MultiTaskNet(), output="isometric"), clusterer)


def ensemble(n_nets):
    return lambda seed: GroupedMTLClassifier.mtl_ensemble(n_nets, random_state=seed)


def dealt(seed, membership, serving):
    """Groups of the same memberships, at random."""
    order = np.random.default_rng(seed).permutation(len(membership))
    return grouped(GivenGroups(membership[order], serving[order]), seed)


def members(seed, membership, at_random=False):
    """One net, whose members weigh tasks by the memberships of their group."""
    if at_random:
        membership = membership[np.random.default_rng(seed).permutation(len(membership))]
    weight = membership.T[np.arange(N_MEMBERS) % membership.shape[1]]
    weight = weight / weight.mean(axis=0)

    def weighted(output):
        # The net takes the mean over members.
        return torch.sigmoid(output) * torch.as_tensor(weight, dtype=output.dtype)

    return MultiTaskNet(
        criterion=MemberLoss,
        criterion__member_weight=weight,
        predict_nonlinearity=weighted,
        random_state=seed,
    )


_MAPS, _TAG, _LABELS = "data maps", "TAG", "label correlation"
_WARM = {"specialist_init": "relation"}

#: What is made of a seed.
WAYS = {
    "one net": lambda seed: MultiTaskNet(random_state=seed),
    "one net, twice as long": lambda seed: MultiTaskNet(max_epochs=2 * EPOCHS, random_state=seed),
    "3 nets": ensemble(3),
    "4 nets": ensemble(4),
    _MAPS: lambda seed: grouped(by_data_maps(FuzzyKMeans(N_GROUPS)), seed),
    _TAG: lambda seed: grouped(TAGGrouping(n_groups=N_GROUPS), seed),
    _LABELS: lambda seed: grouped(
        make_pipeline(LabelCorrelationAffinity(), GroupSelector(N_GROUPS)), seed
    ),
    "label correlation, soft": lambda seed: grouped(
        make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(N_GROUPS)), seed
    ),
    "data maps, warm": lambda seed: grouped(by_data_maps(FuzzyKMeans(N_GROUPS)), seed, **_WARM),
    "random, warm": lambda seed: grouped(by_data_maps(DealtGroups(N_GROUPS)), seed, **_WARM),
    "data maps, warm, half of the epochs": lambda seed: grouped(
        by_data_maps(FuzzyKMeans(N_GROUPS)), seed, specialist_epochs=EPOCHS // 2, **_WARM
    ),
}
#: What is made of the groups of another way: its name, and of what.
OF_GROUPS = {
    "random, as data maps": (_MAPS, dealt),
    "random, as TAG": (_TAG, dealt),
    "random, as label correlation": (_LABELS, dealt),
    "members by data maps": (_MAPS, lambda seed, groups, _: members(seed, groups)),
    "members at random": (_MAPS, lambda seed, groups, _: members(seed, groups, at_random=True)),
}
#: Paired differences: whose, to what.
TARGETS = (
    ("3 nets", "one net"),
    (_MAPS, "3 nets"),
    (_MAPS, "4 nets"),
    (_MAPS, "random, as data maps"),
    (_TAG, "4 nets"),
    (_TAG, "random, as TAG"),
    (_LABELS, "3 nets"),
    (_LABELS, "random, as label correlation"),
    ("label correlation, soft", "3 nets"),
    ("data maps, warm", _MAPS),
    ("data maps, warm", "random, warm"),
    ("data maps, warm", "one net, twice as long"),
    ("data maps, warm, half of the epochs", _MAPS),
    ("members by data maps", "one net"),
    ("members by data maps", "members at random"),
)


def unbalanced(proba, Y):
    """Probabilities of nets of balanced classes, by the shares of the labels Y."""
    odds = np.nanmean(Y, axis=0) / (1 - np.nanmean(Y, axis=0))
    return proba * odds / (proba * odds + 1 - proba)


def run(name, folder, seed, wanted, file):
    lines = {x["way"]: x for x in file.read() if (x["data"], x["seed"]) == (name, seed)}
    wanted = [way for way in wanted if way not in lines]
    if not wanted:
        return
    X_train, X_test, Y_train, Y_test, counted = tables(name, folder, seed)
    for way in wanted:
        if way in WAYS:
            model = WAYS[way](seed)
        else:
            base, make = OF_GROUPS[way]
            if base not in lines:
                raise ValueError(f"{way!r} wants the groups of {base!r}: choose it too (--ways).")
            groups = (np.array(lines[base][key]) for key in ("membership", "serving"))
            model = make(seed, *groups)
        start = time.perf_counter()
        proba = model.fit(X_train, Y_train).predict_proba(X_test).astype(float)
        seconds = time.perf_counter() - start
        line = {"data": name, "seed": seed, "way": way, "seconds": seconds}
        log_loss = score_of_tasks(cost, Y_test, unbalanced(proba, Y_train))
        line["auc"] = float(np.nanmean(auc_of_tasks(Y_test, proba)[counted]))
        line["log_loss"] = float(np.nanmean(log_loss[counted]))
        if hasattr(model, "membership_"):
            line["membership"] = model.membership_.tolist()
            line["serving"] = model.serving_weights_.tolist()
        lines[way] = line
        file.append(line)


def show(lines):
    names = [name for name in SETS if any(line["data"] == name for line in lines)]
    of = {}
    for line in lines:
        of.setdefault((line["data"], line["way"]), {})[line["seed"]] = line
    out = []
    for score, label in (("auc", "AUC"), ("log_loss", "log loss"), ("seconds", "seconds")):
        digits = 1 if score == "seconds" else 4
        out += ["", f"| {label} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for way in [*WAYS, *OF_GROUPS]:
            cells = []
            for name in names:
                values = [line[score] for line in of.get((name, way), {}).values()]
                spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
                spread += f" ({len(values)})"
                cells.append(f"{np.mean(values):.{digits}f}{spread}" if values else "")
            out.append(f"| {way} | {' | '.join(cells)} |")
    for score, label in (("auc", "AUC"), ("log_loss", "log loss")):
        out += ["", f"| {label}, less | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for ours, theirs in TARGETS:
            cells = []
            for name in names:
                pair = [
                    {seed: line[score] for seed, line in of.get((name, way), {}).items()}
                    for way in (ours, theirs)
                ]
                there = set(pair[0]) & set(pair[1])
                cells.append(with_interval(interval(*pair)) if there else "")
            out.append(f"| {ours} less {theirs} | {' | '.join(cells)} |")
    return "\n".join(out[1:])


def main():
    every = [*WAYS, *OF_GROUPS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the data files")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--ways", nargs="*", choices=every, default=every)
    parser.add_argument("--n-seeds", type=int, default=3)
    args = parser.parse_args()
    if args.n_seeds and args.data is None:
        parser.error("--data is needed to measure anything; --n-seeds 0 prints the results")
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "strong_groups")
    wanted = [way for way in every if way in args.ways]
    for seed in range(args.n_seeds):
        for name in args.sets:
            with threadpool_limits(1):
                run(name, args.data, seed, wanted, file)
    print(show(file.read()))


if __name__ == "__main__":
    main()
