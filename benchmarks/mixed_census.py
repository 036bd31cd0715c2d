"""Does grouping help on a real table of several kinds? Census-Income with the weeks worked.

    python -m benchmarks.mixed_census --data FOLDER --results fits.jsonl

FOLDER holds `census-income.data` (or .xz, .gz) of the UCI repository. Income, marital state and
education are binary tasks; the weeks worked in the year, 0 to 52, are a regression task and no
feature. `compare` sets groups of default nets beside one net, single-task nets and as many nets, on
1,500 rows that are drawn once; the table and the verdict are what it prints. A run that was
interrupted goes on where it was.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.census_income import with_weeks
from skgroup import GroupedMTLEstimator, MultiTaskNet, compare
from skgroup.datasets import census_income_encoder, fetch_census_income

N_ROWS = 1500


def load(folder):
    """Features (n_samples, n_features) and the four tasks."""
    file = next(folder.rglob("census-income.data*"))
    X, Y = fetch_census_income(path=file, return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:N_ROWS]
    X, Y = with_weeks(X.iloc[rows].reset_index(drop=True), Y.iloc[rows].reset_index(drop=True))
    return census_income_encoder().fit_transform(X).astype(np.float32), Y


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--n-seeds", type=int, default=5)
    args = parser.parse_args()
    X, Y = load(args.data)
    net = MultiTaskNet(task_types={"weeks": "regression"})
    groups = {f"{k} groups": GroupedMTLEstimator(net, n_groups=k) for k in (2, 3)}
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        print(compare(X, Y, groups, seeds=args.n_seeds, results=args.results, verbose=1))


if __name__ == "__main__":
    main()
