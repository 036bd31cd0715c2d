"""Architectures: options, torch's machinery, and inside of `MultiTaskNet`."""

import copy
import functools
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from experts import (
    CASES,
    N_FEATURES,
    TASKS,
    batch,
    build,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import PLE, AdaTT, AdaTTSp, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom
from skgroup.training.engine import fit_many

ALL = [SharedBottom, MMoE, MultiLevelMMoE, CrossStitch, PLE, AdaTT, AdaTTSp]

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def data():
    """Three binary tasks and one of three classes: X (200, 5), Y (200, 4)."""
    X = np.random.default_rng(0).normal(size=(200, N_FEATURES)).astype(np.float32)
    products = [X[:, 0] > 0, X[:, 1] + X[:, 2] > 0.3, X[:, 2] * X[:, 3] > 0]
    return X, np.column_stack([*products, X[:, :3].argmax(axis=1)])


# -- options --------------------------------------------------------------------------------------


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
    net = MultiTaskNet.stg_mtl(
        cls, module__extractor=Embedded, max_epochs=25, lr=0.02, random_state=0
    )
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


# -- torch's machinery ----------------------------------------------------------------------------


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


# -- shared and own parameters --------------------------------------------------------------------


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


# -- inside of MultiTaskNet -----------------------------------------------------------------------


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
    return MultiTaskNet.stg_mtl(cls, **{f"module__{k}": v for k, v in module.items()}, **params)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_without_any_argument_it_learns(data, cls):
    X, Y = data
    net = MultiTaskNet.stg_mtl(cls, max_epochs=25, lr=0.01, random_state=0)
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
    starts = MultiTaskNet.stg_mtl(net.module_), MultiTaskNet.stg_mtl(permuted.module_)
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


def experts_of(net):
    """Experts of each task, without the shared ones."""
    return torch.bincount(net.module_.units.owner)[: net.n_tasks_].tolist()


@pytest.mark.parametrize("name", ["uneven PLE", "uneven AdaTT"])
def test_specialists_of_some_tasks_have_the_experts_of_these_tasks(data, name):
    X, Y = data
    net = small(name)
    counts = net.get_params()["module__n_task_experts"]
    membership = np.array([[1, 0], [0, 1], [1, 0], [0.5, 0.5]])
    clf = GroupedMTLClassifier(net, membership, random_state=0).fit(X, Y)
    for specialist, tasks in zip(clf.specialists_, ([0, 2, 3], [1, 3]), strict=True):
        assert experts_of(specialist) == [counts[t] for t in tasks]
    warm = GroupedMTLClassifier(
        net, n_groups=2, min_membership=0.45, specialist_init="relation", random_state=0
    ).fit(X, Y)
    assert min(s.n_tasks_ for s in warm.specialists_) < 4
    alone = GroupedMTLClassifier.stl(net, random_state=0).fit(X, Y)
    assert [experts_of(s) for s in alone.specialists_] == [[n] for n in counts]


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
    net = MultiTaskNet.stg_mtl(module, max_epochs=1, random_state=0)
    alone = GroupedMTLClassifier.stl(net, random_state=0).fit(X, Y)
    assert [experts_of(s) for s in alone.specialists_] == [[1], [2], [1], [1]]


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


# -- looking inside a fitted net ------------------------------------------------------------------


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
