"""Finds the installed client libraries, and binds JACK-Client to one of them.

JACK2 and PipeWire each bring a ``libjack.so.0``, and each reaches its own server only.
JACK-Client binds the library that `ctypes.util.find_library` names when it is imported: none where
PipeWire's alone is installed, JACK2's where both are.
"""

import ctypes.util
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stemd.daemon.engine._rt import lib
from stemd.daemon.graph.server_obstacles import kinds_of

SONAME = "libjack.so.0"
FOLDERS = ("lib*", "lib/*", "lib*/pipewire-*/jack", "lib*/*/pipewire-*/jack")
"""Folders of the libraries below /usr. PipeWire's is often not on the loader's path; under pw-jack,
JACK2's is not."""

FREES_TWICE_SINCE = (1, 2, 5)
REPORTS_ACTIVITY_SINCE = (0, 3, 77)
LOOPBACKS_STALL_UNTIL = (0, 3, 72)
LATEST = (sys.maxsize,)
"""Stands for a version that cannot be read."""


@dataclass(frozen=True)
class Library:
    """One client library.

    Attributes
    ----------
    path : str
        Path or name for the loader.
    kind : str
        "jack" or "pipewire": the kind of server that it reaches.
    version : str
        Name and version of the library.
    """

    path: str
    kind: str
    version: str

    @property
    def closes_dead_clients(self) -> bool:
        """Whether a client can be closed after its server has ended.

        PipeWire's library frees a client's buffers twice then, since "jack: free ports and cached
        objects" (f759bb68f, in 1.2.5), and still did when this was written (1.6.8, August 2026).
        """
        return self._pipewire is None or self._pipewire < FREES_TWICE_SINCE

    @property
    def reports_activity(self) -> bool:
        """Whether ports are reported to come or go when a client becomes active or inactive.

        JACK2 does so, and PipeWire since 0.3.77.
        """
        return self._pipewire is None or self._pipewire >= REPORTS_ACTIVITY_SINCE

    @property
    def loopbacks_stall(self) -> bool:
        """Whether a loopback falls silent for good if it receives before it can play, or meanwhile.

        All its buffers then wait for what never comes: fixed by "stream: always call the process
        function when triggered" (92c4a916f, in 0.3.67) and "module-loopback: always dequeue the
        last capture buffer" (cfaf424ed, in 0.3.72).
        """
        return self._pipewire is not None and self._pipewire < LOOPBACKS_STALL_UNTIL

    @property
    def _pipewire(self) -> tuple[int, ...] | None:
        """The version of PipeWire that this library belongs to, if it does."""
        if self.kind != "pipewire":
            return None
        version = re.search(r"PipeWire (\d+)\.(\d+)\.(\d+)", self.version)
        return tuple(map(int, version.groups())) if version else LATEST


def libraries() -> list[Library]:
    """Return the libraries that load, the loader's own choice first."""
    found: list[Library] = []
    for path in [SONAME, *_paths()]:
        try:
            version = _version(ctypes.CDLL(path))
        except OSError:
            continue
        kind = "pipewire" if "PipeWire" in version else "jack"
        if all((kind, version) != (other.kind, other.version) for other in found):
            found.append(Library(path, kind, version))
    return found


def load(library: Library) -> ModuleType:
    """Import JACK-Client bound to the library, again if it was bound to another."""
    jack = sys.modules.get("jack")
    if jack is None or jack._libname != library.path:
        sys.modules.pop("jack", None)
        jack = _import_bound_to(library.path)
        # Clients are closed by name, or never: not when one is collected, or Python ends.
        del jack.Client.__del__
        _silence(library)
    return jack


def _silence(library: Library) -> None:
    """Keep the library's own messages from the terminal.

    By compiled functions, since the library's threads call them: when a server ends JACK2 cancels
    them, and one that is cancelled while it holds the interpreter's lock never releases it.
    """
    functions = ctypes.CDLL(library.path)
    nothing = ctypes.c_void_p(lib.rt_callback(lib.RT_ON_MESSAGE))
    functions.jack_set_error_function(nothing)
    functions.jack_set_info_function(nothing)


def address_of(jack: ModuleType, pointer: Any) -> int:
    """Return the address that one of JACK-Client's pointers holds."""
    return int(jack._ffi.cast("uintptr_t", pointer))


class Functions:
    """Functions of a library that JACK-Client lacks, by name; pointers are addresses.

    Parameters
    ----------
    library : Library
        The one that JACK-Client is bound to.
    """

    def __init__(self, library: Library) -> None:
        self._library = ctypes.CDLL(library.path)

    def address(self, name: str) -> int:
        """Return the address of a function."""
        return ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value or 0

    def call(self, name: str, *pointers: int) -> int:
        """Call a function that takes pointers and returns an int."""
        function = getattr(self._library, name)
        function.restype = ctypes.c_int
        return int(function(*(ctypes.c_void_p(pointer) for pointer in pointers)))

    def port_name(self, client: int, number: int) -> str:
        """Return the full name of the port with this number; empty if there is none."""
        by_number, name = self._library.jack_port_by_id, self._library.jack_port_name
        by_number.restype, name.restype = ctypes.c_void_p, ctypes.c_char_p
        port = by_number(ctypes.c_void_p(client), ctypes.c_uint32(number))
        return (name(ctypes.c_void_p(port)) or b"").decode(errors="replace") if port else ""


def candidates(server: str) -> list[Library]:
    """Return the libraries that can reach the wanted server, the preferred one first.

    Parameters
    ----------
    server : str
        "auto", "jack", "pipewire" or "dummy" (a private JACK server).
    """
    found = libraries()
    return [library for kind in kinds_of(server) for library in found if library.kind == kind]


def _import_bound_to(path: str) -> ModuleType:
    find_library = ctypes.util.find_library
    ctypes.util.find_library = lambda name: path  # noqa: ARG005 - nothing else is looked for
    try:
        return importlib.import_module("jack")
    finally:
        ctypes.util.find_library = find_library


def _paths() -> Iterator[str]:
    for pattern in FOLDERS:
        yield from sorted(str(path) for path in Path("/usr").glob(f"{pattern}/{SONAME}"))


def _version(library: ctypes.CDLL) -> str:
    library.jack_get_version_string.restype = ctypes.c_char_p
    version: bytes = library.jack_get_version_string()
    return f"JACK {version.decode()}"
