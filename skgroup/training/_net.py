"""`MultiTaskNet`: one network for many tasks, as a skorch net and scikit-learn estimator."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from skorch.callbacks import Callback
from skorch.dataset import unpack_data
from skorch.utils import to_numpy, to_tensor
from torch import Tensor, nn
from torch.utils.data import Dataset

from skgroup._compat import (
    _routing_enabled,
    clone_parametrized,
    unchanged_on_error,
)
from skgroup._fit_parts import path_of_fit
from skgroup._random import local_seed
from skgroup.nn import MLP, Dropout, TabM
from skgroup.store import NOT_KEPT, RunningFit, running_fit
from skgroup.tasks import (
    AUTO,
    CLASSES,
    MISSING,
    REGRESSION,
    OutputLayout,
    TargetScaling,
    by_task_key,
    by_task_names,
    join_outputs,
    positive_codes,
    task_label,
)
from skgroup.training._arguments import named_in_errors, wanted_arguments
from skgroup.training._balanced_step import BalancedStep, check_balanced, make_balancing
from skgroup.training._batching import (
    base_of,
    batch_size_for,
    build_iterator,
    check_batches,
    check_split,
    is_prepared,
)
from skgroup.training._callbacks import (
    check_callback_names,
    check_callbacks,
    check_monitors,
    try_callbacks,
)
from skgroup.training._fit_tasks import telling
from skgroup.training._going_on import (
    building_parameters,
    check_same_scale,
    check_same_tasks,
    go_on,
)
from skgroup.training._loop import BatchLabels, StopTraining, TrainingLoop
from skgroup.training._module_trial import try_module
from skgroup.training._nonlinearity import try_nonlinearity
from skgroup.training._own_callbacks import check_files, clone_callbacks, separate_files
from skgroup.training._parameters import (
    CONSTRAINTS,
    check_classes_given,
    check_constant,
    check_net,
    check_task_weight,
    task_parameters,
    task_weights,
    weigh_classes,
)
from skgroup.training._rehearsal import (
    trial_batch,
    try_step,
)
from skgroup.training._resuming import Resuming, Trained
from skgroup.training._scaling import RobustScaling
from skgroup.training._threads import threads_for
from skgroup.training.classifier import TaskPredictorMixin
from skgroup.training.data import (
    BatchLoader,
    TaskDataset,
    as_float,
    check_inputs,
    n_samples_of,
    shape_of,
)
from skgroup.training.deployed import NetOutputs
from skgroup.training.loss import (
    MultiTaskLoss,
    fold_members,
    near_one,
)
from skgroup.training.training_data import TrainingData, check_same_types, check_training_data


def _module_has(method: str) -> Any:
    """Whether the module of a net has a method, for `available_if`."""

    def check(net: Any) -> bool:
        module = net.__dict__.get("module_", net.module)
        if not hasattr(module, method):
            name = getattr(module, "__name__", type(module).__name__)
            raise AttributeError(f"The module {name} has no {method!r}.")
        return True

    return check


class MultiTaskNet(TaskPredictorMixin, TrainingLoop):
    """One network for many tasks: a shared trunk and a head a task.

    A skorch net: the module is given as a class and its hyper-parameters by prefix
    (`module__hidden_units=(64,)`), likewise those of the optimizer, the iterators and callbacks.
    The sizes are learned from the data: the module class is built with those of the keyword
    arguments `n_features` (2-D `X`), `input_shape` (shape of one sample), `task_outputs` (tuple of
    the logits a task: 1 if binary, k for k classes) and `n_outputs` (their sum) that its
    signature takes. It maps a batch to (batch, n_outputs) logits, or to a list of tensors a task.
    A module of several members gives (batch, n_members, n_outputs): the loss is then the mean of
    theirs, and so are the probabilities.

    The loss is Σ_t w_t · (mean over the observed samples of the batch of the binary cross-entropy,
    the cross-entropy or, of a regression task, the squared error of task t). Numbers of regression
    tasks are standardised for that, and predictions come back in their units. A missing label (NaN,
    None) counts nowhere.

    Parameters
    ----------
    module : type of torch.nn.Module, or an instance, default=skgroup.nn.TabM
        An instance is copied at each `fit`, so that training starts from its weights.
    criterion : type of torch.nn.Module, default=MultiTaskLoss
        Called with the logits and the target, a dict of the tensors "codes" (batch, n_tasks),
        "values" (batch, n_tasks) where there are regression tasks (standardised) or soft ones, and
        "weight" (batch,), or (batch, n_tasks), where sample weights were given. Built with those of
        `task_outputs`, `task_types`, `task_weight` and `class_weight` that its signature takes.
        Another loss of regression tasks: `criterion__regression_loss="huber"`, or
        "absolute_error". Smoothed labels of tasks with classes: `criterion__label_smoothing=0.1`;
        data maps still hold the probability of the label itself.
    optimizer : type of torch.optim.Optimizer, default=torch.optim.AdamW
    lr : float, default=4e-3
        Learning rate.
    max_epochs : int, default=30
    batch_size : int or "auto", default="auto"
        -1 for all samples in one batch. "auto" is a 32nd of the samples that `fit` was given,
        from 16 to 256, so that few samples make as many steps an epoch as many; and 256 for
        predictions.
    task_weight : array-like of shape (n_tasks,), dict or None, default=None
        Weight of each task's loss; all one if None. A dict `{task: weight}` (column name, or
        position if `Y` has no names) weighs some tasks, the others 1; a Series is matched by the
        names of the tasks. Of tasks of different kinds too: a regression task of which nothing is
        known has loss 1 (in variances), a balanced binary one .69.
        Where the largest is not within 1e-4 and 1e4, ratios alone matter, as optimizers such as
        Adam learn nothing of losses near 0; so with a `class_weight` that is given.
    class_weight : {"balanced"}, dict or None, default="balanced"
        "balanced" weighs the positive class of a binary task by n_negative / n_positive (the
        second class, where nothing says which is positive: the ratio of the two weights is the
        same) and class k of a multiclass task by n / (n_classes · n_k). A dict `{class: weight}`
        serves every task, a dict `{task: {class: weight}}` (column name, or position if `Y` has
        no names) some of them; what is not named weighs 1.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, of all or by task (column name, or position if `Y` has
        no names): what F1, thresholds and class weights speak of. None is the last of an ordered
        categorical, and 1 or True. `classes_` stays sorted.
    task_types : str, sequence of str or dict, default="auto"
        The kind of all tasks, of each, or by task (column name, or position if `Y` has no names;
        the others are "auto"): "binary", "multiclass", "regression", "soft" or "auto"; a Series is
        matched by the names of the tasks. "auto" takes floats that are not all whole numbers for a
        regression task, all else for classes. The labels of a "soft" task are probabilities of its
        class 1, numbers in [0, 1]; its classes are 0 and 1, and it is predicted as a binary one. A
        label p counts as two, 1 that weighs p and 0 that weighs 1 - p, in the loss
        (cross-entropy), in `class_weight` and in scores of probabilities; in F1, and wherever
        labels are wanted, it is 1 above 0.5. A data map holds 1 - abs(predicted - p) of it.
    balancing : {"uncertainty", "gradnorm", "pcgrad"}, Balancing, torch.nn.Module or None, \
            default=None
        How each training step weighs the tasks, beside `task_weight`, which multiplies what comes
        out: `skgroup.training.balancing.UncertaintyWeighting`, `GradNorm` or `PCGrad`, parameters
        by prefix (`balancing__alpha=0.5`); or a `Balancing` of the user's, a class or an instance;
        or any torch module that turns the inner products (n_tasks, n_tasks) of the tasks' gradients
        into weights, as those of the package torchjd (`torchjd.aggregation.UPGradWeighting()`).
        All but "uncertainty" cost a backward pass a task, and ask which parameters the tasks share,
        as `InterTaskAffinity` does. Losses in `history_` are those without balancing.
    input_scaling : {"robust"} or None, default="robust"
        "robust" brings features to median 0 and quartiles 1 apart and clips them smoothly, by
        statistics of the training samples that are a part of the net; missing values (NaN) are
        taken, as the median and with a further column for the module that says where they are.
        For samples that are vectors, in whatever container; others are left as they come. None
        leaves all as they come, and refuses NaN.
    train_split : callable, default=None
        As in skorch, e.g. `skorch.dataset.ValidSplit(0.2)`, for callbacks that need a validation
        loss (`skorch.callbacks.EarlyStopping`). None trains on all samples.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is such a device, else the CPU.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" runs the module under torch's autocast (mixed precision), which is faster on
        GPUs that have it; weights, loss and probabilities stay float32.
    random_state : int, RandomState or None, default=None
        Determines the initial weights, the order of samples and dropout. The global random state
        is neither used nor changed.
    verbose : int, default=0
        1 prints a line an epoch.
    iterator_train, iterator_valid : type, default=BatchLoader
        Any class that is called like torch's DataLoader, which is used for data that is not in
        memory. Training shuffles (`iterator_train__shuffle`).
    dataset : TaskDataset
        Of skgroup's own; to be left as it is. A torch Dataset is given as `X`.
    predict_nonlinearity : callable, "auto" or None, default="auto"
        Turns the module's output (batch, n_outputs) into probabilities. "auto" is the sigmoid of
        binary tasks, the softmax of multiclass ones and nothing of regression tasks, None takes
        the output as it is.
    callbacks : list of skorch.callbacks.Callback, or of pairs (name, Callback), default=None
        As in `skorch.NeuralNet`. Estimators that train several nets (specialists, members, those
        of relations) give each its own, see Notes.
    warm_start, compile, use_caching, torch_load_kwargs
        As in `skorch.NeuralNet`.
    checkpoint : path, CheckpointFolder or None, default=None
        A folder in which a running `fit` or `partial_fit` keeps where it is, at most every 30
        seconds: weights, optimizer, random states, the position in the epoch, history, the state
        of callbacks. The same call, started again after its process was killed, goes on from
        there, and ends with the same numbers as one that was never killed; see
        `skgroup.store.CheckpointFolder`. Nets that other estimators train are kept by the
        `checkpoint` of these.
    **kwargs
        Parameters by prefix.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network.
    balancing_ : skgroup.training.balancing.Balancing
        With what it has learned; only where there is a `balancing`. skorch's `Checkpoint`, and
        `save_params`, keep it where `f_balancing` names a file.
    classes_ : list of ndarray of shape (n_classes,), or one ndarray if `y` was 1-D
        The labels of each task; None for a regression task.
    n_tasks_ : int
    constant_codes_ : ndarray of shape (n_tasks,)
        -1; of a task of which a single class was met, and so nothing is learned, the position of
        that class in `classes_`; 0 of a regression task with a single number.
    task_types_ : tuple of str
        The kind of each task: "binary", "multiclass", "regression" or "soft".
    task_outputs_ : tuple of int
        Outputs of each task that is learned.
    target_scaling_ : TargetScaling
        Mean and standard deviation of each regression task: `location` and `scale`, (n_tasks,).
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int
        Number of features (of channels, for images).
    input_shape_ : tuple of int
        Shape of one sample.
    scaling_ : RobustScaling or None
        The scaling of the features, with its statistics.
    history_ : skorch.history.History
        Losses and times of every epoch.
    name_ : str
        What the net is called in the fit that trains it, for callbacks to say: "" of a net that is
        fitted by itself, "relation", "specialist 0", "member tabm, fold 2/specialist 1". In workers
        of a search (`GridSearchCV(n_jobs=2)`) it begins with "process" and a number.

    See Also
    --------
    MultiTaskNet.stg_mtl : A plain net trained the plain way, as in STG-MTL.

    Notes
    -----
    The defaults were chosen on three tables of numbers and looked at on three others: in AUC level
    with forests on five, below them on one (`benchmarks/defaults.py`). For images, give a module of
    convolutions.

    Floats become float32, ints and bools keep their type in memory and become float32 in the
    batch (an image of uint8 keeps its range of 0 to 255). float32 holds whole numbers exactly up
    to 2^24: shift or scale larger ones, like times and identifiers. An array that is mapped into
    memory (`np.load(path, mmap_mode="r")`) is read some rows, or columns, at a time, and never
    copied as a whole; of a file that is larger than the memory, `iterator_train__block_size`
    shuffles blocks of rows, as reading single rows at random would be slow. Inputs may be a torch
    `Dataset` too, with `Y` beside it, or yielding `(x, labels)`; samples are then drawn by
    torch's DataLoader (`iterator_train__num_workers`, ...).

    Images are augmented by `iterator_train__transform`, any callable that takes one sample (images
    CHW, uint8 where `X` is) and keeps its shape and type, e.g.
    `torchvision.transforms.v2.Compose([RandomHorizontalFlip(), RandomCrop(32, padding=4)])`. It
    is called sample by sample for training batches only, from the random state of the net; data
    maps and affinities then describe the augmented samples. What prediction needs too (resizing,
    scaling) belongs in a Dataset or the module.

    A callback is made anew for each net of an estimator that trains several, as a clone, but what
    its parameters hold is not copied: a list, an open file or a logger that it is given is shared
    by all nets of a process. `net.name_` says which net it is called for. Files of callbacks with
    a `dirname` or `log_dir`, with parameters `f_...`, or with a writer of TensorBoard's go to a
    folder of that name inside. In other processes (`n_jobs`) a callback is a copy, which comes
    back in `callbacks_` of the net. Nets with callbacks are trained one after another, as no
    stack calls them. `set_callbacks` is of another sort of callbacks, scikit-learn's (from 1.9
    on): `ProgressBar` and `ScoringMonitor` hear of each epoch.

    An interruption of `fit` or `partial_fit` (Ctrl-C) is raised, and the net keeps what it has
    learned: `predict` and `partial_fit` work. A KeyboardInterrupt that a callback raises itself,
    as skorch's EarlyStopping does, ends training as if `max_epochs` were reached. After an error,
    the net is as it was before.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > X[:, 2]])
    >>> net = MultiTaskNet(max_epochs=20, lr=0.01, random_state=0).fit(X, Y)
    >>> net.predict(X[:3]).shape
    (3, 2)
    >>> bool(net.score(X, Y) > 0.9)
    True
    """

    # What skorch sets, named for the type checker.
    module_: Any
    criterion_: Any
    seed_: int
    learned_: dict[str, Any]
    callbacks_: list[tuple[str, Any]]
    device: Any
    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS
    scaling_: RobustScaling | None = None
    target_scaling_: TargetScaling
    # Class and task weights of the loss of a validation part that lacks labels of some task.
    valid_weight_: Any = None
    name_ = ""

    def __init__(
        self,
        module: Any = TabM,
        *,
        criterion: Any = MultiTaskLoss,
        optimizer: Any = torch.optim.AdamW,
        lr: float = 4e-3,
        max_epochs: int = 30,
        batch_size: int | str = "auto",
        task_weight: Any = None,
        class_weight: Any = "balanced",
        pos_label: Any = None,
        task_types: Any = AUTO,
        balancing: Any = None,
        input_scaling: str | None = "robust",
        train_split: Any = None,
        device: Any = "auto",
        precision: str = "float32",
        random_state: Any = None,
        verbose: int = 0,
        iterator_train: Any = BatchLoader,
        iterator_valid: Any = BatchLoader,
        dataset: Any = TaskDataset,
        callbacks: Any = None,
        predict_nonlinearity: Any = "auto",
        warm_start: bool = False,
        compile: Any = False,
        use_caching: Any = "auto",
        torch_load_kwargs: Any = None,
        checkpoint: Any = None,
        **kwargs: Any,
    ) -> None:
        self.task_weight = task_weight
        self.class_weight = class_weight
        self.pos_label = pos_label
        self.task_types = task_types
        self.balancing = balancing
        self.input_scaling = input_scaling
        self.precision = precision
        self.random_state = random_state
        self.checkpoint = checkpoint
        super().__init__(
            module=module,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            train_split=train_split,
            device=device,
            verbose=verbose,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            dataset=dataset,
            callbacks=callbacks,
            predict_nonlinearity=predict_nonlinearity,
            warm_start=warm_start,
            compile=compile,
            use_caching=use_caching,
            torch_load_kwargs=torch_load_kwargs,
            **kwargs,
        )

    @classmethod
    def stg_mtl(cls, module: Any = MLP, **params: Any) -> MultiTaskNet:
        """A net with the settings of STG-MTL: a plain net, trained the plain way.

        No scaling of features, Adam with a learning rate of 1e-3, batches of 128, 50 epochs,
        balanced classes.

        Parameters
        ----------
        module : type of torch.nn.Module, or an instance, default=skgroup.nn.MLP
        **params
            Further parameters, and other values of those above.

        Returns
        -------
        net : MultiTaskNet
        """
        recipe: dict[str, Any] = {"optimizer": torch.optim.Adam, "lr": 1e-3}
        recipe |= {"batch_size": 128, "max_epochs": 50}
        return cls(module, **{"input_scaling": None, **recipe, **params})

    def __sklearn_clone__(self) -> MultiTaskNet:
        callbacks = clone_callbacks(self)
        plain = type(self).__new__(type(self))
        plain.__dict__.update(vars(self) | dict.fromkeys(callbacks))
        cloned: MultiTaskNet = clone_parametrized(plain)
        cloned.__dict__.update(callbacks)
        return cloned

    # -- fitting -------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any) -> Any:
        """Train on all tasks.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, tensor, sparse matrix, dict or Dataset
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            Labels of each task: ints, bools, strings or the numbers of a regression task, NaN or
            None where missing. May be left out where `X` is a Dataset that yields them.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            Weights of samples, or of single labels (columns of a DataFrame are matched by the names
            of the tasks), in the loss, in `class_weight="balanced"` and in the standardisation of
            numbers; a weight of k is as good as k repeats, and a label of weight 0 as a missing
            one. In the scaling of features a sample has the mean of the weights of its labels.
        **fit_params
            Given to the module's `forward`, as in skorch.

        Returns
        -------
        self : MultiTaskNet

        Raises
        ------
        ValueError
            Before any training, if a parameter, `X`, `y` or the module's output is not right;
            after the epoch, if its loss was not finite. The net is then as it was before.
        KeyboardInterrupt
            If interrupted; the net keeps what it has learned so far.
        """
        with unchanged_on_error(self):
            data = self._check_data(X, y, sample_weight)
            interruption = self._learn(data, fit_params, seeded=False)
        if interruption is not None:
            raise interruption
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> Any:
        """Train for `max_epochs` more epochs, from the present weights.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; labels must be among the classes that the first call saw.
        classes : list of ndarray, one a task, or ndarray, default=None
            All classes, in a first call whose `y` may lack some; None of a regression task.
        **fit_params
            Given to the module's `forward`, as in skorch.

        Returns
        -------
        self : MultiTaskNet
        """
        first = not self.initialized_
        if classes is not None:
            classes = _classes_given(classes, y)
        if not first:
            if classes is not None:
                self._check_known(classes)
            classes = self.task_classes_
        with unchanged_on_error(self):
            data = self._check_data(X, y, sample_weight, classes=classes, reset=first)
            interruption = self._learn(data, fit_params, seeded=not first)
        if interruption is not None:
            raise interruption
        return self

    def _learn(
        self, data: TrainingData, fit_params: dict[str, Any], *, seeded: bool
    ) -> BaseException | None:
        """Build and train, or go on with what `partial_fit` has built; an interruption is handed
        back."""
        earlier: list[Any] = []
        if self._goes_on(seeded):
            earlier = [part.state_dict() for part in self._trained_parts()]
            earlier += [seeded and self.seed_, len(self.history_)]
        with running_fit(self.checkpoint, self, data, fit_params, earlier) as running:
            if not seeded:
                (self.seed_,) = running.draw_seeds(self.random_state, 1)
            self._prepare(data, resume=seeded, fit_params=fit_params)
            interruption = self._train_or_undo(data, checkpoint=running, **fit_params)
            running.keep = interruption is not None
        return interruption

    def _check_known(self, classes: list[NDArray]) -> None:
        """Refuse classes of a later partial_fit that are not those of the first."""
        for t, (of_task, known) in enumerate(zip(classes, self.task_classes_, strict=False)):
            new = [label for label in of_task.tolist() if label not in known.tolist()]
            if new or len(classes) != len(self.task_classes_):
                names = getattr(self, "task_names_in_", None)
                raise ValueError(
                    "The 'classes' of partial_fit must be those of the first call, "
                    f"{known.tolist()} for {task_label(names, t)}. Got {of_task.tolist()}, of "
                    f"{len(classes)} tasks."
                )

    def _train_or_undo(
        self, data: TrainingData, *, checkpoint: RunningFit, **fit_params: Any
    ) -> BaseException | None:
        """Train; an interruption is handed back, for what was learned to be kept.

        After an error, module, optimizer and history, which may be those of an earlier fit
        (`partial_fit`, `warm_start`) and are trained in place, are as they were before.
        """
        with self._untrained_on_error() if len(self.history_) else nullcontext():
            try:
                self._train(data, checkpoint=checkpoint, **fit_params)
            except KeyboardInterrupt as error:
                return error
        return None

    def _validate_params(self) -> None:
        check_net(self)

    def _check_data(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        classes: list[NDArray] | None = None,
        reset: bool = True,
    ) -> TrainingData:
        """Check parameters and data; nothing is trained or changed but what `X` looks like."""
        self._validate_params()
        types = self.task_types if reset else self.task_types_
        if reset and classes is not None and isinstance(types, str) and types == AUTO:
            types = [CLASSES if len(of_task) else REGRESSION.name for of_task in classes]
        # Further training knows the tasks; names decide which column is which.
        data = check_training_data(
            self,
            X,
            y,
            sample_weight,
            reset=reset,
            classes=classes,
            names=getattr(self, "task_names_in_", None) if self._goes_on(not reset) else None,
            pos_label=self.pos_label,
            constant=None if reset else self.constant_codes_,
            task_types=types,
        )
        if not reset:
            data = replace(data, table=replace(data.table, positive=self.positive_codes_))
            check_constant(self, data.table)
        else:
            if classes is not None:
                check_classes_given(classes, data.table)
            if not data.table.learnable.any():
                raise ValueError(
                    f"The 'classes' of some task must be at least two. Got {classes!r}."
                )
        return weigh_classes(self, data).learnable()

    def _take_data(self, data: TrainingData, *, weighted: bool) -> TrainingData:
        """Data that another estimator has checked, by this one's parameters."""
        self._validate_params()
        table = data.table
        check_same_types(self, table)
        positive = positive_codes(
            table.classes,
            table.names,
            self.pos_label,
            table.ordered,
            table.constant,
            table.task_types,
        )
        table = replace(table, positive=positive)
        weight = data.sample_weight if weighted else None
        return weigh_classes(self, replace(data, table=table, sample_weight=weight))

    def keep_tasks(self, tasks: NDArray[np.intp], n_tasks: int, task_names: Any = None) -> None:
        """Change the parameters to be those of some of the tasks.

        Parameters
        ----------
        tasks : ndarray of int
            Positions of the tasks that stay.
        n_tasks : int
            The number of all tasks.
        task_names : ndarray of shape (n_tasks,) of str, default=None
        """
        if self.task_weight is not None:
            self.task_weight = check_task_weight(self, n_tasks, task_names)[tasks]
        for name, value in task_parameters(self).items():
            self.set_params(**{f"module__{name}": [value[t] for t in tasks]})
        keys = {t: i for i, t in enumerate(tasks)}
        if task_names is not None:
            keys = {task_names[t]: task_names[t] for t in tasks}
        if isinstance(self.pos_label, Mapping):
            given = by_task_key(self.pos_label, task_names)
            self.pos_label = {keys[t]: value for t, value in given.items() if t in keys}
        if isinstance(self.task_types, Mapping):
            given = by_task_key(self.task_types, task_names)
            self.task_types = {keys[t]: value for t, value in given.items() if t in keys}
        elif not isinstance(self.task_types, str):
            types = by_task_names(self.task_types, task_names, "The index of 'task_types'")
            self.task_types = [list(types)[t] for t in tasks]
        by_task = isinstance(self.class_weight, Mapping) and any(
            isinstance(of_task, Mapping) for of_task in self.class_weight.values()
        )
        if by_task:
            given = by_task_key(self.class_weight, task_names)
            self.class_weight = {keys[t]: value for t, value in given.items() if t in keys}

    def _train(
        self,
        data: TrainingData,
        *,
        extra_callbacks: Iterable[Callback] = (),
        checkpoint: RunningFit = NOT_KEPT,
        **fit_params: Any,
    ) -> None:
        """Train a prepared net. An interrupt passes through."""
        dataset = self.dataset_of(data)
        with (
            local_seed(self.seed_ + 1 + len(self.history_)),
            threads_for(self.module_, self.batch_size_, self.learned_.get("input_shape")),
            telling(self, data) as tellers,
        ):
            separate_files(self)
            if self.balancing is not None:
                self.balanced_step_ = BalancedStep.of_net(self)
            callbacks = self.callbacks_
            extra = [*extra_callbacks, *tellers]
            self.callbacks_ = [*callbacks, *((type(cb).__name__, cb) for cb in extra)]
            resuming = None
            try:
                if checkpoint:
                    resuming = Resuming(checkpoint, Trained.of_net(self, dataset))
                    if resuming.finished():
                        return
                try:
                    # Scoring callbacks of skorch ask the net for its device.
                    with suppress(StopTraining), self._device_resolved():
                        self.notify("on_train_begin", X=dataset, y=None)
                        self._loop(dataset, resuming, **fit_params)
                except KeyboardInterrupt:
                    with suppress(Exception):  # e.g. of EarlyStopping, before the first epoch's end
                        self.notify("on_train_end", X=dataset, y=None)
                    raise
                with suppress(StopTraining):
                    self.notify("on_train_end", X=dataset, y=None)
                if resuming is not None:
                    resuming.finish()
            finally:
                self.callbacks_ = callbacks
                _cut_graphs(self.module_)
                self.__dict__.pop("valid_weight_", None)
                self.__dict__.pop("balanced_step_", None)

    def _loop(self, dataset: TaskDataset, resuming: Resuming | None, **fit_params: Any) -> None:
        """The epochs that no earlier run has finished."""
        n_before, done = len(self.history_), 0
        if resuming is not None:
            resuming.check()
            n_before, done = resuming.begin(n_before)
            self.resuming_ = resuming
        try:
            # skorch's LoadInitState may have loaded a history just now.
            with local_seed(self.seed_ + 1 + n_before):
                self.fit_loop(dataset, None, self.max_epochs - done, **fit_params)
        finally:
            self.__dict__.pop("resuming_", None)

    def _prepare(
        self,
        data: TrainingData,
        *,
        seed: int | None = None,
        resume: bool = False,
        fit_params: dict[str, Any] | None = None,
    ) -> None:
        """Learn the tasks, build module, criterion and optimizer, try everything on little."""
        fit_params = fit_params or {}
        self.name_ = "/".join(path_of_fit())
        if seed is not None:
            self.seed_ = seed
        if not resume:
            before = vars(self).copy()
            self.__dict__.update(data.inputs)
            self._learn_tasks(data.all_tasks)
            self.selected_ = data.selected
            if not self._goes_on(resume):
                self.scaling_ = data.scaling() if self.input_scaling == "robust" else None
            self.learned_ = self._learned_arguments(data.X)
            if self._goes_on(resume):
                check_same_tasks(self, before)
        scaling = data.all_tasks.target_scaling(data.all_weight)
        if self._goes_on(resume):
            # The first samples may have held a single number of a task.
            scaling = self.target_scaling_.completed(scaling)
            check_same_scale(data, scaling.select(self._learned))
        self.target_scaling_ = scaling
        if not resume or not isinstance(self.batch_size, str):
            self.batch_size_ = batch_size_for(self.batch_size, len(data.table.codes))
        class_weight = data.class_weight
        if class_weight is not None and not isinstance(self.class_weight, str):
            class_weight = near_one(class_weight)
        self.loss_weights_ = {
            "task_outputs": self.task_outputs_,
            "task_types": self._layout.task_types,
            "task_weight": task_weights(self, data),
            "class_weight": class_weight,
            "complete": not (data.table.codes == MISSING).any(),
        }
        with local_seed(self.seed_):
            if self._goes_on(resume):
                go_on(self)
                self._initialize_criterion(reason="")
            else:
                self.initialize()
            try_module(self, data, fit_params)
            if self.balancing is not None:
                own_loss = type(self).get_loss is MultiTaskNet.get_loss
                check_balanced(self, own_loss=own_loss)
            self._rehearse(data, fit_params)
        _cut_graphs(self.module_)  # of the trial

    def dataset_of(self, data: TrainingData) -> TaskDataset:
        """What batches are made of; numbers are standardised as in the first `fit`."""
        return data.dataset(self.target_scaling_.select(self._learned))

    def _goes_on(self, resume: bool) -> bool:
        """Whether training goes on with the module of an earlier fit."""
        return resume or (self.warm_start and self.initialized_)

    def _learned_arguments(self, X: Any) -> dict[str, Any]:
        """What modules may ask for: the sizes of inputs and outputs."""
        learned = {"task_outputs": self.task_outputs_, "n_outputs": sum(self.task_outputs_)}
        shape = shape_of(X)
        if shape is not None:
            learned["input_shape"] = shape
            if len(shape) == 1:
                n_features = shape[0] if self.scaling_ is None else self.scaling_.n_out
                learned["n_features"], learned["input_shape"] = n_features, (n_features,)
        return learned

    def _rehearse(self, data: TrainingData, fit_params: dict[str, Any]) -> None:
        """Try what a step, the batches and the callbacks will do."""
        dataset = self.dataset_of(data)
        self._set_training(False)
        with local_seed(self.seed_), self._device_resolved():
            try_step(self, dataset, trial_batch(dataset, data.largest), **fit_params)
            split_params = {} if _routing_enabled() else fit_params
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # training splits once more, and says it
                train, valid = self.get_split_datasets(dataset, None, **split_params)
            self.__dict__.pop("valid_weight_", None)
            n_batches = check_batches(self, train)
            build_iterator(self, dataset if valid is None else valid, training=False)
            try_callbacks(self, train, valid, n_batches)

    def state_now(self) -> dict[str, Any]:
        """What a copy of this net, which is in training, takes to predict as it does now."""
        _cut_graphs(self.module_)
        return {"module_": copy.deepcopy(self.module_)}

    def load_tasks(self, other: MultiTaskNet, tasks: NDArray[np.intp]) -> None:
        """Take the weights of a net of more tasks.

        A part of the module whose parameters belong to tasks (heads, gates, experts of a task) has
        a method `weights_of_tasks(tasks, outputs)` that gives those of some tasks, whose logits
        stand at `outputs`: a dict of its own parameters by name, as they are in a net of these
        tasks alone. `skgroup.nn.LinearHeads` and the architectures of `skgroup.nn` have it, a
        module of the user's may. All other weights and buffers are shared and taken whole.

        Parameters
        ----------
        other : MultiTaskNet
            A fitted net of the same module.
        tasks : ndarray of shape (n_tasks_,)
            Which of its tasks are the tasks of this net, in this order.

        Raises
        ------
        ValueError
            If the modules differ, or some tasks are left out and the module does not say which
            weights are theirs.
        """
        outputs = torch.as_tensor(other._layout.columns_of(tasks))
        state = other.module_.state_dict()
        for name, part in other.module_.named_modules():
            if hasattr(part, "weights_of_tasks"):
                prefix = f"{name}." if name else ""
                for key, _ in part.named_parameters(recurse=False):
                    del state[prefix + key]
                weights = part.weights_of_tasks(torch.as_tensor(tasks), outputs)
                state.update({prefix + key: value for key, value in weights.items()})
        for name, part in self.module_.named_modules():
            if isinstance(part, Dropout):  # nets that start alike drop what they would
                state[f"{name}.state"] = part.state
        try:
            self.module_.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"{type(self.module_).__name__} cannot take the weights of a net of other tasks, "
                "which must have layers of the same sizes, and as many experts and outputs a task: "
                f"{error}"
            ) from None

    def _module_arguments(self) -> dict[str, Any]:
        return {**wanted_arguments(self.module, self.learned_), **self.get_params_for("module")}

    # -- what skorch builds --------------------------------------------------------------------

    def initialize_module(self) -> Any:
        """Build the module with the sizes that it asks for, and what weighs its tasks."""
        self.module_ = self._build_module()
        self._register_balancing(make_balancing(self))
        return self

    def _build_module(self) -> nn.Module:
        given = self.get_params_for("module")
        if self.selected_ is not None:  # a net of some tasks takes the entries that are theirs
            for name, value in task_parameters(self).items():
                given[name] = [value[t] for t in self.selected_]
        if isinstance(self.module, nn.Module) and not given:
            return copy.deepcopy(self.module)
        kwargs = {**wanted_arguments(self.module, getattr(self, "learned_", {})), **given}
        try:
            module = self.initialized_instance(self.module, kwargs)
        except (TypeError, ValueError) as error:
            name = getattr(self.module, "__name__", type(self.module).__name__)
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"The module {name} cannot be built with {kwargs}: {error}") from error
        if not isinstance(module, nn.Module):
            raise ValueError(
                "The 'module' parameter must be a class of torch.nn.Module, an instance or a "
                f"callable that builds one. Got {self.module!r}, which gives {module!r}."
            )
        return module

    def initialize_criterion(self) -> Any:
        """Build the criterion with the weights that it asks for."""
        learned = wanted_arguments(self.criterion, getattr(self, "loss_weights_", {}))
        kwargs = {**learned, **self.get_params_for("criterion")}
        with named_in_errors("criterion", self.criterion, kwargs):
            self.criterion_ = self.initialized_instance(self.criterion, kwargs)
        if not callable(self.criterion_):
            raise ValueError(
                "The 'criterion' parameter must be a class of torch.nn.Module, an instance or a "
                f"callable that builds one. Got {self.criterion!r}, which gives "
                f"{self.criterion_!r}."
            )
        return self

    def initialize(self) -> Any:
        """Build module, criterion, optimizer and callbacks; called by `fit`.

        A net that has seen no data does not know the sizes of its module: then nothing is built
        until `load_params` or `fit`.
        """
        if not hasattr(self, "learned_"):
            return self
        super().initialize()
        self.built_with_ = building_parameters(self)
        return self

    def initialize_callbacks(self) -> Any:
        """Build the callbacks; scores are given labels, not the codes that batches hold."""
        check_callback_names(self)
        with named_in_errors("callbacks", self.callbacks, self.get_params_for("callbacks")):
            super().initialize_callbacks()
        check_callbacks(self)
        if not hasattr(self, "task_classes_"):
            return self  # by set_params; `fit` builds them anew
        for _, callback in self.callbacks_:
            extractor = getattr(callback, "target_extractor", None)
            if extractor is to_numpy or isinstance(extractor, BatchLabels):
                callback.target_extractor = BatchLabels(
                    self.task_classes_,
                    self.single_output_,
                    self.constant_codes_,
                    self.target_scaling_,
                )
        check_monitors(self)
        check_files(self)
        return self

    # -- batches -------------------------------------------------------------------------------

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Inputs as a dataset, checked against those of `fit`."""
        if is_prepared(base_of(X)):
            return X
        self.check_is_fitted()
        X = check_inputs(self, X, reset=False, missing=self.scaling_ is not None)
        return super().get_dataset(X, y) if not isinstance(X, Dataset) else TaskDataset(X, y)

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Training and validation part; a validation set of the user's gets its labels encoded."""
        if y is None and is_prepared(X) and getattr(self.train_split, "stratified", False):
            y = X.target["codes"][:, 0].numpy()
        rule = (
            "The 'train_split' parameter must be None or called as train_split(dataset), and "
            "return a part of it to train on and one, None or another Dataset to validate on. "
            f"Got {self.train_split!r}"
        )
        try:
            train, valid = super().get_split_datasets(X, y, **fit_params)
        except Exception as error:  # whatever a split of the user's may raise
            raise ValueError(f"{rule}: {type(error).__name__}: {error}") from error
        if self.train_split:
            valid = check_split(self, train, valid, rule)
        return train, valid

    def _inputs_of(self, x: Any) -> Any:
        """The inputs of a batch as the module takes them, on its device."""
        x = as_float(to_tensor(x, self._device()), keep_ints=isinstance(x, dict))
        return x if self.scaling_ is None else self.scaling_(x)

    def _run_module(self, x: Any, **fit_params: Any) -> Any:
        x = self._inputs_of(x)
        if isinstance(x, dict):
            return self.module_(**self._merge_x_and_fit_params(x, fit_params))
        return self.module_(x, **fit_params)

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Logits (batch, n_outputs) of a batch, or (batch, n_members, n_outputs)."""
        with self._autocast():
            return join_outputs(self._run_module(x, **fit_params)).float()

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """The criterion of one batch; `y_true` is its target, a dict of tensors.

        Of a net of members, it sees (batch * n_members, n_outputs).
        """
        y_pred, target = fold_members(y_pred, to_tensor(y_true, self._device()))
        if not training and self.valid_weight_ is not None:
            of = self.criterion_
            return of.of_batch(y_pred, target, self.valid_weight_, of.layout, of.complete)
        return self.criterion_(y_pred, target)

    # -- looking inside ------------------------------------------------------------------------

    @available_if(_module_has("expert_weights"))
    def expert_weights(self, X: Any) -> list[NDArray[np.float64]]:
        """How much of each expert goes into each task, at every level.

        For modules that know it: `skgroup.nn.MMoE`, `MultiLevelMMoE`, `CrossStitch`, `PLE`,
        `AdaTTSp` and `AdaTT` (whose native weights are added to those of the gates, as in
        figure 3 of [1]_), and any of the user's with an `expert_weights(x)` of a batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as in `fit`.

        Returns
        -------
        weights : list of ndarray of shape (n_tasks, n_experts), one a level
            Means over the samples; 0 for a task of a single class, of which nothing is learned.
            Experts stand in the order of `expert_names`.

        Raises
        ------
        AttributeError
            If the module has no experts.
        NotFittedError
            If called before `fit`.
        ValueError
            If `X` does not fit what was seen in `fit`.

        References
        ----------
        .. [1] D. Li et al., "AdaTT: adaptive task-to-task fusion network for multitask learning
           in recommendations", KDD 2023, arXiv:2304.04959.
        """
        self.check_is_fitted()
        self._set_training(False)
        dataset = self.get_dataset(X)
        totals: list[Any] = []
        with torch.no_grad(), self._autocast():
            for batch in self.get_iterator(dataset, training=False):
                x = self._inputs_of(unpack_data(batch)[0])
                means = [weights.double().cpu() for weights in self.module_.expert_weights(x)]
                totals = totals or [torch.zeros_like(mean) for mean in means]
                for total, mean in zip(totals, means, strict=True):
                    total += mean * n_samples_of(x)
        weights = []
        for total in totals:
            weights.append(np.zeros((self.n_tasks_, total.shape[1])))
            weights[-1][self._learned] = (total / n_samples_of(dataset)).numpy()
        return weights

    @available_if(_module_has("expert_names"))
    def expert_names(self) -> list[str]:
        """Names of the experts of a level: by task, as "income #0", then the shared ones.

        Returns
        -------
        names : list of str
        """
        self.check_is_fitted()
        names = getattr(self, "task_names_in_", None)
        return self.module_.expert_names(None if names is None else list(names[self._learned]))

    def __sklearn_tags__(self) -> Any:
        """A classifier, a regressor if `task_types` or `fit` says so for all tasks, neither for a
        mix that is given."""
        tags = super().__sklearn_tags__()
        if not isinstance(self.task_types, str):
            return tags
        if {self.task_types, *getattr(self, "task_types_", ())} - {AUTO} == {REGRESSION.name}:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags(multi_label=True)
        return tags

    # -- predicting ----------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "task_classes_") and hasattr(self, "module_")

    def check_is_fitted(self, attributes: Any = None, *args: Any, **kwargs: Any) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with "
                "appropriate arguments before using this estimator."
            )
        super().check_is_fitted(attributes, *args, **kwargs)

    @property
    def _predicted_at_a_time(self) -> int:
        return self.prediction_batch_size

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        return np.concatenate([proba.numpy(force=True) for proba in self._iter_proba(X)])

    def _outputs_module(self, *, logits: bool = False) -> nn.Module:
        if type(self).infer is not MultiTaskNet.infer:
            raise TypeError(
                f"{type(self).__name__} has an 'infer' of its own, which no torch module can take "
                "over: do what it does in the module."
            )
        if self.get_params_for("iterator_valid").get("transform") is not None:
            raise ValueError(
                "What 'iterator_valid__transform' does to samples stands outside of the net: do it "
                "in the module, or set_params(iterator_valid__transform=None) and give the module "
                "of 'to_module' samples that are transformed."
            )
        return NetOutputs.of_net(self, self._layout, logits=logits)

    def _iter_proba(self, X: Any, *, logits: bool = False) -> Iterator[Tensor]:
        """Probabilities, or their logits, (batch, n_outputs), batch by batch."""
        self.check_is_fitted()
        layout = self._layout
        read = self._logits if logits else self._probability
        with threads_for(self.module_, self.batch_size_, self.learned_.get("input_shape")):
            # Scores of training batches are given logits that still know their gradient.
            for output in self.forward_iter(X):
                yield read(layout, output)

    def _probability(self, layout: OutputLayout, output: Tensor) -> Tensor:
        """Probabilities (batch, n_outputs) of the module's output, by `predict_nonlinearity`; the
        mean of those of members."""
        if self.predict_nonlinearity == "auto":
            return layout.mean_probability(output)
        proba = try_nonlinearity(self, output)
        return proba.mean(1) if proba.dim() == 3 else proba

    def _logits(self, layout: OutputLayout, output: Tensor) -> Tensor:
        """Logits (batch, n_outputs) of the probabilities."""
        if self.predict_nonlinearity == "auto":
            return layout.mean_logits(output)
        return layout.logits(self._probability(layout, output))


def _classes_given(classes: Any, y: Any) -> list[NDArray]:
    """The 'classes' of a first partial_fit, one array a task."""
    rule = (
        "The 'classes' of partial_fit must be a list of arrays, the labels of each task (None of a "
        f"regression task), or, for 1-D y, an array of labels. Got {classes!r}."
    )
    if isinstance(classes, str | Mapping | Set) or not isinstance(classes, Iterable):
        raise ValueError(rule)
    of_tasks = list(classes)
    try:
        if np.ndim(y) == 1 or (y is None and not any(np.ndim(c) for c in of_tasks)):
            of_tasks = [of_tasks]
        labelled = [c for c in of_tasks if c is not None]
        if any(isinstance(c, Set) or np.ndim(c) != 1 or len(c) == 0 for c in labelled):
            raise ValueError(rule)
        return [np.array([]) if c is None else np.unique(c) for c in of_tasks]
    except (TypeError, ValueError) as error:
        raise ValueError(rule) from error


def _cut_graphs(module: Any) -> None:
    """Detach tensors that a module has kept of its last pass: they hold all activations, and no
    module that holds them can be copied."""
    for part in module.modules() if isinstance(module, nn.Module) else ():
        holders: list[Any] = [vars(part)]
        holders += [v for v in vars(part).values() if isinstance(v, dict | list)]
        for values in holders:
            for key in values if isinstance(values, dict) else range(len(values)):
                value = values[key]
                if isinstance(value, Tensor) and not value.is_leaf:
                    values[key] = value.detach()
