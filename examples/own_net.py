"""Your own net: any torch module that maps a batch to logits.

    python examples/own_net.py

Claim: a module of your own works everywhere that ours do, from data maps to specialists. Here it is
a net for pixels that looks at rows and columns of a digit; the sizes come from the data.
"""

import argparse
from pathlib import Path

import torch
from sklearn.model_selection import train_test_split
from skorch.callbacks import LRScheduler

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.inspection import MembershipDisplay
from skgroup.nn import LinearHeads


class RowsAndColumns(torch.nn.Module):
    """Takes (batch, height, width); of what the data tells, this asks for the two that it needs."""

    def __init__(self, input_shape, n_outputs, width=64):
        super().__init__()
        height, breadth = input_shape
        self.rows = torch.nn.Linear(breadth, 16)
        self.columns = torch.nn.Linear(height, 16)
        self.hidden = torch.nn.Linear(16 * (height + breadth), width)
        # One linear layer for all tasks. With a plain Linear everything works too; this one makes
        # results independent of the order of the tasks.
        self.heads = LinearHeads(width, n_outputs)

    def forward(self, images):
        rows = self.rows(images).relu().flatten(1)
        columns = self.columns(images.mT).relu().flatten(1)
        return self.heads(self.hidden(torch.cat([rows, columns], dim=1)).relu())


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--max-epochs", type=int, default=30)
parser.add_argument("--plot", type=Path, default=Path("own_net.png"))
args = parser.parse_args()

tasks = load_digit_tasks(as_frame=True)
X_train, X_test, Y_train, Y_test = train_test_split(
    tasks.images, tasks.target, test_size=0.3, random_state=0
)
decay = LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=args.max_epochs)
net = MultiTaskNet.stg_mtl(
    RowsAndColumns,
    module__width=96,
    optimizer=torch.optim.AdamW,
    optimizer__weight_decay=1e-3,
    max_epochs=args.max_epochs,
    callbacks=[("decay", decay)],
)
for name, clf in {
    "one net": GroupedMTLClassifier.mtl(net, random_state=0),
    "3 groups": GroupedMTLClassifier(net, n_groups=3, random_state=0),
}.items():
    print(f"{name}: test F1 {clf.fit(X_train, Y_train).score(X_test, Y_test):.3f}")

display = MembershipDisplay.from_estimator(clf)
display.figure_.savefig(args.plot)
print(f"The groups are drawn in {args.plot}.")
