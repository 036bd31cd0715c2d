"""`PortfolioClassifier`: any classifiers side by side, weighed for each task."""

from __future__ import annotations

from typing import Any

from skgroup.ensemble._grouped import GroupedMTLClassifier
from skgroup.ensemble._portfolio import PortfolioEstimator
from skgroup.tasks import AUTO
from skgroup.training.classifier import TaskClassifierMixin


class PortfolioClassifier(TaskClassifierMixin, PortfolioEstimator):
    """Train several classifiers, and learn for each task how much each of them counts.

    What to use when nothing is known of the tasks: which way to learn them is best differs from
    one set of tasks to the next, and from task to task. Predictions for held-out samples decide:
    each member's probabilities are brought to the scale of the observed shares of classes, the
    weights of members make held-out labels most likely, and the thresholds of binary tasks are
    tuned on what the weighted members give. A member that fails is named in a warning, and the
    others serve without it.

    Parameters
    ----------
    members : list of (str, classifier), default=None
        Named classifiers with `predict_proba`, as in scikit-learn's stacking: `MultiTaskNet`,
        `GroupedMTLClassifier`, any classifier of scikit-learn, pipelines and searches of these;
        "drop" in place of one leaves it out. Estimators of this package learn all tasks and read
        missing labels; others learn all tasks at once where they can and no label is missing,
        else a clone of them learns each task on the samples that have a label of it. None is
        `MultiTaskNet()`, extra trees and a random forest of 300 trees each, and, where X is not
        sparse, histogram boosting; for images, Datasets and dicts of arrays `MultiTaskNet()` and
        `GroupedMTLClassifier()`.
    cv : int, float, splitter, iterable of (train, test) or None, default=5
        The held-out samples: cross-fitting by so many shuffled folds, 5 if None, or by these
        splits; or a share of the samples, drawn once. Folds and the share have their parts of
        rare and of missing labels (`skgroup.metrics.MultiTaskKFold`), unless `fit` is given
        groups. A sample that holds the only label of a class stays with the training part. Beside
        shuffled folds, forests of scikit-learn with
        bootstrap samples (100 trees or more) are trained once, and judged by their out-of-bag
        predictions.
    threshold : float in (0, 1) or "tuned", default="tuned"
        A binary task's positive class is predicted where its probability is above this. "tuned"
        chooses a threshold a task on held-out samples, pulled towards the one of the best F1 that
        the probabilities promise where positives are few. Where nothing says which class is the
        positive one, it is 0.5.
    threshold_scoring : str or scorer of scikit-learn, default="f1"
        What tuned thresholds maximise. A scorer sees the labels of a task as 0 and 1.
    refit : bool, default=True
        Whether members are trained again on all samples to serve. False serves with those that
        `cv` has trained, by the mean over the splits of their probabilities (which
        `share_maps_` are then applied to): less training, each on less data.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. Members that are trained are kept, for each
        split. One in training goes on where it, or a step of a pipeline, has a parameter
        `checkpoint` too, and is trained anew where it has none.
    n_jobs : int, default=None
        Processes for training members and splits (joblib, or a cluster by its `parallel_config`).
    random_state : int, RandomState or None, default=None
        Determines the folds, and whatever `random_state` in the members is None.
    verbose : int, default=0
        1 shows a progress bar over the trainings.

    Attributes
    ----------
    members_ : list of classifier, one a member
        Those that serve, without the dropped and the failed ones; a list of classifiers, one a
        split, in place of each where `refit=False`. A member that learned each task alone has its
        classifiers in `estimators_`.
    member_names_ : ndarray of shape (n_members,) of str
    member_tasks_ : list of ndarray of int, one a member
        The tasks that each member is given: all.
    serving_weights_ : ndarray of shape (n_tasks, n_members)
        How much each member counts in a task's prediction; rows sum to 1, but for 0 of a task of
        a single class, which is predicted by that class.
    share_maps_ : ndarray of shape (n_members, n_outputs, 2)
        Slope (at least 0.1) and intercept that bring the log-odds of a member's probabilities to
        the scale of the observed shares; an output a binary task, and one a class of other tasks.
    thresholds_ : ndarray of shape (n_tasks,)
        Of binary tasks, on the probability of the positive class; NaN for others.
    classes_ : list of ndarray of shape (n_classes,), or one ndarray if `y` was 1-D
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int
        Where `X` has features.

    See Also
    --------
    PortfolioRegressor, PortfolioEstimator : Of regression tasks, and of any mix.
    GroupedMTLClassifier : The paper's method, one way among the members.
    sklearn.ensemble.StackingClassifier : Of a single task, with a model of the members.

    Notes
    -----
    Members see encoded labels: 0, 1, ... in the order of `classes_`, but 1 for the positive class
    of a binary task (whatever `pos_label` members name: the first one counts for all). What they
    say of classes, as `class_weight`, speaks of these. `X` is handed to members as it is, so that
    a pipeline may fill in missing values.

    A member may balance classes or not, and be over-confident or not. So each is brought, a task
    at a time, to one scale by a monotone map, Platt scaling on log-odds; then the weights of
    members for task t maximise the (class-balanced) likelihood of the held-out labels, pulled
    towards equal weights by as much as two samples of the rarest class would.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skgroup import MultiTaskNet, PortfolioClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] * X[:, 2] > 0])
    >>> members = [
    ...     ("net", MultiTaskNet(max_epochs=60, lr=0.02)), ("linear", LogisticRegression())
    ... ]
    >>> clf = PortfolioClassifier(members, random_state=0).fit(X, Y)
    >>> clf.serving_weights_.shape
    (2, 2)
    >>> bool(clf.serving_weights_[1, 0] > 0.9)  # no linear model learns a product
    True
    >>> clf.get_params()["linear__C"]
    1.0
    """

    task_types = AUTO
    _of_numbers, _of_any = "PortfolioRegressor", "PortfolioEstimator"
    _sort = "classifier"
    _sorts = True, False
    _grouped = GroupedMTLClassifier

    def __init__(
        self,
        members: list[tuple[str, Any]] | None = None,
        *,
        cv: Any = 5,
        threshold: Any = "tuned",
        threshold_scoring: Any = "f1",
        refit: bool = True,
        checkpoint: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.members = members
        self.cv = cv
        self.threshold = threshold
        self.threshold_scoring = threshold_scoring
        self.refit = refit
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
