"""Multi-task architectures: all experts, gates and towers at once, beside one after another."""

import torch
from torch import nn

from benchmarks.harness import case, compare, torch_threads
from skgroup.nn import PLE, AdaTT, MultiLevelMMoE

N_FEATURES, BATCH = 64, 512


def linears(block):
    """The layers that a batched linear layer stands for, with its weights."""
    sizes = (block.n_layers, block.n_out)
    weights, biases = block.weight.unflatten(0, sizes), block.bias.unflatten(0, sizes)
    layers = []
    for weight, bias in zip(weights, biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers.append(layer)
    return nn.ModuleList(layers)


class LoopLevel(nn.Module):
    """A level as its equations stand: a loop over experts, and one over gates.

    Expert e is given the input of unit `owner[e]`; the gate of unit u sees the experts
    `seen[u]`, all if None. With `one_product`, a single batched product serves all gates.
    """

    def __init__(self, experts, gates, owner, seen=None, native=None, one_product=False):
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(e, nn.ReLU()) for e in linears(experts[0]))
        self.gates = nn.ModuleList(layer for g in gates for layer in linears(g.out))
        self.owner, self.seen, self.one_product = owner, seen, one_product
        self.native = None if native is None else nn.Parameter(native.weight.detach().clone())

    def forward(self, inputs, of_gates):
        outputs = [expert(inputs[u]) for expert, u in zip(self.experts, self.owner, strict=True)]
        gates = [gate(h).softmax(1) for gate, h in zip(self.gates, of_gates, strict=False)]
        if self.seen is None:
            everything = torch.stack(outputs, dim=1)
        if self.one_product:
            fused = list(torch.bmm(torch.stack(gates, dim=1), everything).unbind(1))
        else:
            fused = []
            for u, gate in enumerate(gates):
                if self.seen is not None:
                    everything = torch.stack([outputs[e] for e in self.seen[u]], dim=1)
                fused.append(torch.einsum("be,bew->bw", gate, everything))
        if self.native is not None:
            for e, v in enumerate(self.native.unbind()):
                fused[self.owner[e]] = fused[self.owner[e]] + v * outputs[e]
        return fused


class Loop(nn.Module):
    """A network of such levels, and a loop over towers."""

    def __init__(self, net, levels, gates_see_x=False):
        super().__init__()
        self.levels, self.gates_see_x = nn.ModuleList(levels), gates_see_x
        self.hidden, self.out = linears(net.towers.hidden[0]), linears(net.towers.out)

    def forward(self, x):
        inputs = [x] * len(self.levels[0].experts)
        for level in self.levels:
            inputs = level(inputs, [x] * len(level.gates) if self.gates_see_x else inputs)
        towers = zip(self.hidden, self.out, inputs, strict=False)
        return torch.cat([out(hidden(h).relu()) for hidden, out, h in towers], dim=1)


def adatt(n_tasks, one_product=False):
    net = AdaTT((1,) * n_tasks, N_FEATURES, n_task_experts=2, n_shared_experts=2)
    owner = net.units.owner.tolist()
    levels = [
        LoopLevel(level.experts.mlp, [level.gates], owner, None, level.native, one_product)
        for level in net.levels
    ]
    return net, Loop(net, levels)


def one_product(n_tasks):
    return adatt(n_tasks, one_product=True)


def ple(n_tasks):
    net = PLE((1,) * n_tasks, N_FEATURES, n_task_experts=2, n_shared_experts=2)
    owner = net.units.owner.tolist()
    n_experts = len(owner)
    seen = [[2 * t, 2 * t + 1, n_experts - 2, n_experts - 1] for t in range(n_tasks)]
    levels = [LoopLevel(level.experts.mlp, [level.gates], owner, seen) for level in net.levels]
    levels[0].gates += linears(net.levels[0].shared_gate.out)
    levels[0].seen = [*seen, range(n_experts)]
    return net, Loop(net, levels)


def mmoe(n_tasks):
    n_experts = 2 * n_tasks
    net = MultiLevelMMoE((1,) * n_tasks, N_FEATURES, n_experts=n_experts)
    levels = [LoopLevel(level.experts, [level.gates], range(n_experts)) for level in net.levels]
    return net, Loop(net, levels, gates_see_x=True)


def step(net, x):
    net.zero_grad()
    net(x).sum().backward()


@case("architectures", target="AdaTT, ML-MMoE: ≥ 1x at 2 tasks, ≥ 3x at 20, ≥ 8x at 100; PLE: ≥ 1x")
def architectures(size, repeats):
    """Forward and backward. A second thread tells something only on a machine that is idle."""
    makers = [
        ("AdaTT", adatt, "(loops)"),
        ("ML-MMoE", mmoe, "(loops)"),
        ("PLE", ple, "(loops)"),
        ("AdaTT", one_product, "(loops, but one product for all gates)"),
    ]
    # More runs where they are short.
    for n_tasks, least, several in [(2, 1, 8), (20, 3, 3), (100, 8, 1)]:
        for name, make, rival in makers:
            torch.manual_seed(0)
            x = torch.randn(BATCH, N_FEATURES)
            ours, loops = make(n_tasks)
            torch.testing.assert_close(ours(x), loops(x), atol=1e-4, rtol=1e-3)
            promised = {adatt: least, mmoe: least, ple: 1}.get(make, 0)
            for n_threads in (1, 2) if size == "full" else (1,):
                with torch_threads(n_threads):
                    step(ours, x)
                    step(loops, x)
                    times = compare(
                        lambda ours=ours, x=x: step(ours, x),
                        lambda loops=loops, x=x: step(loops, x),
                        several * repeats,
                    )
                yield times.row(
                    f"{name}, {n_tasks} tasks x 2 experts, 2 levels, batch {BATCH}, "
                    f"threads: {n_threads}",
                    rival=rival,
                    target=f"≥ {promised}" if promised else "",
                    at_least=promised,
                )
