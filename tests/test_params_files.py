"""Files of `save_params`, and nets that were never fitted."""

import io

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Checkpoint

from skgroup import MultiTaskNet
from skgroup.training._arguments import wanted_arguments

pd = pytest.importorskip("pandas")


def table():
    """Named samples with a missing value, and tasks of every kind, one of a single class."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
    X.iloc[3, 1] = np.nan
    columns = {
        "word": np.where(X.a > 0, "yes", "no"),
        "three": np.arange(60) % 3,
        "number": X.c * 100 + 0.5,
        "flag": (X.d > 0).astype(object),
        "same": 1,
    }
    Y = pd.DataFrame(columns)
    Y.loc[4, "word"] = None
    return X, Y


def new_net(**params):
    return MultiTaskNet(
        max_epochs=2,
        module__hidden_units=(4,),
        module__n_members=2,
        balancing="uncertainty",
        pos_label={"word": "yes"},
        random_state=0,
        **params,
    )


@pytest.fixture(scope="module")
def fitted():
    with pytest.warns(UserWarning, match="single observed class"):
        return new_net().fit(*table())


def assert_answers_alike(net, other):
    X, Y = table()
    for answers in zip(net.predict_proba(X).values(), other.predict_proba(X).values(), strict=True):
        np.testing.assert_array_equal(*answers)
    pd.testing.assert_frame_equal(pd.DataFrame(net.predict(X)), pd.DataFrame(other.predict(X)))
    assert other.score(X, Y) == net.score(X, Y)


@pytest.mark.parametrize("use_safetensors", [False, True])
@pytest.mark.parametrize("container", [io.BytesIO, "path"])
def test_a_net_that_was_not_fitted_loads_another_ones_params(
    fitted, tmp_path, use_safetensors, container
):
    if use_safetensors:
        pytest.importorskip("safetensors")
    file = str(tmp_path / "net") if container == "path" else container()
    fitted.save_params(f_params=file, use_safetensors=use_safetensors)
    if container != "path":
        file.seek(0)
    other = clone(fitted).initialize()
    with pytest.raises(NotFittedError):
        other.predict(table()[0])
    other.load_params(f_params=file, use_safetensors=use_safetensors)
    assert other.device == "auto"
    assert list(other.task_names_in_) == list(fitted.task_names_in_)
    assert_answers_alike(fitted, other)


def test_training_goes_on_with_optimizer_and_history(tmp_path):
    names = ("f_params", "f_optimizer", "f_criterion", "f_history", "f_balancing")
    files = {name: str(tmp_path / name) for name in names}
    with pytest.warns(UserWarning, match="single observed class"):
        net = new_net().fit(*table())
    net.save_params(**files)
    other = new_net()
    other.load_params(**files)
    for one in (net, other):
        one.partial_fit(*table())
    assert other.history_[:, "train_loss"] == net.history_[:, "train_loss"]
    assert_answers_alike(net, other)


def test_a_checkpoint_is_loaded_as_skorch_documents(tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    with pytest.warns(UserWarning, match="single observed class"):
        net = new_net(callbacks=[checkpoint]).fit(*table())
    other = new_net()
    other.load_params(checkpoint=checkpoint)
    assert len(other.history_) == 2
    assert_answers_alike(net, other)


def test_the_file_is_a_state_dict_to_torch(fitted, tmp_path):
    fitted.save_params(f_params=tmp_path / "net")
    module = fitted.module(
        **wanted_arguments(fitted.module, fitted.learned_), hidden_units=(4,), n_members=2
    )
    module.load_state_dict(torch.load(tmp_path / "net", weights_only=True))
    for name, value in fitted.module_.state_dict().items():
        assert torch.equal(module.state_dict()[name], value)


def test_a_fitted_net_takes_the_weights_alone(fitted):
    file = io.BytesIO()
    torch.save(fitted.module_.state_dict(), file)
    file.seek(0)
    X, Y = table()
    with pytest.warns(UserWarning, match="single observed class"):
        other = new_net().set_params(random_state=1).fit(X * 2, Y)
    scaling = other.scaling_
    other.load_params(f_params=file)
    assert other.scaling_ is scaling
    for name, value in fitted.module_.state_dict().items():
        assert torch.equal(other.module_.state_dict()[name], value)


def test_weights_of_other_data_are_told_of(tmp_path):
    X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(80).reshape(40, 2) % 3
    one = MultiTaskNet(max_epochs=1).fit(X, Y)
    one.save_params(f_params=tmp_path / "one")
    one.load_params(f_params=tmp_path / "one")  # its own
    with pytest.warns(UserWarning, match="trained on other classes, scales of features than"):
        MultiTaskNet(max_epochs=1).fit(X * 2, Y + 1).load_params(f_params=tmp_path / "one")


def test_what_cannot_be_loaded_leaves_a_net_as_it_was(fitted, tmp_path):
    torch.save(fitted.module_.state_dict(), tmp_path / "weights")
    net = new_net()
    before = vars(net).copy()
    with pytest.raises(NotFittedError, match="f_params does not say what"):
        net.load_params(f_params=tmp_path / "weights")
    assert vars(net) == before
    fitted.save_params(f_params=tmp_path / "net")
    net.set_params(module__hidden_units=(3,))
    before = vars(net).copy()
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_params(f_params=tmp_path / "net")
    assert vars(net) == before
    with pytest.raises(NotFittedError):
        net.load_params(f_optimizer=tmp_path / "net")


def test_a_refused_file_leaves_a_fitted_net_as_it_was(tmp_path):
    X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(80).reshape(40, 2) % 3
    net = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=1, random_state=0).fit(X, Y)
    other = clone(net).set_params(module__hidden_units=(4, 4)).fit(X, Y)
    other.save_params(f_params=tmp_path / "deeper", f_optimizer=tmp_path / "optimizer")
    clone(net).fit(X, 2 - Y).save_params(f_params=tmp_path / "fits")
    (tmp_path / "text").write_text("no weights")
    expected, history = net.predict_proba(X), net.history_
    (tmp_path / "empty").write_text("")
    no_such = "must be such as 'save_params' writes"
    for files, kind, message in (
        ({"f_params": "deeper"}, RuntimeError, "state_dict"),
        ({"f_params": "fits", "f_optimizer": "optimizer"}, ValueError, no_such),
        ({"f_params": "fits", "f_history": "text"}, ValueError, no_such),
        ({"f_params": "text"}, ValueError, no_such),
        ({"f_params": "empty"}, ValueError, no_such),
    ):
        with pytest.raises(kind, match=message) as caught:
            net.load_params(**{key: tmp_path / name for key, name in files.items()})
        said = [str(caught.value), *getattr(caught.value, "__notes__", [])]
        assert f"{list(files)[-1]}=" in said[-1]
        np.testing.assert_array_equal(np.array(net.predict_proba(X)), np.array(expected))
        assert net.history_ is history
        assert len(history) == 1
