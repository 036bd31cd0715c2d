"""What a net goes through on each task: data maps.

    python examples/data_maps.py

Claim: tasks that are learned alike have maps alike, which is all that the grouping looks at. A
digit is learned early: most samples end high, and vary because they started low (more of the 0 than
of the 8). "Upside-down" is learned late, and random labels hardly at all: both stay near one half.
"""

import argparse
from pathlib import Path

from skgroup import MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks
from skgroup.inspection import DataMapDisplay

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--max-epochs", type=int, default=30)
parser.add_argument("--plot", type=Path, default=Path("data_maps.png"))
args = parser.parse_args()

X, Y = load_digit_tasks(return_X_y=True, as_frame=True)
net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs)
grouper = TaskGrouper(net, snapshot_epochs="all", random_state=0).fit(X, Y)

for task in ("digit 0", "digit 8", "upside-down", "random"):
    mean, std = grouper.data_map_[list(Y).index(task), -1].mean(axis=0)
    print(f"{task:12} confidence {mean:.2f}, variability {std:.2f} (means over samples)")

display = DataMapDisplay.from_estimator(grouper, ["digit 0", "digit 8", "upside-down", "random"])
display.figure_.savefig(args.plot)
print(f"The maps are drawn in {args.plot}.")
