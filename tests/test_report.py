"""`report`: the answers first, the same facts in text, Markdown and HTML."""

import builtins
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from comparing import MTL, STL, crafted
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import (
    FuzzyKMeans,
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioClassifier,
    TaskGrouper,
    compare,
)
from skgroup.inspection import partners, report
from skgroup.populations import PooledTasksRegressor
from skgroup.relations import LabelCorrelationAffinity

pd = pytest.importorskip("pandas")
plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

NET = MultiTaskNet(max_epochs=1)
PARTS = [0, 0, 1, 1]
NAMES = ["cat", "dog", "<b>car", "pipe|line"]
ODD = np.array([0.0, 0.1, -0.1, 0.05, -0.05])


def make_tasks(n=90):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    noisy = X[:, [0, 0, 1, 2]] + rng.normal(size=(n, 4))
    return X, pd.DataFrame((noisy > 0).astype(float), columns=NAMES)


@pytest.fixture(scope="module")
def data():
    X, Y = make_tasks()
    Y.iloc[:30, 1] = np.nan
    return X, Y


@pytest.fixture(scope="module")
def clf(data):
    membership = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]]
    return GroupedMTLClassifier(NET, membership, random_state=0).fit(*data)


def compared(gain, tasks=NAMES, **params):
    """MTL, STL and a grouping that is better than STL by so much a task."""
    n_tasks = len(tasks)
    scores = {"MTL": MTL, "STL": STL, "grouped": STL}
    made = crafted(scores, [1, 3, 2], baselines=["MTL", "STL"], n_tasks=n_tasks, **params)
    values = made.values.copy()
    # Differences vary over splits, by tasks differently.
    values[2] += np.broadcast_to(gain, n_tasks) + 0.1 * ODD[:, None] * (1 + np.arange(n_tasks))
    return replace(made, values=values, tasks=list(tasks))


def section_of(page, title):
    return next(section for section in page.sections if section.title == title)


# -- what it says ------------------------------------------------------------------------------


def test_where_grouping_does_not_help_that_is_said_first(clf):
    page = report(clf, compared(-0.1))
    assert page.sections[0].title == "In short"
    first = page.sections[0].to_text().splitlines()[3]
    assert first.startswith("- Does it pay? Grouping does not help here")
    assert "use “STL”" in page.sections[0].to_text()


def test_the_first_screen_answers_groups_sureness_gain_and_cost(clf):
    answers = " ".join(report(clf, compared(0.1)).sections[0].to_text().split())
    assert "Grouping helps here: use “grouped”" in answers
    assert "2 groups: cat, dog; <b>car, pipe|line." in answers
    assert "How sure is that? The groups were given, not found." in answers
    assert "“grouped” trains 2 nets and takes 2 s a fit, 2 times as long as “MTL”" in answers
    assert "0.67 times as long as “STL”" in answers
    assert "“STL”: learns each task alone" in answers


def test_the_question_counts_samples_tasks_and_missing_labels(clf, data):
    X, Y = data
    text = section_of(report(clf, X=X, Y=Y), "The question").to_text()
    assert "tasks: 4, all binary" in text
    assert "samples: 90" in text
    assert "missing labels: 8.3% of all, at most 33.3% (of dog)" in text
    assert "features of a sample: 4" in text
    assert "(of dog)" in re.search("rarest class: .*", text)[0]


def test_gains_are_the_differences_of_the_comparison(clf):
    comparison = compared([0.3, -0.3, 0.0, 0.1])
    text = section_of(report(clf, comparison), "What each task gains").to_text()
    rows = re.findall(r"^(cat|dog|<b>car|pipe\|line)  +(.*)$", text, flags=re.MULTILINE)
    assert [name for name, _ in rows] == ["cat", "pipe|line", "<b>car", "dog"]
    for name, row in rows:
        of_task = comparison.frame.loc[("grouped", name)]
        assert f"{of_task['difference']:+.3f}" in row
        assert f"{of_task['low']:+.3f} to {of_task['high']:+.3f}" in row
    verdicts = [row.split()[-1] for _, row in rows]
    assert verdicts[0] == "gains"
    assert verdicts[-1] == "loses"
    assert "1 lose clearly (dog)" in " ".join(text.split())


def test_tasks_of_the_comparison_are_matched_by_their_names(clf):
    gain = {"cat": 0.3, "dog": 0.0, "<b>car": -0.3, "pipe|line": 0.0}
    turned = dict(reversed(gain.items()))
    text = section_of(
        report(clf, compared(list(turned.values()), list(turned))), "What each task gains"
    )
    (row,) = [line for line in text.to_text().splitlines() if line.startswith("cat ")]
    assert "+0.3" in row


def test_serving_weights_are_those_of_the_classifier(clf):
    text = section_of(report(clf), "What serves each task").to_text()
    assert re.search(r"cat +group 0 0\.90, group 1 0\.10", text)
    assert "as much as the task belongs to its group" in text
    uniform = report(clf.with_serving("uniform"))
    text = section_of(uniform, "What serves each task").to_text()
    assert re.search(r"cat +group 0 0\.50, group 1 0\.50", text)
    assert "as much as the task belongs" not in text


def test_what_is_not_known_says_by_which_call_it_would_be(clf):
    text = str(report(clf))
    for call in ("compare(X, Y, clf)", "X=X, Y=Y"):
        assert call in text
    assert "Does it pay? Not known: nothing was compared." in text
    assert "The groups were given, not found." in text
    grouper = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2, random_state=0))
    found = GroupedMTLClassifier(NET, grouper, random_state=0).fit(*make_tasks())
    text = str(report(found))
    assert "How sure is that? Not measured." in text
    assert "GroupStability(clf.grouper_).fit(X, Y)" in text


def test_what_nobody_learns_is_said(clf):
    comparison = compared(0.1, scoring="ROC AUC")
    at_chance = comparison.values.copy()
    at_chance[:, :, 3] = 0.5 + 0.1 * ODD
    text = " ".join(str(report(clf, replace(comparison, values=at_chance))).split())
    assert "No candidate is clearly better than guessing in: pipe|line." in text
    assert "0.5 is guessing" in text
    assert "nothing to learn" not in text
    nothing = np.broadcast_to(0.5 + 0.1 * ODD[:, None], comparison.values.shape)
    text = " ".join(str(report(clf, replace(comparison, values=nothing))).split())
    assert "Does it pay? By the mean over tasks no candidate is clearly better than gues" in text
    assert "guessing" not in str(report(clf, compared(0.1))).replace("guessing the", "")


def test_several_scorings_each_have_a_verdict():
    X, Y = make_tasks()
    candidates = {"MTL": GroupedMTLClassifier.mtl(NET), "grouped": GroupedMTLClassifier(NET, PARTS)}
    comparison = compare(X, Y, candidates, seeds=2, scoring=["f1_macro", "roc_auc"])
    page = report(comparison)
    answers = " ".join(page.sections[0].to_text().split())
    for name in comparison.scorings:
        assert comparison.by_scoring(name).verdict in answers
    assert "by f1_macro, the first of the scorings" in " ".join(str(page).split())


def test_what_limits_the_comparison_is_said(clf):
    comparison = compared(0.1, kinds=["MTL", "other", "grouped"])
    text = section_of(report(clf, comparison), "How to read this").to_text()
    assert "Not compared with single-task nets" in text


def test_a_single_split_has_no_intervals(clf):
    comparison = crafted({"MTL": [0.5], "grouped": [0.6]}, [1, 2], baselines=["MTL"], n_tasks=4)
    text = str(report(clf, replace(comparison, tasks=NAMES)))
    assert "One split cannot tell merit from chance" in text
    assert "nan" not in text


def test_a_candidate_that_failed_is_said(clf):
    scores = {"MTL": MTL, "STL": STL, "grouped": [np.nan] * 5}
    made = crafted(scores, [1, 3, np.nan], baselines=["MTL", "STL"], n_tasks=4)
    made.errors.update({("grouped", s, 0): "RuntimeError: oh" for s in range(5)})
    text = str(report(clf, replace(made, tasks=NAMES)))
    assert "“grouped” failed in 5 of 5 fits" in text
    assert "nan" not in text


def test_partners_are_those_that_the_grouper_measured():
    X, Y = make_tasks()
    grouper = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2, random_state=0))
    clf = GroupedMTLClassifier(NET, grouper, random_state=0).fit(X, Y)
    page = report(clf)
    text = section_of(page, "Who helps and who hurts whom").to_text()
    frame = partners(clf)
    for task, row in frame.iterrows():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{task} ")]
        assert f" {row['best_partner']}{' *' * bool(row['best_in_group'])} " in line
        assert f"  {row['worst_partner']}" in line
    assert "The best partner of" in text
    assert "pairs" in [picture.name for picture in page.sections[3].pictures]
    # The same that are given, in another order, to an estimator that holds none.
    other = GroupedMTLClassifier(NET, PARTS, random_state=0).fit(X, Y)
    assert "partners=partners(clf, X, Y)" in str(report(other))
    given = section_of(report(other, partners=frame[::-1]), "Who helps and who hurts whom")
    table = [line for line in text.splitlines() if line.startswith(tuple(NAMES))]
    assert set(table) <= set(given.to_text().splitlines())


class FixedGroups(ClusterMixin, BaseEstimator):
    """Finds what it is told."""

    given = ()

    def fit(self, X, y=None):
        self.labels_ = np.array(FixedGroups.given)
        return self


class Sure:
    """A fitted stability."""

    stable_, n_groups_, n_tasks_ = True, 2, 4
    verdict_ = "These 2 groups are stable."
    task_names_in_ = NAMES[::-1]
    labels_ = np.array([0, 0, 1, 1])
    # Of the tasks in the order of the names above: the first two apart in each fourth grouping.
    co_membership_ = np.array(
        [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.75], [0.0, 0.0, 0.75, 1.0]]
    )
    frame_ = pd.DataFrame(
        {
            "adjusted_rand": [0.9],
            "chance_high": [0.1],
            "explained": [np.nan],
            "explained_without_structure_high": [np.nan],
            "p_value": [np.nan],
            "stable": [True],
        },
        index=pd.Index([2], name="n_groups"),
    )


def test_stability_says_how_sure_the_groups_are(clf):
    text = " ".join(str(report(clf, stability=Sure())).split())
    assert "How sure is that? These 2 groups are stable." in text
    assert "together in 88% of the groupings, two of different groups in 0%" in text
    assert "Least sure of their group: cat (75%), dog (75%)" in text
    assert "groups agreement by chance stable 2 0.90 0.10 yes" in text
    assert "explained" not in text
    pictures = [picture.name for picture in report(clf, stability=Sure()).sections[2].pictures]
    assert pictures == ["memberships", "together"]
    assert "<img" in report(clf, stability=Sure()).sections[2].to_html()
    assert "2 groups: cat, dog" in text


def test_a_task_of_a_single_class_says_nothing_of_how_sure_the_groups_are():
    X, Y = make_tasks()
    stability = Sure()
    stability.n_tasks_, stability.task_names_in_ = 5, [*NAMES[::-1], "same"]
    stability.labels_ = np.array([0, 0, 1, 1, -1])
    stability.co_membership_ = np.zeros((5, 5))
    stability.co_membership_[:4, :4] = Sure.co_membership_
    with pytest.warns(UserWarning, match="same"):
        clf = GroupedMTLClassifier(NET, [*PARTS, 0], random_state=0).fit(X, Y.assign(same=0))
    text = " ".join(str(report(clf, stability=stability)).split())
    assert "together in 88% of the groupings, two of different groups in 0%" in text
    assert "Least sure of their group: cat (75%), dog (75%)." in text


def test_the_stability_of_other_groups_says_nothing_of_these(clf):
    X, Y = make_tasks()
    grouper = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2, random_state=0))
    found = GroupedMTLClassifier(NET, grouper, random_state=0).fit(X, Y)
    stability = Sure()
    stability.grouper = grouper
    assert "How sure is that? These 2" in " ".join(str(report(found, stability=stability)).split())
    stability.grouper = make_pipeline(TaskGrouper(NET), FuzzyKMeans(2))
    for other in (found, clf):  # by labels, and given
        text = " ".join(str(report(other, stability=stability)).split())
        assert "sure is that? Not measured: the stability is of what TaskGrouper and Fuzzy" in text
        assert "What follows is of groups that TaskGrouper and FuzzyKMeans find, not of" in text


def test_groups_that_part_kinds_of_tasks_are_said_to():
    X, Y = make_tasks()
    mixed = Y.assign(**{"cat": X[:, 0] + 0.1, "dog": X[:, 0] - 0.1})
    grouper = make_pipeline(LabelCorrelationAffinity(), FixedGroups())
    text = "Each group holds tasks of one kind alone"
    for y, labels, said in (
        (mixed, [0, 0, 1, 1], True),
        (mixed, [0, 1, 0, 1], False),
        (Y, 0, False),
    ):
        FixedGroups.given = labels or [0, 0, 1, 1]
        found = GroupedMTLEstimator(NET, grouper, random_state=0).fit(X, y)
        assert (text in " ".join(str(report(found)).split())) == said


def test_the_stability_of_the_comparison_is_taken_where_none_is_given(clf):
    comparison = compared(0.1)
    vars(comparison)["stability"] = {"grouped": Sure()}
    text = " ".join(str(report(clf, comparison)).split())
    assert "How sure is that? These 2 groups are stable." in text
    assert "Judged by the groups that “grouped” found in all fits of the comparison" in text
    assert "Judged by" not in str(report(clf, comparison, stability=Sure()))


def test_a_comparison_alone_shows_the_groups_that_come_back():
    text = " ".join(str(report(compared(0.1), stability=Sure())).split())
    assert "Which tasks belong together? 2 groups: <b>car, pipe|line; cat, dog." in text
    assert "Those that are together most often in many groupings." in text


def test_groups_that_are_not_stable_are_not_said_to_belong_together(clf):
    stability = Sure()
    stability.stable_ = False
    stability.verdict_ = "No stable groups with 2 to 5."
    answers = " ".join(report(clf, stability=stability).sections[0].to_text().split())
    assert "belong together? None for certain. This fit put together, in 2 groups: cat" in answers
    assert "How sure is that? No stable groups with 2 to 5." in answers


# -- of what -----------------------------------------------------------------------------------


def estimators():
    X, Y = make_tasks()
    numbers = Y + X[:, [0, 1, 2, 3]]
    mixed = pd.concat([Y.iloc[:, :2], numbers.iloc[:, 2:]], axis=1)
    grouped = GroupedMTLClassifier(NET, PARTS, random_state=0)
    members = [("lr", LogisticRegression()), ("grouped", grouped)]
    relation = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2, random_state=0))
    search = GridSearchCV(grouped, {"min_membership": [0.0]}, cv=KFold(2))
    return {
        "regressor": (GroupedMTLRegressor(NET, PARTS, random_state=0), numbers, "2 groups"),
        "mixed": (GroupedMTLEstimator(NET, PARTS, random_state=0), mixed, "2 groups"),
        "portfolio": (PortfolioClassifier(members, cv=2, random_state=0), Y, "lr"),
        "net": (MultiTaskNet(max_epochs=1, random_state=0), Y, "One MultiTaskNet"),
        "STL": (GroupedMTLClassifier.stl(NET, random_state=0), Y, "a net of its own"),
        "MTL": (GroupedMTLClassifier.mtl(NET, random_state=0), Y, "One net predicts all"),
        "ensemble": (GroupedMTLClassifier.mtl_ensemble(2, NET, random_state=0), Y, "All 2 nets"),
        "grouper": (relation, Y, "2 groups"),
        "pipeline": (make_pipeline(StandardScaler(), grouped), Y, "2 groups"),
        "search": (search, Y, "2 groups"),
        "scikit-learn's": (make_pipeline(LogisticRegression()), Y.iloc[:, 0], "1 task"),
    }


@pytest.mark.parametrize("name", estimators())
def test_every_kind_of_estimator_has_a_report(name):
    estimator, Y, says = estimators()[name]
    estimator.fit(make_tasks()[0], Y)
    page = report(estimator, Y=Y)
    assert says in " ".join(str(page).split())
    for title in ("In short", "The question", "The groups", "What serves each task"):
        assert section_of(page, title)
    assert page.to_html().startswith("<!DOCTYPE html>")
    assert "nan" not in str(page)


def test_a_portfolio_shows_the_groups_of_its_member():
    estimator, Y, _ = estimators()["portfolio"]
    text = str(report(estimator.fit(make_tasks()[0], Y)))
    assert "Those of the member “grouped”." in text
    assert "2 groups: cat, dog;" in text


def test_a_comparison_alone_has_a_report():
    comparison = compared(0.1)
    assert str(report(comparison)) == str(report(comparison=comparison))
    assert "Not known: no fitted classifier" in str(report(comparison))


def test_of_several_candidates_the_best_grouping_is_shown_or_the_one_asked_for(clf):
    scores = {"MTL": MTL, "one": STL, "two": [s + 0.01 for s in STL], "net": [0.9] * 5}
    kinds = ["MTL", "grouped", "grouped", "other"]
    made = crafted(scores, [1, 2, 3, 4], baselines=["MTL"], n_tasks=4, kinds=kinds)
    made = replace(made, tasks=NAMES)
    assert "“two” beside the best baseline" in str(report(clf, made))
    assert "“net” beside the best baseline" in str(report(clf, made, candidate="net"))
    only = replace(made, baselines=list(scores))
    assert "Not known: only baselines were compared." in str(report(clf, only))


# -- how it is shown ---------------------------------------------------------------------------


def test_a_hundred_tasks_are_shortened_to_the_clearest(tmp_path):
    names = [f"t{t:03}" for t in range(100)]
    gain = np.where(np.arange(100) == 42, 5.0, 0.0)
    comparison = compared(gain, names)
    page = report(comparison)
    text = section_of(page, "What each task gains").to_text()
    assert "80 of 100 tasks are left out" in " ".join(text.split())
    assert len(re.findall(r"^t\d{3} ", text, flags=re.MULTILINE)) == 20
    assert re.search(r"^t042 .* gains$", text, flags=re.MULTILINE)
    every = section_of(report(comparison, max_tasks=None), "What each task gains").to_text()
    assert len(re.findall(r"^t\d{3} ", every, flags=re.MULTILINE)) == 100
    assert page.sections[0].to_text().count("\n") < 20


def test_a_hundred_tasks_of_a_grouping_fit_a_screen():
    membership = np.random.default_rng(0).dirichlet([0.3] * 4, 100)
    grouper = FuzzyKMeans(4, random_state=0).fit(membership)
    page = report(grouper)
    assert page.sections[0].to_text().count("\n") < 16
    assert re.search(r"and \d+ more", page.sections[0].to_text())


class Checker(HTMLParser):
    """Collects tags, sources, and text; unclosed tags are errors."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.sources, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_html_needs_no_other_file_and_escapes_names(clf, tmp_path):
    path = tmp_path / "page.html"
    figures = plt.get_fignums()
    page = report(clf, compared(0.1), title="<i>Mine</i> & yours")
    html = page.to_html(path)
    assert path.read_text(encoding="utf-8") == html
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert len(checker.sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in checker.sources)
    assert "i" not in checker.seen
    assert "<b>car" in "".join(checker.words)
    assert "<i>Mine</i> & yours" in "".join(checker.words)
    assert page._repr_html_() in html
    assert len(html) < 300_000
    assert plt.get_fignums() == figures


def test_markdown_has_its_pictures_beside_it(clf, tmp_path):
    figures = plt.get_fignums()
    page = report(clf, compared(0.1))
    text = page.to_markdown(tmp_path / "a page.md")
    assert (tmp_path / "a page.md").read_text(encoding="utf-8") == text
    links = re.findall(r"\]\((.*?)\)", text)
    assert links == ["a%20page-memberships.png", "a%20page-gains.png"]
    for link in links:
        assert plt.imread(tmp_path / link.replace("%20", " "))[..., :3].std() > 0
    assert r"pipe\|line" in text
    assert "&lt;b>car" in text or "&lt;b&gt;car" in text
    alone = page.to_markdown()
    assert "](" not in alone
    assert plt.get_fignums() == figures


def test_markdown_and_html_hold_what_the_text_holds(clf, data):
    page = report(clf, compared(0.1), X=data[0], Y=data[1])
    words = set(re.findall(r"[A-Za-z]{3,}|[+-]?\d+\.\d+", str(page)))
    checker = Checker()
    checker.feed(page.to_html())
    assert words <= set(re.findall(r"[A-Za-z]{3,}|[+-]?\d+\.\d+", " ".join(checker.words)))
    assert words <= set(re.findall(r"[A-Za-z]{3,}|[+-]?\d+\.\d+", page.to_markdown()))


def test_without_matplotlib_captions_stand_for_pictures(clf, monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    page = report(clf, compared(0.1))
    monkeypatch.setattr(builtins, "__import__", without)
    html = page.to_html()
    assert "<img" not in html
    assert html.count("pip install skgroup[plot]") == 2


def test_names_may_be_given(clf):
    text = str(report(clf, compared(0.1), task_names=["A", "B", "C", "D"]))
    assert "2 groups: A, B; C, D." in text
    assert "pipe" not in text


# -- refusals ----------------------------------------------------------------------------------


def test_populations_are_refused():
    X, y = np.arange(48.0).reshape(24, 2) % 7, np.arange(24.0)
    X[:, 0] = np.arange(24) % 4
    pooled = PooledTasksRegressor(task=0, n_groups=[1, 2], cv=2, random_state=0)
    of_populations = compare(X, y, pooled, seeds=1)
    pooled.fit(X, y)
    search = GridSearchCV(pooled, {"n_groups": [1]}, cv=2).fit(X, y)
    for given in (pooled, search, make_pipeline(pooled).fit(X, y)):
        with pytest.raises(ValueError, match=r"PooledTasksRegressor, whose .* verdict_, path_ and"):
            report(given, of_populations)
    with pytest.raises(ValueError, match=r"Comparison of populations.* print it"):
        report(of_populations)


def test_what_cannot_be_reported_is_refused(clf):
    comparison = compared(0.1)
    with pytest.raises(ValueError, match="needs a fitted estimator, or a Comparison"):
        report()
    with pytest.raises(NotFittedError):
        report(GroupedMTLClassifier())
    with pytest.raises(ValueError, match=r"'comparison' parameter of report must be a Comparison"):
        report(clf, clf)
    with pytest.raises(ValueError, match=r"'stability' parameter of report must be a fitted"):
        report(clf, stability=clf)
    with pytest.raises(ValueError, match=r"'estimator' parameter of report must be .* Got 'clf'"):
        report("clf")
    with pytest.raises(ValueError, match=r"'partners' parameter of report must be a DataFrame"):
        report(clf, partners=3)
    with pytest.raises(ValueError, match=r"tasks of 'stability' .* Missing: a"):
        report(compared(0.1, list("abcd")), stability=Sure())
    with pytest.raises(ValueError, match=r"'candidate' parameter .* Got 'x'; they are \['MTL'"):
        report(clf, comparison, candidate="x")
    with pytest.raises(ValueError, match=r"Got 'x' without a comparison"):
        report(clf, candidate="x")
    with pytest.raises(ValueError, match=r"tasks of 'comparison' must be those .* 4\. Got 3"):
        report(clf, compared(0.1, ["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"tasks of 'comparison' .* Missing: cat"):
        report(clf, compared(0.1, ["a", "dog", "<b>car", "pipe|line"]))
    with pytest.raises(ValueError, match=r"same number of samples\. Got X with 3 and Y with 90"):
        report(clf, X=np.zeros((3, 4)), Y=make_tasks()[1])
    with pytest.raises(ValueError, match="max_tasks must be an int of at least 2"):
        report(clf, max_tasks=1)
    with pytest.raises(ValueError, match="task_names must name the 4 tasks"):
        report(clf, task_names=["a"])
    with pytest.raises(ValueError, match="'title' parameter of report must be a str"):
        report(clf, title=3)
    with pytest.raises(ValueError, match="how many tasks there are: give Y"):
        report(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    with pytest.raises(TypeError, match="'path' parameter of to_html must be a path"):
        report(clf).to_html(3)
