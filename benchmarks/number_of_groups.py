"""Can the number of groups be chosen without training specialists?

    python -m benchmarks.number_of_groups --data FOLDER

On each data set and seed the tasks' data maps are clustered into 2 to 6 groups with fuzziness
1.5, 2 and 3. Criteria that look at the maps alone choose one of these:

- silhouette (Rousseeuw 1987), of the hard labels;
- Xie-Beni (1991): compactness over separation of soft groups, small is good;
- partition coefficient (Bezdek 1981), scaled to be 0 where all memberships are equal;
- stability: adjusted Rand index of the labels from disjoint halves of the samples, 5 draws.

Silhouette and stability say nothing of the fuzziness and take 2. The table has the test score of
the ensemble of specialists of what each chose, less that of the fixed choice of 3 groups and
fuzziness 2, and the 95 % interval over seeds; beside it what always taking another number would
have given, and the best of all 15 chosen on the test data, which no criterion can beat.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score, silhouette_score

from benchmarks.evidence import interval
from benchmarks.real_data import PROBLEMS
from benchmarks.result_file import ResultFile
from skgroup import FuzzyKMeans, GroupedMTLClassifier, TaskGrouper
from skgroup.ensemble._serving import mix
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.tasks import OutputLayout
from skgroup.training.data import TaskDataset, check_inputs
from skgroup.training.engine import predict_many

FUZZINESS = (1.5, 2.0, 3.0)
FIXED = (3, 2.0)


def xie_beni(R, model, fuzziness):
    centers = model.cluster_centers_
    squared = ((R[:, None] - centers) ** 2).sum(axis=2)
    between = ((centers[:, None] - centers) ** 2).sum(axis=2)[~np.eye(len(centers), dtype=bool)]
    return (model.membership_**fuzziness * squared).sum() / (len(R) * between.min())


def partition_coefficient(membership):
    k = membership.shape[1]
    return ((membership**2).sum(axis=1).mean() - 1 / k) / (1 - 1 / k)


def stability(maps, k, seed):
    """`maps` (n_tasks, n_snapshots, n_samples, 2)."""
    random = np.random.default_rng(seed)
    n_samples, found = maps.shape[2], []
    for _ in range(5):
        order = random.permutation(n_samples)
        labels = [
            FuzzyKMeans(k, random_state=seed).fit(maps[:, :, half].reshape(len(maps), -1)).labels_
            for half in (order[: n_samples // 2], order[n_samples // 2 :])
        ]
        found.append(adjusted_rand_score(*labels))
    return np.mean(found)


def measure(name, folder, seed):
    """{(k, fuzziness): criteria and test scores}."""
    problem = PROBLEMS[name](folder, seed)
    n_tasks = problem.Y_train.shape[1]
    grouper = TaskGrouper(problem.net, random_state=seed).fit(problem.X_train, problem.Y_train)
    maps = grouper.data_map_
    R = maps.reshape(n_tasks, -1).astype(np.float64)
    models, rows = {}, {}
    for k in range(2, min(6, n_tasks - 1) + 1):
        for fuzziness in FUZZINESS:
            model = FuzzyKMeans(k, fuzziness=fuzziness, random_state=seed).fit(R)
            models[k, fuzziness] = model
            rows[k, fuzziness] = {
                "Xie-Beni": -xie_beni(R, model, fuzziness),
                "partition coefficient": partition_coefficient(model.membership_),
            }
            if fuzziness == 2:
                rows[k, fuzziness] |= {
                    "silhouette": silhouette_score(R, model.labels_),
                    "stability": stability(maps, k, seed),
                }
    membership = np.hstack([model.membership_ for model in models.values()])
    clf = GroupedMTLClassifier(problem.net, membership, random_state=seed)
    clf.fit(problem.X_train, problem.Y_train)
    test = TaskDataset(check_inputs(clf, problem.X_test, reset=False))
    proba = predict_many(clf.specialists_, test)
    layout = OutputLayout(clf.task_outputs_)
    first = 0
    for key, model in models.items():
        own = slice(first, first + key[0])
        first += key[0]
        pieces = ((c, slice(None), p) for c, p in enumerate(proba[own]))
        mixed = mix(layout, clf.specialist_tasks_[own], model.membership_, pieces, len(test))
        rows[key]["F1"] = multitask_f1_score(problem.Y_test, (mixed > 0.5).astype(int))
        rows[key]["AUC"] = multitask_roc_auc_score(problem.Y_test, mixed)
    return rows


def choices(rows):
    """What each way of choosing takes, as a key of `rows`."""
    criteria = ("silhouette", "Xie-Beni", "partition coefficient", "stability")
    chosen = {name: max(rows, key=lambda key: rows[key].get(name, -np.inf)) for name in criteria}
    for k in sorted({key[0] for key in rows}):
        chosen[f"always {k}, fuzziness 2"] = (k, 2.0)
    return chosen


#: Three tasks leave nothing to choose.
SETS = [name for name in PROBLEMS if name != "census"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(), help="folder with the data files")
    parser.add_argument("--results", type=Path, default=Path("number_of_groups.jsonl"))
    parser.add_argument("--sets", nargs="*", choices=SETS, default=["digits", "yeast", "tox21"])
    parser.add_argument("--n-seeds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    results, done = ResultFile(args.results, "number_of_groups"), {}
    for line in results.read():
        rows = {(row["k"], row["fuzziness"]): row for row in line["rows"]}
        done[line["data"], line["seed"]] = rows
    for seed in range(args.n_seeds):
        for name in args.sets:
            if (name, seed) in done:
                continue
            done[name, seed] = measure(name, args.data, seed)
            rows = [{"k": k, "fuzziness": f, **row} for (k, f), row in done[name, seed].items()]
            results.append({"data": name, "seed": seed, "rows": rows})

    for score in ("F1", "AUC"):
        print(f"\n**test {score}, less that of 3 groups with fuzziness 2**\n")
        print(f"| | {' | '.join(args.sets)} |\n|{'---|' * (1 + len(args.sets))}")
        tables = {name: [done[name, s] for s in range(args.n_seeds)] for name in args.sets}
        names = list(choices(tables[args.sets[0]][0]))
        for choice in [*names, "best on the test data"]:
            cells = []
            for of_data in tables.values():
                ours = {}
                for s, rows in enumerate(of_data):
                    best = max(rows, key=lambda key, rows=rows: rows[key][score])
                    key = best if choice == "best on the test data" else choices(rows).get(choice)
                    ours[s] = rows[key][score]
                fixed = {s: rows[FIXED][score] for s, rows in enumerate(of_data)}
                mean, width = interval(ours, fixed)
                cells.append(f"{mean:+.4f} ± {width:.4f}")
            print(f"| {choice} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
