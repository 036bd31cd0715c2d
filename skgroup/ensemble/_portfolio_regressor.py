"""`PortfolioRegressor`: any regressors side by side, weighed for each task."""

from __future__ import annotations

from typing import Any

from skgroup.ensemble._grouped import GroupedMTLRegressor
from skgroup.ensemble._portfolio import PortfolioEstimator
from skgroup.tasks import REGRESSION
from skgroup.training.classifier import TaskRegressorMixin


class PortfolioRegressor(TaskRegressorMixin, PortfolioEstimator):
    """Train several regressors, and learn for each task how much each of them counts.

    What to use when nothing is known of the tasks: which way to learn them is best differs from
    one set of tasks to the next, and from task to task. Predictions for held-out samples decide:
    the weights of members are those, convex, of the least squared error. A member that fails is
    named in a warning, and the others serve without it.

    Parameters
    ----------
    members : list of (str, regressor), default=None
        Named regressors, as in scikit-learn's stacking: `MultiTaskNet`, `GroupedMTLRegressor`, any
        regressor of scikit-learn, pipelines and searches of these; "drop" in place of one leaves
        it out. Estimators of this package learn all tasks and read missing numbers; others learn
        all tasks at once where they can and no number is missing, else a clone of them learns each
        task on the samples that have a number of it. None is `MultiTaskNet()`, 300 extra
        trees, histogram boosting, where X is not sparse, and ridge regression on standardised
        features; for images, Datasets and dicts of arrays `MultiTaskNet()` and
        `GroupedMTLRegressor()`.
    cv, refit, checkpoint, n_jobs, random_state, verbose
        See `PortfolioClassifier`.

    Attributes
    ----------
    target_scaling_ : TargetScaling
        Mean and standard deviation of each task: `location` and `scale`, (n_tasks,).
    members_, member_names_, member_tasks_, serving_weights_, n_tasks_, task_names_in_, \
            n_features_in_
        See `PortfolioClassifier`.
    share_maps_, thresholds_ : ndarray
        (1, 0) and NaN, as numbers have neither.

    See Also
    --------
    PortfolioEstimator : Of tasks of several kinds.
    GroupedMTLRegressor : The paper's method, one way among the members.
    sklearn.ensemble.StackingRegressor : Of a single task, with a model of the members.

    Notes
    -----
    Members see numbers in their units, and `X` as it is, so that a pipeline may fill in missing
    values. The weights of members for task t minimise the squared error of the held-out numbers,
    in units of that of the best member, pulled towards equal weights by as much as two samples
    would (less their logarithms, each times its share of two samples).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from skgroup import MultiTaskNet, PortfolioRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0], 100 + X[:, 1] * X[:, 2]])
    >>> members = [("net", MultiTaskNet(max_epochs=60, lr=0.02)), ("linear", Ridge())]
    >>> reg = PortfolioRegressor(members, random_state=0).fit(X, Y)
    >>> reg.serving_weights_.shape
    (2, 2)
    >>> bool(reg.serving_weights_[1, 0] > 0.9)  # no linear model learns a product
    True
    >>> reg.get_params()["linear__alpha"]
    1.0
    """

    task_types = REGRESSION.name
    _of_any = "PortfolioEstimator"
    _sort = "regressor"
    _sorts = False, True
    _grouped = GroupedMTLRegressor

    def __init__(
        self,
        members: list[tuple[str, Any]] | None = None,
        *,
        cv: Any = 5,
        refit: bool = True,
        checkpoint: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.members = members
        self.cv = cv
        self.refit = refit
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_scorer(self, *, weighted: bool) -> None:
        """No task has a threshold."""

    def _learn_thresholds(self, *held_out: Any) -> None:
        """No task has a threshold."""
