"""What folds that give every label its share are worth, where labels are rare.

    python -m benchmarks.folds --data FOLDER --results results.jsonl
    python -m benchmarks.folds --results benchmarks/results/folds.jsonl --n-seeds 0   # prints

FOLDER holds `birds.npz` and `medical.npz` (x, y). A portfolio of logistic regression, neighbours
and a tree is trained on 70 % of the rows by plain and by stratified folds (`MultiTaskKFold`), and a
forest is tested on a quarter that is drawn plainly or stratified (`MultiTaskShuffleSplit`), seed by
seed. Of features, the 150 of the largest spread.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from benchmarks.result_file import ResultFile
from skgroup import PortfolioClassifier
from skgroup.metrics import MultiTaskKFold, MultiTaskShuffleSplit, get_scorer

TABLES = ("birds", "medical")
SCORES = ("f1", "roc_auc", "average_precision", "neg_log_loss")


def load(folder, table):
    file = np.load(folder / f"{table}.npz", allow_pickle=True)
    X, Y = file["x"].astype(np.float32), file["y"].astype(int)
    return X[:, X.std(axis=0).argsort()[::-1][:150]], Y


def portfolio(X, Y, seed, stratified):
    """Scores on the test rows of tasks with five positives to train on, and one to test on."""
    order = np.random.RandomState(seed).permutation(len(X))
    train, test = np.split(order, [int(0.7 * len(X))])
    Y = Y[:, (Y[train].sum(axis=0) >= 5) & (Y[test].sum(axis=0) > 0)]
    members = [
        ("knn", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
        ("tree", DecisionTreeClassifier(max_depth=4, min_samples_leaf=3, random_state=0)),
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=200))),
    ]
    cv = (MultiTaskKFold if stratified else KFold)(5, shuffle=True, random_state=seed)
    fitted = PortfolioClassifier(members, cv=cv, random_state=seed).fit(X[train], Y[train])
    return {name: get_scorer(name)(fitted, X[test], Y[test]) for name in SCORES}


def test_part(X, Y, seed, stratified):
    """Scores of each task with four positives or more on a quarter of the rows."""
    Y = Y[:, Y.sum(axis=0) >= 4]
    splitter = MultiTaskShuffleSplit if stratified else ShuffleSplit
    train, test = next(splitter(1, test_size=0.25, random_state=seed).split(X, Y))
    forest = RandomForestClassifier(30, max_features=0.2, max_depth=12, random_state=0)
    forest.fit(X[train], Y[train])
    scorers = {name: get_scorer(name, average=None) for name in SCORES}
    return {name: list(s(forest, X[test], Y[test]).values()) for name, s in scorers.items()}


MEASURES = {"portfolio": portfolio, "test part": test_part}


def show(records):
    print("| portfolio, stratified less plain | " + " | ".join(SCORES) + " |")
    print("|---|" + "---|" * len(SCORES))
    for table in TABLES:
        of_table = {(r["what"], r["stratified"], r["seed"]): r["scores"] for r in records
                    if r["table"] == table}  # fmt: skip
        seeds = sorted({s for what, strat, s in of_table if what == "portfolio" and strat})
        cells = []
        for name in SCORES:
            pairs = [[of_table["portfolio", b, s][name] for b in (True, False)] for s in seeds]
            gain = np.subtract(*np.transpose(pairs))
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            cells.append(f"{gain.mean():+.4f} ± {error:.4f} ({(gain > 0).sum()} of {len(gain)})")
        print(f"| {table} | {' | '.join(cells)} |")
    print("\n| test part | AUC not defined | sd over splits of a task's AUC | of the mean AUC |")
    print("|---|---|---|---|")
    for table in TABLES:
        for stratified in (False, True):
            auc = np.array([
                r["scores"]["roc_auc"] for r in records
                if (r["table"], r["what"], r["stratified"]) == (table, "test part", stratified)
            ], dtype=float)  # fmt: skip
            of_task, of_mean = np.nanstd(auc, axis=0, ddof=1), np.nanmean(auc, axis=1).std(ddof=1)
            name = f"{table}, {'stratified' if stratified else 'plain'}"
            lost = f"{np.isnan(auc).sum()} of {auc.size}"
            print(f"| {name} | {lost} | {np.nanmean(of_task):.3f} | {of_mean:.3f} |")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folds", description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of the tables")
    parser.add_argument("--results", type=Path, required=True, help="what is finished is kept here")
    parser.add_argument("--n-seeds", type=int, default=12)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = ResultFile(options.results, "folds")
    done = {(r["table"], r["what"], r["stratified"], r["seed"]) for r in results.read()}
    for seed in range(options.n_seeds):
        for table in TABLES:
            for what, measure in MEASURES.items():
                for stratified in (False, True):
                    if (table, what, stratified, seed) in done:
                        continue
                    start = time.perf_counter()
                    scores = measure(*load(options.data, table), seed, stratified)
                    results.append(
                        {
                            "table": table,
                            "what": what,
                            "stratified": stratified,
                            "seed": seed,
                            "seconds": round(time.perf_counter() - start, 2),
                            "scores": scores,
                        }
                    )
    show(results.read())


if __name__ == "__main__":
    main()
