"""A grid over the grouping: `Pipeline(memory=...)` beside training the base net every time."""

import tempfile
from unittest import mock

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from benchmarks.harness import case, compare
from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks

GRID = {
    "grouper__fuzzykmeans__n_clusters": [2, 3, 4],
    "grouper__fuzzykmeans__fuzziness": [1.5, 2.0, 3.0],
}


@case("grid search", target="one training of the base net a fold, and one to refit")
def grid_search(size, repeats):
    bunch = load_digit_tasks()
    X, Y = bunch.data, bunch.target
    if size == "quick":
        X, Y = X[::3], Y[::3]
    net = MultiTaskNet.stg_mtl(max_epochs=20 if size == "full" else 5, module__hidden_units=(32,))
    trainings = {}

    def search(memory):
        grouping = make_pipeline(
            TaskGrouper(net, random_state=0), FuzzyKMeans(random_state=0), memory=memory
        )
        clf = GroupedMTLClassifier(net, grouping, random_state=0)
        with mock.patch.object(
            TaskGrouper, "fit", autospec=True, side_effect=TaskGrouper.fit
        ) as fit:
            result = GridSearchCV(clf, GRID, scoring="f1_macro", cv=3).fit(X, Y)
        trainings[memory is not None] = fit.call_count
        return result

    def with_memory():
        with tempfile.TemporaryDirectory() as folder:
            search(folder)

    make_pipeline(TaskGrouper(net)).fit(X[:100], Y[:100])  # what a process loads only once
    times = compare(with_memory, lambda: search(None), repeats)
    yield times.row(
        f"{len(X)} digits, {Y.shape[1]} tasks, 3 x 3 candidates, 3 folds",
        rival=f"({trainings[False]} trainings of the base net)",
        ours=f"({trainings[True]} trainings)",
        met=trainings[True] == 4,
    )
