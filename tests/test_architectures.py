"""The architectures, beside their equations with a loop over experts, gates and towers."""

import re

import numpy as np
import pytest
import torch
from experts import (
    CASES,
    LEVELS,
    N_FEATURES,
    ONE_EACH,
    TASKS,
    UNITS,
    batch,
    build,
    gates_of,
    perceptrons,
    split,
    weighted,
)
from scipy.stats import kstest
from torch import nn

from skgroup.nn import PLE, AdaTT, AdaTTSp, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom
from skgroup.nn._blocks import BlockLinear

pytestmark = pytest.mark.usefixtures("seeded")


# -- the equations, with loops --------------------------------------------------------------------


def towers_of(net, inputs):
    """The logits of every task."""
    linear = split(net.towers.out, list(net.task_outputs))
    hidden = perceptrons(net.towers.hidden, net.n_tasks)
    logits = []
    for (weight, bias), tower, h in zip(linear, hidden, inputs, strict=True):
        logits.append(tower(h) @ weight.T + bias)
    return torch.cat(logits, dim=1)


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


# -- special cases --------------------------------------------------------------------------------


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


# -- errors ---------------------------------------------------------------------------------------


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
