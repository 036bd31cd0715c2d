import pickle
import re

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skgroup import FuzzyKMeans, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks

pd = pytest.importorskip("pandas")


class Recorded(Callback):
    """All that training steps computed, to be read again by a literal transcription."""

    steps: list = []  # noqa: RUF012 - one list, found again after the estimator was cloned

    def on_train_begin(self, net, **kwargs):
        Recorded.steps.clear()

    def on_epoch_begin(self, net, **kwargs):
        Recorded.steps.append([])

    def on_batch_end(self, net, batch, y_pred, **kwargs):
        logits = y_pred.detach().double().sigmoid().numpy()
        Recorded.steps[-1].append((batch[1]["index"].numpy(), logits))


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_data_map_equals_a_literal_transcription_on_a_recorded_run(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(
        module__hidden_units=(16,),
        module__dropout=0.3,  # the maps see what the training step saw
        max_epochs=6,
        lr=0.01,
        callbacks=[Recorded()],
    )
    grouper = TaskGrouper(net, snapshot_epochs=[1, 4, 6], random_state=0).fit(X, Y)

    probability = np.full((6, len(X), Y.shape[1]), np.nan)
    for epoch, batches in enumerate(Recorded.steps):
        for index, p in batches:
            for row, i in enumerate(index):
                for t in range(Y.shape[1]):
                    probability[epoch, i, t] = p[row, t] if Y[i, t] == 1 else 1 - p[row, t]
    expected = np.empty((Y.shape[1], 3, len(X), 2))
    for t in range(Y.shape[1]):
        for s, epoch in enumerate([1, 4, 6]):
            for i in range(len(X)):
                so_far = probability[:epoch, i, t]
                mean = sum(so_far) / epoch
                expected[t, s, i, 0] = mean
                expected[t, s, i, 1] = np.sqrt(sum((so_far - mean) ** 2) / epoch)
    assert grouper.data_map_.shape == expected.shape
    np.testing.assert_allclose(grouper.data_map_, expected, atol=2e-6)
    assert (grouper.data_map_[:, 0, :, 1] == 0).all()  # one epoch has no spread
    np.testing.assert_array_equal(grouper.transform(X), grouper.data_map_.reshape(Y.shape[1], -1))


@pytest.mark.parametrize(
    ("snapshot_epochs", "expected"),
    [
        (1, [7]),
        (2, [4, 7]),
        (5, [1, 3, 4, 6, 7]),
        (100, [1, 2, 3, 4, 5, 6, 7]),
        ("all", [1, 2, 3, 4, 5, 6, 7]),
        ([5, 2], [2, 5]),
    ],
)
def test_snapshots_are_evenly_spaced_or_as_listed(digits, small_net, snapshot_epochs, expected):
    X, Y = digits
    net = small_net.set_params(max_epochs=7)
    grouper = TaskGrouper(net, snapshot_epochs=snapshot_epochs).fit(X[:80], Y[:80, -5:])
    assert grouper.snapshot_epochs_ == expected
    assert grouper.data_map_.shape == (5, len(expected), 80, 2)


@pytest.mark.parametrize("snapshot_epochs", [[0], [1, 5], [], [2, 2], [1.5], "some", 0])
def test_wrong_snapshots_are_refused(digits, small_net, snapshot_epochs):
    with pytest.raises(ValueError, match="The 'snapshot_epochs' parameter of TaskGrouper must be"):
        TaskGrouper(small_net, snapshot_epochs=snapshot_epochs).fit(*digits)


def test_snapshots_of_training_that_ends_early_end_with_its_last_epoch(digits, small_net):
    X, Y = digits
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0)
    net = small_net.set_params(max_epochs=50, callbacks=[stop])
    grouper = TaskGrouper(net, snapshot_epochs=[1, 40, 50]).fit(X, Y)
    last = len(grouper.estimator_.history_)
    assert last < 40
    assert grouper.snapshot_epochs_ == [1, last]
    assert grouper.data_map_.shape[1] == 2


@pytest.mark.parametrize("source", ["mtl", "stl"])
def test_isometric_rows_have_the_distances_of_raw_rows(digits, small_net, source):
    X, Y = digits
    raw = TaskGrouper(small_net, source=source, snapshot_epochs=3, random_state=0)
    isometric = clone(raw).set_params(output="isometric")
    long_rows, short_rows = raw.fit_transform(X, Y), isometric.fit_transform(X, Y)
    assert short_rows.shape[0] == 15
    assert short_rows.shape[1] <= 15
    np.testing.assert_allclose(pdist(short_rows), pdist(long_rows.astype(float)), rtol=1e-10)
    np.testing.assert_array_equal(isometric.data_map_, raw.data_map_[:, -1:])
    names = isometric.get_feature_names_out()
    assert list(names[:2]) == ["isometric0", "isometric1"]
    assert len(names) == short_rows.shape[1]


@pytest.mark.parametrize("source", ["mtl", "stl"])
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_permuting_tasks_permutes_maps_and_memberships(digits, small_net, zero_heads, source):
    X, Y = digits
    small_net.set_params(module=zero_heads)
    order = np.random.RandomState(0).permutation(15)
    grouper = TaskGrouper(small_net, source=source, random_state=0)
    rows = grouper.fit_transform(X, Y)
    permuted = clone(grouper).fit_transform(X, Y[:, order])
    np.testing.assert_allclose(permuted, rows[order], atol=1e-4)
    kmeans = FuzzyKMeans(3, random_state=0)
    membership, moved = kmeans.fit_transform(rows), clone(kmeans).fit_transform(permuted)
    # The order of the clusters is free.
    together = (membership @ membership.T)[np.ix_(order, order)]
    np.testing.assert_allclose(moved @ moved.T, together, atol=1e-3)


@pytest.mark.parametrize("source", ["mtl", "stl"])
def test_same_seed_same_maps_bitwise(digits, small_net, source):
    X, Y = digits
    X_before, Y_before = X.copy(), Y.copy()
    grouper = TaskGrouper(small_net, source=source, random_state=3)
    first, second = grouper.fit_transform(X, Y).copy(), clone(grouper).fit_transform(X, Y)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, clone(grouper).set_params(random_state=4).fit_transform(X, Y))
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(Y, Y_before)


def test_seed_of_the_estimator_counts_where_the_grouper_has_none(digits, small_net):
    X, Y = digits
    grouper = TaskGrouper(small_net.set_params(random_state=5))
    np.testing.assert_array_equal(grouper.fit_transform(X, Y), clone(grouper).fit_transform(X, Y))


def test_single_task_source_trains_one_net_a_task_and_processes_change_nothing(digits, small_net):
    X, Y = digits
    grouper = TaskGrouper(small_net, source="stl", random_state=0).fit(X, Y[:, :4])
    assert [net.n_tasks_ for net in grouper.estimators_] == [1, 1, 1, 1]
    assert grouper.data_map_.shape == (4, 4, 600, 2)
    alone = TaskGrouper(small_net, source="stl", random_state=0).fit(X, Y[:, [2]])
    np.testing.assert_allclose(grouper.data_map_[2:3], alone.data_map_, atol=1e-6)
    parallel = clone(grouper).set_params(n_jobs=2).fit(X, Y[:, :4])
    np.testing.assert_allclose(parallel.data_map_, grouper.data_map_, atol=1e-6)


def test_similar_tasks_have_near_maps(digits):
    # "less than 5" and "5 or more" are one task told in two ways; random labels are like nothing.
    X, Y = digits
    grouper = TaskGrouper(MultiTaskNet.stg_mtl(max_epochs=20, lr=0.005), random_state=0)
    distance = squareform(pdist(grouper.fit_transform(X, Y)))
    np.fill_diagonal(distance, np.inf)
    assert distance[10].argmin() == 11
    assert distance[11].argmin() == 10
    assert distance[:14, :14].min(axis=1).max() < distance[14].max()
    confidence = grouper.data_map_[:, -1, :, 0].mean(axis=1)
    assert confidence.argmin() == 14


# -- missing labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_hiding_labels_leaves_the_grouping_nearly_unchanged(seed):
    X, Y = load_digit_tasks(return_X_y=True)
    hidden = Y.astype(float)
    hidden[np.random.RandomState(seed).rand(*Y.shape) < 0.3] = np.nan
    grouper = TaskGrouper(MultiTaskNet.stg_mtl(), random_state=seed)
    complete, sparse = grouper.fit_transform(X, Y), clone(grouper).fit_transform(X, hidden)
    assert np.isfinite(sparse).all()
    kmeans = FuzzyKMeans(2, random_state=0)
    score = adjusted_rand_score(kmeans.fit(complete).labels_, clone(kmeans).fit(sparse).labels_)
    assert score > 0.8


def test_tasks_do_not_look_alike_because_both_are_sparse(digits):
    # An easy task and the random one, both without four of five labels, the same ones or not.
    X, Y = digits
    easy, random = 0, 14
    for same_rows in (True, False):
        hidden = Y.astype(float)
        rng = np.random.RandomState(0)
        rows = rng.rand(len(X)) < 0.8
        hidden[rows, easy] = np.nan
        hidden[rows if same_rows else rng.rand(len(X)) < 0.8, random] = np.nan
        grouper = TaskGrouper(MultiTaskNet.stg_mtl(max_epochs=30, lr=0.003), random_state=0)
        distance = squareform(pdist(grouper.fit_transform(X, hidden)))
        # The sparse easy task stays nearer to every other digit than to the sparse random one.
        assert distance[easy, 1:10].max() < distance[easy, random]


# -- scikit-learn's interface ------------------------------------------------------------------


def test_names_of_columns_say_statistic_epoch_and_sample(digits, small_net):
    X, Y = digits
    grouper = TaskGrouper(small_net, snapshot_epochs=[2, 4]).fit(X[:30], Y[:30, -5:-1])
    names = grouper.get_feature_names_out()
    assert list(names[:3]) == [
        "confidence_epoch2_sample0",
        "variability_epoch2_sample0",
        "confidence_epoch2_sample1",
    ]
    assert names[-1] == "variability_epoch4_sample29"
    assert len(names) == grouper.transform(X).shape[1]


def test_set_output_gives_a_frame_with_a_row_a_task(digits, small_net):
    X, Y = digits
    frame = pd.DataFrame(Y[:, -5:], columns=list("abcde"))
    grouper = TaskGrouper(small_net, snapshot_epochs=1, random_state=0).set_output(
        transform="pandas"
    )
    rows = grouper.fit_transform(pd.DataFrame(X, index=np.arange(600) + 7), frame)
    assert list(rows.index) == list("abcde")
    assert list(rows.columns) == list(grouper.get_feature_names_out())
    assert list(grouper.task_names_in_) == list("abcde")
    np.testing.assert_array_equal(rows.to_numpy(), grouper.data_map_.reshape(5, -1))


def test_transform_looks_at_no_sample(digits, small_net):
    X, Y = digits
    grouper = TaskGrouper(small_net, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(grouper.transform(X[:1] + 9), grouper.transform(X))
    with pytest.raises(ValueError, match="X has 3 features, but TaskGrouper is expecting 64"):
        grouper.transform(X[:, :3])


def test_pickled_grouper_transforms_alike(digits, small_net):
    X, Y = digits
    grouper = TaskGrouper(small_net, random_state=0).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(grouper))
    np.testing.assert_array_equal(loaded.transform(X), grouper.transform(X))
    np.testing.assert_array_equal(loaded.estimator_.predict(X), grouper.estimator_.predict(X))


def test_any_module_can_make_the_maps(digits):
    class Towers(nn.Module):
        def __init__(self, n_features, task_outputs, width=8):
            super().__init__()
            self.trunk = nn.Linear(n_features, width)
            self.towers = nn.ModuleList(nn.Linear(width, k) for k in task_outputs)

        def forward(self, x):
            h = self.trunk(x).relu()
            return [tower(h) for tower in self.towers]

    X, Y = digits
    kinds = np.column_stack([Y[:, 0], Y[:, :10].argmax(axis=1)])
    grouper = TaskGrouper(MultiTaskNet.stg_mtl(Towers, max_epochs=3), random_state=0).fit(X, kinds)
    assert grouper.data_map_.shape == (2, 3, 600, 2)
    assert ((grouper.data_map_ >= 0) & (grouper.data_map_ <= 1)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"source": "both"}, "The 'source' parameter of TaskGrouper must be a str among"),
        ({"output": "flat"}, "The 'output' parameter of TaskGrouper must be a str among"),
        ({"estimator": "net"}, "The 'estimator' parameter of TaskGrouper must be an instance of"),
    ],
)
def test_wrong_parameters_are_named(digits, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TaskGrouper(**params).fit(*digits)


def test_verbose_shows_progress(digits, small_net, capsys):
    TaskGrouper(small_net, verbose=1).fit(*digits)
    assert "data maps" in capsys.readouterr().err
    TaskGrouper(small_net).fit(*digits)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("source", ["mtl", "stl"])
def test_spread_may_be_that_of_a_sample_of_epochs(digits, small_net, source):
    X, Y = digits[0][:100], digits[1][:100, :4]
    options = {"source": source, "snapshot_epochs": "all", "random_state": 0}
    of_all = TaskGrouper(small_net, **options).fit(X, Y).data_map_
    of_sample = TaskGrouper(small_net, ddof=1, **options).fit(X, Y)
    np.testing.assert_array_equal(of_sample.data_map_[..., 0], of_all[..., 0])
    confidence = np.diff(of_all[..., 0] * np.arange(1, 5)[:, None], axis=1, prepend=0)
    for e in (2, 3, 4):
        expected = confidence[:, :e].std(axis=1, ddof=1)
        np.testing.assert_allclose(of_sample.data_map_[:, e - 1, :, 1], expected, atol=1e-4)
    assert (of_sample.data_map_[:, 0, :, 1] == 0).all()
    rows = clone(of_sample).set_params(output="isometric").fit_transform(X, Y)
    np.testing.assert_allclose(pdist(rows), pdist(of_sample.transform(X)), rtol=1e-3)
    with pytest.raises(ValueError, match="'ddof' parameter"):
        TaskGrouper(small_net, ddof=2).fit(X, Y)
