"""`report`: advised calls run as they stand, their results are joined, stable groups come first."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier
from skgroup.inspection import partners, report
from skgroup.inspection._report_blocks import Call
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupStability

pytest.importorskip("pandas")
NET = MultiTaskNet(max_epochs=1, module__hidden_units=(8,), module__n_members=1)


def make_tasks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    return X, (X[:, [0, 0, 0, 1, 1, 1]] + 0.3 * rng.normal(size=(120, 6)) > 0).astype(int)


def grouped(n_groups=2):
    grouper = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(n_groups, n_init=1))
    return GroupedMTLClassifier(NET, grouper, random_state=0)


def estimators():
    pipe = make_pipeline(StandardScaler(), grouped())
    members = [("forest", RandomForestClassifier(3)), ("scaled", pipe), ("net", NET)]
    grid = {"groupedmtlclassifier__min_membership": [0.0]}
    return {
        "grouped": grouped(),
        "pipeline": pipe,
        "search": GridSearchCV(pipe, grid, cv=KFold(2)),
        "net": NET,
        "portfolio": PortfolioClassifier([*members[::2], ("grouped", grouped())], cv=2),
        "of a pipeline": PortfolioClassifier(members, cv=2),
    }


@pytest.mark.parametrize("name", estimators())
def test_advised_calls_run(name, monkeypatch):
    X, Y = make_tasks()
    clf = estimators()[name].fit(X, Y)
    fit = GroupStability.fit
    cheap = {"n_repetitions": 2, "n_references": 19}
    monkeypatch.setattr(GroupStability, "fit", lambda s, *a: fit(s.set_params(**cheap), *a))
    known = {"GroupStability": GroupStability, "partners": partners, "report": report}
    advised = [
        block.code
        for section in report(clf, X=X, Y=Y).sections
        for block in section.blocks
        if isinstance(block, Call) and "compare(" not in block.code
    ]
    for code in advised:
        exec(code, {"clf": clf, "X": X, "Y": Y, **known})
    assert any("GroupStability(" in code for code in advised) == (name != "net")
    holds_pairs = name in ("grouped", "pipeline", "search")
    assert any("partners=partners(" in code for code in advised) != holds_pairs


def test_without_a_net_no_partners_are_advised():
    forest = PortfolioClassifier([("forest", RandomForestClassifier(3))], cv=2)
    text = str(report(forest.fit(*make_tasks())))
    assert "Not measured: there is no net that could be watched." in text
    assert "partners(" not in text


def test_of_another_number_of_groups_the_stable_ones_are_named_first():
    X, Y = make_tasks()
    clf = grouped(3).fit(X, Y)
    of_two = GroupStability.from_memberships([np.eye(2)[[0, 0, 0, 1, 1, 1]]] * 5, random_state=0)
    text = " ".join(report(clf, stability=of_two).sections[0].to_text().split())
    answer = "Which tasks belong together? 2 groups: task 0, task 1, task 2; task 3, task 4, task 5"
    assert f"{answer}. This fit put together, in 3 groups:" in text


def test_partners_stand_beside_groups_with_names():
    X, Y = make_tasks()
    groups = {"animals": [0, 1, 2], "trees": [3, 4, 5]}
    clf = GroupedMTLClassifier(NET, groups, random_state=0).fit(X, Y)
    table = partners(clf, X, Y)
    text = " ".join(str(report(clf, partners=table)).split())
    best = int(table["best_in_group"].sum())
    assert f"The best partner of {best} of 6 tasks is in the task's own group" in text
    assert "partners drawn at random would be for 2.4." in text  # 2 of the 5 others, 6 times
