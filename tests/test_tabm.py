"""TabM, dropout of a generator a net, and nets of members wherever nets are trained."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import MLP, Dropout, TabM
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity
from skgroup.selection import GroupGains


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 6)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, X[:, 1] > X[:, 2], X[:, 3] + X[:, 0] > 0.3]).astype(float)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return X, Y


@pytest.fixture
def net():
    return MultiTaskNet(
        module__n_members=3,
        module__hidden_units=(8, 8),
        batch_size=64,
        max_epochs=3,
        lr=0.01,
        input_scaling=None,
        random_state=0,
    )


# -- the module --------------------------------------------------------------------------------


def randomised(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p))
    return module


def test_the_forward_pass_is_that_of_the_public_package():
    tabm = pytest.importorskip("tabm")
    ours = randomised(TabM(n_outputs=5, n_features=7, n_members=4, hidden_units=(9, 9, 9)))
    public = tabm.TabM.make(
        n_num_features=7, d_out=5, k=4, n_blocks=3, d_block=9, dropout=0.2
    ).eval()
    with torch.no_grad():
        linear = [layer for layer in ours.trunk if hasattr(layer, "r")]
        for block, layer in zip(public.backbone.blocks, linear, strict=True):
            for name in ("weight", "r", "s", "bias"):
                getattr(block[0], name).copy_(getattr(layer, name))
        public.output.weight.copy_(ours.heads.weight.permute(1, 2, 0))
        public.output.bias.copy_(ours.heads.bias.T)
        x = torch.randn(11, 7)
        torch.testing.assert_close(ours.eval()(x), public(x))


def test_the_forward_pass_is_that_of_each_member_alone():
    module = randomised(TabM(n_outputs=4, n_features=5, n_members=3, hidden_units=(6, 7))).eval()
    x = torch.randn(10, 5)
    logits = module(x)
    assert logits.shape == (10, 3, 4)
    for i in range(3):
        h = x
        for layer in (module.trunk[0], module.trunk[3]):
            h = torch.relu(((h * layer.r[i]) @ layer.weight.T) * layer.s[i] + layer.bias[i])
        heads = module.heads.weight[:, i], module.heads.bias[:, i]
        torch.testing.assert_close(logits[:, i], F.linear(h, *heads))


def test_members_start_as_in_the_paper():
    torch.manual_seed(0)
    module = TabM(n_outputs=4, n_features=50, n_members=3, hidden_units=(6, 7))
    first, second = module.trunk[0], module.trunk[3]
    assert set(first.r.unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(first.r[0], first.r[1])
    for ones in (first.s, second.r, second.s):
        assert (ones == 1).all()
    for layer in (first, second):
        torch.testing.assert_close(layer.bias, layer.bias[:1].expand_as(layer.bias))
    assert not torch.equal(module.heads.weight[:, 0], module.heads.weight[:, 1])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_units": ()}, "TabM needs a hidden layer"),
        ({"n_members": 0}, "n_members must be ints >= 1"),
        ({"dropout": 1.5}, "dropout must be a number from 0 to 1"),
        ({"n_features": None}, "TabM needs n_features or input_shape"),
    ],
)
def test_wrong_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        TabM(**{"n_outputs": 2, "n_features": 3, **params})


# -- dropout -----------------------------------------------------------------------------------


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = Dropout(0.25)
    x = torch.ones(400, 5, 50)
    first, second = drop(x), drop(x)
    torch.testing.assert_close(first.unique(), torch.tensor([0, 4 / 3]))
    assert (first == 0).float().mean() == pytest.approx(0.25, abs=0.005)
    assert (first == 0).float().mean((0, 1)).std() < 0.02  # no column is preferred
    both = ((first == 0) & (second == 0)).float().mean()
    assert both == pytest.approx(0.0625, abs=0.005)  # one pass says nothing of the next
    assert torch.equal(drop.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert (Dropout(1.0)(x) == 0).all()


def test_dropout_leaves_the_generator_alone_and_differs_from_copy_to_copy_only_by_its_state():
    drop, x = Dropout(0.5), torch.ones(30, 30)
    same, other = copy.deepcopy(drop), Dropout(0.5)
    before = torch.get_rng_state()
    masks = [d(x) for d in (drop, same, other)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("module", [MLP, TabM])
@pytest.mark.parametrize("groups", [np.ones((3, 2)), np.array([[1, 0.2], [1, 0], [0, 1.0]])])
def test_nets_with_dropout_learn_the_same_in_a_stack(table, module, groups):
    net = MultiTaskNet(module, module__hidden_units=(16,), module__dropout=0.3, max_epochs=3)
    fitted = [
        GroupedMTLClassifier(net, groups, strategy=strategy, random_state=0).fit(*table)
        for strategy in ("stacked", "sequential")
    ]
    stacked, alone = (clf.predict_proba(table[0]) for clf in fitted)
    np.testing.assert_allclose(stacked, alone, atol=1e-5)
    states = [
        [part.state for part in s.module_.modules() if isinstance(part, Dropout)]
        for clf in fitted
        for s in clf.specialists_
    ]
    assert states[0] == states[2]
    assert states[1] == states[3] != states[0]


# -- nets of members ---------------------------------------------------------------------------


class Literal(nn.Module):
    """The mean of the members' losses, member after member."""

    def __init__(self, task_outputs):
        super().__init__()

    def forward(self, logits, target):
        codes = target["codes"].float()  # a member and sample a row
        seen = codes >= 0
        loss = F.binary_cross_entropy_with_logits(logits, codes.clamp(min=0), reduction="none")
        return ((loss * seen).sum(0) / seen.sum(0).clamp(min=1)).sum()


def test_the_loss_is_the_mean_over_members(table, net):
    net = net.set_params(class_weight=None, module__dropout=0.0)
    ours = clone(net).fit(*table)
    literal = clone(net).set_params(criterion=Literal).fit(*table)
    np.testing.assert_allclose(
        ours.history[:, "train_loss"], literal.history[:, "train_loss"], rtol=1e-5
    )
    X, Y = table
    logits = ours.infer(torch.from_numpy(X))
    target = {"codes": torch.from_numpy(np.nan_to_num(Y, nan=-1).astype(np.int8))}
    of_members = [ours.criterion_(logits[:, i], target) for i in range(3)]
    torch.testing.assert_close(ours.get_loss(logits, target), torch.stack(of_members).mean())


def test_predictions_are_the_mean_of_the_members_probabilities(table, net):
    X, Y = table
    net.fit(X, Y)
    net.module_.eval()
    with torch.no_grad():
        expected = torch.sigmoid(net.module_(torch.from_numpy(X))).mean(1)
    np.testing.assert_allclose(net.predict_proba(X), expected, rtol=1e-5)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


class Listed(nn.Module):
    """Members, as a list of tensors a task."""

    def __init__(self, n_features, task_outputs):
        super().__init__()
        self.task_outputs = task_outputs
        self.tabm = TabM(sum(task_outputs), n_features, n_members=2, hidden_units=4, dropout=0.0)

    def forward(self, x):
        return list(self.tabm(x).split(self.task_outputs, dim=-1))


def test_members_of_mixed_tasks_as_one_tensor_or_a_list(table):
    X, Y = table
    Y = np.column_stack([np.nan_to_num(Y), np.digitize(X[:, 5], [-0.5, 0.5])])
    options = {"max_epochs": 2, "random_state": 0}
    listed = MultiTaskNet(Listed, **options).fit(X, Y)
    tensor = MultiTaskNet(
        TabM, module__n_members=2, module__hidden_units=4, module__dropout=0.0, **options
    ).fit(X, Y)
    for a, b in zip(listed.predict_proba(X), tensor.predict_proba(X), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a.sum(1), 1, rtol=1e-5)


def test_data_maps_are_of_the_mean_probability(table, net):
    X, Y = table
    Y = np.nan_to_num(Y)
    net = net.set_params(max_epochs=1, batch_size=-1, module__dropout=0.0)
    maps = TaskGrouper(net, snapshot_epochs=1, random_state=0).fit(X, Y)
    still = clone(net).set_params(optimizer=torch.optim.SGD, lr=1e-30)  # stays where it starts
    start = TaskGrouper(still, snapshot_epochs=1, random_state=0).fit(X, Y).estimator_
    proba = start.predict_proba(X)
    expected = np.where(Y == 1, proba, 1 - proba).T
    np.testing.assert_allclose(maps.data_map_[:, 0, :, 0], expected, atol=1e-5)


def test_data_maps_of_single_task_nets_agree_stacked_and_alone(table, net):
    X, Y = table
    stacked = TaskGrouper(net, source="stl", random_state=0, strategy="stacked")
    alone = clone(stacked).set_params(strategy="sequential")
    np.testing.assert_allclose(stacked.fit(X, Y).data_map_, alone.fit(X, Y).data_map_, atol=1e-5)


@pytest.mark.parametrize("make", [InterTaskAffinity, GradientCosineAffinity])
def test_affinities_are_those_of_the_mean_loss(table, net, make):
    X, Y = table
    net = net.set_params(max_epochs=1, batch_size=-1, module__dropout=0.0, class_weight=None)
    net.set_params(optimizer=torch.optim.SGD, lr=0.1)
    options = {} if make is GradientCosineAffinity else {"every": 1}
    fitted = make(clone(net), random_state=0, **options).fit(X, Y)
    start = make(clone(net).set_params(lr=1e-30), random_state=0, **options).fit(X, Y)
    module = start.estimator_.module_.train()
    codes = torch.from_numpy(np.nan_to_num(Y, nan=-1).astype(np.float32))
    shared = [p for name, p in module.named_parameters() if not name.startswith("heads")]

    def losses(module):
        logits = module(torch.from_numpy(X))
        of = []
        for t in range(3):
            seen = codes[:, t] >= 0
            y = codes[seen, t, None].expand(-1, 3)
            of.append(F.binary_cross_entropy_with_logits(logits[seen, :, t], y))
        return of

    gradients = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses(module)]
    if make is GradientCosineAffinity:
        flat = torch.stack([torch.cat([g.flatten() for g in of]) for of in gradients])
        expected = F.cosine_similarity(flat[:, None], flat[None], dim=-1)
    else:
        before = torch.stack(losses(module)).detach()
        expected = torch.empty(3, 3)
        for i, gradient in enumerate(gradients):
            moved = copy.deepcopy(module)
            with torch.no_grad():
                of = [p for n, p in moved.named_parameters() if not n.startswith("heads")]
                for p, g in zip(of, gradient, strict=True):
                    p -= 0.1 * g
            expected[i] = 1 - torch.stack(losses(moved)).detach() / before
    np.testing.assert_allclose(fitted.affinity_, expected.numpy(), atol=2e-5)


def test_specialists_start_from_the_members_of_the_relation(table, net):
    X, Y = table
    clf = GroupedMTLClassifier(
        net, n_groups=2, specialist_init="relation", specialist_epochs=1, random_state=0
    ).fit(X, Y)
    assert clf.predict_proba(X).shape == (160, 3)


def test_gains_of_groups_are_measured(table, net):
    gains = GroupGains(net, masks="pairs", random_state=0).fit(*table)
    assert np.isfinite(gains.gains_[gains.masks_]).all()
