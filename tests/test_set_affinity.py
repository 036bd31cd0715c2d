"""What steps for sets of tasks do to tasks, and affinities of some epochs."""

import pickle
import re

import numpy as np
import pytest
import torch
from affinities import NARROW, Literal, Normed, Towers, Unbatchable, balanced, net_of
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from skgroup import MultiTaskNet
from skgroup.nn import MLP, AdaTT, LinearHeads, TabM
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity
from skgroup.relations._affinity import TaskProbe
from skgroup.selection import GroupSelector

pd = pytest.importorskip("pandas")

SETS = [[0, 1], [1, 2, 4], [3], [0, 1, 2, 3, 4]]
MASKS = np.array([[t in members for t in range(5)] for members in SETS])

CASES = {
    "mlp": (MLP, {"module__hidden_units": (8,)}, {}),
    "dropout, batch norm, momentum": (Normed, {}, {"momentum": 0.9}),
    "cannot be batched": (Unbatchable, {}, {}),
    "a user's module": (Towers, {}, {}),
    "AdaTT": (AdaTT, {**NARROW, "module__activation": nn.Tanh}, {}),
    "scaled, schedule": (
        Normed,
        {"callbacks": [LRScheduler("StepLR", step_size=1, gamma=0.5)]},
        {"scale_by_lr": True},
    ),
}


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(Normed, max_epochs=3, batch_size=50, lr=0.02, random_state=0)


# -- sets of tasks --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lookahead", "gradient", "cosine"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_affinity_of_sets_equals_a_literal_loop_over_sets(partly_labelled, case, method):
    X, Y = partly_labelled
    module, params, options = CASES[case]
    Literal.class_weight = balanced(Y)
    net = net_of(module, Literal(4, **options, sets=SETS), **params)
    if method == "cosine":
        relation = GradientCosineAffinity(net, masks=MASKS, every=4)
    else:
        relation = InterTaskAffinity(net, masks=MASKS, every=4, method=method, **options)
    relation.fit(X, Y)
    rounding = 2e-6 / (0.01 if "scale_by_lr" in options else 1)
    expected = Literal.mean(method)
    np.testing.assert_allclose(relation.affinity_, expected[:5], atol=rounding)
    np.testing.assert_allclose(relation.set_affinity_, expected[5:], atol=rounding)
    assert np.abs(relation.set_affinity_).max() > 1e3 * rounding
    np.testing.assert_array_equal(relation.masks_, MASKS)
    n_steps = np.isfinite(Literal.found[method]).sum(axis=0)
    np.testing.assert_array_equal(relation.epoch_n_steps_.sum(axis=0), n_steps)
    np.testing.assert_array_equal(relation.n_steps_, n_steps[:5])
    # Where task 1 has no label in a batch, sets step for the rest of their tasks.
    assert n_steps[6, 0] == n_steps[0, 0] > n_steps[1, 0]


@pytest.mark.parametrize("make", [InterTaskAffinity, GradientCosineAffinity])
def test_a_set_of_one_task_is_that_task_and_sets_change_no_affinity(partly_labelled, net, make):
    X, Y = partly_labelled
    alone = make(net).fit(X, Y)
    assert not hasattr(alone, "set_affinity_")
    beside = make(net, masks="pairs").fit(X, Y)
    assert beside.masks_.sum(axis=1).tolist() == 5 * [1] + 10 * [2]
    np.testing.assert_allclose(beside.affinity_, alone.affinity_, atol=1e-6)
    np.testing.assert_allclose(beside.set_affinity_[:5], alone.affinity_, atol=1e-6)
    np.testing.assert_array_equal(beside.transform(X), beside.affinity_)
    every = make(net, masks="all").fit(X, Y)
    assert every.set_affinity_.shape == (31, 5)
    place = [np.flatnonzero((every.masks_ == mask).all(axis=1))[0] for mask in beside.masks_]
    np.testing.assert_allclose(every.set_affinity_[place], beside.set_affinity_, atol=1e-6)


def test_first_order_effects_of_a_set_are_the_sum_of_those_of_its_tasks(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=2, lr=1e-4, random_state=0)
    masks = np.eye(15, dtype=bool)[:4] | np.eye(15, dtype=bool)[10:14]
    found = InterTaskAffinity(net, masks=masks, method="gradient").fit(X, Y)
    summed = masks @ found.affinity_
    np.testing.assert_allclose(found.set_affinity_, summed, rtol=1e-4, atol=1e-7)
    exact = InterTaskAffinity(net, masks=masks).fit(X, Y).set_affinity_
    np.testing.assert_allclose(exact, summed, atol=0.02 * np.abs(summed).max())


@pytest.mark.parametrize("make", [InterTaskAffinity, GradientCosineAffinity])
def test_little_memory_changes_no_affinity_of_sets(partly_labelled, net, make):
    X, Y = partly_labelled
    roomy = make(net, masks=MASKS, every=3).fit(X, Y)
    for max_memory in (1, 100_000):  # one step, or three of the eight, at a time
        tight = clone(roomy).set_params(max_memory=max_memory).fit(X, Y)
        np.testing.assert_allclose(tight.set_affinity_, roomy.set_affinity_, rtol=1e-3, atol=1e-6)


def test_steps_of_all_sets_are_one_batched_computation(partly_labelled, net, monkeypatch):
    sizes, forward = [], TaskProbe.forward

    def counted(self, params):
        sizes.append(len(next(iter(params.values()))))
        return forward(self, params)

    monkeypatch.setattr(TaskProbe, "forward", counted)
    InterTaskAffinity(net.set_params(max_epochs=1), masks="all", every=1).fit(*partly_labelled)
    assert sizes[-4:] == [1, 31, 1, 31]  # single tasks among the sets are looked at once


@pytest.mark.parametrize("relation", [InterTaskAffinity(), GradientCosineAffinity()])
def test_training_is_what_it_is_without_sets(partly_labelled, net, relation):
    X, Y = partly_labelled
    alone = clone(net).fit(X, Y)
    watched = clone(relation).set_params(estimator=net, masks="all", every=2).fit(X, Y)
    for key, value in alone.module_.state_dict().items():
        assert torch.equal(watched.estimator_.module_.state_dict()[key], value), key


def test_sets_by_name_and_without_tasks_of_a_single_class(partly_labelled, net):
    X, Y = partly_labelled
    table = pd.DataFrame(Y, columns=list("abcde"))
    masks = pd.DataFrame(MASKS, columns=list("abcde"))
    named = InterTaskAffinity(net, masks=masks[list("ecabd")]).fit(X, table)
    by_place = InterTaskAffinity(net, masks=MASKS).fit(X, Y)
    np.testing.assert_array_equal(named.masks_, MASKS)
    np.testing.assert_array_equal(named.set_affinity_, by_place.set_affinity_)

    with_constant = np.insert(Y, 2, 1, axis=1)
    masks = [[1, 0, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1]]
    with pytest.warns(UserWarning, match="single observed class"):
        found = InterTaskAffinity(net, masks=masks).fit(X, with_constant)
    # In the order in which they were given.
    np.testing.assert_array_equal(found.masks_, np.array([masks[3], masks[2]], dtype=bool))
    assert (found.set_affinity_[:, 2] == 0).all()
    assert np.isnan(found.epoch_affinity_[:, :, 2]).all()
    learned = InterTaskAffinity(net, masks=[[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]).fit(X, Y)
    np.testing.assert_allclose(
        np.delete(found.set_affinity_, 2, axis=1), learned.set_affinity_, atol=1e-6
    )


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ("some", "The 'masks' parameter of InterTaskAffinity must be a str among"),
        ([[1, 0, 0]], "The 'masks' parameter of InterTaskAffinity must be of shape (n_groups, n_"),
        ([[0] * 5], "The 'masks' parameter of InterTaskAffinity must have no empty group"),
        ([[1] * 5] * 2, "The 'masks' parameter of InterTaskAffinity must hold each group once"),
        (
            pd.DataFrame([[1] * 5], columns=list("abcdf")),
            "The columns of the 'masks' parameter of InterTaskAffinity must be the tasks that were "
            "seen in fit. Missing: e. New: f.",
        ),
    ],
)
def test_wrong_sets_are_named_before_training(partly_labelled, net, masks, message):
    class Unreached(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError("training began")

    net.set_params(callbacks=[Unreached()])
    X, Y = partly_labelled
    with pytest.raises(ValueError, match=re.escape(message)):
        InterTaskAffinity(net, masks=masks).fit(X, pd.DataFrame(Y, columns=list("abcde")))


def test_all_sets_of_many_tasks_are_refused(digits):
    message = "can be 'all' for at most 10 tasks (1023 sets); pass 'pairs' or the masks of some"
    with pytest.raises(ValueError, match=re.escape(message)):
        GradientCosineAffinity(masks="all").fit(*digits)


def test_affinities_of_sets_are_a_gain_table_for_the_selector(partly_labelled, net):
    X, Y = partly_labelled
    relation = InterTaskAffinity(net, masks="all").fit(X, pd.DataFrame(Y, columns=list("abcde")))
    gains = np.where(relation.masks_, relation.set_affinity_, np.nan)
    selector = GroupSelector(2, random_state=0).fit(
        relation.set_affinity_, masks=relation.masks_, task_names=relation.task_names_in_
    )
    pairs = [np.fmax(a, b) for a in gains for b in gains]
    best = max(pair.mean() for pair in pairs if np.isfinite(pair).all())
    assert selector.objective_ == pytest.approx(best)
    assert list(selector.task_names_in_) == list("abcde")


# -- epochs ---------------------------------------------------------------------------------------

RELATIONS = [
    InterTaskAffinity(every=2, masks=MASKS),
    InterTaskAffinity(every=2, method="gradient", momentum=0.5),
    GradientCosineAffinity(every=2, masks="pairs"),
]
each_relation = pytest.mark.parametrize(
    "relation", RELATIONS, ids=["lookahead", "gradient", "cosine"]
)


@each_relation
def test_affinity_up_to_an_epoch_is_that_of_a_shorter_training(partly_labelled, net, relation):
    X, Y = partly_labelled
    whole = clone(relation).set_params(estimator=net).fit(X, Y)
    before = pickle.dumps(whole)
    part = whole.of_epochs(last=2)
    short = clone(whole).set_params(estimator__max_epochs=2).fit(X, Y)
    for name in ("affinity_", "n_steps_", "epoch_affinity_", "epoch_n_steps_"):
        np.testing.assert_array_equal(getattr(part, name), getattr(short, name))
    if relation.masks is not None:
        np.testing.assert_array_equal(part.set_affinity_, short.set_affinity_)
        np.testing.assert_array_equal(part.masks_, short.masks_)
    assert type(part) is type(whole)
    assert part.get_params()["every"] == 2
    np.testing.assert_array_equal(part.transform(X), short.affinity_)
    part.affinity_[:] = part.epoch_affinity_[:] = 7
    assert pickle.dumps(whole) == before
    np.testing.assert_array_equal(whole.of_epochs().affinity_, whole.affinity_)


def test_affinity_of_an_epoch_is_the_mean_of_its_steps(partly_labelled):
    X, Y = partly_labelled
    Literal.class_weight = balanced(Y)
    net = net_of(Normed, Literal(4, sets=SETS))
    relation = InterTaskAffinity(net, masks=MASKS, every=4).fit(X, Y)  # 10 steps an epoch
    assert relation.epoch_affinity_.shape == (3, 9, 5)
    found = np.array(Literal.found["lookahead"])
    epochs = np.array([0, 0, 0, 1, 1, 2, 2, 2])  # of steps 0, 4, 8, 12, ...
    for e in range(3):
        expected = np.nanmean(found[epochs == e], axis=0)
        np.testing.assert_allclose(relation.epoch_affinity_[e], expected, atol=2e-6)
        one = relation.of_epochs(e + 1, e + 1)
        np.testing.assert_allclose(one.affinity_, expected[:5], atol=2e-6)
        np.testing.assert_allclose(one.set_affinity_, expected[5:], atol=2e-6)
    # The mean of all steps, not of epochs.
    np.testing.assert_allclose(relation.affinity_, Literal.mean("lookahead")[:5], atol=2e-6)


def test_epochs_without_a_recorded_step_are_nan_and_give_a_warning(partly_labelled, net):
    relation = InterTaskAffinity(net, every=10, masks=[[1, 1, 0, 0, 0]]).fit(*partly_labelled)
    # 6 steps an epoch: the first and the eleventh are recorded.
    assert np.isnan(relation.epoch_affinity_).all(axis=(1, 2)).tolist() == [False, False, True]
    message = "InterTaskAffinity could not measure 25 of 25 pairs of tasks, and 5 of 5 of sets"
    with pytest.warns(UserWarning, match=message) as caught:
        last = relation.of_epochs(3)
    assert caught[0].filename == __file__
    assert (last.affinity_ == 0).all()


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ((0,), "first must be an epoch of the training, an int in [1, 3]. Got 0."),
        ((1, 4), "last must be an epoch of the training, an int in [1, 3]. Got 4."),
        ((1, 2.0), "last must be an epoch of the training, an int in [1, 3]. Got 2.0."),
        ((3, 2), "last must not be before first. Got 3 and 2."),
    ],
)
def test_wrong_epochs_are_named(partly_labelled, net, epochs, message):
    relation = InterTaskAffinity(net).fit(*partly_labelled)
    with pytest.raises(ValueError, match=re.escape(message)):
        relation.of_epochs(*epochs)


# -- weights alone --------------------------------------------------------------------------------


def test_cosine_over_weights_alone_equals_a_literal_loop(partly_labelled):
    X, Y = partly_labelled
    Literal.class_weight = balanced(Y)
    net = net_of(Normed, Literal(4, weights_only=True, sets=SETS))
    of_weights = GradientCosineAffinity(net, masks=MASKS, weights_only=True, every=4).fit(X, Y)
    np.testing.assert_allclose(of_weights.affinity_, Literal.mean("cosine")[:5], atol=2e-6)
    np.testing.assert_allclose(of_weights.set_affinity_, Literal.mean("cosine")[5:], atol=2e-6)
    of_all = GradientCosineAffinity(net, every=4).fit(X, Y)
    assert np.abs(of_all.affinity_ - of_weights.affinity_).max() > 0.01


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Normed, ["trunk.0.weight", "trunk.4.weight"]),
        (TabM, ["trunk.0.weight", "trunk.0.r", "trunk.0.s"]),
    ],
)
def test_biases_and_vectors_are_no_weights(partly_labelled, module, expected):
    params = {} if module is Normed else {"module__hidden_units": (8,), "module__n_members": 2}
    net = MultiTaskNet.stg_mtl(module, **params)
    net._prepare(net._check_data(*partly_labelled, None), seed=0)
    shared = TaskProbe(net, weights_only=True).shared
    assert sorted(name.removeprefix("module.") for name in shared) == sorted(expected)


def test_no_weights_at_all_are_an_error_before_training(digits):
    class Vectors(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(n_features))
            self.heads = LinearHeads(n_features, n_outputs)

        def forward(self, x):
            return self.heads(x * self.scale)

    relation = GradientCosineAffinity(MultiTaskNet.stg_mtl(Vectors), weights_only=True)
    with pytest.raises(ValueError, match="'weights_only' parameter leaves no shared parameter"):
        relation.fit(*digits)
