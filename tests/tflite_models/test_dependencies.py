"""What the code imports is declared, and what is declared brings nothing large along."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module)):
                names.add(module)
            case ast.Call(func=ast.Name("import_module"), args=[ast.Constant(str(module))]):
                names.add(module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", sorted(ROOT.glob("tflite_models/*.py")), ids=lambda p: p.name)
def test_every_import_is_a_declared_dependency(path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split("[<>=]", line)[0].lower() for line in project["dependencies"]}
    providers = packages_distributions()
    for name in imported(path) - sys.stdlib_module_names - {"stemd"}:
        assert declared & {each.lower() for each in providers[name]}, name


UNWANTED = {"cmake", "matplotlib", "numba", "ninja", "setuptools", "tensorflow", "textual", "torch"}
"""What builds, and what weighs as much as all the rest."""


def pulled(name: str) -> set[str]:
    """A package and what an install of it brings along, of what is installed here."""
    found, waiting = set(), {name}
    while waiting:
        found |= waiting
        waiting = {needed for each in waiting for needed in needs(each)} - found
    return found


def needs(name: str) -> set[str]:
    try:
        wanted = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:  # not for this machine
        return set()
    here = [each for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return {each.name.lower().replace("_", "-") for each in here}


def test_a_stock_install_pulls_neither_compilers_nor_anything_large():
    brought = pulled("stemd")
    assert {"numpy", "jack-client", "pydantic-core"} <= brought
    assert not brought & UNWANTED
