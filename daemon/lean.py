"""Imports that leave out what the daemon has no use for: five megabytes of its memory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

OPENSSL = ("_hashlib", "_ssl")
"""The modules that load it."""

SHA_256 = ("_sha256", "_sha2")
"""Python's own digest, by its name until 3.11 and since; some distributions leave it out."""

METADATA = "importlib.metadata"
"""Where pydantic looks, in all packages that are installed, for plugins to it."""

BUILD = "sysconfig"
"""What zoneinfo, which pydantic imports, asks for the folders of time zones."""

ZONES = "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"
"""Python's default for them."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import as in a Python without OpenSSL, and where pydantic has no plugins.

    The standard library knows a Python that was built without OpenSSL. Digests are then Python's
    own: slower, but a start has only some dozens of megabytes to check. What asks for TLS, for
    the metadata of packages or for how Python was built later gets it all the same.
    """
    absent = {*OPENSSL} if any(map(find_spec, SHA_256)) else set()
    stand_ins = {**dict.fromkeys(absent), METADATA: _metadata(), BUILD: _build()}
    mine = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(mine)  # type: ignore[arg-type] # None: to Python there is none
    try:
        yield
    finally:
        for name, module in mine.items():
            if sys.modules[name] is module:
                del sys.modules[name]


def _metadata() -> ModuleType:
    """Return a stand-in that knows no plugins."""
    module = _stand_in(METADATA)
    for question in ("entry_points", "distributions"):  # of pydantic's versions
        setattr(module, question, lambda **_: ())
    return module


def _build() -> ModuleType:
    """Return a stand-in that knows where time zones are."""

    def get_config_var(name: str) -> Any:
        return ZONES if name == "TZPATH" else _real(module).get_config_var(name)

    module = _stand_in(BUILD)
    vars(module)["get_config_var"] = get_config_var
    return module


def _stand_in(name: str) -> ModuleType:
    """Return a module that has all that the real one has, and loads that if it is asked."""

    def of_real(wanted: str) -> Any:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        return getattr(_real(module), wanted)

    module = ModuleType(name)
    vars(module)["__getattr__"] = of_real
    return module


def _real(stand_in: ModuleType) -> ModuleType:
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]
    return import_module(stand_in.__name__)
