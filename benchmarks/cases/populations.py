"""Groups of populations looked for by linear models that are fitted at once, beside the same search
by scikit-learn's estimators one by one."""

import time

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.harness import Row, case, compare
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations._alternation import alternate
from skgroup.populations._models import Models


def rows_of(sizes, n_classes, n_groups=3, n_features=10):
    """Populations of so many rows, in groups of other coefficients, and who is in which."""
    random, n_tasks = np.random.default_rng(0), len(sizes)
    task, group = np.repeat(np.arange(n_tasks), sizes), np.arange(n_tasks) % n_groups
    X = random.normal(size=(len(task), n_features))
    coef = random.normal(size=(n_groups, n_features))
    y = (X * coef[group[task]]).sum(axis=1) + random.logistic(size=len(task))
    return np.column_stack([X, task]), (y > 0).astype(int) if n_classes else y, group


class Search:
    """Three groups, on the first split; `found` are those found last."""

    def __init__(self, X, y, classes, at_once, **params):
        kind = PooledTasksClassifier if classes else PooledTasksRegressor
        plan = kind(task=X.shape[1] - 1, random_state=0, **params)._plan(X, y)
        self.at_once, self.plan, self.found = at_once, plan, None

    def __call__(self):
        plan = self.plan
        models = plan.models(plan.rows)
        if not self.at_once:
            n_restarts = models.n_restarts
            models = Models(plan.estimator, plan.rows, plan.classes)
            models.n_restarts = n_restarts
        self.found, _ = alternate(models, 3, plan.splits, np.random.default_rng(0))


@case("populations", target="≥ 10x faster than one by one, the same groups")
def populations(size, repeats):
    n_tasks = 200 if size == "full" else 40
    for name, classes, params in (
        ("logistic regression", True, {}),
        ("logistic regression, population a feature", True, {"task_as_feature": True}),
        ("ridge", False, {}),
        ("ridge, population a feature", False, {"task_as_feature": True}),
    ):
        X, y, group = rows_of([50] * n_tasks, classes)
        ours, rival = (Search(X, y, classes, at_once, cv=3, **params) for at_once in (True, False))
        times = compare(ours, rival, min(repeats, 3))
        agree = [adjusted_rand_score(group, search.found) for search in (rival, ours)]
        yield times.row(
            f"{name}, {n_tasks} populations x 50 rows",
            rival=f"adjusted Rand index {agree[0]:.2f}",
            ours=f"adjusted Rand index {agree[1]:.2f}",
            at_least=10,
        )
    if size == "full":
        for name, sizes in (
            ("1,000 populations x 50 rows", [50] * 1000),
            ("30 populations, one of 200,000 rows, 29 of 100", [200_000, *[100] * 29]),
        ):
            X, y, _ = rows_of(sizes, True)
            start = time.perf_counter()
            PooledTasksClassifier(task=X.shape[1] - 1, random_state=0).fit(X, y)
            yield Row(f"whole fit, {name}", ours=f"{time.perf_counter() - start:.3g} s")
