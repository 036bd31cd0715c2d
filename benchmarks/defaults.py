"""How good is the net that nobody tuned? Beside forests and the paper's recipe.

    python -m benchmarks.defaults --data FOLDER --results results.jsonl
    python -m benchmarks.defaults --results benchmarks/results/defaults.jsonl --n-seeds 0

FOLDER holds .npz files of tables: `x` (n_samples, n_features) and `y` (n_samples, n_tasks) of 0
and 1, NaN where a label is missing. Each seed splits a table anew, 30 % to test on, the same for
all ways; tasks with fewer than five labels of a class in the training part are left out. The
second command only prints what was measured. F1 is at a threshold of .5. Each fit adds a line
to the results file; a run that was interrupted goes on where it was.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.result_file import ResultFile
from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score

TABLES = ("digits", "yeast", "birds", "tox21", "medical", "cal500")
#: The tables that the defaults were chosen on; the others were looked at once, at the end.
TUNED = ("yeast", "birds", "tox21")
_FEWEST = 5


class OneForestATask:
    """A forest of all tasks, or one a task on its observed rows where labels are missing."""

    def __init__(self, forest):
        self.forest = forest

    def fit(self, X, Y):
        observed = ~np.isnan(Y)
        parts = [slice(None)] if observed.all() else range(Y.shape[1])
        self.forests = []
        for t in parts:
            rows = observed[:, t] if isinstance(t, int) else slice(None)
            self.forests.append(
                type(self.forest)(**self.forest.get_params()).fit(X[rows], Y[rows, t])
            )
        return self

    def predict_proba(self, X):
        proba = [forest.predict_proba(X) for forest in self.forests]
        proba = proba[0] if isinstance(proba[0], list) else proba
        return np.column_stack([of_task[:, 1] for of_task in proba])


def ways(seed):
    options = {"n_estimators": 300, "random_state": seed}
    recipe = MultiTaskNet.stg_mtl(random_state=seed)
    return {
        "MultiTaskNet()": MultiTaskNet(random_state=seed),
        "the paper's recipe, scaled": make_pipeline(StandardScaler(), recipe),
        "random forest": OneForestATask(RandomForestClassifier(**options)),
        "extra trees": OneForestATask(ExtraTreesClassifier(**options)),
    }


def load(name, folder, seed):
    if name == "digits":
        X, Y = load_digit_tasks(return_X_y=True, random_state=seed)
    else:
        with np.load(next(folder.rglob(f"{name}.npz")), allow_pickle=True) as file:
            X, Y = file["x"].astype(np.float32), file["y"].astype(float)
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.3, random_state=seed)
    fewest = np.minimum((Y_train == 0).sum(axis=0), (Y_train == 1).sum(axis=0))
    kept = fewest >= _FEWEST
    return X_train, X_test, Y_train[:, kept].astype(float), Y_test[:, kept].astype(float)


def run(name, folder, seed, done, write):
    X_train, X_test, Y_train, Y_test = load(name, folder, seed)
    for way, model in ways(seed).items():
        if (name, seed, way) in done:
            continue
        start = time.perf_counter()
        proba = model.fit(X_train, Y_train).predict_proba(X_test)
        seconds = time.perf_counter() - start
        predicted = (proba > 0.5).astype(int)
        options = {"classes": [[0, 1]] * Y_test.shape[1], "average": None}
        auc = multitask_roc_auc_score(Y_test, proba, **options)
        f1 = multitask_f1_score(Y_test, predicted, **options)
        scores = {"auc": float(np.nanmean(auc)), "f1": float(np.nanmean(f1))}
        write({"data": name, "seed": seed, "way": way, "seconds": seconds, **scores})


def table(lines):
    names = [name for name in TABLES if any(line["data"] == name for line in lines)]
    rows = []
    for score, digits in (("auc", 3), ("f1", 3), ("seconds", 0)):
        rows += [f"| {score} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for way in dict.fromkeys(line["way"] for line in lines):
            cells = []
            for name in names:
                of = [x[score] for x in lines if (x["data"], x["way"]) == (name, way)]
                spread = (
                    f" ± {np.std(of, ddof=1):.3f}" if len(of) > 1 and score != "seconds" else ""
                )
                cells.append(f"{np.mean(of):.{digits}f}{spread}" if of else "")
            rows.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=TABLES)
    parser.add_argument("--n-seeds", type=int, default=5)
    args = parser.parse_args()
    if args.n_seeds and args.data is None:
        parser.error("--data is needed to measure anything; --n-seeds 0 prints the results")
    file = ResultFile(args.results, "defaults")
    for seed in range(args.n_seeds):
        for name in args.tables:
            done = {(x["data"], x["seed"], x["way"]) for x in file.read()}
            run(name, args.data, seed, done, file.append)
    print(table(file.read()))


if __name__ == "__main__":
    main()
