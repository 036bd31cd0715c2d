"""Does learned serving ever lose? Every way to train the tasks, on real data.

    python -m benchmarks.evidence --data FOLDER --results results.jsonl --picture evidence.png
    python -m benchmarks.evidence --results benchmarks/results/evidence.jsonl --n-seeds 0

The second only prints what was measured.
Each fit adds a line to the results file; a run that was interrupted goes on where it was. The
table is made from the file: mean test scores over seeds, what tuned thresholds gain, and the
paired difference of the portfolio to the best baseline with its 95 % interval (Student's t over
seeds). Baselines are all ways but the portfolio's; the best is that of the best mean on the test
data, which favours it. The same split serves all. Each seed splits the same pool of samples anew,
so that the intervals speak of other splits of this pool, and for new data they are too narrow.
Times depend on what else the machine does.
"""

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.real_data import PROBLEMS
from benchmarks.result_file import ResultFile
from skgroup import GroupedMTLClassifier, PortfolioClassifier
from skgroup.comparison.intervals import paired_interval
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.training.costs import count_nets

PORTFOLIOS = ("portfolio", "portfolio, one split")


def recipe(net, seed, n_tasks, **params):
    # As many groups as tasks would be single-task nets.
    return GroupedMTLClassifier(
        net, n_groups=min(3, n_tasks - 1), **{"random_state": seed, **params}
    )


def random_groups(net, seed, membership):
    """Specialists of the recipe's memberships, dealt out to the tasks at random."""
    dealt = np.random.default_rng(seed).permutation(membership)
    return GroupedMTLClassifier(net, dealt, random_state=seed)


def methods(net, seed, n_tasks, costly):
    """Name of each way, and what makes it, in the order in which they run.

    Ways with tuned thresholds serve with the nets of all folds, as the portfolio does. Where nets
    are costly there are fewer of them, and what trains single-task nets once more is left out.
    """
    ways = GroupedMTLClassifier
    numbers, n_all_tasks, n_folds = ((2, 3), 4, 3) if costly else ((2, 3, 4), 10, 5)
    members = [(f"groups_{k}", ways(net, n_groups=k)) for k in numbers if k < n_tasks]
    members += [("all_tasks", ways.mtl_ensemble(n_all_tasks, net)), ("single", ways.stl(net))]
    tuned = {"cv": n_folds, "refit": False, "random_state": seed}
    portfolio = PortfolioClassifier(members, **tuned)
    n_nets = int(count_nets(portfolio, n_tasks))
    of_fold = ways.mtl_ensemble(n_nets // n_folds, net)
    plain = recipe(net, seed, n_tasks)
    n_plain = int(count_nets(plain, n_tasks))
    found = {
        "MTL": ways.mtl(net, random_state=seed),
        "STL": ways.stl(net, random_state=seed),
        f"MTL ensemble, {n_plain} nets": ways.mtl_ensemble(n_plain, net, random_state=seed),
        "recipe": plain,
        "random groups": partial(random_groups, net, seed),
        "STL, tuned": PortfolioClassifier([("single", ways.stl(net))], **tuned),
        "recipe, tuned": PortfolioClassifier([("recipe", plain)], **tuned),
        "MTL ensemble, as many nets": ways.mtl_ensemble(n_nets, net, random_state=seed),
        "MTL ensemble, as many nets, tuned": PortfolioClassifier([("nets", of_fold)], **tuned),
        "portfolio, one split": PortfolioClassifier(members, **{**tuned, "cv": 0.2}),
        "portfolio": portfolio,
    }
    for name in ("STL, tuned", "portfolio, one split") if costly else ():
        del found[name]
    return found


def run(name, folder, seed, wanted, done, write):
    problem = PROBLEMS[name](folder, seed)
    n_tasks = problem.Y_train.shape[1]
    membership = None
    for method, clf in methods(problem.net, seed, n_tasks, problem.costly).items():
        if (name, seed, method) in done or (wanted and method not in wanted):
            continue
        if method == "random groups":
            if membership is None:
                plain = recipe(problem.net, seed, n_tasks)
                membership = plain.fit(problem.X_train, problem.Y_train).membership_
            clf = clf(membership)
        start = time.perf_counter()
        clf.fit(problem.X_train, problem.Y_train)
        seconds = time.perf_counter() - start
        if method == "recipe":
            membership = clf.membership_
        proba, predicted = clf.predict_proba(problem.X_test), clf.predict(problem.X_test)
        f1_at_half = multitask_f1_score(problem.Y_test, (proba > 0.5).astype(int), average=None)
        write(
            {
                "data": name,
                "what": problem.what,
                "seed": seed,
                "method": method,
                "nets": int(count_nets(clf, n_tasks)),
                "seconds": seconds,
                "random_task": problem.random_task,
                "f1": multitask_f1_score(problem.Y_test, predicted, average=None).tolist(),
                "f1_at_half": f1_at_half.tolist(),
                "auc": multitask_roc_auc_score(problem.Y_test, proba, average=None).tolist(),
            }
        )


def mean_scores(lines, score, with_random):
    """Mean over tasks, {method: array over seeds}; seeds in order."""
    found = {}
    for line in sorted(lines, key=lambda line: line["seed"]):
        values = np.array(line[score], dtype=float)
        if not with_random and line["random_task"] is not None:
            values = np.delete(values, line["random_task"])
        found.setdefault(line["method"], {})[line["seed"]] = np.nanmean(values)
    return found


def interval(ours, theirs):
    """Mean and half width of the 95 % interval of a paired difference over seeds."""
    seeds = sorted(set(ours) & set(theirs))
    difference = np.array([ours[s] - theirs[s] for s in seeds])
    found = paired_interval(difference, np.array(seeds), 0.0, "seeds")
    return found.difference, found.high - found.difference


def compare(lines, score, with_random, ours):
    """The best baseline on the seeds that all have, and by how much `ours` is better."""
    scores = mean_scores(lines, score, with_random)
    if ours not in scores:
        return None
    seeds = set.intersection(*(set(of_seed) for of_seed in scores.values()))
    baselines = [m for m in scores if not m.startswith("portfolio")]
    best = max(baselines, key=lambda m: sum(scores[m][s] for s in seeds))
    return best, *interval({s: scores[ours][s] for s in seeds}, scores[best])


def gain_of_tuning(lines, method):
    """F1 with tuned thresholds less that of the same probabilities at 0.5, without Random."""
    tuned = mean_scores(lines, "f1", False)[method]
    return interval(tuned, mean_scores(lines, "f1_at_half", False)[method])


def table(lines):
    """Markdown: scores of every method, then the portfolios beside the best baseline."""
    out = []
    for name in PROBLEMS:
        of_data = [line for line in lines if line["data"] == name]
        if not of_data:
            continue
        has_random = of_data[0]["random_task"] is not None
        seeds = sorted({line["seed"] for line in of_data})
        out += [f"\n**{of_data[0]['what']}**, {len(seeds)} seeds\n"]
        kinds = [("f1", True), ("auc", True)] + ([("f1", False), ("auc", False)] * has_random)
        names = [
            score.replace("f1", "F1").replace("auc", "AUC")
            + (" without Random" if not with_random else "")
            for score, with_random in kinds
        ]
        out += [f"| | {' | '.join(names)} | nets trained | time / MTL |"]
        out += ["|---" * (len(names) + 3) + "|"]
        columns = [mean_scores(of_data, *kind) for kind in kinds]
        seconds = {
            method: np.median([x["seconds"] for x in of_data if x["method"] == method])
            for method in columns[0]
        }
        for method in columns[0]:
            cells = []
            for column in columns:
                values = np.array([*column[method].values()])
                spread = values.std(ddof=1) if len(values) > 1 else np.nan
                cells.append(f"{values.mean():.3f} ± {spread:.3f}")
            nets = next(x["nets"] for x in of_data if x["method"] == method)
            ratio = seconds[method] / seconds.get("MTL", np.nan)
            out.append(f"| {method} | {' | '.join(cells)} | {nets} | {ratio:.1f} |")
        for ours in [m for m in columns[0] if m.startswith("portfolio")]:
            for kind, label in zip(kinds, names, strict=True):
                best, mean, width = compare(of_data, *kind, ours)
                out.append(
                    f"\n{ours}, {label}: {mean:+.4f} ± {width:.4f} to the best baseline ({best})"
                )
        for method in [m for m in columns[0] if "tuned" in m or m.startswith("portfolio")]:
            mean, width = gain_of_tuning(of_data, method)
            out.append(f"\ntuned thresholds, {method}: F1 {mean:+.4f} ± {width:.4f}")
    return "\n".join(out)


def summary(lines):
    """Markdown: F1; AUC of every method on every data set, without the Random task, and what the
    portfolio is better by than the best baseline."""
    names = [name for name in PROBLEMS if any(line["data"] == name for line in lines)]
    of_data = {name: [line for line in lines if line["data"] == name] for name in names}
    scores = {(n, s): mean_scores(of_data[n], s, False) for n in names for s in ("f1", "auc")}
    # The ensemble of as many nets as the recipe has a number in its name, which may differ.
    rows = dict.fromkeys(_unnumbered(line["method"]) for line in lines)
    out = [f"| | {' | '.join(f'{name}, F1; AUC' for name in names)} |", "|---" * (len(names) + 1)]
    out[1] += "|"
    for row in rows:
        cells = []
        for name in names:
            pair = [
                np.mean([*values.values()])
                for s in ("f1", "auc")
                for method, values in scores[name, s].items()
                if _unnumbered(method) == row
            ]
            cells.append("; ".join(f"{value:.3f}".lstrip("0") for value in pair))
        out.append(f"| {row} | {' | '.join(cells)} |")
    for ours in PORTFOLIOS:
        cells = []
        for name in names:
            found = [compare(of_data[name], s, False, ours) for s in ("f1", "auc")]
            shown = [f"{f[1]:+.4f} ± {f[2]:.4f}".replace("0.", ".") for f in found if f]
            cells.append("; ".join(shown))
        out.append(f"| {ours}, less the best of the others | {' | '.join(cells)} |")
    return "\n".join(out)


def _unnumbered(method):
    numbered = method.startswith("MTL ensemble, ") and method.endswith(" nets")
    few = numbered and method.split()[2].isdigit()
    return "MTL ensemble, as many nets as the recipe" if few else method


def draw(lines, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in PROBLEMS if any(line["data"] == name for line in lines)]
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.5 * len(names) + 2), sharey=True)
    for ax, score in zip(axes, ("f1", "auc"), strict=True):
        for row, name in enumerate(names):
            of_data = [line for line in lines if line["data"] == name]
            for k, ours in enumerate(PORTFOLIOS):
                found = compare(of_data, score, False, ours)
                if found is not None:
                    _, mean, width = found
                    ax.errorbar(
                        mean,
                        row + 0.15 * k,
                        xerr=width,
                        fmt="os^"[k],
                        color=f"C{k}",
                        capsize=3,
                        label=ours if row == 0 else None,
                    )
        ax.axvline(0, color="gray", lw=1)
        ax.set_yticks(range(len(names)), names)
        ax.set_xlabel(f"test {score.upper()}, difference to the best baseline")
        ax.locator_params(axis="x", nbins=6)
    axes[0].invert_yaxis()
    axes[1].legend(loc="best", frameon=False)
    figure.suptitle("Portfolio beside the best baseline, without the Random task (95 % intervals)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(), help="folder with the data files")
    parser.add_argument("--results", type=Path, default=Path("evidence.jsonl"))
    parser.add_argument("--sets", nargs="*", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--methods", nargs="*", help="all if not given")
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    results = ResultFile(args.results, "evidence")
    lines = results.read()
    done = {(line["data"], line["seed"], line["method"]) for line in lines}

    def write(line):
        lines.append(line)
        results.append(line)

    for seed in range(args.n_seeds):
        for name in args.sets:
            run(name, args.data, seed, args.methods, done, write)
    print(table(lines), summary(lines), sep="\n\n")
    if args.picture:
        draw(lines, args.picture)


if __name__ == "__main__":
    main()
