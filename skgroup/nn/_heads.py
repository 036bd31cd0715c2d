"""The heads of all tasks."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["LinearHeads"]


class LinearHeads(nn.Linear):
    """The linear heads of all tasks, as one layer: a `torch.nn.Linear` with a row a logit.

    A module of yours that ends in such a layer can be trained in stacks and started from a net
    of more tasks, and relations know which of its parameters the tasks share.
    """

    def weights_of_tasks(self, tasks: Tensor, outputs: Tensor) -> dict[str, Tensor]:
        """The weights of some tasks, see `MultiTaskNet.load_tasks`.

        Parameters
        ----------
        tasks : Tensor of shape (n_kept,)
            Positions of tasks.
        outputs : Tensor of shape (n_kept_outputs,)
            Positions of their logits.

        Returns
        -------
        weights : dict of str to Tensor
        """
        return {name: parameter.detach()[outputs] for name, parameter in self.named_parameters()}
