"""The READMEs are true: their snippets run, their commands exist, their links lead somewhere."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from skgroup import MultiTaskNet

ROOT = Path(__file__).parents[1]
READMES = [
    "README.md",
    "examples/README.md",
    "examples/from_the_papers.md",
    "benchmarks/README.md",
]
# In a block of commands or within backticks, up to the quote or comment that ends it.
COMMAND = re.compile(r"(?:^|[\s`=\"/])python (-m benchmarks[\w.]*|examples/\w+\.py)([^`\"#\n]*)")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("name", READMES)
def test_snippets_run_one_after_another(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Whether they run is what is tested, not how well the nets do.
    monkeypatch.setitem(MultiTaskNet.__init__.__kwdefaults__, "max_epochs", 2)
    plt.switch_backend("Agg")
    # As a module, whose classes can be pickled into caches.
    (tmp_path / "snippets.py").write_text("\n".join(blocks((ROOT / name).read_text(), "python")))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "snippets", raising=False)
    importlib.import_module("snippets")
    monkeypatch.delitem(sys.modules, "snippets")
    plt.close("all")


def test_what_the_snippet_of_a_table_prints(capsys):
    text = (ROOT / "README.md").read_text()
    (snippet,) = (s for s in blocks(text, "python") if "assays = pd.DataFrame" in s)
    exec("from skgroup import MultiTaskNet\n" + snippet, {})
    assert capsys.readouterr().out in blocks(text, "text")


@pytest.mark.parametrize("name", READMES)
def test_commands_name_files_and_options_that_exist(name):
    text = (ROOT / name).read_text()
    commands = COMMAND.findall(text)
    assert commands or name == "examples/README.md"
    for target, options in commands:
        file = target.removeprefix("-m ").replace(".", "/") if target.startswith("-m") else target
        path = ROOT / file
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        source = path.read_text()
        for word in shlex.split(options):
            assert not word.startswith("--") or f'"{word}"' in source, (target, word)


@pytest.mark.parametrize("name", READMES)
def test_links_lead_to_files_and_headings(name):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        file, _, heading = link.partition("#")
        other = page.parent / file if file else page
        assert other.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), flags=re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings]
            assert heading in slugs, link


def test_the_front_door_is_short():
    assert (ROOT / "README.md").stat().st_size <= 9000
