"""One model for all populations, one each, or one a group: is what `PooledTasks...` chooses right?

    python -m benchmarks.populations --data FOLDER --results results.jsonl
    python -m benchmarks.populations --results benchmarks/results/populations.jsonl --seeds 0

The second only prints what was measured. FOLDER holds landmine.npz (29 fields) and computer.npz
(190 people who rated 20 machines) with x, y, task and features; two tables are made. A seed draws
the rows of each population that are learned from (a number of rows, or a share of them); the others
are tested. "Random groups" are those that were chosen, dealt out to the populations at random, and
shrunk as much; where the choice is one for all or one each, there are none.

AUC (the mean over populations with both classes) and log loss of a row, or squared error over the
variance of all labels. Each fit adds a line to the results file; a run that was interrupted goes on
where it was. Intervals (95 %, Student's t over seeds, paired) speak of other rows of the same
populations; the best of the others is the one with the best mean over the same seeds.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.evidence import interval, with_interval
from benchmarks.result_file import ResultFile
from skgroup import MultiTaskNet
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor

#: Rows of each population (a share of them below 1) that are learned from.
SETS = {
    **{f"landmine {n}": n for n in (40, 80, 160)},
    **{f"computer {n}": n for n in (0.25, 0.5, 0.75)},
    "planted": 30,
    "none": 30,
}
CLASSES = ("landmine",)
ESTIMATORS = ("linear", "boosting", "net")
CHOSEN, RANDOM = "chosen", "random groups"
WAYS = (CHOSEN, "one for all", "one for all, with the population", "one each", "shrunk", RANDOM)
#: Scores, and whether a higher one is better.
SCORES = {"auc": True, "log_loss": False, "error": False}


class GivenGroups(BaseEstimator):
    """A group a population, known before."""

    def __init__(self, labels, n_clusters=None):
        self.labels = labels
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        self.labels_ = np.asarray(self.labels)
        return self


def made(groups, seed, n_rows=200):
    """Numbers of 24 populations, in three groups of other coefficients, or in one."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(24), n_rows)
    coef = rng.normal(size=(3, 6))[np.arange(24) % 3 if groups else np.zeros(24, int)]
    coef += 0.1 * rng.normal(size=coef.shape) * groups
    x = rng.normal(size=(len(task), 6))
    return x, (x * coef[task]).sum(axis=1) + 2 * rng.normal(size=len(task)), task


def table(name, folder, seed):
    """Rows, with the population last, and which are learned from."""
    kind = name.split()[0]
    if kind in ("planted", "none"):
        x, y, task = made(kind == "planted", seed)
    else:
        with np.load(folder / f"{kind}.npz") as data:
            x, y, task = data["x"].astype(float), data["y"], data["task"]
        y = y.astype(int) if kind in CLASSES else y.astype(float)
    rng = np.random.default_rng(seed)
    train = np.zeros(len(y), dtype=bool)
    for t in np.unique(task):
        here = rng.permutation(np.flatnonzero(task == t))
        n = SETS[name]
        train[here[: n if n > 1 else round(n * len(here))]] = True
    return np.column_stack([x, task]), y, train


def make_estimator(kind, n_features, seed, *, classes, with_population=False):
    """The estimator alone, or behind a one-hot population, which stands last."""
    if kind == "linear":
        last = LogisticRegression(max_iter=1000) if classes else Ridge()
    elif kind == "boosting":
        boosting = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        last = boosting(random_state=seed)
    else:
        last = MultiTaskNet(random_state=seed)
    if not with_population:
        return make_pipeline(StandardScaler(), last)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        make_column_transformer((one_hot, [n_features]), remainder=StandardScaler()), last
    )


def fitted(way, kind, X, y, seed, classes, lines):
    """What serves, fitted, and the columns that it is given; None where there is nothing to fit."""
    d, n_tasks = X.shape[1] - 1, len(np.unique(X[:, -1]))
    pooled = PooledTasksClassifier if classes else PooledTasksRegressor
    one = make_estimator(kind, d, seed, classes=classes)
    given = {"task": d, "random_state": seed}
    if way == "one for all":
        return one.fit(X[:, :-1], y), slice(d)
    if way == "one for all, with the population":
        both = make_estimator(kind, d, seed, classes=classes, with_population=True)
        return both.fit(X, y), slice(d + 1)
    if way == CHOSEN:
        model = pooled(one, **given)
    elif way == "one each":
        model = pooled(one, **given, n_groups=n_tasks, cv=2)
    elif way == "shrunk":
        model = pooled(one, **given, n_groups=1)
    else:
        if CHOSEN not in lines:
            raise ValueError("Random groups are those that were chosen: choose these too (--ways).")
        labels, shrinkage = lines[CHOSEN]["groups"], lines[CHOSEN]["shrinkage"]
        n_groups = len(set(labels))
        if n_groups in (1, n_tasks):
            return None
        labels = np.random.default_rng(seed).permutation(labels)
        shrinkage = np.inf if shrinkage is None else shrinkage
        model = pooled(
            one, **given, grouper=GivenGroups(labels), n_groups=n_groups, shrinkage=shrinkage, cv=2
        )
    return model.fit(X, y), slice(d + 1)


def run(name, folder, kind, seed, wanted, file):
    mine = (name, kind, seed)
    lines = {x["way"]: x for x in file.read() if (x["data"], x["estimator"], x["seed"]) == mine}
    wanted = [way for way in wanted if way not in lines]
    if not wanted:
        return
    X, y, train = table(name, folder, seed)
    classes = name.split()[0] in CLASSES
    for way in wanted:
        start = time.perf_counter()
        found = fitted(way, kind, X[train], y[train], seed, classes, lines)
        if found is None:
            continue
        model, columns = found
        line = dict(zip(("data", "estimator", "seed"), mine, strict=True))
        line |= {"way": way, "seconds": time.perf_counter() - start}
        test = X[~train]
        if classes:
            p = np.asarray(model.predict_proba(test[:, columns])).reshape(len(test), -1)[:, -1]
            line["log_loss"] = float(log_loss(y[~train], np.clip(p, 1e-4, 1 - 1e-4)))
            of_tasks = [(y[~train][here], p[here]) for here in rows_of_tasks(test)]
            scores = [roc_auc_score(labels, q) for labels, q in of_tasks if len(set(labels)) > 1]
            line["auc"] = float(np.mean(scores))
        else:
            left = y[~train] - np.ravel(model.predict(test[:, columns]))
            line["error"] = float(np.mean(left**2) / y.var())
        if way == CHOSEN:
            line |= {"groups": model.labels_.tolist(), "shrinkage": float(model.shrinkage_)}
        lines[way] = line
        file.append(line)


def rows_of_tasks(X):
    return [X[:, -1] == t for t in np.unique(X[:, -1])]


def show(lines):
    of = {}
    for line in lines:
        key = line["estimator"], line["data"]
        of.setdefault(key, {}).setdefault(line["way"], {})[line["seed"]] = line
    out = []
    for score, higher in SCORES.items():
        keys = [key for key in of if any(score in x for x in of[key].get(CHOSEN, {}).values())]
        if not keys:
            continue
        head = [f"{data}, {estimator}" for estimator, data in keys]
        out += ["", f"| {score} | {' | '.join(head)} |", "|---" * (len(keys) + 1) + "|"]
        for way in WAYS:
            values = [[x[score] for x in of[key].get(way, {}).values()] for key in keys]
            out.append(f"| {way} | {' | '.join(map(cell, values))} |")
        cells = []
        for key in keys:
            ours = {seed: x[score] for seed, x in of[key][CHOSEN].items()}
            rivals = {
                way: {seed: x[score] for seed, x in of[key][way].items()}
                for way in WAYS[1:]
                if set(of[key].get(way, {})) >= set(ours)
            }
            if not rivals:
                cells.append("")
                continue
            take = max if higher else min
            best = take(rivals, key=lambda way: np.mean([rivals[way][s] for s in ours]))
            cells.append(f"{with_interval(interval(ours, rivals[best]))} ({best})")
        out.append(f"| chosen less the best of the others | {' | '.join(cells)} |")
    return "\n".join(out[1:])


def cell(values):
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread} ({len(values)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with landmine.npz and computer.npz")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--estimators", nargs="*", choices=ESTIMATORS, default=["linear"])
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=10, help="0 only prints the results")
    args = parser.parse_args()
    made_only = set(args.sets) <= {"planted", "none"}
    if args.seeds and args.data is None and not made_only:
        parser.error("--data is needed for landmine and computer; --seeds 0 prints the results")
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "populations")
    for seed in range(args.seeds):
        for name in args.sets:
            for kind in args.estimators:
                with threadpool_limits(1):
                    wanted = [way for way in WAYS if way in args.ways]
                    run(name, args.data, kind, seed, wanted, file)
    print(show(file.read()))


if __name__ == "__main__":
    main()
