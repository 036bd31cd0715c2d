"""`LabelCorrelationAffinity` against the equations, and where labels are missing."""

import numpy as np
import pytest
from scipy.stats.contingency import association

from skgroup.relations import (
    LabelCorrelationAffinity,
)

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def labels(partly_labelled):
    X, Y = partly_labelled
    Y = Y.copy()
    Y[::2, 1] = X[::2, 0] > X[::2, 1]
    return X, Y


def test_binary_tasks_have_pearson_correlations(digits):
    X, Y = digits
    affinity = LabelCorrelationAffinity().fit(X, Y).affinity_
    np.testing.assert_allclose(affinity, np.corrcoef(Y.T), atol=1e-12)
    np.testing.assert_array_equal(affinity, affinity.T)
    assert affinity[10, 11] == -1


def test_each_pair_is_taken_over_what_both_have(labels):
    X, Y = labels
    affinity = LabelCorrelationAffinity().fit(X, Y).affinity_
    for i in range(5):
        for j in range(5):
            both = ~np.isnan(Y[:, i]) & ~np.isnan(Y[:, j])
            a, b = Y[both, i], Y[both, j]
            if i == j:
                expected = 1.0
            elif max(len(set(a)), len(set(b))) == 2:
                expected = np.corrcoef(a, b)[0, 1]
            else:
                codes = [np.unique(v, return_inverse=True)[1] for v in (a, b)]
                table = np.zeros((max(codes[0]) + 1, max(codes[1]) + 1), dtype=int)
                np.add.at(table, tuple(codes), 1)
                expected = association(table, method="cramer")
            assert affinity[i, j] == pytest.approx(expected, abs=1e-12)


def test_correlation_weights_are_counts_and_labels_may_be_strings(labels):
    X, Y = labels
    count = np.random.default_rng(0).integers(0, 4, size=300)
    weighted = LabelCorrelationAffinity().fit(X, Y, sample_weight=count).affinity_
    repeated = LabelCorrelationAffinity().fit(X.repeat(count, axis=0), Y.repeat(count, axis=0))
    np.testing.assert_allclose(weighted, repeated.affinity_, atol=1e-12)
    words = np.where(
        np.isnan(Y), None, np.array(["a", "b", "c", "d"])[np.nan_to_num(Y).astype(int)]
    )
    np.testing.assert_array_equal(
        LabelCorrelationAffinity().fit(X, words).affinity_,
        LabelCorrelationAffinity().fit(X, Y).affinity_,
    )


def test_many_samples_are_counted_in_parts(monkeypatch, labels):
    X, Y = labels
    whole = LabelCorrelationAffinity().fit(X, Y).affinity_
    monkeypatch.setattr("skgroup.relations._label_correlation._CHUNK", 7)
    np.testing.assert_allclose(LabelCorrelationAffinity().fit(X, Y).affinity_, whole, atol=1e-12)


def test_pairs_without_common_labels_are_zero_with_a_warning():
    nan = np.nan
    Y = np.array([[0, 0, nan], [1, 1, nan], [0, nan, 1], [nan, 1, 0], [nan, 0, 1]])
    # Tasks 0 and 2 have one common sample, so one class each.
    with pytest.warns(UserWarning, match="1 pairs of tasks have no sample with labels of both"):
        affinity = LabelCorrelationAffinity().fit(np.zeros((5, 1)), Y).affinity_
    np.testing.assert_allclose(affinity, [[1, 1, 0], [1, 1, -1], [0, -1, 1]])
    Y[2] = nan
    Y[0, 0] = Y[1, 0] = nan
    Y[2, 0], Y[0, 2] = 1, nan
    Y = np.vstack([Y, [0, nan, nan]])  # task 0 alone
    with pytest.warns(UserWarning, match="2 pairs"):
        affinity = LabelCorrelationAffinity().fit(np.zeros((6, 1)), Y).affinity_
    assert affinity[0].tolist() == [1, 0, 0]


def test_correlation_checks_its_inputs(digits):
    X, Y = digits
    with pytest.raises(ValueError, match=r"same number of samples\. Got X with 10 and Y with 600"):
        LabelCorrelationAffinity().fit(X[:10], Y)
    with pytest.raises(ValueError, match="contains infinity"):
        LabelCorrelationAffinity().fit(np.full((600, 2), np.inf), Y)
    with pytest.raises(ValueError, match="requires y"):
        LabelCorrelationAffinity().fit(X)
