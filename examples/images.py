"""Images: uint8 until the batch, augmented in training, a convolutional net.

    python examples/images.py                      # CIFAR-10, downloaded through torchvision
    python examples/images.py --path cifar10.npz   # or from a file or a folder that you have

Claim: two groups part animals from vehicles, whether images are augmented in training or not. The
net can be `ResNet18` as well (`--net resnet18`), with weights that were trained on ImageNet
(`--pretrained`).
"""

import argparse
from pathlib import Path

from torchvision.transforms import v2

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import fetch_cifar10_tasks
from skgroup.inspection import MembershipDisplay
from skgroup.nn import ResNet18, SmallCNN

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--path", type=Path)
parser.add_argument("--n-train", type=int, default=2000)
parser.add_argument("--n-test", type=int, default=2000)
parser.add_argument("--max-epochs", type=int, default=8)
parser.add_argument("--net", choices=["small-cnn", "resnet18"], default="small-cnn")
parser.add_argument("--pretrained", action="store_true", help="only with resnet18")
parser.add_argument("--plot", type=Path, default=Path("images.png"))
args = parser.parse_args()

X, Y = fetch_cifar10_tasks("G1", path=args.path, n_samples=args.n_train, return_X_y=True)
X_test, Y_test = fetch_cifar10_tasks(
    "G1", subset="test", path=args.path, n_samples=args.n_test, return_X_y=True
)
print(f"images: {X.shape} of {X.dtype}, {X.nbytes / 2**20:.1f} MiB")

net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=args.max_epochs)
if args.net == "resnet18":
    weights = {"module__weights": "DEFAULT"} if args.pretrained else {}
    net = MultiTaskNet.stg_mtl(ResNet18, max_epochs=args.max_epochs, **weights)
augmented = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])

for name, options in {
    "as they are": {},
    "augmented": {"iterator_train__transform": augmented},
}.items():
    net.set_params(**options)
    clf = GroupedMTLClassifier(net, n_groups=2, random_state=0, verbose=1).fit(X, Y)
    print(f"{name}: test F1 {clf.score(X_test, Y_test):.3f}")
    for group in range(2):
        own = Y.columns[clf.membership_.argmax(axis=1) == group]
        print(f"  group {group}: {', '.join(own)}")

display = MembershipDisplay.from_estimator(clf)
display.figure_.savefig(args.plot)
print(f"The groups of the augmented fit are drawn in {args.plot}.")
