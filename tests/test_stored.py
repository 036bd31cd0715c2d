"""Fitted estimators in files: nothing of them runs code, and what comes back is what was stored."""

import copy
import io
import json
import os
import pickle
import zipfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochScoring, GradientNormClipping, LRScheduler
from skorch.dataset import ValidSplit
from skorch.exceptions import DeviceWarning
from test_atomic_fit import ESTIMATORS, MASKS, NAMES, X, Y
from torch import nn

import skgroup.nn
from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioEstimator, trusted_types
from skgroup._state import StoredConstant, restored, stored
from skgroup._trusted import name_of
from skgroup.metrics import MultiTaskKFold, get_scorer
from skgroup.metrics._scorer import TaskScorer
from skgroup.nn import PLE, AdaTT, CrossStitch, MMoE, ResNet18, SmallCNN, TabM
from skgroup.relations import GradTAG, TaskGrouper
from skgroup.training._arguments import wanted_arguments

sio = pytest.importorskip("skops.io")
UntrustedTypesFoundException = sio.exceptions.UntrustedTypesFoundException


def net(**params):
    small = {"module__hidden_units": (4,), "max_epochs": 2, "random_state": 0}
    return MultiTaskNet.stg_mtl(**{**small, **params})


def assert_same(one, other, path=""):
    """Everything that two objects are made of is equal, and of the same type."""
    assert type(one) is type(other), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
        assert one.dtype == other.dtype, path
        assert one.requires_grad == other.requires_grad, path
        assert one.stride() == other.stride() or one.numel() == 0, path
    elif isinstance(one, np.ndarray) and one.dtype != object:
        assert one.dtype == other.dtype, path
        np.testing.assert_array_equal(one, other, err_msg=path)
    elif isinstance(one, torch.optim.Optimizer):
        assert_same(one.state_dict(), other.state_dict(), path)
    elif isinstance(one, torch.Generator):
        assert_same(one.get_state(), other.get_state(), path)
    elif isinstance(one, dict):
        for key in one.keys() | other.keys():
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple | np.ndarray):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{path}[{i}]")
    elif isinstance(one, type | FunctionType):
        assert one is other, path
    elif hasattr(one, "__dict__"):
        assert_same(vars(one), vars(other), f"{path}:{type(one).__name__}")
    else:
        assert one == other or (one != one and other != other), path


def answers(estimator, *data):
    """What an estimator says of data."""
    found = {}
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(estimator, method):
            of_groups = method == "predict" and isinstance(estimator, GradTAG)
            found[method] = getattr(estimator, method)(MASKS if of_groups else data[0])
    if hasattr(estimator, "score") and len(data) > 1:
        found["score"] = estimator.score(*data)
    return found


@pytest.mark.parametrize(
    ("estimator", "data"),
    [(estimator, good) for estimator, good, _ in ESTIMATORS],
    ids=NAMES,
)
def test_every_fitted_estimator_comes_back_from_a_file_without_code(estimator, data):
    """Of the list that names every public estimator (`test_atomic_fit`)."""
    fitted = clone(estimator).fit(*data)
    expected = answers(fitted, *data)
    file = sio.dumps(fitted)
    assert set(sio.get_untrusted_types(data=file)) <= set(trusted_types())
    for again in (sio.loads(file, trusted=trusted_types()), pickle.loads(pickle.dumps(fitted))):
        assert_same(again.get_params(), fitted.get_params())
        assert_same(vars(again), vars(fitted))
        assert_same(answers(again, *data), expected)


def of_all_kinds():
    """Samples with missing values, and tasks of strings, of three classes and of numbers."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(60, 4)).astype(np.float32)
    samples[3, 1] = np.nan
    tasks = np.empty((60, 4), dtype=object)
    tasks[:, 0] = np.where(samples[:, 0] > 0, "yes", "no")
    tasks[:, 1] = np.arange(60) % 3
    tasks[:, 2] = samples[:, 2].astype(float) * 100 + 0.5
    tasks[:, 3] = [bool(x > 0) for x in samples[:, 3]]
    tasks[4, 0] = tasks[5, 2] = None
    return samples, tasks


def mean_of_probabilities(net, samples, tasks):
    return float(net.forward(samples).mean())


def of_all_parts():
    """A net with callbacks, a schedule, a validation part and a balancing that learns."""
    callbacks = [
        ("mean", EpochScoring(mean_of_probabilities, lower_is_better=False)),
        ("schedule", LRScheduler("StepLR", step_size=1)),
        ("stop", EarlyStopping("train_loss", patience=9)),
    ]
    return MultiTaskNet(
        max_epochs=2,
        module__hidden_units=(4,),
        module__n_members=2,
        balancing="uncertainty",
        callbacks=callbacks,
        class_weight={3: {True: 2.0}},
        train_split=ValidSplit(4),
        random_state=0,
        verbose=0,
    )


def by_skops(fitted):
    mine = f"{__name__}.mean_of_probabilities"
    return sio.loads(sio.dumps(fitted), trusted=[*trusted_types(), mine])


def of_other_parts():
    """With a schedule that holds a function, and parts whose modules have names of their own."""
    cyclic = {"base_lr": 1e-3, "max_lr": 1e-2, "step_every": "batch", "cycle_momentum": False}
    return of_all_parts().set_params(
        callbacks=[LRScheduler("CyclicLR", **cyclic), GradientNormClipping(1.0)],
        optimizer=torch.optim.Adafactor,
        balancing="gradnorm",
    )


def by_pickle(fitted):
    return pickle.loads(pickle.dumps(fitted))


@pytest.mark.parametrize("kept", [by_skops, by_pickle])
@pytest.mark.parametrize("parts", [of_all_parts, of_other_parts])
def test_a_net_goes_on_from_where_it_was_stored(parts, kept):
    data = of_all_kinds()
    fitted = parts().fit(*data)
    again = kept(fitted)
    assert_same(vars(again), vars(fitted))
    assert_same(again.predict(data[0]), fitted.predict(data[0]))
    for one in (fitted, again):
        one.partial_fit(*data)
    for part in ("module_", "balancing_", "optimizer_"):
        assert_same(getattr(again, part), getattr(fitted, part))
    assert again.history_[:, "train_loss"] == fitted.history_[:, "train_loss"]


@pytest.mark.parametrize("estimator", [net(), GroupedMTLClassifier(net(), n_groups=2)])
def test_it_works_in_pipelines_and_searches(estimator):
    pipeline = make_pipeline(StandardScaler(), estimator)
    grid = {"standardscaler__with_mean": [True, False]}
    fitted = GridSearchCV(pipeline, grid, scoring=get_scorer("f1"), cv=MultiTaskKFold(2)).fit(X, Y)
    again = sio.loads(sio.dumps(fitted), trusted=trusted_types())
    assert_same(again.predict_proba(X), fitted.predict_proba(X))
    assert again.score(X, Y) == fitted.score(X, Y)
    assert again.best_params_ == fitted.best_params_


class Odd(nn.Module):
    """Weights of every sort: tied, frozen, of a dtype that NumPy has not, in an order of their own,
    in a dict by number; and a generator, a dtype and itself among its attributes."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_features, n_outputs)
        self.tied = [self.first]
        self.again = self.first
        self.frozen = nn.Parameter(torch.ones(n_outputs), requires_grad=False)
        self.first.weight.of_mine = torch.ones(2)
        self.register_buffer("low", torch.full((2, 3), 0.1, dtype=torch.bfloat16))
        self.register_buffer("columns", torch.arange(6.0).reshape(2, 3).T, persistent=False)
        self.register_buffer("empty", torch.zeros(0, 3, dtype=torch.int16))
        self.by_number = {(0, True): torch.arange(3), None: [torch.tensor(1.5)]}
        self.generator = torch.Generator().manual_seed(3)
        self.dtype = torch.bfloat16
        self.register_forward_hook(double)
        self.itself = None

    def forward(self, x):
        return self.again(x) * self.frozen + self.low.sum().float()


def double(module, args, output):
    return 2 * output


def test_modules_of_any_sort_are_stored():
    fitted = MultiTaskNet(Odd, max_epochs=1, random_state=0, input_scaling=None).fit(X, Y)
    expected = fitted.predict_proba(X)
    file = sio.dumps(fitted)
    mine = {f"{Odd.__module__}.{name}" for name in ("Odd", "double")}
    assert set(sio.get_untrusted_types(data=file)) - set(trusted_types()) == mine
    by_file = sio.loads(file, trusted=[*trusted_types(), *mine])
    for again in (by_file, by_pickle(fitted), copy.deepcopy(fitted)):
        assert_same(vars(again), vars(fitted))
        assert_same(again.predict_proba(X), expected)
        module = again.module_
        assert module.tied[0] is module.first is module.again
        trained = again.optimizer_.param_groups[0]["params"]
        assert any(parameter is module.first.weight for parameter in trained)
        assert module.first.weight.data_ptr() != fitted.module_.first.weight.data_ptr()


def test_a_module_that_knows_itself_is_pickled():
    fitted = MultiTaskNet(Odd, max_epochs=1, random_state=0, input_scaling=None).fit(X, Y)
    vars(fitted.module_)["itself"] = [fitted.module_]
    for again in (by_pickle(fitted), copy.deepcopy(fitted)):
        assert again.module_.itself[0] is again.module_
        assert_same(again.predict_proba(X), fitted.predict_proba(X))


def test_states_name_every_module_of_skgroup():
    for part in iter_modules(skgroup.nn.__path__, "skgroup.nn."):
        for cls in vars(import_module(part.name)).values():
            if isinstance(cls, type) and issubclass(cls, nn.Module) and cls.__module__ == part.name:
                is_base = any(sub.__module__.startswith("skgroup") for sub in cls.__subclasses__())
                assert is_base or name_of(cls), cls


@pytest.mark.parametrize("module", [ResNet18, SmallCNN, TabM, PLE, CrossStitch, AdaTT, MMoE])
def test_the_modules_of_skgroup_are_trusted(module):
    shape = (3, 8, 8) if module in (ResNet18, SmallCNN) else (4,)
    known = {"task_outputs": (1, 1), "n_outputs": 2, "n_features": 4, "input_shape": shape}
    made = module(**wanted_arguments(module, known)).eval()
    x = torch.ones(2, *shape)
    file = sio.dumps(stored({"module": made}))
    again = restored(sio.loads(file, trusted=trusted_types()))["module"]
    assert_same(again(x), made(x))


def test_an_lstm_is_asked_for():
    """torch runs one of any sizes, in memory that is not its own."""
    file = sio.dumps(stored({"module": nn.LSTM(4, 2)}))
    assert sio.get_untrusted_types(data=file)[-1] == "torch.nn.modules.rnn.LSTM"
    assert "torch.nn.modules.rnn.LSTM" not in trusted_types()


def test_a_copy_of_a_net_has_the_same_module():
    fitted = net().fit(X, Y)
    assert copy.copy(fitted).module_ is fitted.module_


# -- files that were forged --------------------------------------------------------------------


def node(loader, module, name, **more):
    return {"__loader__": loader, "__module__": module, "__class__": name, **more}


def constant(value):
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def arguments(*values):
    return node("TupleNode", "builtins", "tuple", content=[constant(value) for value in values])


def forge(file, change):
    """A file of skops with another tree."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "schema.json":
                tree = json.loads(text)
                change(tree)
                text = json.dumps(tree)
            new.writestr(name, text)
    return made.getvalue()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def state_of(tree):
    return tree["content"]["content"]


def into_the_module(tree, evil):
    state_of(tree)["module_"]["content"][0] = evil  # the class of a StoredObject


def into_its_state(tree, evil):
    state_of(tree)["module_"]["content"][1]["content"]["training"] = evil


def into_the_net(tree, evil):
    state_of(tree)["predict_nonlinearity"] = evil


def into_the_history(tree, evil):
    state_of(tree)["history_"] = evil


EVILS = {
    "skgroup.nn._resnet.ResNet18": lambda path: node(  # downloads weights
        "ConstructorFromReduceNode",
        "skgroup.nn._resnet",
        "ResNet18",
        content=arguments(2, [3, 32, 32], "DEFAULT"),
    ),
    "torch.nn.modules.linear.Identity": lambda path: node(  # called with the key, and so its hooks
        "DictNode",
        "builtins",
        "dict",
        content={"called": constant(1)},
        key_types=node(
            "ListNode",
            "builtins",
            "list",
            content=[node("ObjectNode", "torch.nn.modules.linear", "Identity")],
        ),
    ),
    "torch.optim.lr_scheduler.LambdaLR": lambda path: node(  # calls what it is given
        "TypeNode", "torch.optim.lr_scheduler", "LambdaLR"
    ),
    "os.system": lambda path: node(
        "ConstructorFromReduceNode", "os", "system", content=arguments(f"touch {path}")
    ),
    "builtins.eval": lambda path: node(
        "ConstructorFromReduceNode", "builtins", "eval", content=arguments(f"open({path!r}, 'w')")
    ),
    "builtins.exec": lambda path: node("TypeNode", "builtins", "exec"),
    "subprocess.Popen": lambda path: node("FunctionNode", "subprocess", "Popen"),
    "pickle.loads": lambda path: node("FunctionNode", "pickle", "loads"),
    "torch.load": lambda path: node(
        "ConstructorFromReduceNode", "torch", "load", content=arguments(path)
    ),
    "skorch.net.NeuralNet": lambda path: node("TypeNode", "skorch.net", "NeuralNet"),
}


@pytest.fixture(scope="module")
def stored_net():
    return sio.dumps(net().fit(X, Y))


@pytest.mark.parametrize("where", [into_the_module, into_its_state, into_the_net, into_the_history])
@pytest.mark.parametrize("name", EVILS)
def test_a_forged_file_is_refused_and_runs_nothing(stored_net, tmp_path, name, where):
    path = str(tmp_path / "it_ran")
    forged = forge(stored_net, lambda tree: where(tree, EVILS[name](path)))
    assert name in sio.get_untrusted_types(data=forged)
    with pytest.raises(UntrustedTypesFoundException, match=name):
        sio.loads(forged, trusted=trusted_types())
    assert not os.listdir(tmp_path)


def test_a_pickle_among_the_bytes_of_a_state_is_not_run(tmp_path):
    """skorch keeps one there, and loads it."""
    fitted = net().fit(X, Y)
    path = tmp_path / "it_ran"
    evil = pickle.dumps({"module_": Evil(path)})
    vars(fitted)["__cuda_dependent_attributes__"] = evil
    again = by_skops(fitted)
    assert not path.exists()
    assert_same(again.predict_proba(X), fitted.predict_proba(X))


def test_only_classes_and_known_constants_are_restored(stored_net):
    def change(tree):
        of_class = state_of(tree)["module_"]["content"]
        of_class[0] = constant("eval")

    with pytest.raises(ValueError, match=r"Only a class can be restored\. Got 'eval'"):
        sio.loads(forge(stored_net, change), trusted=trusted_types())
    state = net().__getstate__() | {"verbose": StoredConstant("eval")}
    with pytest.raises(ValueError, match="no constant 'eval'"):
        net().__setstate__(state)


def test_trusted_types_are_classes_that_load_no_pickles():
    names = trusted_types()
    assert names == sorted(set(names))
    for name in names:
        module, _, attribute = name.rpartition(".")
        cls = getattr(import_module(module), attribute)
        assert isinstance(cls, type), name
        set_state = getattr(cls, "__setstate__", None)
        assert set_state is not NeuralNet.__setstate__, name
        assert module.split(".")[0] in ("skgroup", "skorch", "torch") or name == "numpy.dtype"
        # A file can call objects, and with them what they call (`nn.Module` and its hooks).
        called = any("__call__" in vars(base) for base in cls.__mro__)
        assert not called or cls in (TaskScorer, ValidSplit), name


def test_an_optimizer_calls_nothing_that_a_file_has_put_in_the_place_of_its_dicts():
    class Group(nn.Module):
        def setdefault(self, *args):
            raise AssertionError

    state = stored({"optimizer": torch.optim.Adam(nn.Linear(2, 1).parameters())})
    state["optimizer"].state["param_groups"] = [Group()]
    with pytest.raises(ValueError, match="state of Adam must be of dicts"):
        restored(state)


def test_a_scorer_is_that_of_its_name():
    """Not what a file says of it, which could be any function and any method of an estimator."""
    scorer = get_scorer("f1", average=None)
    again = TaskScorer.__new__(TaskScorer)
    again.__setstate__({**vars(scorer), "_score_func": print, "_response_method": "set_params"})
    assert_same(vars(again), vars(scorer))


# -- machines ----------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_what_was_trained_on_a_gpu_loads_without_one():
    fitted = net().fit(X, Y)
    state = fitted.__getstate__() | {"device": "cuda"}
    parameters = state["module_"].state["_modules"]["heads"].state["_parameters"]
    weight = parameters["weight"]
    parameters["weight"] = weight._replace(how={**weight.how, "device": "cuda:7"})
    again = MultiTaskNet.__new__(MultiTaskNet)
    with pytest.warns(DeviceWarning):
        again.__setstate__(state)
    assert str(again.device) == "cpu"
    assert_same(again.predict_proba(X), fitted.predict_proba(X))


# -- what stays of the data --------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator", [net(), of_all_parts(), PortfolioEstimator([("net", net())], threshold=0.5)]
)
def test_nothing_of_single_samples_stays(estimator):
    """Those that are left out: data maps and gradients, which are asked for; see `trim`."""
    samples, tasks = of_all_kinds()

    def size(n_repeats):
        data = np.nan_to_num(np.tile(samples, (n_repeats, 1))), np.tile(tasks, (n_repeats, 1))
        one_batch = {k: -1 for k in estimator.get_params() if k.endswith("batch_size")}
        return len(pickle.dumps(clone(estimator).set_params(**one_batch).fit(*data)))

    assert abs(size(10) - size(1)) < 200


def test_what_is_asked_for_of_samples_can_be_left_out():
    grouper = TaskGrouper(net()).fit(X, Y)
    rows = grouper.transform(X)
    trimmed = by_pickle(grouper).trim()
    assert not hasattr(trimmed, "data_map_")
    of_rows = trimmed.transform(X)
    assert trimmed.get_feature_names_out().shape == (of_rows.shape[1],)
    assert of_rows.shape[1] <= 3 < rows.shape[1]
    np.testing.assert_allclose(pdist(of_rows), pdist(rows), rtol=1e-4)
    assert_same(trimmed.trim().transform(X), of_rows)

    gains = GradTAG(net(), projection_dim=5).fit(X, Y)
    size = len(pickle.dumps(gains))
    affinity = gains.affinity_
    assert len(pickle.dumps(gains.trim())) < size
    assert_same(gains.transform(X), GradTAG(net(), projection_dim=5).fit(X, Y).transform(X))
    assert gains.affinity_ is affinity
    with pytest.raises(NotFittedError, match="was trimmed"):
        gains.predict(MASKS)
    for relation in (TaskGrouper(), GradTAG()):
        with pytest.raises(NotFittedError):
            relation.trim()


# -- files of earlier versions -----------------------------------------------------------------

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("name", ["stored.pickle", "stored.skops"])
def test_files_that_an_earlier_version_wrote_predict_the_same(name):
    """`fixtures/store.py` wrote them."""
    if name.endswith("pickle"):
        grouped = pickle.loads((FIXTURES / name).read_bytes())
    else:
        grouped = sio.load(FIXTURES / name, trusted=trusted_types())
    with np.load(FIXTURES / "stored.npz") as expected:
        samples = expected["X"]
        numbers = grouped.predict(samples)[:, 2].astype(float)
        np.testing.assert_allclose(numbers, expected["numbers"], rtol=1e-4)
        for task, of_task in grouped.predict_proba(samples).items():
            np.testing.assert_allclose(of_task, expected[str(task)], atol=1e-5)
