"""Inputs: checked once, kept as they are, cut into batches without touching single samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_array
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from skgroup._compat import _safe_indexing, validate_data
from skgroup.training._random import local_seed

__all__ = [
    "BatchLoader",
    "TaskDataset",
    "as_float",
    "check_inputs",
    "labels_of",
    "n_samples_of",
    "shape_of",
    "take_samples",
]


def check_inputs(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Check `X` and bring it into the form that batches are cut from.

    Floats become a float32 tensor (shared memory where they are float32 already), ints, bools
    and uint8 images a tensor of their own type, sparse matrices CSR; a dict of arrays becomes a
    dict of tensors. A torch Dataset is left alone.

    Parameters
    ----------
    estimator : estimator
        Gets `n_features_in_` (and `feature_names_in_`) if `reset`; is compared with them if not.
    X : array-like, tensor, sparse matrix, DataFrame, dict of arrays or torch Dataset
    reset : bool

    Returns
    -------
    X : Tensor, sparse CSR matrix, dict of Tensor or Dataset

    Raises
    ------
    ValueError
        If `X` holds NaN or infinity, is not numeric, is empty, or does not fit what was fitted.
    """
    if isinstance(X, Dataset):
        if isinstance(X, IterableDataset):
            raise TypeError("X must not be an IterableDataset: samples are drawn by their index.")
        _check_shape(estimator, shape_of(X), reset=reset)
        return X
    if isinstance(X, Mapping) and not sparse.issparse(X):  # SciPy's DOK arrays are dicts
        _check_shape(estimator, None, reset=reset)
        return {
            key: _to_tensor(check_array(value, ensure_2d=False, **_rules(value)))
            for key, value in X.items()
        }
    if isinstance(X, Tensor) and X.dtype == torch.bfloat16:
        X = X.float()
    if isinstance(X, Tensor):
        X = X.detach().cpu().numpy()
    try:
        X = validate_data(estimator, X, reset=reset, accept_sparse="csr", **_rules(X))
    except ValueError as error:
        if not str(error).startswith("Input X contains NaN."):
            raise
        # scikit-learn goes on with advice to take its trees instead.
        raise ValueError(
            "Input X contains NaN. Nets need every value of X: fill missing ones in before, e.g. "
            "with sklearn.impute.SimpleImputer. Only labels (Y) may be missing."
        ) from None
    _check_shape(estimator, tuple(X.shape[1:]), reset=reset)
    return X if sparse.issparse(X) else _to_tensor(X)


def _check_shape(estimator: Any, shape: tuple[int, ...] | None, *, reset: bool) -> None:
    """Remember the shape of one sample, or compare it; None where there is no such shape."""
    if reset:
        estimator.input_shape_ = shape
        for name in ("n_features_in_", "feature_names_in_") if shape is None else ():
            if hasattr(estimator, name):
                delattr(estimator, name)
        if shape:
            estimator.n_features_in_ = shape[0]
    elif None not in (shape, estimator.input_shape_) and shape != estimator.input_shape_:
        raise ValueError(
            f"X has samples of shape {shape}, but {type(estimator).__name__} was fitted on samples "
            f"of shape {estimator.input_shape_}."
        )


def _rules(X: Any) -> dict[str, Any]:
    """How scikit-learn should check an array: whole numbers keep their type until the batch."""
    kind = getattr(getattr(X, "dtype", None), "kind", "f")
    return {"dtype": None if kind in "iub" else np.float32, "allow_nd": True}


def _to_tensor(X: np.ndarray) -> Tensor:
    if any(s < 0 for s in X.strides) or X.dtype.byteorder not in "=|":
        X = np.ascontiguousarray(X, dtype=X.dtype.newbyteorder("="))
    if X.dtype.kind == "u" and X.dtype.itemsize > 1:
        X = X.astype(np.int64)  # torch indexes few operations of wider unsigned types
    if not X.flags.writeable:
        # torch warns of read-only memory (memory maps of joblib), which nothing here writes to.
        interface = dict(X.__array_interface__, data=(X.__array_interface__["data"][0], False))
        holder = type("_Memory", (), {"__array_interface__": interface, "owner": X})()
        X = np.asarray(holder)
    return torch.from_numpy(X)


def n_samples_of(X: Any) -> int:
    """Number of samples of checked inputs."""
    if isinstance(X, Mapping):
        lengths = {len(value) for value in X.values()}
        if len(lengths) != 1:
            raise ValueError(f"The arrays of X differ in length: {sorted(lengths)}.")
        return lengths.pop()
    return X.shape[0] if sparse.issparse(X) else len(X)


def take_samples(X: Any, samples: np.ndarray) -> Any:
    """Some samples of inputs, checked or not: a Subset of a Dataset, a copy of anything else."""
    if isinstance(X, Dataset):
        return Subset(X, samples.tolist())
    if isinstance(X, Mapping) and not sparse.issparse(X):
        return {key: take_samples(value, samples) for key, value in X.items()}
    if isinstance(X, Tensor):
        return X[torch.from_numpy(samples)]
    return _safe_indexing(X, samples)


def shape_of(X: Any) -> tuple[int, ...] | None:
    """Shape of one sample, where it is one array."""
    if isinstance(X, Mapping):
        return None
    if not isinstance(X, Dataset):
        return tuple(X.shape[1:])
    with local_seed(0):  # a sample may be drawn at random (augmented)
        x = X[0]
    x = x[0] if isinstance(x, tuple | list) else x
    return tuple(x.shape) if hasattr(x, "shape") else None


def labels_of(dataset: Any) -> np.ndarray:
    """Labels (n_samples, n_tasks) or (n_samples,) of a torch Dataset that yields `(x, labels)`."""
    with local_seed(0):
        labels = [dataset[i][1] for i in range(len(dataset))]
    labels = [label.numpy(force=True) if isinstance(label, Tensor) else label for label in labels]
    typed = all(hasattr(label, "dtype") for label in labels)
    return np.stack([np.asarray(label, dtype=None if typed else object) for label in labels])


def as_float(x: Any, *, keep_ints: bool = False) -> Any:
    """A batch as the module takes it: float32 (ints inside a dict or list stay, they may be
    indices of an embedding)."""
    if isinstance(x, Mapping):
        return {key: as_float(value, keep_ints=True) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(as_float(value, keep_ints=True) for value in x)
    if keep_ints and not x.is_floating_point() and x.dtype is not torch.uint8:
        return x
    return x.to(torch.float32)


class TaskDataset(Dataset):
    """Inputs and targets as a torch Dataset; an item is `(x, target)`.

    Indexed with one int it yields a sample, as a torch DataLoader wants it; `batch` yields many
    samples by one indexing operation.

    Parameters
    ----------
    X : Tensor, sparse CSR matrix, dict of Tensor or Dataset
        Checked inputs. Of a Dataset's items `(x, y)` only `x` is taken.
    target : dict of Tensor, default=None
        Each of shape (n_samples, ...).
    """

    def __init__(self, X: Any, y: dict[str, Tensor] | None = None) -> None:
        self.X = X
        self.target = y or {}

    def __len__(self) -> int:
        return n_samples_of(self.X)

    @property
    def in_memory(self) -> bool:
        """Whether many samples can be had by one indexing operation."""
        return not isinstance(self.X, Dataset)

    def __getitem__(self, i: Any) -> tuple[Any, Any]:
        i = int(i)
        target = {key: value[i] for key, value in self.target.items()} or 0
        if isinstance(self.X, Dataset):
            item = self.X[i]
            return (item[0] if isinstance(item, tuple | list) else item), target
        x = _take(self.X, slice(i, i + 1))
        return ({k: v[0] for k, v in x.items()} if isinstance(x, dict) else x[0]), target

    def batch(self, index: Tensor | slice) -> tuple[Any, Any]:
        """Samples `index`, and their targets."""
        target: Any = {key: value[index] for key, value in self.target.items()}
        return _take(self.X, index), target or 0


def _take(X: Any, index: Tensor | slice) -> Any:
    if isinstance(X, Mapping):
        return {key: _take(value, index) for key, value in X.items()}
    if sparse.issparse(X):
        rows = X[index if isinstance(index, slice) else index.numpy()]
        return torch.from_numpy(rows.toarray())
    # A slice is a view of what may be the caller's memory, and a module may work in place.
    return X[index].clone() if isinstance(index, slice) else X[index]


class BatchLoader:
    """Batches of data in memory: one indexing operation each, no collation of samples.

    Takes the place of torch's DataLoader; data that is not in memory, and options that are
    not named here (workers, samplers, ...), are given to a DataLoader.

    Parameters
    ----------
    dataset : TaskDataset, or Subset of one, or any torch Dataset
    batch_size : int, default=1
    shuffle : bool, default=False
        Draw a new order for each pass.
    drop_last : bool, default=False
        Leave out a last batch of fewer samples.
    generator : torch.Generator, default=None
        Draws the order; torch's global one if None.
    **options
        Further options of torch's DataLoader.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.generator = generator
        base: Any = dataset
        index: Tensor | None = None
        while isinstance(base, Subset):
            outer = torch.as_tensor(np.asarray(base.indices))
            index = outer if index is None else outer[index]
            base = base.dataset
        self.base, self.index = base, index
        self.loader = None
        if options or not getattr(base, "in_memory", False):
            self.loader = DataLoader(
                dataset,
                batch_size=batch_size,
                shuffle=shuffle,
                drop_last=drop_last,
                generator=generator,
                **options,
            )
        self.n_samples = len(dataset)  # type: ignore[arg-type]

    def __len__(self) -> int:
        n, size = self.n_samples, self.batch_size
        return n // size if self.drop_last else -(-n // size)

    def __iter__(self) -> Iterator[Any]:
        if self.loader is not None:
            yield from self.loader
            return
        order = self.order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            stop = start + self.batch_size
            yield self.base.batch(slice(start, stop) if order is None else order[start:stop])

    def order(self) -> Tensor | None:
        """The order of one pass over the samples; None where it is the stored one."""
        if not self.shuffle:
            return self.index
        order = torch.randperm(self.n_samples, generator=self.generator)
        return order if self.index is None else self.index[order]
