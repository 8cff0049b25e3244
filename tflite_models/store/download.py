"""Fetches an archive over HTTP, going on where a broken connection stopped."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, InvalidURL
from io import BufferedRandom
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import (
    BaseHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
    getproxies,
    proxy_bypass,
)

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.store.archive import MOST_BYTES

ATTEMPTS = 5
"""How many attempts in a row may bring nothing new; a download that proceeds is never given up."""
RETRY_DELAY_S = 2.0
TIMEOUT_S = 30.0

SLOW_S = 60.0
"""How long one chunk may take; a slower server counts as silent."""

LONGEST_LENGTH = 20
"""The most digits of a Content-Length that is believed."""

_USER = re.compile(r"(?P<scheme>([a-z]+://)?)(?P<user>[^/]*)@", re.IGNORECASE)
"""What stands before the host in an address."""

_WEB_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype|html|head|body)", re.IGNORECASE | re.DOTALL)
"""The beginning of what a network answers that asks for a login first."""

_CHUNK_BYTES = 1 << 16

_MOST_WAITING = 16
"""Chunks in memory while the disk is slower than the network."""

_HANDLERS: tuple[type[BaseHandler], ...] = (
    ProxyHandler,
    UnknownHandler,
    HTTPHandler,
    HTTPSHandler,
    HTTPDefaultErrorHandler,
    HTTPRedirectHandler,
    HTTPErrorProcessor,
)
"""Without those for files and FTP, to which a server could redirect."""

Progress: TypeAlias = Callable[[int, int], object]
"""Takes the bytes that have arrived, and the whole length; 0 where the server does not say it."""


def download(
    url: str,
    sha256: str,
    folder: Path,
    on_progress: Progress,
    retry_delay_s: float = RETRY_DELAY_S,
    most_bytes: int = MOST_BYTES,
) -> Path:
    """Fetch a file, check its sha256, and return its path.

    Parameters
    ----------
    url : str
        An `http` or `https` address, perhaps with ``user:password@``, which no message names.
    sha256 : str
        The digest that the content must have, in hexadecimal.
    folder : Path
        Receives the file, under the last part of the URL.
    on_progress : Progress
        Called after each chunk, on the caller's thread.
    retry_delay_s : float
        Pause before the second attempt; each later pause is longer by as much.
    most_bytes : int
        A longer file is refused.

    Raises
    ------
    ModelError
        The server cannot be reached, refuses, breaks off again and again, is slower than a modem,
        or sends other or more content. Then, as after any other exception, no file is left.
    OSError
        The folder cannot be written.
    """
    path = folder / url.rpartition("/")[2]
    url, user = split_user(url)
    try:
        with path.open("w+b") as file:
            _Download(url, user, file, on_progress, most_bytes).run(retry_delay_s)
            _check(url, file, sha256)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def split_user(url: str) -> tuple[str, str]:
    """Return an address without the user and password before its host, and these as they stand.

    Messages name the first: a password is not for a terminal or a log.
    """
    found = _USER.match(url)
    return (f"{found['scheme']}{url[found.end() :]}", found["user"]) if found else (url, "")


def _authorization(user: str) -> dict[str, str]:
    """Return the header by which a server knows a user, given as ``name:password``."""
    if not user:
        return {}
    return {"Authorization": f"Basic {b64encode(unquote_to_bytes(user)).decode()}"}


def _check(url: str, file: BufferedRandom, sha256: str) -> None:
    file.seek(0)
    found = file_digest(file, "sha256").hexdigest()
    file.seek(0)
    if found != sha256 and _WEB_PAGE.match(file.read(_CHUNK_BYTES)):
        raise ModelError(
            f"{url}: a web page came in place of the file; does this network ask for a login? Log "
            "in with a browser, or fetch the file elsewhere and use --from"
        )
    if found != sha256:
        raise ModelError(
            f"{url}: the content has sha256 {found}, expected {sha256}; "
            "it was not used, try again later or from another mirror"
        )


@dataclass(frozen=True)
class _Head:
    """The beginning of a response."""

    is_rest: bool
    """Whether only the missing rest of the file follows, as requested."""
    length: int
    """Bytes that follow; 0 where the server does not say it."""


_Message: TypeAlias = _Head | bytes | Exception
"""What arrives: first the head, then chunks, last an empty one; or else the error."""


class _Download:
    """A file that is being fetched, by as many requests as that takes."""

    def __init__(
        self, url: str, user: str, file: BufferedRandom, on_progress: Progress, most_bytes: int
    ) -> None:
        self._url = url
        self._user = user
        self._file = file
        self._on_progress = on_progress
        self._most_bytes = most_bytes
        self._has_begun = False
        self._end = 0

    def run(self, retry_delay_s: float) -> None:
        """Fetch the file; raises as `download`."""
        attempts_left, reached = ATTEMPTS, 0
        while error := self._attempt():
            attempts_left = ATTEMPTS if self._file.tell() > reached else attempts_left - 1
            reached = max(reached, self._file.tell())
            if not attempts_left or not self._has_begun or not _may_pass(error):
                raise ModelError(
                    f"{self._url}: {_reason(error, self._has_begun, self._url)}"
                ) from error
            time.sleep((ATTEMPTS - attempts_left + 1) * retry_delay_s)

    def _attempt(self) -> Exception | None:
        """Request what is missing; return the error that ended it, None if the file is whole."""
        received: Queue[_Message] = Queue(_MOST_WAITING)
        arguments = (self._url, self._user, self._file.tell(), received)
        Thread(target=_receive, args=arguments, daemon=True).start()
        while True:
            try:
                message = received.get(timeout=SLOW_S)
            except Empty:
                raise ModelError(
                    f"{self._url}: the server sends less than a kilobyte a second; try again "
                    "later or from another mirror"
                ) from None
            if isinstance(message, Exception):
                return message
            if isinstance(message, _Head):
                self._begin(message)
            elif message:
                self._write(message)
            else:
                is_whole = self._file.tell() >= self._end
                return None if is_whole else ConnectionError("the connection broke")

    def _begin(self, head: _Head) -> None:
        """Start over if the server sends the whole file though only its rest was requested."""
        self._has_begun = True
        if not head.is_rest:
            self._file.seek(0)
            self._file.truncate()
        self._end = self._file.tell() + head.length
        self._check_size(self._end)

    def _write(self, chunk: bytes) -> None:
        self._check_size(self._file.tell() + len(chunk))
        self._file.write(chunk)
        self._on_progress(self._file.tell(), self._end)

    def _check_size(self, length: int) -> None:
        if length > self._most_bytes:
            raise ModelError(
                f"{self._url}: the server sends more than {self._most_bytes >> 20} MiB; it is not "
                "an official archive, try again later or from another mirror"
            )


def _receive(url: str, user: str, offset: int, received: Queue[_Message]) -> None:
    """Request a file from an offset on, and pass on what arrives.

    On a thread of its own: a socket's time limit restarts with each byte, so a server that sends
    a byte now and then would never meet it.
    """
    try:
        opener = OpenerDirector()
        for handler in _HANDLERS:
            opener.add_handler(handler())
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        request = Request(url, headers=headers)  # noqa: S310 (no other schemes are handled)
        # Not for a server elsewhere to which this one redirects.
        request.unredirected_hdrs.update(_authorization(user))
        with opener.open(request, timeout=TIMEOUT_S) as response:
            received.put(_Head(response.status == 206, _length(response.headers)))
            while chunk := response.read(_CHUNK_BYTES):
                received.put(chunk, timeout=SLOW_S)
        received.put(b"")
    except Exception as error:  # noqa: BLE001 (it is reported by the thread that waits)
        if isinstance(error, HTTPError):
            error.close()
        received.put(error.with_traceback(None))


def _length(headers: HTTPMessage) -> int:
    length = headers.get("Content-Length", "0")
    if not length.isdecimal() or len(length) > LONGEST_LENGTH:
        raise ValueError(
            f"the server says Content-Length: {length[:LONGEST_LENGTH]}, which must be a number"
        )
    return int(length)


def _cause(error: Exception) -> object:
    """Return what an error of urllib's is about: an error of the system's, or a text."""
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        return error.reason
    return error


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    is_refusal = isinstance(error, HTTPError | InvalidURL)
    return isinstance(_cause(error), OSError | HTTPException) and not is_refusal


def _proxy_of(url: str) -> str:
    """Return the proxy that an address is fetched through, without its password; empty if none."""
    address = urlsplit(url)
    proxy = getproxies().get(address.scheme, "")
    return "" if not proxy or proxy_bypass(address.netloc) else split_user(proxy)[0]


def _is_of_the_way(error: Exception, cause: object) -> bool:
    """Whether an error is about reaching the server, and not what it answers."""
    from ssl import SSLError

    if isinstance(error, HTTPError):
        return error.code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    is_about_way = isinstance(error, URLError) or isinstance(cause, TimeoutError)
    return is_about_way and isinstance(cause, OSError) and not isinstance(cause, SSLError)


def _reason(error: Exception, has_begun: bool, url: str) -> str:
    """Return in one line why a download failed, and the remedy."""
    from ssl import SSLError

    cause = _cause(error)
    if _is_of_the_way(error, cause) and (proxy := _proxy_of(url)):
        return (
            f"the proxy {proxy} does not let it through ({error}); set "
            f"{urlsplit(url).scheme}_proxy right, or fetch the file elsewhere and use --from"
        )
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s; is the network up?"
    if isinstance(cause, SSLError):
        return (
            f"the server's certificate is not accepted ({cause}); is this machine's clock right, "
            "and are certificates installed (Debian: apt install ca-certificates)?"
        )
    if isinstance(cause, OSError) and isinstance(error, URLError):
        return "the server cannot be reached; is the network up?"
    if _may_pass(error) and has_begun:
        return f"the connection broke, {ATTEMPTS} times at the same place; try again later"
    return (
        f"cannot be fetched ({cause or type(error).__name__}); "
        "try again later or from another mirror"
    )
