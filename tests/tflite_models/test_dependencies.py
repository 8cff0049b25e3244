"""What the code imports is declared, and what is declared brings nothing large along."""

import ast
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]

EXTRAS = ("cluster", "demo", "metrics", "osc", "top", "web")

SOURCES = sorted(
    path
    for package in ("daemon", "dsp", "tflite_models")
    for path in (ROOT / package).rglob("*.py")
)


@cache
def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module)):
                names.add(module)
            case ast.Call(
                func=ast.Name("import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str(module))],
            ):
                names.add(module)
    return {name.partition(".")[0] for name in names}


@pytest.fixture(scope="module")
def declared():
    """The packages of pyproject.toml that the program itself imports, in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    return {Requirement(line).name.lower() for line in lines}


@pytest.fixture(scope="module")
def providers():
    """The packages that bring each module."""
    return {
        module: {name.lower().replace("_", "-") for name in names}
        for module, names in packages_distributions().items()
    }


def test_every_import_is_a_declared_dependency(declared, providers):
    known = {*sys.stdlib_module_names, "stemd", "rich"}  # Textual needs Rich
    undeclared = {
        str(path.relative_to(ROOT)): name
        for path in SOURCES
        for name in imported(path) - known
        if not declared & providers[name]
    }
    assert undeclared == {}


def test_every_declared_dependency_is_imported(declared, providers):
    names = {name for path in SOURCES for name in imported(path)}
    used = {each for name in names for each in providers.get(name, set())}
    assert declared - used == {"ai-edge-litert", "tflite-runtime"}  # imported by a chosen name


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
