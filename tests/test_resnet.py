"""torchvision's ResNets as backbones."""

import copy
import pickle
import re
import sys
import types
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Freezer
from torch import nn
from torchvision import models
from torchvision.transforms import v2

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import LinearHeads, ResNet18, ResNet34, ResNet50, SmallCNN
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity

BUILDERS = {ResNet18: models.resnet18, ResNet34: models.resnet34, ResNet50: models.resnet50}
IMAGENET = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]


def _n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def images():
    """Images (12, 3, 32, 32) of uint8 and their labels (12, 3)."""
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(12, 3, 32, 32), dtype=np.uint8)
    return X, np.column_stack([X[:, c].mean(axis=(1, 2)) > 127.5 for c in range(3)])


@pytest.fixture
def pretrained(monkeypatch):
    """Weights that torchvision would download, made here."""
    torch.manual_seed(1)
    state = models.resnet18().state_dict()
    for name, value in state.items():
        if "running" in name:
            value.add_(torch.rand(value.shape))
    asked = []

    def get_state_dict(self, *args, **kwargs):
        asked.append(self)
        return state

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", get_state_dict)
    return state, asked


@pytest.mark.parametrize(
    ("resnet", "n_parameters"),
    [(ResNet18, 11_227_712), (ResNet34, 21_335_872), (ResNet50, 23_712_832)],
)
def test_sizes_and_outputs_are_those_of_torchvision(resnet, n_parameters):
    torch.manual_seed(0)
    net = resnet(n_outputs=100)
    assert _n_parameters(net) == n_parameters
    theirs = BUILDERS[resnet](weights=None)
    theirs.fc = nn.Linear(theirs.fc.in_features, 100, bias=False)
    assert _n_parameters(theirs) == n_parameters
    theirs.load_state_dict({**net.trunk.state_dict(), "fc.weight": net.heads.weight})
    x = torch.randn(2, 3, 64, 64)
    for training in (True, False):  # training moves the statistics of batch normalisation
        mine, expected = net.train(training)(x), theirs.train(training)(x)
        torch.testing.assert_close(mine, expected, atol=0, rtol=0)
    assert type(net.heads) is LinearHeads
    assert not [key for key in net.state_dict() if key.split(".")[0] not in ("trunk", "heads")]


@pytest.mark.parametrize("channels", [1, 4])
def test_the_first_convolution_is_built_for_other_channels(channels):
    torch.manual_seed(0)
    net = ResNet18(n_outputs=5, input_shape=(channels, 40, 24))
    assert net.eval()(torch.rand(2, channels, 40, 24)).shape == (2, 5)
    expected = models.resnet18()
    assert _n_parameters(net.trunk.conv1) == channels * 64 * 49
    assert net.trunk.conv1.stride == expected.conv1.stride
    assert net.trunk.conv1.padding == expected.conv1.padding
    std = float(net.trunk.conv1.weight.detach().std())
    assert std == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)
    with torch.no_grad():
        assert net.trunk.conv1(torch.rand(1, channels, 40, 24)).shape == (1, 64, 20, 12)


@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_keep_their_size_at_first(channels):
    net = ResNet18(n_outputs=5, input_shape=(channels, 32, 32), small_images=True)
    shapes = []
    net.trunk.layer1.register_forward_pre_hook(lambda _, x: shapes.append(x[0].shape))
    net.trunk.layer4.register_forward_hook(lambda _, __, y: shapes.append(y.shape))
    net.eval()(torch.rand(2, channels, 32, 32))
    assert shapes == [(2, 64, 32, 32), (2, 512, 4, 4)]
    difference = 64 * 49 * 3 - 64 * 9 * channels
    assert _n_parameters(net) == 11_227_712 - 95 * 512 - difference


@pytest.mark.parametrize("shape", [(64,), (32, 32), (3, 0, 4), (1, 3, 8, 8), (3, 8.0, 8)])
def test_what_is_no_image_is_refused(shape):
    message = (
        "ResNet34 needs images: input_shape must be (channels, height, width), ints >= 1. Got "
        f"{shape}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ResNet34(n_outputs=2, input_shape=shape)


# -- values and pretrained weights ------------------------------------------------------------


@pytest.mark.parametrize(
    "weights",
    [
        "DEFAULT",
        "IMAGENET1K_V1",
        "ResNet18_Weights.IMAGENET1K_V1",
        models.ResNet18_Weights.IMAGENET1K_V1,
    ],
)
def test_pretrained_weights_see_images_as_they_were_trained(images, pretrained, weights):
    state, asked = pretrained
    net = ResNet18(n_outputs=4, input_shape=(3, 32, 32), weights=weights).eval()
    assert asked == [models.ResNet18_Weights.IMAGENET1K_V1]
    for name, value in net.trunk.state_dict().items():
        assert torch.equal(value, state[name])
    x = torch.from_numpy(images[0])
    theirs = models.resnet18()
    theirs.load_state_dict(state)
    theirs.fc = net.heads
    prepare = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(*IMAGENET)])
    with torch.no_grad():
        expected = theirs.eval()(prepare(x))
        torch.testing.assert_close(net(x.float()), expected, atol=1e-5, rtol=1e-4)
        plain = ResNet18(4, (3, 32, 32), weights=weights, normalize=None).eval()
        plain.heads = net.heads
        torch.testing.assert_close(plain(prepare(x)), expected, atol=0, rtol=0)


def test_a_net_starts_from_pretrained_weights(images, pretrained):
    X, Y = images
    state, _ = pretrained
    net = MultiTaskNet.stg_mtl(
        ResNet18,
        module__weights="DEFAULT",
        callbacks=[Freezer("trunk.*")],
        max_epochs=1,
        random_state=0,
    ).fit(X, Y)
    for name, value in net.module_.trunk.state_dict().items():
        if "num_batches" not in name:  # running statistics are frozen as well
            assert torch.equal(value.cpu(), state[name])
    assert net.predict(X).shape == (12, 3)
    scaled = net.set_params(module__normalize=IMAGENET).fit(X / np.float32(255), Y)
    other = clone(net).set_params(module__normalize="auto").fit(X, Y)
    np.testing.assert_allclose(scaled.predict_proba(X / 255), other.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize(
    ("normalize", "mean", "std"),
    [
        ("auto", 0.0, 1.0),
        (None, 0.0, 1.0),
        ("imagenet", 255 * np.array(IMAGENET[0]), 255 * np.array(IMAGENET[1])),
        ((100, 50.0), 100.0, 50.0),
        ((np.array([1.0, 2, 3]), 4), np.array([1.0, 2, 3]), 4.0),
        (np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([1.0, 2, 3]), np.array([4.0, 5, 6])),
    ],
)
def test_values_are_normalised_as_asked(images, normalize, mean, std):
    torch.manual_seed(0)
    net = ResNet18(n_outputs=4, input_shape=(3, 32, 32), normalize=normalize).eval()
    x = torch.from_numpy(images[0]).float()
    of_channels = (torch.as_tensor(v).float().expand(3)[:, None, None] for v in (mean, std))
    shift, scale = of_channels
    with torch.no_grad():
        expected = net.heads(net.trunk((x - shift) / scale))
        torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"normalize": "standard"}, "normalize of ResNet18 must be 'auto', 'imagenet', None or"),
        ({"normalize": (1.0, 0.0)}, "number or one a channel (3 here), std > 0. Got (1.0, 0.0)."),
        ({"normalize": (np.nan, 1.0)}, "std > 0. Got (nan, 1.0)."),
        ({"normalize": ((1, 2), 1)}, "std > 0. Got ((1, 2), 1)."),
        ({"normalize": 255}, "std > 0. Got 255."),
        ({"normalize": "imagenet", "input_shape": (1, 9, 9)}, "'imagenet' is for 3 channels."),
        (
            {"weights": "IMAGENET"},
            "weights of ResNet18 must be None, one of ['IMAGENET1K_V1', 'DEFAULT'] or a member of "
            "torchvision.models.ResNet18_Weights. Got 'IMAGENET'.",
        ),
        ({"weights": models.ResNet34_Weights.DEFAULT}, "Got ResNet34_Weights.IMAGENET1K_V1."),
        ({"weights": True}, "torchvision.models.ResNet18_Weights. Got True."),
        (
            {"weights": "DEFAULT", "input_shape": (1, 28, 28)},
            "The pretrained weights of ResNet18 are for images of 3 channels (repeat the channel "
            "of grey images). Got weights='DEFAULT' for input_shape (1, 28, 28).",
        ),
        (
            {"weights": "DEFAULT", "small_images": True},
            "small_images must be False for pretrained weights of ResNet18, which are for another "
            "first convolution. Got weights='DEFAULT'.",
        ),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=re.escape(message) + ("$" if message[-1] == "." else "")):
        ResNet18(n_outputs=2, **params)


@pytest.mark.parametrize("scale", ["0 to 1", "normalised", "16 bits"])
def test_images_of_another_range_are_an_error_before_training(images, pretrained, scale):
    X, Y = images
    X = {
        "0 to 1": X / np.float32(255),
        "normalised": (X - np.float32(127)) / 60,
        "16 bits": X.astype(np.int32) * 256,
    }[scale]
    net = MultiTaskNet.stg_mtl(ResNet18, module__weights="DEFAULT", max_epochs=1)
    with pytest.raises(ValueError, match="normalize of ResNet18 is for ImageNet, by images of uin"):
        net.fit(X, Y)
    assert not net.history_
    net.set_params(module__normalize=(0.0, 1.0)).fit(X, Y)


def test_black_images_and_later_ones_of_any_range_are_right():
    net = ResNet18(n_outputs=2, input_shape=(3, 32, 32), normalize="imagenet").eval()
    assert net(torch.zeros(2, 3, 32, 32)).isfinite().all()
    assert net(torch.rand(2, 3, 32, 32)).isfinite().all()


def test_weights_that_cannot_be_had_are_an_error_that_helps(monkeypatch):
    def get_state_dict(self, *args, **kwargs):
        raise URLError("no connection")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", get_state_dict)
    message = r"ResNet18 could not get the weights .*no connection.*/checkpoints; .*\.pth there\."
    with pytest.raises(OSError, match=message):
        ResNet18(n_outputs=2, weights="DEFAULT")


class Broken(types.ModuleType):
    """A torchvision that was built for another torch."""

    error: Exception

    def __getattr__(self, name):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("operator torchvision::nms does not exist"),
        OSError("undefined symbol"),
        AttributeError("partially initialized module"),
    ],
)
def test_a_missing_or_broken_torchvision_is_named_when_needed(monkeypatch, error):
    fake = None
    if error is not None:
        fake = Broken("torchvision")
        fake.error = error
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    with pytest.raises(ImportError, match=r"^ResNet18 needs torchvision, .*pip install torchv"):
        ResNet18(n_outputs=2)
    assert SmallCNN(n_outputs=2)(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


# -- in training ------------------------------------------------------------------------------


def test_a_batch_of_one_small_image_is_an_error_that_helps(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(ResNet18, batch_size=11, max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match="iterator_train__drop_last=True or another batch_size"):
        net.fit(X, Y)
    net.set_params(iterator_train__drop_last=True).fit(X, Y)
    assert net.predict(X[:1]).shape == (1, 3)
    larger = ResNet18(n_outputs=2, input_shape=(3, 33, 32)).train()
    assert larger(torch.zeros(1, 3, 33, 32)).shape == (1, 2)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_nets_are_reproducible_survive_pickle_and_follow_permuted_tasks(images):
    X, Y = images
    with torch.random.fork_rng([]):
        module = ResNet18(n_outputs=3, input_shape=X.shape[1:])
    net = MultiTaskNet.stg_mtl(module, max_epochs=1, random_state=0)
    proba = net.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(clone(net).fit(X, Y).predict_proba(X), proba)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict_proba(X), proba)
    order = [2, 0, 1]
    with torch.no_grad():
        module.heads.weight.copy_(module.heads.weight[order])
    permuted = MultiTaskNet.stg_mtl(module, max_epochs=1, random_state=0).fit(X, Y[:, order])
    permuted = permuted.predict_proba(X)
    np.testing.assert_allclose(permuted, proba[:, order], atol=1e-4)


def test_the_whole_method_runs_on_a_resnet(images):
    X, Y = images
    net = MultiTaskNet.stg_mtl(ResNet18, max_epochs=1)
    grouping = make_pipeline(TaskGrouper(net, snapshot_epochs=1), FuzzyKMeans(2))
    clf = GroupedMTLClassifier(net, grouping, random_state=0).fit(X, Y)
    assert clf.predict_proba(X).shape == (12, 3)
    assert clf.membership_.shape == (3, 2)
    assert all(type(s.module_) is ResNet18 for s in clf.specialists_)
    means = [s.module_.trunk.bn1.running_mean for s in clf.specialists_]
    assert all((m != 0).all() for m in means)
    assert not torch.equal(*(s.module_.heads.weight for s in clf.specialists_))


def test_specialists_take_their_heads_from_a_net_of_more_tasks(images):
    X, Y = images
    both = MultiTaskNet.stg_mtl(ResNet18, max_epochs=1, random_state=0).fit(X, Y)
    one = MultiTaskNet.stg_mtl(ResNet18, max_epochs=1, random_state=1).fit(X, Y[:, [2]])
    one.load_tasks(both, np.array([2]))
    np.testing.assert_allclose(one.predict_proba(X)[:, 0], both.predict_proba(X)[:, 2], atol=1e-6)


def test_affinities_of_a_resnet_equal_their_equation(images):
    X, Y = images
    torch.manual_seed(0)
    module = ResNet18(n_outputs=3, input_shape=(3, 32, 32))
    lr = 1e-3
    net = MultiTaskNet.stg_mtl(
        module, lr=lr, batch_size=-1, max_epochs=1, class_weight=None, random_state=0
    )
    found = InterTaskAffinity(net, every=1).fit(X, Y).affinity_
    cosine = GradientCosineAffinity(net, every=1).fit(X, Y).affinity_

    x, y = torch.from_numpy(X).float(), torch.from_numpy(Y).float()

    def losses(of):
        bce = nn.functional.binary_cross_entropy_with_logits(of.train()(x), y, reduction="none")
        return bce.mean(dim=0)

    expected, gradients = np.zeros((3, 3)), []
    for i in range(3):
        stepped = copy.deepcopy(module)
        before = losses(stepped)
        shared = list(stepped.trunk.parameters())
        grads = torch.autograd.grad(before[i], shared)
        gradients.append(torch.cat([g.flatten() for g in grads]))
        with torch.no_grad():
            for p, g in zip(shared, grads, strict=True):
                p -= lr * g
            expected[i] = 1 - losses(stepped) / before
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4)
    rows = nn.functional.normalize(torch.stack(gradients).double())
    np.testing.assert_allclose(cosine, rows @ rows.T, atol=1e-5)


def test_images_with_channels_last_are_refused(images):
    X, Y = images
    with pytest.raises(ValueError, match=r"give np\.moveaxis\(X, -1, 1\)"):
        MultiTaskNet.stg_mtl(ResNet18).fit(np.moveaxis(X, 1, -1), Y)
