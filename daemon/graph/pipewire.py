"""Sets the names by which PipeWire's programs show stemd, in place of the interpreter's.

The library takes a client's name from /proc/self/exe, and a JACK client cannot set another one; the
properties of the client's node can be set in PIPEWIRE_PROPS.
"""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from stemd.daemon.desktop_icon import icon_name

LIBRARY = "libpipewire-0.3.so.0"

NAME = b"stemd"

MEDIA_NAME = "stems of live music"


def introduce() -> None:
    """Name this process stemd, before a client is opened; keep what the user has set."""
    with suppress(OSError):  # the properties are set all the same
        _rename(ctypes.CDLL(LIBRARY))
    set_by_user = os.environ.get("PIPEWIRE_PROPS", "").strip()
    if MEDIA_NAME not in set_by_user:
        os.environ["PIPEWIRE_PROPS"] = _with_defaults(set_by_user)


def _with_defaults(set_by_user: str) -> str:
    """Return the properties with the user's last: of equal ones, the library takes the last."""
    if set_by_user.startswith("{") and set_by_user.endswith("}"):
        set_by_user = set_by_user[1:-1]
    # With an application name, PipeWire 1.4 would name a JACK client karaoke stemd/karaoke.
    properties = {"application.icon-name": icon_name(), "media.name": MEDIA_NAME}
    ours = " ".join(f'{key} = "{value}"' for key, value in properties.items())
    return f"{{ {ours} {set_by_user.strip()} }}"


def _rename(library: ctypes.CDLL) -> None:
    """Overwrite the library's copy of the program's name, if it is the interpreter's."""
    library.pw_get_prgname.restype = ctypes.c_void_p
    address = library.pw_get_prgname()
    program = os.fsencode(Path("/proc/self/exe").readlink().name)
    fits = address and len(program) >= len(NAME) and _is_writable(address)
    if fits and ctypes.string_at(address) == program:
        ctypes.memmove(address, NAME + b"\0", len(NAME) + 1)


def _is_writable(address: int) -> bool:
    for line in Path("/proc/self/maps").read_bytes().splitlines():  # paths may have any encoding
        span, rights, *_ = line.split()
        first, last = (int(each, 16) for each in span.split(b"-"))
        if first <= address < last:
            return b"w" in rights
    return False
