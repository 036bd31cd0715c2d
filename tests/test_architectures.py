"""The architectures, beside their equations with a loop over experts, gates and towers."""

import copy
import functools
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import PLE, AdaTT, AdaTTSp, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom
from skgroup.nn._blocks import BlockLinear
from skgroup.training.engine import fit_many

ALL = [SharedBottom, MMoE, MultiLevelMMoE, CrossStitch, PLE, AdaTT, AdaTTSp]
N_FEATURES = 5
TASKS = (1, 3, 1)
LEVELS = ((6, 5), 4, (3,))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def data():
    """Three binary tasks and one of three classes: X (200, 5), Y (200, 4)."""
    X = np.random.default_rng(0).normal(size=(200, N_FEATURES)).astype(np.float32)
    products = [X[:, 0] > 0, X[:, 1] + X[:, 2] > 0.3, X[:, 2] * X[:, 3] > 0]
    return X, np.column_stack([*products, X[:, :3].argmax(axis=1)])


# -- the equations, with loops -------------------------------------------------------------------


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


def towers_of(net, inputs):
    """The logits of every task."""
    linear = split(net.towers.out, list(net.task_outputs))
    hidden = perceptrons(net.towers.hidden, net.n_tasks)
    logits = []
    for (weight, bias), tower, h in zip(linear, hidden, inputs, strict=True):
        logits.append(tower(h) @ weight.T + bias)
    return torch.cat(logits, dim=1)


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


@pytest.mark.parametrize("gate", [(), (4, 2)], ids=["linear gates", "deep gates"])
@pytest.mark.parametrize("name", CASES)
def test_it_equals_its_equations_with_loops(name, gate):
    has_gates = CASES[name][0] not in (SharedBottom, CrossStitch)
    net, loops = build(name, **({"gate_hidden_units": gate} if has_gates else {}))
    net, x = net.double(), batch()
    fused, means = loops(net, x)
    expected = towers_of(net, fused)
    close = {"atol": 1e-12, "rtol": 1e-10}
    torch.testing.assert_close(net.fused(x), torch.stack(fused, dim=1), **close)
    torch.testing.assert_close(net(x), expected, **close)
    slope = torch.randn_like(expected)
    parameters = list(net.parameters())
    grads = [torch.autograd.grad(out, parameters, slope) for out in (net(x), expected)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, **close)
    if means:
        for ours, theirs in zip(net.expert_weights(x), means, strict=True):
            torch.testing.assert_close(ours, theirs.detach(), **close)
            assert ours.shape == (3, len(net.expert_names()))


@pytest.mark.parametrize("name", CASES)
def test_towers_without_hidden_layers_are_linear(name):
    net, loops = build(name, tower_hidden_units=())
    net, x = net.double(), batch()
    torch.testing.assert_close(net(x), towers_of(net, loops(net, x)[0]), atol=1e-12, rtol=0)


# -- special cases -------------------------------------------------------------------------------


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_ple_with_one_level_is_cgc():
    net = PLE(TASKS, N_FEATURES, **UNITS, expert_hidden_units=((6, 4),)).double()
    x = batch()
    experts = [expert(x) for expert in perceptrons(net.levels[0].experts, 8)]
    own = [experts[:2], experts[2:3], experts[3:6]]
    gates = gates_of(net.levels[0].gates, [4, 3, 5])
    cgc = [weighted(gate(x), [*mine, *experts[6:]]) for gate, mine in zip(gates, own, strict=True)]
    torch.testing.assert_close(net(x), towers_of(net, cgc))
    assert net.levels[0].shared_gate is None
    of_experts = 8 * (6 * 6 + 7 * 4)
    of_towers = 3 * 5 * 32 + 33 * 5
    assert n_parameters(net) == of_experts + (4 + 3 + 5) * 6 + of_towers


def test_mmoe_with_one_expert_is_the_shared_bottom():
    net = MMoE(TASKS, N_FEATURES, n_experts=1, expert_hidden_units=(6, 4))
    bottom = SharedBottom(TASKS, N_FEATURES, hidden_units=(6, 4))
    bottom.bottom.load_state_dict(net.levels[0].experts.state_dict())
    bottom.towers.load_state_dict(net.towers.state_dict())
    x = batch().float()
    torch.testing.assert_close(net(x), bottom(x))
    torch.testing.assert_close(net.expert_weights(x)[0], torch.ones(3, 1))


def test_multi_level_mmoe_with_one_level_is_mmoe():
    x = batch().float()
    torch.manual_seed(1)
    several = MultiLevelMMoE(TASKS, N_FEATURES, expert_hidden_units=((6, 4),))(x)
    torch.manual_seed(1)
    torch.testing.assert_close(MMoE(TASKS, N_FEATURES, expert_hidden_units=(6, 4))(x), several)


def test_native_weights_are_one_where_every_unit_has_one_expert():
    fixed = AdaTT(TASKS, N_FEATURES, **ONE_EACH)
    assert not any("native" in name for name, _ in fixed.named_parameters())
    gates = [level.gates for level in fixed.levels]
    ablated = AdaTT(TASKS, N_FEATURES, **ONE_EACH, native=False)
    assert n_parameters(fixed) == n_parameters(ablated)
    x = batch().float()
    plain = gates[0](x).mean(0)[:3]
    torch.testing.assert_close(fixed.expert_weights(x)[0], plain + torch.eye(3, 4))


@pytest.mark.parametrize("n_task_experts", [2, (4, 1, 1)])
def test_native_weights_start_within_their_bounds(n_task_experts):
    net = AdaTT((1,) * 3, N_FEATURES, n_task_experts=n_task_experts, n_shared_experts=9)
    counts = np.broadcast_to(n_task_experts, 3)
    bound = torch.tensor(np.repeat([*counts, 9], [*counts, 9]) ** -0.5)
    assert len(net.levels[0].native.weight) == counts.sum() + 9
    for level in net.levels:
        weight = level.native.weight
        assert (weight.abs() <= bound[: len(weight)]).all()
        assert weight.std() > 0
    many = AdaTTSp((1,) * 200, 2, n_task_experts=4, expert_hidden_units=(2,))
    drawn = many.levels[0].native.weight.detach().numpy()
    assert kstest(drawn, "uniform", (-0.5, 1)).pvalue > 0.01


def test_adatt_without_shared_experts_is_adatt_sp():
    params = {"n_task_experts": (2, 1, 3), "expert_hidden_units": LEVELS}
    torch.manual_seed(1)
    without = AdaTT(TASKS, N_FEATURES, n_shared_experts=0, **params)
    torch.manual_seed(1)
    sp = AdaTTSp(TASKS, N_FEATURES, **params)
    x = batch().float()
    torch.testing.assert_close(without(x), sp(x), atol=0, rtol=0)
    assert sp.expert_names(["a", "b", "c"]) == ["a #0", "a #1", "b #0", "c #0", "c #1", "c #2"]


@pytest.mark.parametrize("cls", [PLE, AdaTT])
def test_the_shared_unit_does_not_fuse_at_the_last_level(cls):
    net = cls(TASKS, N_FEATURES, n_task_experts=2, n_shared_experts=2, expert_hidden_units=(4, 4))
    n_experts = 8
    a_gate = 2 + 2 if cls is PLE else n_experts
    native = (8, 6) if cls is AdaTT else (0, 0)
    levels = [n_parameters(level) for level in net.levels]
    experts = (n_experts * 6 * 4, n_experts * 5 * 4)
    assert levels[0] == experts[0] + 6 * (3 * a_gate + n_experts) + native[0]
    assert levels[1] == experts[1] + 5 * (3 * a_gate) + native[1]
    assert net.expert_names() == [
        *(f"task {t} #{k}" for t in range(3) for k in range(2)),
        *("shared #0", "shared #1"),
    ]


def test_cross_stitch_starts_near_the_identity():
    (level,) = CrossStitch(TASKS, N_FEATURES, expert_hidden_units=(4,)).levels
    expected = torch.full((3, 3), 0.05).fill_diagonal_(0.9)
    torch.testing.assert_close(level.stitch.weight.detach(), expected)
    alone = CrossStitch((1,), N_FEATURES)
    assert alone.levels[0].stitch.weight.item() == 1


def test_parameters_are_those_of_linear_layers():
    linear = nn.Linear
    net = MultiLevelMMoE(TASKS, N_FEATURES, n_experts=4, expert_hidden_units=LEVELS)
    sizes = [(5, 6), (6, 5), (5, 4), (4, 3)]
    experts = sum(n_parameters(linear(*size)) for size in sizes)
    gates = (4 + 4 + 3) * n_parameters(linear(5, 4))
    towers = 3 * n_parameters(linear(3, 32)) + 5 * 33
    assert n_parameters(net) == 4 * experts + gates + towers
    stitched = CrossStitch(TASKS, N_FEATURES, expert_hidden_units=LEVELS)
    assert n_parameters(stitched) == 3 * experts + 3 * 9 + towers


@pytest.mark.parametrize("shape", [(4, 200), (80, 10)])
def test_layers_start_as_linear_layers_do(shape):
    layer = BlockLinear(9, torch.arange(800).reshape(shape), torch.zeros(4, 3, dtype=torch.long))
    for drawn in (layer.weight, layer.bias):
        values = drawn.detach().flatten().numpy()
        assert kstest(values, "uniform", (-1 / 3, 2 / 3)).pvalue > 0.01
    reference = nn.Linear(9, 10_000)
    for drawn in (reference.weight, reference.bias):  # what torch does
        assert 0.33 < drawn.abs().max() <= 1 / 3


# -- errors --------------------------------------------------------------------------------------

LEVELS_RULE = (
    "expert_hidden_units must have an entry a level, an int or a sequence of ints, and at least "
    "one level. Got "
)
MAKES_RULE = "{} must be a class or function that makes a torch module, as torch.nn.ReLU does. Got "


@pytest.mark.parametrize(
    ("cls", "params", "message"),
    [
        (AdaTT, {"expert_hidden_units": ()}, LEVELS_RULE + "()."),
        (PLE, {"expert_hidden_units": 8}, LEVELS_RULE + "8."),
        (
            CrossStitch,
            {"expert_hidden_units": (8, ())},
            "expert_hidden_units[1] must name at least one layer. Got ().",
        ),
        (
            MultiLevelMMoE,
            {"expert_hidden_units": (8, (4, 0))},
            "expert_hidden_units[1] must be ints >= 1. Got (4, 0).",
        ),
        (
            MMoE,
            {"expert_hidden_units": ()},
            "expert_hidden_units must name at least one layer. Got ().",
        ),
        (MMoE, {"n_experts": 0}, "n_experts must be an int >= 1. Got 0."),
        (PLE, {"n_shared_experts": 0}, "n_shared_experts must be an int >= 1. Got 0."),
        (AdaTT, {"n_shared_experts": -1}, "n_shared_experts must be an int >= 0. Got -1."),
        (AdaTT, {"n_task_experts": 0}, "n_task_experts must be an int >= 1. Got 0."),
        (AdaTT, {"n_task_experts": 1.5}, "n_task_experts must be an int >= 1. Got 1.5."),
        (PLE, {"n_task_experts": (1, 0, 2)}, "n_task_experts[1] must be an int >= 1. Got 0."),
        (
            AdaTTSp,
            {"n_task_experts": (1, 2)},
            "n_task_experts must be an int or have an entry for each of the 3 tasks. Got (1, 2).",
        ),
        (AdaTT, {"gate_hidden_units": (0,)}, "gate_hidden_units must be ints >= 1. Got (0,)."),
        (
            SharedBottom,
            {"tower_hidden_units": "32"},
            "tower_hidden_units must be ints >= 1. Got '32'.",
        ),
        (SharedBottom, {"hidden_units": ()}, "hidden_units must name at least one layer. Got ()."),
        (SharedBottom, {"task_outputs": ()}, "task_outputs must name at least one task. Got ()."),
        (
            AdaTT,
            {"n_task_experts": np.array(2)},
            "n_task_experts must be an int >= 1. Got array(2).",
        ),
        (
            SharedBottom,
            {"hidden_units": np.array([], dtype=int)},
            "hidden_units must name at least one layer. Got array([], dtype=int64).",
        ),
        (
            SharedBottom,
            {"tower_hidden_units": {4, 3}},
            "tower_hidden_units must be ints >= 1. Got {3, 4}.",
        ),
        (PLE, {"dropout": float("nan")}, "dropout must be a number from 0 to 1. Got nan."),
        (PLE, {"dropout": "0.5"}, "dropout must be a number from 0 to 1. Got '0.5'."),
        (AdaTT, {"native": "no"}, "native must be True or False. Got 'no'."),
        (AdaTT, {"activation": nn.ReLU()}, MAKES_RULE.format("activation") + "ReLU()."),
        (AdaTT, {"activation": "relu"}, MAKES_RULE.format("activation") + "'relu'."),
        (MMoE, {"extractor": "cnn"}, MAKES_RULE.format("extractor") + "'cnn'."),
        (
            MMoE,
            {"input_shape": (3,)},
            "input_shape must be (n_features,) where both are given. Got (3,) and n_features=5.",
        ),
        (
            MMoE,
            {"extractor": lambda: nn.Unflatten(1, (2, 2))},
            "extractor must take a batch of samples of shape (5,). Unflatten raised RuntimeError: "
            "unflatten: Provided sizes [2, 2] don't multiply up to the size of dim 1 (5) in the "
            "input tensor",
        ),
        (PLE, {"n_features": None}, "PLE needs n_features or input_shape. Got neither."),
        (
            CrossStitch,
            {"own_share": 2},
            "own_share must be a number from 0 to 1. Got 2.",
        ),
        (
            AdaTT,
            {"extractor": lambda: nn.LSTM(5, 2)},
            "extractor must return a tensor (batch, ...). Got tuple for a batch of one.",
        ),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(cls, params, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cls(**{"task_outputs": TASKS, "n_features": N_FEATURES, **params})


def test_widths_may_be_arrays():
    net = AdaTT(np.array([1, 3]), 5, expert_hidden_units=[np.array([4, 3]), 2])
    assert net(torch.zeros(2, 5)).shape == (2, 4)


def test_names_of_all_tasks_are_needed():
    message = re.escape("task_names must name the 3 tasks. Got 2 names.")
    with pytest.raises(ValueError, match=f"^{message}$"):
        AdaTT(TASKS, N_FEATURES).expert_names(["a", "b"])


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ALL)
def test_dropout_and_activation(cls):
    x = batch().float()
    net = cls(TASKS, N_FEATURES, dropout=1.0)
    logits = net.train()(x)
    assert torch.equal(logits, net.towers.out.bias.expand(7, 5))  # towers are given zeros
    assert not torch.allclose(net.eval()(x), logits)
    torch.manual_seed(1)
    relu = cls(TASKS, N_FEATURES)
    torch.manual_seed(1)
    tanh = cls(TASKS, N_FEATURES, activation=nn.Tanh)
    assert not any(isinstance(part, nn.ReLU | nn.Dropout) for part in tanh.modules())
    assert not torch.allclose(relu(x), tanh(x))


class Embedded(nn.Module):
    """Two categorical columns in front of two numbers."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 3) for n in (4, 5))

    def forward(self, x):
        codes = x[:, :2].long()
        parts = [table(codes[:, i]) for i, table in enumerate(self.tables)]
        return torch.cat([*parts, x[:, 2:]], dim=1)


@pytest.mark.parametrize("cls", ALL)
def test_embeddings_of_categories_stand_in_front(cls):
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(4, size=200), rng.integers(5, size=200)])
    X = np.column_stack([codes, rng.normal(size=(200, 2))])
    Y = np.column_stack([codes[:, 0] % 2, codes[:, 1] % 2])
    net = MultiTaskNet(cls, module__extractor=Embedded, max_epochs=25, lr=0.02, random_state=0)
    assert net.fit(X, Y).score(X, Y) > 0.95
    assert net.module_.n_inputs == 8


def test_an_extractor_may_start_with_an_embedding():
    codes = torch.randint(4, (6, 2))
    net = AdaTT((1, 3), 2, extractor=nn.Sequential(nn.Embedding(4, 3), nn.Flatten()))
    assert net.n_inputs == 6
    assert net(codes).shape == (6, 4)


def test_an_image_extractor_is_copied_and_left_as_it_was():
    extractor = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())
    extractor[0].eval()
    before = copy.deepcopy(extractor.state_dict())
    state = torch.get_rng_state()
    net = AdaTT(TASKS, input_shape=(1, 8, 8), extractor=extractor, expert_hidden_units=(4,))
    # Weights of experts are drawn after the try.
    torch.set_rng_state(state)
    again = AdaTT(TASKS, n_features=4 * 6 * 6, expert_hidden_units=(4,))
    torch.testing.assert_close(net.towers.state_dict(), again.towers.state_dict())
    assert net.n_inputs == 4 * 6 * 6
    assert net.extractor is not extractor
    for key, value in net.extractor.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert [part.training for part in net.extractor] == [False, True, True, True]
    assert [part.training for part in extractor] == [False, True, True, True]
    assert net.eval()(torch.randn(3, 1, 8, 8)).shape == (3, 5)


def test_inputs_of_any_shape_are_flattened():
    net = PLE(TASKS, input_shape=(2, 3))
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(net(x), net(x.flatten(1)))


# -- torch's machinery ---------------------------------------------------------------------------


OF_EACH_KIND = ["shared-bottom", "ml-mmoe", "cross-stitch", "ple uneven", "adatt uneven"]


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_export_with_batches_of_any_size(name):
    net = build(name)[0].eval()
    dynamic = ({0: torch.export.Dim("batch", min=2, max=1000)},)
    exported = torch.export.export(net, (batch().float(),), dynamic_shapes=dynamic)
    x = batch(11).float()
    torch.testing.assert_close(exported.module()(x), net(x))


def test_compile_captures_the_whole_graph():
    # The compiler itself may be missing, and is slow; what torch makes of the code is the same.
    net = build("adatt uneven")[0]
    torch.compiler.reset()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    x = batch().float()
    torch.testing.assert_close(compiled(x), net(x))
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


# -- shared and own parameters -------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_shared_parameters_are_those_that_reach_several_tasks(name):
    net, _ = build(name, task_outputs=(1, 1, 1))
    net = net.double()
    shared = net.shared_parameters()
    x = batch(40)
    options = {"retain_graph": True, "materialize_grads": True}
    grads = [
        torch.autograd.grad(logits.sum(), list(net.parameters()), **options)
        for logits in net(x).unbind(1)
    ]
    for parameter, *of_tasks in zip(net.parameters(), *grads, strict=True):
        n_reached = sum((grad != 0).int() for grad in of_tasks)
        is_shared = any(parameter is p for p in shared)
        # Of PLE, what an inner level holds of a task alone may reach that task alone.
        if not (name.startswith("ple") and is_shared):
            assert is_shared == (n_reached.max() > 1)
    assert len(shared) < len(list(net.parameters())) - 1


# -- inside of MultiTaskNet ----------------------------------------------------------------------

FITTED = {
    **{cls.__name__: (cls, {}) for cls in ALL},
    "uneven PLE": (PLE, {"n_task_experts": (1, 2, 1, 3)}),
    "uneven AdaTT": (AdaTT, {"n_task_experts": (2, 1, 2, 3), "gate_hidden_units": (4,)}),
}


def small(name, **params):
    """A net of narrow layers."""
    cls, module = FITTED[name]
    widths = "hidden_units" if cls is SharedBottom else "expert_hidden_units"
    module = {widths: (12, 8), "tower_hidden_units": (6,), **module}
    params = {"max_epochs": 3, "lr": 0.01, "batch_size": 64, "random_state": 0, **params}
    return MultiTaskNet(cls, **{f"module__{k}": v for k, v in module.items()}, **params)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_without_any_argument_it_learns(data, cls):
    X, Y = data
    net = MultiTaskNet(cls, max_epochs=25, lr=0.01, random_state=0)
    assert net.fit(X, Y).score(X, Y) > 0.85
    proba = net.predict_proba(X)
    assert [p.shape for p in proba] == [(200, 2)] * 3 + [(200, 3)]
    for again in (clone(net).fit(X, Y), pickle.loads(pickle.dumps(net))):
        for ours, theirs in zip(proba, again.predict_proba(X), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 3, 0, 2]], ids=str)
@pytest.mark.parametrize("name", FITTED)
def test_permuting_tasks_and_weights_permutes_what_is_learned(data, name, order):
    X, Y = data
    net = small(name).fit(X, Y)
    permuted = clone(net)
    experts = net.get_params().get("module__n_task_experts")
    if experts is not None:
        permuted.set_params(module__n_task_experts=[experts[t] for t in order])
    permuted._prepare(permuted._check_data(X, Y[:, order], None), seed=5)
    permuted.load_tasks(net, np.array(order))
    before, proba = net.predict_proba(X), permuted.predict_proba(X)
    for t, p in zip(order, proba, strict=True):
        np.testing.assert_allclose(p, before[t], atol=1e-6)
    # The start of both is what was learned, and so are the steps from there.
    starts = MultiTaskNet(net.module_), MultiTaskNet(permuted.module_)
    for start, labels in zip(starts, (Y, Y[:, order]), strict=True):
        start.set_params(max_epochs=2, lr=0.01, random_state=0).fit(X, labels)
    learned = starts[0].predict_proba(X)
    assert not np.allclose(learned[0], before[0], atol=1e-2)
    for t, p in zip(order, starts[1].predict_proba(X), strict=True):
        np.testing.assert_allclose(p, learned[t], atol=1e-5)


@pytest.mark.parametrize("name", FITTED)
def test_a_stack_learns_what_a_loop_learns(data, name):
    X, Y = data
    net = small(name, optimizer=torch.optim.SGD, lr=0.1)
    checked = net._check_data(X, Y, None)
    weights = np.random.RandomState(0).dirichlet(np.ones(4), size=3)
    found = []
    for strategy in ("stacked", "sequential"):
        nets = [clone(net).set_params(task_weight=w) for w in weights]
        fit_many(nets, [checked] * 3, [3, 1, 3], strategy=strategy)
        found.append(nets)
    for ours, theirs in zip(*found, strict=True):
        of_other = theirs.module_.state_dict()
        for key, value in ours.module_.state_dict().items():
            torch.testing.assert_close(value, of_other[key], atol=1e-6, rtol=1e-4)
        np.testing.assert_allclose(ours._flat_proba(X), theirs._flat_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", ["MMoE", "CrossStitch", "AdaTT"])
def test_relations_and_specialists_of_an_architecture(data, name):
    X, Y = data
    net = small(name)
    maps = TaskGrouper(net, snapshot_epochs=2, random_state=0).fit_transform(X, Y)
    assert maps.shape == (4, 2 * 200 * 2)
    membership = np.array([[1, 0], [1, 0], [0, 1], [0.5, 0.5]])
    clf = GroupedMTLClassifier(net, membership, random_state=0).fit(X, Y)
    assert [s.module_.n_tasks for s in clf.specialists_] == [3, 2]
    assert clf.score(X, Y) > 0.4
    grouper = FuzzyKMeans(n_clusters=2, random_state=0).fit(maps)
    assert grouper.membership_.shape == (4, 2)


@pytest.mark.parametrize("name", [n for n in FITTED if "uneven" not in n])
def test_some_tasks_take_over_their_weights(data, name):
    X, Y = data
    net = small(name).fit(X, Y)
    tasks = np.array([3, 1])
    part = small(name)
    part._prepare(part._check_data(X, Y[:, tasks], None), seed=5)
    part.load_tasks(net, tasks)
    x = torch.from_numpy(X[:20])
    ours, theirs = part.module_, net.module_
    columns = [3, 4, 5, 1]
    h = theirs.fused(x)[:, tasks]
    torch.testing.assert_close(ours.towers(h), theirs(x)[:, columns])
    if name in ("SharedBottom", "MMoE", "MultiLevelMMoE", "PLE"):
        if name != "PLE":  # whose shared gate sees the experts that were left out
            torch.testing.assert_close(ours(x), theirs(x)[:, columns])
        return
    first = theirs.levels[0].experts(x)
    kept = [3, 1, 4] if name == "AdaTT" else [3, 1]
    torch.testing.assert_close(ours.levels[0].experts(x), first[:, kept])
    if name == "CrossStitch":
        matrix = theirs.levels[0].stitch.weight
        torch.testing.assert_close(ours.levels[0].stitch.weight, matrix[tasks][:, tasks])
        return
    # The gates' logits over the experts that are left.
    gates = ours.levels[0].gates(x), theirs.levels[0].gates(x)[:, kept][..., kept]
    torch.testing.assert_close(gates[0], gates[1] / gates[1].sum(-1, keepdim=True))


def test_weights_of_other_sizes_are_not_taken(data):
    X, Y = data
    net = small("AdaTT").fit(X, Y)
    for params, message in [
        ({"n_task_experts": 2}, "as many experts and outputs"),
        ({"expert_hidden_units": (12, 4)}, "AdaTT cannot take the weights"),
    ]:
        part = small("AdaTT").set_params(**{f"module__{k}": v for k, v in params.items()})
        part._prepare(part._check_data(X, Y[:, :2], None), seed=5)
        with pytest.raises(ValueError, match=message):
            part.load_tasks(net, np.array([0, 1]))


@pytest.mark.parametrize("name", ["uneven PLE", "uneven AdaTT"])
def test_specialists_of_some_tasks_have_the_experts_of_these_tasks(data, name):
    X, Y = data
    net = small(name)
    counts = net.get_params()["module__n_task_experts"]
    membership = np.array([[1, 0], [0, 1], [1, 0], [0.5, 0.5]])
    clf = GroupedMTLClassifier(net, membership, random_state=0).fit(X, Y)
    for specialist, tasks in zip(clf.specialists_, ([0, 2, 3], [1, 3]), strict=True):
        assert specialist.module_.units.counts.tolist() == [counts[t] for t in tasks]
    warm = GroupedMTLClassifier(
        net, n_groups=2, min_membership=0.45, specialist_init="relation", random_state=0
    ).fit(X, Y)
    assert min(s.n_tasks_ for s in warm.specialists_) < 4
    alone = GroupedMTLClassifier.stl(net, random_state=0).fit(X, Y)
    assert [s.module_.units.counts.item() for s in alone.specialists_] == list(counts)


@pytest.mark.parametrize("cls", [AdaTT, AdaTTSp])
def test_specialists_whose_native_weights_are_one_start_from_learned_ones(data, cls):
    X, Y = data
    net = small("AdaTT").set_params(module=cls, module__n_task_experts=(2, 1, 1, 1)).fit(X, Y)
    tasks = np.array([1, 3])
    part = clone(net)
    checked = part._check_data(X, Y, None).select(tasks)
    part._prepare(checked, seed=5)
    part.load_tasks(net, tasks)
    level = part.module_.levels[0]
    assert level.native.fixed
    assert not net.module_.levels[0].native.fixed
    x = torch.from_numpy(X[:20])
    kept = [2, 4, 5] if cls is AdaTT else [2, 4]
    torch.testing.assert_close(level.experts(x), net.module_.levels[0].experts(x)[:, kept])
    torch.testing.assert_close(level.native(), torch.eye(len(kept))[: level.native.native.shape[0]])


def test_numbers_of_experts_may_be_bound_by_partial(data):
    X, Y = data
    module = functools.partial(AdaTT, n_task_experts=(1, 2, 1, 1), expert_hidden_units=(8,))
    net = MultiTaskNet(module, max_epochs=1, random_state=0)
    alone = GroupedMTLClassifier.stl(net, random_state=0).fit(X, Y)
    assert [s.module_.units.counts.item() for s in alone.specialists_] == [1, 2, 1, 1]


@pytest.mark.parametrize("counts", [(1, 2, 1), (1, 2, 1, 1, 1)])
@pytest.mark.parametrize("make", [GroupedMTLClassifier, GroupedMTLClassifier.stl])
def test_experts_of_another_number_of_tasks_show_before_training(data, make, counts):
    X, Y = data
    clf = make(small("uneven AdaTT").set_params(module__n_task_experts=counts))
    message = (
        "The 'module__n_task_experts' parameter must be an int or have an entry for each of the "
        f"4 tasks. Got {counts}."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        clf.fit(X, Y)
    assert not hasattr(clf, "specialists_")


# -- looking inside a fitted net -----------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in FITTED if n != "SharedBottom"])
def test_expert_weights_of_a_net_are_means_over_all_samples(data, name):
    X, Y = data
    net = small(name, module__dropout=0.5).fit(X, Y)
    net.module_.train()  # dropout must not count
    found = net.expert_weights(X)
    whole = copy.deepcopy(net.module_).eval().double().expert_weights(torch.from_numpy(X).double())
    assert len(found) == len(whole)
    for ours, theirs in zip(found, whole, strict=True):
        assert ours.shape == (4, len(net.expert_names()))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_experts_bear_the_names_of_their_tasks(data):
    X, Y = data
    table = pd.DataFrame(Y, columns=["a", "b", "c", "d"])
    net = small("uneven AdaTT").set_params(module__n_task_experts=(2, 1, 1, 1)).fit(X, table)
    assert net.expert_names() == ["a #0", "a #1", "b #0", "c #0", "d #0", "shared #0"]
    assert small("MMoE").fit(X, Y).expert_names()[:2] == ["shared #0", "shared #1"]


def test_nets_without_experts_have_no_expert_weights(data):
    X, Y = data
    net = small("SharedBottom")
    assert not hasattr(net, "expert_weights")
    with pytest.raises(AttributeError, match="no attribute 'expert_weights'") as info:
        net.fit(X, Y).expert_weights(X)
    assert str(info.value.__cause__) == "The module SharedBottom has no 'expert_weights'."
    with pytest.raises(NotFittedError, match="not fitted yet"):
        small("AdaTT").expert_weights(X)
