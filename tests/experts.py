"""Architectures and their transcriptions, for the tests of both kinds."""

import torch
from torch import nn

from skgroup.nn import PLE, AdaTT, AdaTTSp, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom
from skgroup.nn._blocks import BlockLinear

N_FEATURES = 5


TASKS = (1, 3, 1)


LEVELS = ((6, 5), 4, (3,))


def split(layer, sizes):
    """The linear layers that make up a batched one: weight and bias of each."""
    assert len(layer.bias) == sum(sizes)
    return list(zip(layer.weight.split(sizes), layer.bias.split(sizes), strict=True))


def perceptrons(part, n):
    """`n` perceptrons, as functions; ReLU behind every layer."""
    layers = [split(b, [len(b.bias) // n] * n) for b in part.modules() if type(b) is BlockLinear]

    def one(i):
        def run(x):
            for layer in layers:
                weight, bias = layer[i]
                x = torch.relu(x @ weight.T + bias)
            return x

        return run

    return [one(i) for i in range(n)]


def gates_of(part, sizes):
    """Softmax gates, as functions."""
    linear, hidden = split(part.out, sizes), perceptrons(part.hidden, len(sizes))

    def one(i):
        weight, bias = linear[i]
        return lambda x: torch.softmax(hidden[i](x) @ weight.T + bias, dim=1)

    return [one(i) for i in range(len(sizes))]


def weighted(weights, outputs):
    """Σ_e w_e · E_e with w (batch, n_experts) or (n_experts,)."""
    return sum(weights[..., e, None] * output for e, output in enumerate(outputs))


def shared_bottom(net, x):
    (bottom,) = perceptrons(net.bottom, 1)
    return [bottom(x)] * net.n_tasks, []


def mmoe(net, x, n_experts):
    inputs, shares = [x] * n_experts, []
    for level in net.levels:
        n_gates = net.n_tasks if level is net.levels[-1] else n_experts
        experts = perceptrons(level.experts, n_experts)
        outputs = [expert(h) for expert, h in zip(experts, inputs, strict=True)]
        weights = [gate(x) for gate in gates_of(level.gates, [n_experts] * n_gates)]
        inputs = [weighted(w, outputs) for w in weights]
        shares.append(torch.stack(weights, dim=1))
    for i in reversed(range(len(shares) - 1)):
        shares[i] = shares[i + 1] @ shares[i]
    return inputs, [share.mean(0) for share in shares]


def cross_stitch(net, x):
    inputs, found = [x] * net.n_tasks, []
    for level in net.levels:
        experts = perceptrons(level.experts, net.n_tasks)
        outputs = [expert(h) for expert, h in zip(experts, inputs, strict=True)]
        inputs = [weighted(row, outputs) for row in level.stitch.weight]
        found.append(level.stitch.weight)
    return inputs, found


def ple(net, x, n_task_experts, n_shared):
    n_tasks, n_experts = net.n_tasks, sum(n_task_experts) + n_shared
    owner = [t for t, m in enumerate([*n_task_experts, n_shared]) for _ in range(m)]
    inputs, found = [x] * (n_tasks + 1), []
    for level in net.levels:
        experts = perceptrons(level.experts, n_experts)
        outputs = [experts[e](inputs[owner[e]]) for e in range(n_experts)]
        gates = gates_of(level.gates, [m + n_shared for m in n_task_experts])
        fused, means = [], torch.zeros(n_tasks, n_experts, dtype=x.dtype)
        for t, gate in enumerate(gates):
            seen = [e for e in range(n_experts) if owner[e] in (t, n_tasks)]
            weights = gate(inputs[t])
            fused.append(weighted(weights, [outputs[e] for e in seen]))
            means[t, seen] = weights.mean(0)
        if level is not net.levels[-1]:
            (gate,) = gates_of(level.shared_gate, [n_experts])
            fused.append(weighted(gate(inputs[n_tasks]), outputs))
        inputs = fused
        found.append(means)
    return inputs, found


def adatt(net, x, n_task_experts, n_shared, native=True):
    counts = [*n_task_experts, n_shared] if n_shared else list(n_task_experts)
    n_tasks, n_experts = net.n_tasks, sum(counts)
    owner = [t for t, m in enumerate(counts) for _ in range(m)]
    inputs, found = [x] * len(counts), []
    for level in net.levels:
        n_fusing = n_tasks if level is net.levels[-1] else len(counts)
        experts = perceptrons(level.experts, n_experts)
        outputs = [experts[e](inputs[owner[e]]) for e in range(n_experts)]
        if native:
            learned = max(counts) > 1
            v = level.native.weight if learned else torch.ones(n_experts, dtype=x.dtype)
        fused, means = [], []
        for u, gate in enumerate(gates_of(level.gates, [n_experts] * n_fusing)):
            weights = gate(inputs[u])
            f = weighted(weights, outputs)
            mean = list(weights.mean(0))
            for e in range(n_experts):
                if native and owner[e] == u:
                    f = f + v[e] * outputs[e]
                    mean[e] = mean[e] + v[e]
            fused.append(f)
            means.append(torch.stack(mean))
        inputs = fused
        found.append(torch.stack(means[:n_tasks]))
    return inputs, found


UNITS = {"n_task_experts": (2, 1, 3), "n_shared_experts": 2}


ONE_EACH = {"n_task_experts": 1, "n_shared_experts": 1}


CASES = {
    "shared-bottom": (SharedBottom, {"hidden_units": (6, 4)}, shared_bottom, ()),
    "mmoe": (MMoE, {"n_experts": 4, "expert_hidden_units": (6, 4)}, mmoe, (4,)),
    "ml-mmoe": (MultiLevelMMoE, {"n_experts": 4}, mmoe, (4,)),
    "cross-stitch": (CrossStitch, {}, cross_stitch, ()),
    "ple": (PLE, {"n_task_experts": 2, "n_shared_experts": 3}, ple, ((2, 2, 2), 3)),
    "ple uneven": (PLE, UNITS, ple, ((2, 1, 3), 2)),
    "adatt": (AdaTT, {"n_task_experts": 2, "n_shared_experts": 2}, adatt, ((2, 2, 2), 2)),
    "adatt uneven": (AdaTT, UNITS, adatt, ((2, 1, 3), 2)),
    "adatt one each": (AdaTT, ONE_EACH, adatt, ((1, 1, 1), 1)),
    "adatt two shared": (AdaTT, {**ONE_EACH, "n_shared_experts": 2}, adatt, ((1, 1, 1), 2)),
    "adatt not native": (AdaTT, {**UNITS, "native": False}, adatt, ((2, 1, 3), 2, False)),
    "adatt-sp": (AdaTTSp, {"n_task_experts": 2}, adatt, ((2, 2, 2), 0)),
    "adatt-sp uneven": (AdaTTSp, {"n_task_experts": (2, 1, 3)}, adatt, ((2, 1, 3), 0)),
    "adatt-sp one each": (AdaTTSp, {}, adatt, ((1, 1, 1), 0)),
}


def build(name, task_outputs=TASKS, **others):
    cls, params, loops, args = CASES[name]
    params = {**params, **others}
    if cls not in (SharedBottom, MMoE):
        params.setdefault("expert_hidden_units", LEVELS)
    net = cls(task_outputs, N_FEATURES, **params)
    for level in net.levels if cls is CrossStitch else ():
        nn.init.normal_(level.stitch.weight)  # where it starts, it is symmetric
    return net, lambda net, x: loops(net, x, *args)


def batch(n=7):
    return torch.randn(n, N_FEATURES, dtype=torch.float64)
