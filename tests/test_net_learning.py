"""`MultiTaskNet`: sizes, learning and predicting, the loss, missing labels."""

import copy
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from netting import (
    Linear,
    assert_same_parameters,
    hide,
    literal_loss,
    new_full_batch_net,
)
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from torch import nn
from torch.nn import functional as F

from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.nn import MLP, SmallCNN, TabM
from skgroup.tasks import OutputLayout
from skgroup.training.loss import MultiTaskLoss

# -- sizes ----------------------------------------------------------------------------------------


class SizesMLP(MLP):
    """Passes on what it does not know."""

    def __init__(self, task_outputs, **kwargs):
        super().__init__(hidden_units=(4,), **kwargs)
        self.sizes = task_outputs


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
    net = MultiTaskNet.stg_mtl(module, max_epochs=1).fit(*mixed)
    assert net.task_outputs_ == (1, 3, 1, 5)
    assert net.n_tasks_ == 4
    assert net.n_features_in_ == 64
    assert net.input_shape_ == (64,)
    assert net.module_(torch.zeros(2, 64)).shape == (2, 10)
    if isinstance(net.module_, SizesMLP):
        assert net.module_.sizes == (1, 3, 1, 5)


def test_module_learns_the_shape_of_a_sample(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(Linear, max_epochs=1).fit(X.reshape(-1, 2, 4, 8), Y[:, :3])
    assert net.module_.input_shape == (2, 4, 8)
    assert net.input_shape_ == (2, 4, 8)
    assert net.n_features_in_ == 2


def test_given_module_arguments_win_over_learned_ones(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(SizesMLP, module__task_outputs="mine", max_epochs=1).fit(X, Y)
    assert net.module_.sizes == "mine"


def test_module_instance_is_copied_at_each_fit(digits):
    X, Y = digits
    module = MLP(n_features=64, n_outputs=15, hidden_units=(8,))
    before = copy.deepcopy(module.state_dict())
    net = MultiTaskNet.stg_mtl(module, max_epochs=1, random_state=0).fit(X, Y)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert net.module_ is not module
    assert not torch.equal(net.module_.heads.weight, module.heads.weight)
    first = net.predict_proba(X)
    np.testing.assert_array_equal(net.fit(X, Y).predict_proba(X), first)


def test_module_instance_with_other_parameters_is_built_anew(digits):
    X, Y = digits
    module = MLP(n_features=3, n_outputs=2)
    net = MultiTaskNet.stg_mtl(module, module__hidden_units=(5,), max_epochs=1).fit(X, Y)
    assert net.module_.heads.weight.shape == (15, 5)
    assert module.heads.weight.shape == (2, 64)


def test_images_through_the_small_cnn(digits):
    X, Y = digits
    X = X.reshape(-1, 1, 8, 8)
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=8, batch_size=32, random_state=0).fit(
        X, Y[:, :10]
    )
    assert net.score(X, Y[:, :10]) > 0.8


# -- learning and predicting ----------------------------------------------------------------------


def test_default_net_learns_the_digits():
    X, Y = load_digit_tasks(return_X_y=True)
    Y = Y[:, :14]  # the last task is random
    net = MultiTaskNet(max_epochs=15, random_state=0).fit(X[:1200], Y[:1200])
    assert isinstance(net.module_, TabM)
    assert net.batch_size_ == 38  # a 32nd of the samples
    assert net.scaling_ is not None
    assert net.score(X[1200:], Y[1200:]) > 0.8
    assert multitask_roc_auc_score(Y[1200:], net.predict_proba(X[1200:])) > 0.98


@pytest.mark.parametrize(("n_samples", "size"), [(40, 16), (640, 20), (20_000, 256)])
def test_batches_are_a_part_of_the_samples(n_samples, size):
    X = np.random.default_rng(0).normal(size=(n_samples, 1)).astype(np.float32)
    seen = []

    class Watching(MLP):
        def forward(self, x):
            seen.append((self.training, len(x)))
            return super().forward(x)

    net = MultiTaskNet(Watching, module__hidden_units=(2,), max_epochs=1).fit(X, X > 0)
    trained = [n for training, n in seen if training]
    assert net.batch_size_ == max(trained) == size
    seen.clear()
    net.predict(X)
    assert max(n for _, n in seen) == min(n_samples, 256)
    net.partial_fit(X[:30], X[:30] > 0)
    assert net.batch_size_ == size  # as it began
    assert net.set_params(batch_size=7).partial_fit(X[:30], X[:30] > 0).batch_size_ == 7


def test_the_recipe_of_the_paper_learns_the_digits():
    X, Y = load_digit_tasks(return_X_y=True)
    Y = Y[:, :14]  # the last task is random
    net = MultiTaskNet.stg_mtl(random_state=0).fit(X[:1200], Y[:1200])
    assert isinstance(net.module_, MLP)
    assert (net.batch_size_, net.lr, net.scaling_) == (128, 1e-3, None)
    assert type(net.optimizer_) is torch.optim.Adam
    assert len(net.history_) == 50
    assert net.score(X[:1200], Y[:1200]) > 0.88
    assert net.score(X[1200:], Y[1200:]) > 0.8
    assert multitask_roc_auc_score(Y[1200:], net.predict_proba(X[1200:])) > 0.95


def test_binary_and_multiclass_tasks_are_learned_together(mixed):
    X, Y = mixed
    net = MultiTaskNet.stg_mtl(max_epochs=40, lr=0.01, pos_label="odd", random_state=0).fit(X, Y)
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


# -- the loss -------------------------------------------------------------------------------------


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
    expected = literal_loss(theirs, codes, outputs, task, of_class, sample)
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
    Y = hide(Y, 0.4)
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
        loss = literal_loss(module(x), codes, (1,) * 15, task_weight, positive, s)
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


# -- missing labels -------------------------------------------------------------------------------


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
    y = hide(Y[:, 12], 0.5)
    net = new_full_batch_net(n_outputs=1)
    seen = ~np.isnan(y)
    masked = clone(net).fit(X, y)
    assert_same_parameters(masked, net.fit(X[seen], y[seen]), rtol=1e-4, atol=1e-5)


def test_every_mark_of_a_missing_label_means_the_same(digits, small_net):
    X, Y = digits
    Y = hide(Y, 0.3)
    small_net.set_params(random_state=0)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    objects = np.where(np.isnan(Y), None, Y).astype(object)
    for table in (objects, pd.DataFrame(Y), pd.DataFrame(Y).astype("Int64"), torch.as_tensor(Y)):
        np.testing.assert_array_equal(clone(small_net).fit(X, table).predict_proba(X), expected)


def test_missing_labels_do_not_count_in_the_score(digits, small_net):
    X, Y = digits
    net = small_net.fit(X, Y)
    sparse_Y = hide(Y, 0.5)
    predicted = net.predict(X)
    expected = [
        f1_score(Y[seen, t], predicted[seen, t]) for t, seen in enumerate(~np.isnan(sparse_Y.T))
    ]
    assert net.score(X, sparse_Y) == pytest.approx(np.mean(expected))


def test_net_learns_from_half_of_the_labels(digits):
    X, Y = digits
    Y = Y[:, :14]
    net = MultiTaskNet.stg_mtl(max_epochs=30, lr=0.005, random_state=0).fit(X, hide(Y, 0.5))
    assert net.score(X, Y) > 0.85
