"""Imports that leave OpenSSL out: four megabytes that the daemon has no use for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

OPENSSL = ("_hashlib", "_ssl")
"""The modules that load it."""

SHA_256 = ("_sha256", "_sha2")
"""Python's own digest, by its name until 3.11 and since; some distributions leave it out."""


@contextmanager
def without_openssl() -> Iterator[None]:
    """Import as in a Python that was built without OpenSSL, which the standard library knows.

    Digests are then Python's own: slower, but a start has only some dozens of megabytes to check.
    Who asks for TLS later gets it all the same.
    """
    absent = {*OPENSSL} - {*sys.modules} if any(map(find_spec, SHA_256)) else set()
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment] # to Python: there is none
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
