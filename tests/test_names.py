"""Names decide which column is which; labels are read as what they are, and positives as told."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier, compare
from skgroup.selection import GroupGains, GroupSelector, HigherOrderApproximation
from skgroup.tasks import check_tasks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 5)).astype(np.float32)
Y = pd.DataFrame({"a": X[:, 0] > 0, "b": X[:, 1] > 0, "c": X[:, 2] > 0}).astype(int)
SHUFFLED = Y[["b", "c", "a"]]


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=15, lr=0.02, random_state=0)


def test_further_training_matches_columns_by_name(net):
    again = clone(net).fit(X, Y).partial_fit(X, SHUFFLED)
    same = clone(net).fit(X, Y).partial_fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), same.predict_proba(X))
    assert again.task_names_in_.tolist() == list("abc")


@pytest.mark.parametrize("grouped", [False, True])
def test_score_matches_columns_by_name(net, grouped):
    clf = (GroupedMTLClassifier(net, n_groups=2, random_state=0) if grouped else net).fit(X, Y)
    assert clf.score(X, SHUFFLED) == clf.score(X, Y) > 0.9
    assert clf.score(X, Y.to_numpy()) == clf.score(X, Y)  # positions where there are no names
    assert clf.score(X, pd.DataFrame(Y.to_numpy())) == clf.score(X, Y)
    with pytest.raises(ValueError, match=r"Missing: c\. New: d\."):
        clf.score(X, Y.rename(columns={"c": "d"}))


def test_memberships_and_task_weights_match_tasks_by_name(net):
    membership = pd.DataFrame([[1, 0], [0, 1], [0.5, 0.5]], index=list("abc"))
    clf = GroupedMTLClassifier(net, membership.loc[["c", "a", "b"]], random_state=0).fit(X, Y)
    np.testing.assert_array_equal(clf.membership_, membership)
    weight = pd.Series([1.0, 2.0, 3.0], index=list("abc"))
    nets = [clone(net).set_params(task_weight=w).fit(X, Y) for w in (weight, weight[::-1])]
    np.testing.assert_array_equal(nets[0].predict_proba(X), nets[1].predict_proba(X))
    with pytest.raises(ValueError, match="Missing: b"):
        GroupedMTLClassifier(net, membership.rename({"b": "d"})).fit(X, Y)


def test_two_tasks_of_one_name_are_refused(net):
    with pytest.raises(ValueError, match=r"different names\. Got a more than once"):
        net.fit(X, Y[["a", "b", "a"]])


@pytest.mark.parametrize("labels", [Y.to_numpy(), np.where(Y, "yes", "no"), Y.to_numpy(bool)])
def test_a_mask_is_missing_labels(labels):
    mask = np.zeros(labels.shape, bool)
    mask[::3, 1] = True
    table = check_tasks(np.ma.array(labels, mask=mask))
    plain = check_tasks(np.ma.array(labels))  # nothing is masked
    np.testing.assert_array_equal(table.codes < 0, mask)
    np.testing.assert_array_equal(table.codes[~mask], plain.codes[~mask])
    assert [c.tolist() for c in table.classes] == [c.tolist() for c in plain.classes]


def test_polars_tables_are_read_as_those_of_pandas():
    pl = pytest.importorskip("polars")
    table = check_tasks(pl.DataFrame({"a": [1, 0, None], "b": ["x", None, "y"]}))
    assert table.names.tolist() == ["a", "b"]
    np.testing.assert_array_equal(table.codes, [[1, 0], [0, -1], [-1, 1]])
    one = check_tasks(pl.Series("a", [True, False, None]))
    assert one.is_1d
    np.testing.assert_array_equal(one.codes[:, 0], [1, 0, -1])


def test_integers_beyond_64_bits_are_refused_and_others_kept():
    large = 2**63 + 1
    table = check_tasks([[large], [large + 1], [None]])
    assert table.classes[0].tolist() == [large, large + 1]
    with pytest.raises(ValueError, match="which no integer of 64 bits can hold"):
        check_tasks(np.array([[2**70], [1]], dtype=object))


def test_lists_of_labels_a_sample_are_refused_with_the_remedy():
    for labels in ([["a", "b"], ["a"], []], [{"a"}, {"b", "a"}]):
        with pytest.raises(ValueError, match="MultiLabelBinarizer"):
            check_tasks(labels)


def test_many_distinct_integers_are_said_to_look_like_a_regression_target():
    with pytest.warns(UserWarning, match="could be a regression target"):
        check_tasks(np.arange(100))
    check_tasks(np.arange(100) // 10)


# -- the positive class ------------------------------------------------------------------------

TREE = {"tree": DecisionTreeClassifier(max_depth=2)}
STRINGS = pd.DataFrame(np.where(Y, "active", "inactive"), columns=list("abc"))


def test_without_a_positive_class_fit_goes_on_and_f1_says_what_it_needs(net):
    net.fit(X, STRINGS)
    assert net.classes_[0].tolist() == ["active", "inactive"]
    with pytest.raises(ValueError, match="set the 'pos_label' parameter"):
        net.score(X, STRINGS)


def test_the_positive_class_decides_f1_and_weights_alone(net):
    told = clone(net).set_params(pos_label="active").fit(X, STRINGS)
    codes = clone(net).fit(X, Y)  # 1 where active
    assert told.classes_[0].tolist() == ["active", "inactive"]
    np.testing.assert_allclose(
        told.loss_weights_["class_weight"][:, 0], codes.loss_weights_["class_weight"][:, 1]
    )
    np.testing.assert_array_equal(told.predict(X) == "active", told.predict_proba(X) < 0.5)
    assert told.score(X, STRINGS) > 0.9


def test_an_ordered_categorical_has_its_last_class_for_positive(net):
    kind = pd.CategoricalDtype(["low", "high"], ordered=True)  # sorted: high, low
    table = pd.DataFrame(np.where(Y, "high", "low"), columns=list("abc")).astype(kind)
    net.fit(X, table)
    assert net.classes_[0].tolist() == ["high", "low"]
    assert net.score(X, table) > 0.9


@pytest.mark.parametrize("threshold", [0.2, "tuned"])
def test_thresholds_are_those_of_the_positive_class(net, threshold):
    told = clone(net).set_params(pos_label="active")
    params = {"cv": 2, "threshold": threshold, "random_state": 0}
    clf = PortfolioClassifier([("net", told)], **params).fit(X, STRINGS)
    active = 1 - clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict(X) == "active", active > clf.thresholds_)
    with pytest.warns(UserWarning, match=r"their threshold is 0\.5; .* 'pos_label' parameter"):
        clf = PortfolioClassifier([("net", net)], **params).fit(X, STRINGS)
    np.testing.assert_array_equal(clf.thresholds_, 0.5)


@pytest.mark.parametrize("scoring", ["f1_macro", "precision", "roc_auc", "accuracy"])
def test_compare_scores_the_positive_class(net, scoring):
    told = {"near": KNeighborsClassifier(5), "net": net.set_params(max_epochs=1)}
    codes = compare(X, Y, told, seeds=1, scoring=scoring)
    if scoring in ("f1_macro", "precision"):
        with pytest.raises(ValueError, match=r"must know which class of task 0 \('a'\)"):
            compare(X, STRINGS, told, seeds=1, scoring=scoring)
    told["net"] = clone(net).set_params(pos_label="active")
    strings = compare(X, STRINGS, told, seeds=1, scoring=scoring)
    np.testing.assert_allclose(strings.values[0], codes.values[0])


# -- classes that a part lacks -----------------------------------------------------------------


def test_score_counts_classes_that_are_nowhere_not_at_all(net):
    y = (X[:, 0] > -0.5).astype(int) + (X[:, 0] > 0.5)
    net.fit(X, y)
    right = (net.predict(X) == y) & (y < 2)
    assert net.score(X[right], y[right]) == 1.0


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "f1_macro", "roc_auc"])
def test_a_class_that_a_test_part_lacks_loses_no_fit(scoring):
    rare = Y.to_numpy().copy()
    rare[:, 2] = 0
    rare[:3, 2] = 1
    found = compare(X, rare, TREE, seeds=4, scoring=scoring)
    assert not found.errors
    assert np.isfinite(found.values[:, :, :2]).all()


def test_a_score_that_is_defined_nowhere_is_said():
    T = np.column_stack([np.r_[2, np.arange(159) % 2], np.r_[np.arange(159) % 2, 2]])
    found = compare(X, T, TREE, seeds=2, scoring="roc_auc")
    assert found.verdict.startswith("ROC AUC is defined for no task in any split")
    assert "is not defined in some split, and left out there, for task 0, task 1" in repr(found)


def test_a_scorer_that_fails_for_one_task_loses_that_score_alone():
    def fails_on_rare(estimator, X, y):
        if y.mean() < 0.1:
            raise RuntimeError("too few")
        return float((estimator.predict(X) == y).mean())

    rare = Y.to_numpy().copy()
    rare[10:, 1] = 0
    found = compare(X, rare, TREE, seeds=2, scoring=fails_on_rare)
    assert not found.errors
    assert np.isnan(found.values[:, :, 1]).all()
    assert np.isfinite(found.values[:, :, [0, 2]]).all()


def test_a_warm_start_matches_columns_by_name_and_keeps_classes(net):
    first = clone(net).set_params(warm_start=True).fit(X, Y)
    again = first.set_params(max_epochs=1, lr=1e-9).fit(X, SHUFFLED)
    assert again.score(X, Y) > 0.9
    with pytest.raises(ValueError, match=r"Missing: c\. New: d\."):
        again.fit(X, Y.rename(columns={"c": "d"}))
    with pytest.raises(ValueError, match=r"\[0, 1\] for task 0 \('a'\)\. Got \[1, 2\]"):
        again.fit(X, Y + 1)


def test_tasks_named_by_numbers_are_told_by_them(net):
    numbered = Y.set_axis([10, 20, 30], axis=1)
    fitted = net.set_params(pos_label={20: 0}, class_weight={20: {0: 3.0}}, max_epochs=1).fit(
        X, numbered
    )
    assert fitted.positive_codes_.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(fitted.criterion_.weight, [[1, 1], [3, 1], [1, 1]])


@pytest.mark.parametrize("scoring", ["recall", "average_precision"])
def test_compare_leaves_out_scores_of_positives_that_a_test_part_lacks(scoring):
    table = Y.assign(rare=np.arange(len(Y)) < 3)
    split = np.arange(80), np.arange(80, 160)
    candidates = {"tree": MultiOutputClassifier(DecisionTreeClassifier(max_depth=1))}
    found = compare(X, table.astype(int), candidates, cv=[split], seeds=1, scoring=scoring)
    assert np.isnan(found.values[0, 0]).tolist() == [False, False, False, True]


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_labels_of_rarer_containers_are_read_or_refused_by_name():
    for table in (
        np.asmatrix(Y.to_numpy()),
        torch.tensor(Y.to_numpy()).to(torch.bfloat16),
        torch.tensor(Y.to_numpy()).half(),
    ):
        np.testing.assert_array_equal(check_tasks(table).codes, Y)
    with pytest.raises(TypeError, match=r"Y\.to_dense"):
        check_tasks(torch.tensor(Y.to_numpy()).to_sparse())
    strings = getattr(np.dtypes, "StringDType", None)  # since NumPy 2
    if strings is not None:
        table = check_tasks(np.array(["no", "yes"], dtype=strings()))
        assert table.classes[0].tolist() == ["no", "yes"]


def test_lazy_tables_and_dates_of_polars_are_refused(net):
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"pass Y\.collect"):
        check_tasks(pl.DataFrame({"a": [0, 1]}).lazy())
    days = pd.date_range("2020-01-01", periods=len(Y)).to_pydatetime().tolist()
    with pytest.raises(ValueError, match=r"X must hold numbers\. Got dates"):
        net.fit(pl.DataFrame({"a": X[:, 0].tolist(), "day": days}), Y)


def test_unsigned_integers_beyond_those_of_torch_do_not_wrap(net):
    large = (Y.to_numpy() * np.uint64(2**63 + 2**62)).astype(np.uint64)
    fitted = net.set_params(max_epochs=1).fit(large, Y)
    np.testing.assert_array_equal(
        fitted.predict_proba(large), fitted.predict_proba(large.astype(np.float32))
    )


MASKS = pd.DataFrame(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], columns=list("abc")
)
GAINS = pd.DataFrame(np.arange(18.0).reshape(6, 3) ** 2, columns=list("abc"))


def test_masks_and_gains_match_tasks_by_name(net):
    measured = GroupGains(net.set_params(max_epochs=1), masks=MASKS[["c", "a", "b"]]).fit(X, Y)
    np.testing.assert_array_equal(measured.masks_, MASKS)
    with pytest.raises(ValueError, match=r"'masks' parameter.*Missing: c\. New: d\."):
        measured.set_params(masks=MASKS.rename(columns={"c": "d"})).fit(X, Y)

    expected = HigherOrderApproximation().fit(MASKS, GAINS)
    shuffled = HigherOrderApproximation().fit(MASKS, GAINS[["c", "a", "b"]])
    np.testing.assert_array_equal(shuffled.predict(MASKS), expected.predict(MASKS))
    assert shuffled.score(MASKS, GAINS[["b", "c", "a"]]) == expected.score(MASKS, GAINS)

    same = [GroupSelector(2).fit(GAINS, masks=m) for m in (MASKS, MASKS[["c", "a", "b"]])]
    assert [g.tolist() for g in same[0].groups_] == [g.tolist() for g in same[1].groups_]
    np.testing.assert_array_equal(same[0].scores_, same[1].scores_)


def test_a_mask_of_serving_tasks_matches_them_by_name():
    affinity = pd.DataFrame(np.ones((3, 3)), index=list("abc"), columns=list("abc"))
    mask = pd.Series([True, True, False], index=list("cab"))
    selector = GroupSelector(1, max_size=2, serving_tasks=mask).fit(affinity)
    assert [g.tolist() for g in selector.groups_] == [[0, 2]]


def test_measured_gains_may_be_a_table_of_polars():
    pl = pytest.importorskip("polars")
    table = pl.DataFrame(GAINS[["c", "a", "b"]].to_dict("list"))
    selector = GroupSelector(2).fit(table, masks=pl.DataFrame(MASKS.to_dict("list")))
    assert selector.task_names_in_.tolist() == ["c", "a", "b"]
    np.testing.assert_array_equal(
        selector.scores_, GroupSelector(2).fit(GAINS, masks=MASKS).scores_[[2, 0, 1]]
    )
