"""What training will use, tried once on little before it begins: nothing is trained."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.metrics import check_scoring
from skorch import NeuralNet
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
from skgroup.training._nonlinearity import try_nonlinearity
from skgroup.training.data import BatchLoader, n_samples_of

__all__ = ["check_callbacks", "largest_sample", "trial_batch", "try_callbacks", "try_step"]

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


# -- a step ------------------------------------------------------------------------------------


def largest_sample(X: Any) -> int:
    """The sample of checked inputs with the largest number; 0 where it is not looked for."""
    if sparse.issparse(X):
        if X.dtype.kind != "f" or not X.nnz:
            return 0
        return int(np.searchsorted(X.indptr, np.abs(X.data).argmax(), side="right")) - 1
    if isinstance(X, Mapping):
        found = [(largest_sample(value), value) for value in X.values()]
        sizes = [float(value[i].abs().max()) for i, value in found if value[i].numel()]
        return found[int(np.argmax(sizes))][0] if sizes else 0
    if not isinstance(X, Tensor) or not X.is_floating_point() or not X.numel():
        return 0
    rows = X.reshape(len(X), -1)
    return int(torch.maximum(rows.amax(1), -rows.amin(1)).argmax())


def trial_batch(dataset: Any, largest: int = 0, n_samples: int = 2) -> Any:
    """A batch of the first samples and that with the largest number, whose products may be
    beyond float32."""
    n_samples = min(n_samples, len(dataset))
    samples = sorted({*range(n_samples - 1), largest or n_samples - 1})
    return next(iter(BatchLoader(Subset(dataset, samples), len(samples))))


def try_step(net: Any, dataset: Any, batch: Any, **fit_params: Any) -> None:
    """Try the criterion, its gradient and the nonlinearity of a built net on a batch.

    A criterion that fails on so few samples is given a batch of the size of training.

    Raises
    ------
    ValueError
        If an output is not finite, or the criterion gives no loss that can be trained on.
    """
    output = net.infer(batch[0], **fit_params)
    _check_finite(net, batch[0], output)
    try_nonlinearity(net, output.detach())
    if type(net).train_step_single is not NeuralNet.train_step_single:
        return  # of a subclass, which may take its loss from elsewhere
    try:
        _try_loss(net, batch, output)
    except ValueError:
        size = len(dataset) if net.batch_size == -1 else min(net.batch_size, len(dataset))
        if size <= len(output):
            raise
        batch = trial_batch(dataset, n_samples=size)
        _try_loss(net, batch, net.infer(batch[0], **fit_params))


def _check_finite(net: Any, x: Any, output: Tensor) -> None:
    if bool(output.isfinite().all()):
        return
    parts = list(x.values()) if isinstance(x, Mapping) else [x]
    sizes = [float(part.abs().max()) for part in parts if isinstance(part, Tensor) and part.numel()]
    reach = f" of X, whose values reach {max(sizes):.3g}" if sizes else " of X"
    raise ValueError(
        f"The module {type(net.module_).__name__} must give finite logits from its first weights "
        f"on. Got NaN or infinity for samples{reach}: X may need scaling "
        "(sklearn.preprocessing.StandardScaler)."
    )


def _try_loss(net: Any, batch: Any, output: Tensor) -> None:
    rule = (
        "The 'criterion' parameter must give a loss that is called with logits (batch, n_outputs) "
        "and the target, a dict with 'codes' (batch, n_tasks), and returns a tensor of one finite "
        f"number that depends on the logits. Got {net.criterion!r}"
    )
    x, target = batch
    try:
        loss = net.get_loss(output, target, X=x, training=True)
    except Exception as error:  # whatever a criterion of the user's may raise
        raise ValueError(f"{rule}, which raises {type(error).__name__}: {error}") from error
    if not isinstance(loss, Tensor) or loss.dim():
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else ""
        raise ValueError(f"{rule}, which returns a {type(loss).__name__}{shape}.")
    if not bool(loss.isfinite()):
        raise ValueError(f"{rule}, which returns {loss.item()} for some samples of X and Y.")
    params = [p for p in net.module_.parameters() if p.requires_grad]
    try:
        found = torch.autograd.grad(loss, params, allow_unused=True)
    except RuntimeError as error:
        raise ValueError(f"{rule}, whose loss has no gradient: {error}") from error
    grads = [g.coalesce().values() if g.is_sparse else g for g in found if g is not None]
    if not grads:
        raise ValueError(f"{rule}, whose loss does not depend on the parameters of the module.")
    # Optimizers square gradients.
    if not all(bool(g.float().square().isfinite().all()) for g in grads):
        raise ValueError(
            "The gradient of the loss must be within the range of float32. It is not for some "
            "samples of X and Y, before any training: X may need scaling "
            "(sklearn.preprocessing.StandardScaler), or the weights of tasks and classes."
        )


# -- callbacks ---------------------------------------------------------------------------------


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
                "other epochs: 'specialist_epochs', 'cv'), but "
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
            codes = samples.base.target["codes"]
            codes = codes if samples.index is None else codes[samples.index]
            y = callback.target_extractor({"codes": codes})
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
