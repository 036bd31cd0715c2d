"""`MultiTaskNet`: its sizes, loss, data, training, predictions, and what it refuses."""

import copy
import functools
import pickle
import re
from contextlib import suppress

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from skorch.callbacks import BatchScoring, Callback, Checkpoint, EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup._random import draw_seeds, local_seed
from skgroup.datasets import load_digit_tasks
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.nn import MLP, SmallCNN
from skgroup.tasks import OutputLayout
from skgroup.training.data import BatchLoader, TaskDataset
from skgroup.training.loss import MultiTaskLoss


@pytest.fixture(scope="module")
def mixed(digits):
    """Tasks of every kind: X (300, 64), Y (300, 4) of objects, with 2, 3, 2 and 5 classes."""
    X, Y = digits[0][:300], digits[1][:300]
    digit = Y[:, :10].argmax(axis=1)
    tasks = np.empty((300, 4), dtype=object)
    tasks[:, 0] = np.where(Y[:, 12], "odd", "even")
    tasks[:, 1] = digit % 3
    tasks[:, 2] = (digit > 4).tolist()
    tasks[:, 3] = np.array(list("edcba"))[digit // 2]
    return X, tasks


def _full_batch_net(n_outputs=15):
    torch.manual_seed(0)
    return MultiTaskNet(
        MLP(n_features=64, n_outputs=n_outputs, hidden_units=(8,)),
        optimizer=torch.optim.SGD,
        lr=0.1,
        max_epochs=3,
        batch_size=-1,
    )


@pytest.fixture
def full_batch_net():
    """A net whose start is known and whose only step an epoch sees all samples."""
    return _full_batch_net()


def _hide(Y, share, seed=0):
    hidden = np.random.default_rng(seed).random(Y.shape) < share
    return np.where(hidden, np.nan, Y)


def _parameters(net):
    return {name: p.detach().clone() for name, p in net.module_.named_parameters()}


def assert_same_parameters(net, other, **tolerance):
    first, second = _parameters(net), _parameters(other)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], **tolerance)


def _refuses(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


class SampleOrder(Callback):
    """Keeps which samples stood in the last training batch."""

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.order_ = batch[1]["index"].tolist()


class TrainingSteps(Callback):
    """Counts training steps."""

    def __init__(self):
        self.n_steps_ = 0

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.n_steps_ += training


# -- sizes ---------------------------------------------------------------------------------------


class SizesMLP(MLP):
    """Passes on what it does not know."""

    def __init__(self, task_outputs, **kwargs):
        super().__init__(hidden_units=(4,), **kwargs)
        self.sizes = task_outputs


class Linear(nn.Module):
    """Asks for the shape of a sample alone; its outputs are those of three binary tasks."""

    def __init__(self, input_shape):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(input_shape)), 3)
        self.input_shape = input_shape

    def forward(self, x):
        return self.layer(x.flatten(1))


@pytest.mark.parametrize(
    "module",
    [
        MLP,
        SizesMLP,
        functools.partial(MLP, hidden_units=(4,)),
        functools.partial(SizesMLP, dropout=0.5),
        lambda n_outputs, n_features: nn.Linear(n_features, n_outputs),
    ],
    ids=["class", "subclass with **kwargs", "partial", "partial of the subclass", "function"],
)
def test_sizes_are_learned_from_the_data(mixed, module):
    net = MultiTaskNet(module, max_epochs=1).fit(*mixed)
    assert net.task_outputs_ == (1, 3, 1, 5)
    assert net.n_tasks_ == 4
    assert net.n_features_in_ == 64
    assert net.input_shape_ == (64,)
    assert net.module_(torch.zeros(2, 64)).shape == (2, 10)
    if isinstance(net.module_, SizesMLP):
        assert net.module_.sizes == (1, 3, 1, 5)


def test_module_learns_the_shape_of_a_sample(digits):
    X, Y = digits
    net = MultiTaskNet(Linear, max_epochs=1).fit(X.reshape(-1, 2, 4, 8), Y[:, :3])
    assert net.module_.input_shape == (2, 4, 8)
    assert net.input_shape_ == (2, 4, 8)
    assert net.n_features_in_ == 2


def test_given_module_arguments_win_over_learned_ones(digits):
    X, Y = digits
    net = MultiTaskNet(SizesMLP, module__task_outputs="mine", max_epochs=1).fit(X, Y)
    assert net.module_.sizes == "mine"


def test_module_instance_is_copied_at_each_fit(digits):
    X, Y = digits
    module = MLP(n_features=64, n_outputs=15, hidden_units=(8,))
    before = copy.deepcopy(module.state_dict())
    net = MultiTaskNet(module, max_epochs=1, random_state=0).fit(X, Y)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert net.module_ is not module
    assert not torch.equal(net.module_.heads.weight, module.heads.weight)
    first = net.predict_proba(X)
    np.testing.assert_array_equal(net.fit(X, Y).predict_proba(X), first)


def test_module_instance_with_other_parameters_is_built_anew(digits):
    X, Y = digits
    module = MLP(n_features=3, n_outputs=2)
    net = MultiTaskNet(module, module__hidden_units=(5,), max_epochs=1).fit(X, Y)
    assert net.module_.heads.weight.shape == (15, 5)
    assert module.heads.weight.shape == (2, 64)


def test_images_through_the_small_cnn(digits):
    X, Y = digits
    X = X.reshape(-1, 1, 8, 8)
    net = MultiTaskNet(SmallCNN, max_epochs=8, batch_size=32, random_state=0).fit(X, Y[:, :10])
    assert net.score(X, Y[:, :10]) > 0.8


# -- learning and predicting ---------------------------------------------------------------------


def test_default_net_learns_the_digits():
    X, Y = load_digit_tasks(return_X_y=True)
    Y = Y[:, :14]  # the last task is random
    net = MultiTaskNet(random_state=0).fit(X[:1200], Y[:1200])
    assert len(net.history_) == 50
    assert net.score(X[:1200], Y[:1200]) > 0.88
    assert net.score(X[1200:], Y[1200:]) > 0.8
    assert multitask_roc_auc_score(Y[1200:], net.predict_proba(X[1200:])) > 0.95


def test_binary_and_multiclass_tasks_are_learned_together(mixed):
    X, Y = mixed
    net = MultiTaskNet(max_epochs=40, lr=0.01, pos_label="odd", random_state=0).fit(X, Y)
    predicted = net.predict(X)
    assert predicted.shape == Y.shape
    for t in range(4):
        assert set(predicted[:, t]) <= set(Y[:, t])
        assert {type(v) for v in predicted[:, t].tolist()} == {type(Y[0, t])}
        assert np.mean(predicted[:, t] == Y[:, t]) > 0.95
    assert net.score(X, Y) == pytest.approx(multitask_f1_score(Y, predicted, pos_label="odd"))
    assert [c.tolist() for c in net.classes_] == [
        ["even", "odd"],
        [0, 1, 2],
        [False, True],
        list("abcde"),
    ]


def test_probabilities_of_mixed_tasks_are_a_list_a_task(mixed, small_net):
    X, Y = mixed
    net = small_net.fit(X, Y)
    proba = net.predict_proba(X)
    assert [p.shape for p in proba] == [(300, 2), (300, 3), (300, 2), (300, 5)]
    for t, p in enumerate(proba):
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(net.classes_[t][p.argmax(axis=1)], net.predict(X)[:, t])


def test_probabilities_are_those_of_the_logits(mixed, small_net):
    X, Y = mixed
    net = small_net.fit(X, Y)
    with torch.no_grad():
        logits = net.module_.eval()(torch.as_tensor(X, dtype=torch.float32))
    even, thirds, high, fifths = logits.split([1, 3, 1, 5], dim=1)
    proba = net.predict_proba(X)
    np.testing.assert_allclose(proba[0][:, 1:], torch.sigmoid(even), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(proba[1], torch.softmax(thirds, 1), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(proba[2][:, 1:], torch.sigmoid(high), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(proba[3], torch.softmax(fifths, 1), rtol=1e-4, atol=1e-7)


def test_probabilities_of_binary_tasks_are_one_array(digits, small_net):
    X, Y = digits
    net = small_net.fit(X, Y)
    proba = net.predict_proba(X)
    assert proba.shape == Y.shape
    np.testing.assert_array_equal(net.predict(X), (proba > 0.5).astype(int))
    one_column = clone(small_net).fit(X, Y[:, [12]])
    assert one_column.predict_proba(X).shape == one_column.predict(X).shape == (600, 1)
    assert isinstance(one_column.classes_, list)


@pytest.mark.parametrize("n_tasks", [1, 15])
def test_cross_validated_probabilities_of_binary_tasks(digits, small_net, n_tasks):
    X, Y = digits[0][:200], digits[1][:200, -n_tasks:]
    small_net.set_params(random_state=0)
    proba = cross_val_predict(small_net, X, Y, cv=KFold(2), method="predict_proba")
    expected = small_net.fit(X[100:], Y[100:]).predict_proba(X[:100])
    np.testing.assert_array_equal(proba[:100], expected)
    assert proba.shape == Y.shape
    for scoring in ("roc_auc", "f1_macro") if n_tasks > 1 else ():
        assert np.isfinite(cross_val_score(small_net, X, Y, cv=2, scoring=scoring)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_dimensional_y_gives_one_dimensional_predictions(digits, small_net, n_classes):
    X, Y = digits
    y = Y[:, :10].argmax(axis=1) % n_classes
    small_net.set_params(random_state=0)
    net = clone(small_net).fit(X, y)
    assert net.predict(X).shape == (600,)
    proba = net.predict_proba(X)
    assert proba.shape == (600, n_classes)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(net.classes_, range(n_classes))
    column = clone(small_net).fit(X, y[:, None])
    np.testing.assert_array_equal(column.predict(X)[:, 0], net.predict(X))
    names = np.array(["x", "y", "z"])
    if n_classes == 2:
        small_net.set_params(pos_label="y")
    named = clone(small_net).fit(X, pd.Series(names[y], name="which"))
    np.testing.assert_array_equal(named.predict(X), names[net.predict(X)])
    assert named.task_names_in_.tolist() == ["which"]
    assert named.score(X, names[y]) == pytest.approx(net.score(X, y))


@pytest.mark.parametrize(
    "encode",
    [
        lambda Y: Y.astype(np.uint8),
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(np.float64),
        lambda Y: Y * 7 - 3,
        lambda Y: np.where(Y == 1, "yes", "no"),
        lambda Y: np.where(Y == 1, "yes", "no").astype(object),
    ],
    ids=["uint8", "bool", "float", "other ints", "str", "object"],
)
def test_predictions_are_in_the_labels_of_Y(digits, small_net, encode):
    X, Y = digits
    small_net.set_params(random_state=0)
    expected = clone(small_net).fit(X, Y).predict(X)
    net = small_net.set_params(pos_label=encode(np.array([1])).tolist()[0]).fit(X, encode(Y))
    predicted = net.predict(X)
    np.testing.assert_array_equal(predicted, encode(expected))
    if encode(Y).dtype != object:
        assert predicted.dtype == encode(Y).dtype
    assert net.score(X, encode(Y)) == pytest.approx(f1_score(Y, expected, average="macro"))


def test_lists_and_tensors_of_labels(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    for given in (Y.tolist(), torch.as_tensor(Y)):
        np.testing.assert_array_equal(clone(small_net).fit(X, given).predict_proba(X), expected)


def test_data_frames_give_names_and_the_same_net(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    arrays = clone(small_net).fit(X, Y)
    frame = pd.DataFrame(Y, columns=[f"task {t}" for t in range(15)])
    frame["task 0"] = frame["task 0"].map({0: "no", 1: "yes"}).astype("category")
    frame["task 1"] = frame["task 1"].astype("boolean")
    features = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    net = small_net.set_params(pos_label={"task 0": "yes"}).fit(features, frame)
    assert net.task_names_in_.tolist() == frame.columns.tolist()
    assert net.feature_names_in_.tolist() == features.columns.tolist()
    np.testing.assert_array_equal(net.predict_proba(features), arrays.predict_proba(X))
    predicted, plain = net.predict(features), arrays.predict(X)
    np.testing.assert_array_equal(predicted[:, 0], np.where(plain[:, 0], "yes", "no"))
    np.testing.assert_array_equal(predicted[:, 1:], plain[:, 1:])
    assert net.score(features, frame) == pytest.approx(arrays.score(X, Y))
    assert not hasattr(net.set_params(pos_label=None).fit(X, Y), "task_names_in_")


def test_score_is_the_macro_f1_of_scikit_learn(digits, small_net):
    X, Y = digits
    weight = np.random.default_rng(0).random(600)
    net = small_net.fit(X, Y)
    predicted = net.predict(X)
    assert net.score(X, Y) == pytest.approx(f1_score(Y, predicted, average="macro"))
    assert net.score(X, Y, sample_weight=weight) == pytest.approx(
        f1_score(Y, predicted, average="macro", sample_weight=weight)
    )
    # One class of a task alone still scores by the classes of fit.
    few = Y[:, 0] == 0
    np.testing.assert_allclose(
        net.score(X[few], Y[few]),
        f1_score(Y[few], predicted[few], average="macro", zero_division=0),
    )


# -- the loss ------------------------------------------------------------------------------------


def _literal_loss(logits, codes, outputs, task_weight=None, class_weight=None, sample_weight=None):
    """Σ_t w_t · mean over the observed samples of BCE-with-logits or cross-entropy."""
    total, start = torch.zeros((), dtype=logits.dtype), 0
    for t, n_logits in enumerate(outputs):
        seen = codes[:, t] >= 0
        z, y = logits[seen, start : start + n_logits], codes[seen, t].long()
        start += n_logits
        if not seen.any():
            continue
        of_classes = [1.0] * max(n_logits, 2) if class_weight is None else class_weight[t]
        of_classes = torch.as_tensor(of_classes, dtype=logits.dtype)[: max(n_logits, 2)]
        if n_logits == 1:
            loss = F.binary_cross_entropy_with_logits(
                z[:, 0],
                y.to(logits.dtype),
                weight=torch.where(y == 0, of_classes[0], 1.0),
                pos_weight=of_classes[1],
                reduction="none",
            )
        else:
            loss = F.cross_entropy(z, y, weight=of_classes, reduction="none")
        s = torch.ones(len(y)) if sample_weight is None else sample_weight[seen]
        mean = (s * loss).sum() / s.sum()
        total = total + (1.0 if task_weight is None else task_weight[t]) * mean
    return total


@pytest.mark.parametrize("outputs", [(1, 1, 1), (1, 3, 1, 5), (4, 3)], ids=str)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("weighted", ["", "task", "class", "sample", "task class sample"])
def test_loss_and_gradient_equal_a_loop_over_tasks(outputs, missing, weighted):
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(max(k, 2), size=40) for k in outputs])
    if missing:
        codes[rng.random(codes.shape) < 0.3] = -1
        codes[:, 0] = -1  # a task without any label in the batch
    codes = torch.as_tensor(codes)
    logits = torch.as_tensor(3 * rng.normal(size=(40, sum(outputs))), dtype=torch.float32)
    weights = {
        "task": torch.as_tensor(rng.random(len(outputs)), dtype=torch.float32),
        "class": torch.as_tensor(
            5 * rng.random((len(outputs), max(2, *outputs))), dtype=torch.float32
        ),
        "sample": torch.as_tensor(rng.random(40), dtype=torch.float32),
    }
    task, of_class, sample = (w if name in weighted else None for name, w in weights.items())
    target = {"codes": codes} if sample is None else {"codes": codes, "weight": sample}
    mine, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss = MultiTaskLoss(outputs, task, of_class)(mine, target)
    expected = _literal_loss(theirs, codes, outputs, task, of_class, sample)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


def test_loss_of_huge_logits_is_finite():
    logits = torch.tensor([[1e4, -1e4, 1e4, 0.0]], requires_grad=True)
    loss = MultiTaskLoss((1, 3))(logits, {"codes": torch.tensor([[0, 0]])})
    loss.backward()
    assert loss.item() == pytest.approx(3e4)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("shape", [(7,), (2, 7), (3, 2, 7)], ids=str)
@pytest.mark.parametrize("outputs", [(1,) * 9, (1, 3, 1, 4), (4, 5)], ids=str)
def test_layout_equals_a_loop_over_tasks(outputs, shape):
    torch.manual_seed(0)
    logits = torch.randn(*shape, sum(outputs), requires_grad=True)
    codes = torch.stack([torch.randint(-1, max(k, 2), shape) for k in outputs], dim=-1)
    layout = OutputLayout(outputs)
    proba, true, expected = [], [], []
    for t, z in enumerate(logits.split(outputs, dim=-1)):
        p = torch.sigmoid(z) if outputs[t] == 1 else torch.softmax(z, dim=-1)
        full = torch.cat([1 - p, p], dim=-1) if outputs[t] == 1 else p
        proba.append(p)
        true.append(full.gather(-1, codes[..., t : t + 1].clamp(min=0)).squeeze(-1))
        expected.append((full * full).sum(-1))
    torch.testing.assert_close(layout.probability(logits), torch.cat(proba, dim=-1))
    torch.testing.assert_close(layout.expected_probability(logits), torch.stack(expected, dim=-1))
    found = layout.true_log_probability(logits, codes)
    seen = codes >= 0
    torch.testing.assert_close(found[seen], torch.stack(true, dim=-1)[seen].log())
    assert torch.isfinite(found).all()
    (gradient,) = torch.autograd.grad(found[~seen].sum(), logits)
    assert not gradient.any()  # what stands for a missing label depends on no logit


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_with_missing_labels_equals_a_literal_loop(digits, full_batch_net, optimizer):
    X, Y = digits
    Y = _hide(Y, 0.4)
    weight = np.random.default_rng(1).random(600)
    task_weight = np.linspace(0.1, 2, 15)
    net = full_batch_net.set_params(optimizer=optimizer, lr=0.01, task_weight=task_weight)
    module = copy.deepcopy(net.module)
    net.fit(X, Y, sample_weight=weight)

    x, s = (torch.as_tensor(a, dtype=torch.float32) for a in (X, weight))
    codes = torch.as_tensor(np.where(np.isnan(Y), -1, Y)).long()
    positive = [[1, (weight @ (y == 0)) / (weight @ (y == 1))] for y in Y.T]
    steps = optimizer(module.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        steps.zero_grad()
        loss = _literal_loss(module(x), codes, (1,) * 15, task_weight, positive, s)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    np.testing.assert_allclose(net.history_[:, "train_loss"], losses, rtol=1e-5)
    for name, p in module.named_parameters():
        torch.testing.assert_close(net.module_.get_parameter(name), p, rtol=1e-4, atol=1e-5)


def test_own_criterion_is_given_logits_and_target(digits, small_net):
    X, Y = digits

    class PlainLoss(nn.Module):
        def forward(self, logits, target):
            loss = F.binary_cross_entropy_with_logits(
                logits, target["codes"].float(), reduction="none"
            )
            return loss.mean(dim=0).sum()

    small_net.set_params(class_weight=None, random_state=0)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    own = small_net.set_params(criterion=PlainLoss).fit(X, Y)
    np.testing.assert_allclose(own.predict_proba(X), expected, atol=1e-4)


# -- missing labels ------------------------------------------------------------------------------


def test_samples_without_any_label_do_not_matter(digits, full_batch_net):
    X, Y = digits
    Y = Y.astype(float)
    Y[450:] = np.nan
    X = X.copy()
    X[450:] += 100
    partly = clone(full_batch_net).fit(X, Y)
    without = clone(full_batch_net).fit(X[:450], Y[:450])
    assert_same_parameters(partly, without, rtol=1e-4, atol=1e-5)


def test_missing_label_is_as_good_as_a_missing_sample(digits):
    X, Y = digits
    y = _hide(Y[:, 12], 0.5)
    net = _full_batch_net(n_outputs=1)
    seen = ~np.isnan(y)
    masked = clone(net).fit(X, y)
    assert_same_parameters(masked, net.fit(X[seen], y[seen]), rtol=1e-4, atol=1e-5)


def test_every_mark_of_a_missing_label_means_the_same(digits, small_net):
    X, Y = digits
    Y = _hide(Y, 0.3)
    small_net.set_params(random_state=0)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    objects = np.where(np.isnan(Y), None, Y).astype(object)
    for table in (objects, pd.DataFrame(Y), pd.DataFrame(Y).astype("Int64"), torch.as_tensor(Y)):
        np.testing.assert_array_equal(clone(small_net).fit(X, table).predict_proba(X), expected)


def test_missing_labels_do_not_count_in_the_score(digits, small_net):
    X, Y = digits
    net = small_net.fit(X, Y)
    sparse_Y = _hide(Y, 0.5)
    predicted = net.predict(X)
    expected = [
        f1_score(Y[seen, t], predicted[seen, t]) for t, seen in enumerate(~np.isnan(sparse_Y.T))
    ]
    assert net.score(X, sparse_Y) == pytest.approx(np.mean(expected))


def test_net_learns_from_half_of_the_labels(digits):
    X, Y = digits
    Y = Y[:, :14]
    net = MultiTaskNet(max_epochs=30, lr=0.005, random_state=0).fit(X, _hide(Y, 0.5))
    assert net.score(X, Y) > 0.85


# -- class weights -------------------------------------------------------------------------------


def _class_weights(net, X, Y, **fit_params):
    return net.set_params(max_epochs=1).fit(X, Y, **fit_params).criterion_.weight


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_class_weights_equal_the_formula(mixed, small_net, weighted):
    X, Y = mixed
    rng = np.random.default_rng(0)
    Y = Y.copy()
    Y[rng.random(Y.shape) < 0.3] = None
    sample_weight = rng.random(300) if weighted else None
    s = np.ones(300) if sample_weight is None else sample_weight
    found = _class_weights(small_net, X, Y, sample_weight=sample_weight)
    for t, classes in enumerate(small_net.classes_):
        count = np.array([s @ (Y[:, t] == c) for c in classes])
        if len(classes) == 2:
            expected = np.array([1, count[0] / count[1]])
        else:
            expected = count.sum() / (len(classes) * count)
        np.testing.assert_allclose(found[t, : len(classes)], expected, rtol=1e-5)


def test_no_class_weight_is_a_weight_of_one(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    assert (_class_weights(clone(small_net).set_params(class_weight=None), X, Y) == 1).all()
    nets = [clone(small_net).set_params(class_weight=w) for w in (None, {}, {0: 1, 1: 1.0})]
    first, *others = (net.fit(X, Y).predict_proba(X) for net in nets)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


def test_class_weights_for_all_tasks(mixed, small_net):
    small_net.set_params(class_weight={"odd": 3, 2: 0.5, "c": 4, True: 7})
    expected = [[1, 3, 1, 1, 1], [1, 7, 0.5, 1, 1], [1, 7, 1, 1, 1], [1, 1, 4, 1, 1]]
    np.testing.assert_array_equal(_class_weights(small_net, *mixed), expected)  # True is 1


def test_class_weights_of_some_tasks_by_position_and_by_name(mixed, small_net):
    X, Y = mixed
    expected = [[1] * 5, [1, 2, 3, 1, 1], [1] * 5, [9, 1, 1, 1, 0]]
    by_position = {1: {1: 2, 2: 3}, 3: {"a": 9, "e": 0}}
    small_net.set_params(class_weight=by_position)
    np.testing.assert_array_equal(_class_weights(small_net, X, Y), expected)
    frame = pd.DataFrame(Y, columns=["parity", "third", "high", "letter"])
    small_net.set_params(class_weight={"third": by_position[1], "letter": by_position[3]})
    np.testing.assert_array_equal(_class_weights(small_net, X, frame), expected)


def test_weight_on_positives_moves_predictions_to_them(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    share = [
        clone(small_net).set_params(class_weight={1: w}).fit(X, Y).predict(X).mean()
        for w in (0.1, 1, 20)
    ]
    assert share == sorted(set(share))


_CLASS_WEIGHT_RULE = (
    "The 'class_weight' parameter of MultiTaskNet must be 'balanced', None, a dict {class: weight} "
    "for all tasks, or a dict {task: {class: weight}}. Got %r instead."
)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("auto", _CLASS_WEIGHT_RULE % "auto"),
        ([1, 2], _CLASS_WEIGHT_RULE % [1, 2]),
        ({0: {1: 2}, 1: 3}, _CLASS_WEIGHT_RULE % {0: {1: 2}, 1: 3}),
        ({"x": 2}, "The 'class_weight' parameter names 'x', which is no class of any task."),
        ({20: {1: 2}}, "The 'class_weight' parameter names 20, which is no task."),
        ({3: {7: 2}}, "The 'class_weight' parameter names 7, which is no class of task 3."),
        ({1: -1}, "The 'class_weight' of class 1 must be a finite number >= 0. Got -1."),
        ({1: np.inf}, "The 'class_weight' of class 1 must be a finite number >= 0. Got inf."),
        ({0: {1: "x"}}, "The 'class_weight' of class 1 must be a finite number >= 0. Got 'x'."),
    ],
)
def test_class_weights_that_fit_no_task_are_refused(digits, small_net, class_weight, message):
    with _refuses(ValueError, message):
        small_net.set_params(class_weight=class_weight).fit(*digits)


def test_class_weight_by_name_is_refused_by_name(digits, small_net):
    X, Y = digits
    frame = pd.DataFrame(Y).add_prefix("t")
    small_net.set_params(class_weight={"t1": {5: 2}})
    message = "The 'class_weight' parameter names 5, which is no class of task 1 ('t1')."
    with _refuses(ValueError, message):
        small_net.fit(X, frame)


# -- task weights --------------------------------------------------------------------------------


def test_task_of_zero_weight_leaves_its_head_as_it_was(digits, full_batch_net):
    X, Y = digits
    weight = np.ones(15)
    weight[[2, 7]] = 0
    net = full_batch_net.set_params(task_weight=weight, optimizer=torch.optim.Adam).fit(X, Y)
    change = (net.module_.heads.weight - net.module.heads.weight).abs().amax(dim=1)
    np.testing.assert_array_equal(change.detach().numpy() == 0, weight == 0)


def test_task_of_zero_weight_does_not_matter_to_the_others(digits, full_batch_net):
    X, Y = digits
    weight = np.r_[np.ones(14), 0]
    other = Y.copy()
    other[:, 14] = Y[::-1, 14]
    net = full_batch_net.set_params(task_weight=weight, random_state=0)
    first, second = (clone(net).fit(X, table).predict_proba(X) for table in (Y, other))
    np.testing.assert_array_equal(first[:, :14], second[:, :14])


def test_no_task_weight_is_a_weight_of_one(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    first = clone(small_net).fit(X, Y).predict_proba(X)
    second = clone(small_net).set_params(task_weight=[1] * 15).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("task_weight", "message"),
    [
        (
            [1, 2],
            "The 'task_weight' parameter must be of shape (n_tasks,) = (15,). Got shape (2,).",
        ),
        (
            np.ones((1, 15)),
            "The 'task_weight' parameter must be of shape (n_tasks,) = (15,). Got shape (1, 15).",
        ),
        (
            [0] * 15,
            f"The 'task_weight' parameter must hold finite numbers >= 0, not all 0. "
            f"Got {[0] * 15}.",
        ),
        (
            [-1] + [1] * 14,
            "The 'task_weight' parameter must hold finite numbers >= 0, not all 0. Got "
            f"{[-1] + [1] * 14}.",
        ),
        (
            [float("nan")] + [1] * 14,
            "The 'task_weight' parameter must hold finite numbers >= 0, not all 0. Got "
            f"{[float('nan')] + [1] * 14}.",
        ),
        ("heavy", "The 'task_weight' parameter must hold numbers. Got 'heavy'."),
    ],
)
def test_task_weights_that_do_not_fit_are_refused(digits, small_net, task_weight, message):
    with _refuses(ValueError, message):
        small_net.set_params(task_weight=task_weight).fit(*digits)


# -- sample weights ------------------------------------------------------------------------------


def test_constant_sample_weight_is_none(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    first = clone(small_net).fit(X, Y).predict_proba(X)
    second = clone(small_net).fit(X, Y, sample_weight=np.full(600, 2.5)).predict_proba(X)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_samples_of_zero_weight_do_not_matter(digits, full_batch_net):
    X, Y = digits
    weighted = clone(full_batch_net).fit(X, Y, sample_weight=np.arange(600) < 450)
    without = clone(full_batch_net).fit(X[:450], Y[:450])
    assert_same_parameters(weighted, without, rtol=1e-4, atol=1e-5)


def test_weighted_vs_repeated(digits, full_batch_net):
    X, Y = digits
    weight = np.random.default_rng(0).integers(1, 4, size=600)
    weighted = clone(full_batch_net).fit(X, Y, sample_weight=weight)
    repeated = clone(full_batch_net).fit(X.repeat(weight, axis=0), Y.repeat(weight, axis=0))
    assert_same_parameters(weighted, repeated, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), "sample_weight.shape == (5,), expected (600,)!"),
        (-np.ones(600), "Negative values in data passed to `sample_weight`"),
        (np.zeros(600), "sample_weight is refused: Sample weights must contain at least one non"),
        (np.full(600, np.nan), "Input sample_weight contains NaN."),
    ],
)
def test_sample_weights_that_do_not_fit_are_refused(digits, small_net, weight, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        small_net.fit(*digits, sample_weight=weight)


# -- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float32),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.uint8),
        lambda X: X.astype(np.uint16),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(">i4"),
        lambda X: X.astype(">f8"),
        lambda X: X.tolist(),
        lambda X: np.asfortranarray(X),
        lambda X: X[::-1][::-1],
        torch.as_tensor,
        lambda X: torch.as_tensor(X, dtype=torch.uint8),
        lambda X: torch.as_tensor(X, dtype=torch.bfloat16),
        pd.DataFrame,
        lambda X: pd.DataFrame(X).astype({2: np.int8, 3: np.uint16}),
        sparse.csr_matrix,
        sparse.coo_array,
        lambda X: sparse.csr_matrix(X.astype(np.uint8)),
    ],
    ids=[
        *("float32", "float16", "uint8", "uint16", "int64", "big-endian int", "big-endian float"),
        *("list", "Fortran order", "reversed twice", "tensor", "uint8 tensor", "bfloat16 tensor"),
        *("DataFrame", "DataFrame of several types", "CSR", "COO", "CSR of uint8"),
    ],
)
def test_inputs_of_every_type_give_the_same_net(digits, small_net, convert):
    X, Y = np.round(16 * digits[0][:200]), digits[1][:200]
    small_net.set_params(random_state=0)
    reference = clone(small_net).fit(X, Y)
    expected = reference.predict_proba(X)
    np.testing.assert_array_equal(small_net.fit(convert(X), Y).predict_proba(convert(X)), expected)
    if not isinstance(convert(X), pd.DataFrame):  # whose names would be missed
        np.testing.assert_array_equal(reference.predict_proba(convert(X)), expected)


def test_bools_are_zeros_and_ones(digits, small_net):
    X, Y = digits[0] > 0.5, digits[1]
    small_net.set_params(random_state=0)
    expected = clone(small_net).fit(X.astype(float), Y).predict_proba(X.astype(float))
    np.testing.assert_array_equal(small_net.fit(X, Y).predict_proba(X), expected)


class InputTypes(Callback):
    """What stands in the data set, and what batches hold."""

    def on_train_begin(self, net, X=None, **kwargs):
        self.data_, self.batches_ = X.X, set()

    def on_batch_begin(self, net, batch=None, **kwargs):
        self.batches_.add(batch[0].dtype)


class FlatLinear(nn.Module):
    """Keeps the type and the largest value of what it is given."""

    def __init__(self, n_outputs, input_shape):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(input_shape)), n_outputs)

    def forward(self, x):
        self.seen = x.dtype, x.max().item()
        return self.layer(x.flatten(1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_inputs_keep_their_type_and_memory_until_the_batch(digits, dtype):
    X, Y = (16 * digits[0]).astype(dtype).reshape(-1, 1, 8, 8), digits[1]
    types = InputTypes()
    net = MultiTaskNet(FlatLinear, max_epochs=1, batch_size=-1, callbacks=[types]).fit(X, Y)
    assert types.data_.numpy().dtype == dtype
    assert np.shares_memory(types.data_.numpy(), X)
    assert types.batches_ == {types.data_.dtype}
    assert net.module_.seen == (torch.float32, 16.0)


class InPlace(MLP):
    """Works in the memory that it is given."""

    def forward(self, x):
        return super().forward(x.div_(16))


def test_module_that_works_in_place_leaves_the_inputs_alone(digits, tmp_path):
    X, Y = digits[0].astype(np.float32), digits[1]
    np.save(tmp_path / "X.npy", X)
    net = MultiTaskNet(InPlace, max_epochs=1, iterator_train__shuffle=False, random_state=0)
    expected = clone(net).fit(X.tolist(), Y).predict_proba(X.tolist())
    for inputs in (X, np.load(tmp_path / "X.npy", mmap_mode="r"), torch.as_tensor(X)):
        before = np.asarray(inputs).copy()
        found = clone(net).fit(inputs, Y).predict_proba(inputs)
        np.testing.assert_array_equal(inputs, before)
        np.testing.assert_array_equal(found, expected)


def test_read_only_inputs_are_taken(digits, small_net):
    X, Y = digits[0].astype(np.float32), digits[1].copy()
    X.setflags(write=False)
    Y.setflags(write=False)
    assert small_net.fit(X, Y).predict(X).shape == Y.shape


class ByName(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.embedding = nn.Embedding(2, 4)
        self.layer = nn.Linear(68, n_outputs)

    def forward(self, pixels, which):
        return self.layer(torch.cat([pixels, self.embedding(which)], dim=1))


def test_dict_of_inputs_goes_to_the_module_by_name(digits):
    X, Y = digits
    inputs = {"pixels": X, "which": Y[:, 13]}  # ints stay ints, for embeddings
    net = MultiTaskNet(ByName, max_epochs=20, lr=0.05, random_state=0)
    upside_down = f1_score(Y[:, 13], net.fit(inputs, Y).predict(inputs)[:, 13])
    assert upside_down > 0.95


class ByPosition(ByName):
    def forward(self, both):
        return super().forward(*both)


def test_datasets_may_yield_dicts_and_tuples(digits):
    X, Y = digits[0][:200].astype(np.float32), digits[1][:200]
    params = {"max_epochs": 2, "iterator_train__shuffle": False, "random_state": 0}
    inputs = {"pixels": X, "which": Y[:, 13]}
    expected = MultiTaskNet(ByName, **params).fit(inputs, Y).predict_proba(inputs)
    pairs = list(zip(X, Y[:, 13], strict=True))
    for module, samples in [
        (ByName, [{"pixels": x, "which": w} for x, w in pairs]),
        (ByPosition, pairs),
    ]:
        dataset = Pairs(samples, Y)
        found = MultiTaskNet(module, **params).fit(dataset).predict_proba(dataset)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_inputs_without_one_shape_forget_that_of_an_earlier_fit(digits):
    X, Y = digits
    net = MultiTaskNet(max_epochs=1).fit(pd.DataFrame(X).add_prefix("pixel "), Y)
    assert net.n_features_in_ == len(net.feature_names_in_) == 64
    inputs = {"pixels": X, "which": Y[:, 13]}
    net.set_params(module=ByName).fit(inputs, Y)
    assert not hasattr(net, "feature_names_in_")
    assert not hasattr(net, "n_features_in_")
    assert net.predict(inputs).shape == Y.shape


def test_dataset_of_another_shape_is_refused(digits, small_net):
    X, Y = digits
    net = small_net.fit(Pairs(X, Y))
    assert net.n_features_in_ == 64
    message = "X has samples of shape (60,), but MultiTaskNet was fitted on samples of shape (64,)."
    with _refuses(ValueError, message):
        net.predict(Pairs(X[:, 4:], Y))


def test_dict_of_arrays_of_different_length_is_refused(digits, small_net):
    X, Y = digits
    with _refuses(ValueError, "The arrays of X differ in length: [5, 600]."):
        small_net.fit({"a": X, "b": X[:5]}, Y)


class Pairs(Dataset):
    """Samples one by one, with their labels or without."""

    def __init__(self, X, Y=None):
        self.X, self.Y = X, Y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] if self.Y is None else (self.X[i], self.Y[i])


def test_torch_dataset_equals_its_arrays(digits, small_net):
    X, Y = digits[0][:200].astype(np.float32), digits[1][:200]
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    for dataset, labels in [(Pairs(X), Y), (Pairs(X, Y), None), (Pairs(X, -Y), Y)]:
        net = clone(small_net).fit(dataset, labels)
        np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)
        np.testing.assert_allclose(net.predict_proba(dataset), expected, atol=1e-6)
        assert net.score(dataset, Y) == pytest.approx(net.score(X, Y))


def test_torch_dataset_with_missing_labels_and_one_task(digits, small_net):
    X, y = digits[0][:200].astype(np.float32), _hide(digits[1][:200, 12], 0.3)
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, y).predict_proba(X)
    net = small_net.fit(Pairs(X, y))
    assert expected.shape == (200, 2)
    np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)


@pytest.mark.parametrize("single", [False, True])
def test_torch_dataset_of_strings(digits, small_net, single):
    X, Y = digits[0][:200].astype(np.float32), np.where(digits[1][:200], "yes", "no").astype(object)
    Y[::7] = None
    Y = Y[:, 12] if single else Y
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, Y).predict(X)
    for labels in (Y, Y.tolist()):
        np.testing.assert_array_equal(small_net.fit(Pairs(X, labels)).predict(X), expected)


class Noisy(Pairs):
    """Draws from the global generators for each sample."""

    def __getitem__(self, i):
        return self.X[i] + torch.rand(()).item() + np.random.rand(), self.Y[i]


@pytest.mark.parametrize(
    ("make", "loaders"),
    [(Noisy, {}), (None, {"iterator_train": DataLoader, "iterator_valid": DataLoader})],
)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_torch_data_loader_leaves_the_global_random_state_alone(digits, small_net, make, loaders):
    X, Y = digits[0][:200].astype(np.float32), digits[1][:200]
    net = small_net.set_params(**loaders)
    net.fit(*((X, Y) if make is None else (make(X, Y),)))
    inputs = X if make is None else Pairs(X, Y)
    net.predict(inputs)
    net.score(inputs, Y)


def test_torch_data_loader_equals_the_own_one(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200]
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    for changes in (
        {"iterator_train": DataLoader, "iterator_valid": DataLoader},
        {"iterator_train__num_workers": 0},
    ):
        net = clone(small_net).set_params(**changes).fit(X, Y)
        np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)
        rows = sparse.csr_matrix(X)
        np.testing.assert_allclose(net.fit(rows, Y).predict_proba(rows), expected, atol=1e-6)


def test_torch_data_loader_shuffles_and_takes_samplers(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200]
    small_net.set_params(iterator_train=DataLoader, random_state=0)
    shuffled = clone(small_net).fit(X, Y)
    in_order = clone(small_net).set_params(iterator_train__shuffle=False).fit(X, Y)
    assert not np.allclose(shuffled.predict_proba(X), in_order.predict_proba(X))
    sampler = torch.utils.data.SubsetRandomSampler(range(64))
    few = clone(small_net).set_params(iterator_train__sampler=sampler).fit(X, Y)
    assert few.history_[:, "batches", :, "train_batch_size"] == [[64]] * 4


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_hold_each_sample_once(nested, drop_last):
    data = TaskDataset(torch.arange(23)[:, None], {"codes": torch.arange(23)})
    part = Subset(Subset(data, range(1, 23)), np.arange(0, 22, 2)) if nested else data
    kept = torch.arange(1, 23, 2) if nested else torch.arange(23)
    loader = BatchLoader(part, 4, shuffle=True, drop_last=drop_last)
    passes = []
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader) == (len(kept) // 4 if drop_last else -(-len(kept) // 4))
        seen = torch.cat([x[:, 0] for x, _ in batches])
        torch.testing.assert_close(seen, torch.cat([target["codes"] for _, target in batches]))
        passes.append(seen)
        assert len(seen.unique()) == len(seen)
        assert set(seen.tolist()) <= set(kept.tolist())
        assert len(seen) == (len(kept) // 4 * 4 if drop_last else len(kept))
    assert not torch.equal(*passes)
    in_order = torch.cat([x[:, 0] for x, _ in BatchLoader(part, 4)])
    torch.testing.assert_close(in_order, kept)


def test_order_of_samples_follows_the_generator():
    data = TaskDataset(torch.arange(50))
    orders = [
        BatchLoader(data, 8, shuffle=True, generator=torch.Generator().manual_seed(s)).order()
        for s in (1, 1, 2)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


# -- callbacks -----------------------------------------------------------------------------------


class State(Callback):
    """Keeps the parameters after every epoch, and whether the end of training was heard of."""

    def on_train_begin(self, net, **kwargs):
        self.epochs_, self.n_ends_ = [], 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs_.append(copy.deepcopy(net.module_.state_dict()))

    def on_train_end(self, net, **kwargs):
        self.n_ends_ += 1


def _early_stopping_net(*callbacks, **params):
    return MultiTaskNet(
        module__hidden_units=(16,),
        max_epochs=60,
        lr=0.1,
        train_split=ValidSplit(5),
        callbacks=list(callbacks),
        random_state=0,
        **params,
    )


def test_early_stopping_ends_training_without_a_warning(digits):
    stop, state = EarlyStopping(patience=3), State()
    net = _early_stopping_net(stop, state).fit(*digits)
    losses = net.history_[:, "valid_loss"]
    assert 3 < len(losses) < 60
    assert min(losses) == min(losses[:-3])
    assert len(state.epochs_) == len(losses)  # also of the epoch that was the last
    assert state.n_ends_ == 1
    assert net.predict(digits[0]).shape == digits[1].shape


def test_early_stopping_restores_the_best_epoch(digits):
    state = State()
    net = _early_stopping_net(state, EarlyStopping(patience=3, load_best=True)).fit(*digits)
    best = int(np.argmin(net.history_[:, "valid_loss"]))
    for name, value in net.module_.state_dict().items():
        torch.testing.assert_close(value, state.epochs_[best][name], rtol=0, atol=0)


def test_checkpoint_restores_the_best_epoch(digits, tmp_path):
    state = State()
    net = _early_stopping_net(
        state, Checkpoint(monitor="valid_loss_best", dirname=str(tmp_path), load_best=True)
    )
    net.set_params(max_epochs=15).fit(*digits)
    best = int(np.argmin(net.history_[:, "valid_loss"]))
    assert best < len(state.epochs_) - 1
    for name, value in net.module_.state_dict().items():
        torch.testing.assert_close(value, state.epochs_[best][name], rtol=0, atol=0)
    other = clone(net).set_params(callbacks=None, max_epochs=1).fit(*digits)
    other.load_params(f_params=str(tmp_path / "params.pt"))
    np.testing.assert_array_equal(other.predict_proba(digits[0]), net.predict_proba(digits[0]))


def test_epoch_scoring_scores_labels_of_the_validation_part(digits, small_net):
    X, Y = digits
    scoring = EpochScoring("f1_macro", lower_is_better=False)
    small_net.set_params(train_split=ValidSplit(5), callbacks=[scoring])
    net = small_net.fit(X, Y)
    expected = f1_score(Y[:120], net.predict(X[:120]), average="macro", zero_division=0)
    assert net.history_[-1, "f1_macro"] == pytest.approx(expected)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_epoch_scoring_by_the_net_scores_tasks_of_every_kind(mixed, small_net, missing, single):
    X, Y = mixed
    if missing:
        Y = Y.copy()
        Y[np.random.default_rng(0).random(Y.shape) < 0.3] = None
    if single:
        Y = Y[:, 3]
    scoring = EpochScoring(None, name="score", lower_is_better=False)
    small_net.set_params(train_split=ValidSplit(5), callbacks=[scoring])
    net = small_net.set_params(pos_label=None if single else "odd").fit(X, Y)
    assert net.history_[-1, "score"] == pytest.approx(net.score(X[:60], Y[:60]))


@pytest.mark.parametrize("on_train", [False, True])
def test_scoring_of_the_training_part_and_without_a_cache(digits, small_net, on_train):
    X, Y = digits
    params = {"scoring": "f1_macro", "lower_is_better": False, "on_train": on_train}
    small_net.set_params(
        train_split=ValidSplit(5),
        batch_size=-1,
        callbacks=[
            ("cached", EpochScoring(**params, name="cached")),
            ("anew", EpochScoring(**params, name="anew", use_caching=False)),
            ("batch", BatchScoring(**params, name="batch")),
        ],
    )
    net = pickle.loads(pickle.dumps(small_net.fit(X, Y)))
    part = slice(120, None) if on_train else slice(120)
    last = f1_score(Y[part], net.predict(X[part]), average="macro", zero_division=0)
    scores = net.history_[-1, ("cached", "anew", "batch")]
    assert scores[1] == pytest.approx(last)
    # Scores of training are those before the step.
    np.testing.assert_allclose(scores[::2], net.history_[-2, "anew"] if on_train else last)


def test_scoring_callbacks_follow_the_labels_of_a_new_fit(digits, small_net):
    X, Y = digits
    scoring = EpochScoring(None, name="score", lower_is_better=False)
    net = small_net.set_params(train_split=ValidSplit(5), callbacks=[scoring]).fit(X, Y)
    for again in (net, clone(net)):
        again.set_params(pos_label="yes").fit(X, np.where(Y, "yes", "no"))
        assert again.history_[-1, "score"] > 0


def test_stratified_validation_part_of_one_task(digits, small_net):
    X, Y = digits
    seen = []
    scoring = EpochScoring(
        lambda net, X, y: seen.append(y) or 0.0, name="labels", lower_is_better=False
    )
    small_net.set_params(train_split=ValidSplit(5, stratified=True), callbacks=[scoring])
    small_net.fit(X, Y[:, 0])
    assert seen[-1].mean() == pytest.approx(Y[:, 0].mean(), abs=1 / 120)


def test_validation_part_of_the_users_has_its_labels_encoded(digits, small_net):
    X, Y = digits[0].astype(np.float32), 5 * digits[1] - 2
    valid = Pairs(X[400:], _hide(Y[400:], 0.3))
    small_net.set_params(train_split=predefined_split(valid), class_weight=None, batch_size=-1)
    net = small_net.fit(X[:400], Y[:400])
    with torch.no_grad():
        logits = net.module_.eval()(torch.as_tensor(valid.X))
    codes = torch.as_tensor(np.where(np.isnan(valid.Y), -1, valid.Y > 0)).long()
    expected = _literal_loss(logits, codes, (1,) * 15)
    assert net.history_[-1, "valid_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert net.history_[:, "batches", :, "train_batch_size"] == [[400]] * 4


def test_progress_is_printed_on_demand(digits, small_net, capsys):
    small_net.fit(*digits)
    assert capsys.readouterr().out == ""
    small_net.set_params(verbose=1).fit(*digits)
    assert "train_loss" in capsys.readouterr().out


def test_further_fit_parameters_go_to_the_module(digits):
    X, Y = digits

    class Switched(MLP):
        def forward(self, x, switch=1.0):
            return switch * super().forward(x)

    net = MultiTaskNet(Switched, max_epochs=1).fit(X, Y, switch=0.0)
    no_weight = {"class_weight": None, "max_epochs": 1}
    np.testing.assert_allclose(
        net.set_params(**no_weight).fit(X, Y, switch=0.0).history_[0, "train_loss"],
        15 * np.log(2),
        rtol=1e-5,
    )


# -- further training ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e30, 1e200])
def test_only_ratios_of_task_weights_far_from_one_matter(digits, small_net, size):
    X, Y = digits[0], digits[1][:, :2]
    small_net.set_params(random_state=0)
    near = clone(small_net).set_params(task_weight=[1.0, 0.5]).fit(X, Y)
    far = clone(small_net).set_params(task_weight=[size, size / 2]).fit(X, Y)
    assert_same_parameters(far, near, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_only_ratios_of_class_weights_far_from_one_matter(digits, small_net, size):
    X, Y = digits[0], digits[1][:, :2]
    small_net.set_params(random_state=0)
    near = clone(small_net).set_params(class_weight={0: 0.5, 1: 1.0}).fit(X, Y)
    far = clone(small_net).set_params(class_weight={0: size / 2, 1: size}).fit(X, Y)
    assert_same_parameters(far, near, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:These tasks of Y have a single observed class")
def test_weights_count_by_the_tasks_that_are_learned(digits, small_net):
    X, Y = digits[0], digits[1][:, :2].copy()
    Y[:, 1] = 0
    small_net.set_params(random_state=0)
    near = clone(small_net).fit(X, Y)
    far = clone(small_net).set_params(task_weight=[1e-30, 1.0]).fit(X, Y)
    assert_same_parameters(far, near, rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="'task_weight' parameter must not be 0 for all tasks"):
        small_net.set_params(task_weight=[0.0, 1.0]).fit(X, Y)


def test_partial_fit_goes_on_from_the_present_weights(digits, full_batch_net):
    X, Y = digits
    at_once = clone(full_batch_net).set_params(max_epochs=6).fit(X, Y)
    in_parts = full_batch_net.partial_fit(X, Y)
    assert len(in_parts.history_) == 3
    in_parts.partial_fit(X, Y)
    assert len(in_parts.history_) == 6
    assert_same_parameters(in_parts, at_once, rtol=1e-4, atol=1e-5)


def test_partial_fit_after_fit_keeps_classes(digits, small_net):
    X, Y = digits
    net = small_net.fit(X, Y)
    few = Y[:, 0] == 0  # lacks a class of the first task
    net.partial_fit(X[few], Y[few])
    np.testing.assert_array_equal(net.classes_, [[0, 1]] * 15)
    with _refuses(
        ValueError,
        "task 0 of Y holds the label 2, which is not among the classes seen in fit: [0, 1].",
    ):
        net.partial_fit(X, 2 * Y)
    with _refuses(ValueError, "Y has 14 tasks, but 15 were seen in fit."):
        net.partial_fit(X, Y[:, :14])
    with _refuses(
        ValueError, "X has 9 features, but MultiTaskNet is expecting 64 features as input."
    ):
        net.partial_fit(X[:, :9], Y)


def test_first_partial_fit_may_lack_classes_that_are_given(digits, small_net):
    X, Y = digits
    names = np.array(["no", "yes"])
    few = Y[:, 0] == 0
    small_net.set_params(random_state=0)
    table = names[Y[:, :3]]
    nets = [
        clone(small_net).partial_fit(X[few], table[few], classes=[classes] * 3)
        for classes in (["no", "yes"], ["yes", "no"])
    ]
    assert [c.tolist() for c in nets[1].classes_] == [["no", "yes"]] * 3
    np.testing.assert_array_equal(*(net.predict_proba(X) for net in nets))
    for _ in range(8):
        nets[1].partial_fit(X, table)
    assert np.mean(nets[1].predict(X) == table) > 0.9
    one_task = small_net.partial_fit(X[few], Y[few, 0], classes=[0, 1, 2])
    assert one_task.predict_proba(X).shape == (600, 3)


def test_partial_fit_is_the_same_for_the_same_seed(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=3)
    nets = [clone(small_net).partial_fit(X, Y).partial_fit(X, Y) for _ in range(2)]
    np.testing.assert_array_equal(*(net.predict_proba(X) for net in nets))


def test_further_epochs_draw_new_orders_of_the_samples(digits, small_net):
    X, Y = digits
    whose = SampleOrder()
    small_net.set_params(callbacks=[whose], max_epochs=1, batch_size=-1, random_state=0)
    orders = [small_net.fit(X, Y) and whose.order_]
    orders += [small_net.partial_fit(X, Y) and whose.order_ for _ in range(2)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(600)) for order in orders)


def test_warm_start_goes_on_and_cold_start_does_not(digits, full_batch_net):
    X, Y = digits
    cold = clone(full_batch_net).fit(X, Y).fit(X, Y)
    assert_same_parameters(cold, clone(full_batch_net).fit(X, Y), rtol=1e-5, atol=1e-6)
    warm = clone(full_batch_net).set_params(warm_start=True).fit(X, Y).fit(X, Y)
    twice = full_batch_net.set_params(max_epochs=6).fit(X, Y)
    assert_same_parameters(warm, twice, rtol=1e-4, atol=1e-5)


def test_refit_on_other_tasks_forgets_the_old_ones(digits, mixed, small_net):
    net = small_net.fit(*digits).fit(*mixed)
    assert net.task_outputs_ == (1, 3, 1, 5)
    assert [p.shape[1] for p in net.predict_proba(mixed[0])] == [2, 3, 2, 5]


# -- modules -------------------------------------------------------------------------------------


class Heads(nn.Module):
    """One tensor a task; those of binary tasks flat if `flat`."""

    def __init__(self, n_features, task_outputs, flat=False):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(n_features, k) for k in task_outputs)
        self.flat = flat

    def forward(self, x):
        outputs = [head(x) for head in self.heads]
        return [o[:, 0] if self.flat and o.shape[1] == 1 else o for o in outputs]


@pytest.mark.parametrize("flat", [False, True])
def test_list_of_outputs_equals_one_tensor(mixed, flat):
    X, Y = mixed

    class Joined(Heads):
        def forward(self, x):
            return torch.cat([head(x) for head in self.heads], dim=1)

    params = {"max_epochs": 2, "random_state": 0}
    listed = MultiTaskNet(Heads, module__flat=flat, **params).fit(X, Y)
    joined = MultiTaskNet(Joined, **params).fit(X, Y)
    for p, q in zip(listed.predict_proba(X), joined.predict_proba(X), strict=True):
        np.testing.assert_array_equal(p, q)


class Misfit(nn.Module):
    """Returns what it is told to, whatever the tasks are."""

    trained = 0

    def __init__(self, output):
        super().__init__()
        self.layer = nn.Linear(64, 1)
        self.output = output

    def forward(self, x):
        type(self).trained += self.training
        return self.output(self.layer(x))


_LOGITS = (
    "The module Misfit must return logits of shape (batch, n_outputs) = (2, 10) for the 4 tasks "
    "to learn. Got shape {}."
)
_LISTS = (
    "The module Misfit must return a list of tensors a task, of shape (batch, 1) or (batch,) for a "
    "binary task and (batch, k) for k classes: [(2, 1), (2, 3), (2, 1), (2, 5)]. Got {}."
)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda z: z.expand(-1, 9), _LOGITS.format((2, 9))),
        (lambda z: z[:, 0], _LOGITS.format((2,))),
        (lambda z: z.expand(2, 10)[:1], _LOGITS.format((1, 10))),
        (lambda z: z[..., None].expand(-1, 10, 1), _LOGITS.format((2, 10, 1))),
        (lambda z: [z, z], _LISTS.format([(2, 1), (2, 1)])),
        (
            lambda z: (z, z.expand(-1, 3), z, z.expand(-1, 4)),
            _LISTS.format([(2, 1), (2, 3), (2, 1), (2, 4)]),
        ),
        (
            lambda z: [z[..., None], z.expand(-1, 3), z[:, 0], z.expand(-1, 5)],
            _LISTS.format([(2, 1, 1), (2, 3), (2,), (2, 5)]),
        ),
        (
            lambda z: [z[:1], z.expand(-1, 3), z, z.expand(-1, 5)],
            _LISTS.format([(1, 1), (2, 3), (2, 1), (2, 5)]),
        ),
        (
            lambda z: {"a": z},
            "The module Misfit must return a tensor of logits, or a list of tensors a task. Got "
            "dict.",
        ),
        (
            lambda z: None,
            "The module Misfit must return a tensor of logits, or a list of tensors a task. Got "
            "NoneType.",
        ),
    ],
)
def test_module_that_does_not_fit_the_tasks_is_refused_before_training(mixed, output, message):
    steps = TrainingSteps()
    Misfit.trained = 0
    net = MultiTaskNet(Misfit, module__output=output, callbacks=[steps])
    with _refuses(ValueError, message):
        net.fit(*mixed)
    assert Misfit.trained == steps.n_steps_ == 0


def test_given_size_that_does_not_fit_the_tasks_is_refused(digits, small_net):
    message = (
        "The module MLP must return logits of shape (batch, n_outputs) = (2, 15) for the 15 tasks "
        "to learn. Got shape (2, 3)."
    )
    with _refuses(ValueError, message):
        small_net.set_params(module__n_outputs=3).fit(*digits)


class Normed(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features)
        self.layer = nn.Linear(n_features, n_outputs)
        self.n_batches = 0

    def forward(self, x):
        self.n_batches += self.training
        return self.layer(self.norm(x))


def test_trying_the_module_leaves_no_trace_in_it(digits):
    net = MultiTaskNet(Normed, max_epochs=1, batch_size=-1).fit(*digits)
    assert net.module_.norm.num_batches_tracked == 1


@pytest.mark.parametrize(("n_samples", "batch_size"), [(33, 32), (33, 16), (32, 1)])
def test_last_batch_of_one_is_refused_before_training_where_the_module_cannot_take_it(
    digits, n_samples, batch_size
):
    X, Y = digits[0][:n_samples], np.arange(2 * n_samples).reshape(-1, 2) // 3 % 2
    net = MultiTaskNet(Normed, max_epochs=1, batch_size=batch_size)
    message = (
        "The module Normed cannot train on a batch of one sample, which "
        f"batch_size={batch_size} leaves of {n_samples} samples: "
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        net.fit(X, Y)
    assert not hasattr(net, "module_")
    if batch_size > 1:
        net.set_params(iterator_train__drop_last=True).fit(X, Y)
        assert net.module_.norm.num_batches_tracked == n_samples // batch_size
        net.set_params(iterator_train__drop_last=False, train_split=ValidSplit(3)).fit(X, Y)


def test_last_batch_of_one_changes_nothing_where_the_module_can_take_it(digits):
    class PerSample(nn.Module):
        def __init__(self, n_outputs):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
            self.layer = nn.Linear(64, n_outputs)

        def forward(self, x):
            return self.layer(self.drop(self.norm(x.reshape(-1, 8, 8)).flatten(1)))

    X, Y = (part[:33] for part in digits)
    net = MultiTaskNet(PerSample, max_epochs=2, batch_size=32, random_state=0).fit(X, Y)
    assert net.module_.norm.num_batches_tracked == 4
    plain = clone(net)
    plain._try_last_batch = lambda dataset: None
    np.testing.assert_array_equal(plain.fit(X, Y).predict_proba(X), net.predict_proba(X))


@pytest.mark.parametrize("base", [nn.Module, Linear])
def test_module_that_names_nothing_is_given_all_sizes(digits, base):
    given = {}

    class Anything(base):
        def __init__(self, **kwargs):
            given.update(kwargs)
            named = {} if base is nn.Module else {"input_shape": kwargs["input_shape"]}
            super().__init__(**named)
            if base is nn.Module:
                self.layer = nn.Linear(kwargs["n_features"], kwargs["n_outputs"])

        def forward(self, x):
            return self.layer(x)

    MultiTaskNet(Anything, max_epochs=1).fit(digits[0], digits[1][:, :3])
    named = {"input_shape": (64,)}
    everything = named | {"n_features": 64, "n_outputs": 3, "task_outputs": (1, 1, 1)}
    assert given == (everything if base is nn.Module else named)


# -- devices -------------------------------------------------------------------------------------


def test_device_auto_is_cuda_where_there_is_one(digits, small_net):
    X, Y = digits
    net = small_net.set_params(random_state=0).fit(X, Y)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert {p.device.type for p in net.module_.parameters()} == {expected}
    assert net.criterion_.weight.device.type == expected
    assert net.get_params()["device"] == clone(net).device == "auto"
    on_cpu = clone(net).set_params(device="cpu").fit(X, Y)
    assert {p.device.type for p in on_cpu.module_.parameters()} == {"cpu"}
    np.testing.assert_allclose(on_cpu.predict_proba(X), net.predict_proba(X), atol=1e-3)


# -- the estimator contract ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_proba", "forward", "score"])
def test_use_before_fit_is_refused(digits, method):
    message = (
        "This MultiTaskNet instance is not fitted yet. Call 'fit' with appropriate arguments "
        "before using this estimator."
    )
    arguments = digits if method == "score" else digits[:1]
    with _refuses(NotFittedError, message):
        getattr(MultiTaskNet(), method)(*arguments)


def test_classes_and_initialize_before_fit():
    assert not hasattr(MultiTaskNet(), "classes_")
    message = (
        "MultiTaskNet learns the sizes of its module from the data: call fit instead of initialize."
    )
    with _refuses(NotFittedError, message):
        MultiTaskNet().initialize()


def test_clone_has_the_parameters_and_not_the_weights(digits):
    weight = np.linspace(1, 2, 15)
    net = MultiTaskNet(
        module__hidden_units=(3,),
        task_weight=weight,
        class_weight={1: 2},
        random_state=5,
        optimizer__weight_decay=0.1,
        max_epochs=1,
    )
    twin = clone(net.fit(*digits))
    assert not hasattr(twin, "module_")
    params = twin.get_params()
    assert params["module__hidden_units"] == (3,)
    assert params["optimizer__weight_decay"] == 0.1
    np.testing.assert_array_equal(params["task_weight"], weight)
    assert params["class_weight"] == {1: 2}
    assert params["random_state"] == 5
    X = digits[0]
    np.testing.assert_array_equal(twin.fit(*digits).predict_proba(X), net.predict_proba(X))


def test_set_params_takes_effect_in_the_next_fit(digits, small_net):
    X, Y = digits
    net = small_net.set_params(random_state=0).fit(X, Y)
    net.set_params(module__hidden_units=(3,), max_epochs=2, optimizer=torch.optim.SGD, lr=0.5)
    net.fit(X, Y)
    assert net.module_.heads.in_features == 3
    assert len(net.history_) == 2
    assert isinstance(net.optimizer_, torch.optim.SGD)
    assert net.optimizer_.param_groups[0]["lr"] == 0.5
    fresh = clone(net).fit(X, Y)
    np.testing.assert_array_equal(fresh.predict_proba(X), net.predict_proba(X))


@pytest.mark.parametrize("dump", ["pickle", "joblib", "deepcopy"])
def test_fitted_net_survives_a_round_trip(mixed, small_net, tmp_path, dump):
    X, Y = mixed
    net = small_net.set_params(random_state=0, train_split=ValidSplit(5)).fit(X, Y)
    if dump == "pickle":
        twin = pickle.loads(pickle.dumps(net))
    elif dump == "joblib":
        joblib.dump(net, tmp_path / "net.joblib")
        twin = joblib.load(tmp_path / "net.joblib")
    else:
        twin = copy.deepcopy(net)
    assert twin.device == "auto"
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))
    for p, q in zip(twin.predict_proba(X), net.predict_proba(X), strict=True):
        np.testing.assert_array_equal(p, q)
    assert len(twin.partial_fit(X, Y).history_) == 8
    np.testing.assert_array_equal(twin.fit(X, Y).predict(X), net.predict(X))


def test_unfitted_net_survives_a_round_trip(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    twin = pickle.loads(pickle.dumps(small_net))
    np.testing.assert_array_equal(
        twin.fit(X, Y).predict_proba(X), small_net.fit(X, Y).predict_proba(X)
    )


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_global_random_state_is_untouched(digits):
    X, Y = digits
    net = MultiTaskNet(
        module__dropout=0.5, max_epochs=2, train_split=ValidSplit(0.2), random_state=0
    )
    net.fit(X, Y).partial_fit(X, Y)
    net.predict_proba(X)
    net.score(X, Y)
    net.set_params(random_state=None).fit(X, Y)
    with pytest.raises(ValueError, match="single class"):
        net.fit(X, np.zeros((600, 2)))


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_fits_in_threads_equal_fits_in_turn(digits):
    X, Y = digits
    nets = [MultiTaskNet(module__dropout=0.5, max_epochs=5, random_state=s) for s in range(4)]
    expected = [clone(net).fit(X, Y).predict_proba(X) for net in nets]
    n_threads = torch.get_num_threads()
    with joblib.parallel_config(backend="threading", n_jobs=4):
        fitted = joblib.Parallel()(joblib.delayed(net.fit)(X, Y) for net in nets)
    assert torch.get_num_threads() == n_threads
    for net, p in zip(fitted, expected, strict=True):
        np.testing.assert_array_equal(net.predict_proba(X), p)


def test_same_seed_same_net_bitwise(digits):
    X, Y = digits
    net = MultiTaskNet(module__dropout=0.3, max_epochs=3, train_split=ValidSplit(0.2))
    runs = []
    for seed in (7, 7, 8):
        np.random.seed(len(runs))
        torch.manual_seed(len(runs))
        runs.append(clone(net).set_params(random_state=seed).fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_no_seed_and_random_states_give_new_nets(digits, small_net):
    X, Y = digits
    np.random.seed(0)
    first = small_net.fit(X, Y).predict_proba(X)
    np.random.seed(0)
    assert not np.allclose(first, small_net.fit(X, Y).predict_proba(X))
    state = np.random.RandomState(0)
    runs = [small_net.set_params(random_state=state).fit(X, Y).predict_proba(X) for _ in range(2)]
    assert not np.allclose(*runs)
    again = small_net.set_params(random_state=np.random.RandomState(0)).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), runs[0])


def test_local_seed_puts_the_state_back_after_an_error():
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    inside = []
    for _ in range(2):
        with suppress(ZeroDivisionError), local_seed(5):
            inside.append((torch.rand(2), np.random.rand(2)))
            raise ZeroDivisionError
    torch.testing.assert_close(inside[0][0], inside[1][0], rtol=0, atol=0)
    np.testing.assert_array_equal(inside[0][1], inside[1][1])
    torch.testing.assert_close(torch.rand(3), expected[0], rtol=0, atol=0)
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


def test_seeds_follow_the_random_state():
    assert draw_seeds(3, 5) == draw_seeds(3, 5)
    assert draw_seeds(3, 5) == draw_seeds(np.random.RandomState(3), 5)
    assert len(set(draw_seeds(3, 50))) == 50
    assert draw_seeds(None, 2) != draw_seeds(None, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_inputs_are_not_changed(digits, small_net, dtype):
    X, Y = (16 * digits[0]).astype(dtype), _hide(digits[1], 0.2)
    weight = np.random.default_rng(0).random(600)
    task_weight = np.linspace(1, 2, 15)
    given = X, Y, weight, task_weight
    before = [a.copy() for a in given]
    net = small_net.set_params(task_weight=task_weight).fit(X, Y, sample_weight=weight)
    net.partial_fit(X, Y)
    net.predict(X)
    net.score(X, Y, sample_weight=weight)
    for now, then in zip(given, before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert net.task_weight is task_weight


@pytest.mark.parametrize("seed", range(2))
def test_permuting_binary_tasks_permutes_predictions(digits, small_net, zero_heads, seed):
    small_net.set_params(module=zero_heads)
    X, Y = digits[0], _hide(digits[1], 0.1)
    order = np.random.default_rng(seed).permutation(15)
    weight = np.linspace(0.5, 2, 15)
    net = small_net.set_params(task_weight=weight, random_state=0).fit(X, Y)
    permuted = clone(net).set_params(task_weight=weight[order]).fit(X, Y[:, order])
    np.testing.assert_allclose(permuted.predict_proba(X), net.predict_proba(X)[:, order], atol=1e-5)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 3, 0, 2]], ids=str)
def test_permuting_mixed_tasks_permutes_predictions(mixed, small_net, zero_heads, order):
    small_net.set_params(module=zero_heads)
    X, Y = mixed
    net = small_net.set_params(random_state=0).fit(X, Y)
    permuted = clone(net).fit(X, Y[:, order])
    for t, p in zip(order, permuted.predict_proba(X), strict=True):
        np.testing.assert_allclose(p, net.predict_proba(X)[t], atol=1e-5)


# -- bad input, refused before training ----------------------------------------------------------


class Stream(IterableDataset):
    """Samples that have no index."""

    def __iter__(self):
        return iter(())


def _poisoned(X, value):
    X = X.copy()
    X[3, 5] = value
    return X


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda X, Y: (X[:100], Y),
            ValueError,
            "X and Y must have the same number of samples. Got X with 100 and Y with 600.",
        ),
        (
            lambda X, Y: (X, pd.DataFrame({"a": 1, "b": ["same"] * 600})),
            ValueError,
            "Y has a single class (1 class) in every task, so that there is nothing to learn: a "
            "classifier needs at least two classes. Got only task 0 ('a'): 1, task 1 ('b'): "
            "'same'.",
        ),
        (
            lambda X, Y: (X, np.c_[Y, np.full(600, np.nan)]),
            ValueError,
            "task 15 of Y has no label at all; every task needs labels of its classes to learn.",
        ),
        (
            lambda X, Y: (X, Y / 2),
            ValueError,
            "Unknown label type: continuous. task 0 of Y holds 0.5, which is no class label; "
            "regression targets are not supported.",
        ),
        (
            lambda X, Y: (X, None),
            ValueError,
            "requires y to be passed, but the target y is None.",
        ),
        (lambda X, Y: (_poisoned(X, np.nan), Y), ValueError, "Input X contains NaN."),
        (lambda X, Y: (torch.tensor(_poisoned(X, np.nan)), Y), ValueError, "Input X contains NaN."),
        (
            lambda X, Y: (pd.DataFrame(_poisoned(X, np.nan)), Y),
            ValueError,
            "Input X contains NaN.",
        ),
        (
            lambda X, Y: (_poisoned(X.reshape(-1, 8, 8), np.nan), Y),
            ValueError,
            "Input X contains NaN.",
        ),
        (lambda X, Y: ({"x": _poisoned(X, np.nan)}, Y), ValueError, "Input contains NaN."),
        (
            lambda X, Y: (sparse.csr_matrix(_poisoned(X, np.inf)), Y),
            ValueError,
            "Input X contains infinity or a value too large for dtype('float32').",
        ),
        (
            lambda X, Y: (_poisoned(X, -np.inf), Y),
            ValueError,
            "Input X contains infinity or a value too large for dtype('float32').",
        ),
        (
            lambda X, Y: (X[0], Y),
            ValueError,
            "X is refused: Expected 2D array, got 1D array instead:",
        ),
        (
            lambda X, Y: (np.where(X > 0, "a", "b"), Y),
            ValueError,
            "X is refused: could not convert string to float: ",
        ),
        (
            lambda X, Y: (X[:0], Y[:0]),
            ValueError,
            "X is refused: Found array with 0 sample(s) (shape=(0, 64)) while a minimum of 1 is "
            "required by MultiTaskNet.",
        ),
        (
            lambda X, Y: (X[:, :0], Y),
            ValueError,
            "X is refused: Found array with 0 feature(s) (shape=(600, 0)) while a minimum of 1 is "
            "required by MultiTaskNet.",
        ),
        (
            lambda X, Y: (X, sparse.csr_matrix(Y)),
            TypeError,
            "Sparse multilabel indicators are not supported as Y: a zero could be a label or a "
            "missing one. Pass Y.toarray().",
        ),
        (
            lambda X, Y: (Stream(), Y),
            TypeError,
            "X must not be an IterableDataset: samples are drawn by their index.",
        ),
    ],
)
def test_bad_data_is_refused_before_training(digits, small_net, change, error, message):
    steps = TrainingSteps()
    small_net.set_params(callbacks=[steps])
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        small_net.fit(*change(*digits))
    assert steps.n_steps_ == 0
    assert not hasattr(small_net, "module_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"lr": 0},
            "The 'lr' parameter of MultiTaskNet must be a float in the range (0.0, inf). Got 0 "
            "instead.",
        ),
        (
            {"max_epochs": 0},
            "The 'max_epochs' parameter of MultiTaskNet must be an int in the range [1, inf). Got "
            "0 instead.",
        ),
        (
            {"batch_size": 0},
            "The 'batch_size' parameter of MultiTaskNet must be an int in the range [1, inf) or a "
            "int among {-1}. Got 0 instead.",
        ),
        (
            {"random_state": "seed"},
            "The 'random_state' parameter of MultiTaskNet must be an int in the range [0, "
            "4294967295], an instance of 'numpy.random.mtrand.RandomState' or None. Got 'seed' "
            "instead.",
        ),
    ],
)
def test_bad_parameters_are_refused(digits, small_net, params, message):
    with _refuses(ValueError, message):
        small_net.set_params(**params).fit(*digits)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor, sparse.csr_matrix])
def test_other_number_of_features_is_refused(digits, small_net, convert):
    X, Y = digits
    net = small_net.fit(X, Y)
    message = "X has 63 features, but MultiTaskNet is expecting 64 features as input."
    for call in (net.predict, net.predict_proba, lambda X: net.score(X, Y)):
        with _refuses(ValueError, message):
            call(convert(X[:, 1:]))


def test_other_shape_of_images_is_refused(digits, small_net):
    X, Y = digits
    net = small_net.fit(X.reshape(-1, 4, 4, 4), Y)
    message = (
        "X has samples of shape (4, 2, 8), but MultiTaskNet was fitted on samples of shape "
        "(4, 4, 4)."
    )
    with _refuses(ValueError, message):
        net.predict(X.reshape(-1, 4, 2, 8))


def test_nan_in_X_is_refused_in_predict(digits, small_net):
    X, Y = digits
    net = small_net.fit(X, Y)
    with pytest.raises(ValueError, match=r"^Input X contains NaN\.") as refusal:
        net.predict(_poisoned(X, np.nan))
    assert "SimpleImputer" in str(refusal.value)
    assert not re.search("MultiTaskNet|GradientBoosting", str(refusal.value))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"callbacks": [EarlyStopping()]},
            "The callback EarlyStopping monitors 'valid_loss', so the 'train_split' parameter must "
            "set samples aside, e.g. skorch.dataset.ValidSplit(5). Got None.",
        ),
        (
            {"train_split": ValidSplit(5, stratified=True)},
            "The 'train_split' parameter must not be stratified where Y has several tasks. Got "
            "<skorch.dataset.ValidSplit object at ",
        ),
    ],
)
def test_splits_that_cannot_be_made_are_refused_before_training(digits, small_net, params, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        small_net.set_params(**params).fit(*digits)
    assert not hasattr(small_net, "module_")


def test_diverged_training_is_an_error_that_names_the_epoch(digits, small_net):
    X, Y = digits
    message = "The training loss of epoch {} is not finite: training has diverged, or the samples"
    for callbacks in (None, [TrainingSteps()]):
        net = clone(small_net).set_params(optimizer=torch.optim.SGD, lr=1e30, callbacks=callbacks)
        with pytest.raises(ValueError, match=f"^{message.format('[12]')}.*A lower 'lr' than 1e"):
            net.fit(X, Y)
    with pytest.raises(ValueError, match=f"^{message.format(1)} of a Dataset hold NaN"):
        small_net.fit(Pairs(_poisoned(X, np.nan).astype(np.float32), Y))


def test_labels_not_met_in_fit_count_as_wrong_in_score(mixed, small_net):
    X, Y = mixed
    known = (Y[:, 1] != 2) & (Y[:, 3] != "e")
    net = small_net.set_params(pos_label="odd").fit(X[known], Y[known])
    predicted = net.predict(X)
    expected = [
        f1_score(Y[:, 0] == "odd", predicted[:, 0] == "odd"),
        f1_score(Y[:, 1].astype(int), predicted[:, 1].astype(int), average="macro"),
        f1_score(Y[:, 2].astype(int), predicted[:, 2].astype(int)),
        f1_score(Y[:, 3].astype(str), predicted[:, 3].astype(str), average="macro"),
    ]
    assert net.score(X, Y) == pytest.approx(np.mean(expected))
    with pytest.raises(ValueError, match="holds the label 'x', which is not among the classes"):
        net.score(X, np.full_like(Y, "x"))


def test_callbacks_can_be_set_before_fit(digits):
    X, Y = digits
    scoring = EpochScoring(
        lambda net, X, y: (net.predict(X) == y).mean(), name="own", on_train=True
    )
    nets = [
        MultiTaskNet(max_epochs=2, random_state=0, callbacks=[scoring]),
        MultiTaskNet(max_epochs=2, random_state=0).set_params(callbacks=[scoring]),
        MultiTaskNet(max_epochs=2, random_state=0, callbacks=[("mine", scoring)]).set_params(
            callbacks__mine__on_train=True
        ),
    ]
    found = [net.fit(X[:100], Y[:100]).history_[:, "own"] for net in nets]
    assert found[0] == found[1] == found[2]


def test_callbacks_of_a_fitted_net_can_be_replaced(digits):
    X, Y = digits
    stopping = {"train_split": ValidSplit(4), "callbacks": [("early", EarlyStopping(patience=1))]}
    net = MultiTaskNet(max_epochs=2, **stopping).fit(X[:100], Y[:100])
    net.set_params(train_split=None, callbacks=None).fit(X[:100], Y[:100])
    net.set_params(**stopping, callbacks__early__patience=5).fit(X[:100], Y[:100])
    assert dict(net.callbacks_)["early"].patience == 5


def test_the_repr_within_others_shows_what_was_set():
    net = MultiTaskNet(module__hidden_units=(64,), lr=0.1)
    shown = " ".join(repr(GroupedMTLClassifier(net)).split())
    assert shown == (
        "GroupedMTLClassifier(estimator=MultiTaskNet(lr=0.1, module__hidden_units=(64,)))"
    )
    assert not [name for name in net.get_params() if name.startswith("_")]
