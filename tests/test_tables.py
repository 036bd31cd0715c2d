"""Tables of cells in text, Markdown and HTML."""

from skgroup._tables import html_table, markdown_table, markdown_text, text_table

HEAD, ROWS = ["task", "score"], [["a", "0.5"], ["longer", ""]]


def test_columns_of_text_stand_below_each_other():
    assert text_table(HEAD, ROWS) == "task    score\na       0.5\nlonger"


def test_markdown_and_html_hold_the_same_cells():
    assert markdown_table(HEAD, ROWS).splitlines() == [
        "| task | score |",
        "| --- | --- |",
        "| a | 0.5 |",
        "| longer |  |",
    ]
    assert html_table(["x"], [["y"]]) == (
        "<table><thead><tr><th>x</th></tr></thead><tbody><tr><td>y</td></tr></tbody></table>"
    )


def test_names_that_markdown_would_read_as_marks_are_shown_as_they_are():
    assert markdown_text("a|b_c\n<d> *e*") == r"a\|b\_c &lt;d&gt; \*e\*"
