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


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import as in a Python without OpenSSL, and where pydantic has no plugins.

    The standard library knows a Python that was built without OpenSSL. Digests are then Python's
    own: slower, but a start has only some dozens of megabytes to check. What asks for TLS or for
    the metadata of packages later gets it all the same.
    """
    absent = {*OPENSSL} if any(map(find_spec, SHA_256)) else set()
    stand_ins = {**dict.fromkeys(absent), METADATA: _metadata_without_plugins()}
    mine = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(mine)  # type: ignore[arg-type] # None: to Python there is none
    try:
        yield
    finally:
        for name, module in mine.items():
            if sys.modules[name] is module:
                del sys.modules[name]


def _metadata_without_plugins() -> ModuleType:
    module = ModuleType(METADATA)
    for question in ("entry_points", "distributions"):  # of pydantic's versions
        setattr(module, question, lambda **_: ())
    vars(module)["__getattr__"] = _of_real_metadata
    return module


def _of_real_metadata(name: str) -> Any:
    """Return what is asked besides plugins, as some library may; that loads the real module."""
    if name.startswith("__"):
        raise AttributeError(name)
    sys.modules.pop(METADATA)
    return getattr(import_module(METADATA), name)
