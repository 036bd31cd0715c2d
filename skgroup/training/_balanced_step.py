"""Training steps in which a balancing weighs the tasks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from skgroup.tasks import OutputLayout
from skgroup.training._arguments import named_in_errors, wanted_arguments
from skgroup.training.balancing import BALANCINGS, Balancing, OfGramian
from skgroup.training.loss import MultiTaskLoss, fold_members, has_parts_a_task
from skgroup.training.shared import last_layer, shared_parameters, uncompiled
from skgroup.training.task_gradients import batched_or_error, convolves, gradients_along

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet

#: Tasks whose gradients one backward pass computes, which needs as many times its memory.
_AT_A_TIME = 16


class BalancedStep:
    """Backward passes through a net, or a stack of nets, whose tasks a balancing weighs.

    Parameters
    ----------
    balancing : Balancing
        Of a stack, its tensors have a first dimension of the nets.
    criterion : MultiTaskLoss
    shared, own : sequence of Parameter
        Those for which each task's gradient is computed, and all others; of a stack, with a first
        dimension of the nets.
    convolves : bool
        Whether the module has convolutions, whose gradients for several tasks at once are slower
        than one after another.
    n_dims : int, default=0
        Leading dimensions of all tensors: 1 of a stack.
    """

    def __init__(
        self,
        balancing: Balancing,
        criterion: MultiTaskLoss,
        shared: Sequence[Tensor],
        own: Sequence[Tensor],
        *,
        convolves: bool,
        n_dims: int = 0,
    ) -> None:
        self.balancing, self.criterion, self.n_dims = balancing, criterion, n_dims
        self.shared = shared
        self.own = [p for p in own if p.requires_grad]
        # Whether torch can compute gradients for several tasks at once: to be found out.
        self.batched: bool | None = False if convolves else None

    @classmethod
    def of_net(cls, net: MultiTaskNet, balancing: Any = None) -> BalancedStep:
        """The steps of a built net, perhaps with another balancing than its own."""
        balancing = net.balancing_ if balancing is None else balancing
        return cls._of(balancing, net, dict(uncompiled(net.module_).named_parameters()))

    @classmethod
    def of_stack(
        cls, balancing: Balancing, net: MultiTaskNet, params: Mapping[str, Tensor]
    ) -> BalancedStep:
        """The steps of a stack of nets like this one, whose parameters by name are `params`."""
        return cls._of(balancing, net, params, n_dims=1)

    @classmethod
    def _of(
        cls, balancing: Any, net: MultiTaskNet, params: Mapping[str, Tensor], n_dims: int = 0
    ) -> BalancedStep:
        module: Any = uncompiled(net.module_)
        names: Mapping[str, Tensor] = {}
        if balancing.needs_gradients:
            names = {k: p for k, p in shared_parameters(module).items() if p.requires_grad}
            if not names:
                raise ValueError(
                    f"The module {type(module).__name__} must have shared parameters that are "
                    f"trained, which the balancing {net.balancing!r} weighs tasks by. Got none."
                )
            # Others then learn as heads do, which are weighed alike.
            names = last_layer(names) if balancing.layers == "last" else names
        shared = [p for name, p in params.items() if name in names]
        own = [p for name, p in params.items() if name not in names]
        of = uncompiled(net.criterion_)
        return cls(balancing, of, shared, own, convolves=convolves(module), n_dims=n_dims)

    def backward(
        self,
        logits: Tensor,
        target: Mapping[str, Tensor],
        weight: Tensor | None = None,
        layout: OutputLayout | None = None,
        complete: bool | None = None,
        task_weight: Tensor | None = None,
    ) -> Tensor:
        """Give all parameters their gradients.

        Parameters
        ----------
        logits : Tensor of shape (..., batch, n_outputs) or (..., batch, n_members, n_outputs)
        target : dict of Tensor
        weight, layout, complete
            As `MultiTaskLoss.of_batch` takes them; those of the criterion if None.
        task_weight : Tensor of shape (..., n_tasks), default=None
            The part of `weight` that the balancing is not to see; of the criterion if None.

        Returns
        -------
        loss : Tensor of shape (...)
            The criterion's, without any balancing.
        """
        of = self.criterion
        weight = of.weight if weight is None else weight
        layout = of.layout if layout is None else layout
        complete = of.complete if complete is None else complete
        task_weight = of.task_weight if task_weight is None else task_weight
        leaf = logits.detach().requires_grad_()
        losses = of.of_tasks(*fold_members(leaf, target), weight, layout, complete)
        # The loss of a task depends on its own logits alone: one backward pass serves all.
        (slope,) = torch.autograd.grad(losses.sum(), leaf)
        losses = losses.detach()
        loss = losses.sum(-1)
        task_weight = torch.where(task_weight > 0, task_weight, 1)
        losses = losses / task_weight
        owner = torch.from_numpy(layout.task_of_output).to(slope.device)
        if not self.balancing.needs_gradients:
            weights = self._weigh(losses, None)
            logits.backward(slope * self._of_outputs(weights, owner, slope))
            return loss
        gradients = self._gradients(logits, slope, owner, losses.shape[-1])
        gram = torch.zeros(*losses.shape, losses.shape[-1], device=losses.device)
        for gradient in gradients.values():
            gram += gradient @ gradient.mT
        weights = self._weigh(losses, gram / (task_weight[..., None] * task_weight[..., None, :]))
        for p, gradient in gradients.items():
            _add_gradient(p, (weights[..., None, :] @ gradient).reshape(p.shape))
        if self.own:
            if self.balancing.weighs_heads:
                slope = slope * self._of_outputs(weights, owner, slope)
            of_own = torch.autograd.grad(logits, self.own, slope, allow_unused=True)
            for p, grad in zip(self.own, of_own, strict=True):
                if grad is not None:
                    _add_gradient(p, grad)
        return loss

    def _weigh(self, losses: Tensor, gram: Tensor | None) -> Tensor:
        """The weights (..., n_tasks), and the gradient of the balancing's own parameters."""
        weights: Tensor = self.balancing(losses, gram)
        if weights.shape != losses.shape:
            raise ValueError(
                f"weights of shape {tuple(weights.shape)} for tasks of shape {tuple(losses.shape)}"
            )
        objective = self.balancing.objective(losses, gram)
        if objective is not None:
            objective.sum().backward()
        return weights.detach()

    def _of_outputs(self, weights: Tensor, owner: Tensor, slope: Tensor) -> Tensor:
        """The weights (..., n_tasks) of the tasks of all outputs, to multiply a slope by."""
        between = slope.dim() - weights.dim()
        of_outputs = weights[..., owner]
        return of_outputs.reshape(*weights.shape[:-1], *[1] * between, len(owner))

    def _gradients(
        self, logits: Tensor, slope: Tensor, owner: Tensor, n_tasks: int
    ) -> dict[Tensor, Tensor]:
        """Gradients of the losses of all tasks, (..., n_tasks, size), by shared parameter."""
        tasks = torch.arange(n_tasks, device=owner.device)
        masks = (owner == tasks[:, None]).reshape(n_tasks, *[1] * (slope.dim() - 1), len(owner))
        parts: list[Any] = [
            self._gradients_along(logits, slope * masks[start : start + _AT_A_TIME])
            for start in range(0, n_tasks, _AT_A_TIME)
        ]
        of_parameters = {}
        for p, *of_p in zip(self.shared, *parts, strict=True):
            if of_p[0] is not None:
                of_tasks = torch.cat(of_p) if len(of_p) > 1 else of_p[0]
                of_parameters[p] = of_tasks.flatten(self.n_dims + 1).movedim(0, self.n_dims)
        return of_parameters

    def _gradients_along(self, logits: Tensor, slopes: Tensor) -> Sequence[Tensor | None]:
        """Gradients (n_slopes, ...) of each shared parameter, None where none depends on it."""
        if self.batched is None:
            try:
                with batched_or_error():
                    grads = gradients_along(logits, self.shared, slopes, batched=True)
                self.batched = True
                return grads
            except Exception:  # whatever an operation of the user's may raise
                self.batched = False
        return gradients_along(logits, self.shared, slopes, batched=self.batched)


def _add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """What a backward pass does."""
    if parameter.grad is not None:
        parameter.grad = parameter.grad + gradient
        return
    if gradient.stride() != parameter.stride():  # fused optimizers go through memory in order
        gradient = torch.empty_like(parameter).copy_(gradient)
    parameter.grad = gradient


_RULE = (
    f"The 'balancing' parameter must be None, one of {sorted(BALANCINGS)}, a Balancing (a class or "
    "an instance), or a torch module that is called with the inner products (n_tasks, n_tasks) of "
    "the tasks' gradients and returns their weights, finite and of shape (n_tasks,)"
)


def make_balancing(net: MultiTaskNet) -> Balancing | None:
    """The balancing of a net whose tasks are known."""
    given, options = net.balancing, net.get_params_for("balancing")
    if given is None:
        return None
    if isinstance(given, nn.Module) and not options:
        made = copy.deepcopy(given)
    else:
        factory = BALANCINGS[given] if isinstance(given, str) else given
        sizes = {"n_tasks": net._layout.n_tasks, "task_types": net._layout.task_types}
        with named_in_errors("balancing", given, options):
            options = {**wanted_arguments(factory, sizes), **options}
            made = net.initialized_instance(factory, options)
    if not isinstance(made, nn.Module):
        raise ValueError(f"{_RULE}. Got {given!r}, which gives {made!r}.")
    made = made if isinstance(made, Balancing) else OfGramian(made)
    if net.compile and made.needs_gradients:
        raise ValueError(
            "The 'compile' parameter must be False where the 'balancing' needs the gradient of "
            f"each task. Got compile={net.compile!r} with balancing={given!r}."
        )
    return made


def check_balanced(net: MultiTaskNet, *, own_loss: bool) -> None:
    """Refuse a built net whose tasks cannot be weighed. `own_loss`: whether its class takes the
    loss of batches from its criterion alone."""
    if not own_loss or not has_parts_a_task(uncompiled(net.criterion_)):
        raise ValueError(
            "The 'balancing' parameter must be None where the loss has no part for each task: the "
            "'criterion' must be MultiTaskLoss, or a subclass that changes its 'of_labels' alone. "
            f"Got balancing={net.balancing!r} with criterion={net.criterion!r}."
        )
    BalancedStep.of_net(net)


def try_balancing(net: MultiTaskNet, output: Tensor, target: Mapping[str, Tensor]) -> None:
    """Weigh the tasks of a batch, so that what is wrong shows before training; nothing is kept."""
    try:
        BalancedStep.of_net(net, copy.deepcopy(net.balancing_)).backward(output, target)
        grads = [p.grad for p in net.module_.parameters() if p.grad is not None]
        if not all(bool(grad.isfinite().all()) for grad in grads):
            raise ValueError("it gives weights that are not finite")
    except Exception as error:  # whatever a balancing of the user's may raise
        raise ValueError(
            f"{_RULE}. Got {net.balancing!r}: {type(error).__name__}: {error}"
        ) from error
    finally:
        net.module_.zero_grad()
