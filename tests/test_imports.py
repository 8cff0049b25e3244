"""Who may know whom, read from the source."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("daemon", "dsp", "tflite_models")
ALLOWED = {
    "dsp": {"stemd.dsp"},
    "tflite_models": {"stemd.tflite_models"},
    "daemon": {"stemd.daemon", "stemd.dsp", "stemd.tflite_models"},
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def mentioned(path: Path) -> set[str]:
    """Modules that a file imports, also late or by `import_module`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=module, level=level):
                assert level == 0, f"{path}: relative import"
                names.add(module)
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if (
                "import_module" in ast.unparse(node.func)
            ):
                names.add(module)
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_only_whom_they_may(package):
    for path in sources(package):
        stemds = {name for name in mentioned(path) if name.startswith("stemd.")}
        known = {".".join(name.split(".")[:2]) for name in stemds}
        assert known <= ALLOWED[package], path


def test_what_tests_import_by_name_is_there_once(pytestconfig):
    """The first one found would hide the other."""
    folders = [ROOT / folder for folder in pytestconfig.getini("pythonpath")]
    names = Counter(path.stem for folder in folders for path in folder.glob("*.py"))
    names.update(path.parent.name for f in folders for path in f.glob("*/__init__.py"))
    assert [name for name, count in names.items() if count > 1] == []


def users_of(module: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sources(package)
        if any(name.split(".")[0] == module for name in mentioned(path))
    }


@pytest.mark.parametrize(
    ("module", "door"),
    [
        ("jack", "daemon/libjack.py"),
        ("yaml", "daemon/yaml_text.py"),
        ("tflite", "tflite_models/flatbuffer.py"),
    ],
)
def test_outside_things_have_one_door(module, door):
    assert users_of(module) == {door}


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_runtimes_have_one_door(runtime):
    """They are imported by a name that is chosen at run time, so no other file may hold it."""
    users = [p for package in PACKAGES for p in sources(package) if runtime in p.read_text()]
    assert [str(path.relative_to(ROOT)) for path in users] == ["tflite_models/runtime.py"]


@pytest.mark.parametrize("package", ["dsp"])
def test_dsp_knows_no_threads_files_or_jack(package):
    for path in sources(package):
        outside = {name.split(".")[0] for name in mentioned(path)}
        assert not outside & {"threading", "queue", "pathlib", "os", "io", "soundfile", "jack"}
