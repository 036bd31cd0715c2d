"""A portfolio of all-tasks, specialist and single-task nets beside the plain grouped fit."""

from benchmarks.harness import case, compare
from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier
from skgroup.datasets import load_digit_tasks
from skgroup.training.costs import count_nets

RECIPE = {"n_groups": 3, "random_state": 0}


@case("portfolio", target="at most 2 times the plain grouped fit")
def portfolio(size, repeats):
    bunch = load_digit_tasks()
    X, Y = bunch.data, bunch.target
    net = MultiTaskNet.stg_mtl(
        module__hidden_units=(64, 64), max_epochs=50 if size == "full" else 15
    )
    plain = GroupedMTLClassifier(net, **RECIPE)
    members = [
        ("all_tasks", GroupedMTLClassifier.mtl(net)),
        ("groups", GroupedMTLClassifier(net, n_groups=3)),
        ("single_tasks", GroupedMTLClassifier.stl(net)),
    ]
    plain.fit(X[:200], Y[:200])  # what a process loads only once
    for refit, at_least in ((False, 0.5), (True, 0.0)):
        many = PortfolioClassifier(members, cv=0.2, refit=refit, random_state=0)
        times = compare(lambda many=many: many.fit(X, Y), lambda: plain.fit(X, Y), repeats)
        n_nets, n_plain = (int(count_nets(clf, Y.shape[1])) for clf in (many, plain))
        yield times.row(
            f"{len(X)} digits, 1 + 3 + {Y.shape[1]} nets, one split, refit={refit}",
            rival=f"plain grouped fit ({n_plain} nets)",
            ours=f"({n_nets} nets)",
            at_least=at_least,
        )
