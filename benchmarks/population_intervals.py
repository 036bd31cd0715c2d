"""Do the 95 % intervals of a verdict on populations hold the difference on new rows?

    python -m benchmarks.population_intervals --results intervals.jsonl

Made tables of 10 populations of 40 rows, and of 30 of 30, with five features:

- same: populations do not differ;
- levels: they differ in level alone;
- two kinds: features act in two ways;
- alike: in two ways that are nearly the same, and levels that differ a little;
- each: in a way of its own, all near to a common one.

For each comparison that the verdict names, with linear models and two or five folds: whether its
interval holds the difference of the two ways' losses, both fitted to all rows, on 300 new rows of
each population (Cover); and whether that of a pair that nothing has chosen does: one for all beside
one each (Fixed). Beside it what intervals would hold that do not allow for folds learning from the
same rows (Plain). A seed draws rows and populations; comparisons of a fit are not independent, so
that spreads (one standard error) are those of the seeds.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.result_file import ResultFile
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations._verdict import others

KINDS = ("same", "levels", "two kinds", "alike", "each")
SIZES = ((10, 40), (30, 30))
FOLDS = (5, 2)
N_FEATURES, N_NEW = 5, 300


def made_rows(kind, n_tasks, n_rows, classes, seed):
    """X with the population last, and y: of training rows, and of new ones."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=N_FEATURES)
    levels, coef = np.zeros(n_tasks), np.tile(common, (n_tasks, 1))
    ways = rng.integers(2, size=n_tasks)[:, None]
    if kind == "levels":
        levels = 0.7 * rng.normal(size=n_tasks)
    elif kind == "two kinds":
        coef = np.where(ways, 0.5 * rng.normal(size=N_FEATURES) - 0.5 * common, common)
    elif kind == "alike":
        coef = common + ways * 0.35 * rng.normal(size=N_FEATURES)
        levels = 0.2 * rng.normal(size=n_tasks)
    elif kind == "each":
        coef = common + 0.3 * rng.normal(size=(n_tasks, N_FEATURES))
        levels = 0.3 * rng.normal(size=n_tasks)
    tables = []
    for n in (n_rows, N_NEW):
        tasks = np.repeat(np.arange(n_tasks), n)
        X = rng.normal(size=(len(tasks), N_FEATURES))
        mean = (X * coef[tasks]).sum(axis=1) + levels[tasks]
        if classes:
            y = (mean + rng.logistic(size=len(mean)) > 0).astype(int)
        else:
            y = mean + 1.5 * rng.normal(size=len(mean))
        tables.append((np.column_stack([X, tasks]), y))
    return tables


def loss_on(model, X, y, classes):
    if classes:
        return -np.log(np.clip(model.predict_proba(X)[np.arange(len(y)), y], 1e-4, 1)).mean()
    return np.mean((model.predict(X) - y) ** 2)


def measured(kind, n_tasks, n_rows, classes, folds, seed):
    """A line a comparison: its mean and interval, with and without the correction, and the
    difference on new rows."""
    train, new = made_rows(kind, n_tasks, n_rows, classes, seed)
    pooled = PooledTasksClassifier if classes else PooledTasksRegressor
    new_one = pooled(task=N_FEATURES, cv=folds, random_state=seed)
    model = new_one.fit(*train)
    path, chosen = model._path, model._path.simplest
    known = {}

    def loss_of(i):
        if i not in known:
            way = path.ways[i]
            own = {"n_groups": way.n_groups, "shrinkage": way.shrinkage, "cv": 2}
            known[i] = loss_on(new_one.set_params(**own).fit(*train), *new, classes)
        return known[i]

    shrinkages = [way.shrinkage for way in path.ways if way.n_groups == 1]
    pairs = [("verdict", chosen, i) for i in others(path, chosen)]
    pairs.append(("fixed", shrinkages.index(np.inf), len(path.ways) - 1))
    for name, a, b in pairs:
        d, true = path.difference(a, b), loss_of(a) - loss_of(b)
        plain = abs(true - d.mean) * np.sqrt(1 + path.held_to_train) <= d.high - d.mean
        yield {"pair": name, "cover": bool(d.low <= true <= d.high), "plain": bool(plain)}


def show(lines):
    out = [f"{len({line['seed'] for line in lines})} seeds", ""]
    out += ["| | comparisons | Cover | Plain | Fixed, cover | Fixed, plain |", "|---" * 6 + "|"]
    slices = [("all", lambda line: True)]
    slices += [(f"{n} folds", lambda line, n=n: line["folds"] == n) for n in FOLDS]
    slices += [
        (name, lambda line, c=c: line["classes"] == c)
        for name, c in (("ridge", 0), ("logistic", 1))
    ]
    slices += [(f"{n} populations", lambda line, n=n: line["n_tasks"] == n) for n, _ in SIZES]
    slices += [(kind, lambda line, kind=kind: line["kind"] == kind) for kind in KINDS]
    for name, of in slices:
        here = [line for line in lines if of(line)]
        if not here:
            continue
        cells = [
            share([line for line in here if line["pair"] == pair], what)
            for pair in ("verdict", "fixed")
            for what in ("cover", "plain")
        ]
        n = sum(line["pair"] == "verdict" for line in here)
        out.append(f"| {name} | {n} | {' | '.join(cells)} |")
    return "\n".join(out)


def share(lines, what):
    """Of all lines, with the standard error over seeds."""
    seeds = sorted({line["seed"] for line in lines})
    each = [[line[what] for line in lines if line["seed"] == seed] for seed in seeds]
    n, mean = len(lines), np.mean([value for values in each for value in values])
    left = [sum(values) - mean * len(values) for values in each]
    error = np.sqrt(len(seeds) / max(len(seeds) - 1, 1) * np.square(left).sum()) / n
    return f"{100 * mean:.1f} % ± {100 * error:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=40, help="0 only prints the results")
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "population_intervals")
    done = {tuple(line["cell"]) for line in file.read()}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for cell in cells_of(seed):
            if cell not in done:
                with threadpool_limits(1):
                    file.append({"cell": cell, "found": list(measured(*cell))})
    print(show(flat(file.read())))


def cells_of(seed):
    return [
        (kind, n_tasks, n_rows, classes, folds, seed)
        for kind in KINDS
        for n_tasks, n_rows in SIZES
        for classes in (False, True)
        for folds in FOLDS
    ]


def flat(records):
    names = ("kind", "n_tasks", "n_rows", "classes", "folds", "seed")
    return [
        dict(zip(names, record["cell"], strict=True)) | one
        for record in records
        for one in record["found"]
    ]


if __name__ == "__main__":
    main()
