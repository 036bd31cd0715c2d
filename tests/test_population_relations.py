"""Relations of populations, and the groups that clusterers make of them."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

from skgroup.populations import Coefficients, CrossLosses, PooledTasksRegressor

KINDS = np.array([0, 0, 0, 1, 1, 1])


def make_rows(n=40, seed=0, noise=0.3):
    """Rows of six stores, the last column; in half of them the first feature counts the other
    way."""
    rng = np.random.default_rng(seed)
    store = np.repeat(np.arange(6), n)
    X = rng.normal(size=(len(store), 3)) * [1, 10, 0.1]
    number = np.where(KINDS[store] == 0, 1, -1) * X[:, 0] + X[:, 1] / 20
    return np.column_stack([X, store]), number + noise * rng.normal(size=len(store))


def test_a_relation_is_computed_once_for_all_numbers_of_groups():
    seen = []

    class Watched(CrossLosses):
        def of_populations(self, models, splits):
            seen.append(models.rows.n_samples)
            return super().of_populations(models, splits)

    X, number = make_rows(n=10)
    grouper = make_pipeline(Watched(), AgglomerativeClustering())
    reg = PooledTasksRegressor(task=3, grouper=grouper, n_groups=[1, 2, 3, 4], cv=2, random_state=0)
    reg.fit(X, number)
    assert reg.n_groups_ == 2
    assert seen == [30, 30, 60]  # of each split, and of all rows


def test_coefficients_are_asked_of_the_first_fit():
    fitted = []

    class Tree(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            fitted.append(len(X))
            return super().fit(X, y, sample_weight)

    X, number = make_rows(n=10)
    rule = r"Coefficients, alone or in a 'grouper', needs an 'estimator' .* Got Tree\(.*CrossLosses"
    with pytest.raises(ValueError, match=rule):
        Coefficients(Tree(), task=3).fit(X, number)
    assert fitted == [10]
    grouper = make_pipeline(Coefficients(), AgglomerativeClustering())
    ways = {"task": 3, "grouper": grouper, "n_groups": 2, "shrinkage": np.inf}
    with pytest.raises(ValueError, match=rule):
        PooledTasksRegressor(Tree(), **ways, random_state=0).fit(X, number)
