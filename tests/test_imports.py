"""Who may know whom, read from the source."""

from collections import Counter

import pytest

from rooms import PACKAGES, ROOT, arrows, floors, mentioned, sources

ALLOWED: dict[str, set[str]] = {
    "daemon.cli": {
        "daemon",
        "daemon.capacity",
        "daemon.config",
        "daemon.config_file",
        "daemon.control",
        "daemon.control.surfaces",
        "daemon.engine",
        "daemon.files",
        "daemon.graph",
        "daemon.supervisor",
        "dsp",
        "tflite_models",
        "tflite_models.families",
        "tflite_models.graphs",
        "tflite_models.store",
    },
    "daemon.supervisor": {
        "daemon",
        "daemon.capacity",
        "daemon.config",
        "daemon.control",
        "daemon.control.interfaces",
        "daemon.device",
        "daemon.engine",
        "daemon.graph",
        "daemon.recording",
        "dsp",
        "tflite_models",
    },
    "daemon.config_file": {"daemon", "daemon.config", "tflite_models"},
    "daemon.config": {
        "daemon",
        "daemon.control",
        "daemon.control.interfaces",
        "daemon.graph",
        "dsp",
    },
    "daemon.control.interfaces": {"daemon", "daemon.control", "daemon.engine", "tflite_models"},
    "daemon.control.surfaces": {"daemon", "daemon.control"},
    "daemon.device": {"daemon", "daemon.control", "daemon.graph"},
    "daemon.graph": {"daemon", "daemon.control", "daemon.engine"},
    "daemon.recording": {"daemon", "daemon.engine", "dsp"},
    "daemon.files": {
        "daemon",
        "daemon.capacity",
        "daemon.engine",
        "dsp",
        "tflite_models",
        "tflite_models.graphs",
        "tflite_models.runtime",
        "tflite_models.store",
    },
    "daemon.control": {"daemon", "daemon.engine", "tflite_models"},
    "daemon.capacity": {
        "daemon",
        "daemon.config",
        "daemon.config_file",
        "daemon.engine",
        "dsp",
        "tflite_models",
        "tflite_models.graphs",
        "tflite_models.families",
        "tflite_models.runtime",
    },
    "daemon.engine": {
        "daemon",
        "dsp",
        "tflite_models",
        "tflite_models.network",
        "tflite_models.store",
    },
    "tflite_models.store": {
        "tflite_models",
        "tflite_models.families",
        "tflite_models.family",
        "tflite_models.graphs",
    },
    "tflite_models.network": {
        "tflite_models",
        "tflite_models.graphs",
        "tflite_models.kept",
        "tflite_models.runtime",
    },
    "tflite_models.kept": {"tflite_models.graphs"},
    "daemon": {
        "dsp",
        "tflite_models",
        "tflite_models.families",
        "tflite_models.family",
        "tflite_models.graphs",
    },
    "tflite_models.families": {
        "tflite_models",
        "tflite_models.family",
        "tflite_models.spleeter",
    },
    "tflite_models.spleeter": {"tflite_models", "tflite_models.family", "tflite_models.graphs"},
    "tflite_models.family": {"tflite_models.graphs"},
    "tflite_models.runtime": {"tflite_models", "tflite_models.graphs"},
    "dsp": set(),
    "tflite_models.graphs": set(),
    "tflite_models": set(),
}
"""Each room, and which others it may import."""


def test_rooms_know_only_whom_they_may():
    wrong = {pair: by for pair, by in arrows().items() if pair[1] not in ALLOWED[pair[0]]}
    assert wrong == {}


def test_no_arrow_is_allowed_that_nothing_needs():
    allowed = {(room, other) for room, others in ALLOWED.items() for other in others}
    assert allowed - arrows().keys() == set()


def test_no_arrow_leads_up():
    order = floors(ALLOWED)
    for room, others in ALLOWED.items():
        assert all(order.index(other) < order.index(room) for other in others)


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
        ("jack", "daemon/graph/libjack.py"),
        ("yaml", "daemon/yaml_text.py"),
        ("tflite", "tflite_models/graphs/flatbuffer.py"),
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
