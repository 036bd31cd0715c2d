"""The small convolutional net of the STG-MTL paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from skgroup.nn._dropout import Dropout
from skgroup.nn._heads import LinearHeads


class SmallCNN(nn.Module):
    """The small convolutional net of STG-MTL [1]_, for small images.

    Three convolutions with batch normalisation, two of them followed by max-pooling, and two
    linear layers with dropout before each. With 100 outputs and 3 × 32 × 32 inputs it has
    472,612 parameters.

    Parameters
    ----------
    n_outputs : int
        Number of logits of all tasks together.
    input_shape : tuple of 3 ints, default=(3, 32, 32)
        Channels, height and width of an image; height and width at least 8.
    hidden_units : int, default=128
        Width of the linear layer before the heads.
    dropout : float, default=0.2
        Probability of dropping a unit before each linear layer.

    Raises
    ------
    ValueError
        If `input_shape` is not that of an image of at least 8 × 8.

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import SmallCNN
    >>> SmallCNN(n_outputs=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        n_outputs: int,
        input_shape: Sequence[int] = (3, 32, 32),
        hidden_units: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 8:
            raise ValueError(
                "SmallCNN needs images: input_shape must be (channels, height, width) with height "
                f"and width >= 8. Got {tuple(input_shape)}."
            )
        channels, height, width = input_shape
        n_flat = 64 * ((height - 4) // 4) * ((width - 4) // 4)
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 32, 5),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            Dropout(dropout),
            nn.Linear(n_flat, hidden_units),
            nn.ReLU(),
            Dropout(dropout),
        )
        self.heads = LinearHeads(hidden_units, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) of images (batch, channels, height, width)."""
        return self.heads(self.trunk(x))
