"""Serving weights, thresholds and held-out samples against slow transcriptions."""

import re
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.metrics import f1_score, make_scorer, precision_score

from skgroup import GroupedMTLClassifier, PortfolioClassifier
from skgroup.ensemble._serving import _PRIOR_SAMPLES, learn_serving_weights, mix
from skgroup.ensemble._threshold import f1_thresholds, scorer_thresholds
from skgroup.tasks import OutputLayout, check_tasks

PULL = 20


# -- transcriptions -------------------------------------------------------------------------------


def balance_by_loops(labels, weight):
    """Weights of one task's samples: each class has the total of the rarest one's samples."""
    counts, totals = {}, {}
    for label, w in zip(labels, weight, strict=True):
        if label is not None and w > 0:
            counts[label] = counts.get(label, 0) + 1
            totals[label] = totals.get(label, 0) + w
    if len(counts) < 2:
        return None
    rarest = min(counts.values())
    return [
        0.0 if label is None or w == 0 else w * rarest / totals[label]
        for label, w in zip(labels, weight, strict=True)
    ]


def objective(weights, true, prior, balance):
    """Σ_i s_i log Σ_c w_c p_ic + κ Σ_c a_c log w_c."""
    value = 0.0
    for s, p in zip(balance, true, strict=True):
        if s > 0:
            value += s * np.log(sum(w * max(q, 1e-6) for w, q in zip(weights, p, strict=True)))
    for a, w in zip(prior, weights, strict=True):
        if a > 0:
            value += _PRIOR_SAMPLES * a * np.log(max(w, 1e-300))
    return value


def best_weights(true, prior, balance):
    """The weights of the best objective, by a general optimiser."""
    free = np.flatnonzero(prior)

    def spread(w):
        weights = np.zeros(len(prior))
        weights[free] = w
        return weights

    with warnings.catch_warnings():
        # SciPy 1.13 warns where a step of the solver ends outside of the bounds.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = minimize(
            lambda w: -objective(spread(w), true, prior, balance),
            prior[free],
            method="SLSQP",
            bounds=[(1e-9, 1)] * len(free),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-10, "maxiter": 500},
        )
    return spread(found.x)


def mixture_by_loops(proba, candidate_tasks, outputs, weights):
    """Probabilities task by task, (n_samples, n_outputs of the task) each."""
    mixed = [np.zeros((len(proba[0]), k)) for k in outputs]
    for c, tasks in enumerate(candidate_tasks):
        column = 0
        for t in tasks:
            for k in range(outputs[t]):
                for i in range(len(proba[0])):
                    mixed[t][i, k] += weights[t][c] * proba[c][i, column]
                column += 1
    return mixed


def table_of(Y):
    return check_tasks(Y)


def labels_of(table, t):
    return [None if code < 0 else int(code) for code in table.codes[:, t]]


def random_problem(seed, n_samples=60, width=4):
    """Two binary tasks and one of four classes, with missing labels, and what nets say of them."""
    rng = np.random.RandomState(seed)
    Y = np.column_stack(
        [rng.rand(n_samples) < 0.5, rng.rand(n_samples) < 0.15, rng.randint(4, size=n_samples)]
    ).astype(float)
    Y[:2, 0], Y[:2, 1], Y[:4, 2] = [0, 1], [0, 1], range(4)
    Y[4:][rng.rand(n_samples - 4, 3) < 0.2] = np.nan
    table = table_of(Y)
    # Candidates of different worth.
    worth = rng.uniform(0.5, 4, size=(3, 1, width))
    true = rng.beta(worth, 1.0, size=(3, n_samples, width)).astype(np.float32)
    true[(table.codes < 0).T] = 1
    prior = rng.dirichlet(np.ones(width), size=3)
    return true, prior, table, rng


# -- serving weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_serving_weights_maximise_their_objective(seed, weighted):
    true, prior, table, rng = random_problem(seed)
    prior[0, 1] = 0
    prior[0] /= prior[0].sum()
    sample_weight = None
    if weighted:
        sample_weight = rng.exponential(size=len(table.codes))
        sample_weight[5:15] = 0
    learned = learn_serving_weights(true, prior, table, sample_weight)
    np.testing.assert_allclose(learned.sum(axis=1), 1)
    assert (learned >= 0).all()
    assert learned[0, 1] == 0
    for t in range(3):
        weight = np.ones(len(table.codes)) if sample_weight is None else sample_weight
        balance = balance_by_loops(labels_of(table, t), weight)
        expected = best_weights(true[t], prior[t], balance)
        np.testing.assert_allclose(learned[t], expected, atol=3e-3)
        found, best, start = (
            objective(w, true[t], prior[t], balance) for w in (learned[t], expected, prior[t])
        )
        assert found > best - 1e-3
        assert found > start


def test_samples_of_no_weight_and_missing_labels_count_nowhere():
    true, prior, table, _ = random_problem(3)
    kept = np.arange(60) % 3 > 0
    expected = learn_serving_weights(
        true[:, kept], prior, table_of(np.where(table.codes < 0, np.nan, table.codes)[kept])
    )
    by_weight = learn_serving_weights(true, prior, table, kept.astype(float))
    np.testing.assert_allclose(by_weight, expected, atol=1e-4)
    hidden = np.where(kept[:, None] & (table.codes >= 0), table.codes, np.nan)
    by_label = learn_serving_weights(true, prior, table_of(hidden))
    np.testing.assert_allclose(by_label, expected, atol=1e-4)


def test_a_single_candidate_serves_alone():
    true, _, table, _ = random_problem(0, width=1)
    learned = learn_serving_weights(true, np.ones((3, 1)), table)
    np.testing.assert_allclose(learned, 1)


@pytest.mark.parametrize("shape", ["binary", "three classes"])
def test_a_better_net_counts_the_more_the_more_positives_there_are(shape):
    prior = np.array([[0.5, 0.25, 0.25]])
    of_best = []
    for n_rare in (1, 2, 10, 300):
        labels = np.repeat([0, 1], [400, n_rare])
        if shape == "three classes":
            labels = np.r_[labels, np.full(400, 2)]
        true = np.tile(np.array([0.3, 0.9, 0.2], dtype=np.float32), (1, len(labels), 1))
        of_best.append(learn_serving_weights(true, prior, table_of(labels))[0, 1])
    assert of_best == sorted(of_best)
    assert of_best[0] < 0.65
    assert of_best[1] < 0.75
    assert of_best[2] > 0.8
    assert of_best[3] > 0.97


def test_the_frequent_class_does_not_outvote_the_rare_one():
    labels = np.repeat([0, 1], [900, 100])
    # The first net knows the rare class, the second says "the frequent one" to everything.
    true = np.empty((1, 1000, 2), dtype=np.float32)
    true[0, :900], true[0, 900:] = [0.6, 0.99], [0.8, 0.01]
    learned = learn_serving_weights(true, np.array([[0.5, 0.5]]), table_of(labels))
    assert learned[0, 0] > 0.7


def test_one_sample_that_all_nets_get_wrong_does_not_decide():
    true, prior, table, _ = random_problem(5)
    before = learn_serving_weights(true, prior, table)
    frequent = np.flatnonzero((table.codes == 0).all(axis=1) | (table.codes[:, 0] == 0))[0]
    true[0, frequent] = 0
    learned = learn_serving_weights(true, prior, table)
    assert np.isfinite(learned).all()
    np.testing.assert_allclose(learned.sum(axis=1), 1)
    np.testing.assert_allclose(learned, before, atol=0.1)
    # A net that is certain of one wrong label, and right otherwise, still counts.
    true = np.full((1, 200, 2), 0.6, dtype=np.float32)
    true[0, :, 0] = 0.95
    true[0, 0, 0] = 0
    one_error = learn_serving_weights(true, np.full((1, 2), 0.5), table_of(np.arange(200) % 2))
    assert one_error[0, 0] > 0.8


def test_one_class_is_nothing_to_learn_from():
    true, prior, table, _ = random_problem(2)
    codes = np.where(table.codes < 0, np.nan, table.codes)
    whole = table_of(codes)
    weight = (table.codes[:, 1] != 1).astype(float)  # no positive of task 1 counts
    with pytest.warns(UserWarning, match=r"fewer than two of their classes: 1\.$"):
        learned = learn_serving_weights(true, prior, whole, weight)
    np.testing.assert_array_equal(learned[1], prior[1])
    assert not np.allclose(learned[[0, 2]], prior[[0, 2]], atol=1e-2)


# -- the mixture ----------------------------------------------------------------------------------


@pytest.fixture
def mixed_tasks():
    """A binary task, one of three classes, a binary one, and nets of some of them."""
    rng = np.random.RandomState(0)
    outputs = (1, 3, 1)
    candidate_tasks = [np.array([0, 1, 2]), np.array([1]), np.array([0, 2]), np.array([2])]
    Y = np.column_stack(
        [rng.randint(2, size=30), rng.randint(3, size=30), rng.randint(2, size=30)]
    ).astype(float)
    Y[3:][rng.rand(27, 3) < 0.2] = np.nan
    Y[:3] = [[0, 0, 0], [1, 1, 1], [0, 2, 0]]
    proba = []
    for tasks in candidate_tasks:
        parts = [
            rng.rand(30, 1) if outputs[t] == 1 else rng.dirichlet(np.ones(outputs[t]), size=30)
            for t in tasks
        ]
        proba.append(np.hstack(parts).astype(np.float32))
    return outputs, candidate_tasks, proba, table_of(Y), rng


def in_pieces(proba):
    for rows in (slice(0, 13), slice(13, 30)):
        for c, of_candidate in enumerate(proba):
            yield c, rows, of_candidate[rows]


def test_mixture_weighs_what_each_net_says_of_its_tasks(mixed_tasks):
    outputs, candidate_tasks, proba, _, rng = mixed_tasks
    weights = np.zeros((3, 4))
    for c, tasks in enumerate(candidate_tasks):
        weights[tasks, c] = rng.rand(len(tasks))
    weights /= weights.sum(axis=1, keepdims=True)
    mixed = mix(OutputLayout(outputs), candidate_tasks, weights, in_pieces(proba), 30)
    expected = np.hstack(mixture_by_loops(proba, candidate_tasks, outputs, weights))
    np.testing.assert_allclose(mixed, expected, atol=1e-6)


# -- thresholds -----------------------------------------------------------------------------------


def best_f1_by_force(p, labels, weight):
    """The best weighted F1 of all cuts between probabilities, "all positive" among them."""
    values = np.unique(p)
    cuts = np.r_[-1.0, (values[1:] + values[:-1]) / 2]
    return max(f1_at(p, labels, weight, cut) for cut in cuts)


def f1_at(p, labels, weight, threshold):
    hits = weight[(labels == 1) & (p > threshold)].sum()
    false_alarms = weight[(labels == 0) & (p > threshold)].sum()
    misses = weight[(labels == 1) & (p <= threshold)].sum()
    return 2 * hits / (2 * hits + false_alarms + misses)


def unpulled(thresholds, codes, neutral=0.5):
    """Thresholds before they were pulled towards neutral ones."""
    n_positive = (codes == 1).sum(axis=0)
    pulled = logit(thresholds) * (n_positive + PULL) - PULL * logit(neutral)
    return expit(pulled / n_positive)


def best_expected_f1_by_force(proba, weight):
    """Of every number of most probable samples, 2 · expected hits over taken and positive ones."""
    order = np.argsort(-proba)
    return max(
        2 * (weight * proba)[order[:k]].sum() / (weight[order[:k]].sum() + (weight * proba).sum())
        for k in range(1, len(proba) + 1)
    )


def random_probabilities(seed, n_samples=80, n_tasks=6, decimals=2):
    """Probabilities with ties, missing labels, and tasks that are easy, hard or shifted."""
    rng = np.random.RandomState(seed)
    codes = (rng.rand(n_samples, n_tasks) < np.linspace(0.1, 0.7, n_tasks)).astype(np.int8)
    codes[:2] = [[0] * n_tasks, [1] * n_tasks]
    signal = np.linspace(0, 3, n_tasks) * codes + rng.normal(size=codes.shape)
    shift = rng.uniform(-3, 2, size=n_tasks)
    proba = np.round(1 / (1 + np.exp(-signal - shift)), decimals).astype(np.float32)
    codes[2:][rng.rand(n_samples - 2, n_tasks) < 0.15] = -1
    return proba, codes, rng


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_thresholds_reach_the_best_f1(seed, weighted):
    proba, codes, rng = random_probabilities(seed)
    weight = rng.exponential(size=len(codes)) if weighted else np.ones(len(codes))
    thresholds = f1_thresholds(proba, codes, weight if weighted else None)
    chosen = unpulled(thresholds, codes)
    for t in range(codes.shape[1]):
        best = best_f1_by_force(proba[:, t], codes[:, t], weight)
        reached = f1_at(proba[:, t], codes[:, t], weight, chosen[t])
        assert reached == pytest.approx(best, abs=1e-9)
        # Halfway between two neighbours, or below the least.
        values = np.unique(np.r_[0.0, proba[:, t].astype(float)])
        halfway = (values[1:] + values[:-1]) / 2
        assert abs(halfway - chosen[t]).min() < 1e-6


def test_thresholds_follow_probabilities_that_are_all_small():
    codes = np.tile([[1], [0]], (30, 1))
    proba = np.where(codes == 1, 1e-3, 1e-4).astype(np.float32)
    (threshold,) = f1_thresholds(proba, codes)
    assert f1_at(proba[:, 0], codes[:, 0], np.ones(60), threshold) == 0.0  # 30 positives are few
    (threshold,) = f1_thresholds(np.tile(proba, (50, 1)), np.tile(codes, (50, 1)))
    assert 1e-4 < threshold < 1e-3


def test_thresholds_are_pulled_towards_a_half_where_positives_are_few():
    # One task in four sizes: positives at 0.9, negatives at 0.7.
    for n_positive in (1, 10, 90, 10_000):
        codes = np.repeat([1, 0], [n_positive, 20])[:, None]
        proba = np.where(codes == 1, 0.9, 0.7).astype(np.float32)
        expected = expit(n_positive / (n_positive + PULL) * logit(0.8))
        for thresholds in (
            f1_thresholds(proba, codes),
            scorer_thresholds(proba, codes, make_scorer(f1_score)),
        ):
            np.testing.assert_allclose(thresholds, expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_thresholds_of_a_scorer_reach_what_the_best_f1_is(seed, weighted):
    proba, codes, rng = random_probabilities(seed, decimals=1)
    weight = rng.exponential(size=len(codes)) if weighted else np.ones(len(codes))
    given = weight if weighted else None
    chosen = unpulled(f1_thresholds(proba, codes, given), codes)
    by_scorer = scorer_thresholds(proba, codes, make_scorer(f1_score, zero_division=0.0), given)
    by_scorer = unpulled(by_scorer, codes)
    for t in range(codes.shape[1]):
        expected = f1_at(proba[:, t], codes[:, t], weight, chosen[t])
        reached = f1_at(proba[:, t], codes[:, t], weight, by_scorer[t])
        assert reached == pytest.approx(expected, abs=1e-9)


def test_a_scorer_may_choose_to_predict_every_sample_positive():
    proba = np.array([[0.1], [0.2], [0.3], [0.4]], dtype=np.float32)
    codes = np.array([[1], [1], [1], [0]])
    for thresholds in (
        f1_thresholds(proba, codes),
        scorer_thresholds(proba, codes, make_scorer(f1_score)),
    ):
        assert unpulled(thresholds, codes)[0] < 0.1


def test_a_score_that_is_not_defined_is_no_best_score():
    p, codes = np.linspace(0.05, 0.45, 40)[:, None], np.arange(40)[:, None] % 4 == 3
    thresholds = [
        scorer_thresholds(p, codes.astype(int), make_scorer(precision_score, zero_division=value))
        for value in (np.nan, 0.0)
    ]
    assert thresholds[0] == thresholds[1] < 0.5


def test_a_scorer_of_other_taste_gets_its_own_threshold():
    proba, codes, _ = random_probabilities(0, n_samples=400, n_tasks=3, decimals=6)
    codes = np.abs(codes)

    def balanced(estimator, X, y, sample_weight=None):
        predicted = estimator.predict(X)
        return np.mean([(predicted[y == k] == k).mean() for k in (0, 1)])

    chosen = unpulled(scorer_thresholds(proba, codes, balanced), codes)
    for t in range(3):
        p, y = proba[:, t].astype(float), codes[:, t]

        def at(cut, p=p, y=y):
            return ((p[y == 1] > cut).mean() + (p[y == 0] <= cut).mean()) / 2

        values = np.unique(p)
        best = max(at(cut) for cut in (values[1:] + values[:-1]) / 2)
        # A hundred of the 399 cuts are tried.
        assert at(chosen[t]) > best - 0.02
        assert at(chosen[t]) >= at(0.5)


@pytest.mark.parametrize("code", [0, 1, -1])
@pytest.mark.parametrize("tune", [f1_thresholds, scorer_thresholds])
def test_a_task_with_one_class_keeps_a_half(code, tune):
    proba, codes, _ = random_probabilities(0, decimals=1)
    scorer = [make_scorer(f1_score, zero_division=0.0)] if tune is scorer_thresholds else []
    expected = tune(proba, codes, *scorer)
    assert expected[2] != 0.5
    codes[:, 2], expected[2] = code, 0.5
    np.testing.assert_array_equal(tune(proba, codes, *scorer), expected)


@pytest.mark.parametrize("tune", [f1_thresholds, scorer_thresholds])
def test_positives_of_no_weight_are_no_positives(tune):
    proba, codes, _ = random_probabilities(1, n_tasks=3, decimals=1)
    codes = np.abs(codes)
    weight = (codes[:, 1] == 0).astype(float)
    scorer = [make_scorer(f1_score, zero_division=0.0)] if tune is scorer_thresholds else []
    assert tune(proba, codes, *scorer, sample_weight=weight)[1] == 0.5


# -- from fit to prediction -----------------------------------------------------------------------


@pytest.fixture
def kinds_of_tasks(digits):
    """Three binary tasks and the digit modulo 4, with missing labels."""
    X, Y = digits[0][:300], digits[1][:300]
    digit = Y[:, :10].argmax(axis=1)
    Y = np.column_stack([Y[:, 10], Y[:, 12], digit % 4, Y[:, 3]]).astype(float)
    Y[np.random.RandomState(0).rand(*Y.shape) < 0.1] = np.nan
    return X, Y


@pytest.mark.parametrize("weighted", [False, True])
def test_fit_learns_weights_and_thresholds_on_the_held_out_samples(
    kinds_of_tasks, small_net, weighted
):
    """With refit=False the members that serve are those whose held-out predictions counted."""
    X, Y = kinds_of_tasks
    train, test = np.arange(0, 300, 2), np.arange(1, 300, 2)
    sample_weight = np.random.RandomState(1).exponential(size=300) if weighted else None
    members = [
        ("groups", GroupedMTLClassifier(small_net, n_groups=2)),
        ("net", small_net),
        ("longer", clone(small_net).set_params(max_epochs=12)),
    ]
    clf = PortfolioClassifier(members, cv=[(train, test)], refit=False, random_state=0)
    clf.fit(X, Y, sample_weight=sample_weight)
    weight = np.ones(150) if sample_weight is None else sample_weight[test]
    assert clf.task_outputs_ == (1, 1, 4, 1)

    def mapped(m, t):
        """Probabilities (n_samples, n_classes) of a task, on the scale of observed shares."""
        (fitted,) = clf.members_[m]
        proba = np.clip(fitted.predict_proba(X[test])[t], 1e-6, 1 - 1e-6)
        start = [0, 1, 2, 6][t]
        slope, intercept = clf.share_maps_[m, start : start + (4 if t == 2 else 1)].T
        if t != 2:
            second = expit(slope * logit(proba[:, 1]) + intercept)
            return np.column_stack([1 - second, second])
        proba = expit(slope * logit(proba) + intercept)
        return proba / proba.sum(axis=1, keepdims=True)

    for t in range(4):
        proba = np.stack([mapped(m, t) for m in range(3)])
        labels = [None if np.isnan(y) else int(y) for y in Y[test, t]]
        true = np.array(
            [
                [1.0] * 3 if label is None else proba[:, i, label].tolist()
                for i, label in enumerate(labels)
            ]
        )
        balance = balance_by_loops(labels, weight)
        expected = best_weights(true, np.full(3, 1 / 3), balance)
        np.testing.assert_allclose(clf.serving_weights_[t], expected, atol=3e-3)
        if t == 2:
            assert np.isnan(clf.thresholds_[t])
            continue
        mixed = np.einsum("m,mi->i", clf.serving_weights_[t], proba[:, :, 1])
        codes = np.array([-1 if label is None else label for label in labels])
        neutral = best_expected_f1_by_force(mixed[codes >= 0], weight[codes >= 0]) / 2
        chosen = unpulled(clf.thresholds_[[t]], codes[:, None], neutral)[0]
        best = best_f1_by_force(mixed.astype(np.float32), codes, weight)
        assert f1_at(mixed, codes, weight, chosen) == pytest.approx(best, abs=1e-6)


def test_a_task_whose_positives_are_not_held_out_is_named_and_keeps_its_prior(digits, small_net):
    pd = pytest.importorskip("pandas")
    X, Y = digits[0][:200], digits[1][:200]
    rare = np.zeros(200, dtype=int)
    rare[:5] = 1
    frame = pd.DataFrame({"low": Y[:, 10], "rare": rare, "odd": Y[:, 12]})
    members = [("net", small_net), ("longer", clone(small_net).set_params(max_epochs=12))]
    cv = [(np.arange(120), np.arange(120, 200))]
    clf = PortfolioClassifier(members, cv=cv, random_state=0)
    message = (
        "The serving weights of these tasks are not learned, but those of the prior, because the "
        "held-out samples hold fewer than two of their classes: rare."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        clf.fit(X, frame)
    np.testing.assert_array_equal(clf.serving_weights_[1], 0.5)
    np.testing.assert_array_equal(clf.share_maps_[:, 1], [[1, 0], [1, 0]])
    assert clf.thresholds_[1] == 0.5
    for t in (0, 2):
        assert not np.allclose(clf.serving_weights_[t], 0.5, atol=1e-2)
        assert clf.thresholds_[t] != 0.5
