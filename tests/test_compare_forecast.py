"""What a comparison will cost, said before it starts."""

import numpy as np
import pytest
from comparing import Counted, compare_given, make_data
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Checkpoint

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.comparison import Forecast, forecast

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.mark.usefixtures("assert_global_random_state_untouched", "few_trees")
def test_a_forecast_counts_fits_and_nets_and_changes_nothing(data, small_net):
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    before = repr(clf)
    found = forecast(*data, clf, seeds=3)
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "forest", "grouped"]
    assert found.fits == [3] * 5
    assert found.nets == [1, 4, 3, 0, 3]
    assert (found.frame["seconds"] > 0).all()
    assert found.frame["minutes"].sum() == pytest.approx(found.minutes)
    np.testing.assert_allclose(found.frame["minutes"], np.array(found.seconds) * 3 / 60)
    assert str(found).startswith("15 fits (33 nets) in about ")
    assert repr(clf) == before
    assert not hasattr(clf, "specialists_")


def test_only_fits_that_the_results_lack_count(data, tmp_path):
    own = {"lr": LogisticRegression(), "zero": Counted()}
    params = {"baselines": [], "results": tmp_path / "fits"}
    compare_given(*data, {"lr": LogisticRegression()}, seeds=2, **params)
    assert forecast(*data, own, seeds=3, **params).fits == [1, 3]
    assert str(forecast(*data, {"lr": own["lr"]}, seeds=2, **params)).startswith("Nothing is left")
    assert forecast(*data, {"lr": own["lr"]}, seeds=2, **params).minutes == 0


def test_it_is_printed_before_the_fits(data, capsys):
    compare_given(*data, {"lr": LogisticRegression()}, seeds=2, verbose=1)
    assert capsys.readouterr().out.startswith("2 fits (0 nets) in about ")
    compare_given(*data, {"lr": LogisticRegression()}, seeds=2)
    assert capsys.readouterr().out == ""


def test_what_cannot_be_timed_is_said(data, tmp_path):
    saving = MultiTaskNet.stg_mtl(
        max_epochs=2, callbacks=[("keep", Checkpoint(None, dirname=str(tmp_path / "nets")))]
    )
    found = forecast(*data, {"saving": saving, "lr": LogisticRegression()}, seeds=1)
    assert np.isnan(found.seconds[0])
    assert "how long “saving” will take is not known" in str(found)
    assert not list(tmp_path.glob("nets/*"))


def test_wrong_parameters_are_refused_as_by_compare(data):
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'"):
        forecast(*data, {"lr": LogisticRegression()}, seed=1)
    with pytest.raises(ValueError, match="The 'seeds' parameter of compare"):
        forecast(*data, {"lr": LogisticRegression()}, seeds=0)


def test_minutes_are_shared_by_processes():
    found = Forecast(["a", "b"], [4, 0], [1.0, 2.0], [30.0, np.nan], n_jobs=2)
    assert found.minutes == 1
    assert found.frame["minutes"].tolist() == [2, 0]
    assert str(found) == (
        "4 fits (4 nets) in about 60 seconds, the most for “a” (30 seconds a fit)."
    )
