"""`MultiTaskNet`: callbacks, and training that goes on."""

import copy
import pickle

import numpy as np
import pytest
import torch
from netting import (
    Pairs,
    assert_same_parameters,
    hide,
    literal_loss,
    refuses,
)
from sklearn.base import clone
from sklearn.metrics import f1_score
from skorch.callbacks import BatchScoring, Callback, Checkpoint, EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split

from skgroup import MultiTaskNet
from skgroup.nn import MLP


class SampleOrder(Callback):
    """Keeps which samples stood in the last training batch."""

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.order_ = batch[1]["index"].tolist()


# -- callbacks ------------------------------------------------------------------------------------


class State(Callback):
    """Keeps the parameters after every epoch, and whether the end of training was heard of."""

    def on_train_begin(self, net, **kwargs):
        self.epochs_, self.n_ends_ = [], 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs_.append(copy.deepcopy(net.module_.state_dict()))

    def on_train_end(self, net, **kwargs):
        self.n_ends_ += 1


def _early_stopping_net(*callbacks, **params):
    return MultiTaskNet.stg_mtl(
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
    valid = Pairs(X[400:], hide(Y[400:], 0.3))
    small_net.set_params(train_split=predefined_split(valid), class_weight=None, batch_size=-1)
    net = small_net.fit(X[:400], Y[:400])
    with torch.no_grad():
        logits = net.module_.eval()(torch.as_tensor(valid.X))
    codes = torch.as_tensor(np.where(np.isnan(valid.Y), -1, valid.Y > 0)).long()
    expected = literal_loss(logits, codes, (1,) * 15)
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

    net = MultiTaskNet.stg_mtl(Switched, max_epochs=1).fit(X, Y, switch=0.0)
    no_weight = {"class_weight": None, "max_epochs": 1}
    np.testing.assert_allclose(
        net.set_params(**no_weight).fit(X, Y, switch=0.0).history_[0, "train_loss"],
        15 * np.log(2),
        rtol=1e-5,
    )


# -- further training -----------------------------------------------------------------------------


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
    with refuses(
        ValueError,
        "task 0 of Y holds the label 2, which is not among the classes seen in fit: [0, 1].",
    ):
        net.partial_fit(X, 2 * Y)
    with refuses(ValueError, "Y has 14 tasks, but 15 were seen in fit."):
        net.partial_fit(X, Y[:, :14])
    with refuses(
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
