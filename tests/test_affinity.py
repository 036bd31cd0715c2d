import pickle
import warnings

import numpy as np
import pytest
import torch
from affinities import NARROW, Literal, Normed, Towers, Unbatchable, balanced, net_of
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from skorch.callbacks import LRScheduler
from skorch.dataset import ValidSplit

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP, PLE, AdaTT, SmallCNN
from skgroup.relations import (
    GradientCosineAffinity,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)
from skgroup.relations._affinity import TaskProbe

pd = pytest.importorskip("pandas")


CASES = {
    "mlp": (MLP, {"module__hidden_units": (8,)}, {}),
    "dropout, batch norm": (Normed, {"lr": 0.01}, {}),
    "momentum": (Normed, {"optimizer": torch.optim.SGD}, {"momentum": 0.9}),
    "scaled, schedule": (
        Normed,
        {"callbacks": [LRScheduler("StepLR", step_size=1, gamma=0.5)]},
        {"scale_by_lr": True},
    ),
    "two learning rates": (
        Normed,
        {"optimizer__param_groups": [("trunk.0*", {"lr": 0.2})], "task_weight": [1, 2, 0, 1, 3]},
        {"scale_by_lr": True, "momentum": 0.5},
    ),
    "cannot be batched": (Unbatchable, {}, {}),
    "a user's module": (Towers, {}, {}),
    "AdaTT": (AdaTT, NARROW, {}),
    "PLE": (PLE, NARROW, {}),
}


@pytest.mark.parametrize("method", ["lookahead", "gradient"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_affinity_equals_a_literal_loop_over_tasks(partly_labelled, case, method):
    X, Y = partly_labelled
    module, params, options = CASES[case]
    Literal.class_weight = balanced(Y)
    net = net_of(module, Literal(4, **options), **params)
    affinity = InterTaskAffinity(net, every=4, method=method, **options).fit(X, Y)
    assert len(Literal.found[method]) == 8  # steps 1, 5, ... of 3 epochs with 10 batches
    assert (affinity.n_steps_ == np.isfinite(Literal.found[method]).sum(0)).all()
    assert affinity.n_steps_[1, 1] < affinity.n_steps_[0, 0] == 8
    # Rounding of losses in float32, which a division by the learning rate makes larger.
    rounding = 1e-6 / (0.01 if "scale_by_lr" in options else 1)
    np.testing.assert_allclose(affinity.affinity_, Literal.mean(method), atol=rounding)
    assert np.abs(affinity.affinity_).max() > 1e3 * rounding


def test_affinity_takes_sample_and_class_weights(partly_labelled):
    X, Y = partly_labelled
    weight = np.random.default_rng(1).random(300)
    Literal.class_weight = [torch.tensor([1.0, 3.0, 1.0, 1.0])] * 5
    net = net_of(Normed, Literal(3), class_weight={0: 1.0, 1: 3.0})
    affinity = InterTaskAffinity(net, every=3).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(affinity.affinity_, Literal.mean("lookahead"), atol=2e-6)


@pytest.mark.parametrize("method", ["lookahead", "gradient"])
def test_convolutions_with_batch_norm_and_dropout(method):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 1, 12, 12)).astype(np.float32)
    Y = (X[:, 0, :3, 0] + rng.normal(size=(48, 3)) > 0).astype(float)
    Literal.class_weight = balanced(Y)
    net = net_of(SmallCNN, Literal(1), batch_size=16, max_epochs=1)
    affinity = InterTaskAffinity(net, every=1, method=method).fit(X, Y)
    np.testing.assert_allclose(affinity.affinity_, Literal.mean(method), atol=5e-6)


@pytest.mark.parametrize("module", [Normed, SmallCNN])
def test_batched_and_one_by_one_agree(partly_labelled, module):
    X, Y = partly_labelled
    if module is SmallCNN:
        X = np.random.default_rng(0).normal(size=(64, 1, 12, 12)).astype(np.float32)
        Y = Y[:64, [0, 2, 4]]
    net = MultiTaskNet.stg_mtl(module, batch_size=32)
    data = net._check_data(X, Y, None)
    net._prepare(data, seed=0)
    batch = data.dataset().batch(slice(0, 32))
    found = []
    for batched in (True, False):
        probe = TaskProbe(net)
        with probe.looking_at(batch):
            pass
        assert probe.batched == (module is Normed)  # by itself
        probe.batched = batched
        with torch.random.fork_rng():
            torch.manual_seed(0)
            with probe.looking_at(batch):
                moved = {}
                for _, gradients in probe.gradients():
                    moved = {k: probe.start[k].detach() - g for k, g in gradients.items()}
                found.append([probe.gram(), probe.gains_at(moved)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [InterTaskAffinity, GradientCosineAffinity])
@pytest.mark.parametrize("options", [{}, {"method": "gradient", "momentum": 0.5}])
def test_little_memory_changes_nothing(partly_labelled, make, options):
    X, Y = partly_labelled
    options = options if make is InterTaskAffinity else {}
    net = MultiTaskNet.stg_mtl(Normed, max_epochs=1, batch_size=64, random_state=0)
    roomy = make(net, every=2, **options).fit(X, Y)
    for max_memory in (1, 100_000):  # one task, or three of the five, at a time
        tight = clone(roomy).set_params(max_memory=max_memory).fit(X, Y)
        np.testing.assert_allclose(tight.affinity_, roomy.affinity_, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "batched"), [(MLP, True), (Normed, True), (Towers, True), (Unbatchable, False)]
)
def test_modules_are_batched_where_they_can_be(partly_labelled, module, batched):
    net = MultiTaskNet.stg_mtl(module)
    data = net._check_data(*partly_labelled, None)
    net._prepare(data, seed=0)
    probe = TaskProbe(net)
    with probe.looking_at(data.dataset().batch(slice(0, 64))):
        assert probe.batched == batched


def test_memory_says_how_many_tasks_are_worked_on_at_a_time(partly_labelled):
    X, Y = partly_labelled
    net = MultiTaskNet.stg_mtl(Normed)
    data = net._check_data(X, Y, None)
    net._prepare(data, seed=0)
    n_at_a_time = []
    for max_memory in (1, 100_000, 2**30):
        probe = TaskProbe(net, max_memory=max_memory)
        with probe.looking_at(data.dataset().batch(slice(0, 64))):
            pass
        n_at_a_time.append(probe.n_at_a_time)
    assert n_at_a_time == [1, 3, 5]


@pytest.mark.parametrize("module", [Normed, Unbatchable, Towers])
@pytest.mark.parametrize(
    "relation",
    [
        InterTaskAffinity(every=2, momentum=0.9),
        InterTaskAffinity(every=3, method="gradient"),
        GradientCosineAffinity(every=1),
    ],
    ids=["lookahead", "gradient", "cosine"],
)
def test_training_is_bit_for_bit_what_it_is_without(partly_labelled, module, relation):
    X, Y = partly_labelled
    net = MultiTaskNet.stg_mtl(
        module, max_epochs=3, batch_size=30, lr=0.01, train_split=ValidSplit(4), random_state=3
    )
    alone = clone(net).fit(X, Y)
    watched = clone(relation).set_params(estimator=net).fit(X, Y).estimator_
    for key, value in alone.module_.state_dict().items():
        assert torch.equal(watched.module_.state_dict()[key], value), key
    for column in ("train_loss", "valid_loss"):
        assert watched.history_[:, column] == alone.history_[:, column]


def test_gradient_form_is_near_the_lookahead_for_small_steps(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module__hidden_units=(32,), max_epochs=5, lr=1e-3, random_state=0)
    exact = InterTaskAffinity(net, every=2).fit(X, Y).affinity_
    near = InterTaskAffinity(net, every=2, method="gradient").fit(X, Y).affinity_
    np.testing.assert_allclose(near, exact, atol=0.1 * np.abs(exact).max())
    others = ~np.eye(15, dtype=bool)
    assert spearmanr(exact[others], near[others]).statistic > 0.98


def test_tasks_that_are_alike_help_each_other(digits):
    X, Y = digits  # tasks 10 and 11 are complements, 14 is random
    net = MultiTaskNet.stg_mtl(module__hidden_units=(32,), max_epochs=20, lr=0.005, random_state=0)
    for relation in (InterTaskAffinity(net), GradientCosineAffinity(net)):
        affinity = relation.fit(X, Y).affinity_
        assert affinity[10, 11] > 0 < affinity[11, 10]
        np.fill_diagonal(affinity, -np.inf)
        assert affinity[10].argmax() == 11
        assert affinity[11].argmax() == 10


def test_cosine_equals_a_literal_loop_over_tasks(partly_labelled):
    X, Y = partly_labelled
    Literal.class_weight = balanced(Y)
    affinity = GradientCosineAffinity(net_of(Normed, Literal(4)), every=4).fit(X, Y)
    np.testing.assert_allclose(affinity.affinity_, Literal.mean("cosine"), atol=2e-6)
    np.testing.assert_array_equal(affinity.affinity_, affinity.affinity_.T)
    np.testing.assert_array_equal(affinity.affinity_.diagonal(), 1.0)
    assert np.abs(affinity.affinity_).max() == 1


@pytest.mark.parametrize("make", [InterTaskAffinity, GradientCosineAffinity])
def test_pairs_that_were_never_met_are_zero_with_a_warning(make):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), rng.integers(2, size=(40, 3)).astype(float)
    # In stored order, the first batch has labels of tasks 0 and 1 and the second of 1 and 2.
    Y[:20, 2] = Y[20:, 0] = np.nan
    net = MultiTaskNet.stg_mtl(max_epochs=2, batch_size=20, iterator_train__shuffle=False)
    with pytest.warns(UserWarning, match=f"{make.__name__} could not measure 2 of 9 pairs"):
        affinity = make(net, every=1, random_state=0).fit(X, Y)
    assert affinity.affinity_[0, 2] == affinity.affinity_[2, 0] == 0
    np.testing.assert_array_equal(affinity.n_steps_, [[2, 2, 0], [2, 4, 2], [0, 2, 2]])
    assert (affinity.affinity_[affinity.n_steps_ > 0] != 0).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_task_and_mixed_precision(digits, precision, n_classes):
    X, Y = digits
    y = Y[:, :10].argmax(axis=1) % n_classes
    net = MultiTaskNet.stg_mtl(max_epochs=1, precision=precision)
    affinity = InterTaskAffinity(net, random_state=0).fit(X, y).affinity_
    assert affinity.shape == (1, 1)
    assert 0 < affinity[0, 0] < 1  # a small step for a task makes its loss smaller


def test_inputs_in_a_dict(partly_labelled):
    X, Y = partly_labelled

    class Named(Towers):
        def forward(self, left, right):
            return super().forward(torch.cat([left, right], dim=1))

    net = MultiTaskNet.stg_mtl(Towers, max_epochs=1, random_state=0)
    expected = InterTaskAffinity(net, every=1).fit(X, Y).affinity_
    net = clone(net).set_params(module=Named, module__n_features=6)
    named = InterTaskAffinity(net, every=1).fit({"left": X[:, :2], "right": X[:, 2:]}, Y)
    np.testing.assert_allclose(named.affinity_, expected, atol=1e-6)


# -- scikit-learn's interface ---------------------------------------------------------------------


def relations():
    net = MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=2, lr=0.01, batch_size=64)
    return [
        InterTaskAffinity(net, random_state=0),
        GradientCosineAffinity(net, random_state=0),
        LabelCorrelationAffinity(),
    ]


each_relation = pytest.mark.parametrize("relation", relations(), ids=lambda r: type(r).__name__)


@each_relation
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_permuting_tasks_permutes_affinities(digits, zero_heads, relation):
    X, Y = digits
    if hasattr(relation, "estimator"):
        relation = clone(relation).set_params(estimator__module=zero_heads)
    order = np.random.RandomState(0).permutation(15)
    rows = relation.fit_transform(X, Y)
    permuted = clone(relation).fit_transform(X, Y[:, order])
    np.testing.assert_allclose(permuted, rows[np.ix_(order, order)], atol=1e-4)


@each_relation
def test_same_seed_same_affinity_and_inputs_untouched(digits, relation):
    X, Y = digits
    X_before, Y_before = X.copy(), Y.copy()
    rows = clone(relation).fit_transform(X, Y)
    np.testing.assert_array_equal(clone(relation).fit_transform(X, Y), rows)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(Y, Y_before)
    if hasattr(relation, "random_state"):
        other = clone(relation).set_params(random_state=1).fit_transform(X, Y)
        assert not np.array_equal(other, rows)
        seeded = clone(relation).set_params(random_state=None, estimator__random_state=0)
        np.testing.assert_array_equal(seeded.fit_transform(X, Y), rows)


@each_relation
def test_rows_names_and_frames(digits, relation):
    X, Y = digits
    fitted = clone(relation).fit(X, Y[:, -5:])
    assert list(fitted.get_feature_names_out()) == [f"affinity_{t}" for t in range(5)]
    frame = pd.DataFrame(Y[:, -5:], columns=list("abcde"))
    fitted = clone(relation).set_output(transform="pandas")
    rows = fitted.fit_transform(pd.DataFrame(X, index=np.arange(600) + 7), frame)
    assert list(rows.index) == list("abcde") == list(fitted.task_names_in_)
    assert list(rows.columns) == [f"affinity_{t}" for t in "abcde"]
    np.testing.assert_array_equal(rows.to_numpy(), fitted.affinity_)
    assert fitted.n_tasks_ == 5
    assert fitted.n_features_in_ == 64


@each_relation
def test_transform_looks_at_no_sample_and_survives_pickle(digits, relation):
    X, Y = digits
    fitted = clone(relation).fit(X, Y)
    rows = fitted.transform(X)
    np.testing.assert_array_equal(fitted.transform(X[:1] + 9), rows)
    name = type(relation).__name__
    with pytest.raises(ValueError, match=f"X has 3 features, but {name} is expecting 64"):
        fitted.transform(X[:, :3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), rows)
    rows[:] = 0  # the caller's own
    assert fitted.affinity_.any()


@each_relation
def test_affinities_group_tasks_in_a_classifier(digits, relation):
    X, Y = digits
    grouper = make_pipeline(clone(relation), FuzzyKMeans(2))
    net = MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=2, lr=0.01)
    clf = GroupedMTLClassifier(net, grouper, random_state=0).fit(X, Y)
    assert clf.membership_.shape == (15, 2)
    assert clf.predict(X).shape == Y.shape
    np.testing.assert_array_equal(clf.membership_, clf.grouper_[-1].membership_)
    assert clf.grouper_[0].affinity_.shape == (15, 15)


def test_verbose_shows_progress(digits, small_net, capsys):
    X, Y = digits
    InterTaskAffinity(small_net, verbose=1).fit(X, Y)
    assert "affinity" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InterTaskAffinity(small_net).fit(X, Y)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("relation", [InterTaskAffinity, GradientCosineAffinity])
def test_a_nonlinearity_of_predictions_changes_no_affinity(relation):
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    Y = (X[:, :3] > 0).astype(int)
    nets = [
        MultiTaskNet.stg_mtl(max_epochs=2, random_state=0, predict_nonlinearity=nonlinearity)
        for nonlinearity in ("auto", lambda logits: torch.sigmoid(logits / 5))
    ]
    np.testing.assert_array_equal(*(relation(net).fit(X, Y).affinity_ for net in nets))
