"""Fetches an archive over HTTP, going on where a broken connection stopped."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import IO, Any

from stemd.tflite_models.errors import ModelError

ATTEMPTS = 5
"""So many in a row may bring nothing new; a download that gets on is never given up."""
RETRY_DELAY_S = 2.0
TIMEOUT_S = 30.0

_CHUNK_BYTES = 1 << 16


def download(
    url: str, sha256: str, folder: Path, progress: bool | None, retry_delay_s: float = RETRY_DELAY_S
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

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        The server cannot be reached, refuses, breaks off again and again, or gives other content.
    OSError
        The folder cannot be written.
    """
    import pooch
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel(logging.WARNING)
    fetch = _ResumingDownloader(
        sys.stderr.isatty() if progress is None else progress, retry_delay_s
    )
    try:
        found = pooch.retrieve(url, None, url.rpartition("/")[2], folder, downloader=fetch)
    except RequestException as error:
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

    def __init__(self, progress: bool, retry_delay_s: float) -> None:
        self._progress = progress
        self._retry_delay_s = retry_delay_s

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
            _Attempt(file, self._progress).run(url, pooch)
        except (ChunkedEncodingError, ConnectionError, Timeout) as error:
            never_began = not file.tell() and not isinstance(error, ChunkedEncodingError)
            if never_began or attempts_left == 1:
                raise
            return False
        return True


class _Attempt:
    """One request for the part of a file that is missing."""

    def __init__(self, file: IO[bytes], progress: bool) -> None:
        self._file = file
        self._progress = progress
        self._expected_end = 0

    def run(self, url: str, pooch: Any) -> None:
        from pooch import HTTPDownloader
        from requests.exceptions import ChunkedEncodingError

        # A server that recodes what it sends would give other bytes, and other lengths.
        headers = {"Accept-Encoding": "identity"}
        if self._file.tell():
            headers["Range"] = f"bytes={self._file.tell()}-"
        HTTPDownloader(
            progressbar=self._progress,
            chunk_size=_CHUNK_BYTES,
            timeout=TIMEOUT_S,
            headers=headers,
            hooks={"response": self._begin},
        )(url, self._file, pooch)
        # Not every version of urllib3 minds a body that ends early.
        if self._file.tell() < self._expected_end:
            raise ChunkedEncodingError("the connection broke")

    def _begin(self, response: Any, **_: Any) -> None:
        """Start over if the server sends the whole file though asked for its rest."""
        from requests.exceptions import InvalidHeader

        length = response.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise InvalidHeader(f"the server says Content-Length: {length}")
        if response.status_code == 200:
            self._file.seek(0)
            self._file.truncate()
        self._expected_end = self._file.tell() + int(length)


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
