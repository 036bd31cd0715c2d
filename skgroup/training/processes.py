"""Calls side by side, by whatever backend of joblib the user has chosen."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs
from sklearn import config_context, get_config

__all__ = ["in_parallel"]


def in_parallel(
    calls: Iterable[Any], n_jobs: int | None, *, ordered: bool = True
) -> Generator[Any, None, None]:
    """Results of calls made by `joblib.delayed`, as they come.

    Parameters
    ----------
    calls : iterable
    n_jobs : int or None
        As in joblib.
    ordered : bool, default=True
        Whether results come in the order of the calls.
    """
    config = get_config()  # of metadata routing, ...: other threads and processes have their own
    calls = (delayed(_configured)(config, *call) for call in calls)
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


def _configured(config: dict[str, Any], function: Any, args: Any, kwargs: Any) -> Any:
    with config_context(**config):
        return function(*args, **kwargs)
