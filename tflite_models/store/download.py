"""Fetches an archive over HTTP, going on where a broken connection stopped."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, Any

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.store.archive import MOST_BYTES

ATTEMPTS = 5
"""So many in a row may bring nothing new; a download that gets on is never given up."""
RETRY_DELAY_S = 2.0
TIMEOUT_S = 30.0

SLOW_S = 60.0
"""In so long at least one chunk must come, or the server is as good as silent."""

LONGEST_LENGTH = 20
"""Digits of a length that can be one."""

_CHUNK_BYTES = 1 << 16


def download(
    url: str,
    sha256: str,
    folder: Path,
    progress: bool | None,
    retry_delay_s: float = RETRY_DELAY_S,
    most_bytes: int = MOST_BYTES,
) -> Path:
    """Fetch a file and check its sha256.

    Parameters
    ----------
    url : str
        Of `http` or `https`.
    sha256 : str
        What the content must have.
    folder : Path
        Receives the file, under the last part of the URL.
    progress : bool or None
        Draw a progress bar on standard error; None draws it if that is a terminal.
    retry_delay_s : float
        Pause before the second attempt; each later pause is longer by as much.
    most_bytes : int
        More is not written.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        The server cannot be reached, refuses, breaks off again and again, is slower than a modem,
        or gives other or more content.
    OSError
        The folder cannot be written.
    """
    import pooch
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    pooch.get_logger().setLevel(logging.WARNING)
    fetch = _ResumingDownloader(
        sys.stderr.isatty() if progress is None else progress, retry_delay_s, most_bytes
    )
    try:
        found = pooch.retrieve(url, None, url.rpartition("/")[2], folder, downloader=fetch)
    # Addresses in redirects are taken apart outside of what requests turns into its own errors.
    except (RequestException, HTTPError, ValueError) as error:
        raise ModelError(f"{url}: {_reason(error)}") from error
    _check(url, found, sha256)
    return Path(found)


def _check(url: str, path: str, sha256: str) -> None:
    import pooch

    found = pooch.file_hash(path)
    if found != sha256:
        raise ModelError(
            f"{url}: the content has sha256 {found}, expected {sha256}; "
            "it was not used, try again later or from another mirror"
        )


class _ResumingDownloader:
    """Pooch's HTTP downloader, called again for the rest when a connection breaks."""

    def __init__(self, progress: bool, retry_delay_s: float, most_bytes: int) -> None:
        self._progress = progress
        self._retry_delay_s = retry_delay_s
        self._most_bytes = most_bytes

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Fetch into a file; called by pooch."""
        with Path(output_file).open("wb") as file:
            attempts_left, reached = ATTEMPTS, 0
            while not self._attempt(file, url, pooch, attempts_left):
                attempts_left = ATTEMPTS if file.tell() > reached else attempts_left - 1
                reached = max(reached, file.tell())
                time.sleep((ATTEMPTS - attempts_left + 1) * self._retry_delay_s)

    def _attempt(self, file: IO[bytes], url: str, pooch: Any, attempts_left: int) -> bool:
        """Tell whether the file is complete; raise if trying again makes no sense."""
        from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout

        try:
            _Attempt(_Bounded(file, url, self._most_bytes), self._progress).run(url, pooch)
        except (ChunkedEncodingError, ConnectionError, Timeout) as error:
            never_began = not file.tell() and not isinstance(error, ChunkedEncodingError)
            if never_began or attempts_left == 1:
                raise
            return False
        return True


class _Bounded:
    """The file that receives a download, up to a bound and for one attempt only."""

    def __init__(self, file: IO[bytes], url: str, most_bytes: int) -> None:
        self._file = file
        self._url = url
        self._most_bytes = most_bytes
        self._lock = Lock()
        self._is_left = False

    def write(self, data: bytes) -> int:
        """Append; called by pooch."""
        with self._lock:
            if self._is_left:
                raise OSError  # nobody waits for it any more
            self.check(self._file.tell() + len(data))
            return self._file.write(data)

    def flush(self) -> None:
        """Give what was written to the kernel; called by pooch."""
        self._file.flush()

    def check(self, length: int) -> None:
        """Raise ModelError if the file is to become longer than it may be."""
        if length > self._most_bytes:
            raise ModelError(
                f"{self._url}: the server sends more than {self._most_bytes >> 20} MiB; it is no "
                "official archive, try again later or from another mirror"
            )

    def tell(self) -> int:
        """Return how much has come, in bytes."""
        with self._lock:
            return self._file.tell()

    def start_over(self) -> None:
        """Forget what has come."""
        self._file.seek(0)
        self._file.truncate()

    def leave(self) -> None:
        """Write no more, whatever comes."""
        with self._lock:
            self._is_left = True


class _Attempt:
    """One request for the part of a file that is missing."""

    def __init__(self, file: _Bounded, progress: bool) -> None:
        self._file = file
        self._progress = progress
        self._expected_end = 0

    def run(self, url: str, pooch: Any) -> None:
        """Fetch; give up where too little comes, be it in the head or in the body.

        A socket's time limit begins anew with each byte, so that a server of a byte now and then
        would never meet it. The request is therefore on a thread of its own.
        """
        from requests.exceptions import ChunkedEncodingError

        ended: SimpleQueue[BaseException | None] = SimpleQueue()
        Thread(target=self._request, args=(url, pooch, ended), daemon=True).start()
        try:
            error = self._outcome(url, ended)
        finally:
            self._file.leave()
        if error is not None:
            try:
                raise error
            finally:
                del error  # which would keep this frame, and the connection, for the collector
        # Not every version of urllib3 minds a body that ends early.
        if self._file.tell() < self._expected_end:
            raise ChunkedEncodingError("the connection broke")

    def _outcome(self, url: str, ended: SimpleQueue[BaseException | None]) -> BaseException | None:
        reached = self._file.tell()
        while True:
            with suppress(Empty):
                return ended.get(timeout=SLOW_S)
            if self._file.tell() == reached:
                raise ModelError(
                    f"{url}: the server sends less than a kilobyte a second; try again later or "
                    "from another mirror"
                )
            reached = self._file.tell()

    def _request(self, url: str, pooch: Any, ended: SimpleQueue[BaseException | None]) -> None:
        from pooch import HTTPDownloader

        # A server that recodes what it sends would give other bytes, and other lengths.
        headers = {"Accept-Encoding": "identity"}
        if self._file.tell():
            headers["Range"] = f"bytes={self._file.tell()}-"
        fetch = HTTPDownloader(
            progressbar=self._progress,
            chunk_size=_CHUNK_BYTES,
            timeout=TIMEOUT_S,
            headers=headers,
            hooks={"response": self._begin},
        )
        try:
            fetch(url, self._file, pooch)
        except BaseException as error:  # noqa: BLE001 (it is raised by who waits)
            ended.put(error.with_traceback(None))
        else:
            ended.put(None)

    def _begin(self, response: Any, **_: Any) -> None:
        """Start over if the server sends the whole file though asked for its rest."""
        from requests.exceptions import InvalidHeader

        length = response.headers.get("Content-Length", "0")
        if not length.isdecimal() or len(length) > LONGEST_LENGTH:
            raise InvalidHeader(f"the server says Content-Length: {length[:LONGEST_LENGTH]}")
        if response.status_code == 200:
            self._file.start_over()
        self._expected_end = self._file.tell() + int(length)
        self._file.check(self._expected_end)


def _reason(error: Exception) -> str:
    """Say it in a line; requests wraps its errors three deep."""
    from requests import exceptions

    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    if isinstance(error, exceptions.Timeout):
        return f"no answer within {TIMEOUT_S:.0f} s; is the network up?"
    if isinstance(error, exceptions.SSLError):
        return f"the server's certificate is not accepted ({error})"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"the connection broke, {ATTEMPTS} times at the same place; try again later"
    if isinstance(error, exceptions.ConnectionError):
        return "the server cannot be reached; is the network up?"
    return f"cannot be fetched ({error})"
