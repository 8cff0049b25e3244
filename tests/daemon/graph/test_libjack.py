"""The private attributes of JACK-Client that the client uses, and the versions that have them."""

import ast
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import jack
import pytest
from packaging.requirements import Requirement

from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.graph import libjack
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.private_server import private_server

ROOT = Path(__file__).parents[3]

USED = {"_AUDIO", "__del__", "_ffi", "_lib", "_libname", "_ptr"}
"""Private attributes of JACK-Client."""


def private_attributes(path):
    """The private attributes that a file takes of anything but `self` and its base class."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name("self") | ast.Call(func=ast.Name("super"))):
                pass
            case ast.Attribute(attr=name) if name.startswith("_"):
                yield name


def test_the_list_is_whole():
    found = {
        name
        for module in ("jack", "jack_graph", "libjack")
        for name in private_attributes(ROOT / f"daemon/graph/{module}.py")
    }
    assert found == USED


def test_the_next_minor_version_is_not_taken():
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (wanted,) = [each for each in map(Requirement, lines) if each.name == "JACK-Client"]
    major, minor = map(int, version("JACK-Client").split(".")[:2])
    assert version("JACK-Client") in wanted.specifier
    assert f"{major}.{minor + 1}" not in wanted.specifier


@pytest.fixture
def library():
    (library,) = [each for each in libjack.libraries() if each.kind == "jack"]
    return library


@pytest.fixture
def bound(library, monkeypatch):
    """JACK-Client, imported anew as the daemon does."""
    monkeypatch.delitem(sys.modules, "jack")
    return libjack.load(library)


def test_the_module_names_the_library_that_it_is_bound_to(bound, library):
    assert bound._libname == library.path
    assert libjack.load(library) is bound


def test_clients_that_are_collected_are_not_closed(bound):
    assert "__del__" in vars(jack.Client)
    assert "__del__" not in vars(bound.Client)


def test_clients_and_ports_have_pointers_that_become_addresses(bound):
    with private_server(blocksize=256, realtime=False) as server:
        client = open_client("stemd", "jack", server)
        try:
            client.bind(
                RealtimeSide(2, 2, 44_100).callbacks, ["in_L", "in_R"], ["vocals_L", "vocals_R"]
            )
            inner = client._client
            assert isinstance(inner, bound.Client)
            for owner in (inner, *inner.inports, *inner.outports):
                assert isinstance(owner._ptr, bound._ffi.CData)
                assert int(bound._ffi.cast("uintptr_t", owner._ptr))
        finally:
            client.close()
