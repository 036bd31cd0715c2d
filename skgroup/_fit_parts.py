"""The parts of a fit: what nets that are trained in it are called, and what callbacks of
scikit-learn hear of it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: What names of the workers of joblib, multiprocessing and dask have in them.
_OF_WORKERS = ("Loky", "PoolWorker", "Dask")
_PATH: ContextVar[tuple[str, ...] | None] = ContextVar("skgroup_fit_path", default=None)


def path_of_fit() -> tuple[str, ...]:
    """The names of the parts of a fit that the code runs in, outermost first.

    In a worker of a pool of another library's, as a search has, the first is that process: the
    same parts of other fits are under way in others.
    """
    path = _PATH.get()
    if path is not None:
        return path
    process = multiprocessing.current_process().name
    return (f"process {os.getpid()}",) if any(name in process for name in _OF_WORKERS) else ()


@contextmanager
def within_fit(path: tuple[str, ...]) -> Iterator[None]:
    """Run the block as what is at a path: in another process, or thread, it is not known."""
    token = _PATH.set(path)
    try:
        yield
    finally:
        _PATH.reset(token)


@contextmanager
def part_of_fit(name: str) -> Iterator[None]:
    """Name a part of a fit: nets that are built in the block are called by it, behind the names
    of the parts around."""
    with within_fit((*path_of_fit(), name.replace("/", "_"))):
        yield


def call_named(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function as a part of a fit."""
    with part_of_fit(name):
        return function(*args, **kwargs)


class FitPart:
    """A part of a fit that callbacks of scikit-learn hear of; where there are none, nothing.

    Parameters
    ----------
    estimator : estimator
        Whose part it is.
    context : sklearn.callback.CallbackContext or None
    """

    def __init__(self, estimator: Any, context: Any) -> None:
        self.estimator, self.context = estimator, context

    @classmethod
    def of(cls, estimator: Any) -> FitPart:
        """The whole fit of an estimator, which is under way."""
        return cls(estimator, vars(estimator).get("_callback_fit_ctx"))

    @property
    def is_heard(self) -> bool:
        """Whether there is a callback that hears of it."""
        return self.context is not None and bool(self.context._callbacks)

    def part(
        self, name: str, n_parts: int | None = 0, *, number: int | None = None, ordered: bool = True
    ) -> FitPart:
        """A part of this part.

        Parameters
        ----------
        name : str
        n_parts : int or None, default=0
            How many parts it has at most; None if that is not known.
        number : int, default=None
            Its own, where those of this part come in any order.
        ordered : bool, default=True
            Whether its parts come one after another.
        """
        if self.context is None:
            return self
        number = None if self.context.sequential_subtasks else number  # the next
        context = self.context.subcontext(
            task_name=name, task_id=number, max_subtasks=n_parts, sequential_subtasks=ordered
        )
        return FitPart(self.estimator, context)

    def begin(self, **given: Any) -> None:
        """Tell callbacks that it begins; `given` is what `call_on_fit_task_begin` takes."""
        if self.is_heard:
            self.context.call_on_fit_task_begin(estimator=self.estimator, **given)

    def end(self, **given: Any) -> bool:
        """Tell callbacks that it has ended; whether one wants no further part like it."""
        if not self.is_heard:
            return False
        return bool(self.context.call_on_fit_task_end(estimator=self.estimator, **given))

    @contextmanager
    def running(self) -> Iterator[FitPart]:
        """Tell callbacks of the beginning and, if nothing is raised, of the end of the block."""
        self.begin()
        yield self
        self.end()

    @contextmanager
    def handed_to(self, estimator: Any) -> Iterator[None]:
        """Let the fit of another estimator, if it knows of callbacks, be this part."""
        if self.context is None or not hasattr(estimator, "set_callbacks"):
            yield
            return
        with self.context.propagate_callback_context(estimator):
            yield


#: Of which nothing hears.
UNHEARD = FitPart(None, None)


def without_handed(estimator: Any, own: Any) -> None:
    """Take back what `handed_to` gave an estimator of which a copy came back from a process.

    Parameters
    ----------
    estimator : estimator
    own : list or None
        The callbacks that the estimator had before.
    """
    for name, value in (("_parent_callback_ctx", None), ("_skl_callbacks", own)):
        vars(estimator).pop(name, None)
        if value is not None:
            vars(estimator)[name] = value
