"""AdaTT's studies (Li et al., KDD 2023) on Census-Income with a regression task.

    python -m benchmarks.adatt_studies --data FOLDER --results adatt_studies.jsonl --n-jobs 2
    python -m benchmarks.adatt_studies --results benchmarks/results/adatt_studies.jsonl --print

The second only prints what was measured, and draws `--picture`. FOLDER holds `census-income.data`
and `census-income.test` (or .xz, .gz) of the UCI repository. Each fit adds a line to the results
file, which may hold runs of several sizes; a run that was interrupted goes on where it was.

**Tasks.** Income, marital state and education are binary; the weeks worked in the year, 0 to 52,
are a regression task and no feature. Losses have equal weights: cross-entropy, and the squared
error of standardised weeks. Classes are judged by normalised entropy, weeks by the mean squared
error: less is better. *Mean* is that of the four, the squared error in units of the variance;
differences are in percent of the way that should be better, a task, and their mean.

**Studies**, as in the paper: single-layer experts in two levels (`--widths`, 256 and 128 there),
towers of half the last width, linear gates.

- native (table 6): 3 experts a task, none shared, with the native term and without.
- experts (table 7): 1 to 4 a task, none shared.
- levels (table 8): 2 to 5, one expert a task, each further level in front and twice as wide.
- stitch: cross-stitch against one expert a task. Ours starts near the identity, where the paper's
  starts at random.
- shared (table 5): 12 experts a level. Of these 4 or 8 are shared ones in PLE and AdaTT, as
  validation chooses, and the tasks have the others; AdaTT-sp has 3 a task. The shared bottom is as
  wide as all experts.

**Rows.** Each seed draws `--rows` of the training part, and as many, always the same, of a
validation half and a test half of the test part. `--stack` trains the seeds of a way, which then
must take all rows, as one stack of nets: faster on a GPU. The learning rate of each way is the one
of the best mean on the validation half by seed 0, as in `benchmarks.census_income`, and shared
experts are chosen by the mean there over seeds. Intervals (95 %, Student's t over seeds, paired)
speak of other training rows and first weights, where all rows are taken of the latter alone, and of
the same test rows.
"""

import argparse
import re
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import clone

from benchmarks.census_income import TASKS, load
from benchmarks.evidence import interval
from benchmarks.learning_rates import chosen, missing
from benchmarks.result_file import ResultFile
from skgroup import MultiTaskNet
from skgroup.metrics import multitask_mean_squared_error, multitask_normalized_entropy
from skgroup.nn import PLE, AdaTT, AdaTTSp, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom
from skgroup.training.engine import check_data, fit_many

NAMES = (*TASKS, "weeks")
KINDS = ("binary", "binary", "binary", "regression")
N_EXPERTS = 12
SP = "AdaTT-sp, {} a task".format
DEEP = "AdaTT-sp, {} levels".format
PLAIN = "AdaTT-sp, 3 a task, no native term"
#: Ways that differ in their shared experts; validation chooses among those of a name.
SHARING = {name: [f"{name}, {n} shared" for n in (4, 8)] for name in ("PLE", "AdaTT")}
#: The first way of a study is what the others are compared with.
STUDIES = {
    "native": (SP(3), PLAIN),
    "experts": tuple(SP(n) for n in (1, 2, 3, 4)),
    "levels": (SP(1), *(DEEP(n) for n in (3, 4, 5))),
    "stitch": (SP(1), "cross-stitch"),
    "shared": (
        *(*SHARING["AdaTT"], SP(3), *SHARING["PLE"]),
        *("MMoE", "ML-MMoE", "shared bottom"),
    ),
}


def ways(widths):
    """Module and hyper-parameters of each way, those that take longest first."""
    first, last = widths

    def levels(n):
        return (*(first * 2**k for k in reversed(range(n - 1))), last)

    found = {DEEP(n): (AdaTTSp, {"expert_hidden_units": levels(n)}) for n in (5, 4, 3)}
    wide = {"hidden_units": (N_EXPERTS * first, N_EXPERTS * last)}
    found["shared bottom"] = (SharedBottom, wide)
    two = {"expert_hidden_units": widths}
    for name, module in (("PLE", PLE), ("AdaTT", AdaTT)):
        for n, way in zip((4, 8), SHARING[name], strict=True):
            of_tasks = (N_EXPERTS - n) // len(NAMES)
            found[way] = (module, {**two, "n_shared_experts": n, "n_task_experts": of_tasks})
    for name, module in (("MMoE", MMoE), ("ML-MMoE", MultiLevelMMoE)):
        found[name] = (module, {**two, "n_experts": N_EXPERTS})
    for n in (4, 3, 2, 1):
        found[SP(n)] = (AdaTTSp, {**two, "n_task_experts": n})
    found[PLAIN] = (AdaTTSp, {**two, "n_task_experts": 3, "native": False})
    found["cross-stitch"] = (CrossStitch, two)
    return found


# -- fits -----------------------------------------------------------------------------------------


def score(line):
    return -np.mean(line["validation"])


def losses(net, X, Y):
    """The loss of each task: normalised entropy, and the squared error in units of the variance."""
    found = multitask_normalized_entropy(Y, net.predict_proba(X), average=None, task_types=KINDS)
    error = multitask_mean_squared_error(Y, net.predict(X), average=None, task_types=KINDS)
    numbers = np.array([kind == "regression" for kind in KINDS])
    return np.where(numbers, error / Y.var(axis=0), found).tolist()


def fit(way, lr, seeds, size, data, device, results):
    """A net a seed; several are one stack."""
    warnings.simplefilter("ignore")
    (X, Y), *halves = data
    module, params = ways(tuple(size["widths"]))[way]
    params = {**params, "tower_hidden_units": max(1, size["widths"][-1] // 2)}
    net = MultiTaskNet.stg_mtl(
        module,
        lr=lr,
        batch_size=size["batch_size"],
        max_epochs=size["epochs"],
        class_weight=None,
        task_types=KINDS,
        device=device,
        **{f"module__{name}": value for name, value in params.items()},
    )
    start = time.perf_counter()
    rows = slice(None)
    if size["rows"] < len(X):
        rows = np.random.default_rng(seeds[0]).permutation(len(X))[: size["rows"]]
    checked = [check_data(net, X[rows], Y[rows])] * len(seeds)
    nets, _ = fit_many(
        [clone(net) for _ in seeds],
        checked,
        seeds,
        strategy="stacked" if len(seeds) > 1 else "sequential",
    )
    seconds = (time.perf_counter() - start) / len(seeds)
    validation, test = ((A[: size["rows"]], B[: size["rows"]]) for A, B in halves)
    for seed, one in zip(seeds, nets, strict=True):
        on = next(one.module_.parameters()).device
        line = {
            **size,
            "way": way,
            "lr": lr,
            "seed": seed,
            "device": torch.cuda.get_device_name(on) if on.type == "cuda" else on.type,
            "parameters": sum(p.numel() for p in one.module_.parameters()),
            "validation": losses(one, *validation),
            "test": losses(one, *test),
            "variance": float(test[1][:, -1].var()),
            "seconds": seconds,
        }
        if way == SP(1):
            line["expert_weights"] = [w.tolist() for w in one.expert_weights(test[0])]
        results.append(line)


def next_fits(lines, wanted, n_seeds, stack):
    """Way, learning rate and seeds of the fits that the lines of a size lack and can be made."""
    found = []
    for way in wanted:
        fits = missing([line for line in lines if line["way"] == way], n_seeds, score)
        if stack and len({lr for lr, _ in fits}) == 1:
            found.append((way, fits[0][0], [seed for _, seed in fits]))
        else:
            found += [(way, lr, [seed]) for lr, seed in fits]
    return found


# -- what was found -------------------------------------------------------------------------------

SIZE = ("rows", "widths", "epochs", "batch_size")


def size_of(line):
    return {key: line[key] for key in SIZE}


def of_ways(lines):
    """The lines of each way with the learning rate that was chosen for it, by seed."""
    found = {}
    for way in dict.fromkeys(line["way"] for line in lines):
        own = [line for line in lines if line["way"] == way]
        if not missing(own, 1, score):
            lr = chosen(own, score)
            found[way] = {line["seed"]: line for line in own if line["lr"] == lr}
    return found


def best_sharing(name, found):
    """The way of the best mean on the validation half, over seeds."""
    there = [way for way in SHARING[name] if way in found]
    return max(
        there, key=lambda way: np.mean([score(x) for x in found[way].values()]), default=None
    )


def changes(better, worse):
    """Percent by which the loss of each task is higher in what should be worse, by seed."""
    seeds = sorted(better.keys() & worse.keys())
    of = {s: np.divide(worse[s]["test"], better[s]["test"]) for s in seeds}
    return {s: 100 * (ratio - 1) for s, ratio in of.items()}


def table(study, found):
    """Markdown: losses of the ways of a study, and how much higher they are than the first's."""
    there = [way for way in STUDIES[study] if way in found]
    if len(there) < 2:
        return []
    first = best_sharing("AdaTT", found) if study == "shared" else STUDIES[study][0]
    rows = [
        f"| {study} | {' | '.join(f'NE {t}' for t in TASKS)} | MSE weeks | mean | "
        f"% above {first or 'AdaTT'} | lr | parameters |",
        "|---" * 9 + "|",
    ]
    chosen_ways = [best_sharing(name, found) for name in SHARING] if study == "shared" else []
    digits = (4, 4, 4, 2, 4)
    for way in there:
        one, *_ = lines = list(found[way].values())
        scores = np.array([[*x["test"], np.mean(x["test"])] for x in lines], dtype=float)
        scores[:, NAMES.index("weeks")] *= one["variance"]
        spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.full(5, np.nan)
        cells = [
            f"{m:.{d}f} ± {s:.{d}f}" for m, s, d in zip(scores.mean(0), spread, digits, strict=True)
        ]
        beside = ""
        if first in found and way != first:
            *_, beside = _mean_change(changes(found[first], found[way]))
        cells += [beside, f"{one['lr']:g}", f"{one['parameters']:,}"]
        rows.append(f"| {way}{' (chosen)' * (way in chosen_ways)} | {' | '.join(cells)} |")
    return rows


def over_seeds(values):
    """Mean over seeds and half width of its 95 % interval."""
    return interval(values, dict.fromkeys(values, 0.0))


def _mean_change(change):
    """Of the mean over tasks."""
    mean, width = over_seeds({seed: of_tasks.mean() for seed, of_tasks in change.items()})
    return mean, width, f"{mean:+.2f} ± {width:.2f}"


def _verdict(mean, width):
    if not np.isfinite(width):
        return "one seed"
    return "not clear" if abs(mean) <= width else "yes" if mean > 0 else "no"


def directions(found):
    """Markdown: which directions of the paper hold."""
    adatt, ple = (best_sharing(name, found) for name in ("AdaTT", "PLE"))
    pairs = [("the native term helps (table 6)", SP(3), PLAIN)]
    pairs += [(f"{n} experts a task beat {n - 1} (table 7)", SP(n), SP(n - 1)) for n in (2, 3, 4)]
    deep = (SP(1), DEEP(3), DEEP(4), DEEP(5))
    pairs += [(f"{n} levels beat {n - 1} (table 8)", deep[n - 2], deep[n - 3]) for n in (3, 4, 5)]
    pairs += [
        ("one-expert AdaTT-sp beats cross-stitch", SP(1), "cross-stitch"),
        ("AdaTT beats PLE, shared experts chosen (table 5)", adatt, ple),
        ("AdaTT beats MMoE", adatt, "MMoE"),
        ("AdaTT beats ML-MMoE", adatt, "ML-MMoE"),
        ("MMoE beats ML-MMoE", "MMoE", "ML-MMoE"),
        ("AdaTT beats a shared bottom of as many units", adatt, "shared bottom"),
    ]
    head = ("the paper's direction", *(f"{t}, %" for t in NAMES), "mean, %", "tasks", "holds")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for claim, better, worse in pairs:
        if better not in found or worse not in found:
            continue
        change = changes(found[better], found[worse])
        of_tasks = np.mean([*change.values()], axis=0)
        mean, width, shown = _mean_change(change)
        cells = [*(f"{c:+.2f}" for c in of_tasks), shown]
        cells.append(f"{(of_tasks > 0).sum()} of {len(NAMES)}")
        rows.append(f"| {claim} | {' | '.join(cells)} | {_verdict(mean, width)} |")
    return rows


def drawn_from(weights):
    """What a net takes from the experts of other tasks: gate weights of two levels.

    Returns the sum a level, mean over tasks, and at the first level the mean weight of another
    task of the same kind less that of one of another kind.
    """
    others = [np.array(w) * (1 - np.eye(len(NAMES))) for w in weights]
    kind = np.array(KINDS)
    alike = (kind[:, None] == kind) & ~np.eye(len(NAMES), dtype=bool)
    parted = others[0][alike].mean() - others[0][kind[:, None] != kind].mean()
    return [o.sum(axis=1).mean() for o in others], parted


def figure_3(found):
    """Lines of text: what the expert weights of two levels, one expert a task, say."""
    drawn = {s: drawn_from(line["expert_weights"]) for s, line in found.get(SP(1), {}).items()}
    if not drawn:
        return []
    level_0, level_1 = ({s: of[k] for s, (of, _) in drawn.items()} for k in (0, 1))
    more, width = interval(level_1, level_0)
    parted, width_of_it = over_seeds({s: p for s, (_, p) in drawn.items()})
    shares = [np.mean([*level.values()]) for level in (level_0, level_1)]
    return [
        f"- Gate weight on the experts of other tasks (figure 3): {shares[0]:.3f} at level 0 and "
        f"{shares[1]:.3f} at level 1. Level 1 shares more: {more:+.3f} ± {width:.3f}, "
        f"{_verdict(more, width)}.",
        "- Level 0 parts the kinds: weight on a task of the same kind less that on one of another "
        f"kind {parted:+.3f} ± {width_of_it:.3f}, {_verdict(parted, width_of_it)}.",
    ]


def show(lines):
    """Markdown: all tables, a section a size."""
    out = []
    for size in sizes(lines):
        of_size = [line for line in lines if size_of(line) == size]
        found = of_ways(of_size)
        n_seeds = sorted({len(own) for own in found.values()})
        seeds = f"{n_seeds[0]} seeds" if len(n_seeds) == 1 else f"seeds: {n_seeds}"
        out += [
            f"**{size['rows']:,} rows, widths {size['widths']}, {size['epochs']} epochs, batches "
            f"of {size['batch_size']}** ({', '.join(sorted({x['device'] for x in of_size}))}; "
            f"{seeds})",
            "",
        ]
        for rows in (directions(found), figure_3(found), *(table(s, found) for s in STUDIES)):
            out += [*rows, ""] if rows else []
    return re.sub(r"(?<![\d.])0\.(?=\d)", ".", "\n".join(out)).strip()


def sizes(lines):
    found = []
    for line in lines:
        if size_of(line) not in found:
            found.append(size_of(line))
    return found


def draw(lines, path):
    """Figure 3: the expert weights of two levels, one expert a task, mean over test rows and seeds;
    of the size that has the most rows."""
    import matplotlib

    matplotlib.use("Agg")
    from skgroup.inspection import ExpertWeightsDisplay

    largest = max(sizes(lines), key=lambda size: size["rows"])
    found = of_ways([line for line in lines if size_of(line) == largest])
    weights = np.mean([line["expert_weights"] for line in found[SP(1)].values()], axis=0)
    display = ExpertWeightsDisplay.from_expert_weights(
        list(weights), task_names=NAMES, expert_names=[f"{name} #0" for name in NAMES]
    )
    display.figure_.savefig(path, dpi=110, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(), help="folder with the data files")
    parser.add_argument("--results", type=Path, default=Path("adatt_studies.jsonl"))
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument(
        "--rows", type=int, default=10_000, help="of each part; all, if there are no more"
    )
    parser.add_argument("--widths", type=int, nargs=2, default=(64, 32), help="of two levels")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--device", default="auto", help="as MultiTaskNet takes it")
    parser.add_argument("--stack", action="store_true", help="train seeds together")
    parser.add_argument("--picture", type=Path, help="where to draw figure 3")
    parser.add_argument("--print", action="store_true", help="only print what was measured")
    args = parser.parse_args()

    results = ResultFile(args.results, "adatt_studies")
    if not args.print:
        data = load(args.data, weeks=True)
        n_rows = min(args.rows, len(data[0][0]))
        if args.stack and n_rows < len(data[0][0]):
            parser.error("--stack needs all rows: of fewer, each seed draws its own.")
        size = {"rows": n_rows, "widths": list(args.widths)}
        size |= {"epochs": args.epochs, "batch_size": args.batch_size}
        asked = {way for study in args.studies for way in STUDIES[study]}
        wanted = [way for way in ways(tuple(args.widths)) if way in asked]
        with Parallel(n_jobs=args.n_jobs) as parallel:
            while todo := next_fits(
                [line for line in results.read() if size_of(line) == size],
                wanted,
                args.n_seeds,
                args.stack,
            ):
                parallel(delayed(fit)(*job, size, data, args.device, results) for job in todo)
    lines = results.read()
    print(show(lines))
    if args.picture:
        draw(lines, args.picture)


if __name__ == "__main__":
    main()
