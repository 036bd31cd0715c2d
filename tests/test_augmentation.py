"""Images from their memory to the batch, and what augments them on the way."""

import pickle
import random
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import v2

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import MLP, SmallCNN
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity
from skgroup.training.data import BatchLoader, TaskDataset
from skgroup.training.engine import fit_many

FLIP_AND_CROP = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomCrop(8, padding=1)])


@pytest.fixture(scope="module")
def images():
    """Images (60, 3, 8, 8) of uint8 and their labels (60, 4)."""
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(60, 3, 8, 8), dtype=np.uint8)
    return X, X[:, 0, :2, :2].reshape(60, 4) > 127


def dark(x):
    """The left half of an image."""
    return torch.cat([x[..., :4], torch.zeros_like(x[..., 4:])], dim=-1)


class Watched(nn.Module):
    """Keeps what it was given, in training and else."""

    seen: dict = {True: [], False: []}  # noqa: RUF012

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.net = MLP(n_outputs, input_shape=input_shape)
        self.seen[True].clear()
        self.seen[False].clear()

    def forward(self, x):
        self.seen[self.training].append(x.clone())
        return self.net(x)


# -- memory -----------------------------------------------------------------------------------


class Memory(Callback):
    """Keeps where the inputs of a training lie, and as what."""

    seen: list = []  # noqa: RUF012

    def on_train_begin(self, net, X=None, **kwargs):
        stored = X.X
        self.seen.append((stored.dtype, stored.data_ptr(), stored.untyped_storage().nbytes()))


@pytest.mark.parametrize("as_tensor", [False, True])
def test_images_of_uint8_stay_where_they_are_until_the_batch(images, as_tensor):
    X, Y = images
    before = X.copy()
    given = torch.from_numpy(X) if as_tensor else X
    Memory.seen.clear()
    net = MultiTaskNet.stg_mtl(Watched, max_epochs=1, batch_size=16, callbacks=[Memory()])
    membership = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    GroupedMTLClassifier(net, membership, random_state=0).fit(given, Y)
    # The net and the specialists: one copy of uint8 for all of them, the caller's own.
    assert Memory.seen == [(torch.uint8, X.ctypes.data, X.nbytes)] * 2
    net.fit(given, Y).predict(given)
    assert Memory.seen[2:] == Memory.seen[:1]
    for batches in Watched.seen.values():
        assert max(len(x) for x in batches) == 16
        assert {x.dtype for x in batches} == {torch.float32}
    seen = torch.cat(Watched.seen[False][-4:]).numpy(force=True)
    np.testing.assert_array_equal(seen, X)  # value for value, 0 to 255
    np.testing.assert_array_equal(X, before)


def test_batches_of_images_are_of_uint8(images):
    data = TaskDataset(torch.from_numpy(images[0]))
    for loader in (BatchLoader(data, 7), BatchLoader(data, 7, transform=FLIP_AND_CROP)):
        assert {x.dtype for x, _ in loader} == {torch.uint8}


# -- the loader -------------------------------------------------------------------------------


def test_each_sample_is_transformed_by_random_numbers_of_its_own(images):
    X = torch.from_numpy(images[0])
    loader = BatchLoader(TaskDataset(X), 25, shuffle=True, transform=v2.RandomHorizontalFlip())
    torch.manual_seed(3)
    found = [x for x, _ in loader]
    torch.manual_seed(3)
    order, flip = torch.randperm(60), v2.RandomHorizontalFlip()
    expected = [torch.stack([flip(X[i]) for i in part]) for part in order.split(25)]
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)
    flipped = [(x != X[i]).any().item() for x, i in zip(torch.cat(found), order, strict=True)]
    assert 15 < sum(flipped) < 45


@pytest.mark.parametrize("options", [{}, {"num_workers": 0}])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_transform_may_work_in_place_and_sees_one_sample(images, shuffle, options):
    X = torch.from_numpy(images[0].copy())
    shapes = set()

    def darken(x):
        shapes.add((tuple(x.shape), x.dtype))
        return x.zero_()

    for data in (TaskDataset(X), TaskDataset(TensorDataset(X))):
        for x, _ in BatchLoader(data, 16, shuffle=shuffle, transform=darken, **options):
            assert not x.any()
    assert shapes == {((3, 8, 8), torch.uint8)}
    np.testing.assert_array_equal(X, images[0])


def test_dicts_and_rows_of_numbers_can_be_transformed():
    X = {"a": torch.arange(10.0)[:, None], "b": torch.arange(10)}
    loader = BatchLoader(TaskDataset(X), 4, transform=lambda x: {"a": x["a"] + x["b"], "b": x["b"]})
    found = torch.cat([x["a"] for x, _ in loader])
    torch.testing.assert_close(found, 2 * X["a"])
    rows = BatchLoader(TaskDataset(X["a"]), 4, transform=lambda x: -x)
    torch.testing.assert_close(torch.cat([x for x, _ in rows]), -X["a"])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # of fork
def test_workers_transform_too(images):
    X = torch.from_numpy(images[0])
    loader = BatchLoader(TaskDataset(X), 30, transform=dark, num_workers=1)
    assert torch.equal(torch.cat([x for x, _ in loader]), dark(X))


# -- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"iterator_train__num_workers": 0}])
def test_training_is_augmented_and_nothing_else(images, changes):
    X, Y = images
    net = MultiTaskNet.stg_mtl(
        Watched,
        iterator_train__transform=dark,
        train_split=ValidSplit(5),
        max_epochs=2,
        random_state=0,
    )
    net.set_params(**changes).fit(X, Y)
    net.predict_proba(X)
    training, rest = (torch.cat(Watched.seen[k]) for k in (True, False))
    assert len(training) == 2 * 48
    assert not training[..., 4:].any()
    assert len(rest) == 2 + 2 + 2 * 12 + 60
    assert (rest[..., 4:].amax(dim=(1, 2, 3)) > 0).all()
    np.testing.assert_array_equal(rest[-60:].numpy(force=True), X)


def test_a_transform_of_the_other_iterator_serves_validation_and_prediction(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(Watched, train_split=ValidSplit(5), max_epochs=1, random_state=0)
    expected = net.fit(X, Y).predict_proba(dark(torch.from_numpy(X)))
    net.set_params(iterator_valid__transform=dark).fit(X, Y)
    assert not torch.cat(Watched.seen[False][2:])[..., 4:].any()
    assert torch.cat(Watched.seen[True])[..., 4:].any()
    np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_random_transforms_in_prediction_leave_the_global_random_state_alone(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(Watched, iterator_valid__transform=FLIP_AND_CROP, max_epochs=1).fit(
        X, Y
    )
    np.testing.assert_array_equal(net.predict_proba(X), net.predict_proba(X))
    seen = torch.cat(Watched.seen[False][-1:]).numpy(force=True)
    assert (seen != X).any()


class NumPyNoise:
    def __call__(self, x):
        return x + torch.from_numpy(np.random.randint(2, size=x.shape)).to(x.dtype)


class PythonFlip:
    def __call__(self, x):
        return x.flip(-1) if random.random() < 0.5 else x


@pytest.mark.parametrize("transform", [FLIP_AND_CROP, NumPyNoise(), PythonFlip()])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_augmentation_follows_the_random_state(images, transform, in_memory):
    X, Y = images
    state = random.getstate()
    net = MultiTaskNet.stg_mtl(
        SmallCNN, iterator_train__transform=transform, max_epochs=2, batch_size=32, random_state=0
    )
    inputs = X if in_memory else TensorDataset(torch.from_numpy(X))
    proba = net.fit(inputs, Y).predict_proba(X)
    assert random.getstate() == state
    random.seed(1)
    again = clone(net).fit(inputs, Y)
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    random.setstate(state)
    plain = clone(net).set_params(iterator_train__transform=None).fit(inputs, Y)
    assert np.abs(plain.predict_proba(X) - proba).max() > 1e-4
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(loaded.predict_proba(X), proba)
    loaded.partial_fit(inputs, Y)  # goes on with the transform


def test_each_epoch_is_augmented_anew(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(
        Watched,
        iterator_train__transform=PythonFlip(),
        iterator_train__shuffle=False,
        max_epochs=2,
        random_state=0,
    ).fit(X, Y)
    net.partial_fit(X, Y)
    passes = Watched.seen[True]
    assert len(passes) == 4
    for i in range(4):
        for j in range(i):
            assert not torch.equal(passes[i], passes[j])


def test_a_fitted_net_takes_a_transform(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(Watched, max_epochs=1).fit(X, Y)
    assert net.set_params(iterator_train__transform=dark, lr=0.1) is net
    net.fit(X, Y)
    assert net.get_params()["iterator_train__transform"] is dark
    assert not torch.cat(Watched.seen[True])[..., 4:].any()


# -- everything that trains -------------------------------------------------------------------


def grouped(net):
    grouping = make_pipeline(TaskGrouper(net), FuzzyKMeans(2))
    return GroupedMTLClassifier(net, grouping, random_state=0)


@pytest.mark.parametrize(
    "of",
    [
        lambda net: TaskGrouper(net, random_state=0),
        lambda net: TaskGrouper(net, source="stl", random_state=0),
        lambda net: TaskGrouper(net, source="stl", random_state=0, strategy="sequential"),
        lambda net: InterTaskAffinity(net, every=1, random_state=0),
        lambda net: GradientCosineAffinity(net, every=2, random_state=0),
        grouped,
    ],
    ids=["data maps", "data maps of single tasks", "in a loop", "affinity", "cosine", "grouped"],
)
@pytest.mark.parametrize("module", [MLP, SmallCNN])
def test_a_fixed_transform_is_that_of_the_data(images, module, of):
    X, Y = images
    net = MultiTaskNet.stg_mtl(module, max_epochs=2, batch_size=32)
    transformed = dark(torch.from_numpy(X)).numpy()
    expected = of(net).fit(transformed, Y)
    found = of(clone(net).set_params(iterator_train__transform=dark)).fit(X, Y)
    plain = of(net).fit(X, Y)

    def result(estimator):
        if isinstance(estimator, GroupedMTLClassifier):
            return estimator.predict_proba(transformed)
        return estimator.transform(X)

    np.testing.assert_allclose(result(found), result(expected), atol=1e-5)
    assert np.abs(result(plain) - result(expected)).max() > 1e-4


def test_nets_with_a_transform_are_not_stacked(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(iterator_train__transform=FLIP_AND_CROP, max_epochs=2, batch_size=32)

    def train(strategy, net=net):
        data = net._check_data(X, Y, None)
        nets = [clone(net) for _ in range(3)]
        return fit_many(nets, [data] * 3, [1, 2, 1], strategy=strategy)[0]

    with pytest.raises(ValueError, match="cannot be trained as a stack: the net has a transform"):
        train("stacked")
    for own, alone in zip(train("auto"), train("sequential"), strict=True):
        np.testing.assert_array_equal(own.predict_proba(X), alone.predict_proba(X))
    # None is no transform.
    train("stacked", clone(net).set_params(iterator_train__transform=None))


# -- what is wrong ----------------------------------------------------------------------------


class Built(MLP):
    count = 0

    def __init__(self, n_outputs, input_shape):
        super().__init__(n_outputs, input_shape=input_shape)
        Built.count += 1


FORM = "must keep the shape and type of a sample, which the module and prediction rely on: "


@pytest.mark.parametrize("name", ["iterator_train__transform", "iterator_valid__transform"])
@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            "flip",
            "must be None or a callable that takes a sample, e.g. a transform of torchvision. Got "
            "'flip'.",
        ),
        (
            v2.Resize(4),
            f"{FORM}Tensor (3, 8, 8) of torch.uint8. Got Tensor (3, 4, 4) of torch.uint8. What "
            "should happen in prediction too (resizing, scaling) belongs in a torch Dataset or in "
            "the module.",
        ),
        (
            v2.ToDtype(torch.float32, scale=True),
            f"{FORM}Tensor (3, 8, 8) of torch.uint8. Got Tensor (3, 8, 8) of torch.float32.",
        ),
        (lambda x: x.numpy(), "Got ndarray (3, 8, 8) of uint8."),
        (lambda x: None, "Got NoneType."),
    ],
)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_a_wrong_transform_is_an_error_before_training(images, name, transform, message):
    X, Y = images
    Built.count = 0
    net = MultiTaskNet.stg_mtl(Built, max_epochs=1).set_params(**{name: transform})
    relation = TaskGrouper(MultiTaskNet.stg_mtl(Built, max_epochs=1))
    for estimator in (net, TaskGrouper(net), InterTaskAffinity(net), grouped(net)):
        if isinstance(estimator, GroupedMTLClassifier):
            estimator.set_params(grouper__taskgrouper=relation)
        with pytest.raises(ValueError, match=rf"^The '{name}' parameter .*{re.escape(message)}"):
            estimator.fit(X, Y)
    assert Built.count == 0


def test_a_shape_that_changes_only_at_times_is_an_error_too(images):
    X, Y = images
    torch.manual_seed(0)
    at_times = v2.RandomApply([v2.Resize(4)], p=0.2)
    net = MultiTaskNet.stg_mtl(iterator_train__transform=at_times, max_epochs=3, random_state=0)
    with pytest.raises(ValueError, match=r"must keep the shape and type .* \(3, 4, 4\) of"):
        net.fit(X, Y)


def test_a_loader_of_the_users_may_mean_something_else_by_transform(images):
    X, Y = images

    class Loader(DataLoader):
        def __init__(self, *args, transform, **kwargs):
            super().__init__(*args, **kwargs)
            assert transform == "flip"

    net = MultiTaskNet.stg_mtl(
        max_epochs=1, iterator_train=Loader, iterator_train__transform="flip"
    )
    net.fit(X, Y)


# -- Datasets that transform ------------------------------------------------------------------


class Folder(Dataset):
    """As torchvision's data sets are: an image, its labels, a transform."""

    def __init__(self, X, Y, transform=None):
        self.X, self.Y, self.transform = X, Y, transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        image = torch.from_numpy(self.X[i])
        return (self.transform(image) if self.transform else image), self.Y[i]


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_a_dataset_with_a_transform_is_taken(images):
    X, Y = images
    scale = [v2.Resize(12), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=2, batch_size=32, random_state=0)
    train = Folder(X, Y, v2.Compose([v2.RandomHorizontalFlip(), PythonFlip(), *scale]))
    test = Folder(X, Y, v2.Compose(scale))
    proba = net.fit(train).predict_proba(test)
    assert net.input_shape_ == (3, 12, 12)
    np.testing.assert_array_equal(clone(net).fit(train).predict_proba(test), proba)
    fixed = clone(net).fit(test).predict_proba(test)
    assert np.abs(fixed - proba).max() > 1e-4
    # What is random in a Dataset comes with the same random numbers in each prediction.
    np.testing.assert_array_equal(net.predict_proba(train), net.predict_proba(train))
    # In memory, the same images learn the same.
    whole = torch.stack([x for x, _ in test])
    in_order = clone(net).set_params(iterator_train__shuffle=False, module__dropout=0.0)
    expected = clone(in_order).fit(whole, Y).predict_proba(whole)
    np.testing.assert_allclose(in_order.fit(test).predict_proba(whole), expected, atol=1e-5)


def test_a_transform_comes_on_top_of_that_of_a_dataset(images):
    X, Y = images
    data = Folder(X, Y, v2.ToDtype(torch.float32, scale=True))
    net = MultiTaskNet.stg_mtl(Watched, iterator_train__transform=dark, max_epochs=1).fit(data)
    seen = torch.cat(Watched.seen[True])
    assert seen.max() <= 1
    assert not seen[..., 4:].any()
    net.predict(data)
    assert Watched.seen[False][-1][..., 4:].any()
