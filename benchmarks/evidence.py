"""What should one pick on a table of several tasks? Every way beside the rivals.

    python -m benchmarks.evidence --data FOLDER --results results.jsonl --picture evidence.png
    python -m benchmarks.evidence --results benchmarks/results/evidence.jsonl --n-seeds 0

The second only prints what was measured. FOLDER holds the files of `benchmarks.defaults`, and
`census-income.data` (or .xz, .gz) of the UCI repository, of whose rows each seed draws 6,000; its
numbers are standardised and its categories, unknown ones included, one-hot encoded once, for all
ways. The digits come with scikit-learn; their random task trains with the others and counts
nowhere.

**Splits.** Each seed splits a table anew, 30 % to test on, the same for all ways; tasks with fewer
than five labels of a class in the training part are left out. Within the training part held-out
predictions come from 3 folds, or, on Tox21 and Census-Income, from a quarter of the rows that is
held out once. The final fit sees all of the training part.

**Rivals.** Forests of 300 trees with scikit-learn's defaults; like logistic regression, LightGBM
and histogram boosting they learn a task at a time where labels are missing (the latter three
always do). XGBoost grows trees of many outputs and CatBoost minimises its loss of many labels where
no label is missing; elsewhere they learn a task at a time too. Where labels are missing there is no
classifier chain (of logistic regressions, in random order). As the default net was chosen on three
of these tables, rivals are searched where settings matter: boosting has two settings of its trees
times 25, 50, 100 and 200 of them (LightGBM, whose learning rate is .05, 400 too; others .1), and
linear ways have C of .001, .01, .1 and 1; the best mean AUC of the held-out predictions (over tasks
and folds) decides. Trees of many outputs take 64 bins, which makes them several times faster, and
no worse. Forests and nets are what they are by default.

**Scores.** Means over tasks, on the test part. Each way's probabilities are brought to the observed
shares (Platt scaling a task) and each task's threshold is that of the best F1, pulled towards the
one that the probabilities promise where positives are few: both learned on the held-out
predictions, by the rules of `PortfolioClassifier`, which serve all. The portfolios have done so
themselves, on the predictions of their own folds, and are judged by what they say. Seconds of fit
are those of the final fit with its settings known (a portfolio: of all its folds), and depend on
what else the machine does.

**What validation chooses** is, a seed, the single way (one estimator: no ensemble, groups or
portfolio) of the best mean AUC, or F1, of the held-out predictions. Thresholds are tuned on the
very same ones, for all ways alike. The best single way by test score is known only afterwards.

Each fit adds a line to the results file; a run that was interrupted goes on where it was. `--keep`
keeps all predictions in a folder, and scores anew, without training, what it finds there.
Intervals (95 %, Student's t over seeds, paired) speak of other splits of the same samples.
"""

import argparse
import re
import time
import warnings
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from benchmarks.defaults import TABLES, load
from benchmarks.result_file import ResultFile
from benchmarks.rivals import FORESTS, WAYS
from skgroup.comparison.intervals import paired_interval
from skgroup.datasets import census_income_encoder, fetch_census_income, load_digit_tasks
from skgroup.ensemble._shares import learn_shares, to_shares
from skgroup.ensemble._threshold import expected_f1_thresholds, f1_thresholds
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.metrics.splits import held_out_splits
from skgroup.tasks import check_tasks

SETS = (*TABLES, "census")
N_CENSUS = 6000
#: Folds of the held-out predictions, or the share that is held out once.
VALIDATION = {"tox21": 0.25, "census": 0.25}
N_FOLDS = 3
#: Scores, how many digits are shown, and whether more is better.
SCORES = {
    "auc": ("AUC", 3, True),
    "ap": ("average precision", 3, True),
    "f1": ("F1, tuned thresholds", 3, True),
    "log_loss": ("log loss, scaled", 3, False),
    "fit_seconds": ("seconds of fit", 1, False),
    "predict_seconds": ("seconds of prediction", 2, False),
}
CHOSEN, BEST_SINGLE, BEST_FOREST = "chosen by validation", "best single way", "better forest"
PORTFOLIO, NET = "PortfolioClassifier()", "MultiTaskNet()"
#: Paired differences that are printed: whose, to what, in which score.
TARGETS = (
    (PORTFOLIO, CHOSEN, "auc"),
    (PORTFOLIO, CHOSEN, "f1"),
    (PORTFOLIO, CHOSEN, "log_loss"),
    (PORTFOLIO, BEST_SINGLE, "auc"),
    (PORTFOLIO, BEST_SINGLE, "f1"),
    (NET, BEST_FOREST, "auc"),
    (NET, BEST_FOREST, "f1"),
    (NET, CHOSEN, "auc"),
    ("single-task nets", NET, "auc"),
    ("as many nets", NET, "auc"),
    ("grouped", "as many nets", "auc"),
    ("grouped", "random groups", "auc"),
)


# -- measuring ---------------------------------------------------------------------------------


@lru_cache
def _census(folder):
    file = next(folder.rglob("census-income.data*"))
    return fetch_census_income(path=file, return_X_y=True)


def tables(name, folder, seed):
    """Training and test part, and which tasks count."""
    if name != "census":
        X_train, X_test, Y_train, Y_test = load(name, folder, seed)
        counted = np.ones(Y_train.shape[1], dtype=bool)
        if name == "digits":
            counted[load_digit_tasks().task_names.index("random")] = False
        return X_train, X_test, Y_train, Y_test, counted
    X, Y = _census(folder)
    rows = np.random.default_rng(seed).permutation(len(X))[:N_CENSUS]
    train, test = train_test_split(rows, test_size=0.3, random_state=seed)
    encoder = census_income_encoder().fit(X.iloc[train])
    X_train, X_test = (encoder.transform(X.iloc[of]).astype(np.float32) for of in (train, test))
    Y_train, Y_test = (Y.iloc[of].to_numpy(dtype=float) for of in (train, test))
    return X_train, X_test, Y_train, Y_test, np.ones(Y.shape[1], dtype=bool)


def auc_of_tasks(Y, proba):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        classes = [[0, 1]] * Y.shape[1]
        return multitask_roc_auc_score(Y, proba, classes=classes, average=None)


def _f1(Y, predicted):
    classes = [[0, 1]] * Y.shape[1]
    return multitask_f1_score(Y, predicted, classes=classes, average=None)


def score_of_tasks(score, Y, proba):
    """A score of scikit-learn a task, NaN where a class is missing."""
    found = np.full(Y.shape[1], np.nan)
    for t in range(Y.shape[1]):
        known = ~np.isnan(Y[:, t])
        if len(np.unique(Y[known, t])) == 2:
            found[t] = score(Y[known, t].astype(int), proba[known, t])
    return found


def _held_out_auc(Y, proba, splits):
    """Mean over folds, a task: probabilities of two folds are of two models. NaN where unknown."""
    of_folds = [auc_of_tasks(Y[test], proba[test]) for _, test in splits]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing
        return np.nanmean(of_folds, axis=0)


def cost(y, p):
    """Log loss, of no probability that is quite 0 or 1."""
    return log_loss(y, np.clip(p, 1e-6, 1 - 1e-6), labels=[0, 1])


def hold_out(way, make, X, Y, splits):
    """The setting of the best mean AUC, and its held-out predictions, NaN of other samples."""
    best = (-np.inf, None, None)
    for to_fit, settings in way.candidates():
        proba = np.full((len(settings), *Y.shape), np.nan)
        for train, test in splits:
            model = make(**to_fit).fit(X[train], Y[train])
            for of_setting, setting in zip(proba, settings, strict=True):
                of_setting[test] = way.proba(model, X[test], setting)
        for of_setting, setting in zip(proba, settings, strict=True):
            auc = np.nanmean(_held_out_auc(Y, of_setting, splits))
            if auc > best[0]:
                best = auc, setting, of_setting
    return best[1], best[2]


def fit(way, data, seed, splits):
    """Predictions of one way, as arrays, and the setting that it was fitted with."""
    X_train, X_test, Y_train, _, _ = data

    def make(**setting):
        complete = not np.isnan(Y_train).any()
        return way.make(seed, Y_train.shape[1], complete, **setting)

    start = time.perf_counter()
    setting, found = {}, {}
    if not way.validates:
        setting, found["held_out"] = hold_out(way, make, X_train, Y_train, splits)
    validated = time.perf_counter()
    model = make(**setting).fit(X_train, Y_train)
    fitted = time.perf_counter()
    found["proba"] = way.proba(model, X_test, setting)
    end = time.perf_counter()
    if way.validates:
        found["predicted"] = model.predict(X_test)
    seconds = np.diff([start, validated, fitted, end])
    return setting, {"seconds": seconds, **found}


def scores(data, found, splits):
    """Mean scores over the tasks that count."""
    _, _, Y_train, Y_test, counted = data
    proba = found["proba"]
    held_out_scores = {"held_out_auc": np.nan, "held_out_f1": np.nan}
    if "held_out" in found:
        rows = ~np.isnan(found["held_out"]).any(axis=1)
        held_out, table = found["held_out"][rows], check_tasks(Y_train[rows])
        maps = learn_shares(held_out.astype(np.float32), table)
        scaled, held_out = (
            to_shares(p.astype(np.float32), maps, table.layout).astype(float)
            for p in (proba, held_out)
        )
        promised = expected_f1_thresholds(held_out, (table.codes >= 0).astype(float))
        thresholds = f1_thresholds(held_out, table.codes, neutral=promised)
        predicted = (scaled > thresholds).astype(int)
        held_out_f1 = _f1(Y_train[rows], (held_out > thresholds).astype(int))
        held_out_scores = {
            "held_out_auc": np.nanmean(_held_out_auc(Y_train, found["held_out"], splits)[counted]),
            "held_out_f1": np.nanmean(held_out_f1[counted]),
        }
    else:
        scaled, predicted = proba, found["predicted"]

    of_tasks = {
        "auc": auc_of_tasks(Y_test, proba),
        "ap": score_of_tasks(average_precision_score, Y_test, proba),
        "f1": _f1(Y_test, predicted),
        "f1_at_half": _f1(Y_test, (proba > 0.5).astype(int)),
        "log_loss": score_of_tasks(cost, Y_test, scaled),
    }
    means = {name: float(np.nanmean(values[counted])) for name, values in of_tasks.items()}
    validation, fitting, predicting = map(float, found["seconds"])
    return {
        **means,
        **held_out_scores,
        "fit_seconds": fitting,
        "predict_seconds": predicting,
        "validation_seconds": validation,
    }


def run(name, seed, args, done, write):
    wanted = [way for way in args.ways if (name, seed, way) not in done]
    if not wanted:
        return
    data = tables(name, args.data, seed)
    Y_train = data[2]
    cv = VALIDATION.get(name, N_FOLDS)
    splits = held_out_splits(cv, check_tasks(Y_train), seed, owner="this benchmark")
    for way in wanted:
        if np.isnan(Y_train).any() and not WAYS[way].incomplete:
            continue
        kept = args.keep and args.keep / f"{name}-{seed}-{re.sub(r'[^a-z]+', '-', way.lower())}.npz"
        if kept and kept.exists():
            with np.load(kept, allow_pickle=True) as file:
                found = dict(file)
            setting = found.pop("setting").item()
        else:
            setting, found = fit(WAYS[way], data, seed, splits)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(kept, setting=setting, **found)
        line = {"data": name, "seed": seed, "way": way, "tasks": int(data[4].sum())}
        write({**line, **scores(data, found, splits), "setting": setting})


# -- showing -----------------------------------------------------------------------------------


def with_interval(pair):
    """A mean difference and its interval, of which a single seed has none."""
    mean, width = pair
    return f"{mean:+.4f}" + (f" ± {width:.4f}" if np.isfinite(width) else "")


class Measured:
    """What the lines say, {seed: score} of a table, a way and a score."""

    def __init__(self, lines):
        self.names = [name for name in SETS if any(line["data"] == name for line in lines)]
        self.ways = [way for way in WAYS if any(line["way"] == way for line in lines)]
        self.of = {}
        for line in sorted(lines, key=lambda line: line["seed"]):
            self.of.setdefault((line["data"], line["way"]), {})[line["seed"]] = line

    def seeds(self, name, way, score):
        """Scores of a way, or of what stands for one, by seed."""
        if way == CHOSEN:
            chosen = self.chosen(name, score)
            return {seed: self.of[name, way][seed][score] for seed, way in chosen.items()}
        if way in (BEST_SINGLE, BEST_FOREST):
            best = self.best(name, self.singles(name) if way == BEST_SINGLE else FORESTS, score)
            return self.seeds(name, best, score) if best else {}
        lines = self.of.get((name, way), {})
        return {seed: line[score] for seed, line in lines.items() if line[score] is not None}

    def singles(self, name):
        return [way for way in self.ways if WAYS[way].single and (name, way) in self.of]

    def chosen(self, name, score):
        """The single way of the best held-out score, by seed: AUC, or F1 where it is F1."""
        by = "held_out_f1" if score == "f1" else "held_out_auc"
        held_out = {}
        for way in self.singles(name):
            for seed, value in self.seeds(name, way, by).items():
                held_out.setdefault(seed, {})[way] = value
        return {seed: max(of_seed, key=of_seed.get) for seed, of_seed in held_out.items()}

    def best(self, name, ways, score):
        """The way of the best mean test score, which favours it; of those with the most seeds."""
        of = {way: self.seeds(name, way, score) for way in ways if (name, way) in self.of}
        most = max(map(len, of.values()), default=0)
        sign = 1 if SCORES[score][2] else -1
        means = {way: sign * np.mean([*o.values()]) for way, o in of.items() if len(o) == most > 0}
        return max(means, key=means.get, default=None)

    def lags(self, name, score):
        """By how much each other way is better, {way: list}, over the seeds that both have."""
        of = {way: self.seeds(name, way, score) for way in self.ways if (name, way) in self.of}
        sign = 1 if SCORES[score][2] else -1
        return {
            way: [
                sign * np.mean([of[other][s] - of[way][s] for s in seeds])
                for other in of
                if other != way and (seeds := set(of[other]) & set(of[way]))
            ]
            for way in of
        }

    def difference(self, name, ours, theirs, score):
        """Mean and half width of the paired difference; None if there is none."""
        pair = [self.seeds(name, way, score) for way in (ours, theirs)]
        return interval(*pair) if set(pair[0]) & set(pair[1]) else None


def interval(ours, theirs):
    """Mean and half width of the 95 % interval of a paired difference over seeds."""
    seeds = sorted(set(ours) & set(theirs))
    difference = np.array([ours[s] - theirs[s] for s in seeds])
    found = paired_interval(difference, np.array(seeds), 0.0, "seeds")
    return found.difference, found.high - found.difference


def _header(first, columns):
    return [f"| {first} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]


def _cell(values, digits, spread=True):
    if not values:
        return ""
    values = list(values.values())
    shown = f"{np.mean(values):.{digits}f}"
    return shown + (f" ± {np.std(values, ddof=1):.3f}" if spread and len(values) > 1 else "")


def score_table(measured, score):
    """Markdown: a row a way, a column a table, then mean rank and worst regret."""
    label, digits, _ = SCORES[score]
    seconds = score.endswith("seconds")
    n_seeds = {
        name: sorted(
            {len(measured.of[name, way]) for way in measured.ways if (name, way) in measured.of}
        )
        for name in measured.names
    }
    names = [
        f"{name} ({'-'.join(map(str, dict.fromkeys((n[0], n[-1]))))})"
        for name, n in n_seeds.items()
    ]
    rows = _header(label, names + ([] if seconds else ["mean rank", "worst regret"]))
    ranks, regrets = {}, {}
    for name in measured.names:
        for way, lags in measured.lags(name, score).items():
            ranks.setdefault(way, []).append(1 + sum(lag > 0 for lag in lags))
            regrets.setdefault(way, []).append(max([0.0, *lags]))
    for way in measured.ways:
        cells = [
            _cell(measured.seeds(name, way, score), digits, not seconds) for name in measured.names
        ]
        if not seconds and way in ranks:
            few = f" ({len(ranks[way])})" if len(ranks[way]) < len(measured.names) else ""
            cells += [f"{np.mean(ranks[way]):.1f}{few}", f"{max(regrets[way]):.3f}{few}"]
        elif not seconds:
            cells += ["", ""]
        rows.append(f"| {way} | {' | '.join(cells)} |")
    if not seconds:
        for stands_for in (CHOSEN, BEST_SINGLE):
            cells = []
            for name in measured.names:
                if stands_for == CHOSEN:
                    which = Counter(measured.chosen(name, score).values()).most_common()
                    which = ", ".join(f"{way} {n}" for way, n in which)
                else:
                    which = measured.best(name, measured.singles(name), score)
                cell = _cell(measured.seeds(name, stands_for, score), digits)
                cells.append(f"{cell} ({which})" if cell else "")
            rows.append(f"| *{stands_for}* | {' | '.join(cells)} | | |")
    return "\n".join(rows)


def targets(measured):
    """Markdown: paired differences, and on how many tables they are above 0."""
    rows = _header("less", [*measured.names, "better", "clearly better", "clearly worse"])
    for ours, theirs, score in TARGETS:
        found = [measured.difference(name, ours, theirs, score) for name in measured.names]
        if not any(found):
            continue
        sign = 1 if SCORES[score][2] else -1
        there = np.array([pair for pair in found if pair])
        low, high = there[:, 0] - there[:, 1], there[:, 0] + there[:, 1]
        better = sign * there[:, 0] > 0
        clear = better & (np.where(sign > 0, low, -high) > 0)
        below = ~better & (np.where(sign > 0, -high, low) > 0)
        cells = [with_interval(pair) if pair else "" for pair in found]
        cells += [f"{better.sum()} of {len(there)}", f"{clear.sum()}", f"{below.sum()}"]
        label = SCORES[score][0].partition(",")[0]
        rows.append(f"| {label}: {ours} less {theirs} | {' | '.join(cells)} |")
    return "\n".join(rows)


def show(lines):
    measured = Measured(lines)
    parts = [score_table(measured, score) for score in SCORES]
    note = (
        "Mean ± standard deviation over seeds; in parentheses behind a table how many seeds its "
        "ways have (the costly ones of large tables fewer), behind a rank on how many tables it "
        "is. Two ways are compared over the seeds that both have; regret is what the best other "
        "way is better by, on the worst table. Differences are paired over seeds, with 95 % "
        "intervals."
    )
    return "\n\n".join([note, *parts, targets(measured)])


def draw(lines, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    measured = Measured(lines)
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.5 * len(measured.names) + 2), sharey=True)
    for ax, score in zip(axes, ("auc", "f1"), strict=True):
        for k, ours in enumerate((PORTFOLIO, NET, BEST_FOREST)):
            drawn = [
                (row, *pair)
                for row, name in enumerate(measured.names)
                if (pair := measured.difference(name, ours, CHOSEN, score))
            ]
            if not drawn:
                continue
            rows, means, widths = np.array(drawn).T
            color = f"C{k}" if ours != BEST_FOREST else "0.6"
            options = {"fmt": "os^"[k], "color": color, "capsize": 3, "label": ours}
            widths = np.nan_to_num(widths)
            ax.errorbar(means, rows + 0.2 * (k - 1), xerr=widths, **options)
        ax.axvline(0, color="gray", lw=1)
        ax.set_yticks(range(len(measured.names)), measured.names)
        ax.set_xlabel(f"test {SCORES[score][0]}, difference")
        ax.locator_params(axis="x", nbins=6)
    axes[0].invert_yaxis()
    labels = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(labels.values(), labels, loc="lower center", ncols=3, frameon=False)
    figure.suptitle("Beside the single way that validation chooses (95 % intervals over seeds)")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the data files")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--n-seeds", type=int, default=3)
    parser.add_argument("--seeds", nargs="*", type=int, help="these, instead of the first so many")
    parser.add_argument("--keep", type=Path, help="folder for predictions")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    seeds = range(args.n_seeds) if args.seeds is None else args.seeds
    if seeds and args.data is None:
        parser.error("--data is needed to measure anything; --n-seeds 0 prints the results")
    lacking = {WAYS[way].library for way in args.ways if WAYS[way].missing} if seeds else ()
    if lacking:
        parser.error(
            f"not installed: {', '.join(sorted(lacking))}, which the extra `benchmarks` brings: "
            'pip install -e ".[benchmarks]". Or choose other --ways.'
        )
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "evidence")
    for seed in seeds:
        for name in args.sets:
            done = {(line["data"], line["seed"], line["way"]) for line in file.read()}
            with threadpool_limits(1):
                run(name, seed, args, done, file.append)
    lines = file.read()
    print(show(lines))
    if args.picture:
        draw(lines, args.picture)


if __name__ == "__main__":
    main()
