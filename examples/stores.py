"""One model for all stores, one each, or one a group of stores?

    python examples/stores.py

Claim: where stores are of a few kinds, a model a kind, found by held-out loss, serves new rows
better than one model for all and than one a store; a store that opens later is served by the model
for all, until a few of its days say of which kind it is.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

from skgroup.inspection import PopulationPathDisplay
from skgroup.populations import PooledTasksRegressor

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--n-days", type=int, default=40)
parser.add_argument("--plot", type=Path, default=Path("stores.png"))
args = parser.parse_args()

#: How sales answer to price, advertising and rain: stores downtown, in suburbs, at the seaside.
KINDS = {"downtown": (-1, 2, 0.5), "suburb": (-3, 1, 1), "seaside": (-1, 0, -3)}


def days_of(stores, n_days, seed):
    """Days of stores of a kind each, and what they sold."""
    rng = np.random.default_rng(seed)
    store = np.repeat(list(stores), n_days)
    days = pd.DataFrame(rng.normal(size=(len(store), 3)), columns=["price", "ads", "rain"])
    effect = np.array([KINDS[stores[name]] for name in store])
    sales = 20 + (days.to_numpy() * effect).sum(axis=1) + rng.normal(scale=3, size=len(store))
    return days.assign(store=store), sales


stores = {f"store {i:02d}": kind for i, kind in enumerate(list(KINDS) * 6)}
days, sales = days_of(stores, args.n_days, seed=0)

# The question, and the answer: how many models, for whom.
model = PooledTasksRegressor(task="store", random_state=0).fit(days, sales)
print(model.verdict_)
for group, members in model.groups_.groupby("group"):
    kinds = sorted({stores[name] for name in members.index})
    print(f"group {group}: {len(members)} stores, in truth of the {', '.join(kinds)}")

# On days to come.
later, sold = days_of(stores, 200, seed=1)
for name, ways in {
    "one for all": {"n_groups": 1, "shrinkage": np.inf},
    "one each": {"n_groups": len(stores)},
}.items():
    other = PooledTasksRegressor(task="store", random_state=0, **ways).fit(days, sales)
    print(f"R² of {name}: {other.score(later, sold):.2f}")
print(f"R² of what was chosen: {model.score(later, sold):.2f}")

# A store that opens later.
opened, first_sales = days_of({"new store": "seaside"}, 210, seed=2)
r2 = r2_score(first_sales[10:], model.predict(opened[10:]))
print(f"R² of a new store, served by the model for all: {r2:.2f}")
model.assign(opened[:10], first_sales[:10])
r2 = r2_score(first_sales[10:], model.predict(opened[10:]))
print(f"R² once ten days gave it group {model.assigned_['new store']}: {r2:.2f}")

PopulationPathDisplay.from_estimator(model).figure_.savefig(args.plot)
print(f"The path from one model for all to one each is drawn in {args.plot}.")
