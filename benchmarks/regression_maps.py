"""Which confidence makes data maps of regression tasks find groups, alone and beside classes?

    python -m benchmarks.regression_maps
    python -m benchmarks.regression_maps --net default --n-seeds 3

Three planted groups of four tasks, of 500 samples of 16 features. "features": the tasks of a group
are random functions of the same five features, one they share and, half as large, one of their
own, with noise of each its own. "samples": each task is linear in features of its own, and those of
a group are noisy on the same two of five samples. Signs are random. Three tables hold them: the
numbers, the same cut into two classes each (35 to 65 % in the first), and every second task cut.

Printed is the adjusted Rand index of `FuzzyKMeans(3)` on the data maps to the planted groups, mean
and standard deviation over seeds: of the table of classes, of the table of numbers by each way to
tell a confidence from the number y and the prediction p (both in standard deviations of the task),
and of the mixed table as the maps were recorded, with maps of regression tasks shifted to the mean
of the others, and shifted and scaled, as `TaskGrouper` does; in parentheses how much the clusters
are kinds. Further lines are affinities, as they are and without signs.
"""

import argparse
import warnings

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch.special import erfc, ndtr

from skgroup import FuzzyKMeans, MultiTaskNet
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity, LabelCorrelationAffinity
from skgroup.relations._comparable import comparable_maps
from skgroup.tasks import KINDS, OutputLayout, Regression
from skgroup.training.data_map import DataMapRecorder
from skgroup.training.engine import build_net, check_data, train_net

N_SAMPLES, N_FEATURES, N_GROUPS, N_EACH = 500, 16, 3, 4
GROUPS = np.repeat(np.arange(N_GROUPS), N_EACH)
TABLES = ("classes", "numbers", "mixed")


def mean_probability(p, y):
    """Of the right side of a threshold, over thresholds as the numbers are spread, of a belief
    that is spread by 1 around p. Not 1 where p is right."""
    thresholds = torch.special.ndtri((torch.arange(20) + 0.5) / 20)
    above = ndtr(p[..., None] - thresholds)
    return torch.where(y[..., None] > thresholds, above, 1 - above).mean(-1)


def outside(F, power, scale=1.0):
    """The chance that so many numbers drawn from F all lie outside of prediction and truth."""
    return lambda p, y: (1 - (F(p / scale) - F(y / scale)).abs()) ** power


def logistic(z):
    """The distribution function of standard deviation 1."""
    return torch.sigmoid(z * np.pi / 3**0.5)


def cauchy(z):
    return torch.atan(z) / np.pi


CONFIDENCES = {
    "exp(-abs(r)), r = y - p": lambda p, y: torch.exp(-(p - y).abs()),
    "exp(-r²/2)": lambda p, y: torch.exp(-((p - y) ** 2) / 2),
    "1 / (1 + r²)": lambda p, y: 1 / (1 + (p - y) ** 2),
    "2 (1 - Φ(abs(r)))": lambda p, y: erfc((p - y).abs() / 2**0.5),
    "Φ(p - y), as TRIAGE": lambda p, y: ndtr(p - y),
    "1 - abs(F(p) - F(y)), F = Φ": outside(ndtr, 1),
    "the same, cubed": outside(ndtr, 3),
    "F normal, of half the spread, cubed": outside(ndtr, 3, 0.5),
    "F Cauchy, of half the spread, cubed": outside(cauchy, 3, 0.5),
    "F logistic, of half the spread, cubed (ours)": Regression().confidence,
    "mean probability of sides": mean_probability,
}


class Recorder(DataMapRecorder):
    """A recorder of data maps with another confidence of regression tasks."""

    def __init__(self, confidence, max_epochs):
        epochs = frozenset(round((i + 1) * max_epochs / 5) for i in range(5))
        super().__init__(epochs, self._keep)
        self.kind, self.maps = Regression(), []
        self.kind.confidence = confidence

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        layout, kinds = net._layout, {**KINDS, "regression": self.kind}
        layout = OutputLayout(layout.task_outputs, layout.task_types, kinds=kinds)
        self.begin(layout, X.target["codes"], X.target.get("values"))

    def _keep(self, epoch, mean, std):
        self.maps.append(torch.stack([mean.T, std.T], dim=-1).numpy())


def smooth(rng, X):
    """A random function of some features."""
    weights, bias, out = rng.normal(size=(X.shape[1], 8)), rng.normal(size=8), rng.normal(size=8)
    y = np.tanh(X @ weights + bias) @ out
    return y / y.std()


def planted(how, noise, seed):
    """X, the numbers and the classes of all tasks."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES)).astype(np.float32)
    tasks = []
    for g in range(N_GROUPS):
        own = X[:, 5 * g : 5 * g + 5]
        common, hard = smooth(rng, own), rng.random(N_SAMPLES) < 0.4
        for _ in range(N_EACH):
            if how == "features":
                y, spread = common + smooth(rng, own) / 2, noise
            else:
                some = rng.choice(N_FEATURES, 5, replace=False)
                y, spread = X[:, some] @ rng.normal(size=5), np.where(hard, 6 * noise, noise / 4)
            y = y / y.std() + spread * rng.normal(size=N_SAMPLES)
            tasks.append(rng.choice([-1, 1]) * y)
    numbers = np.column_stack(tasks)
    cuts = [np.quantile(y, rng.uniform(0.35, 0.65)) for y in tasks]
    return X, numbers, (numbers > cuts).astype(float)


def table_of(kind, numbers, classes, skewed):
    """The task table, and which of its tasks are regression tasks."""
    if skewed:
        numbers = np.exp(numbers / numbers.std(axis=0))
    is_number = {"classes": [False], "numbers": [True], "mixed": [True, False]}[kind]
    is_number = np.resize(is_number, len(GROUPS))
    units = np.geomspace(0.01, 100, len(GROUPS))
    return np.where(is_number, numbers * units + 7, classes), is_number


def shifted(maps, is_number):
    maps = maps.copy()
    difference = maps[~is_number].mean((0, 2)) - maps[is_number].mean((0, 2))
    maps[is_number] += difference[None, :, None]
    return maps


ALIGNMENTS = {
    "as recorded": lambda maps, is_number: maps,
    "shifted": shifted,
    "shifted and scaled": lambda maps, is_number: comparable_maps(maps, is_number, ~is_number),
}


def clusters(rows, is_number, seed):
    """How much the clusters of the rows are the planted groups, and how much kinds."""
    labels = FuzzyKMeans(N_GROUPS, random_state=seed).fit(rows.reshape(len(rows), -1)).labels_
    return adjusted_rand_score(GROUPS, labels), adjusted_rand_score(is_number, labels)


def measure(make_net, how, noise, seed, *, skewed=False, affinities=False):
    """{(way, table, alignment): (index to the groups, index to the kinds)}."""
    X, numbers, classes = planted(how, noise, seed)
    found = {}
    for kind in TABLES:
        table, is_number = table_of(kind, numbers, classes, skewed)
        net = make_net(random_state=seed)
        data = check_data(net, X, table)
        build_net(net, data, seed)
        recorders = {name: Recorder(f, net.max_epochs) for name, f in CONFIDENCES.items()}
        train_net(net, data, list(recorders.values()))
        for name, recorder in recorders.items():
            maps = np.stack(recorder.maps, axis=1)
            for alignment, align in ALIGNMENTS.items() if kind == "mixed" else [("", None)]:
                rows = maps if align is None else align(maps, is_number)
                found[name, kind, alignment] = clusters(rows, is_number, seed)
        relations = [GradientCosineAffinity, InterTaskAffinity, LabelCorrelationAffinity]
        for make in relations if affinities else []:
            relation = make()
            if make is not LabelCorrelationAffinity:
                relation.set_params(estimator=make_net(), random_state=seed)
            affinity = relation.fit_transform(X, table)
            for name, rows in (("", affinity), (", no signs", np.abs(affinity))):
                found[make.__name__ + name, kind, ""] = clusters(rows, is_number, seed)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=["stg_mtl", "default"], default="stg_mtl")
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.5, 1.0])
    parser.add_argument("--skewed", action="store_true", help="the numbers' exponentials")
    parser.add_argument("--affinities", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(args.first_seed, args.first_seed + args.n_seeds)
    make_net = MultiTaskNet if args.net == "default" else MultiTaskNet.stg_mtl

    for how in ("features", "samples"):
        for noise in args.noise:
            options = {"skewed": args.skewed, "affinities": args.affinities}
            runs = [measure(make_net, how, noise, seed, **options) for seed in seeds]
            of = {key: np.array([run[key] for run in runs]) for key in runs[0]}

            def cell(*key, kinds=True, of=of):
                mean, kind = of[key].mean(axis=0)
                spread = of[key][:, 0].std()
                return f"{mean:.2f} ± {spread:.2f}" + (f" ({kind:.2f})" if kinds else "")

            first = next(iter(CONFIDENCES))
            print(
                f"\n**{how}, noise {noise}**: classes {cell(first, 'classes', '', kinds=False)}\n"
            )
            titles = [f"mixed, {alignment}" for alignment in ALIGNMENTS]
            print(f"| | numbers | {' | '.join(titles)} |\n|{'---|' * (2 + len(titles))}")
            for name in CONFIDENCES:
                cells = [cell(name, "numbers", "", kinds=False)]
                cells += [cell(name, "mixed", alignment) for alignment in ALIGNMENTS]
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
            for name in dict.fromkeys(name for name, *_ in of if name not in CONFIDENCES):
                cells = [f"{t} {cell(name, t, '', kinds=t == 'mixed')}" for t in TABLES]
                print(f"\n{name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
