"""Inputs: checked once, kept as they are, cut into batches without touching single samples."""

from __future__ import annotations

import copy
import math
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array, gen_batches
from skorch.helper import SliceDataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, Subset

from skgroup._compat import _safe_indexing, argument_named, validate_data
from skgroup._random import local_seed

__all__ = [
    "BatchLoader",
    "SampleTransform",
    "TaskDataset",
    "as_arrays",
    "as_float",
    "as_tensors",
    "as_workers_find_it",
    "check_inputs",
    "has_missing",
    "labels_of",
    "largest_sample",
    "mapped_file",
    "n_samples_of",
    "piece_of",
    "refuse_missing",
    "shape_of",
    "take_samples",
]

#: Numbers that are looked at at a time.
_AT_A_TIME = 2**22
#: Bytes by which a file is told from another.
_N_COMPARED = 256


def check_inputs(estimator: Any, X: Any, *, reset: bool, missing: bool = True) -> Any:
    """Check `X` and bring it into the form that batches are cut from.

    Floats become a float32 tensor (shared memory where they are float32 already), ints, bools
    and uint8 images a tensor of their own type, sparse matrices CSR; a dict of arrays becomes a
    dict of tensors. A memory-mapped array stays in its file: it is read some rows at a time, and
    floats of another width become float32 in the batch. A torch Dataset is left alone; if it has a
    method `check_samples`, this is called with the indices that a Subset takes of it (None: all),
    to raise what is wrong.

    Parameters
    ----------
    estimator : estimator
        Gets `n_features_in_` (and `feature_names_in_`) if `reset`; is compared with them if not.
    X : array-like, tensor, sparse matrix, DataFrame, dict of arrays or torch Dataset
    reset : bool
    missing : bool, default=True
        Whether NaN may stand for a missing value in samples that are vectors of floats.

    Returns
    -------
    X : Tensor, sparse CSR matrix, dict of Tensor or Dataset

    Raises
    ------
    ValueError
        If `X` holds infinity, or NaN where it may not, is not numeric, is empty, or does not fit
        what was fitted; if `reset`, also if a transform of the estimator's iterators cannot take
        its samples.
    """
    X = _check_inputs(estimator, X, reset=reset)
    if not missing:
        refuse_missing(X)
    if reset:
        _try_transforms(estimator, X)
    return X


def has_missing(X: Any) -> bool:
    """Whether checked inputs hold NaN; a Dataset is not looked at."""
    if isinstance(X, Tensor):
        return X.is_floating_point() and any(bool(part.isnan().any()) for part in _parts(X))
    return sparse.issparse(X) and X.dtype.kind == "f" and bool(np.isnan(X.data).any())


def refuse_missing(X: Any) -> None:
    """Raise ValueError if checked inputs hold NaN."""
    if has_missing(X):
        raise ValueError(
            "Input X contains NaN. Nets take missing values where samples are vectors, with "
            "input_scaling='robust' alone: set it, or fill them in before, e.g. with "
            "sklearn.impute.SimpleImputer."
        )


class _Sliced(Dataset):
    """skorch's SliceDataset as a torch Dataset."""

    def __init__(self, slices: SliceDataset) -> None:
        self.slices = slices

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, i: int) -> Any:
        return self.slices[int(i)]

    def check_samples(self, samples: Any = None) -> None:
        whole = Subset(self.slices.dataset, self.slices.indices_)
        _check_samples(whole if samples is None else Subset(whole, samples))


def _check_inputs(estimator: Any, X: Any, *, reset: bool) -> Any:
    if isinstance(X, SliceDataset):
        X = _Sliced(X)
    if X is None or (isinstance(X, Mapping) and not sparse.issparse(X) and not X):
        raise ValueError(f"X must hold an array. Got {X!r}.")
    if isinstance(X, Dataset):
        if isinstance(X, IterableDataset):
            raise TypeError("X must not be an IterableDataset: samples are drawn by their index.")
        _check_samples(X)
        _check_shape(estimator, shape_of(X), reset=reset)
        return X
    if isinstance(X, Mapping) and not sparse.issparse(X):  # SciPy's DOK arrays are dicts
        _check_shape(estimator, None, reset=reset)
        return {key: _to_tensor(_check_value(value)) for key, value in X.items()}
    if isinstance(X, Tensor) and X.dtype == torch.bfloat16:
        X = X.float()
    if isinstance(X, Tensor):
        if X.layout != torch.strided:
            raise TypeError(
                "X must be a dense tensor, or a sparse matrix of SciPy. Got a tensor of the layout "
                f"{X.layout}: call to_dense() first."
            )
        try:
            X = X.detach().cpu().numpy()
        except (TypeError, NotImplementedError, RuntimeError) as error:  # quantized, meta, nested
            raise TypeError(f"X must be a tensor that NumPy can hold: {error}") from error
    rules = {"ensure_all_finite": "allow-nan", "accept_sparse": "csr", **_rules(X)}
    in_file = _stays_in_file(X)
    X = validate_data(estimator, X, reset=reset, **rules)
    if in_file:
        _check_parts(X, ensure_all_finite="allow-nan", estimator=estimator)
    _check_shape(estimator, tuple(X.shape[1:]), reset=reset)
    X = X if sparse.issparse(X) else _to_tensor(X)
    if X.ndim != 2:
        refuse_missing(X)
    return X


def _check_samples(X: Any) -> None:
    """Let a Dataset that can look at its samples do so, those of a subset too."""
    samples = None
    while isinstance(X, Subset):
        inner = np.asarray(X.indices, dtype=np.intp)
        samples = inner if samples is None else inner[samples]
        X = X.dataset
    check = getattr(X, "check_samples", None)
    if callable(check):
        with local_seed(0):  # a sample may be drawn at random (augmented)
            check(samples)


def _try_transforms(estimator: Any, X: Any) -> None:
    """Transform a sample, so that a wrong transform shows before any training."""
    for iterator in ("iterator_train", "iterator_valid"):
        name = f"{iterator}__transform"
        kind = getattr(estimator, iterator, None)
        transform = getattr(estimator, name, None)
        if transform is None or not (isinstance(kind, type) and issubclass(kind, BatchLoader)):
            continue
        with local_seed(0):
            SampleTransform(transform, name)(copy.deepcopy(TaskDataset(X)[0][0]))


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
    if _stays_in_file(X):
        return {"dtype": None, "allow_nd": True, "ensure_all_finite": False}
    kind = getattr(getattr(X, "dtype", None), "kind", "f")
    return {"dtype": None if kind in "iub" else np.float32, "allow_nd": True}


def _stays_in_file(X: Any) -> bool:
    """Whether an array is memory-mapped, of floats that torch can read where they are."""
    if mapped_file(X) is None or not _torch_reads(X):
        return False
    return X.dtype in (np.float16, np.float32, np.float64)


def _torch_reads(X: NDArray) -> bool:
    """Whether a tensor can have the memory of an array; not of fields of other sizes, reversed."""
    size = X.dtype.itemsize
    return X.dtype.byteorder in "=|" and all(s >= 0 and s % size == 0 for s in X.strides)


def mapped_file(X: Any) -> np.memmap | None:
    """What maps the file that an array, or a view of one, lies in; None of arrays in memory."""
    while isinstance(X, np.ndarray) and not isinstance(X.base, mmap.mmap):
        X = X.base
    return X if isinstance(X, np.memmap) else None


def as_workers_find_it(X: NDArray) -> NDArray:
    """An array, its memory not known as that of a file if another process would not find the same
    there: by mapping what was changed in memory alone (mode "c"), or a file that has no name any
    more, or another by its name. Of large files, some bytes are compared."""
    mapped = mapped_file(X)
    if mapped is None:
        return X
    name: Any = mapped.filename
    if name is None or mapped.mode == "c":
        return _without_owner(X)
    try:
        there = np.memmap(name, np.uint8, "r", mapped.offset, (mapped.nbytes,))
    except (OSError, ValueError):  # gone, or too short
        return _without_owner(X)
    here = (mapped.T if mapped.flags.f_contiguous else mapped).reshape(-1).view(np.uint8)
    some = np.linspace(0, len(here) - 1, _N_COMPARED).astype(np.intp)
    return X if np.array_equal(here[some], there[some]) else _without_owner(X)


def _without_owner(X: NDArray) -> NDArray:
    """The memory of an array as an array that is not read-only, and no view of the given one."""
    interface = dict(X.__array_interface__, data=(X.__array_interface__["data"][0], False))
    holder = type("_Memory", (), {"__array_interface__": interface, "owner": X})()
    return np.asarray(holder)


def _check_value(X: Any) -> NDArray:
    """A checked array of a dict."""
    checked: NDArray = check_array(X, ensure_2d=False, **_rules(X))
    if _stays_in_file(X):
        _check_parts(checked, ensure_all_finite=True)
    return checked


def _check_parts(X: NDArray, **rules: Any) -> None:
    """Check some rows at a time of an array in a file, as the float32 that it is read as."""
    with argument_named("X"):
        for part in _parts(X):
            check_array(
                part, dtype=np.float32, ensure_2d=False, allow_nd=True, input_name="X", **rules
            )


def _parts(X: Any) -> Iterator[Any]:
    """Some rows of an array or tensor at a time."""
    step = max(1, _AT_A_TIME // max(1, math.prod(X.shape[1:])))
    return (X[rows] for rows in gen_batches(max(1, len(X)), step))


def _to_tensor(X: np.ndarray) -> Tensor:
    if not _torch_reads(X):
        X = np.ascontiguousarray(X, dtype=X.dtype.newbyteorder("="))
    if X.dtype.kind == "u" and X.dtype.itemsize > 1:
        # torch indexes few operations of wider unsigned types
        X = X.astype(np.int64 if X.max(initial=0) <= np.iinfo(np.int64).max else np.float32)
    # torch warns of read-only memory (memory maps of joblib), which nothing here writes to.
    tensor = torch.from_numpy(X if X.flags.writeable else _without_owner(X))
    if mapped_file(X) is not None:
        vars(tensor)["in_file"] = X  # which workers map for themselves
    return tensor


def as_arrays(X: Any) -> Any:
    """Checked inputs with arrays for tensors, of the same memory; `as_tensors` turns them back."""
    if isinstance(X, Mapping):
        return {key: as_arrays(value) for key, value in X.items()}
    if not isinstance(X, Tensor):
        return X
    return as_workers_find_it(vars(X)["in_file"]) if "in_file" in vars(X) else X.numpy()


def as_tensors(X: Any) -> Any:
    """Arrays as tensors of the same memory, which may be read-only and is not to be written to."""
    if isinstance(X, Mapping):
        return {key: as_tensors(value) for key, value in X.items()}
    return _to_tensor(X) if isinstance(X, np.ndarray) else X


def n_samples_of(X: Any) -> int:
    """Number of samples of checked inputs."""
    if isinstance(X, Mapping):
        lengths = {len(value) for value in X.values()}
        if len(lengths) != 1:
            raise ValueError(f"The arrays of X differ in length: {sorted(lengths)}.")
        return lengths.pop()
    return X.shape[0] if sparse.issparse(X) else len(X)


def largest_sample(X: Any) -> int:
    """The sample of checked inputs with the largest number; 0 where it is not looked for."""
    if sparse.issparse(X):
        if X.dtype.kind != "f" or not X.nnz:
            return 0
        return int(np.searchsorted(X.indptr, np.abs(X.data).argmax(), side="right")) - 1
    if isinstance(X, Mapping):
        largest = [(largest_sample(value), value) for value in X.values()]
        sizes = [float(value[i].abs().max()) for i, value in largest if value[i].numel()]
        return largest[int(np.argmax(sizes))][0] if sizes else 0
    if not isinstance(X, Tensor) or not X.is_floating_point() or not X.numel():
        return 0
    of_samples = []
    for part in _parts(X):
        rows = part.reshape(len(part), -1)
        of_samples.append(torch.maximum(rows.amax(1), -rows.amin(1)))
    return int(torch.cat(of_samples).argmax())


def piece_of(X: Any, rows: slice) -> Any:
    """Consecutive samples of inputs, checked or not: where that is possible, a view."""
    if isinstance(X, Dataset):
        return Subset(X, range(rows.start, rows.stop))
    if isinstance(X, Mapping) and not sparse.issparse(X):
        return {key: piece_of(value, rows) for key, value in X.items()}
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


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
    if not len(dataset):
        raise ValueError(f"X must hold samples. Got a {type(dataset).__name__} of none.")
    parts = []
    with local_seed(0):
        for some in gen_batches(len(dataset), 1024):
            items = items_of(dataset, range(some.start, some.stop))
            if not all(isinstance(item, tuple | list) and len(item) >= 2 for item in items):
                raise ValueError(
                    "Where Y is not given, X must be a Dataset of pairs (x, labels). Got a "
                    f"{type(dataset).__name__} whose first item is a {type(items[0]).__name__}."
                )
            labels = [item[1] for item in items]
            del items  # samples, which may not fit into memory together
            labels = [y.numpy(force=True) if isinstance(y, Tensor) else y for y in labels]
            typed = all(hasattr(label, "dtype") for label in labels)
            parts.append(np.stack([np.asarray(y, dtype=None if typed else object) for y in labels]))
    if any(part.dtype.kind == "O" for part in parts):
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts)


def items_of(dataset: Any, index: Iterable[int]) -> list[Any]:
    """Items of a Dataset, at once where it can."""
    index = list(index)
    if not callable(getattr(dataset, "__getitems__", None)):
        return [dataset[i] for i in index]
    items = list(dataset.__getitems__(index))
    if len(items) != len(index):
        raise ValueError(
            f"The method __getitems__ of X must give a list of one sample an index. Got "
            f"{len(items)} of {type(dataset).__name__} for {len(index)} indices."
        )
    return items


def as_float(x: Any, *, keep_ints: bool = False) -> Any:
    """A batch as the module takes it: float32 (ints inside a dict or list stay, they may be
    indices of an embedding)."""
    if isinstance(x, Mapping):
        return {key: as_float(value, keep_ints=True) for key, value in x.items()}
    if isinstance(x, (list, tuple)):  # no union: torch.export of torch 2.6 knows none
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

    def __getitems__(self, index: list[int]) -> list[tuple[Any, Any]]:
        """Many samples, as a torch DataLoader asks for them where it can."""
        if not callable(getattr(self.X, "__getitems__", None)):
            return [self[i] for i in index]
        samples = [x[0] if isinstance(x, tuple | list) else x for x in items_of(self.X, index)]
        if not self.target:
            return [(x, 0) for x in samples]
        some = torch.as_tensor(index)
        rows = zip(*(value[some] for value in self.target.values()), strict=True)
        targets = (dict(zip(self.target, row, strict=True)) for row in rows)
        return list(zip(samples, targets, strict=True))

    def batch(self, index: Tensor | slice) -> tuple[Any, Any]:
        """Samples `index`, and their targets."""
        target: Any = {key: value[index] for key, value in self.target.items()}
        return _take(self.X, index), target or 0


def _take(X: Any, index: Tensor | slice) -> Any:
    if isinstance(X, Mapping):
        return {key: _take(value, index) for key, value in X.items()}
    if sparse.issparse(X):
        some = X[index if isinstance(index, slice) else index.numpy()]
        return torch.from_numpy(some.toarray())
    # A slice is a view of what may be the caller's memory, and a module may work in place.
    rows: Tensor = X[index].clone() if isinstance(index, slice) else X[index]
    return rows.float() if rows.is_floating_point() else rows


class SampleTransform:
    """A callable for single samples, and a check that they keep their form.

    Each call is for one sample, as torchvision's transforms draw their random numbers once a
    call: for a whole batch, all its images would be flipped, or none.

    Parameters
    ----------
    transform : callable
        Given a copy of a sample, without a batch axis.
    name : str, default="transform"
        How messages call it.

    Raises
    ------
    ValueError
        If it is not callable; when called, if it changes the shape or type of a sample.
    """

    def __init__(self, transform: Any, name: str = "transform") -> None:
        if not callable(transform):
            raise ValueError(
                f"The '{name}' parameter must be None or a callable that takes a sample, e.g. a "
                f"transform of torchvision. Got {transform!r}."
            )
        self.transform, self.name = transform, name

    def __call__(self, x: Any) -> Any:
        """A sample transformed."""
        expected = _form(x)
        y = self.transform(x)
        form = _form(y)
        if form != expected:
            raise ValueError(
                f"The '{self.name}' parameter must keep the shape and type of a sample, which the "
                f"module and prediction rely on: {_describe(expected)}. Got {_describe(form)}. "
                "What should happen in prediction too (resizing, scaling) belongs in a torch "
                "Dataset or in the module."
            )
        return y

    def batch(self, x: Any) -> Any:
        """A batch, sample by sample. May overwrite the batch."""
        if not isinstance(x, Mapping):
            return torch.stack([self(sample) for sample in x.unbind()])
        n_samples = len(next(iter(x.values())))
        samples = [self({key: value[i] for key, value in x.items()}) for i in range(n_samples)]
        return {key: torch.stack([sample[key] for sample in samples]) for key in x}


def _form(x: Any) -> Any:
    """What of a sample a module depends on."""
    if isinstance(x, Mapping):
        return {key: _form(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_form(value) for value in x]
    kind = Tensor if isinstance(x, Tensor) else type(x)
    return kind, getattr(x, "shape", None), getattr(x, "dtype", None)


def _describe(form: Any) -> str:
    if isinstance(form, dict):
        return "{" + ", ".join(f"{key!r}: {_describe(value)}" for key, value in form.items()) + "}"
    if isinstance(form, list):
        return "[" + ", ".join(_describe(value) for value in form) + "]"
    kind, shape, dtype = form
    return kind.__name__ if shape is None else f"{kind.__name__} {tuple(shape)} of {dtype}"


class _Transformed(Dataset):
    """Items `(x, target)` with `x` transformed."""

    def __init__(self, dataset: Any, transform: SampleTransform) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        x, target = self.dataset[i]
        # A Dataset may hand out views of its memory, and a transform may work in place.
        return self.transform(copy.deepcopy(x)), target


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
    block_size : int, default=None
        Shuffle blocks of so many consecutive samples, and the samples of `blocks_at_once` blocks
        among each other, so that few parts of a file are read at a time: for data that are larger
        than the memory, such as row groups of Parquet files. None shuffles all samples alike.
    blocks_at_once : int, default=8
        Blocks whose samples are mixed; no effect without a `block_size`.
    generator : torch.Generator, default=None
        Draws the order, and seeds what a transform or Dataset draws; torch's global one if None.
    transform : callable, default=None
        Augmentation, e.g. one of `torchvision.transforms.v2`: called with each sample, a tensor
        without a batch axis (images CHW, of uint8 where they are stored so), as batches are made.
        Must keep its shape and type.
    **options
        Further options of torch's DataLoader.

    Raises
    ------
    ValueError
        If `transform` is not callable, or blocks are of less than one sample, or nothing is
        shuffled; in a pass, if the transform changes the shape or type of a sample.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
        transform: Callable[[Any], Any] | None = None,
        block_size: int | None = None,
        blocks_at_once: int = 8,
        **options: Any,
    ) -> None:
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.block_size, self.blocks_at_once = block_size, blocks_at_once
        for name in ("block_size", "blocks_at_once"):
            value = getattr(self, name)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not (whole and value >= 1) and not (name == "block_size" and value is None):
                raise ValueError(f"The {name!r} option must be an int >= 1. Got {value!r}.")
        if block_size is not None and not shuffle:
            raise ValueError(
                "The 'block_size' option needs shuffle=True, and no sampler: it says how samples "
                f"are shuffled. Got {block_size!r}."
            )
        self.generator = generator
        self.transform = None if transform is None else SampleTransform(transform)
        base: Any = dataset
        index: Tensor | None = None
        while isinstance(base, Subset):
            outer = torch.as_tensor(np.asarray(base.indices))
            index = outer if index is None else outer[index]
            base = base.dataset
        self.base, self.index = base, index
        self.n_samples = len(dataset)  # type: ignore[arg-type]
        self.loader = None
        if options or not getattr(base, "in_memory", False):
            if shuffle and block_size is not None:
                shuffle, options = False, {"sampler": _Shuffled(self), **options}
            self.loader = DataLoader(
                dataset if self.transform is None else _Transformed(dataset, self.transform),
                batch_size=batch_size,
                shuffle=shuffle,
                drop_last=drop_last,
                generator=generator,
                **options,
            )

    def __len__(self) -> int:
        n, size = self.n_samples, self.batch_size
        return n // size if self.drop_last else -(-n // size)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._in_memory() if self.loader is None else self.loader)
        while True:
            with self._random():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            yield batch

    def _in_memory(self) -> Iterator[Any]:
        order = self.order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            stop = start + self.batch_size
            x, target = self.base.batch(slice(start, stop) if order is None else order[start:stop])
            yield (x if self.transform is None else self.transform.batch(x)), target

    def _random(self) -> AbstractContextManager[None]:
        """What transforms and Datasets draw from while they make a batch.

        Training has seeded the global generators. Prediction has not, and says so by a generator
        of its own: the caller's global state must stay as it is.
        """
        if self.generator is None or (self.loader is None and self.transform is None):
            return nullcontext()
        return local_seed(int(torch.randint(2**31 - 1, (), generator=self.generator)))

    def all_targets(self) -> dict[str, Tensor]:
        """The targets of all samples, in the stored order."""
        targets: dict[str, Tensor] = self.base.target
        if self.index is None:
            return targets
        return {key: value[self.index] for key, value in targets.items()}

    def order(self) -> Tensor | None:
        """The order of one pass over the samples; None where it is the stored one."""
        if not self.shuffle:
            return self.index
        order = self.shuffled()
        return order if self.index is None else self.index[order]

    def shuffled(self) -> Tensor:
        """Positions of the samples in a new order."""
        if self.block_size is None:
            return torch.randperm(self.n_samples, generator=self.generator)
        blocks = torch.arange(self.n_samples).split(int(self.block_size))
        order = [blocks[i] for i in torch.randperm(len(blocks), generator=self.generator)]
        parts = []
        for start in range(0, len(order), int(self.blocks_at_once)):
            part = torch.cat(order[start : start + int(self.blocks_at_once)])
            parts.append(part[torch.randperm(len(part), generator=self.generator)])
        return torch.cat(parts)


class _Shuffled(Sampler):
    """The order of a BatchLoader, for a DataLoader."""

    def __init__(self, batches: BatchLoader) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return self.batches.n_samples

    def __iter__(self) -> Iterator[int]:
        for part in self.batches.shuffled().split(1024):
            yield from part.tolist()
