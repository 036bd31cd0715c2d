"""What it costs to keep what a killed fit needs to go on."""

import tempfile

from sklearn.base import clone

from benchmarks.cases.training import make_tasks
from benchmarks.harness import case, compare, torch_threads
from skgroup import GroupedMTLClassifier, MultiTaskNet


@case("checkpoint", target="at most 3 % longer than without, at the default interval")
def checkpoint(size, repeats):
    n_samples, max_epochs = (8_000, 40) if size == "full" else (2_000, 15)
    X, Y = make_tasks(n_samples, 10, (20,))
    net = MultiTaskNet(max_epochs=max_epochs, random_state=0)
    plain = MultiTaskNet.stg_mtl(max_epochs=max_epochs, random_state=0)
    for name, estimator in {
        "the default net": net,
        "3 groups of a plain net": GroupedMTLClassifier(plain, n_groups=3, random_state=0),
    }.items():
        with torch_threads(1), tempfile.TemporaryDirectory() as folder:
            kept = clone(estimator).set_params(checkpoint=folder)
            times = compare(
                lambda made=kept: clone(made).fit(X, Y),
                lambda made=estimator: clone(made).fit(X, Y),
                repeats,
            )
        yield times.row(f"{name}, with a folder", rival="(without)", at_least=1 / 1.03)
