"""Populations that come later: from how many labelled rows on is `assign` worth it?

    python -m benchmarks.new_populations --data FOLDER --results results.jsonl

A third of the populations is left out of `fit`, which chooses with the defaults (linear models)
from as many rows of each of the others as in benchmarks/populations.py (160, 75 %, 30). Of each
that was left out some rows are labelled, and all its others are tested. Served by the model for
all; by the group whose model has the lowest loss on the labelled rows; and by `assign`, which
mixes the groups' models by how probable each group is, and adds what of its own it learns where
models are shrunk. FOLDER and tables are those of benchmarks/populations.py
(population_tables.py); the made ones are numbers with three planted groups, or one. A cell has
the mean test loss (of a population) and its standard deviation over seeds, or the mean difference
of `assign` to another way with its 95 % interval (Student's t over seeds, paired).
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.evidence import interval, with_interval
from benchmarks.population_tables import load
from benchmarks.result_file import ResultFile
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor

#: Rows of each population that `fit` learns from.
TABLES = {"landmine": 160, "computer": 0.75, "planted": 30, "none": 30}
N_LABELLED = (1, 2, 5, 10)
WAYS = ("one for all", "nearest group", "assign")


def losses(outputs, y, classes):
    """Of each row: log loss of probabilities (n, 2), or squared error."""
    if classes:
        return -np.log(np.clip(outputs[np.arange(len(y)), y], 1e-4, 1))
    return (outputs - y) ** 2


def measured(table, seed):
    """{way: mean loss} by number of labelled rows."""
    rng = np.random.default_rng(seed)
    d = table.X.shape[1] - 1
    populations = rng.permutation(np.unique(table.X[:, -1]))
    new = populations[: len(populations) // 3]
    known = ~np.isin(table.X[:, -1], new)
    pooled = PooledTasksClassifier if table.classes else PooledTasksRegressor
    model = pooled(task=d, random_state=seed)
    model.fit(table.X[known & table.train], table.y[known & table.train])

    def losses_by(one, X, y):
        return losses(one.predict_proba(X) if table.classes else one.predict(X), y, table.classes)

    found = {n: {way: [] for way in WAYS} for n in N_LABELLED}
    for population in new:
        rows = rng.permutation(np.flatnonzero(table.X[:, -1] == population))
        X, y = table.X[rows], table.y[rows]
        of_groups = np.stack([losses_by(one, X[:, :d], y) for one in model.models_])
        for_all = losses_by(model.model_for_all_, X[:, :d], y)
        for n in N_LABELLED:
            nearest = of_groups[:, :n].sum(axis=1).argmin()
            assigned = losses_by(model.assign(X[:n], y[:n]), X[n:], y[n:])
            each = (for_all[n:], of_groups[nearest, n:], assigned)
            for way, of_rows in zip(WAYS, each, strict=True):
                found[n][way].append(of_rows.mean())
    return {n: {way: float(np.mean(v)) for way, v in of.items()} for n, of in found.items()}


def show(lines):
    out = []
    for name in dict.fromkeys(line["table"] for line in lines):
        mine = [line for line in lines if line["table"] == name]
        out += [f"{name}, {len(mine)} seeds:", ""]
        out += [f"| labelled rows | {' | '.join(map(str, N_LABELLED))} |"]
        out += ["|---" * (len(N_LABELLED) + 1) + "|"]

        def of(way, n, mine=mine):
            return {line["seed"]: line["found"][str(n)][way] for line in mine}

        for way in WAYS:
            values = [[*of(way, n).values()] for n in N_LABELLED]
            cells = [f"{np.mean(v):.3f} ± {np.std(v, ddof=len(v) > 1):.3f}" for v in values]
            out.append(f"| {way} | {' | '.join(cells)} |")
        for way in WAYS[:2]:
            cells = [with_interval(interval(of(WAYS[2], n), of(way, n))) for n in N_LABELLED]
            out.append(f"| assign less {way} | {' | '.join(cells)} |")
        out.append("")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with landmine.npz and computer.npz")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=[*TABLES])
    parser.add_argument("--seeds", type=int, default=10, help="0 only prints the results")
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "new_populations")
    done = {(line["table"], line["seed"]) for line in file.read()}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for name in args.tables:
            if (name, seed) not in done:
                with threadpool_limits(1):
                    found = measured(load(name, TABLES[name], seed, args.data), seed)
                file.append({"table": name, "seed": seed, "found": found})
    print(show(file.read()))


if __name__ == "__main__":
    main()
