"""`MultiTaskNet`: what `X` and `Y` may be, and what is refused before training."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from netting import Pairs, TrainingSteps, hide, refuses
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import f1_score
from skorch.callbacks import Callback, EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP
from skgroup.training.data import BatchLoader, TaskDataset

# -- inputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float32),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.uint8),
        lambda X: X.astype(np.uint16),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(">i4"),
        lambda X: X.astype(">f8"),
        lambda X: X.tolist(),
        lambda X: np.asfortranarray(X),
        lambda X: X[::-1][::-1],
        torch.as_tensor,
        lambda X: torch.as_tensor(X, dtype=torch.uint8),
        lambda X: torch.as_tensor(X, dtype=torch.bfloat16),
        pd.DataFrame,
        lambda X: pd.DataFrame(X).astype({2: np.int8, 3: np.uint16}),
        sparse.csr_matrix,
        sparse.coo_array,
        lambda X: sparse.csr_matrix(X.astype(np.uint8)),
    ],
    ids=[
        *("float32", "float16", "uint8", "uint16", "int64", "big-endian int", "big-endian float"),
        *("list", "Fortran order", "reversed twice", "tensor", "uint8 tensor", "bfloat16 tensor"),
        *("DataFrame", "DataFrame of several types", "CSR", "COO", "CSR of uint8"),
    ],
)
def test_inputs_of_every_type_give_the_same_net(digits, small_net, convert):
    X, Y = np.round(16 * digits[0][:200]), digits[1][:200]
    small_net.set_params(random_state=0)
    reference = clone(small_net).fit(X, Y)
    expected = reference.predict_proba(X)
    np.testing.assert_array_equal(small_net.fit(convert(X), Y).predict_proba(convert(X)), expected)
    if not isinstance(convert(X), pd.DataFrame):  # whose names would be missed
        np.testing.assert_array_equal(reference.predict_proba(convert(X)), expected)


def test_bools_are_zeros_and_ones(digits, small_net):
    X, Y = digits[0] > 0.5, digits[1]
    small_net.set_params(random_state=0)
    expected = clone(small_net).fit(X.astype(float), Y).predict_proba(X.astype(float))
    np.testing.assert_array_equal(small_net.fit(X, Y).predict_proba(X), expected)


class InputTypes(Callback):
    """What stands in the data set, and what batches hold."""

    def on_train_begin(self, net, X=None, **kwargs):
        self.data_, self.batches_ = X.X, set()

    def on_batch_begin(self, net, batch=None, **kwargs):
        self.batches_.add(batch[0].dtype)


class FlatLinear(nn.Module):
    """Keeps the type and the largest value of what it is given."""

    def __init__(self, n_outputs, input_shape):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(input_shape)), n_outputs)

    def forward(self, x):
        self.seen = x.dtype, x.max().item()
        return self.layer(x.flatten(1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_inputs_keep_their_type_and_memory_until_the_batch(digits, dtype):
    X, Y = (16 * digits[0]).astype(dtype).reshape(-1, 1, 8, 8), digits[1]
    types = InputTypes()
    net = MultiTaskNet.stg_mtl(FlatLinear, max_epochs=1, batch_size=-1, callbacks=[types]).fit(X, Y)
    assert types.data_.numpy().dtype == dtype
    assert np.shares_memory(types.data_.numpy(), X)
    assert types.batches_ == {types.data_.dtype}
    assert net.module_.seen == (torch.float32, 16.0)


class InPlace(MLP):
    """Works in the memory that it is given."""

    def forward(self, x):
        return super().forward(x.div_(16))


def test_module_that_works_in_place_leaves_the_inputs_alone(digits, tmp_path):
    X, Y = digits[0].astype(np.float32), digits[1]
    np.save(tmp_path / "X.npy", X)
    net = MultiTaskNet.stg_mtl(InPlace, max_epochs=1, iterator_train__shuffle=False, random_state=0)
    expected = clone(net).fit(X.tolist(), Y).predict_proba(X.tolist())
    for inputs in (X, np.load(tmp_path / "X.npy", mmap_mode="r"), torch.as_tensor(X)):
        before = np.asarray(inputs).copy()
        found = clone(net).fit(inputs, Y).predict_proba(inputs)
        np.testing.assert_array_equal(inputs, before)
        np.testing.assert_array_equal(found, expected)


def test_read_only_inputs_are_taken(digits, small_net):
    X, Y = digits[0].astype(np.float32), digits[1].copy()
    X.setflags(write=False)
    Y.setflags(write=False)
    assert small_net.fit(X, Y).predict(X).shape == Y.shape


class ByName(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.embedding = nn.Embedding(2, 4)
        self.layer = nn.Linear(68, n_outputs)

    def forward(self, pixels, which):
        return self.layer(torch.cat([pixels, self.embedding(which)], dim=1))


def test_dict_of_inputs_goes_to_the_module_by_name(digits):
    X, Y = digits
    inputs = {"pixels": X, "which": Y[:, 13]}  # ints stay ints, for embeddings
    net = MultiTaskNet.stg_mtl(ByName, max_epochs=20, lr=0.05, random_state=0)
    upside_down = f1_score(Y[:, 13], net.fit(inputs, Y).predict(inputs)[:, 13])
    assert upside_down > 0.95


class ByPosition(ByName):
    def forward(self, both):
        return super().forward(*both)


def test_datasets_may_yield_dicts_and_tuples(digits):
    X, Y = digits[0][:200].astype(np.float32), digits[1][:200]
    params = {"max_epochs": 2, "iterator_train__shuffle": False, "random_state": 0}
    inputs = {"pixels": X, "which": Y[:, 13]}
    expected = MultiTaskNet.stg_mtl(ByName, **params).fit(inputs, Y).predict_proba(inputs)
    pairs = list(zip(X, Y[:, 13], strict=True))
    for module, samples in [
        (ByName, [{"pixels": x, "which": w} for x, w in pairs]),
        (ByPosition, pairs),
    ]:
        dataset = Pairs(samples, Y)
        found = MultiTaskNet.stg_mtl(module, **params).fit(dataset).predict_proba(dataset)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_inputs_without_one_shape_forget_that_of_an_earlier_fit(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(max_epochs=1).fit(pd.DataFrame(X).add_prefix("pixel "), Y)
    assert net.n_features_in_ == len(net.feature_names_in_) == 64
    inputs = {"pixels": X, "which": Y[:, 13]}
    net.set_params(module=ByName).fit(inputs, Y)
    assert not hasattr(net, "feature_names_in_")
    assert not hasattr(net, "n_features_in_")
    assert net.predict(inputs).shape == Y.shape


def test_dataset_of_another_shape_is_refused(digits, small_net):
    X, Y = digits
    net = small_net.fit(Pairs(X, Y))
    assert net.n_features_in_ == 64
    message = "X has samples of shape (60,), but MultiTaskNet was fitted on samples of shape (64,)."
    with refuses(ValueError, message):
        net.predict(Pairs(X[:, 4:], Y))


def test_dict_of_arrays_of_different_length_is_refused(digits, small_net):
    X, Y = digits
    with refuses(ValueError, "The arrays of X differ in length: [5, 600]."):
        small_net.fit({"a": X, "b": X[:5]}, Y)


def test_torch_dataset_equals_its_arrays(digits, small_net):
    X, Y = digits[0][:200].astype(np.float32), digits[1][:200]
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    for dataset, labels in [(Pairs(X), Y), (Pairs(X, Y), None), (Pairs(X, -Y), Y)]:
        net = clone(small_net).fit(dataset, labels)
        np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)
        np.testing.assert_allclose(net.predict_proba(dataset), expected, atol=1e-6)
        assert net.score(dataset, Y) == pytest.approx(net.score(X, Y))


def test_torch_dataset_with_missing_labels_and_one_task(digits, small_net):
    X, y = digits[0][:200].astype(np.float32), hide(digits[1][:200, 12], 0.3)
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, y).predict_proba(X)
    net = small_net.fit(Pairs(X, y))
    assert expected.shape == (200, 2)
    np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)


@pytest.mark.parametrize("single", [False, True])
def test_torch_dataset_of_strings(digits, small_net, single):
    X, Y = digits[0][:200].astype(np.float32), np.where(digits[1][:200], "yes", "no").astype(object)
    Y[::7] = None
    Y = Y[:, 12] if single else Y
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, Y).predict(X)
    for labels in (Y, Y.tolist()):
        np.testing.assert_array_equal(small_net.fit(Pairs(X, labels)).predict(X), expected)


class Noisy(Pairs):
    """Draws from the global generators for each sample."""

    def __getitem__(self, i):
        return self.X[i] + torch.rand(()).item() + np.random.rand(), self.Y[i]


@pytest.mark.parametrize(
    ("make", "loaders"),
    [(Noisy, {}), (None, {"iterator_train": DataLoader, "iterator_valid": DataLoader})],
)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_torch_data_loader_leaves_the_global_random_state_alone(digits, small_net, make, loaders):
    X, Y = digits[0][:200].astype(np.float32), digits[1][:200]
    net = small_net.set_params(**loaders)
    net.fit(*((X, Y) if make is None else (make(X, Y),)))
    inputs = X if make is None else Pairs(X, Y)
    net.predict(inputs)
    net.score(inputs, Y)


def test_torch_data_loader_equals_the_own_one(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200]
    small_net.set_params(random_state=0, iterator_train__shuffle=False)
    expected = clone(small_net).fit(X, Y).predict_proba(X)
    for changes in (
        {"iterator_train": DataLoader, "iterator_valid": DataLoader},
        {"iterator_train__num_workers": 0},
    ):
        net = clone(small_net).set_params(**changes).fit(X, Y)
        np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)
        rows = sparse.csr_matrix(X)
        np.testing.assert_allclose(net.fit(rows, Y).predict_proba(rows), expected, atol=1e-6)


def test_torch_data_loader_shuffles_and_takes_samplers(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200]
    small_net.set_params(iterator_train=DataLoader, random_state=0)
    shuffled = clone(small_net).fit(X, Y)
    in_order = clone(small_net).set_params(iterator_train__shuffle=False).fit(X, Y)
    assert not np.allclose(shuffled.predict_proba(X), in_order.predict_proba(X))
    sampler = torch.utils.data.SubsetRandomSampler(range(64))
    few = clone(small_net).set_params(iterator_train__sampler=sampler).fit(X, Y)
    assert few.history_[:, "batches", :, "train_batch_size"] == [[64]] * 4


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_hold_each_sample_once(nested, drop_last):
    data = TaskDataset(torch.arange(23)[:, None], {"codes": torch.arange(23)})
    part = Subset(Subset(data, range(1, 23)), np.arange(0, 22, 2)) if nested else data
    kept = torch.arange(1, 23, 2) if nested else torch.arange(23)
    loader = BatchLoader(part, 4, shuffle=True, drop_last=drop_last)
    passes = []
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader) == (len(kept) // 4 if drop_last else -(-len(kept) // 4))
        seen = torch.cat([x[:, 0] for x, _ in batches])
        torch.testing.assert_close(seen, torch.cat([target["codes"] for _, target in batches]))
        passes.append(seen)
        assert len(seen.unique()) == len(seen)
        assert set(seen.tolist()) <= set(kept.tolist())
        assert len(seen) == (len(kept) // 4 * 4 if drop_last else len(kept))
    assert not torch.equal(*passes)
    in_order = torch.cat([x[:, 0] for x, _ in BatchLoader(part, 4)])
    torch.testing.assert_close(in_order, kept)


def test_order_of_samples_follows_the_generator():
    data = TaskDataset(torch.arange(50))
    orders = [
        BatchLoader(data, 8, shuffle=True, generator=torch.Generator().manual_seed(s)).order()
        for s in (1, 1, 2)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


# -- bad input, refused before training -----------------------------------------------------------


class Stream(IterableDataset):
    """Samples that have no index."""

    def __iter__(self):
        return iter(())


def _poisoned(X, value):
    X = X.copy()
    X[3, 5] = value
    return X


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda X, Y: (X[:100], Y),
            ValueError,
            "X and Y must have the same number of samples. Got X with 100 and Y with 600.",
        ),
        (
            lambda X, Y: (X, pd.DataFrame({"a": 1, "b": ["same"] * 600})),
            ValueError,
            "Y has a single class (1 class) in every task, so that there is nothing to learn: a "
            "classifier needs at least two classes. Got only task 0 ('a'): 1, task 1 ('b'): "
            "'same'.",
        ),
        (
            lambda X, Y: (X, np.c_[Y, np.full(600, np.nan)]),
            ValueError,
            "task 15 of Y has no label at all; every task needs labels of its classes to learn.",
        ),
        (
            lambda X, Y: (X, np.where(Y == 1, np.inf, Y)),
            ValueError,
            "task 0 of Y holds infinity, which is no class label.",
        ),
        (
            lambda X, Y: (X, None),
            ValueError,
            "requires y to be passed, but the target y is None.",
        ),
        (lambda X, Y: (_poisoned(X, np.nan), Y), ValueError, "Input X contains NaN."),
        (lambda X, Y: (torch.tensor(_poisoned(X, np.nan)), Y), ValueError, "Input X contains NaN."),
        (
            lambda X, Y: (pd.DataFrame(_poisoned(X, np.nan)), Y),
            ValueError,
            "Input X contains NaN.",
        ),
        (
            lambda X, Y: (_poisoned(X.reshape(-1, 8, 8), np.nan), Y),
            ValueError,
            "Input X contains NaN.",
        ),
        (lambda X, Y: ({"x": _poisoned(X, np.nan)}, Y), ValueError, "Input contains NaN."),
        (
            lambda X, Y: (sparse.csr_matrix(_poisoned(X, np.inf)), Y),
            ValueError,
            "Input X contains infinity or a value too large for dtype('float32').",
        ),
        (
            lambda X, Y: (_poisoned(X, -np.inf), Y),
            ValueError,
            "Input X contains infinity or a value too large for dtype('float32').",
        ),
        (
            lambda X, Y: (X[0], Y),
            ValueError,
            "X is refused: Expected 2D array, got 1D array instead:",
        ),
        (
            lambda X, Y: (np.where(X > 0, "a", "b"), Y),
            ValueError,
            "X is refused: could not convert string to float: ",
        ),
        (
            lambda X, Y: (X[:0], Y[:0]),
            ValueError,
            "X is refused: Found array with 0 sample(s) (shape=(0, 64)) while a minimum of 1 is "
            "required by MultiTaskNet.",
        ),
        (
            lambda X, Y: (X[:, :0], Y),
            ValueError,
            "X is refused: Found array with 0 feature(s) (shape=(600, 0)) while a minimum of 1 is "
            "required by MultiTaskNet.",
        ),
        (
            lambda X, Y: (X, sparse.csr_matrix(Y)),
            TypeError,
            "Sparse multilabel indicators are not supported as Y: a zero could be a label or a "
            "missing one. Pass Y.toarray().",
        ),
        (
            lambda X, Y: (Stream(), Y),
            TypeError,
            "X must not be an IterableDataset: samples are drawn by their index.",
        ),
    ],
)
def test_bad_data_is_refused_before_training(digits, small_net, change, error, message):
    steps = TrainingSteps()
    small_net.set_params(callbacks=[steps])
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        small_net.fit(*change(*digits))
    assert steps.n_steps_ == 0
    assert not hasattr(small_net, "module_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"lr": 0},
            "The 'lr' parameter of MultiTaskNet must be a float in the range (0.0, inf). Got 0 "
            "instead.",
        ),
        (
            {"max_epochs": 0},
            "The 'max_epochs' parameter of MultiTaskNet must be an int in the range [1, inf). Got "
            "0 instead.",
        ),
        (
            {"batch_size": 0},
            "The 'batch_size' parameter of MultiTaskNet must be an int in the range [1, inf), a "
            "int among {-1} or a str among {'auto'}. Got 0 instead.",
        ),
        (
            {"random_state": "seed"},
            "The 'random_state' parameter of MultiTaskNet must be an int in the range [0, "
            "4294967295], an instance of 'numpy.random.mtrand.RandomState' or None. Got 'seed' "
            "instead.",
        ),
    ],
)
def test_bad_parameters_are_refused(digits, small_net, params, message):
    with refuses(ValueError, message):
        small_net.set_params(**params).fit(*digits)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor, sparse.csr_matrix])
def test_other_number_of_features_is_refused(digits, small_net, convert):
    X, Y = digits
    net = small_net.fit(X, Y)
    message = "X has 63 features, but MultiTaskNet is expecting 64 features as input."
    for call in (net.predict, net.predict_proba, lambda X: net.score(X, Y)):
        with refuses(ValueError, message):
            call(convert(X[:, 1:]))


def test_other_shape_of_images_is_refused(digits, small_net):
    X, Y = digits
    net = small_net.fit(X.reshape(-1, 4, 4, 4), Y)
    message = (
        "X has samples of shape (4, 2, 8), but MultiTaskNet was fitted on samples of shape "
        "(4, 4, 4)."
    )
    with refuses(ValueError, message):
        net.predict(X.reshape(-1, 4, 2, 8))


def test_nan_in_X_is_refused_in_predict(digits, small_net):
    X, Y = digits
    net = small_net.fit(X, Y)
    with pytest.raises(ValueError, match=r"^Input X contains NaN\.") as refusal:
        net.predict(_poisoned(X, np.nan))
    assert "SimpleImputer" in str(refusal.value)
    assert not re.search("MultiTaskNet|GradientBoosting", str(refusal.value))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"callbacks": [EarlyStopping()]},
            "The callback EarlyStopping monitors 'valid_loss', so the 'train_split' parameter must "
            "set samples aside, e.g. skorch.dataset.ValidSplit(5). Got None.",
        ),
        (
            {"train_split": ValidSplit(5, stratified=True)},
            "The 'train_split' parameter must not be stratified where Y has several tasks. Got "
            "<skorch.dataset.ValidSplit object at ",
        ),
    ],
)
def test_splits_that_cannot_be_made_are_refused_before_training(digits, small_net, params, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        small_net.set_params(**params).fit(*digits)
    assert not hasattr(small_net, "module_")


def test_diverged_training_is_an_error_that_names_the_epoch(digits, small_net):
    X, Y = digits
    message = "The training loss of epoch {} is not finite: training has diverged, or the samples"
    for callbacks in (None, [TrainingSteps()]):
        net = clone(small_net).set_params(optimizer=torch.optim.SGD, lr=1e30, callbacks=callbacks)
        with pytest.raises(ValueError, match=f"^{message.format('[12]')}.*A lower 'lr' than 1e"):
            net.fit(X, Y)
    with pytest.raises(ValueError, match=f"^{message.format(1)} of a Dataset hold NaN"):
        small_net.fit(Pairs(_poisoned(X, np.nan).astype(np.float32), Y))


def test_labels_not_met_in_fit_count_as_wrong_in_score(mixed, small_net):
    X, Y = mixed
    known = (Y[:, 1] != 2) & (Y[:, 3] != "e")
    net = small_net.set_params(pos_label="odd").fit(X[known], Y[known])
    predicted = net.predict(X)
    expected = [
        f1_score(Y[:, 0] == "odd", predicted[:, 0] == "odd"),
        f1_score(Y[:, 1].astype(int), predicted[:, 1].astype(int), average="macro"),
        f1_score(Y[:, 2].astype(int), predicted[:, 2].astype(int)),
        f1_score(Y[:, 3].astype(str), predicted[:, 3].astype(str), average="macro"),
    ]
    assert net.score(X, Y) == pytest.approx(np.mean(expected))
    with pytest.raises(ValueError, match="holds the label 'x', which is not among the classes"):
        net.score(X, np.full_like(Y, "x"))


def test_callbacks_can_be_set_before_fit(digits):
    X, Y = digits
    scoring = EpochScoring(
        lambda net, X, y: (net.predict(X) == y).mean(), name="own", on_train=True
    )
    nets = [
        MultiTaskNet.stg_mtl(max_epochs=2, random_state=0, callbacks=[scoring]),
        MultiTaskNet.stg_mtl(max_epochs=2, random_state=0).set_params(callbacks=[scoring]),
        MultiTaskNet.stg_mtl(
            max_epochs=2, random_state=0, callbacks=[("mine", scoring)]
        ).set_params(callbacks__mine__on_train=True),
    ]
    found = [net.fit(X[:100], Y[:100]).history_[:, "own"] for net in nets]
    assert found[0] == found[1] == found[2]


def test_callbacks_of_a_fitted_net_can_be_replaced(digits):
    X, Y = digits
    stopping = {"train_split": ValidSplit(4), "callbacks": [("early", EarlyStopping(patience=1))]}
    net = MultiTaskNet.stg_mtl(max_epochs=2, **stopping).fit(X[:100], Y[:100])
    net.set_params(train_split=None, callbacks=None).fit(X[:100], Y[:100])
    net.set_params(**stopping, callbacks__early__patience=5).fit(X[:100], Y[:100])
    assert dict(net.callbacks_)["early"].patience == 5


def test_the_repr_within_others_shows_what_was_set():
    net = MultiTaskNet(module__hidden_units=(64,), lr=0.1)
    shown = " ".join(repr(GroupedMTLClassifier(net)).split())
    assert shown == (
        "GroupedMTLClassifier(estimator=MultiTaskNet(lr=0.1, module__hidden_units=(64,)))"
    )
    assert not [name for name in net.get_params() if name.startswith("_")]
