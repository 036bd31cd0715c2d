"""The architectures on Census-Income (KDD): AUC of each task, beside single-task nets and groups.

    python -m benchmarks.census_income --data FOLDER --results census_income.jsonl --n-jobs 2
    python -m benchmarks.census_income --results benchmarks/results/census_income.jsonl --print

The second only prints what was measured. The folder holds `census-income.data` and
`census-income.test` (or .xz, .gz) of the UCI repository.

All nets see the same pipeline (`skgroup.datasets`), the whole training part for 4 epochs (Adam,
batches of 512), and no class weights, as AUC knows no threshold. The test part is split in halves
by a fixed seed: on the validation half the learning rate of each way is chosen, the best mean AUC
by seed 0 of .0003, .001, .003 and, where the best is at an end, further ones; the scores are those
of the other half. In all there are 6 experts of 128 and 64 units, or 9 of 96 and 48, and towers of
32; ways without experts get as many units: the bottom that all share is 768 and 384 wide (864 and
432), a single-task net or a unit of cross-stitch a third of it. The smaller shared bottom has as
many parameters as AdaTT. Each fit adds a line to the results file; an interrupted run goes on where
it was (after a change of the settings take another file).

Intervals are Student's t over seeds: they speak of first weights and the order of samples, with one
training part and one test half, and are too narrow for new data.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from benchmarks.evidence import interval
from benchmarks.learning_rates import LEARNING_RATES, chosen, missing
from benchmarks.result_file import ResultFile
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import census_income_encoder, fetch_census_income
from skgroup.metrics import multitask_roc_auc_score
from skgroup.nn import PLE, AdaTT, AdaTTSp, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom

TASKS = ("income", "marital", "education")
WEEKS = "weeks worked in year"
SIZES = {6: (128, 64), 9: (96, 48)}


def ways(n_experts, units):
    """Name of each way, and what makes its estimator of a learning rate and a seed."""
    all_units = tuple(n_experts * u for u in units)
    a_third = tuple(u // 3 for u in all_units)
    smaller = {6: (544, 272), 9: (576, 288)}[n_experts]
    n_own, n_shared = n_experts // 3 - 1, 3

    def net(module, lr, seed, **params):
        params = {f"module__{name}": value for name, value in params.items()}
        return MultiTaskNet.stg_mtl(
            module,
            lr=lr,
            batch_size=512,
            max_epochs=4,
            class_weight=None,
            random_state=seed,
            **params,
        )

    def architecture(module, **params):
        return lambda lr, seed: net(module, lr, seed, expert_hidden_units=units, **params)

    def shared(lr, seed, hidden_units=all_units):
        return net(SharedBottom, lr, seed, hidden_units=hidden_units)

    def alone(lr, seed):
        one = net(SharedBottom, lr, seed, hidden_units=a_third)
        return GroupedMTLClassifier.stl(one, random_state=seed)

    found = {
        "single-task nets": alone,
        "shared-bottom": shared,
        "shared-bottom, smaller": lambda lr, seed: shared(lr, seed, smaller),
        "MMoE": architecture(MMoE, n_experts=n_experts),
        "ML-MMoE": architecture(MultiLevelMMoE, n_experts=n_experts),
        "cross-stitch": lambda lr, seed: net(CrossStitch, lr, seed, expert_hidden_units=a_third),
        "PLE": architecture(PLE, n_task_experts=n_own, n_shared_experts=n_shared),
        "AdaTT-sp": architecture(AdaTTSp, n_task_experts=n_experts // 3),
        "AdaTT": architecture(AdaTT, n_task_experts=n_own, n_shared_experts=n_shared),
    }
    if n_experts == 6:
        found |= {
            "grouped, 2 groups of shared-bottom": lambda lr, seed: GroupedMTLClassifier(
                shared(lr, seed), n_groups=2, random_state=seed
            ),
            "3 shared-bottom nets": lambda lr, seed: GroupedMTLClassifier.mtl_ensemble(
                3, shared(lr, seed), random_state=seed
            ),
        }
    return found


def with_weeks(X, Y):
    """The weeks worked in the year, 0 to 52, as a regression task instead of a feature."""
    return X.drop(columns=WEEKS), Y.assign(weeks=X[WEEKS])


def load(folder, *, weeks=False):
    """Training part, validation half and test half, each a pair of arrays X, Y.

    With `weeks`, the weeks worked are a fourth task.
    """
    parts = [fetch_census_income(subset=s, path=folder, return_X_y=True) for s in ("train", "test")]
    if weeks:
        parts = [with_weeks(*part) for part in parts]
    (X, Y), (X_rest, Y_rest) = parts
    encoder = census_income_encoder().fit(X)
    halves = np.array_split(np.random.default_rng(0).permutation(len(X_rest)), 2)
    parts = [(X, Y), *((X_rest.iloc[half], Y_rest.iloc[half]) for half in halves)]
    return [(encoder.transform(A).astype(np.float32), B.to_numpy()) for A, B in parts]


def run(name, n_experts, make, data, n_seeds, lines, results):
    """All fits of one way that the results file lacks."""
    warnings.simplefilter("ignore")
    (X, Y), *halves = data
    while todo := missing(lines, n_seeds):
        for lr, seed in todo:
            start = time.perf_counter()
            clf = make(lr, seed).fit(X, Y)
            scores = [
                multitask_roc_auc_score(B, clf.predict_proba(A), average=None) for A, B in halves
            ]
            nets = getattr(clf, "specialists_", [clf])
            line = {
                "way": name,
                "experts": n_experts,
                "lr": lr,
                "seed": seed,
                "parameters": sum(p.numel() for one in nets for p in one.module_.parameters()),
                "validation": scores[0].tolist(),
                "test": scores[1].tolist(),
                "seconds": time.perf_counter() - start,
            }
            results.append(line)
            lines = [*lines, line]


def table(lines):
    """Markdown: test AUC of every way, and what AdaTT of the same size is better by."""
    out = []
    kinds = dict.fromkeys((line["experts"], line["way"]) for line in lines)
    for n_experts, units in SIZES.items():
        of_size = {}
        for way in [way for size, way in kinds if size == n_experts]:
            own = [x for x in lines if (x["experts"], x["way"]) == (n_experts, way)]
            if len({x["lr"] for x in own}) >= len(LEARNING_RATES):
                of_size[way] = [x for x in own if x["lr"] == chosen(own)]
        n_seeds = sorted({len(own) for own in of_size.values()})
        out += [f"\n**{n_experts} experts of {units}**, seeds: {n_seeds}\n"]
        out += [f"| | {' | '.join(TASKS)} | mean | AdaTT is better by | lr | parameters |"]
        out += ["|---" * (len(TASKS) + 5) + "|"]
        means = {way: {x["seed"]: np.mean(x["test"]) for x in own} for way, own in of_size.items()}
        for way in sorted(of_size, key=lambda way: -np.mean([*means[way].values()])):
            scores = np.array([[*x["test"], np.mean(x["test"])] for x in of_size[way]])
            spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.full(4, np.nan)
            cells = [f"{m:.4f} ± {s:.4f}" for m, s in zip(scores.mean(0), spread, strict=True)]
            beside = "" if way == "AdaTT" or "AdaTT" not in means else _difference(means, way)
            first = of_size[way][0]
            cells += [beside, f"{first['lr']:g}", f"{first['parameters']:,}"]
            out.append(f"| {way} | {' | '.join(cells)} |".replace("0.", "."))
    return "\n".join(out)


def _difference(means, way):
    mean, width = interval(means["AdaTT"], means[way])
    return f"{mean:+.4f} ± {width:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(), help="folder with the data files")
    parser.add_argument("--results", type=Path, default=Path("census_income.jsonl"))
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--print", action="store_true", help="only print what was measured")
    args = parser.parse_args()

    results = ResultFile(args.results, "census_income")
    if not args.print:
        lines, data = results.read(), load(args.data)
        Parallel(n_jobs=args.n_jobs)(
            delayed(run)(
                name,
                n_experts,
                make,
                data,
                args.n_seeds,
                [x for x in lines if (x["experts"], x["way"]) == (n_experts, name)],
                results,
            )
            for n_experts, units in SIZES.items()
            for name, make in ways(n_experts, units).items()
        )
    print(table(results.read()))


if __name__ == "__main__":
    main()
