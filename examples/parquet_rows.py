"""Rows of a Parquet file that need not fit into memory: data maps, groups, predictions to a file.

    python examples/parquet_rows.py                         # a file of 20,000 rows is made up
    python examples/parquet_rows.py --path mine.parquet --tasks churn,upsell

Claim: a few row groups are in memory at a time. Training shuffles the row groups, and the rows of
some of them among each other (`iterator_train__block_size`), so that each row group is read once an
epoch; `predict(..., out=...)` writes to a file. Features are all columns that are no tasks.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.inspection import MembershipDisplay
from skgroup.nn import MLP


class ParquetRows(Dataset):
    """Samples `(x, labels)` by their number; the row groups that were read last are kept."""

    def __init__(self, path, tasks, n_kept=9):
        self.path, self.tasks, self.n_kept = path, list(tasks), n_kept
        file = pq.ParquetFile(path)
        self.features = [name for name in file.schema_arrow.names if name not in self.tasks]
        groups = range(file.num_row_groups)
        sizes = [file.metadata.row_group(i).num_rows for i in groups]
        self.starts = np.cumsum([0, *sizes])
        self.row_group_size = max(sizes)
        self.n_read = 0
        self.kept = OrderedDict()

    def __getstate__(self):  # for processes, which read for themselves
        return {**vars(self), "kept": OrderedDict()}

    def __len__(self):
        return int(self.starts[-1])

    def __getitem__(self, i):
        return self.__getitems__([i])[0]

    def __getitems__(self, index):
        """Many samples at once, as torch's DataLoader asks for a batch."""
        index = np.asarray(index)
        x = np.empty((len(index), len(self.features)), dtype=np.float32)
        labels = np.empty((len(index), len(self.tasks)), dtype=np.float32)
        group_of = np.searchsorted(self.starts, index, side="right") - 1
        for group in np.unique(group_of):
            here = group_of == group
            rows = index[here] - self.starts[group]
            for values, of_group in zip((x, labels), self.read(int(group)), strict=True):
                values[here] = of_group[rows]
        return list(zip(torch.from_numpy(x), torch.from_numpy(labels), strict=True))

    def read(self, group):
        """Features and labels (NaN where missing) of a row group, in float32."""
        if group not in self.kept:
            table = pq.ParquetFile(self.path).read_row_group(group)
            self.n_read += 1
            self.kept[group] = [
                np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32)
                for names in (self.features, self.tasks)
            ]
        self.kept.move_to_end(group)
        while len(self.kept) > self.n_kept:
            self.kept.popitem(last=False)
        return self.kept[group]


def make_up(path, n_rows, row_group_size, n_features, n_tasks=6):
    """A Parquet file, written one row group after another."""
    rng = np.random.default_rng(0)
    tasks = [f"task{t}" for t in range(n_tasks)]
    names = [*(f"x{i}" for i in range(n_features)), *tasks]
    weights = rng.normal(size=(n_features, 2))[:, np.arange(n_tasks) % 2]  # two kinds of tasks
    weights += 0.5 * rng.normal(size=weights.shape)
    fields = [(name, pa.int8() if name in tasks else pa.float32()) for name in names]
    with pq.ParquetWriter(path, pa.schema(fields)) as writer:
        for start in range(0, n_rows, row_group_size):
            x = rng.normal(size=(min(row_group_size, n_rows - start), n_features))
            y = x @ weights + rng.normal(size=(len(x), n_tasks)) > 0
            columns = [*x.astype(np.float32).T, *y.astype(np.int8).T]
            writer.write_table(pa.table(columns, schema=writer.schema))
    return tasks


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--path", type=Path, help="a Parquet file of numbers")
parser.add_argument("--tasks", help="its columns that are tasks: a,b,c")
parser.add_argument("--n-rows", type=int, default=20_000)
parser.add_argument("--n-features", type=int, default=20)
parser.add_argument("--row-group-size", type=int, default=1_000)
parser.add_argument("--max-epochs", type=int, default=3)
parser.add_argument("--hidden-units", type=int, help="of a plain net in place of the default one")
parser.add_argument("--plot", type=Path, default=Path("parquet_rows.png"))
args = parser.parse_args()

path = args.path or Path("rows.parquet")
tasks = args.tasks.split(",") if args.tasks else []
if args.path is None:
    tasks = make_up(path, args.n_rows, args.row_group_size, args.n_features)
X = ParquetRows(path, tasks)
Y = pq.read_table(path, columns=tasks).to_pandas()  # of these columns alone, with their names

net = MultiTaskNet(max_epochs=args.max_epochs, iterator_train__block_size=X.row_group_size)
if args.hidden_units:
    net.set_params(module=MLP, module__hidden_units=(args.hidden_units,))
clf = GroupedMTLClassifier(net, n_groups=2, random_state=0, verbose=1).fit(X, Y)
epochs = args.max_epochs * (1 + len(clf.specialists_))
n_groups = len(X.starts) - 1
print(f"{len(X):,} rows in {n_groups} row groups, each read {X.n_read / n_groups:.1f} times in")
print(f"{epochs} epochs, the checks and the quantiles of input_scaling")

proba = clf.predict_proba(X, out="proba.npy")  # mapped into memory, not read
print(f"proba.npy: {proba.shape} of {proba.dtype}")
MembershipDisplay.from_estimator(clf).figure_.savefig(args.plot)
plt.close("all")
print(args.plot)
