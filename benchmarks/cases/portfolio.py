"""A portfolio of all-tasks, specialist and single-task nets beside the plain grouped fit."""

from benchmarks.harness import case, compare
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import load_digit_tasks

RECIPE = {"n_groups": 3, "random_state": 0}


@case("portfolio", target="at most 2 times the plain grouped fit")
def portfolio(size, repeats):
    bunch = load_digit_tasks()
    X, Y = bunch.data, bunch.target
    net = MultiTaskNet(module__hidden_units=(64, 64), max_epochs=50 if size == "full" else 15)
    plain = GroupedMTLClassifier(net, **RECIPE)
    params = {"n_mtl_nets": 1, "stl_nets": True, "serving": "learned", "threshold": "tuned"}
    plain.fit(X[:200], Y[:200])  # what a process loads only once
    for refit, at_least in ((False, 0.5), (True, 0.0)):
        many = GroupedMTLClassifier(net, **RECIPE, **params, refit=refit)
        times = compare(lambda many=many: many.fit(X, Y), lambda: plain.fit(X, Y), repeats)
        n_nets, n_plain = (clf.count_nets(Y.shape[1])["total"] for clf in (many, plain))
        yield times.row(
            f"{len(X)} digits, 1 + 3 + {Y.shape[1]} nets, learned and tuned, refit={refit}",
            rival=f"plain grouped fit ({n_plain} nets)",
            ours=f"({n_nets} nets)",
            at_least=at_least,
        )
