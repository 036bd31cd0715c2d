"""`TaskGrouper`: tasks described by their data maps."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skgroup._compat import (
    Interval,
    Options,
    StrOptions,
    _fit_context,
    forget_fit,
)
from skgroup._fit_parts import FitPart
from skgroup.cluster.gram import centered_gram, embed_gram
from skgroup.relations._comparable import comparable_maps
from skgroup.relations.relation import RelationMixin
from skgroup.store import CHECKPOINT, RunningFit, running_fit
from skgroup.tasks import task_label
from skgroup.training import MultiTaskNet
from skgroup.training.data_map import DataMapRecorder
from skgroup.training.engine import STRATEGIES, check_data, fit_many
from skgroup.training.processes import N_JOBS
from skgroup.training.training_data import TrainingData


class TaskGrouper(RelationMixin):
    """Describe each task by its data map; it groups none, a clusterer behind it does.

    The data map of a task holds, for each training sample, the mean μ (confidence) and the
    standard deviation σ (variability) of the probability of its true label (or of a confidence in
    its number, see Notes) over the epochs so far [2]_, as the training steps themselves computed
    it. Tasks with similar maps find the same samples easy and hard; clustering the maps groups the
    tasks [1]_.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        The net to train; `MultiTaskNet()` if None.
    source : {"mtl", "stl"}, default="mtl"
        One net on all tasks, or one net a task.
    snapshot_epochs : int, list of int or "all", default=5
        Take the maps after so many epochs, evenly spaced and ending with the last (at most
        `max_epochs` of them); or after these epochs, counted from 1; or after every epoch. Where
        a callback ends the training early, the last epoch takes the place of those not reached.
    output : {"raw", "isometric"}, default="raw"
        "raw" rows are the flattened maps (of regression tasks beside others, see Notes).
        "isometric" rows are at most n_tasks coordinates with the same distances between tasks;
        the flattened maps are then never held (but for the nets of `source="stl"` that do not
        train as a stack: theirs, until all are trained).
    ddof : {0, 1}, default=0
        σ is the root of the squared deviations over e - ddof epochs: 1 is the sample standard
        deviation, which the authors' code takes. It is 0 after a single epoch.
    random_state : int, RandomState or None, default=None
        Determines the nets. If None, the `random_state` of the estimator does.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        How the nets of `source="stl"` train: all at once with stacked parameters, one after
        another, or whichever is faster. The maps are the same to rounding.
    n_jobs : int, default=None
        Processes for the nets of `source="stl"`.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. If None, that of the estimator.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    data_map_ : ndarray of shape (n_tasks, n_snapshots, n_samples, 2)
        μ and σ of each sample, cumulative since the first epoch. With `output="isometric"` of the
        last snapshot only. 1 and 0 for a task of a single class, of which no net learns anything.
    snapshot_epochs_ : list of int
        The epochs of the snapshots.
    estimator_ : MultiTaskNet
        The trained net (`source="mtl"`).
    estimators_ : list of MultiTaskNet, one a task that is learned
        The trained nets (`source="stl"`). All start from the same seed, so that what differs
        between their maps is the task.
    embedding_ : ndarray of shape (n_tasks, n_components), n_components <= n_tasks
        The rows of `output="isometric"`.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    Notes
    -----
    Where the label of a task is missing for a sample, the probability that the net expects of it
    stands in the map: Σ_k p_k² over the classes of the task, the mean of the probability of the
    true label if the net's own beliefs hold. It depends on the sample and the task, so that two
    tasks do not look alike because the same labels, or many, are missing.

    A sample on which the net did not train (`train_split` of the estimator) is zero in every
    task's map and so counts in no distance.

    Of a regression task, the confidence in a number y that was predicted as ŷ is
    (1 − |F(ŷ) − F(y)|)³, F being the distribution function of the logistic distribution with the
    mean of the task and half its standard deviation: 1 where the prediction is right, and the less
    the farther it is off. It is the chance that three thresholds drawn from F all have ŷ and y on
    the same side. Where a number is missing, the mean of the epoch stands in; so of a soft task,
    where the confidence in a label p is 1 − |p̂ − p|, what the two distributions share.

    A confidence in numbers and a probability of classes have no common scale. In a table of both,
    the rows hold μ and σ of the regression tasks shifted and scaled, at each snapshot, to the mean
    and standard deviation that those of the tasks with classes have. `data_map_` holds what was
    recorded.

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.
    .. [2] S. Swayamdipta et al., "Dataset cartography: mapping and diagnosing datasets with
       training dynamics", EMNLP 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet, TaskGrouper
    >>> X = np.random.default_rng(0).normal(size=(100, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> grouper = TaskGrouper(MultiTaskNet(max_epochs=10), snapshot_epochs=2, random_state=0)
    >>> grouper.fit_transform(X, Y).shape
    (3, 400)
    >>> grouper.data_map_.shape
    (3, 2, 100, 2)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "source": [StrOptions({"mtl", "stl"})],
        "snapshot_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"all"}),
            "array-like",
        ],
        "output": [StrOptions({"raw", "isometric"})],
        "ddof": [Options(Integral, {0, 1})],
        "random_state": ["random_state"],
        "strategy": [StrOptions(set(STRATEGIES))],
        "n_jobs": N_JOBS,
        "checkpoint": CHECKPOINT,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        *,
        source: str = "mtl",
        snapshot_epochs: Any = 5,
        output: str = "raw",
        ddof: int = 0,
        random_state: Any = None,
        strategy: str = "auto",
        n_jobs: int | None = None,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.source = source
        self.snapshot_epochs = snapshot_epochs
        self.output = output
        self.ddof = ddof
        self.random_state = random_state
        self.strategy = strategy
        self.n_jobs = n_jobs
        self.checkpoint = checkpoint
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TaskGrouper:
        """Train the net (or nets) and record the data maps.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            Weights of samples, or of labels, in training. A data map holds every sample as it is,
            whatever it weighs; a label whose own weight is 0 is a missing one.

        Returns
        -------
        self : TaskGrouper

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right.
        """
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        data = check_data(net, X, y, sample_weight)
        epochs = self._snapshots_of(net.max_epochs)
        checkpoint = net.checkpoint if self.checkpoint is None else self.checkpoint
        with running_fit(checkpoint, self, data) as running:
            return self._fit(net, data, epochs, running)

    def _fit(
        self, net: MultiTaskNet, data: TrainingData, epochs: list[int], running: RunningFit
    ) -> TaskGrouper:
        state = net.random_state if self.random_state is None else self.random_state
        (seed,) = running.draw_seeds(state, 1)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(data.all_tasks)
        learnable, has_classes = data.all_tasks.learnable, data.all_tasks.has_classes
        self._numbers, self._classes = learnable & ~has_classes, learnable & has_classes

        single, isometric = self.source == "stl", self.output == "isometric"
        if single:
            nets = [clone(net).set_params(task_weight=None) for _ in range(data.table.n_tasks)]
            of_nets = [data.select(np.array([t])) for t in range(data.table.n_tasks)]
            names = [f"relation, {task_label(data.all_tasks.names, t)}" for t in data.tasks]
        else:
            nets, of_nets, names = [net], [data], ["relation"]

        def make_recorder(joint: bool) -> DataMapRecorder:
            embed = isometric and joint
            collector = _Embedded(self._numbers, self._classes) if embed else _Raw(len(epochs))
            return DataMapRecorder(frozenset(epochs), collector, ddof=int(self.ddof))

        nets, recorders = fit_many(
            nets,
            of_nets,
            [seed] * len(nets),
            make_recorder=make_recorder,
            strategy=self.strategy,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            description="data maps",
            checkpoint=running.child("nets"),
            names=names,
            part=FitPart.of(self),
        )
        if single:
            self.estimators_ = nets
        else:
            self.estimator_ = nets[0]
        maps: list[Any] = [recorder.on_snapshot for recorder in recorders]
        self.snapshot_epochs_ = max((m.epochs for m in maps), key=len)
        if isinstance(maps[0], _Embedded):
            self.data_map_ = maps[0].last[:, None]
            self.embedding_ = embed_gram(maps[0].gram)
            return self
        reached = [m.first(len(self.snapshot_epochs_)) for m in maps]
        of_learned = reached[0] if len(reached) == 1 else np.concatenate(reached)
        self.data_map_ = _with_constant(of_learned, learnable)
        if isometric:
            self.embedding_ = embed_gram(centered_gram(self._flat_maps()))
            self.data_map_ = self.data_map_[:, -1:].copy()
        return self

    @property
    def _n_fit_parts(self) -> int | None:
        return 1 if self.source == "mtl" else None

    def _snapshots_of(self, max_epochs: int) -> list[int]:
        wanted = self.snapshot_epochs
        if isinstance(wanted, str):
            return list(range(1, max_epochs + 1))
        if isinstance(wanted, int | np.integer):
            n = min(int(wanted), max_epochs)
            return [round((i + 1) * max_epochs / n) for i in range(n)]
        epochs = list(wanted)
        if (
            not epochs
            or not all(isinstance(e, int | np.integer) and 1 <= e <= max_epochs for e in epochs)
            or len(set(epochs)) != len(epochs)
        ):
            raise ValueError(
                "The 'snapshot_epochs' parameter of TaskGrouper must be an int, 'all' or a list of "
                f"different epochs in the range [1, max_epochs={max_epochs}]. Got {wanted!r} "
                "instead."
            )
        return sorted(int(e) for e in epochs)

    def _flat_maps(self) -> NDArray[np.float32]:
        maps = comparable_maps(self.data_map_, self._numbers, self._classes)
        return maps.reshape(self.n_tasks_, -1)

    def example_rows(
        self, n_tasks: int, n_samples: int, most: int, rng: np.random.RandomState
    ) -> tuple[NDArray[np.floating], bool]:
        net = MultiTaskNet() if self.estimator is None else self.estimator
        n_points = len(self._snapshots_of(net.max_epochs)) * n_samples
        if self.output == "isometric":
            n_points = min(n_points, n_tasks)
        n_made = min(n_points, max(1, most // (2 * n_tasks)))
        maps = rng.uniform(size=(n_tasks, n_made, 2)) * [1.0, 0.5]
        rows = maps.reshape(n_tasks, -1).astype(np.float32)
        if self.output == "isometric":
            return embed_gram(centered_gram(rows)), True
        return rows, n_made == n_points

    def _rows(self) -> NDArray:
        if hasattr(self, "embedding_"):
            return self.embedding_.copy()
        rows = self._flat_maps()  # too large to be copied
        rows.flags.writeable = False
        return rows

    def trim(self) -> TaskGrouper:
        """Forget the data maps, which have a number for each training sample, and keep the rest.

        `transform` then gives rows as with `output="isometric"`, of the same distances. For fitted
        groupers that are stored or sent; clusterers that were fitted on rows of another length
        would have to be fitted anew.

        Returns
        -------
        self : TaskGrouper
            Without `data_map_`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        if not hasattr(self, "embedding_"):
            self.embedding_ = embed_gram(centered_gram(self._flat_maps()))
        self.__dict__.pop("data_map_", None)
        return self

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains: one, or one a task.

        Parameters
        ----------
        n_tasks : int

        Returns
        -------
        n_nets : int
        """
        return n_tasks if self.source == "stl" else 1

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's interface.

        Returns
        -------
        names : ndarray of str
            As "confidence_epoch10_sample0" and "variability_epoch10_sample0"; "isometric0", ...
            with `output="isometric"`.
        """
        check_is_fitted(self)
        if hasattr(self, "embedding_"):
            return np.array(
                [f"isometric{i}" for i in range(self.embedding_.shape[1])], dtype=object
            )
        return np.array(
            [
                f"{statistic}_epoch{epoch}_sample{i}"
                for epoch in self.snapshot_epochs_
                for i in range(self.data_map_.shape[2])
                for statistic in ("confidence", "variability")
            ],
            dtype=object,
        )


class _Raw:
    """Keeps every snapshot."""

    def __init__(self, n_snapshots: int) -> None:
        self.n_snapshots = n_snapshots
        self.epochs: list[int] = []
        self.maps: Any = None

    def __call__(self, epoch: int, mean: Tensor, std: Tensor) -> None:
        if self.maps is None:
            n_samples, n_tasks = mean.shape
            self.maps = np.empty((n_tasks, self.n_snapshots, n_samples, 2), dtype=np.float32)
        _write_map(self.maps[:, len(self.epochs)], mean, std)
        self.epochs.append(epoch)

    def first(self, n_snapshots: int) -> NDArray[np.float32]:
        """Maps (n_tasks, n_snapshots, n_samples, 2). A net that stopped early has fewer
        snapshots than others; its last one stands for those that it did not reach."""
        reached = len(self.epochs)
        self.maps[:, reached:n_snapshots] = self.maps[:, reached - 1 : reached]
        return self.maps[:, :n_snapshots]


class _Embedded:
    """Adds each snapshot to the Gram matrix and keeps the last."""

    def __init__(self, numbers: NDArray[np.bool_], classes: NDArray[np.bool_]) -> None:
        self.numbers, self.classes = numbers, classes
        self.epochs: list[int] = []
        self.gram: Any = 0.0
        self.last: Any = None

    def __call__(self, epoch: int, mean: Tensor, std: Tensor) -> None:
        n_samples, n_tasks = mean.shape
        if self.last is None or len(self.last) > n_tasks:
            self.last = np.empty((n_tasks, n_samples, 2), dtype=np.float32)
        _write_map(self.last, mean, std)
        self.last = _with_constant(self.last, self.numbers | self.classes)
        rows = comparable_maps(self.last[:, None], self.numbers, self.classes)
        self.gram = self.gram + centered_gram(rows.reshape(len(rows), -1))
        self.epochs.append(epoch)


def _with_constant(maps: NDArray[np.float32], learnable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Maps (n_learnable, ..., n_samples, 2) and those of the other tasks: always right."""
    if learnable.all():
        return maps
    whole = np.zeros((len(learnable), *maps.shape[1:]), dtype=np.float32)
    whole[learnable] = maps
    whole[~learnable, ..., 0] = (maps != 0).any(axis=(0, -1))  # 0 where no net has trained
    return whole


def _write_map(out: NDArray[np.float32], mean: Tensor, std: Tensor) -> None:
    """Into (n_tasks, n_samples, 2), from two (n_samples, n_tasks)."""
    for k, values in enumerate((mean.cpu().numpy(), std.cpu().numpy())):
        for start in range(0, len(values), 512):  # few enough that a block stays in the cache
            rows = slice(start, start + 512)
            out[:, rows, k] = values[rows].T
