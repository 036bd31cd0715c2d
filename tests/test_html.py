import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from skgroup import FuzzyKMeans, GroupedMTLClassifier
from skgroup._html import groups_to_html
from skgroup.ensemble import AllTasks
from skgroup.selection import GroupSelector

pd = pytest.importorskip("pandas")

MEMBERSHIP = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
NAMES = ["plain", "<script>alert(1)</script>", 'a & "b"', "last"]
VOID = {"input", "br", "img", "link", "meta", "path", "circle", "rect", "line"}


class Balanced(HTMLParser):
    """Notes the tags that are open, and fails where another is closed."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags_of(html):
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.tags


def table(estimator):
    """What stands beneath the diagram."""
    return estimator._repr_html_().partition('<div class="skgroup-groups">')[2]


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(60, 4))
    Y = (X[:, [0, 1, 2, 3]] > 0).astype(int)
    return X, pd.DataFrame(Y, columns=NAMES)


def test_groups_stand_beneath_the_diagram(data, small_net):
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP)
    before = clf._repr_html_()
    assert "skgroup-groups" not in before
    assert "GroupedMTLClassifier" in before
    fitted = clf.fit(*data)
    html = fitted._repr_html_()
    assert "Fitted" in html.partition("skgroup-groups")[0]
    assert "4 tasks in 2 groups" in table(fitted)
    assert "<script>alert" not in html
    assert fitted._repr_mimebundle_()["text/html"].endswith(table(fitted))
    assert fitted._repr_mimebundle_()["text/plain"] == repr(fitted)
    tags_of('<div class="skgroup-groups">' + table(fitted))
    assert "skgroup-groups" not in clone(fitted)._repr_html_()


def test_tasks_of_a_group_come_strongest_first_and_escaped():
    html = groups_to_html(MEMBERSHIP, NAMES)
    rows = re.findall(r"<tr>(.*?)</tr>", html)[1:]
    assert len(rows) == 2
    tasks = [re.findall(r"([^>]*)&nbsp;<small>([\d.]+)</small>", row) for row in rows]
    script = "&lt;script&gt;alert(1)&lt;/script&gt;"
    quoted = "a &amp; &quot;b&quot;"
    assert [(name.lstrip(", "), value) for name, value in tasks[0]] == [
        ("last", "1.00"),
        ("plain", "0.90"),
        (quoted, "0.60"),
        (script, "0.20"),
    ]
    assert [(name.lstrip(", "), value) for name, value in tasks[1]] == [
        (script, "0.80"),
        (quoted, "0.40"),
        ("plain", "0.10"),  # and not the task of membership 0
    ]
    bold = [re.findall(r"<b>([^&]*)", row) for row in rows]
    assert bold[0][:2] == ["last", "plain"]
    assert [len(b) for b in bold] == [3, 1]
    assert tags_of(html).count("b") == 4
    assert "group 0" in rows[0]
    assert ">3</td>" in rows[0]


@pytest.mark.parametrize(("n_tasks", "n_groups"), [(100, 10), (100, 100), (100_000, 3), (1, 1)])
def test_much_is_folded_away(n_tasks, n_groups):
    rng = np.random.default_rng(0)
    membership = np.eye(100) if n_groups == 100 else rng.dirichlet(np.ones(n_groups), size=n_tasks)
    html = groups_to_html(membership)
    tags = tags_of(html)
    assert tags.count("tr") == n_groups + 1 + (n_groups > 12)
    assert len(html) < 200_000
    seen = re.sub(r"<details>.*?</details>", "", html)
    assert seen.count("<small>") <= 20 * 12
    if n_groups == 100:
        assert "<summary>88 more groups</summary>" in html
        assert html.count("<small>") == 100
    if n_tasks == 100_000:
        assert "99800 weaker ones" in html
    if n_tasks == 1:
        assert "1 task in 1 group," in html
        assert "details" not in tags


def test_groupers_show_their_groups(data):
    assert "skgroup-groups" not in FuzzyKMeans()._repr_html_()
    assert "4 tasks in 2 groups" in table(FuzzyKMeans(2).fit([[0.0], [0.1], [5.0], [9.0]]))
    affinity = pd.DataFrame(np.eye(3) + 1, columns=["<b>x</b>", "y", "z"])
    affinity.index = affinity.columns
    selector = GroupSelector(n_groups=2).fit(affinity)
    assert "3 tasks in" in table(selector)
    assert "&lt;b&gt;x&lt;/b&gt;" in table(selector)
    assert "<b>x</b>" not in table(selector)


def test_within_other_estimators_and_where_text_is_asked_for(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, MEMBERSHIP)
    pipeline = make_pipeline(StandardScaler(), clf).fit(X, Y)
    for html in (pipeline._repr_html_(), estimator_html_repr(pipeline)):
        assert "GroupedMTLClassifier" in html
        assert "<script>alert" not in html
    assert "4 tasks in 2 groups" in table(pipeline[-1])
    for other in (small_net, small_net.fit(X, Y), AllTasks(), AllTasks(2).fit(X, Y)):
        assert type(other).__name__ in other._repr_html_()
        assert "text/html" in other._repr_mimebundle_()
    with config_context(display="text"):
        assert not hasattr(pipeline[-1], "_repr_html_")
        assert list(pipeline[-1]._repr_mimebundle_()) == ["text/plain"]
