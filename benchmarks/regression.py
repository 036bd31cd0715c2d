"""Tables of numbers: the default portfolio and net beside what a user would pick instead.

    python -m benchmarks.regression --data FOLDER --results results.jsonl
    python -m benchmarks.regression --results benchmarks/results/regression.jsonl --n-seeds 0

FOLDER holds .npz files of tables: `x` (n_samples, n_features) and `y` (n_samples, n_tasks). Each
seed splits a table anew, 30 % to test on, the same for all ways. The second command only prints
what was measured. Each fit adds a line to the results file; a run that was interrupted goes on
where it was.

The score is the mean over tasks of the relative RMSE: the root mean squared error divided by that
of predicting the mean of the training part. Less is better.

**Rivals.** Forests of 300 trees of all tasks at once, with scikit-learn's defaults. Gradient
boosting is a booster a task with the depth (2 or 4) and the number of trees (up to 200, learning
rate .1) of the least squared error over 3 folds; ridge and the linear chain choose their penalty
by efficient leave-one-out on standardised features. Chains are in random order; that of forests
takes cross-fitted predictions for the tasks before (`cv=3`). *Best single way* is that of the least
mean test error, which favours it: it is known only afterwards.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, train_test_split
from sklearn.multioutput import RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.result_file import ResultFile
from skgroup import GroupedMTLRegressor, MultiTaskNet, PortfolioRegressor
from skgroup.comparison.intervals import paired_interval

TABLES = ("enb", "jura", "atp1d", "oes97")
_DEPTHS, _TREES = (2, 4), 200
_ALPHAS = np.logspace(-3, 5, 17)


class Boosted:
    """A booster a task, of the depth and number of trees that cross-validation chooses."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, Y):
        self.of_tasks = [self._of_task(X, y) for y in Y.T]
        return self

    def _of_task(self, X, y):
        errors = np.zeros((len(_DEPTHS), _TREES))
        for train, test in KFold(3, shuffle=True, random_state=self.seed).split(X):
            for of_depth, depth in zip(errors, _DEPTHS, strict=True):
                fitted = self._booster(depth, _TREES).fit(X[train], y[train])
                for k, predicted in enumerate(fitted.staged_predict(X[test])):
                    of_depth[k] += np.sum((predicted - y[test]) ** 2)
        depth, trees = np.unravel_index(errors.argmin(), errors.shape)
        return self._booster(_DEPTHS[depth], int(trees) + 1).fit(X, y)

    def _booster(self, depth, n_trees):
        return GradientBoostingRegressor(
            n_estimators=n_trees, max_depth=depth, random_state=self.seed
        )

    def predict(self, X):
        return np.column_stack([booster.predict(X) for booster in self.of_tasks])


def _ridge():
    return make_pipeline(StandardScaler(), RidgeCV(_ALPHAS, alpha_per_target=True))


def ways(seed):
    forest = {"n_estimators": 300, "random_state": seed}
    small = RandomForestRegressor(n_estimators=100, random_state=seed)
    return {
        "random forest": lambda: RandomForestRegressor(**forest),
        "extra trees": lambda: ExtraTreesRegressor(**forest),
        "gradient boosting": lambda: Boosted(seed),
        "ridge": _ridge,
        "chain of ridges": lambda: RegressorChain(_ridge(), order="random", random_state=seed),
        "chain of forests": lambda: RegressorChain(small, order="random", cv=3, random_state=seed),
        "MultiTaskNet()": lambda: MultiTaskNet(task_types="regression", random_state=seed),
        "GroupedMTLRegressor()": lambda: GroupedMTLRegressor(random_state=seed),
        "PortfolioRegressor()": lambda: PortfolioRegressor(random_state=seed),
    }


SINGLE = tuple(name for name in ways(0) if not name.startswith(("Grouped", "Portfolio")))
OURS = ("PortfolioRegressor()", "GroupedMTLRegressor()", "MultiTaskNet()")


def load(name, folder, seed):
    with np.load(next(folder.rglob(f"{name}.npz")), allow_pickle=True) as file:
        X, Y = file["x"].astype(np.float32), file["y"].astype(float)
    return train_test_split(X, Y, test_size=0.3, random_state=seed)


def relative_rmse(Y_train, Y_test, predicted):
    """Root mean squared error a task, divided by that of the training mean."""
    error = np.mean((Y_test - predicted) ** 2, axis=0)
    return np.sqrt(error / np.mean((Y_test - Y_train.mean(axis=0)) ** 2, axis=0))


def run(name, folder, seed, done, write, wanted):
    X_train, X_test, Y_train, Y_test = load(name, folder, seed)
    for way, make in ways(seed).items():
        if (name, seed, way) in done or way not in wanted:
            continue
        start = time.perf_counter()
        predicted = make().fit(X_train, Y_train).predict(X_test)
        seconds = time.perf_counter() - start
        error = relative_rmse(Y_train, Y_test, predicted)
        scores = {"rrmse": float(error.mean()), "seconds": seconds}
        write({"data": name, "seed": seed, "way": way, **scores})


def show(lines):
    """Markdown: errors, differences to the best single way, and times."""
    names = [name for name in TABLES if any(line["data"] == name for line in lines)]
    of = {}
    for line in lines:
        of.setdefault((line["data"], line["way"]), {})[line["seed"]] = line
    there = [way for way in ways(0) if any((name, way) in of for name in names)]

    def scores(name, way, score="rrmse"):
        return {seed: line[score] for seed, line in sorted(of.get((name, way), {}).items())}

    n_seeds = {name: max(len(scores(name, way)) for way in there) for name in names}
    rows = _header("relative RMSE", [f"{name} ({n_seeds[name]} seeds)" for name in names])
    best = {}
    for name in names:
        means = {
            way: np.mean(list(of_seeds.values()))
            for way in SINGLE
            if len(of_seeds := scores(name, way)) == n_seeds[name]
        }
        best[name] = min(means, key=means.get)
    for way in there:
        cells = []
        for name in names:
            values = list(scores(name, way).values())
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
        rows.append(f"| {way} | {' | '.join(cells)} |")
    rows += ["", *_header("less the best single way", [f"{n}: {best[n]}" for n in names])]
    for way in OURS:
        cells = []
        for name in names:
            ours, theirs = scores(name, way), scores(name, best[name])
            seeds = np.array(sorted(ours.keys() & theirs.keys()), dtype=int)
            d = np.array([ours[s] - theirs[s] for s in seeds])
            found = paired_interval(d, seeds, 0.0, "seeds")
            width = found.high - found.difference
            shown = f" ± {width:.3f}" if np.isfinite(width) else ""
            cells.append(f"{found.difference:+.3f}{shown}" if len(d) else "")
        rows.append(f"| {way} | {' | '.join(cells)} |")
    rows += ["", *_header("times the random forest's time", names)]
    for way in there:
        cells = []
        for name in names:
            ours, forest = scores(name, way, "seconds"), scores(name, "random forest", "seconds")
            ratios = [ours[s] / forest[s] for s in ours.keys() & forest.keys()]
            cells.append(f"{np.median(ratios):.1f}" if ratios else "")
        rows.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _header(first, columns):
    return [f"| {first} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=TABLES)
    parser.add_argument("--ways", nargs="*", choices=list(ways(0)), default=list(ways(0)))
    parser.add_argument("--n-seeds", type=int, default=5)
    args = parser.parse_args()
    if args.n_seeds and args.data is None:
        parser.error("--data is needed to measure anything; --n-seeds 0 prints the results")
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "regression")
    for seed in range(args.n_seeds):
        for name in args.tables:
            done = {(line["data"], line["seed"], line["way"]) for line in file.read()}
            with threadpool_limits(1):
                run(name, args.data, seed, done, file.append, args.ways)
    print(show(file.read()))


if __name__ == "__main__":
    main()
