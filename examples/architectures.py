"""Architectures side by side, alone and as specialists of groups.

    python examples/architectures.py

Claim: an architecture that learns what to share (AdaTT, PLE, MMoE) and the grouping of tasks answer
the same question, so that it is worth trying both, and each inside the other. The picture shows
what AdaTT shares, each task's weight of each expert: here next to nothing, a task keeps to its own.
(A level's weights of a task are 1 of its own expert, and 1 shared out among all by its gate.)
"""

import argparse
from pathlib import Path

from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
from skgroup.datasets import load_digit_tasks
from skgroup.inspection import ExpertWeightsDisplay
from skgroup.nn import PLE, AdaTT, MMoE

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--n-seeds", type=int, default=3)
parser.add_argument("--max-epochs", type=int, default=30)
parser.add_argument("--plot", type=Path, default=Path("architectures.png"))
args = parser.parse_args()

X, Y = load_digit_tasks(return_X_y=True, as_frame=True)
plain = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs)
experts = {
    "module__expert_hidden_units": (32, 32),
    "module__tower_hidden_units": (),
    "max_epochs": args.max_epochs,
}
adatt = MultiTaskNet.stg_mtl(AdaTT, **experts)
found = compare(
    X,
    Y,
    {
        "MLP": plain,
        "single-task MLPs": GroupedMTLClassifier.stl(plain),
        "MMoE": MultiTaskNet.stg_mtl(
            MMoE, module__n_experts=8, **{**experts, "module__expert_hidden_units": 64}
        ),
        "PLE": MultiTaskNet.stg_mtl(PLE, **experts),
        "AdaTT": adatt,
        "4 MLPs": GroupedMTLClassifier.mtl_ensemble(4, plain),
        "3 groups of MLPs": GroupedMTLClassifier(plain, n_groups=3),
        "3 groups of AdaTTs": GroupedMTLClassifier(adatt, n_groups=3),
    },
    seeds=args.n_seeds,
    verbose=1,
)
print(found)

net = adatt.set_params(random_state=0).fit(X, Y)
display = ExpertWeightsDisplay.from_estimator(net, X)
display.figure_.savefig(args.plot)
print(f"The weights of AdaTT's experts are drawn in {args.plot}.")
