"""Multi-task networks as plain torch modules, for `MultiTaskNet` to train."""

from skgroup.nn._adatt import AdaTT, AdaTTSp
from skgroup.nn._cross_stitch import CrossStitch
from skgroup.nn._dropout import Dropout
from skgroup.nn._heads import LinearHeads, TaskHeads
from skgroup.nn._mlp import MLP
from skgroup.nn._mmoe import MMoE, MultiLevelMMoE
from skgroup.nn._ple import PLE
from skgroup.nn._resnet import ResNet18, ResNet34, ResNet50
from skgroup.nn._shared_bottom import SharedBottom
from skgroup.nn._small_cnn import SmallCNN
from skgroup.nn._tabm import TabM

__all__ = [
    "MLP",
    "PLE",
    "AdaTT",
    "AdaTTSp",
    "CrossStitch",
    "Dropout",
    "LinearHeads",
    "MMoE",
    "MultiLevelMMoE",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "SharedBottom",
    "SmallCNN",
    "TabM",
    "TaskHeads",
]
