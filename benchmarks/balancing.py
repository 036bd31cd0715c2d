"""Do balanced tasks learn better? Uncertainty weighting, GradNorm and PCGrad beside a plain net.

    python -m benchmarks.balancing --data FOLDER --results results.jsonl
    python -m benchmarks.balancing --results benchmarks/results/balancing.jsonl --n-seeds 0

FOLDER and the splits are those of `benchmarks.defaults`. Each balancing is measured with the
default net made smaller (4 members of 64 and 64 units) and with STG-MTL's recipe on standardised
features, all from the same first weights at a seed; differences are to the same net without
balancing, pair by pair. Times, of the processor, are multiples of that net's. The second command
only prints what was measured; a run that was interrupted goes on where it was.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.defaults import load
from benchmarks.evidence import interval
from benchmarks.result_file import ResultFile
from skgroup import MultiTaskNet
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score

TABLES = ("digits", "yeast")
BALANCINGS = {
    "none": {"balancing": None},
    "uncertainty weighting": {"balancing": "uncertainty"},
    "GradNorm": {"balancing": "gradnorm"},
    "GradNorm, alpha 0.12": {"balancing": "gradnorm", "balancing__alpha": 0.12},
    "GradNorm, all layers": {"balancing": "gradnorm", "balancing__layers": "all"},
    "PCGrad": {"balancing": "pcgrad"},
}
NETS = {
    "small TabM": lambda options: MultiTaskNet(
        module__n_members=4, module__hidden_units=(64, 64), **options
    ),
    "the paper's recipe, scaled": lambda options: make_pipeline(
        StandardScaler(), MultiTaskNet.stg_mtl(**options)
    ),
}
SCORES = ("auc", "f1")


def run(name, folder, seed, done, write):
    X_train, X_test, Y_train, Y_test = load(name, folder, seed)
    averages = {"classes": [[0, 1]] * Y_test.shape[1], "average": None}
    for net, make in NETS.items():
        for balancing, options in BALANCINGS.items():
            if (name, seed, net, balancing) in done:
                continue
            start = time.process_time()
            model = make({**options, "random_state": seed}).fit(X_train, Y_train)
            seconds = time.process_time() - start
            proba = model.predict_proba(X_test)
            auc = multitask_roc_auc_score(Y_test, proba, **averages)
            f1 = multitask_f1_score(Y_test, (proba > 0.5).astype(int), **averages)
            line = {"data": name, "seed": seed, "net": net, "balancing": balancing}
            write(line | {"seconds": seconds, "auc": np.nanmean(auc), "f1": np.nanmean(f1)})


def table(lines):
    found = {(x["data"], x["net"], x["balancing"], x["seed"]): x for x in lines}
    names = [name for name in TABLES if any(key[0] == name for key in found)]
    columns = [f"{name}, {score}" for name in names for score in (*SCORES, "time")]
    rows = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for net in NETS:
        for balancing in BALANCINGS:
            cells = []
            for name in names:
                seeds = [s for *of, s in found if of == [name, net, balancing]]
                of, plain = (
                    {seed: found[name, net, b, seed] for seed in seeds} for b in (balancing, "none")
                )
                for score in SCORES:
                    ours, theirs = ({s: x[s][score] for s in seeds} for x in (of, plain))
                    if balancing == "none":
                        values = list(ours.values())
                        cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
                    else:
                        mean, half = interval(ours, theirs)
                        cells.append(f"{mean:+.3f} ± {half:.3f}")
                ratio = [of[s]["seconds"] / plain[s]["seconds"] for s in seeds]
                cells.append(f"{np.median(ratio):.1f}")
            label = net if balancing == "none" else f"… {balancing}"
            rows.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--n-seeds", type=int, default=5)
    args = parser.parse_args()
    if args.n_seeds and args.data is None:
        parser.error("--data is needed to measure anything; --n-seeds 0 prints the results")
    file = ResultFile(args.results, "balancing")
    for seed in range(args.n_seeds):
        for name in TABLES:
            done = {(x["data"], x["seed"], x["net"], x["balancing"]) for x in file.read()}
            run(name, args.data, seed, done, file.append)
    print(table(file.read()))


if __name__ == "__main__":
    main()
