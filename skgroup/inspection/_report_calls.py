"""The calls that a report advises, as they are written for what it was given."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skgroup.inspection._report_facts import Facts


def report_call(facts: Facts, added: str = "", *, compared: bool = False) -> str:
    """The call of the report with something more, or after tasks were `compared`."""
    given = ["clf"] if facts.estimator is not None else []
    given += ["comparison"] if compared or facts.comparison is not None else []
    return f"report({', '.join([*given, *filter(None, [added])])})"


def stability_call(facts: Facts) -> str:
    """Measures how sure the groups of the estimator are."""
    path, X, last = _last(facts.estimator)
    if (found := facts.grouping_member()) is not None:
        path, X, last = _last(found[1], f"{path}.members_[{found[0]}]", X)
    if hasattr(last, "grouper_"):
        return f"GroupStability({path}.grouper_).fit({X}, Y)"
    return "GroupStability(clf).fit(X, Y)"


def partners_call(facts: Facts) -> str:
    """Measures partners by the net of the estimator; empty where it has none."""
    if facts.estimator is None:
        return "partners(clf, X, Y)"
    path, X, last = _last(facts.estimator)
    if _has_net(last):
        return "partners(clf, X, Y)"
    for i, member in enumerate(getattr(last, "members_", ())):
        if _has_net(_last(member)[2]):
            return f"partners({path}.members_[{i}], {X}, Y)"
    return ""


def _has_net(estimator: Any) -> bool:
    return any(hasattr(estimator, name) for name in ("specialists_", "module_"))


def _last(estimator: Any, path: str = "clf", X: str = "X") -> tuple[str, str, Any]:
    """How the code gets to what predicts at the end of pipelines and searches, what it sees of X,
    and the estimator itself."""
    while True:
        if isinstance(estimator, Pipeline):
            X = f"{path}[:-1].transform({X})" if len(estimator.steps) > 1 else X
            path, estimator = f"{path}[-1]", estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            path, estimator = f"{path}.best_estimator_", estimator.best_estimator_
        else:
            return path, X, estimator
