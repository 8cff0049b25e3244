"""What the code imports is declared, be it that another package happens to bring it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

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
