"""Affinities as they are defined: a copy of the module for every task, a loop over all."""

import copy

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from skgroup import MultiTaskNet
from skgroup.nn import LinearHeads
from skgroup.nn._network import LevelNetwork


class Normed(nn.Module):
    """Batch norm and dropout between the layers."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(n_features, 12),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(12, 8),
            nn.ReLU(),
        )
        self.heads = LinearHeads(8, n_outputs)

    def forward(self, x):
        return self.heads(self.trunk(x))


class Unbatchable(Normed):
    def forward(self, x):
        hidden = self.trunk(x)
        return self.heads(hidden if float(hidden.detach().sum()) < np.inf else -hidden)


class Towers(nn.Module):
    """A user's module: heads of its own, a list of outputs, dropout as a function."""

    def __init__(self, n_features, task_outputs):
        super().__init__()
        self.below = nn.Linear(n_features, 10)
        self.towers = nn.ModuleList(nn.Linear(10, k) for k in task_outputs)

    def shared_parameters(self):
        return self.below.parameters()

    def forward(self, x):
        hidden = F.dropout(self.below(x).tanh(), 0.2, self.training)
        return [tower(hidden) for tower in self.towers]


def shared_of(module):
    if isinstance(module, Towers):
        return dict(module.below.named_parameters(prefix="below"))
    if isinstance(module, LevelNetwork):
        own = ("towers", "levels.1.gates", "levels.1.native")
        return {k: p for k, p in module.named_parameters() if not k.startswith(own)}
    return dict(module.trunk.named_parameters(prefix="trunk"))


LOSSES = {"squared_error": F.mse_loss, "absolute_error": F.l1_loss, "huber": F.huber_loss}


def literal_losses(net, module, x, target, class_weight):
    """One task after another, one sample after another's weight: mean over observed labels."""
    output = module(x)
    if not isinstance(output, list) and output.dim() == 3:  # the mean of the members' losses
        members = [
            losses_of_output(net, logits, target, class_weight) for logits in output.unbind(1)
        ]
        return [
            None if of[0] is None else torch.stack(of).mean() for of in zip(*members, strict=True)
        ]
    return losses_of_output(net, output, target, class_weight)


def losses_of_output(net, output, target, class_weight):
    if not isinstance(output, list):
        output = output.split(net.task_outputs_, dim=1)
    of_numbers = LOSSES[net.get_params().get("criterion__regression_loss", "squared_error")]
    losses = []
    for t, logits in enumerate(output):
        logits = logits.double()  # so that 1 - L'/L loses little
        codes = target["codes"][:, t].long()
        seen = codes >= 0
        if not seen.any():
            losses.append(None)
            continue
        logits, codes = logits[seen], codes[seen]
        if net.task_types_[t] == "regression":
            loss = of_numbers(logits[:, 0], target["values"][seen, t].double(), reduction="none")
        elif logits.shape[1] == 1:
            loss = F.binary_cross_entropy_with_logits(logits[:, 0], codes.float(), reduction="none")
        else:
            loss = F.cross_entropy(logits, codes, reduction="none")
        loss = loss * class_weight[t][codes]
        s = target["weight"][seen] if "weight" in target else torch.ones(len(codes))
        losses.append((s * loss).sum() / s.sum())
    return losses


def balanced(Y):
    weights = []
    for column in Y.T:
        column = column[~np.isnan(column)]
        n = np.unique(column, return_counts=True)[1]
        if (column != np.floor(column)).any():
            weights.append(torch.ones(1))
            continue
        w = [1.0, n[0] / n[1]] if len(n) == 2 else n.sum() / (len(n) * n)
        weights.append(torch.tensor(w, dtype=torch.float32))
    return weights


class Literal(Callback):
    """The definitions, a deep copy of the module for every task, then for every set of tasks."""

    found: dict = {}  # noqa: RUF012 - one dict, found again after the estimator was cloned
    class_weight: list = []  # noqa: RUF012

    def __init__(self, every, momentum=0.0, scale_by_lr=False, sets=(), weights_only=False):
        self.every, self.momentum, self.scale_by_lr = every, momentum, scale_by_lr
        self.sets, self.weights_only = sets, weights_only

    def on_train_begin(self, net, **kwargs):
        self.step, self.buffer = 0, {}
        Literal.found.update(lookahead=[], gradient=[], cosine=[])

    def on_batch_begin(self, net, batch, training, **kwargs):
        if not training:
            return
        if self.step % self.every == 0:
            with torch.random.fork_rng():
                self.look(net, batch)
        self.step += 1

    def look(self, net, batch):
        x, target = batch
        n = len(net.task_outputs_)
        state = torch.get_rng_state()
        rate_of = {
            id(p): group["lr"] for group in net.optimizer_.param_groups for p in group["params"]
        }
        rates = {k: rate_of[id(p)] for k, p in shared_of(net.module_).items()}
        steps = [*([i] for i in range(n)), *self.sets]
        lookahead, first_order, cosine = np.full((3, len(steps), n), np.nan)
        gradients = {}
        for i, members in enumerate(steps):
            module = copy.deepcopy(net.module_).train()
            torch.set_rng_state(state)
            before = literal_losses(net, module, x, target, self.class_weight)
            losses = [before[k] for k in members if before[k] is not None]
            if not losses:
                continue
            shared = shared_of(module)
            gradient = torch.autograd.grad(sum(losses), list(shared.values()))
            gradients[i] = dict(zip(shared, gradient, strict=True))
            with torch.no_grad():
                for name, p in shared.items():
                    update = gradients[i][name] + self.momentum * self.buffer.get(name, 0.0)
                    p -= rates[name] * update
            torch.set_rng_state(state)
            for name, buffer in module.named_buffers():
                if name.endswith(".state"):  # of Dropout, which the first pass has moved on
                    buffer.copy_(net.module_.get_buffer(name))
            after = literal_losses(net, module, x, target, self.class_weight)
            for j in range(n):
                if before[j] is not None:
                    lookahead[i, j] = 1 - after[j].item() / before[j].item()
        for i, own in gradients.items():
            for j, other in gradients.items():
                if j >= n:
                    continue
                first_order[i, j] = (
                    sum(
                        rates[k]
                        * ((own[k] + self.momentum * self.buffer.get(k, 0.0)) * other[k]).sum()
                        for k in own
                    )
                    / before[j].item()
                )
                flat = [
                    torch.cat(
                        [g.flatten() for g in of.values() if g.dim() > 1 or not self.weights_only]
                    )
                    for of in (own, other)
                ]
                cosine[i, j] = F.cosine_similarity(*flat, dim=0)
        scale = max(rates.values()) if self.scale_by_lr else 1.0
        Literal.found["lookahead"].append(lookahead / scale)
        Literal.found["gradient"].append(first_order / scale)
        Literal.found["cosine"].append(cosine)

    def on_batch_end(self, net, batch, training, **kwargs):
        for name, p in shared_of(net.module_).items():
            if training:
                self.buffer[name] = self.momentum * self.buffer.get(name, 0.0) + p.grad

    @classmethod
    def mean(cls, method):
        return np.nanmean(cls.found[method], axis=0)


def net_of(module, literal, **params):
    params = {"max_epochs": 3, "batch_size": 32, "lr": 0.05, "random_state": 0} | params
    return MultiTaskNet.stg_mtl(module, callbacks=[literal, *params.pop("callbacks", [])], **params)


NARROW = {
    "module__expert_hidden_units": (8, 4),
    "module__tower_hidden_units": (4,),
    "module__n_task_experts": (1, 2, 1, 1, 1),
}
