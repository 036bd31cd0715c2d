"""torchvision's residual nets as backbones."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skgroup.nn._heads import LinearHeads


class _ResNet(nn.Module):
    """One of torchvision's ResNets, with the heads of all tasks as its last layer."""

    _builder: ClassVar[str]
    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        n_outputs: int,
        input_shape: Sequence[int] = (3, 224, 224),
        *,
        weights: Any = None,
        normalize: Any = "auto",
        small_images: bool = False,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        channels = _check_images(owner, tuple(input_shape), weights, small_images)
        models = _torchvision_models(owner)
        known = models.get_model_weights(self._builder)
        if weights is not None:
            weights = _find_weights(known, weights, owner)
        mean_std = self._mean_and_std(normalize, weights or known.DEFAULT, weights, channels)
        of_channels = None if mean_std is None else torch.tensor(mean_std)[:, :, None, None]
        # They follow from the parameters of the module, so its state need not hold them.
        for i, name in enumerate(("mean", "std")):
            values = None if of_channels is None else of_channels[i]
            self.register_buffer(name, values, persistent=False)
        self.trunk = _build(owner, getattr(models, self._builder), weights)
        if small_images:
            self.trunk.conv1 = _first_convolution(channels, kernel_size=3, stride=1)
            self.trunk.maxpool = nn.Identity()
        elif channels != 3:
            self.trunk.conv1 = _first_convolution(channels, kernel_size=7, stride=2)
        # As in the paper the last layer has no bias.
        self.heads = LinearHeads(self.trunk.fc.in_features, n_outputs, bias=False)
        self.trunk.fc = nn.Identity()
        # The first images tell whether "imagenet" is right for their values. Later ones are not
        # looked at: that would make a GPU wait.
        self._check_range = isinstance(normalize, str) and mean_std is not None

    def _mean_and_std(
        self, normalize: Any, of_imagenet: Any, weights: Any, channels: int
    ) -> list[list[float]] | None:
        """Mean and standard deviation of each channel, in units of the inputs."""
        owner = type(self).__name__
        rule = (
            f"normalize of {owner} must be 'auto', 'imagenet', None or (mean, std), each a number "
            f"or one a channel ({channels} here), std > 0. "
        )
        if normalize is None or (isinstance(normalize, str) and normalize == "auto"):
            if normalize is None or weights is None:
                return None
            normalize = "imagenet"
        if isinstance(normalize, str):
            if normalize != "imagenet":
                raise ValueError(f"{rule}Got {normalize!r}.")
            if channels != 3:
                raise ValueError(f"{rule}'imagenet' is for 3 channels.")
            preset = of_imagenet.transforms()
            return [[255 * float(value) for value in part] for part in (preset.mean, preset.std)]
        try:
            mean, std = (torch.as_tensor(part, dtype=torch.float32) for part in normalize)
            mean, std = (part.expand(channels) for part in (mean, std))
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"{rule}Got {normalize!r}.") from None
        if not torch.isfinite(mean).all() or not torch.isfinite(std).all() or not (std > 0).all():
            raise ValueError(f"{rule}Got {normalize!r}.")
        return [mean.tolist(), std.tolist()]

    def train(self, mode: bool = True) -> Any:
        """Set the mode; batch normalisation that is frozen keeps its statistics too."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d) and not part.weight.requires_grad:
                part.train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, n_outputs) of images (batch, channels, height, width)."""
        if self._check_range:
            self._try_range(x)
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return self.heads(self.trunk(x))

    def _try_range(self, x: Tensor) -> None:
        least, most = x.min().item(), x.max().item()
        if least < 0 or most > 255 or 0 < most <= 1:
            raise ValueError(
                f"normalize of {type(self).__name__} is for ImageNet, by images of uint8 (0 to "
                f"255). Got values from {least:.4g} to {most:.4g}: for images of 0 to 1 set "
                "module__normalize=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), for images "
                "that are normalised already None."
            )
        self._check_range = False


class ResNet18(_ResNet):
    """torchvision's ResNet-18 [1]_ with a linear head a task, without bias, as its last layer.

    With 100 outputs and images of 3 channels it has 11,227,712 parameters, as in STG-MTL [2]_.
    torchvision is needed when it is built, not before.

    Parameters
    ----------
    n_outputs : int
        Number of logits of all tasks together.
    input_shape : tuple of 3 ints, default=(3, 224, 224)
        Channels, height and width of an image. Where there are not 3 channels, the first
        convolution is built for as many. Images of any size are taken as they are.
    weights : None, str or member of torchvision's weights, default=None
        None starts at random. A name ("DEFAULT", "IMAGENET1K_V1") or a member of
        `torchvision.models.ResNet18_Weights` starts the trunk from pretrained weights, which
        torchvision downloads once; the heads always start at random.
    normalize : "auto", "imagenet", None or (mean, std), default="auto"
        What is done to the values of the images before the first convolution.

        - None: nothing. Images of uint8 come as 0 to 255, which suits a net that starts at
          random: batch normalisation follows the first convolution.
        - "imagenet": (x / 255 - mean) / std with the mean and standard deviation of ImageNet that
          torchvision names for these weights, right for images of uint8 (0 to 255). If the first
          images seen are plainly not of that range, that is an error.
        - (mean, std): (x - mean) / std, both in units of `X`, each a number or one a channel.
        - "auto": "imagenet" where `weights` are given, else None.
    small_images : bool, default=False
        The usual variant for images of about 32 × 32: a first convolution of 3 × 3 with stride 1,
        and no max-pooling after it. Not for pretrained weights.

    Attributes
    ----------
    trunk : torchvision.models.ResNet
        Its last layer is `torch.nn.Identity`.
    heads : LinearHeads

    Raises
    ------
    ImportError
        If torchvision is missing or cannot be imported.
    OSError
        If pretrained weights can neither be found nor downloaded.
    ValueError
        If a parameter is not right or does not go with another; in a forward pass, if the first
        images do not fit `normalize="imagenet"`, or in training for a single image whose last
        maps are of one cell (up to 32 × 32, with `small_images` 8 × 8), which batch normalisation
        cannot take.

    Notes
    -----
    Pretrained weights were trained on images of 224 × 224; much smaller ones are better resized
    (in a torch Dataset, so that prediction does the same). To train the heads alone, freeze the
    trunk by `skorch.callbacks.Freezer("trunk.*")`; frozen batch normalisation keeps its statistics.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR
       2016, arXiv:1512.03385.
    .. [2] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import ResNet18
    >>> net = ResNet18(n_outputs=100)
    >>> sum(p.numel() for p in net.parameters())
    11227712
    >>> net.eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 100])
    """

    _builder = "resnet18"


class ResNet34(_ResNet):
    """torchvision's ResNet-34 with a linear head a task, without bias, as its last layer.

    With 100 outputs and images of 3 channels it has 21,335,872 parameters.

    Parameters
    ----------
    n_outputs : int
        Number of logits of all tasks together.
    input_shape : tuple of 3 ints, default=(3, 224, 224)
    weights : None, str or member of torchvision.models.ResNet34_Weights, default=None
    normalize : "auto", "imagenet", None or (mean, std), default="auto"
    small_images : bool, default=False
        All as in `ResNet18`.

    Raises
    ------
    ImportError, OSError, ValueError
        As `ResNet18` does.

    Examples
    --------
    >>> from skgroup.nn import ResNet34
    >>> sum(p.numel() for p in ResNet34(n_outputs=100).parameters())
    21335872
    """

    _builder = "resnet34"


class ResNet50(_ResNet):
    """torchvision's ResNet-50 with a linear head a task, without bias, as its last layer.

    With 100 outputs and images of 3 channels it has 23,712,832 parameters.

    Parameters
    ----------
    n_outputs : int
        Number of logits of all tasks together.
    input_shape : tuple of 3 ints, default=(3, 224, 224)
    weights : None, str or member of torchvision.models.ResNet50_Weights, default=None
        "IMAGENET1K_V1" and "IMAGENET1K_V2" (which is "DEFAULT") differ in how they were trained.
    normalize : "auto", "imagenet", None or (mean, std), default="auto"
    small_images : bool, default=False
        All as in `ResNet18`.

    Raises
    ------
    ImportError, OSError, ValueError
        As `ResNet18` does.

    Examples
    --------
    >>> from skgroup.nn import ResNet50
    >>> sum(p.numel() for p in ResNet50(n_outputs=100).parameters())
    23712832
    """

    _builder = "resnet50"


def _check_images(owner: str, shape: tuple[int, ...], weights: Any, small_images: bool) -> int:
    """The channels of images of a shape; ValueError if the parameters do not go together."""
    if len(shape) != 3 or not all(isinstance(n, Integral) and n >= 1 for n in shape):
        raise ValueError(
            f"{owner} needs images: input_shape must be (channels, height, width), ints >= 1. "
            f"Got {shape}."
        )
    channels, _, width = shape
    if width in (1, 3, 4) and channels not in (1, 3, 4):
        raise ValueError(
            f"{owner} needs images of shape (channels, height, width). Got {shape}, whose last "
            "axis looks like channels: give np.moveaxis(X, -1, 1)."
        )
    if weights is not None and channels != 3:
        raise ValueError(
            f"The pretrained weights of {owner} are for images of 3 channels (repeat the "
            f"channel of grey images). Got weights={weights!r} for input_shape {shape}."
        )
    if weights is not None and small_images:
        raise ValueError(
            f"small_images must be False for pretrained weights of {owner}, which are for "
            f"another first convolution. Got weights={weights!r}."
        )
    return int(channels)


def _build(owner: str, builder: Any, weights: Any) -> Any:
    """A net of torchvision's; OSError if its weights cannot be had."""
    try:
        return builder(weights=weights)
    except OSError as error:
        raise OSError(
            f"{owner} could not get the weights {weights}: {error}. torchvision downloads "
            f"them once, to {torch.hub.get_dir()}/checkpoints; without a connection, put the "
            f"file of {getattr(weights, 'url', None)} there."
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise OSError(
            f"{owner} could not read the weights {weights}: {error}. The file in "
            f"{torch.hub.get_dir()}/checkpoints is damaged or of another net: delete it."
        ) from error


def _torchvision_models(owner: str) -> Any:
    try:
        from torchvision import models
    except Exception as error:  # a build for another torch fails in many ways
        raise ImportError(
            f"{owner} needs torchvision, which cannot be imported ({type(error).__name__}: "
            f"{error}). Install the release that fits your torch {torch.__version__}: "
            "pip install torchvision"
        ) from error
    return models


def _find_weights(known: Any, weights: Any, owner: str) -> Any:
    """The member of torchvision's enumeration of weights that a name stands for."""
    if isinstance(weights, str):
        weights = known.__members__.get(weights.removeprefix(f"{known.__name__}."), weights)
    if not isinstance(weights, known):
        raise ValueError(
            f"weights of {owner} must be None, one of {list(known.__members__)} or a member of "
            f"torchvision.models.{known.__name__}. Got {weights!r}."
        )
    return weights


def _first_convolution(channels: int, *, kernel_size: int, stride: int) -> nn.Conv2d:
    """A first convolution as torchvision's, for other images than ImageNet's."""
    layer = nn.Conv2d(channels, 64, kernel_size, stride, kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
