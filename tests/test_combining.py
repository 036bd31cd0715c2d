"""Ways to combine the predictions of specialists: which of them count, and what is averaged."""

import pickle
import re

import numpy as np
import pytest
import torch
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from skorch.callbacks import Callback

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioClassifier,
)
from skgroup.nn import TabM
from skgroup.training.data import TaskDataset
from skgroup.training.stack import prediction_stack

MEMBERSHIP = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.0, 0.4, 0.6], [0.1, 0.0, 0.9]])
GIVEN = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0], [0.0, 1.0, 1.0], [9.0, 0.0, 1.0]])
THIRD, HALF = 1 / 3, 0.5
WEIGHTS = {
    "membership": MEMBERSHIP,
    "uniform": [[THIRD] * 3, [THIRD] * 3, [0, HALF, HALF], [HALF, 0, HALF]],
    "hard": [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]],
    "given": [[0.25, 0.75, 0], [0, 0, 1], [0, HALF, HALF], [0.9, 0, 0.1]],
}
SERVING = {"given": GIVEN}


def serving_of(name):
    return SERVING.get(name, name)


class NoTraining(Callback):
    """Fails as soon as a net trains."""

    def on_train_begin(self, net, **kwargs):
        raise AssertionError("A net trains.")


def raw_outputs(clf, X, n_outputs):
    """What the module of each specialist puts out, in a dict by (group, task)."""
    of_nets = {}
    for j, (net, tasks) in enumerate(zip(clf.specialists_, clf.specialist_tasks_, strict=True)):
        with torch.no_grad():
            output = net.forward(torch.from_numpy(np.asarray(X, dtype=np.float32))).numpy()
        column = 0
        for t in tasks:
            of_nets[j, t] = output[:, column : column + n_outputs[t]].astype(np.float64)
            column += n_outputs[t]
    return of_nets


def combined_by_loops(of_nets, weights, kinds, mixing):
    """Probabilities (n_samples, n_classes), or standardised numbers, task by task."""
    expected = []
    for t, kind in enumerate(kinds):
        total = 0.0
        for j, weight in enumerate(weights[t]):
            if weight == 0:
                continue
            output = of_nets[j, t]
            if mixing == "logit" or kind == "regression":
                total = total + weight * output
            elif kind == "binary":
                total = total + weight * expit(output)
            else:
                total = total + weight * softmax(output, axis=1)
        if mixing == "logit" and kind == "binary":
            total = expit(total)
        if mixing == "logit" and kind == "multiclass":
            total = softmax(total, axis=1)
        expected.append(np.hstack([1 - total, total]) if kind == "binary" else total)
    return expected


# -- what counts, and what is averaged -------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [64, 20])  # small batches are predicted as a stack
@pytest.mark.parametrize("mixing", ["probability", "logit"])
@pytest.mark.parametrize("serving", WEIGHTS)
def test_predictions_are_combined_as_said(mixed, small_net, serving, mixing, batch_size):
    X, Y = mixed
    clf = GroupedMTLClassifier(
        small_net.set_params(batch_size=batch_size),
        MEMBERSHIP,
        serving=serving_of(serving),
        mixing=mixing,
        pos_label={0: "odd"},
        random_state=0,
    ).fit(X, Y)
    np.testing.assert_allclose(clf.serving_weights_, WEIGHTS[serving])
    np.testing.assert_array_equal(clf.membership_, MEMBERSHIP)
    stack = prediction_stack(clf.specialists_[:2], TaskDataset(torch.from_numpy(X).float()))
    assert (stack is None) == (batch_size == 64)
    kinds = ["binary", "multiclass", "binary", "multiclass"]
    outputs = raw_outputs(clf, X, [1, 3, 1, 5])
    expected = combined_by_loops(outputs, WEIGHTS[serving], kinds, mixing)
    for proba, right in zip(clf.predict_proba(X), expected, strict=True):
        np.testing.assert_allclose(proba, right, atol=1e-5)
    first = clf.classes_[0][(expected[0][:, 1] > 0.5).astype(int)]
    np.testing.assert_array_equal(clf.predict(X)[:, 0], first)
    assert 0 < clf.score(X, Y) <= 1


def test_logits_are_mixed_however_sure_nets_are(digits, small_net):
    X, Y = digits[0][:50], digits[1][:50, 10:12]
    clf = GroupedMTLClassifier(small_net, [[0.5, 0.5], [0.2, 0.8]], mixing="logit", random_state=0)
    clf.fit(X, Y)
    with torch.no_grad():
        for net, factor in zip(clf.specialists_, (400, -100), strict=True):
            for parameter in net.module_.heads.parameters():
                parameter *= factor
    outputs = raw_outputs(clf, X, [1, 1])
    assert abs(outputs[0, 0]).max() > 100
    expected = combined_by_loops(outputs, clf.membership_, ["binary", "binary"], "logit")
    of_second = np.hstack([of_task[:, 1:] for of_task in expected])
    np.testing.assert_allclose(clf.predict_proba(X), of_second, atol=1e-4)


def test_numbers_are_averaged_either_way(partly_measured):
    X, Y = partly_measured
    membership = [[0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]
    net = MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=2)
    est = GroupedMTLEstimator(net, membership, mixing="logit", random_state=0).fit(X, Y)
    kinds = ["binary", "regression", "multiclass", "regression", "binary"]
    expected = combined_by_loops(raw_outputs(est, X, [1, 1, 3, 1, 1]), membership, kinds, "logit")
    proba = est.predict_proba(X)
    for t in (0, 2, 4):
        np.testing.assert_allclose(proba[t], expected[t], atol=1e-5)
    averaged = est.with_serving("membership", "probability")
    assert not np.allclose(averaged.predict_proba(X)[0], proba[0], atol=1e-4)
    for t in (1, 3):
        scale, location = est.target_scaling_.scale[t], est.target_scaling_.location[t]
        number = expected[t][:, 0] * scale + location
        np.testing.assert_allclose(est.predict(X)[:, t], number, rtol=1e-5, atol=1e-5 * scale)
        np.testing.assert_allclose(averaged.predict(X)[:, t], est.predict(X)[:, t])


def test_logits_are_those_of_the_probabilities_that_nets_give(digits):
    X, Y = digits[0][:100], digits[1][:100, 10:13]
    membership = [[0.6, 0.4], [0.5, 0.5], [0.2, 0.8]]
    members = MultiTaskNet(TabM, module__n_members=3, module__hidden_units=(8,), max_epochs=2)
    stacked = clone(members).set_params(batch_size=10)
    flat = MultiTaskNet.stg_mtl(max_epochs=2, predict_nonlinearity=lambda z: torch.sigmoid(z / 3))
    for net in (members, stacked, flat):
        clf = GroupedMTLClassifier(net, membership, mixing="logit", random_state=0).fit(X, Y)
        of_nets = [logit(one.predict_proba(X).astype(float)) for one in clf.specialists_]
        expected = expit(np.einsum("tj,jnt->nt", membership, of_nets))
        np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-5)


def test_one_specialist_predicts_the_same_in_all_ways(digits, small_net):
    X, Y = digits
    plain = GroupedMTLClassifier.mtl(small_net, random_state=0).fit(X, Y)
    for mixing in ("probability", "logit"):
        for serving in ("membership", "uniform", "hard", np.ones((15, 1))):
            other = plain.with_serving(serving, mixing).predict_proba(X)
            np.testing.assert_allclose(other, plain.predict_proba(X), atol=1e-6)


# -- without training ------------------------------------------------------------------------------


@pytest.mark.parametrize("mixing", ["probability", "logit"])
@pytest.mark.parametrize("serving", WEIGHTS)
def test_fitted_specialists_are_combined_anew(digits, small_net, serving, mixing):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP, random_state=0).fit(X, Y)
    before = clf.predict_proba(X)
    combined = clf.with_serving(serving_of(serving), mixing)
    fitted = clone(combined).fit(X, Y)
    np.testing.assert_array_equal(combined.serving_weights_, fitted.serving_weights_)
    np.testing.assert_allclose(combined.predict_proba(X), fitted.predict_proba(X), atol=1e-6)
    assert combined.specialists_ is clf.specialists_
    assert combined.get_params()["mixing"] == mixing
    # The first is as it was, and what was combined can be combined again.
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert (clf.serving, clf.mixing) == ("membership", "probability")
    np.testing.assert_array_equal(
        combined.with_serving("membership", "probability").predict_proba(X), before
    )
    kept = combined.with_serving()  # what is left out stays
    np.testing.assert_array_equal(kept.predict_proba(X), combined.predict_proba(X))
    again = pickle.loads(pickle.dumps(combined))
    np.testing.assert_array_equal(again.predict_proba(X), combined.predict_proba(X))


class Served(BaseEstimator):
    """A grouper that serves tasks by one of the groups that hold them, the last by none."""

    def fit(self, X, y=None):
        self.membership_ = np.array([[1.0, 1.0], [1.0, 2.0], [0.0, 1.0], [0.0, 0.0]])
        self.serving_weights_ = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        return self


@pytest.mark.filterwarnings("ignore:No group holds these tasks")
def test_what_the_grouper_serves_by_stands_for_its_memberships(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    clf = GroupedMTLClassifier(small_net, Served(), random_state=0).fit(X, Y)
    own = Served().fit(X).serving_weights_
    expected = {
        "membership": own,
        "hard": own,
        "uniform": [[0.5, 0.5], [0.5, 0.5], [0, 1], [0, 0]],
        "given": [[0.75, 0.25], [0.5, 0.5], [0, 1], [0, 0]],
    }
    given = [[3, 1], [2, 2], [8, 8], [1, 1]]
    share = Y[:, 3].mean()
    for name, weights in expected.items():
        for mixing in ("probability", "logit"):
            combined = clf.with_serving(given if name == "given" else name, mixing)
            np.testing.assert_allclose(combined.serving_weights_, weights)
            np.testing.assert_allclose(combined.predict_proba(X)[:, 3], share)
    fitted = clone(clf).set_params(serving=given).fit(X, Y)
    np.testing.assert_allclose(fitted.serving_weights_, expected["given"])


def test_heads_that_are_left_out_do_not_count(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP, min_membership=0.35, random_state=0)
    clf.fit(X, Y)
    assert [list(tasks) for tasks in clf.specialist_tasks_] == [[0], [2], [1, 2, 3]]
    uniform = [[1, 0, 0], [0, 0, 1], [0, 0.5, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(clf.with_serving("uniform").serving_weights_, uniform)
    given = np.array([[1, 9, 0], [1, 1, 1], [9, 1, 3], [0, 0, 1]])
    weights = [[1, 0, 0], [0, 0, 1], [0, 0.25, 0.75], [0, 0, 1]]
    np.testing.assert_allclose(clf.with_serving(given).serving_weights_, weights)
    given[0] = [0, 1, 1]
    message = (
        "The 'serving' parameter, where it holds weights, must serve each task by a group that "
        "holds it. Got no such weight for task 0: [0.0, 1.0, 1.0], of groups [0]."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.with_serving(given)
    untrained = clone(clf).set_params(serving=given, estimator__callbacks=[NoTraining()])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        untrained.fit(X, Y)


def test_given_weights_match_tasks_by_name(tasks, small_net):
    pd = pytest.importorskip("pandas")
    X, Y = tasks
    given = pd.DataFrame(GIVEN, index=Y.columns)
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP, serving=given[::-1], random_state=0)
    np.testing.assert_allclose(clf.fit(X, Y).serving_weights_, WEIGHTS["given"])
    again = clf.with_serving("membership").with_serving(given.iloc[[2, 0, 3, 1]])
    np.testing.assert_allclose(again.serving_weights_, WEIGHTS["given"])
    with pytest.raises(ValueError, match=r"rows of the 'serving' parameter.*prime"):
        clf.with_serving(given.rename(index={"prime": "primes"}))


def test_tasks_of_a_single_class_are_served_by_none(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200, -4:].copy()
    Y[:, 1] = 1
    membership = np.column_stack([MEMBERSHIP, [0.0, 1.0, 0.0, 0.0]])  # a group of that task alone
    given = np.column_stack([GIVEN, np.ones(4)])
    given[1] = 0
    expected = np.array(WEIGHTS["given"])
    expected[1] = 0
    clf = GroupedMTLClassifier(small_net, membership, serving=given, random_state=0)
    with pytest.warns(UserWarning, match="single observed class"):
        clf.fit(X, Y)
    np.testing.assert_allclose(clf.serving_weights_, expected)
    for serving in ("membership", "uniform", "hard", given[:, :3]):
        assert (clf.with_serving(serving).serving_weights_[1] == 0).all()
    for mixing in ("probability", "logit"):
        assert (clf.with_serving("uniform", mixing).predict(X)[:, 1] == 1).all()


# -- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"serving": "soft"}, "'serving' parameter"),
        ({"serving": 1.0}, "'serving' parameter"),
        ({"serving": np.ones((3, 3))}, "The 'serving' parameter must be of shape .*n_tasks=4"),
        ({"serving": np.ones((4, 2))}, "'serving' parameter.*a column a group, 3. Got 2"),
        ({"serving": -np.ones((4, 3))}, "The 'serving' parameter must be non-negative"),
        ({"serving": np.full((4, 3), np.nan)}, "The 'serving' parameter must be finite"),
        ({"serving": np.zeros((4, 3))}, "The 'serving' parameter must have no all-zero row"),
        ({"serving": [["a"] * 3] * 4}, "The 'serving' parameter must be an array of numbers"),
        ({"mixing": "logits"}, "'mixing' parameter"),
    ],
)
def test_what_cannot_be_is_refused_before_training(digits, small_net, params, message):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    net = clone(small_net).set_params(callbacks=[NoTraining()])
    with pytest.raises(ValueError, match=message):
        GroupedMTLClassifier(net, MEMBERSHIP, **params).fit(X, Y)
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP, random_state=0).fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        clf.with_serving(**params)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_a_wrong_number_of_groups_is_refused_as_soon_as_it_is_known(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    net = clone(small_net).set_params(callbacks=[NoTraining()])
    with pytest.raises(ValueError, match=r"a group, 3 by n_clusters of FuzzyKMeans\. Got 2"):
        GroupedMTLClassifier(net, n_groups=3, serving=np.ones((4, 2))).fit(X, Y)
    # What a grouper finds is seen before the specialists train.
    with pytest.raises(ValueError, match=r"a column a group, 2\. Got 3"):
        GroupedMTLClassifier(net, Served(), serving=GIVEN).fit(X, Y)


def test_numbers_have_no_logits(partly_measured):
    X, Y = partly_measured
    Y = Y[:, [1, 3]]
    net = MultiTaskNet.stg_mtl(max_epochs=1)
    untrained = clone(net).set_params(callbacks=[NoTraining()])
    message = "'mixing' parameter of GroupedMTL.* can be 'logit' only where some task has classes"
    with pytest.raises(ValueError, match=message):
        GroupedMTLEstimator(untrained, n_groups=2, mixing="logit").fit(X, Y)
    assert "mixing" not in GroupedMTLRegressor().get_params()
    membership = [[0.6, 0.4], [0.5, 0.5]]
    reg = GroupedMTLRegressor(net, membership, serving="hard", random_state=0).fit(X, Y)
    np.testing.assert_array_equal(reg.serving_weights_, [[1, 0], [1, 0]])
    np.testing.assert_allclose(reg.predict(X), reg.specialists_[0].predict(X), rtol=1e-6)
    assert not np.allclose(reg.with_serving("uniform").predict(X), reg.predict(X))
    with pytest.raises(ValueError, match=message):
        reg.with_serving(mixing="logit")


def test_nothing_is_combined_before_fit():
    with pytest.raises(NotFittedError):
        GroupedMTLClassifier().with_serving("hard")


def test_a_search_finds_the_way_to_combine(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP, random_state=0)
    grid = {"serving": ["membership", "hard", GIVEN], "mixing": ["probability", "logit"]}
    search = GridSearchCV(clf, grid, cv=KFold(2)).fit(X, Y)
    assert len(set(np.round(search.cv_results_["mean_test_score"], 6))) > 1
    assert search.best_estimator_.mixing in ("probability", "logit")
    best = PortfolioClassifier(
        [("groups", clf.set_params(mixing="logit")), ("net", small_net)], cv=2, random_state=0
    ).fit(X, Y)
    assert best.get_params()["groups__mixing"] == "logit"
