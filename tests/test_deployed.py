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


def test_what_is_no_net_is_refused_with_what_to_do(X):
    Y = np.nan_to_num(X[:, :2]) > 0
    forest, pipe = RandomForestClassifier(3), make_pipeline(StandardScaler(), small(MLP))
    for member in forest, pipe:
        members = [("net", small()), ("other", member)]
        fitted = PortfolioClassifier(members, cv=2, random_state=0).fit(np.nan_to_num(X), Y)
        with pytest.raises(TypeError, match=r"(?s)Member 'other' .* must be a net.*other='drop'"):
            fitted.to_module()


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
    with pytest.raises(Exception, match="data-dependent") as caught:
        torch.export.export(module, (torch.from_numpy(X[:3]),), dynamic_shapes=BATCH)
    assert any("The module Branching of MultiTaskNet" in note for note in caught.value.__notes__)


# -- export ------------------------------------------------------------------------------------

ARCHITECTURES = [
    SharedBottom,
    MMoE,
    MultiLevelMMoE,
    CrossStitch,
    PLE,
    AdaTT,
    AdaTTSp,
    MLP,
    SmallCNN,
    ResNet18,
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


@pytest.fixture(scope="module")
def portfolio(X, Y):
    members = [("net", small()), ("groups", GroupedMTLEstimator(small(MLP), n_groups=2))]
    return PortfolioEstimator(members, task_types={"chance": "soft"}, cv=2, random_state=0).fit(
        X, Y
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda module: module.__name__)
def test_every_architecture_is_exported_with_a_batch_of_any_size(X, architecture):
    inputs, params = X, {}
    Y = np.column_stack([X[:, 0] > 0, np.digitize(X[:, 1], [-1, 1])])
    if architecture in (SmallCNN, ResNet18):
        inputs = np.random.default_rng(0).normal(size=(40, 3, 16, 16)).astype(np.float32)
        Y = Y[:40]
        params = {"module__input_shape": (3, 16, 16)} if architecture is SmallCNN else {}
    module = small(architecture, max_epochs=1, **params).fit(inputs, Y).to_module()
    x = torch.from_numpy(inputs)
    program = torch.export.export(module, (x[:3],), dynamic_shapes=BATCH).module()
    for n in (1, 2, 7):
        torch.testing.assert_close(program(x[:n]), module(x[:n]), atol=1e-6, rtol=1e-6)


def test_exported_program_runs_by_torch_alone(X, portfolio, tmp_path):
    module = portfolio.to_module("prediction")
    x = torch.from_numpy(X[:7])
    program = torch.export.export(module, (x,), dynamic_shapes=BATCH)
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


def run_onnx(module, x, path):
    """What onnxruntime makes of 1, 2 and 7 rows beside what the module makes, and the metadata."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(module, (x[:3],), dynamic_shapes=BATCH, dynamo=True, verbose=False)
    program.model.metadata_props.update(module.metadata)
    program.save(path)
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    for n in (1, 2, 7):
        (made,) = session.run(None, {given.name: x[:n].numpy()})
        np.testing.assert_allclose(made, module(x[:n]).numpy(), atol=1e-5, rtol=1e-6)
    return session.get_modelmeta().custom_metadata_map


def test_onnx_of_a_portfolio(X, portfolio, tmp_path):
    module = portfolio.to_module()
    assert run_onnx(module, torch.from_numpy(X), tmp_path / "m.onnx") == module.metadata


def test_onnx_of_a_net_of_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    Y = np.column_stack([images[:, 0, 0, 0] > 127, images[:, 0, 1, 1] > 127])
    fitted = small(SmallCNN, module__input_shape=(1, 8, 8)).fit(images, Y)
    run_onnx(fitted.to_module(), torch.from_numpy(images), tmp_path / "m.onnx")


def test_onnx_of_experts(X, tmp_path):
    fitted = small(AdaTT).fit(X, np.column_stack([X[:, 0] > 0, np.digitize(X[:, 1], [-1, 1])]))
    run_onnx(fitted.to_module("prediction"), torch.from_numpy(X), tmp_path / "m.onnx")
