"""Multi-task networks as plain torch modules."""

from skgroup.nn._heads import LinearHeads
from skgroup.nn._mlp import MLP
from skgroup.nn._small_cnn import SmallCNN

__all__ = ["MLP", "LinearHeads", "SmallCNN"]
