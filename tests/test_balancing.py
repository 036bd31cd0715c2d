"""Balancings against slow transcriptions of their equations, and what a net does with them."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from netting import assert_same_parameters
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Checkpoint, LoadInitState
from torch import nn
from torch.nn import functional as F

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup.nn import MLP, PLE, AdaTT, CrossStitch, MMoE, MultiLevelMMoE, SharedBottom, TabM
from skgroup.relations import InterTaskAffinity
from skgroup.training.balancing import Balancing, GradNorm, PCGrad, UncertaintyWeighting
from skgroup.training.engine import fit_many
from skgroup.training.loss import MultiTaskLoss
from skgroup.training.shared import shared_parameters

STRINGS = ["uncertainty", "gradnorm", "pcgrad"]
N_STEPS, RATE = 4, 0.05


@pytest.fixture(scope="module")
def mixed():
    """A binary, a three-class and a regression task, with missing labels; two conflict."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    numbers = 3 * X[:, 0] - X[:, 2] + rng.normal(size=60)
    classes = np.digitize(X[:, 1] - X[:, 0], [-0.5, 0.5])
    Y = np.column_stack([X[:, 0] + X[:, 3] < 0, classes, numbers]).astype(float)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    return X, Y


@pytest.fixture(scope="module")
def binary():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 5)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, X[:, 0] + X[:, 1] > 0, X[:, 2] < X[:, 0]]).astype(float)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    return X, Y


def plain_net(module, balancing, **params):
    """Four steps on all samples, by plain gradient descent."""
    recipe = {"optimizer": torch.optim.SGD, "lr": RATE, "batch_size": -1, "max_epochs": N_STEPS}
    recipe |= {"class_weight": None, "iterator_train__shuffle": False, "random_state": 0}
    return MultiTaskNet.stg_mtl(module, balancing=balancing, **(recipe | params))


def make_module(make, n_features=5, task_outputs=(1, 3, 1)):
    torch.manual_seed(0)
    if make in (MLP, TabM):
        options = {"n_members": 3, "dropout": 0.0} if make is TabM else {}
        sizes = {"n_features": n_features, "n_outputs": sum(task_outputs), "hidden_units": (8, 6)}
        return make(**sizes, **options)
    return make(n_features=n_features, task_outputs=task_outputs)


def losses_of(module, X, Y):
    """The mean loss of each task over its observed labels (and members), written down plainly."""
    logits = module(torch.from_numpy(X))
    members = logits.unbind(1) if logits.dim() == 3 else [logits]
    losses = []
    for t, columns in enumerate([slice(0, 1), slice(1, 4), slice(4, 5)]):
        seen = ~np.isnan(Y[:, t])
        truth = torch.from_numpy(Y[seen, t])
        of_members = []
        for member in members:
            out = member[seen, columns]
            if t == 0:
                loss = F.binary_cross_entropy_with_logits(out[:, 0], truth.float())
            elif t == 1:
                loss = F.cross_entropy(out, truth.long())
            else:
                standard = (truth - truth.mean()) / truth.std(correction=0)
                loss = F.mse_loss(out[:, 0], standard.float())
            of_members.append(loss)
        losses.append(sum(of_members) / len(of_members))
    return losses


def descend(parameters, gradients):
    with torch.no_grad():
        for p, gradient in zip(parameters, gradients, strict=True):
            p -= RATE * gradient


def gradients_of(loss, parameters, **options):
    grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, **options)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]


def uncertainty_slowly(module, X, Y):
    """Kendall, Gal, Cipolla 2018: Σ 1/(2σ²) L + log σ of numbers, 1/σ² L + log σ of classes."""
    parameters = list(module.parameters())
    s = [torch.zeros((), requires_grad=True) for _ in range(3)]
    for _ in range(N_STEPS):
        total = 0.0
        for t, loss in enumerate(losses_of(module, X, Y)):
            sigma = torch.exp(s[t] / 2)
            factor = 0.5 if t == 2 else 1.0
            total = total + factor / sigma**2 * loss + torch.log(sigma)
        descend(parameters + s, gradients_of(total, parameters + s))
    return torch.stack(s)


def gradnorm_slowly(module, X, Y, part, alpha=1.5):
    """Chen et al. 2018, algorithm 1, on the shared parameters whose names begin with `part`."""
    parameters = list(module.parameters())
    shared = [p for name, p in shared_parameters(module).items() if name.startswith(part)]
    w = torch.ones(3, requires_grad=True)
    first = None
    for _ in range(N_STEPS):
        losses = losses_of(module, X, Y)
        values = [float(loss.detach()) for loss in losses]
        first = first or values
        sizes = []
        for t, loss in enumerate(losses):
            grads = gradients_of(w[t] * loss, shared, create_graph=True)
            sizes.append(torch.cat([g.flatten() for g in grads]).norm())
        mean = sum(size.detach() for size in sizes) / 3
        ratio = [value / before for value, before in zip(values, first, strict=True)]
        pace = [r / (sum(ratio) / 3) for r in ratio]
        difference = sum(abs(sizes[t] - mean * pace[t] ** alpha) for t in range(3))
        (of_w,) = torch.autograd.grad(difference, w, retain_graph=True)
        total = sum(w[t].detach() * losses[t] for t in range(3))
        descend([*parameters, w], [*gradients_of(total, parameters), of_w])
        with torch.no_grad():
            w *= 3 / w.sum()
    return w


def pcgrad_slowly(module, X, Y, pcgrad):
    """Yu et al. 2020, algorithm 1, on the shared parameters; returns how many conflicts it met."""
    shared = list(shared_parameters(module).values())
    own = [p for p in module.parameters() if not any(p is q for q in shared)]
    n_conflicts = 0
    for _ in range(N_STEPS):
        losses = losses_of(module, X, Y)
        g = [torch.cat([x.flatten() for x in gradients_of(loss, shared)]) for loss in losses]
        orders = pcgrad.orders(3).tolist()
        total = torch.zeros_like(g[0])
        for i in range(3):
            projected = g[i].clone()
            for j in orders[i]:
                if j != i and projected @ g[j] < 0:
                    projected -= (projected @ g[j]) / (g[j] @ g[j]) * g[j]
                    n_conflicts += 1
            total += projected
        of_own = gradients_of(sum(losses), own)
        sizes = [p.numel() for p in shared]
        parts = [x.reshape(p.shape) for x, p in zip(total.split(sizes), shared, strict=True)]
        descend(shared + own, parts + of_own)
    return n_conflicts


MODULES = [MLP, TabM, SharedBottom, MMoE, MultiLevelMMoE, CrossStitch, PLE, AdaTT]


@pytest.mark.parametrize("make", MODULES)
def test_uncertainty_weighting_is_the_paper_s(mixed, make):
    module = make_module(make)
    net = plain_net(module, "uncertainty").fit(*mixed)
    log_variance = uncertainty_slowly(module, *mixed)
    assert_like(net, module)
    torch.testing.assert_close(net.balancing_.log_variance, log_variance, rtol=1e-4, atol=1e-6)


LAST = ["trunk.3", "trunk.3", "bottom.2", "levels.0.experts.2"]
LAST += ["levels.1.experts.0", *["levels.1.experts.mlp.0"] * 3]


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize(("make", "last"), list(zip(MODULES, LAST, strict=True)))
def test_gradnorm_is_the_paper_s(mixed, make, last, layers):
    module = make_module(make)
    net = plain_net(module, "gradnorm", balancing__layers=layers).fit(*mixed)
    weight = gradnorm_slowly(module, *mixed, last if layers == "last" else "")
    assert_like(net, module)
    learned = net.balancing_.task_weight / net.balancing_.task_weight.sum() * 3
    torch.testing.assert_close(learned, weight, rtol=1e-3, atol=1e-4)
    assert (learned - 1).abs().max() > 0.01


@pytest.mark.parametrize("make", MODULES)
def test_pcgrad_is_the_paper_s(mixed, make):
    module, pcgrad = make_module(make), PCGrad()
    net = plain_net(module, pcgrad).fit(*mixed)
    assert pcgrad_slowly(module, *mixed, copy.deepcopy(pcgrad)) > 0
    assert_like(net, module)


def assert_like(net, module):
    expected = dict(module.named_parameters())
    for name, p in net.module_.named_parameters():
        torch.testing.assert_close(p, expected[name], rtol=1e-4, atol=1e-5)


def test_a_random_order_of_all_tasks_for_each_task_that_more_tasks_do_not_change():
    pcgrad = PCGrad()
    more = copy.deepcopy(pcgrad)
    seen = set()
    for _ in range(20):
        orders, of_more = pcgrad.orders(4), more.orders(6)
        assert (orders.sort(-1).values == torch.arange(4)).all()
        for order, other in zip(orders.tolist(), of_more.tolist(), strict=False):
            assert order == [t for t in other if t < 4]
        seen |= set(map(tuple, orders.tolist()))
    assert len(seen) > 20


class One(Balancing):
    def forward(self, losses, gram):
        return torch.ones_like(losses)


class OneByGradients(One):
    needs_gradients = True


class OneBelow(OneByGradients):
    weighs_heads = False


@pytest.mark.parametrize("make", [MLP, TabM])
@pytest.mark.parametrize("balancing", [One, OneByGradients, OneBelow])
def test_equal_weights_train_what_no_balancing_trains(binary, balancing, make):
    X, Y = binary
    options = {"max_epochs": 2, "random_state": 0, "task_weight": [2, 1, 0.5]}
    plain = MultiTaskNet(make, **options).fit(X, Y, sample_weight=np.linspace(0, 2, len(X)))
    net = clone(plain).set_params(balancing=balancing)
    net.fit(X, Y, sample_weight=np.linspace(0, 2, len(X)))
    assert_same_parameters(net, plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.history[:, "train_loss"], plain.history[:, "train_loss"])


@pytest.mark.parametrize("balancing", STRINGS)
def test_a_task_without_labels_in_a_batch_neither_learns_nor_is_weighed(binary, balancing):
    X, Y = binary
    Y = Y.copy()
    Y[20:, 1] = np.nan  # its labels are in the first of four batches alone
    options = {"batch_size": 20, "random_state": 0}
    net = plain_net(MLP, balancing, **options).set_params(max_epochs=1).fit(X, Y)
    assert np.isfinite(net._flat_proba(X)).all()
    if balancing == "uncertainty":
        once = plain_net(MLP, balancing, **options).set_params(max_epochs=1).fit(X[:20], Y[:20])
        torch.testing.assert_close(
            net.balancing_.log_variance[1], once.balancing_.log_variance[1], rtol=1e-4, atol=1e-6
        )


class FocalLoss(MultiTaskLoss):
    def of_labels(self, logits, codes, weight, layout, values):
        log_p = layout.true_log_probability(logits, codes, values)
        return -(weight * (1 - log_p.exp()) ** 2 * log_p).sum((-2, -1))


@pytest.mark.parametrize(
    ("make", "criterion"), [(MLP, MultiTaskLoss), (MLP, FocalLoss), (TabM, MultiTaskLoss)]
)
@pytest.mark.parametrize("balancing", STRINGS)
def test_a_stack_learns_what_a_loop_does(binary, balancing, make, criterion):
    X, Y = binary
    options = {"max_epochs": 2, "batch_size": 20, "module__hidden_units": (16, 8)}
    net = MultiTaskNet(make, balancing=balancing, criterion=criterion, **options)
    data = net._check_data(X, Y, None)
    both = []
    for strategy in ("stacked", "sequential"):
        weights = ([1, 0.5, 1], [0.2, 1, 3])
        nets = [clone(net).set_params(task_weight=w) for w in weights]
        both.append(fit_many(nets, [data] * 2, [3, 1], strategy=strategy)[0])
        for fitted in both[-1]:  # optimizers got their state back
            fitted.partial_fit(X, Y)
    for stacked, alone in zip(*both, strict=True):
        np.testing.assert_allclose(stacked._flat_proba(X), alone._flat_proba(X), atol=1e-4)
        of_alone = alone.balancing_.state_dict()
        for name, value in stacked.balancing_.state_dict().items():
            torch.testing.assert_close(value, of_alone[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("balancing", STRINGS)
def test_specialists_of_some_tasks_stack(binary, balancing):
    X, Y = binary
    net = MultiTaskNet.stg_mtl(balancing=balancing, max_epochs=2)
    proba = []
    for strategy in ("stacked", "sequential"):
        grouped = GroupedMTLClassifier(net, [0, 0, 1], strategy=strategy, random_state=0)
        proba.append(grouped.fit(X, Y).predict_proba(X))
    np.testing.assert_allclose(*proba, atol=1e-5)


@pytest.mark.parametrize("balancing", STRINGS)
def test_a_single_task_is_learned_as_without_balancing(binary, balancing):
    X, Y = binary
    y = np.nan_to_num(Y[:, 0])
    net, plain = (plain_net(MLP, b, max_epochs=1).fit(X, y) for b in (balancing, None))
    assert_same_parameters(net, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("balancing", STRINGS)
def test_going_on_keeps_what_was_learned(binary, balancing):
    X, Y = binary
    net = plain_net(MLP, balancing, max_epochs=4).fit(X, Y)
    half = clone(net).set_params(max_epochs=2).fit(X, Y)
    half = pickle.loads(pickle.dumps(half)).partial_fit(X, Y)
    warm = clone(net).set_params(max_epochs=2, warm_start=True).fit(X, Y).fit(X, Y)
    for other in (half, warm):
        assert_same_parameters(net, other)
        of_other = other.balancing_.state_dict()
        for name, value in net.balancing_.state_dict().items():
            torch.testing.assert_close(value, of_other[name])
    with pytest.raises(ValueError, match="The 'balancing' parameter must be what module and"):
        warm.set_params(balancing=None).fit(X, Y)
    assert not hasattr(warm.set_params(warm_start=False).fit(X, Y), "balancing_")
    assert isinstance(warm.set_params(balancing=GradNorm(3)).fit(X, Y).balancing_, GradNorm)


@pytest.mark.parametrize("balancing", STRINGS)
def test_a_checkpoint_that_is_told_to_keeps_what_was_learned(binary, balancing, tmp_path):
    files = Checkpoint(dirname=tmp_path, monitor=None, f_balancing="balancing.pt")
    net = plain_net(MLP, balancing, max_epochs=4).fit(*binary)
    half = clone(net).set_params(max_epochs=2)
    clone(half).set_params(callbacks=[files]).fit(*binary)
    half.set_params(callbacks=[LoadInitState(files)]).fit(*binary)
    assert_same_parameters(net, half)
    of_half = half.balancing_.state_dict()
    for name, value in net.balancing_.state_dict().items():
        torch.testing.assert_close(value, of_half[name])


def test_parameters_come_by_prefix_and_can_be_searched(binary):
    X, Y = binary[0], np.nan_to_num(binary[1])
    net = plain_net(MLP, "gradnorm", balancing__alpha=0.5)
    assert net.fit(X, Y).balancing_.alpha == 0.5
    grid = [{"balancing": ["pcgrad", UncertaintyWeighting, None]}, {"balancing": ["gradnorm"]}]
    search = GridSearchCV(plain_net(MLP, None), grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 4


class Least(nn.Module):
    """As another package's: from the inner products of gradients to weights."""

    def forward(self, gram):
        assert gram.shape == (len(gram), len(gram))
        return torch.softmax(-gram.diagonal(), -1)


def test_a_module_that_knows_the_inner_products_alone_weighs_the_tasks_with_labels(binary):
    X, Y = binary
    Y = Y.copy()
    Y[20:, 1] = np.nan
    net = plain_net(MLP, Least(), batch_size=20).fit(X, Y)
    assert np.isfinite(net._flat_proba(X)).all()


class Single(Least):
    def forward(self, gram):
        return gram[0, 0]


class Infinite(Least):
    def forward(self, gram):
        return gram.diagonal() / 0


class Two(One):
    def forward(self, losses, gram):
        return losses[:2]


class Unnamed(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 4), nn.ReLU(), nn.Linear(4, n_outputs))

    def forward(self, x):
        return self.layers(x)


class Frozen(MLP):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features=n_features, n_outputs=n_outputs)
        for p in shared_parameters(self).values():
            p.requires_grad_(False)


class OwnLoss(MultiTaskNet):
    def get_loss(self, *args, **kwargs):
        return super().get_loss(*args, **kwargs)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (plain_net(MLP, "pcgard"), "The 'balancing' parameter of MultiTaskNet must be"),
        (plain_net(MLP, Two), "weights of shape (2,) for tasks of shape (3,)"),
        (plain_net(MLP, Infinite()), "it gives weights that are not finite"),
        (plain_net(MLP, GradNorm(2)), "The 'balancing' parameter must be None, one of"),
        (plain_net(MLP, "gradnorm", balancing__alpha=-1), "alpha must be a number >= 0. Got -1."),
        (plain_net(MLP, "gradnorm", balancing__alpha="a"), "alpha must be a number >= 0. Got 'a'."),
        (plain_net(MLP, "gradnorm", balancing__layers=1), "layers must be 'last' or 'all'. Got 1."),
        (plain_net(MLP, None, balancing__alpha=1), "must be given where options 'balancing__...'"),
        (plain_net(MLP, dict), "The 'balancing' parameter cannot be built"),
        (plain_net(MLP, lambda: {}), "which gives {}."),
        (plain_net(Unnamed, "pcgrad"), "Unnamed has neither."),
        (plain_net(Frozen, "pcgrad"), "must have shared parameters that are trained"),
        (plain_net(MLP, "pcgrad", compile=True), "The 'compile' parameter must be False where"),
        (
            plain_net(MLP, "uncertainty", criterion=lambda: lambda logits, target: logits.sum()),
            "The 'balancing' parameter must be None where the loss has no part for each task",
        ),
        (OwnLoss(MLP, balancing="uncertainty"), "where the loss has no part for each task"),
    ],
)
def test_what_cannot_weigh_is_refused_before_training(binary, net, message):
    before = vars(net).copy()
    with pytest.raises(ValueError, match=re.escape(message)):
        net.fit(*binary)
    assert vars(net) == before


def test_uncertainty_needs_no_names_of_shared_parameters(binary):
    assert plain_net(Unnamed, "uncertainty").fit(*binary).balancing_.log_variance.abs().min() > 0


class Convolved(nn.Module):
    """Its gradients are computed one task after another."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 3)
        self.heads = MLP(n_features=2 * (n_features - 2), n_outputs=n_outputs, hidden_units=())

    def forward(self, x):
        return self.heads(self.conv(x[:, None]).relu().flatten(1))


def test_convolutions_and_operations_that_cannot_be_batched_are_balanced_too(binary):
    X, Y = binary
    options = {"random_state": 0, "max_epochs": 2}
    for make in (Convolved, Stubborn):
        plain = plain_net(make, None, **options).fit(X, Y)
        net = plain_net(make, OneByGradients, **options).fit(X, Y)
        assert_same_parameters(net, plain, rtol=1e-4, atol=1e-5)


class NoBatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return torch.from_numpy(2 * grad.numpy())


class Stubborn(MLP):
    def forward(self, x):
        return super().forward(x) if not self.training else self.heads_of(x)

    def heads_of(self, x):
        parts = list(self.children())
        for part in parts[:-1]:
            x = NoBatch.apply(part(x))
        return parts[-1](x)


def test_relations_watch_a_balanced_net_and_data_maps_are_recorded(binary):
    X, Y = binary
    net = plain_net(MLP, "pcgrad", random_state=None)
    affinity = InterTaskAffinity(net, every=1, random_state=0).fit(X, Y).affinity_
    assert np.isfinite(affinity).all()
    assert (np.diag(affinity) > 0).all()
    grouper = TaskGrouper(net, snapshot_epochs=2, random_state=0).fit(X, Y)
    assert grouper.data_map_[..., 0].max() > 0.5


def test_compare_takes_balanced_nets_as_candidates(binary):
    nets = {name or "MTL": plain_net(MLP, name, random_state=None) for name in [None, *STRINGS]}
    comparison = compare(*binary, nets, baselines="MTL", seeds=2)
    assert set(comparison.scores["candidate"]) == {"MTL", *STRINGS}
