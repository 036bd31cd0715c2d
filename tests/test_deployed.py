"""`to_module`: fitted estimators as plain torch modules, which run where this package is not."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from netting import refuses
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioClassifier,
    PortfolioEstimator,
    PortfolioRegressor,
)
from skgroup.nn import (
    MLP,
    PLE,
    AdaTT,
    AdaTTSp,
    CrossStitch,
    MMoE,
    MultiLevelMMoE,
    ResNet18,
    SharedBottom,
    SmallCNN,
    TabM,
)

BATCH = ({0: torch.export.Dim("batch")},)

# torch 2.6 warns of its own doing while it exports.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Attempted to insert a get_attr Node:UserWarning",
    "ignore:Node .* does not reference an nn.Module:UserWarning",
    "ignore:Additional .* warnings suppressed about get_attr:UserWarning",
)


def small(module=TabM, **params):
    sizes = {"module__n_members": 3, "module__hidden_units": (8,)} if module is TabM else {}
    return MultiTaskNet(module, **{"max_epochs": 3, "random_state": 0, **sizes, **params})


@pytest.fixture(scope="module")
def X():
    X = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    X[::7, 2] = np.nan
    return X


@pytest.fixture(scope="module")
def Y(X):
    """Every kind, with names: strings, three classes, numbers far from 0, probabilities."""
    return pd.DataFrame(
        {
            "sign": pd.Categorical(np.where(X[:, 0] > 0, "yes", "no"), ["yes", "no"], ordered=True),
            "level": np.array(["low", "mid", "high"])[np.digitize(X[:, 1], [-0.5, 0.5])],
            "size": 100 + 10 * X[:, 3],
            "chance": 1 / (1 + np.exp(-X[:, 4])),
        }
    )


def assert_predicts_as(estimator, X):
    """The module gives what the estimator predicts, task by task, in both forms."""
    x = torch.as_tensor(X)
    module, decided = estimator.to_module(), estimator.to_module("prediction")
    made, codes = module(x).numpy(), decided(x).numpy()
    assert made.dtype == np.float32
    assert made.shape == (len(X), module.columns[-1].stop)
    assert codes.shape == (len(X), len(module.task_names))
    predicted = np.asarray(estimator.predict(X)).reshape(len(X), -1)
    for t, (name, columns, classes) in enumerate(
        zip(module.task_names, module.columns, module.classes, strict=True)
    ):
        if classes is None:
            expected = predicted[:, t].astype(float)
            for numbers in made[:, columns][:, 0], codes[:, t]:
                np.testing.assert_allclose(numbers, expected, atol=1e-6 * abs(expected).max())
            continue
        proba = estimator.task(name).predict_proba(X)
        of_outputs = proba if columns.stop - columns.start > 1 else proba[:, 1:]
        np.testing.assert_allclose(made[:, columns], of_outputs, atol=1e-6)
        labels = np.array(classes, dtype=object)[codes[:, t].astype(int)]
        np.testing.assert_array_equal(labels, predicted[:, t])


GROUPED = {
    "groups": {"n_groups": 2},
    "logits": {"n_groups": 2, "mixing": "logit"},
    "hard": {"n_groups": 3, "serving": "hard"},
    "left out": {"n_groups": 3, "min_membership": 0.34},
}


@pytest.mark.parametrize("module", [TabM, MLP])
def test_net_of_every_kind_of_task(X, Y, module):
    assert_predicts_as(small(module, task_types={"chance": "soft"}).fit(X, Y), X)


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_net_of_every_kind_of_task(X, Y, name):
    net = small(task_types={"chance": "soft"})
    assert_predicts_as(GroupedMTLEstimator(net, random_state=0, **GROUPED[name]).fit(X, Y), X)


@pytest.mark.parametrize("baseline", ["mtl", "stl", "mtl_ensemble"])
def test_baselines(X, baseline):
    args = (2,) if baseline == "mtl_ensemble" else ()
    estimator = getattr(GroupedMTLClassifier, baseline)(*args, small(), random_state=0)
    fitted = estimator.fit(X, np.nan_to_num(X[:, :3]) > 0)
    assert_predicts_as(fitted, X)
    np.testing.assert_allclose(  # binary tasks alone: of the very form of predict_proba
        fitted.to_module()(torch.from_numpy(X)).numpy(), fitted.predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("refit", [True, False])
def test_portfolio_of_nets_of_every_kind_of_task(X, Y, refit):
    members = [
        ("net", small()),
        ("groups", GroupedMTLEstimator(small(MLP), n_groups=2)),
        ("search", GridSearchCV(small(), {"max_epochs": [1]}, cv=KFold(2))),
        ("portfolio", PortfolioEstimator([("inner", small(MLP))], cv=2)),
    ]
    portfolio = PortfolioEstimator(
        members, task_types={"chance": "soft"}, cv=KFold(2), refit=refit, random_state=0
    )
    assert_predicts_as(portfolio.fit(X, Y), X)


def test_portfolio_whose_positive_class_is_the_first(X):
    Y = pd.DataFrame({"a": np.where(X[:, 0] > 0.5, "bad", "good"), "b": X[:, 1] > 0})
    net = small(pos_label={"a": "bad"})
    fitted = PortfolioClassifier([("net", net)], cv=2, random_state=0).fit(X, Y)
    assert fitted.thresholds_[0] != 0.5
    assert_predicts_as(fitted, X)


def test_regressors(X):
    Y = np.nan_to_num(X[:, :2]) * [1, 1e4] + [0, -1e4]
    assert_predicts_as(GroupedMTLRegressor(small(), n_groups=2, random_state=0).fit(X, Y), X)
    members = [("net", small()), ("plain", small(MLP))]
    assert_predicts_as(PortfolioRegressor(members, cv=2, random_state=0).fit(X, Y), X)


@pytest.mark.parametrize("y_of", [lambda X: X[:, 0] > 0, lambda X: np.digitize(X[:, 0], [-1, 1])])
def test_labels_of_one_dimension_give_a_table_of_one_task(X, y_of):
    fitted = small().fit(X, y_of(X))
    module = fitted.to_module()
    of_classes = fitted.predict_proba(X)
    expected = of_classes if of_classes.shape[1] > 2 else of_classes[:, 1:]
    np.testing.assert_allclose(module(torch.from_numpy(X)).numpy(), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*single observed class")
@pytest.mark.parametrize("grouped", [False, True])
def test_tasks_of_a_single_class_are_constant(X, grouped):
    Y = pd.DataFrame({"one": 1, "a": X[:, 0] > 0, "zero": 0, "only": "x", "same": 2.5})
    net = small(task_types={"same": "regression"})
    fitted = GroupedMTLEstimator(net, n_groups=1) if grouped else net
    fitted.fit(X, Y)
    made = fitted.to_module()(torch.from_numpy(X)).numpy()
    np.testing.assert_array_equal(made[:, [0, 2, 3, 4]], [[1, 0, 0, 2.5]] * len(X))
    np.testing.assert_allclose(made[:, 1], fitted.predict_proba(X)["a"][:, 1], atol=1e-6)
    module = fitted.to_module("prediction")
    codes = module(torch.from_numpy(X)).numpy()
    assert [module.classes[t][int(codes[0, t])] for t in (0, 2, 3)] == [1, 0, "x"]


def test_tasks_that_no_group_holds_are_their_shares(X):
    class LeavesOut(BaseEstimator):
        def fit(self, X, y=None):
            self.membership_ = self.serving_weights_ = np.eye(4)[:, :2]
            return self

    Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 3] > 1, np.digitize(X[:, 4], [-1, 1])])
    with pytest.warns(UserWarning, match="No group holds these tasks"):
        fitted = GroupedMTLClassifier(small(), LeavesOut(), random_state=0).fit(X, Y)
    assert_predicts_as(fitted, X)


def test_nonlinearity_of_the_user(X):
    Y = X[:, :2] > 0
    net = small(predict_nonlinearity=torch.sigmoid)
    for estimator in net, GroupedMTLClassifier(net, n_groups=2, mixing="logit", random_state=0):
        assert_predicts_as(estimator.fit(X, Y), X)


def test_images_of_bytes_and_inputs_by_name():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    Y = np.column_stack([images.mean((1, 2, 3)) > 127, images[:, 0, 0, 0] > 127])
    assert_predicts_as(small(SmallCNN, module__input_shape=(1, 8, 8)).fit(images, Y), images)

    class Named(nn.Module):
        def __init__(self, n_outputs):
            super().__init__()
            self.embedding, self.linear = nn.Embedding(4, 3), nn.Linear(5, n_outputs)

        def forward(self, code, x):
            return self.linear(torch.cat([self.embedding(code), x], dim=1))

    inputs = {"code": rng.integers(0, 4, 40), "x": rng.normal(size=(40, 2)).astype(np.float32)}
    fitted = small(Named).fit(inputs, Y)
    module = fitted.to_module()
    batch = {name: torch.from_numpy(value) for name, value in inputs.items()}
    np.testing.assert_allclose(module(batch).numpy(), fitted.predict_proba(inputs), atol=1e-6)


def test_module_is_a_copy_that_predicts(X, Y):
    fitted = small(task_types={"chance": "soft"}).fit(X, Y)
    module = fitted.to_module()
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in module.modules())
    x = torch.from_numpy(X)
    before = module(x)
    fitted.partial_fit(X, Y)
    assert torch.equal(module(x), before)
    assert torch.equal(pickle.loads(pickle.dumps(copy.deepcopy(module)))(x), before)


def test_weights_of_a_stack_are_each_their_own(X):
    net = small(MLP, module__hidden_units=(16,))
    stacked = GroupedMTLClassifier(net, n_groups=3, strategy="stacked", random_state=0)
    fitted = stacked.fit(X, np.nan_to_num(X) > 0)
    for tensor in fitted.to_module().state_dict().values():
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_names_and_classes_stand_on_the_module(X, Y):
    frame = pd.DataFrame(X, columns=list("abcde"))
    module = small(task_types={"chance": "soft"}).fit(frame, Y).to_module()
    assert module.task_names == ["sign", "level", "size", "chance"]
    assert module.task_types == ["binary", "multiclass", "regression", "soft"]
    assert module.classes == [["no", "yes"], ["high", "low", "mid"], None, [0, 1]]
    assert module.columns == [slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 6)]
    facts = {key: json.loads(value) for key, value in module.metadata.items()}
    assert facts["feature_names"] == list("abcde")
    assert facts["classes"] == module.classes
    assert facts["columns"] == [[0, 1], [1, 4], [4, 5], [5, 6]]


def test_codes_are_integers_where_all_tasks_have_classes(X):
    fitted = small().fit(X, np.column_stack([X[:, 0] > 0, np.digitize(X[:, 1], [-1, 1])]))
    assert fitted.to_module("prediction")(torch.from_numpy(X)).dtype == torch.int64


# -- refusals ----------------------------------------------------------------------------------


def test_rows_of_nan_that_fit_refuses_have_no_class(X):
    X = np.nan_to_num(X)
    rows = X[:4].copy()
    rows[1, 0] = np.nan
    net = MultiTaskNet(max_epochs=1, input_scaling=None, random_state=0)
    net.fit(X, np.column_stack([X[:, 0] > 0, np.arange(len(X)) % 3]))
    made = net.to_module("prediction")(torch.from_numpy(rows)).numpy()
    assert made[1].tolist() == [-1, -1]
    np.testing.assert_array_equal(made[[0, 2, 3]], net.predict(rows[[0, 2, 3]]))


def test_what_is_no_net_is_refused_with_what_to_do(X):
    Y = np.nan_to_num(X[:, :2]) > 0
    forest, pipe = RandomForestClassifier(3), make_pipeline(StandardScaler(), small(MLP))
    for member in forest, pipe:
        members = [("net", small()), ("other", member)]
        fitted = PortfolioClassifier(members, cv=2, random_state=0).fit(np.nan_to_num(X), Y)
        message = r"All members .* must be nets.* not: 'other'\. Fit again with .*other='drop'"
        with pytest.raises(TypeError, match=message):
            fitted.to_module()


@pytest.mark.usefixtures("few_trees")
def test_default_portfolio_names_all_that_are_no_nets(X):
    fitted = PortfolioClassifier(cv=2, random_state=0).fit(X[:60], X[:60, :2] > 0)
    message = "not: 'extra_trees', 'random_forest', 'boosting'. Fit again with 'members' of nets"
    with pytest.raises(TypeError, match=message):
        fitted.to_module()


def test_what_stands_outside_of_the_module_is_refused(X):
    class Shifted(MultiTaskNet):
        def infer(self, x, **fit_params):
            return super().infer(x, **fit_params) + 1

    with pytest.raises(TypeError, match="Shifted has an 'infer' of its own"):
        Shifted(MLP, max_epochs=1).fit(X, X[:, :2] > 0).to_module()
    net = small(MLP, iterator_valid__transform=torch.neg)
    grouped = GroupedMTLClassifier(net, n_groups=2, random_state=0).fit(X, X[:, :2] > 0)
    with pytest.raises(ValueError, match=r"set_params\(iterator_valid__transform=None\)"):
        grouped.to_module()


def test_form_of_output_and_fit_are_checked(X):
    with pytest.raises(NotFittedError):
        small().to_module()
    fitted = small().fit(X, X[:, :2] > 0)
    message = (
        "The 'output' parameter of to_module must be one of ['probability', 'prediction']. Got "
        "'labels'."
    )
    with refuses(ValueError, message):
        fitted.to_module("labels")


class Branching(nn.Module):
    """A step that hangs on the numbers."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        h = self.linear(x)
        return h if h.sum() > 0 else -h


def test_error_of_torch_names_the_module_that_cannot_be_exported(X):
    module = small(Branching).fit(X, X[:, :2] > 0).to_module()
    with pytest.raises(Exception, match=r"data-dependent|Dynamic control flow") as caught:
        torch.export.export(module, (torch.from_numpy(X[:3]),), dynamic_shapes=BATCH)
    if torch.__version__.startswith(("2.6.", "2.7.")):
        pytest.skip("torch before 2.8 exports by another way, whose errors bear no notes")
    assert any("The module Branching of MultiTaskNet" in note for note in caught.value.__notes__)


# -- export ------------------------------------------------------------------------------------

OF_TABLES = [
    SharedBottom,
    MMoE,
    MultiLevelMMoE,
    CrossStitch,
    PLE,
    AdaTT,
    AdaTTSp,
    MLP,
    TabM,
]
ALONE = """
import sys

sys.modules["skgroup"] = sys.modules["sklearn"] = sys.modules["skorch"] = None
import torch

facts = {"facts": ""}
program = torch.export.load("module.pt2", extra_files=facts)
module = program.module()
x, expected = torch.load("batch.pt")
for n in (1, 2, 7):
    torch.testing.assert_close(module(x[:n]), expected[:n], atol=1e-6, rtol=1e-6)
print(facts["facts"])
"""


class Several(nn.Module):
    """What several modules make of a batch, side by side: one export, which costs seconds."""

    def __init__(self, modules):
        super().__init__()
        self.modules_ = nn.ModuleList(modules)

    def forward(self, x):
        return torch.cat([module(x) for module in self.modules_], dim=1)


def exported(module, x):
    """The exported program, which gives what the module gives for a batch of any size."""
    program = torch.export.export(module, (x[:3],), dynamic_shapes=BATCH)
    run = program.module()
    for n in (1, 2, 7):
        torch.testing.assert_close(run(x[:n]), module(x[:n]), atol=1e-6, rtol=1e-6)
    return program


def assert_onnx_gives_the_same(program, module, x, path):
    """onnxruntime makes of a batch of any size what the module makes; the metadata stand in the
    file."""
    if torch.__version__.startswith("2.6."):
        pytest.skip("torch before 2.7 makes no ONNX of what it exports")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    onnx = torch.onnx.export(program, dynamo=True, verbose=False)
    facts = getattr(module, "metadata", {})
    onnx.model.metadata_props.update(facts)
    onnx.save(path)
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    for n in (1, 2, 7):
        (made,) = session.run(None, {given.name: x[:n].numpy()})
        np.testing.assert_allclose(made, module(x[:n]).numpy(), atol=1e-5, rtol=1e-6)
    assert session.get_modelmeta().custom_metadata_map == facts


@pytest.fixture(scope="module")
def portfolio(X, Y):
    """The module of a portfolio of nets and groups of nets, and its exported program."""
    members = [("net", small(MLP)), ("groups", GroupedMTLEstimator(small(MLP), n_groups=2))]
    options = {"task_types": {"chance": "soft"}, "cv": 2, "random_state": 0}
    module = PortfolioEstimator(members, **options).fit(X, Y).to_module()
    return module, exported(module, torch.from_numpy(X))


def test_every_architecture_of_tables_is_exported(X, tmp_path):
    # Scaling, and tasks of several kinds, stand in the portfolio below.
    plain, x = {"max_epochs": 1, "input_scaling": None}, torch.from_numpy(np.nan_to_num(X))
    nets = [small(module, **plain).fit(x, x[:, :2] > 0) for module in OF_TABLES]
    modules = [net.to_module() for net in nets]
    module = Several([*modules, nets[0].to_module("prediction")])
    assert_onnx_gives_the_same(exported(module, x), module, x, tmp_path / "m.onnx")


def test_every_architecture_of_images_is_exported(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    Y = images[:, 0, 0, :2] > 127
    nets = [small(SmallCNN, module__input_shape=(3, 16, 16)), small(ResNet18, max_epochs=1)]
    module = Several(net.fit(images, Y).to_module() for net in nets)
    x = torch.from_numpy(images)
    assert_onnx_gives_the_same(exported(module, x), module, x, tmp_path / "m.onnx")


def test_exported_program_runs_by_torch_alone(X, portfolio, tmp_path):
    module, program = portfolio
    x = torch.from_numpy(X[:7])
    facts = {"facts": json.dumps(module.metadata)}
    torch.export.save(program, tmp_path / "module.pt2", extra_files=facts)
    torch.save((x, module(x)), tmp_path / "batch.pt")
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(json.loads(done.stdout)["task_names"]) == module.task_names


def test_onnx_of_a_portfolio(X, portfolio, tmp_path):
    module, program = portfolio
    assert_onnx_gives_the_same(program, module, torch.from_numpy(X), tmp_path / "m.onnx")
