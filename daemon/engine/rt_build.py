"""Compiles the real-time side (rt/) into `stemd.daemon.engine._rt`; run by setuptools at install.

It needs a C compiler and Python's headers, no JACK headers: libjack's functions and ports are
given to it by address.
"""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent / "rt"

ffibuilder = FFI()
ffibuilder.cdef(re.sub(r"/\*.*?\*/", "", (HERE / "rt.h").read_text(), flags=re.DOTALL))
ffibuilder.set_source(
    "stemd.daemon.engine._rt",
    '#include <stdint.h>\n#include "rt.h"',
    # setuptools wants them relative to setup.py
    sources=[f"daemon/engine/rt/{part}.c" for part in ("rt", "link", "midi", "tape", "guard")],
    include_dirs=[str(HERE)],
    depends=[
        f"daemon/engine/rt/{header}.h"
        for header in ("effects", "libjack", "link", "midi", "ports", "ring", "rt", "tape")
    ],
    libraries=["m"],
    extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
    py_limited_api=True,
)
