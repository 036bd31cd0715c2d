"""The one door through which scikit-learn's private or moving names enter skgroup."""

import copy
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from inspect import Signature, signature
from typing import Any

import numpy as np
from sklearn.base import _clone_parametrized as clone_parametrized
from sklearn.base import _fit_context as _sklearn_fit_context
from sklearn.metrics._scorer import _BaseScorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import _validate_shuffle_split as validate_shuffle_split
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import (
    HasMethods as _HasMethods,
)
from sklearn.utils._param_validation import (
    Hidden,
    Interval,
    Options,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import _check_sample_weight as _sklearn_check_sample_weight
from sklearn.utils.validation import validate_data as _sklearn_validate_data

from skgroup._fit_parts import FitPart

try:  # from scikit-learn 1.9 on, where it is experimental
    from sklearn.callback import CallbackSupportMixin, ProgressBar
    from sklearn.callback._callback_support import callback_management_context
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: scikit-learn is older than its callbacks."""

    ProgressBar = callback_management_context = None

__all__ = [
    "BaseSearchCV",
    "CallbackSupportMixin",
    "HasMethods",
    "Hidden",
    "Interval",
    "Options",
    "RealNotInt",
    "StrOptions",
    "_BaseComposition",
    "_BaseScorer",
    "_check_sample_weight",
    "_fit_context",
    "_get_output_config",
    "_routing_enabled",
    "_safe_indexing",
    "answers_kept",
    "argument_named",
    "clone_parametrized",
    "get_predict_output",
    "knows_all_classes",
    "only_watched",
    "set_predict_output",
    "unchanged_on_error",
    "validate_data",
    "validate_parameter_constraints",
    "validate_shuffle_split",
    "whole_fit",
]


class HasMethods(_HasMethods):
    """An object with these methods, which a class of such objects is not yet."""

    def is_satisfied_by(self, val: Any) -> bool:
        return not isinstance(val, type) and super().is_satisfied_by(val)


def knows_all_classes(scorer: Any, classes: Any) -> Any:
    """A scorer of scikit-learn that knows the classes, where its metric can be told them.

    Metrics that take `labels` for the classes of probabilities (log loss) would else take those
    that a test part happens to hold.
    """
    if not isinstance(scorer, _BaseScorer) or scorer._response_method == "predict":
        return scorer
    if "labels" not in signature(scorer._score_func).parameters:
        return scorer
    known = copy.copy(scorer)
    known._kwargs = {"labels": classes, **scorer._kwargs}
    return known


def answers_kept(method_caller: Any) -> dict[Any, Any] | None:
    """Where scikit-learn keeps what an estimator has answered to one of several scorers, if it
    does."""
    kept: dict[Any, Any] | None = method_caller.args[0]
    return kept


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Put the attributes of an estimator back if the block raises, an interruption included.

    Attributes are put back, not copied: the block must replace fitted state, never write into it.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def _fit_context(
    *, prefer_skip_nested_validation: bool, atomic: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """scikit-learn's decorator of `fit`, after whose failure an estimator is as it was before.

    `atomic=False` is for a `fit` that keeps what it finished, and says so. Callbacks of
    scikit-learn's hear of the fit of an estimator that is a `CallbackSupportMixin`; of how many
    parts it has, its `_n_fit_parts` says.
    """
    of_sklearn = _sklearn_fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)

    def decorator(fit_method: Callable[..., Any]) -> Callable[..., Any]:
        arguments = signature(fit_method)

        @functools.wraps(fit_method)
        def fit(estimator: Any, *args: Any, **kwargs: Any) -> Any:
            n_parts = getattr(estimator, "_n_fit_parts", 0)
            with (
                unchanged_on_error(estimator) if atomic else nullcontext(),
                whole_fit(estimator, n_parts, lambda: _told_of(arguments, estimator, args, kwargs)),
            ):
                return fit_method(estimator, *args, **kwargs)

        return of_sklearn(fit)

    return decorator


def _told_of(arguments: Signature, estimator: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """X, y and weights among the arguments of a `fit`, as callbacks are given them."""
    given = arguments.bind(estimator, *args, **kwargs).arguments
    told: dict[str, Any] = {key: functools.partial(given.get, key) for key in ("X", "y")}
    weight = given.get("sample_weight")
    return told | ({} if weight is None else {"metadata": {"sample_weight": weight}})


@contextmanager
def whole_fit(
    estimator: Any,
    n_parts: int | None = 0,
    given: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[FitPart]:
    """The fit of an estimator, as callbacks of scikit-learn hear of it.

    Parameters
    ----------
    estimator : estimator
    n_parts : int or None, default=0
        How many parts it has at most; None if that is not known.
    given : callable
        Gives the X, the y and the metadata that callbacks are told, asked where there is one.
    """
    is_told = "_callback_fit_ctx" in vars(estimator)  # by the method that called this one
    if is_told or not hasattr(estimator, "_init_callback_context"):
        yield FitPart.of(estimator)
        return
    with callback_management_context(estimator):
        whole = FitPart(estimator, estimator._init_callback_context(max_subtasks=n_parts))
        of_data = given() if whole.is_heard else {}
        whole.begin(**of_data)
        yield whole
        # A copy of the estimator knows all of it by now.
        whole.end(**of_data, reconstruction_attributes=dict)


def only_watched(estimator: Any) -> bool:
    """Whether scikit-learn's callbacks of an estimator are progress bars, which ask for nothing
    that it has learned and never end its training."""
    callbacks = vars(estimator).get("_skl_callbacks", ())
    return all(isinstance(callback, ProgressBar) for callback in callbacks)


def set_predict_output(estimator: Any, container: str) -> None:
    """Keep what predictions come in where scikit-learn keeps it of `transform`, as `clone` does."""
    kept = getattr(estimator, "_sklearn_output_config", {})
    estimator._sklearn_output_config = {**kept, "predict": container}


def get_predict_output(estimator: Any) -> str:
    """What `set_predict_output` kept; "default" if nothing."""
    kept: str = getattr(estimator, "_sklearn_output_config", {}).get("predict", "default")
    return kept


@contextmanager
def argument_named(name: str) -> Iterator[None]:
    """Say which argument is refused, where a check of scikit-learn's or NumPy's does not."""
    try:
        yield
    except (OverflowError, TypeError, ValueError) as error:
        if re.search(rf"\b{name}\b", str(error).split("\n")[0]):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} is refused: {error}") from error


def validate_data(estimator: Any, X: Any, **rules: Any) -> Any:
    """scikit-learn's check of `X`, whose errors name it, and of what it would read as numbers."""
    dtypes = getattr(X, "dtypes", None)
    dtypes = [getattr(X, "dtype", None)] if dtypes is None else list(np.atleast_1d(dtypes))
    # polars' dtypes say by a method what those of NumPy and pandas say by a letter.
    temporal = [getattr(dtype, "is_temporal", lambda: False)() for dtype in dtypes]
    if any(temporal) or any(getattr(dtype, "kind", "") in tuple("mM") for dtype in dtypes):
        raise ValueError("X must hold numbers. Got dates or times.")
    if np.ma.is_masked(X):
        raise ValueError("X must have no masked entry.")
    with argument_named("X"):
        try:
            return _sklearn_validate_data(estimator, X, **rules)
        except (TypeError, ValueError) as error:
            column = _first_without_numbers(X)
            if column is None:
                raise
            raise type(error)(
                f"X must hold numbers. Column {column!r} does not: {error}"
            ) from error


def _first_without_numbers(X: Any) -> Any:
    """Name of the first column of a DataFrame whose values are no numbers; None if all are."""
    for column in getattr(X, "columns", ()):
        try:
            np.asarray(X[column]).astype(np.float64)
        except (TypeError, ValueError):
            return column
    return None


def _check_sample_weight(sample_weight: Any, X: Any, **rules: Any) -> Any:
    """scikit-learn's check of sample weights, whose errors name them."""
    with argument_named("sample_weight"):
        return _sklearn_check_sample_weight(sample_weight, X, **rules)


def forget_fit(estimator: Any) -> None:
    """Delete what an earlier `fit` left, so that nothing of it outlives the next one."""
    for name in [n for n in vars(estimator) if n.endswith("_") and not n.startswith("_")]:
        delattr(estimator, name)
