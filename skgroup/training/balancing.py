"""Balancing: how much each task counts in a training step, where the steps themselves decide it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor, nn

from skgroup.nn.draws import draw_words, new_state
from skgroup.tasks import KINDS

__all__ = ["BALANCINGS", "Balancing", "GradNorm", "OfGramian", "PCGrad", "UncertaintyWeighting"]


class Balancing(nn.Module):
    """Weighs the tasks anew in each training step: the base class.

    A step of `MultiTaskNet` moves the shared parameters along Σ_t v_t ∇L_t, v what `forward`
    returns. The parameters of a balancing are trained by the net's optimizer, with the gradient of
    its `objective`.

    A subclass is given as `MultiTaskNet(balancing=...)`, the class or an instance. The class is
    built with those of `n_tasks` (int) and `task_types` (tuple of str, one a task) that its
    signature takes, and with what the net was given by prefix (`balancing__alpha`).

    Attributes
    ----------
    needs_gradients : bool, default=False
        Whether `forward` is given the inner products of the tasks' gradients, which cost a
        backward pass for each task.
    layers : {"all", "last"}, default="all"
        Which shared parameters these gradients are of: "last" is the last shared layer, which
        costs less and is for balancings that weigh heads, too.
    weighs_heads : bool, default=True
        Whether the weights are also those of the losses that the tasks' own parameters (heads)
        learn by; else these learn by the loss of their task as it is.
    """

    needs_gradients: ClassVar[bool] = False
    layers: str = "all"
    weighs_heads: ClassVar[bool] = True

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """The weights of the tasks.

        Parameters
        ----------
        losses : Tensor of shape (n_tasks,)
            Mean loss of each task over its labels in the batch, without its `task_weight`; 0 for
            a task without any. What belongs to no such task is no matter.
        gram : Tensor of shape (n_tasks, n_tasks), or None
            Inner products of the gradients of these losses for the shared parameters, where
            `needs_gradients`.

        Returns
        -------
        weights : Tensor of shape (n_tasks,)
            The `task_weight` of the net multiplies them.
        """
        raise NotImplementedError

    def objective(self, losses: Tensor, gram: Tensor | None = None) -> Tensor | None:
        """What the balancing's own parameters minimise, (); None if it has none.

        Called after `forward`, with the same.
        """
        return None


class UncertaintyWeighting(Balancing):
    """Weighs each task by a variance that is learned with the net [1]_.

    With s_t = log σ_t², the parameters of net and balancing minimise

        Σ_t c_t exp(-s_t) L_t + s_t / 2,

    c_t = 1/2 for regression tasks and 1 for those with classes. A task without any label in the
    batch adds nothing, s_t included.

    Parameters
    ----------
    task_types : sequence of str, one a task
        "binary", "multiclass" or "regression"; given by `MultiTaskNet`.

    Attributes
    ----------
    log_variance : Parameter of shape (n_tasks,)
        The s_t, 0 at first.

    References
    ----------
    .. [1] A. Kendall, Y. Gal, R. Cipolla, "Multi-task learning using uncertainty to weigh losses
       for scene geometry and semantics", CVPR 2018, arXiv:1705.07115, equations 7 and 10.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > X[:, 2]])
    >>> net = MultiTaskNet(balancing="uncertainty", max_epochs=5, random_state=0).fit(X, Y)
    >>> net.balancing_.log_variance.shape
    torch.Size([2])
    """

    scale: Tensor

    def __init__(self, task_types: Sequence[str]) -> None:
        super().__init__()
        scale = [1.0 if KINDS[name].has_classes else 0.5 for name in task_types]
        self.register_buffer("scale", torch.tensor(scale))
        self.log_variance = nn.Parameter(torch.zeros(len(scale)))

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """Weights c_t exp(-s_t), (n_tasks,)."""
        return self.scale * torch.exp(-self.log_variance)

    def objective(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """Σ_t c_t exp(-s_t) L_t + s_t / 2 over the tasks with labels."""
        terms = self(losses) * losses + self.log_variance / 2
        return torch.where(losses != 0, terms, 0).sum(-1)


class GradNorm(Balancing):
    """Weighs tasks so that all learn at a similar pace, by the sizes of their gradients [1]_.

    With G_t = w_t ‖∇L_t‖, L_t's ratio to its value in the first batch L̃_t, and means over the
    tasks with labels in the batch, the weights w minimise

        Σ_t | G_t − mean(G) · (L̃_t / mean(L̃))^α |,

    the second part of each difference taken as constant. They start at 1 and are brought back to
    the sum n_tasks before each step.

    Parameters
    ----------
    n_tasks : int
        Given by `MultiTaskNet`.
    alpha : float, default=1.5
        How strongly tasks that learn more slowly than others are pushed; 0 makes all gradients
        equally large. The paper has 1.5 and .12.
    layers : {"last", "all"}, default="last"
        Whose gradients are measured: those of the last shared layer, as in the paper, which saves
        time, or of all shared parameters.

    Attributes
    ----------
    task_weight : Parameter of shape (n_tasks,)
        The w_t.
    first_losses : Tensor of shape (n_tasks,)
        Losses in the first batch that held a label of the task.

    Notes
    -----
    The last shared layer is the last part of the module, in the order in which it was built, with a
    matrix of weights that all tasks share. The weights of the tasks are trained by the net's
    optimizer, at its learning rate but where `optimizer__param_groups` says otherwise.

    References
    ----------
    .. [1] Z. Chen, V. Badrinarayanan, C.-Y. Lee, A. Rabinovich, "GradNorm: gradient normalization
       for adaptive loss balancing in deep multitask networks", ICML 2018, arXiv:1711.02257,
       equations 1 and 2, algorithm 1.
    """

    needs_gradients = True
    alpha: float
    task_weight: nn.Parameter
    total: Tensor
    first_losses: Tensor

    def __init__(self, n_tasks: int, alpha: float = 1.5, layers: str = "last") -> None:
        super().__init__()
        if not isinstance(alpha, Real) or not alpha >= 0:
            raise ValueError(f"alpha must be a number >= 0. Got {alpha!r}.")
        if layers not in ("last", "all"):
            raise ValueError(f"layers must be 'last' or 'all'. Got {layers!r}.")
        self.layers = layers
        self.alpha = float(alpha)
        self.task_weight = nn.Parameter(torch.ones(n_tasks))
        self.register_buffer("total", torch.tensor(float(n_tasks)))
        self.register_buffer("first_losses", torch.zeros(n_tasks))

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """The weights w, (n_tasks,), brought to their sum."""
        first = self.first_losses
        first.copy_(torch.where(first == 0, losses, first))
        with torch.no_grad():
            weight = self.task_weight.clamp_(min=1e-6)  # an optimizer may step across 0
            weight *= (self.total / weight.sum(-1))[..., None]
        return self.task_weight

    def objective(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """The sum of the differences between sizes of gradients and those to be reached."""
        assert gram is not None
        present = losses != 0
        n_present = present.sum(-1, keepdim=True).clamp(min=1)
        sizes = self.task_weight * gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
        ratio = losses / torch.where(present, self.first_losses, 1)
        pace = ratio / torch.where(present, ratio.sum(-1, keepdim=True) / n_present, 1)
        aim = sizes.sum(-1, keepdim=True) / n_present * pace**self.alpha
        return torch.where(present, (sizes - aim.detach()).abs(), 0).sum(-1)


class PCGrad(Balancing):
    """Takes out of each task's gradient what conflicts with another's: gradient surgery [1]_.

    The gradient of each task is compared with those of all others, in random order; where the
    inner product is negative, it is projected onto the normal plane of the other. The shared
    parameters move along the sum of what is left; heads learn by the loss of their task.

    Notes
    -----
    A projected gradient is a combination of the gradients of the tasks, so that their inner
    products are all that is needed to find it. In the authors' code, heads are parts of the
    gradients; here they are not, as no two tasks share one.

    References
    ----------
    .. [1] T. Yu, S. Kumar, A. Gupta, S. Levine, K. Hausman, C. Finn, "Gradient surgery for
       multi-task learning", NeurIPS 2020, arXiv:2001.06782, algorithm 1.
    """

    needs_gradients = True
    weighs_heads = False
    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", new_state())

    def orders(self, n_tasks: int) -> Tensor:
        """A random order of all tasks for each task, (n_tasks, n_tasks), which a net of more tasks
        that begin with these would draw too."""
        task = torch.arange(n_tasks, device=self.state.device)
        places = (task[:, None] * _MOST_TASKS + task + 1).flatten()
        end = torch.full((1,), _MOST_TASKS**2, device=self.state.device)
        words = draw_words(self.state, torch.cat([places, end]))[..., :-1]
        return words.unflatten(-1, (n_tasks, n_tasks)).argsort(-1)

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """How often each gradient stands in the sum of the projected ones, (n_tasks,)."""
        assert gram is not None
        n_tasks = losses.shape[-1]
        # Row t: the projected gradient of task t, as a combination of all gradients.
        rows = torch.eye(n_tasks, device=gram.device, dtype=gram.dtype).expand_as(gram).clone()
        square = gram.diagonal(dim1=-2, dim2=-1)
        square = torch.where(square > 0, square, 1)
        orders = self.orders(n_tasks)
        itself = torch.arange(n_tasks, device=gram.device)
        for other in orders.unbind(-1):  # one projection follows upon the other
            others = other[..., None].expand_as(gram)
            product = (rows * gram.gather(-2, others)).sum(-1)
            share = product.clamp(max=0) / square.gather(-1, other)
            share = torch.where(other == itself, 0, share)
            rows.scatter_add_(-1, other[..., None], -share[..., None])
        return rows.sum(-2)


#: Tasks that orders are drawn for without drawing the same again at the next step.
_MOST_TASKS = 2**20


class OfGramian(Balancing):
    """A torch module of another's that turns the inner products of gradients into weights.

    Parameters
    ----------
    weighting : torch.nn.Module
        Called with the inner products (n_present, n_present) of the gradients of the tasks that
        have labels in the batch; returns their weights (n_present,).
    """

    needs_gradients = True
    weighs_heads = False

    def __init__(self, weighting: nn.Module) -> None:
        super().__init__()
        self.weighting = weighting

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """The weights of the tasks, (n_tasks,), 0 without labels."""
        assert gram is not None
        present = losses != 0
        weights = torch.zeros_like(losses)
        if bool(present.any()):
            weights[present] = self.weighting(gram[present][:, present]).to(weights)
        return weights


#: What the strings of `MultiTaskNet(balancing=...)` stand for.
BALANCINGS: dict[str, type[Balancing]] = {
    "uncertainty": UncertaintyWeighting,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
}
