"""Gradients of populations, while a net that they share trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity
from skorch.callbacks import Callback
from skorch.utils import to_tensor
from torch import Tensor

from skgroup.training import MultiTaskNet
from skgroup.training.task_gradients import batched_or_error, gradients_along

#: Rows of which a batch is made: the gradients of all populations in one are computed at once.
AT_A_TIME = 256


class CosineRecorder(Callback):
    """Cosines of the gradients of populations' losses, at the end of every `every`-th epoch.

    Parameters
    ----------
    dataset : TaskDataset
        Rows in the order of their populations.
    codes : ndarray of int of shape (n_samples,)
        The population of each.
    n_tasks : int
    every : int
        The first epoch is recorded too.

    Attributes
    ----------
    cosines_ : ndarray of shape (n_tasks, n_tasks)
        Their mean over the epochs; 0 where one of the two has no gradient.
    """

    def __init__(self, dataset: Any, codes: NDArray[np.intp], n_tasks: int, every: int) -> None:
        self.dataset, self.codes, self.n_tasks, self.every = dataset, codes, n_tasks, every

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self.recorded_: list[NDArray[np.float64]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if (len(net.history) - 1) % self.every == 0:
            gradients = gradients_of(net, self.dataset, self.codes, self.n_tasks)
            self.recorded_.append(cosine_similarity(gradients.double().numpy(force=True)))

    def state_dict(self) -> dict[str, Any]:
        """What was recorded so far, for a training that goes on."""
        return {"recorded_": self.recorded_}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.recorded_ = [*state["recorded_"]]

    @property
    def cosines_(self) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.mean(self.recorded_, axis=0)
        return mean


def gradients_of(net: MultiTaskNet, dataset: Any, codes: NDArray[np.intp], n_tasks: int) -> Tensor:
    """Gradients (n_tasks, n_parameters) of the summed loss of each population's rows, of a net as
    it predicts, for all parameters that are trained."""
    net.module_.eval()  # the next step of training sets it back
    parameters = [p for p in net.module_.parameters() if p.requires_grad]
    total = torch.zeros(n_tasks, sum(p.numel() for p in parameters), device=parameters[0].device)
    start = 0
    for x, target in net.get_iterator(dataset, training=False):
        target = to_tensor(target, total.device)
        n_rows = len(target["codes"])
        # Rows of a population stand together: few populations are in a batch.
        tasks, of_row = np.unique(codes[start : start + n_rows], return_inverse=True)
        start += n_rows
        outputs = net.infer(x)
        leaf = outputs.detach().requires_grad_()
        n_counted = target["weight"].sum() if "weight" in target else n_rows
        loss = net.get_loss(leaf, target, training=True) * n_counted  # which is a mean
        (slope,) = torch.autograd.grad(loss, leaf)
        here = torch.from_numpy(of_row == np.arange(len(tasks))[:, None]).to(slope.device)
        slopes = slope * here.reshape(*here.shape, *[1] * (slope.dim() - 1))
        total[torch.from_numpy(tasks).to(total.device)] += _along(outputs, parameters, slopes)
    return total


def _along(outputs: Tensor, parameters: Sequence[Tensor], slopes: Tensor) -> Tensor:
    """Gradients (n_slopes, n_parameters), all slopes at once where the module allows it."""
    try:
        with batched_or_error():
            found = gradients_along(outputs, parameters, slopes, batched=True)
    except Exception:  # whatever an operation of the user's may raise where it cannot be batched
        found = gradients_along(outputs, parameters, slopes, batched=False)
    rows = [
        slopes.new_zeros(len(slopes), p.numel()) if grad is None else grad.flatten(1)
        for grad, p in zip(found, parameters, strict=True)
    ]
    return torch.cat(rows, dim=1)
