"""Balanced nets in `compare`: candidates, judged by nets without balancing."""

import pytest
from comparing import make_data
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
from skgroup.nn import MLP

pytestmark = pytest.mark.usefixtures("few_trees")


def net(**params):
    params = {"max_epochs": 1, "module__hidden_units": (4,), **params}
    return MultiTaskNet.stg_mtl(MLP, **params)


def run(candidates, **options):
    X, Y = make_data()
    return compare(X, Y, candidates, seeds=2, **options)


@pytest.mark.parametrize("named", [True, False])
def test_a_balanced_net_is_judged_by_the_net_without(named):
    balanced = net(balancing="gradnorm", balancing__alpha=0.5)
    found = run({"mine": balanced} if named else balanced)
    assert found.candidates == ["MTL", "STL", "forest", "mine" if named else "balanced"]
    assert found.kinds == ["MTL", "STL", "other", "balanced"]
    assert found.baselines == ["MTL", "STL", "forest"]
    plain = run({"plain": GroupedMTLClassifier.mtl(net())})
    assert (found.values[0] == plain.values[0]).all()
    assert not (found.values[3] == plain.values[0]).all()


def test_a_pipeline_of_a_balanced_net_is_judged_by_one_without():
    scaled = make_pipeline(StandardScaler(), net(balancing="pcgrad"))
    found = run({"pc": scaled})
    assert found.kinds == ["MTL", "STL", "other", "balanced"]
    plain = make_pipeline(StandardScaler(), GroupedMTLClassifier.mtl(net()))
    assert (found.values[0] == run({"plain": plain}).values[0]).all()


def test_groups_of_balanced_nets_are_judged_by_nets_without():
    grouped = GroupedMTLClassifier(net(balancing="uncertainty"), n_groups=2)
    found = run(grouped)
    assert found.kinds == ["MTL", "STL", "MTL", "other", "grouped"]
    assert (found.values[0] == run({"plain": GroupedMTLClassifier.mtl(net())}).values[0]).all()


def test_a_balanced_net_of_all_tasks_is_no_baseline():
    balanced = GroupedMTLClassifier.mtl(net(balancing="pcgrad"))
    found = run({"pc": make_pipeline(StandardScaler(), balanced), "plain": net()})
    assert found.kinds == ["balanced", "MTL"]
    assert found.baselines == ["plain"]
    assert "single-task nets" in str(found)


def test_what_a_balanced_net_was_not_set_beside_is_said():
    found = run({"pc": net(balancing="pcgrad"), "stl": GroupedMTLClassifier.stl(net())})
    assert "multi-task nets without balancing (GroupedMTLClassifier.mtl)" in str(found)
    # Asked for as a baseline, it is one.
    assert run({"pc": net(balancing="pcgrad")}, baselines="pc").baselines == ["pc"]
