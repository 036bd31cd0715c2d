"""Callbacks of skorch: what is wrong with them is named before training begins."""

from __future__ import annotations

import copy
import math
import warnings
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import check_scoring
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
)
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import Subset

from skgroup._compat import Interval, StrOptions, validate_parameter_constraints
from skgroup.training.data import BatchLoader, n_samples_of

#: Samples that a scoring is tried on, and steps that a schedule is walked through one by one.
_N_SCORED = 64
_N_STEPS = 10_000

_SCORING: dict[str, Any] = {
    "scoring": [str, callable, None],
    "lower_is_better": ["boolean", None],
    "on_train": ["boolean"],
    "name": [str, None],
    "use_caching": ["boolean"],
}
#: Rules for the parameters of skorch's callbacks, which it uses as they come.
_RULES: dict[type, dict[str, Any]] = {
    EarlyStopping: {
        "monitor": [str],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, None, None, closed="neither")],
        "threshold_mode": [StrOptions({"rel", "abs"})],
        "lower_is_better": ["boolean"],
        "load_best": ["boolean"],
    },
    LRScheduler: {
        "monitor": [str, callable],
        "event_name": [str, None],
        "step_every": [StrOptions({"epoch", "batch"})],
    },
    EpochScoring: _SCORING,
    BatchScoring: _SCORING,
    GradientNormClipping: {
        "gradient_clip_value": [Interval(Real, 0, None, closed="neither"), None],
        "gradient_clip_norm_type": [Interval(Real, 0, None, closed="right")],
    },
    Checkpoint: {"monitor": [str, callable, None], "load_best": ["boolean"]},
}  # fmt: skip


def check_callback_names(net: Any) -> None:
    """Refuse parameters of callbacks that the net does not have."""
    known = set()
    if net.callbacks != "disable":
        known = {name for name, _ in net._uniquely_named_callbacks()}
    for key, value in vars(net).items():
        prefix, _, rest = key.partition("__")
        name, _, option = rest.partition("__")
        if prefix != "callbacks" or not rest:
            continue
        if name not in known:
            raise ValueError(
                f"The '{key}' parameter must name a callback of the net, one of {sorted(known)}. "
                f"Got {value!r} for {name!r}."
            )
        if not option and value is not None and not hasattr(value, "on_epoch_end"):
            raise ValueError(
                f"The '{key}' parameter must be a Callback of skorch or None. Got {value!r}."
            )


def check_monitors(net: Any) -> None:
    """Refuse callbacks that monitor what the history will not hold."""
    for name, callback in net.callbacks_:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("valid_") and not net.train_split:
            raise ValueError(
                f"The callback {name} monitors {monitor!r}, so the 'train_split' parameter "
                "must set samples aside, e.g. skorch.dataset.ValidSplit(5). Got "
                f"{net.train_split!r}."
            )
        _check_recorded(net, name, monitor)


def _check_recorded(net: Any, name: str, monitor: Any) -> None:
    """Refuse a key of the history that nobody writes, as far as all who write are known."""
    callbacks = [callback for _, callback in net.callbacks_]
    others = any(not type(cb).__module__.startswith("skorch.") for cb in callbacks)
    if not isinstance(monitor, str) or others or not type(net).__module__.startswith("skgroup."):
        return
    # Those behind it write too late.
    callbacks = callbacks[: [one for one, _ in net.callbacks_].index(name)]
    known: set[Any] = {"epoch", "dur", "train_loss", "train_batch_count"}
    known |= {"valid_loss", "valid_batch_count"} if net.train_split else set()
    known |= {
        getattr(cb, "name_", None) or getattr(cb, "name", None)
        for cb in callbacks
        if getattr(cb, "on_train", True) or net.train_split
    }
    known |= {getattr(cb, "event_name", None) for cb in callbacks}
    names = sorted(str(key) for key in known if key)
    if monitor not in names and monitor.removesuffix("_best") not in names:
        raise ValueError(
            f"The callback {name} must monitor what the history holds when it is called: one "
            f"of {names}, or with '_best' behind it. Got monitor={monitor!r}; a scoring must "
            "stand before it, and have 'on_train' or a 'train_split'."
        )


def check_callbacks(net: Any) -> None:
    """Check the parameters of callbacks that are built; what they say of the module, if it is."""
    for name, callback in net.callbacks_:
        for kind, rules in _RULES.items():
            if isinstance(callback, kind):
                values = {key: getattr(callback, key) for key in rules}
                validate_parameter_constraints(rules, values, caller_name=f"the callback {name}")


def try_callbacks(net: Any, train: Any, valid: Any, n_batches: int | None) -> None:
    """Try what callbacks do with a built net.

    Parameters
    ----------
    net : MultiTaskNet
    train, valid : Dataset
        What it will train on, and be validated on; None if it will not be.
    n_batches : int or None
        Training batches an epoch; None if not known.

    Raises
    ------
    ValueError
        If a schedule ends before training, a scoring gives no number, or a pattern names no
        parameter.
    """
    for name, callback in net.callbacks_:
        if isinstance(callback, LRScheduler):
            _try_schedule(net, name, callback, n_batches)
        elif isinstance(callback, EpochScoring | BatchScoring):
            dataset = train if callback.on_train else valid
            if dataset is not None and not isinstance(callback, PassthroughScoring):
                _try_scoring(net, name, callback, dataset)
        elif isinstance(callback, ParamMapper) and net.selected_ is None:
            for pattern in callback.patterns:
                params = net.get_all_learnable_params()
                if not any(callback.filter_parameters([pattern], params)):
                    names = [key for key, _ in net.get_all_learnable_params()]
                    raise ValueError(
                        f"The callback {name} must name parameters of the module. Got the pattern "
                        f"{pattern!r}, which matches none of {names}."
                    )


def _try_schedule(net: Any, name: str, callback: LRScheduler, n_batches: int | None) -> None:
    """Walk through all steps of a schedule, on a copy of the optimizer that makes none."""
    if not isinstance(net.optimizer_, torch.optim.Optimizer):
        return
    optimizer: Any = copy.copy(net.optimizer_)
    optimizer.param_groups = [dict(group) for group in net.optimizer_.param_groups]
    n_steps = net.max_epochs * ((n_batches or 1) if callback.step_every == "batch" else 1)
    policy = getattr(callback.policy_, "__name__", callback.policy_)
    step = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e.g. that the optimizer has made no step
        try:
            scheduler = callback._get_scheduler(
                SimpleNamespace(history=net.history_, optimizer_=optimizer),
                callback.policy_,
                **callback.kwargs,
            )
        except Exception as error:
            raise ValueError(
                f"The callback {name} cannot build its schedule {policy} with {callback.kwargs}: "
                f"{type(error).__name__}: {error}"
            ) from error
        metric = [1.0] if isinstance(scheduler, ReduceLROnPlateau) else []
        try:
            while step < min(n_steps, _N_STEPS):
                step += 1
                scheduler.step(*metric)
            if n_steps > _N_STEPS:  # to the last one
                scheduler.last_epoch += n_steps - _N_STEPS - 1
                step = n_steps
                scheduler.step(*metric)
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            if not all(math.isfinite(rate) for rate in rates):
                raise ValueError(f"its learning rates are {rates}")
        except Exception as error:
            raise ValueError(
                f"The callback {name} must schedule all steps of training. max_epochs="
                f"{net.max_epochs} makes {n_steps} (a grouped classifier may train its nets for "
                "other epochs: 'specialist_epochs'), but "
                f"{policy} fails at step {step}: {type(error).__name__}: {error}"
            ) from error


def _try_scoring(net: Any, name: str, callback: Any, dataset: Any) -> None:
    """Score the untrained net, so that what is no score shows."""
    rule = (
        f"The callback {name} must have a 'scoring' that is called as scoring(net, X, y) and "
        f"returns a number, or a name of scikit-learn's. Got {callback.scoring!r}"
    )
    try:
        check_scoring(net, callback.scoring_)
    except ValueError as error:
        raise ValueError(f"{rule}: {error}") from error
    n_samples = n_samples_of(dataset)
    for size in sorted({min(n_samples, _N_SCORED), n_samples}):
        part = Subset(dataset, range(size)) if size < n_samples else dataset
        y = None
        try:
            samples = BatchLoader(part)
            y = callback.target_extractor(samples.all_targets())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                score = callback._scoring(net, part, y)
            break
        except (KeyError, IndexError, AttributeError):
            return  # it may read what only training leaves: the history
        except Exception as error:
            if size == n_samples:  # of fewer, the score may not be defined
                raise ValueError(f"{rule}, which raises {type(error).__name__}: {error}") from error
    if isinstance(score, np.ndarray | Tensor) and score.ndim == 0:
        score = score.item()
    if not isinstance(score, Real | np.bool_):
        raise ValueError(f"{rule}, which returns {score!r}.")
