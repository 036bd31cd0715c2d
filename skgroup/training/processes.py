"""Calls side by side, by whatever backend of joblib the user has chosen: processes, dask, ray."""

from __future__ import annotations

import io
import os
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
from cloudpickle import CloudPickler
from joblib import Parallel, cpu_count, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from sklearn import config_context, get_config
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from skgroup._compat import Interval
from skgroup._fit_parts import path_of_fit, within_fit
from skgroup.training.data import as_workers_find_it

__all__ = ["N_JOBS", "goes_elsewhere", "in_parallel"]

#: What `_parameter_constraints` say of an `n_jobs`: as in joblib, -1 being all cores.
N_JOBS: list[Any] = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
    None,
]

#: Bytes from which on an array goes beside the call that has it, so that it travels once.
_LARGE = 100_000
#: Seconds between two looks for the parent of this process.
_LOOK_EVERY = 2.0


def goes_elsewhere(n_jobs: int | None) -> bool:
    """Whether `in_parallel` hands calls out to workers, rather than making them here.

    As scikit-learn's users know it: None is 1, unless a `joblib.parallel_config` is in effect that
    says otherwise, by its `n_jobs` or by a backend that is a cluster.
    """
    backend, of_config = get_active_backend()
    asked = of_config if n_jobs is None else n_jobs
    return (getattr(backend, "default_n_jobs", 1) if asked is None else asked) != 1


def in_parallel(
    calls: Iterable[Any], n_jobs: int | None, *, ordered: bool = True
) -> Generator[Any, None, None]:
    """Results of calls made by `joblib.delayed`, as they come.

    Workers that are processes are handed large arrays of the calls, however deep they are in what
    is given, as arguments of their own: joblib maps these into memory, and dask and ray keep one
    copy a worker. They may be read-only there, and are on dask. Where these calls have an `n_jobs`
    of None, that is 1: the work is spread already.

    Parameters
    ----------
    calls : iterable
    n_jobs : int or None
        As in joblib.
    ordered : bool, default=True
        Whether results come in the order of the calls.
    """
    if not goes_elsewhere(n_jobs):
        for function, args, kwargs in calls:
            yield function(*args, **kwargs)
        return
    backend = get_active_backend()[0]
    # Metadata routing, ..., and the part of the fit: other threads and processes have their own.
    config = get_config(), path_of_fit()
    shares_memory = getattr(backend, "supports_sharedmem", False)
    handed: Iterator[Any]
    if shares_memory:
        handed = (delayed(_configured)(config, *call) for call in calls)
    else:
        settings = config, effective_n_jobs(n_jobs), os.getpid(), hasattr(backend, "client")
        handed = (_packed_call(call, settings) for call in calls)
    results = _results(handed, n_jobs, ordered=ordered)
    try:
        for result in results:
            yield result if shares_memory else _unpacked(*result)
    except BaseException:
        with suppress(KeyboardInterrupt):
            results.throw(KeyboardInterrupt())  # ends the others; closing would warn of them
        # dask would go on with what it was given meanwhile, and nobody waits for it any more.
        if left := list(getattr(backend, "_results", ())):
            backend.client.cancel(left)
        raise


def _results(
    calls: Iterable[Any], n_jobs: int | None, *, ordered: bool
) -> Generator[Any, None, None]:
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator" + "_unordered" * (not ordered))
    except ValueError:
        # Some backends (multiprocessing) have no results before the last: few calls at a time.
        left = iter(calls)
        with Parallel(n_jobs=n_jobs) as parallel:
            while some := list(islice(left, effective_n_jobs(n_jobs))):
                yield from parallel(some)
    else:
        yield from parallel(calls)


def _configured(
    config: tuple[dict[str, Any], tuple[str, ...]], function: Any, args: Any, kwargs: Any
) -> Any:
    of_sklearn, path = config
    with config_context(**of_sklearn), within_fit(path), parallel_config(n_jobs=1):
        return function(*args, **kwargs)


# -- to processes and back ---------------------------------------------------------------------


def _packed_call(call: Any, settings: tuple[Any, ...]) -> Any:
    try:
        packed, arrays = _packed(call)
    except Exception as error:  # joblib asks for calls in threads that nobody hears of
        why = f"A call cannot be sent to a worker: {type(error).__name__}: {error}"
        packed, arrays = _packed((_fail, (why,), {}))
    return delayed(_call)(settings, packed, *arrays)


def _fail(why: str) -> None:
    raise pickle.PicklingError(why)


def _call(settings: tuple[Any, ...], packed: bytes, *arrays: NDArray) -> Any:
    config, n_workers, caller, shared = settings
    if os.getppid() == caller:
        _end_with(caller)
    if shared:  # dask gives all calls on a worker the same arrays
        arrays = tuple(_read_only(array) for array in arrays)
    with _share_of_threads(n_workers, caller):
        return _packed(_configured(config, *_unpacked(packed, arrays)))


@cache
def _end_with(parent: int) -> None:
    """End this process when its parent has ended: a worker of one that was killed may wait for
    ever to hand it a result, with all that it holds in memory."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read_only(array: NDArray) -> NDArray:
    array = array.view()
    array.flags.writeable = False
    return array


def _share_of_threads(n_workers: int, caller: int) -> AbstractContextManager[Any]:
    """As many threads as are this worker's, where nothing has said so to its process."""
    if os.getpid() == caller or "OMP_NUM_THREADS" in os.environ:
        return nullcontext()
    return threadpool_limits(max(1, cpu_count() // n_workers))


class _Packer(CloudPickler):
    """Pickles, but for large arrays, which it collects."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.arrays: dict[int, NDArray] = {}

    def persistent_id(self, value: Any) -> int | None:
        is_array = type(value) in (np.ndarray, np.memmap)
        if not is_array or value.nbytes < _LARGE or value.dtype.hasobject:
            return None
        self.arrays[id(value)] = as_workers_find_it(value)
        return list(self.arrays).index(id(value))


class _Unpacker(pickle.Unpickler):
    def __init__(self, packed: bytes, arrays: Any) -> None:
        super().__init__(io.BytesIO(packed))
        self.persistent_load: Callable[[int], Any] = arrays.__getitem__


def _packed(value: Any) -> tuple[bytes, tuple[NDArray, ...]]:
    file = io.BytesIO()
    packer = _Packer(file)
    packer.dump(value)
    return file.getvalue(), tuple(packer.arrays.values())


def _unpacked(packed: bytes, arrays: Any) -> Any:
    return _Unpacker(packed, arrays).load()
