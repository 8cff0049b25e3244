"""The error of a network port that cannot be opened."""

import errno

from stemd.daemon.errors import StemdError

OF_PORT = (errno.EADDRINUSE, errno.EACCES)
"""Errors for which the port is to blame."""


def cannot_listen(what: str, section: str, host: str, port: int, error: Exception) -> StemdError:
    """Return the error of a network port that cannot be opened.

    Parameters
    ----------
    what : str
        What was wanted.
    section : str
        Of the configuration, with ``host`` and ``port``.
    host : str
    port : int
    error : OSError, TypeError or ValueError
        What Python's `socket` raised; the last two are of names that can be none.
    """
    number = error.errno if isinstance(error, OSError) else None
    reason = (isinstance(error, OSError) and error.strerror) or "it is no host's name"
    key = "port" if number in OF_PORT else "host"
    return StemdError(
        f"cannot {what} on {host}, port {port}: {reason}; choose another one ({section}.{key})"
    )
