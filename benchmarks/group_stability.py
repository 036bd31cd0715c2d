"""How often does `GroupStability` call groups stable, where there are some, and where none?

    python -m benchmarks.group_stability

Made tables of 500 samples and 6 or 12 binary tasks:

- identical: one task, again and again;
- random: labels drawn at random;
- unrelated: each task looks at a feature of its own, with its own noise and share of positives, so
  that each has a place of its own in every repetition;
- graded: one direction turned step by step, neighbours alike, no groups;
- planted 2, planted 3: tasks take turns in 2 or 3 groups; those of a group look at the same
  feature, half as noisily as it is strong.

What is clustered are the correlations of labels, the data maps of a small net, or places that are
made up: the hardest case, as unrelated tasks there return to their places but for little noise.
K-means, with 3 groups asked for and 2 to 5 looked at. A cell has how often, over the seeds, some
number of groups is called stable, and of these how often they are the planted ones exactly; without
groups, anything above the level of 5 % is too much.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from benchmarks.result_file import ResultFile
from skgroup import MultiTaskNet, TaskGrouper
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupStability

N_SAMPLES = 500
KINDS = ("identical", "random", "unrelated", "graded", "planted 2", "planted 3")
RELATIONS = ("labels", "data maps", "places")


def made_table(kind, n_tasks, seed):
    """X, Y, and the groups that were planted (None where there are none)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_SAMPLES, 14))
    noise = rng.normal(size=(N_SAMPLES, n_tasks))
    groups = None
    if kind == "identical":
        Z = np.repeat(X[:, :1] + X[:, 1:2], n_tasks, axis=1)
    elif kind == "random":
        Z = noise
    elif kind == "unrelated":
        Z = X[:, :n_tasks] + noise * np.linspace(0.1, 1.5, n_tasks) - rng.uniform(-1, 1, n_tasks)
    elif kind == "graded":
        angle = np.linspace(0, np.pi / 2, n_tasks)
        Z = X[:, :1] * np.cos(angle) + X[:, 1:2] * np.sin(angle) + 0.2 * noise
    else:
        groups = np.arange(n_tasks) % int(kind[-1])
        Z = X[:, groups] + 0.5 * noise
    return X, (Z > 0).astype(int), groups


class Places(TransformerMixin, BaseEstimator):
    """Made-up rows of tasks, with noise of a tenth of their size in each repetition."""

    def __init__(self, kind, seed, random_state=None):
        self.kind = kind
        self.seed = seed
        self.random_state = random_state

    def fit(self, X, y):
        n_tasks, rng = y.shape[1], np.random.default_rng(self.seed)
        if self.kind in ("identical", "random"):
            places = np.zeros((n_tasks, 3))
        elif self.kind == "unrelated":
            places = rng.normal(size=(n_tasks, 3))
        elif self.kind == "graded":
            places = np.linspace(-2, 2, n_tasks)[:, None] * np.ones(3)
        else:
            groups = np.arange(n_tasks) % int(self.kind[-1])
            places = rng.normal(size=(3, 3))[groups] + 0.2 * rng.normal(size=(n_tasks, 3))
        self.rows_ = places + 0.1 * np.random.default_rng(self.random_state).normal(
            size=places.shape
        )
        return self

    def transform(self, X):
        return self.rows_


def new_grouper(relation, kind, seed):
    if relation == "labels":
        first = LabelCorrelationAffinity()
    elif relation == "places":
        first = Places(kind, seed)
    else:
        module = {"module__hidden_units": (32,), "module__n_members": 2}
        net = MultiTaskNet(max_epochs=10, lr=0.01, batch_size=50, **module)
        first = TaskGrouper(net, output="isometric")
    return make_pipeline(first, KMeans(3, n_init=1))


def measure(kind, relation, n_tasks, seed):
    X, Y, groups = made_table(kind, n_tasks, seed)
    stability = GroupStability(
        new_grouper(relation, kind, seed), n_references=99, random_state=seed
    )
    stability.fit(X, Y)
    found = stability.labels_
    right = groups is not None and adjusted_rand_score(groups, found) == 1
    return {
        "stable": stability.stable_,
        "right": bool(right and stability.stable_),
        "of_three": bool(stability.frame_.loc[3, "stable"]),
        "adjusted_rand": float(stability.frame_.loc[3, "adjusted_rand"]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("group_stability.jsonl"))
    parser.add_argument("--relations", nargs="*", choices=RELATIONS, default=list(RELATIONS))
    parser.add_argument("--n-tasks", nargs="*", type=int, default=[6, 12])
    parser.add_argument("--n-seeds", type=int, default=20)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    results, done = ResultFile(args.results, "group_stability"), {}
    for line in results.read():
        done[line["kind"], line["relation"], line["n_tasks"], line["seed"]] = line
    for seed in range(args.n_seeds):
        for key in [(k, r, n) for k in KINDS for r in args.relations for n in args.n_tasks]:
            if (*key, seed) in done:
                continue
            row = dict(zip(("kind", "relation", "n_tasks"), key, strict=True), seed=seed)
            done[*key, seed] = row | measure(*key, seed)
            results.append(done[*key, seed])

    columns = [(r, n) for r in args.relations for n in args.n_tasks]
    heads = " | ".join(f"{relation}, {n} tasks" for relation, n in columns)
    print(f"| called stable, of the seeds | {heads} |\n|{'---|' * (1 + len(columns))}")
    for kind in KINDS:
        cells = []
        for column in columns:
            rows = [row for key, row in done.items() if key[:3] == (kind, *column)]
            cell = f"{sum(row['stable'] for row in rows)} of {len(rows)}"
            if "planted" in kind:
                cell += f" ({sum(row['right'] for row in rows)} right)"
            cells.append(cell)
        print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
