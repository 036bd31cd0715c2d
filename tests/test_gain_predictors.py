import itertools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skgroup.selection.gains import (
    HigherOrderApproximation,
    MTGNet,
    all_groups,
    read_gain_tables,
)
from skgroup.selection.gains._attention import Attention

TABLES = Path(__file__).parents[2] / "shared" / "data" / "group_gains"


def published(masks, **names):
    """Published tables, or a skip where they are not."""
    if not (TABLES / masks).exists():
        pytest.skip(f"{masks} of the published gain tables is not in ../shared/data/group_gains")
    return read_gain_tables(TABLES / masks, **{key: TABLES / name for key, name in names.items()})


def pairs_and_singles(masks):
    return masks.sum(axis=1) <= 2


def correlation(predicted, measured, masks):
    """Pearson's, over all present tasks of groups of three and more."""
    present = masks & (masks.sum(axis=1, keepdims=True) >= 3)
    return np.corrcoef(predicted[present], measured[present])[0, 1]


@pytest.fixture
def additive():
    """All groups of six tasks, where each other task adds its own effect on a task."""
    effects = np.random.RandomState(0).normal(size=(6, 6)) * 0.1
    np.fill_diagonal(effects, 0)
    masks = all_groups(6)
    return masks, np.where(masks, masks @ effects, np.nan)


# -- higher-order approximation ----------------------------------------------------------------


def test_hoa_gives_the_published_predictions_of_ettm1():
    tables = published(
        "ETTm1_x.csv", validation="ETTm1_val_y.csv", test="ETTm1_y.csv", hoa="ETTm1_HOA.csv"
    )
    known = pairs_and_singles(tables.masks)
    hoa = HigherOrderApproximation().fit(tables.masks[known], tables.validation[known])
    predicted = hoa.predict(tables.masks)
    # The published predictions are printed with four digits.
    np.testing.assert_allclose(predicted, tables.hoa, rtol=0, atol=5.0001e-5)
    assert f"{correlation(predicted, tables.validation, tables.masks):.3f}" == "0.527"
    assert f"{correlation(predicted, tables.test, tables.masks):.3f}" == "0.477"


def test_hoa_gives_the_published_predictions_of_taskonomy():
    # Masks between commas, gains between spaces.
    tables = published("taskonomy_x.csv", test="taskonomy.csv", hoa="taskonomy_HOA.csv")
    predicted = HigherOrderApproximation().fit(tables.masks, tables.test).predict(tables.masks)
    np.testing.assert_allclose(predicted, tables.hoa, rtol=0, atol=0.0014)


def test_hoa_equals_a_literal_transcription():
    rng = np.random.RandomState(0)
    masks = all_groups(5)
    gains = np.where(masks, rng.normal(size=masks.shape), np.nan)
    hoa = HigherOrderApproximation().fit(masks, gains)
    of_group = {tuple(np.flatnonzero(mask)): row for mask, row in zip(masks, gains, strict=True)}
    expected = np.full(masks.shape, np.nan)
    for g, mask in enumerate(masks):
        members = np.flatnonzero(mask)
        for t in members:
            others = [i for i in members if i != t]
            if not others:
                expected[g, t] = of_group[(t,)][t]
                continue
            in_pairs = [of_group[tuple(sorted((t, i)))][t] for i in others]
            expected[g, t] = sum(in_pairs) / len(in_pairs)
    np.testing.assert_allclose(hoa.predict(masks), expected, rtol=0, atol=1e-15)
    for i, j in itertools.permutations(range(5), 2):
        assert hoa.pair_gains_[i, j] == of_group[tuple(sorted((i, j)))][j]


def test_mean_gain_in_pairs_is_the_gain_of_the_mean_loss_in_pairs():
    # The source takes the mean of losses; gains are relative to the loss alone.
    rng = np.random.RandomState(1)
    alone, beside = rng.uniform(1, 2, size=3), rng.uniform(1, 2, size=2)
    masks = np.vstack([[[1, 1, 0], [1, 0, 1], [0, 1, 1]], np.eye(3)])
    gains = np.zeros((6, 3))
    gains[:2, 0] = (alone[0] - beside) / alone[0]
    predicted = HigherOrderApproximation().fit(masks, gains).predict([[1, 1, 1]])
    assert predicted[0, 0] == pytest.approx((alone[0] - beside.mean()) / alone[0])


def test_a_task_alone_gains_what_was_measured_and_repeated_pairs_count_as_their_mean():
    masks = np.array([[1, 1], [1, 1], [1, 0], [0, 1]])
    gains = np.array([[0.2, -0.1], [0.4, -0.3], [0.05, np.nan], [np.nan, -0.01]])
    predicted = HigherOrderApproximation().fit(masks, gains).predict([[1, 0], [0, 1], [1, 1]])
    expected = [[0.05, np.nan], [np.nan, -0.01], [0.3, -0.2]]
    np.testing.assert_allclose(predicted, expected, atol=1e-15)


def test_missing_singles_and_pairs_are_named():
    masks = all_groups(5)
    masks = masks[masks.sum(axis=1) != 2]
    message = re.escape("masks has no group {0, 1}, {0, 2}, {0, 3}, {0, 4}, {1, 2} and 5 more.")
    with pytest.raises(ValueError, match=message):
        HigherOrderApproximation().fit(masks, np.zeros(masks.shape))
    masks = np.vstack([np.eye(3), [[1, 1, 0], [1, 0, 1]]])[1:]
    with pytest.raises(ValueError, match=re.escape("masks has no group {0}, {1, 2}.")):
        HigherOrderApproximation().fit(masks, np.zeros((4, 3)))


# -- what both share ---------------------------------------------------------------------------

PREDICTORS = [
    HigherOrderApproximation(),
    MTGNet(8, n_nets=2, max_epochs=30, random_state=0),
    MTGNet.published(8, max_epochs=30, random_state=0),
]


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_absent_tasks_are_nan_and_are_not_looked_at(additive, predictor):
    masks, gains = additive
    before = masks.copy(), gains.copy()
    predicted = clone(predictor).fit(masks, gains).predict(masks)
    np.testing.assert_array_equal(np.isnan(predicted), ~masks)
    filled = clone(predictor).fit(masks.astype(int), np.where(masks, gains, 1e9)).predict(masks)
    np.testing.assert_array_equal(filled, predicted)
    np.testing.assert_array_equal(masks, before[0])
    np.testing.assert_array_equal(gains, before[1])


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
def test_permuting_tasks_permutes_predictions(additive, predictor):
    masks, gains = additive
    order = np.random.RandomState(1).permutation(6)
    predicted = clone(predictor).fit(masks[:40], gains[:40]).predict(masks)
    moved = clone(predictor).fit(masks[:40, order], gains[:40, order]).predict(masks[:, order])
    np.testing.assert_allclose(moved, predicted[:, order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
def test_fitted_predictors_survive_pickle(additive, predictor):
    masks, gains = additive
    fitted = clone(predictor).fit(masks, gains)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(masks), fitted.predict(masks))


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
def test_score_is_r2_of_all_present_entries(additive, predictor):
    masks, gains = additive
    fitted = clone(predictor).fit(masks, gains)
    weight = np.random.RandomState(0).rand(len(masks))
    predicted = fitted.predict(masks)
    for w in (None, weight):
        each = np.broadcast_to(1.0 if w is None else w[:, None], masks.shape)[masks]
        mean = (each * gains[masks]).sum() / each.sum()
        error = (each * (gains[masks] - predicted[masks]) ** 2).sum()
        total = (each * (gains[masks] - mean) ** 2).sum()
        assert fitted.score(masks, gains, sample_weight=w) == pytest.approx(1 - error / total)


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(
    ("masks", "gains", "message"),
    [
        ([[1, 1], [0, 0]], np.zeros((2, 2)), "masks must have no empty group. Got row 1"),
        ([[1, 0.5]], np.zeros((1, 2)), "masks must hold 0 and 1 (or bools). Got 0.5"),
        ([[1, 1]], np.zeros((1, 3)), "gains must be of the shape of masks, (1, 2). Got shape"),
        ([[1, 1]], [[0, np.nan]], "finite where masks has a task. Got nan for task 1 in row 0"),
        ([[1, 1]], [["a", "b"]], "gains must be an array of numbers"),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused(predictor, masks, gains, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        clone(predictor).fit(masks, gains)


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: type(p).__name__)
def test_predict_refuses_what_does_not_fit(additive, predictor):
    with pytest.raises(NotFittedError):
        clone(predictor).predict([[1, 1]])
    fitted = clone(predictor).fit(*additive)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 6"):
        fitted.predict([[1, 1]])
    # What failed to fit again is as it was.
    with pytest.raises(ValueError, match="gains must be of the shape"):
        fitted.fit(additive[0], np.zeros((3, 6)))
    assert np.isfinite(fitted.predict(additive[0])[additive[0]]).all()


# -- MTG-Net -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_heads", "n_layers", "n_nets"), [(1, 1, 1), (4, 2, 3)])
def test_mtg_net_equals_a_literal_transcription(additive, n_heads, n_layers, n_nets):
    masks, gains = additive
    net = MTGNet(
        8, n_heads=n_heads, n_layers=n_layers, n_nets=n_nets, max_epochs=10, random_state=0
    ).fit(masks[:30], gains[:30])
    p = {name: v.detach().double().numpy() for name, v in net.module_.named_parameters()}
    position = np.argsort(net.task_order_)

    def predict(k, members):
        """Gains of the members by one net, one task, one head and one number after another."""
        h = [p["embedding"][k][position[t]] for t in members]
        for layer in range(n_layers):
            w = {
                name: p[f"blocks.{layer}.{name}"][k]
                for name in ("query", "key", "value", "mix", "widen", "widen_bias", "narrow")
            }
            joined = []
            for own in h:
                heads = []
                for head in range(n_heads):
                    part = slice(head * 8 // n_heads, (head + 1) * 8 // n_heads)
                    q = (own @ w["query"])[part]
                    logits = np.array([q @ (other @ w["key"])[part] for other in h])
                    share = np.exp(logits / np.sqrt(8 / n_heads))
                    share /= share.sum()
                    values = [(other @ w["value"])[part] for other in h]
                    heads.append(sum(a * v for a, v in zip(share, values, strict=True)))
                joined.append(np.concatenate(heads) @ w["mix"])
            h = [own + a for own, a in zip(h, joined, strict=True)]
            h = [
                own + np.maximum(own @ w["widen"] + w["widen_bias"][0], 0) @ w["narrow"]
                for own in h
            ]
        return [(own @ p["head"][k] + p["head_bias"][k, 0]).item() for own in h]

    expected = np.full(masks.shape, np.nan)
    for g, mask in enumerate(masks):
        members = np.flatnonzero(mask)
        of_nets = [predict(k, members) for k in range(n_nets)]
        expected[g, members] = net.scale_ * np.mean(of_nets, axis=0)
    np.testing.assert_allclose(net.predict(masks), expected, rtol=0, atol=1e-6)
    several = masks[:30] & (masks[:30].sum(axis=1, keepdims=True) > 1)
    assert net.scale_ == pytest.approx(np.abs(gains[:30][several]).mean())


def test_mtg_net_trains_on_the_l1_loss_of_present_tasks(additive):
    # Without training to speak of and without dropout, the loss is that of the predictions.
    masks, gains = additive
    net = MTGNet(n_nets=1, dropout=0.0, lr=1e-12, max_epochs=1, random_state=0).fit(masks, gains)
    expected = np.abs(net.predict(masks) - gains)[masks].mean()
    assert net.train_loss_[0, 0] == pytest.approx(expected, rel=1e-5)


def test_mtg_net_learns_an_additive_table_better_than_the_mean(additive):
    masks, gains = additive
    several = masks.sum(axis=1) > 1
    errors = []
    for seed in range(3):
        held_out = np.zeros(len(masks), dtype=bool)
        drawn = np.random.RandomState(seed).choice(np.flatnonzero(several), 15, replace=False)
        held_out[drawn] = True
        unseen, measured = masks[held_out], gains[held_out]
        of_task = np.nanmean(gains[~held_out & several], axis=0)
        net = MTGNet(random_state=0).fit(masks[~held_out], gains[~held_out])
        errors.append([np.abs(p - measured)[unseen].mean() for p in (net.predict(unseen), of_task)])
    of_net, of_mean = np.mean(errors, axis=0)
    assert of_net < 0.75 * of_mean
    # The table holds no noise: two blocks without dropout can learn what they were given (one
    # block stays far from it, for it sees means of the others and no sums).
    exact = MTGNet(n_layers=2, n_nets=2, dropout=0.0, max_epochs=200, random_state=0)
    exact.fit(masks, gains)
    assert np.abs(exact.predict(masks) - gains)[masks].mean() < 0.15 * of_mean


def test_mtg_net_scales_with_the_gains(additive):
    masks, gains = additive
    net = MTGNet(8, n_nets=2, max_epochs=20, random_state=0)
    predicted = net.fit(masks, gains).predict(masks)
    scaled = clone(net).fit(masks, 64 * gains).predict(masks)
    np.testing.assert_allclose(scaled, 64 * predicted, rtol=1e-10)
    zero = clone(net).fit(masks, 0 * gains)
    assert zero.scale_ == 1
    assert np.isfinite(zero.predict(masks)[masks]).all()


def test_mtg_net_same_seed_same_predictions_bitwise(additive):
    masks, gains = additive
    net = MTGNet(max_epochs=10, batch_size=16, random_state=3)
    first = net.fit(masks, gains).predict(masks)
    np.testing.assert_array_equal(clone(net).fit(masks, gains).predict(masks), first)
    other = clone(net).set_params(random_state=4).fit(masks, gains).predict(masks)
    assert not np.array_equal(other[masks], first[masks])


def test_nets_of_a_stack_train_as_if_alone(additive):
    masks, gains = additive
    net = MTGNet(8, n_nets=2, dropout=0.0, max_epochs=5, random_state=0).fit(masks, gains)
    assert net.train_loss_.shape == (5, 2)
    unmoved = clone(net).set_params(lr=1e-12, max_epochs=1).fit(masks, gains)
    target = np.where(masks, gains / net.scale_, 0)[:, net.task_order_]
    target, present = torch.from_numpy(target).float(), torch.from_numpy(masks[:, net.task_order_])
    for k in range(2):
        alone = Attention(1, 6, 8, 1, 1, 0.0)
        start = unmoved.module_.state_dict()
        alone.load_state_dict({name: value[k : k + 1] for name, value in start.items()})
        optimizer = torch.optim.Adam(alone.parameters(), lr=0.01)
        for epoch in range(5):
            optimizer.zero_grad()
            error = (alone(present)[0] - target).abs()[present].mean()
            assert error.item() * net.scale_ == pytest.approx(net.train_loss_[epoch, k], rel=1e-4)
            error.backward()
            optimizer.step()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"embedding_dim": 6, "n_heads": 4}, "The 'embedding_dim' parameter of MTGNet must be a "),
        ({"dropout": 1.0}, "The 'dropout' parameter of MTGNet must be"),
        ({"n_nets": 0}, "The 'n_nets' parameter of MTGNet must be"),
    ],
)
def test_wrong_parameters_of_mtg_net_are_named(additive, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MTGNet(**params).fit(*additive)


def test_mtg_net_says_what_it_cannot_learn_from():
    with pytest.raises(
        ValueError, match=r"a group with each task to learn from. Got none with task 2"
    ):
        MTGNet().fit([[1, 1, 0]], np.zeros((1, 3)))


# -- which groups to measure next --------------------------------------------------------------


def test_singles_and_the_group_of_all_tasks_come_first():
    net = MTGNet(max_epochs=2, random_state=0)
    first = net.suggest(4, n_suggestions=20)
    np.testing.assert_array_equal(first, np.vstack([np.eye(4), np.ones((1, 4))]))
    rest = net.suggest(4, first[1:3], np.zeros((2, 4)), n_suggestions=2)
    np.testing.assert_array_equal(rest, [[1, 0, 0, 0], [0, 0, 0, 1]])
    assert not hasattr(net, "module_")  # suggesting is no fitting


def test_then_each_task_in_turn_gets_its_group_of_the_largest_predicted_gain(additive):
    masks, gains = additive
    start = np.isin(masks.sum(axis=1), (1, 6))
    measured, of_measured = masks[start], gains[start]
    net = MTGNet(8, n_nets=2, max_epochs=20, random_state=0)
    suggested = net.suggest(masks, measured, of_measured, n_suggestions=8)
    predicted = clone(net).fit(measured, of_measured).predict(masks)
    turns = np.argsort(gains[-1])  # who loses most in the group of all tasks comes first
    chosen = []
    for k in range(8):
        t = turns[k % 6]
        best, strongest = None, -1.0
        for g, mask in enumerate(masks):
            if start[g] or g in chosen or not mask[t]:
                continue
            if abs(predicted[g, t]) > strongest:
                best, strongest = g, abs(predicted[g, t])
        chosen.append(best)
    np.testing.assert_array_equal(suggested, masks[chosen])
    # One at a time: the turn goes on where the measured groups say.
    more = [*np.flatnonzero(start), *chosen[:2]]
    third = net.suggest(masks, masks[more], gains[more])
    assert third.shape == (1, 6)
    assert third[0, turns[2]]


def test_suggestions_follow_a_permutation_of_the_tasks(additive):
    masks, gains = additive
    start = np.isin(masks.sum(axis=1), (1, 6))
    order = np.random.RandomState(2).permutation(6)
    net = MTGNet(8, n_nets=2, max_epochs=20, random_state=0)
    plain = net.suggest(masks, masks[start], gains[start], 7)
    moved = net.suggest(masks[:, order], masks[start][:, order], gains[start][:, order], 7)
    np.testing.assert_array_equal(moved, plain[:, order])


def test_suggestions_end_with_the_pool_and_skip_tasks_that_have_no_group_left(additive):
    masks, gains = additive
    start = np.isin(masks.sum(axis=1), (1, 6))
    pool = np.zeros((3, 6), dtype=bool)
    pool[:, :2], pool[1, 2], pool[2, 5] = True, True, True
    net = MTGNet(max_epochs=3, random_state=0)
    suggested = net.suggest(pool, masks[start], gains[start], n_suggestions=10)
    assert {mask.tobytes() for mask in suggested} == {mask.tobytes() for mask in pool}
    assert len(suggested) == 3
    assert net.suggest(masks, masks, gains, 5).shape == (0, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((17,), "pool can be all groups of 1 to 16 tasks. Got 17 tasks"),
        ((3, [[1, 1]], [[0, 0]]), "masks must be of shape (n_groups, n_tasks=3)"),
        ((3, [[1, 1, 1]]), "masks and gains must be given both or neither"),
        ((3, None, None, 0), "n_suggestions must be >= 1. Got 0"),
        ((3, None, None, 1.5), "n_suggestions must be an int. Got 1.5"),
        (([[0, 0]],), "pool must have no empty group"),
    ],
)
def test_wrong_arguments_of_suggest_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MTGNet().suggest(*arguments)


def test_all_groups_by_size():
    groups = all_groups(4)
    assert len({mask.tobytes() for mask in groups}) == 15
    assert (np.diff(groups.sum(axis=1)) >= 0).all()
