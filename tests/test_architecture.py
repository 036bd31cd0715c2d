"""The rooms of the package: each imports only those above it, and only what they show."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import skgroup

ROOT = Path(skgroup.__file__).parent
# From top to bottom; a room may import itself and the rooms of the lines above.
ROOMS = [
    {
        "_compat",
        "_estimators",
        "_fit_parts",
        "_html",
        "_random",
        "_state",
        "_tables",
        "_trusted",
        "exceptions",
    },
    {"store"},
    {"tasks"},
    {"metrics"},
    {"cluster"},
    {"nn"},
    {"training"},
    {"relations"},
    {"selection"},
    {"ensemble"},
    {"populations"},
    {"comparison"},
    {"inspection"},
    {"datasets"},
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def imported_modules(path, *, plots=True):
    """All modules, or those that are not imported inside a function called `plot`."""
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "plot"]
    skipped = [] if plots else [node for f in functions for node in ast.walk(f)]
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_above(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for module in imported_modules(path, plots=False):
        if module == "skgroup":
            pytest.fail(f"{path} imports the top level; name the room instead")
        if module.startswith("skgroup."):
            other = module.split(".")[1]
            assert other == room or LEVEL[other] < LEVEL[room] or LEVEL[room] == 0, module
            assert other != "inspection" or room == "inspection", "nothing imports inspection"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_imports_what_is_private_to_another(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module.startswith("skgroup."):
            continue
        _, other, *parts = node.module.split(".")
        if other == room or other == "_compat":
            continue
        names = [*parts, *(alias.name for alias in node.names)]
        assert not any(name.startswith("_") for name in names), (node.module, names)


def private_methods(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_no_room_calls_private_methods_of_another():
    room_of = {path: path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    defined = {}
    for path in FILES:
        defined.setdefault(room_of[path], set()).update(private_methods(path))
    every = set().union(*defined.values())
    for path in FILES:
        others = every - defined[room_of[path]] - {"_validate_params"}
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or node.attr not in others:
                continue
            owner = getattr(node.value, "func", node.value)  # super() is called
            assert getattr(owner, "id", "") in ("self", "cls", "super"), (path, node.lineno)


def test_private_names_of_sklearn_enter_through_compat_alone():
    for path in FILES:
        if path.name == "_compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn"):
                parts = node.module.split(".") + [alias.name for alias in node.names]
                assert not any(part.startswith("_") for part in parts), (path, parts)


def test_cluster_and_metrics_need_no_torch():
    for room in ("metrics", "cluster"):
        for path in (ROOT / room).glob("*.py"):
            assert not any(m.startswith(("torch", "skorch")) for m in imported_modules(path))
    for path in (ROOT / "nn").glob("*.py"):
        assert not any(m.startswith(("skorch", "sklearn")) for m in imported_modules(path))


def test_optional_packages_are_not_imported_with_the_package():
    code = (
        "import sys, skgroup, skgroup.nn, skgroup.datasets, skgroup.inspection;"
        "print([m for m in ('torchvision', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[\[<>=]", requirement)[0] for requirement in named}
    distribution = {"sklearn": "scikit-learn", "PIL": "pillow"}
    imported = {module.split(".")[0] for path in FILES for module in imported_modules(path)}
    imported -= {"skgroup", *sys.stdlib_module_names}
    assert {distribution.get(name, name) for name in imported} <= declared
