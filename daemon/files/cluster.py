"""Separates songs on the workers of a Dask cluster; nothing else imports `distributed`."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from tempfile import mkdtemp
from threading import local
from typing import Any, TypeAlias

from distributed import CancelledError, Client, KilledWorker, get_worker
from distributed.client import ClosedClientError

from stemd.daemon.errors import AudioFileError, StemdError
from stemd.daemon.files.crew import Crew
from stemd.daemon.files.job import Job, Outcome, not_separated, prepare, run_job
from stemd.daemon.files.remedies import OPTIONS
from stemd.daemon.files.separator import OnProgress, SongSeparator
from stemd.daemon.files.song import STANDARD_INPUT, Song
from stemd.daemon.files.stem_file import TEXT
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.files.throttle import throttled
from stemd.daemon.work import Work
from stemd.dsp.mask_kinds import MaskExtension
from stemd.tflite_models.files import part_of

CONNECT_S, WORKERS_S = 10.0, 60.0
"""How long the scheduler may take to answer, and how long stemd waits for the first worker."""

PIECE_BYTES = 2**23
"""Sent at once of a file."""

PIECE_S = 60.0
"""How long a piece of a file may take; then its worker counts as dead."""

LOOK_S = 5.0
"""How often stemd looks whether the scheduler is still there."""

TRIES = 3
"""How often a song is begun whose worker dies."""

AT_A_TIME = 16
"""Songs that the scheduler knows of, and more if there are many workers."""

Way: TypeAlias = tuple[Work, MaskExtension]


@dataclass(frozen=True)
class Left:
    """Stems that lie on a worker.

    Attributes
    ----------
    outcome : Outcome
    worker : str
        Its address.
    folder : Path
    sizes : dict
        Of each file, by its path below the folder.
    """

    outcome: Outcome
    worker: str
    folder: Path
    sizes: dict[str, int]


class Cluster(Crew):
    """Separates songs on a Dask cluster.

    Parameters
    ----------
    address : str
        The scheduler's: ``tcp://HOST:8786``.
    folder : Path
        All stems are below it. If a worker sees it, and the song, it reads and writes there;
        otherwise the song is sent, and the stems are fetched.
    work : Work
    extension : MaskExtension

    Raises
    ------
    StemdError
        No scheduler answers, or it has no workers.
    """

    def __init__(self, address: str, folder: Path, work: Work, extension: MaskExtension) -> None:
        self._way = work, extension
        self._address = address
        self._is_closed = False
        self._stack = ExitStack()
        self._listeners: dict[str, OnProgress] = {}
        self._topic = f"stemd-{token_hex(8)}"
        try:
            self._client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise StemdError(
                f"no Dask scheduler answers at {address} ({error}): start one (dask scheduler), or "
                "correct --scheduler"
            ) from None
        self._stack.callback(self._client.close)
        try:
            self._token = self._open(address, folder)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, address: str, folder: Path) -> Path:
        """Wait for workers; return a file by which they see whether they share the folder."""
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            raise StemdError(
                f"the Dask scheduler at {address} has no workers: start some (dask worker "
                f"{address} --nthreads 1)"
            ) from None
        threads = sum(self._client.nthreads().values())
        self._threads = ThreadPoolExecutor(max(AT_A_TIME, 2 * threads), "stemd-cluster")
        self._client.subscribe_topic(self._topic, self._take_progress)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            token, _ = self._stack.enter_context(part_of(folder.absolute() / "run"))
        except OSError as error:
            raise AudioFileError(
                f"cannot write the stems into {folder}: {error.strerror}; give another folder "
                f"({OPTIONS.folder})"
            ) from None
        return token

    def close(self) -> None:
        """Cancel what runs there, and part from the scheduler."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._stack.close()  # what still runs there is cancelled
        self._threads.shutdown()

    def submit(self, job: Job, on_progress: OnProgress) -> "Future[Outcome]":
        """Queue a song; see `Crew`."""
        return self._threads.submit(self._run, job, on_progress)

    def _run(self, job: Job, on_progress: OnProgress) -> Outcome:
        if job.song == STANDARD_INPUT:
            return not_separated(
                job.song,
                AudioFileError("standard input cannot be sent to a cluster: write it into a file"),
            )
        name = token_hex(8)
        self._listeners[name] = on_progress
        try:
            return self._try(job, partial(separate_there, self._way, (self._topic, name)))
        finally:
            del self._listeners[name]

    def _try(self, job: Job, there: "partial[Outcome | Left | None]") -> Outcome:
        """Separate a song on a worker, or on another one where that dies."""
        stat = job.song.stat() if job.song.exists() else None
        seen = (stat.st_size, stat.st_mtime_ns) if stat else None
        absolute = replace(
            job,
            song=job.song.absolute(),
            destination=replace(job.destination, folder=job.destination.folder.absolute()),
        )
        why: object = None
        for _ in range(TRIES):
            try:
                done = self._result(there, absolute, self._token, seen)
                if isinstance(done, Outcome):
                    return as_asked(done, absolute, job)
                return self._send_and_fetch(job, there)
            except AudioFileError as error:
                return as_asked(not_separated(absolute.song, error), absolute, job)
            except (CancelledError, KilledWorker, TimeoutError) as error:
                why = error
                if self._is_closed:
                    break
        return not_separated(
            job.song,
            AudioFileError(
                f"cannot separate {job.song}: each worker that tried it died ({why}); give them "
                "more memory"
            ),
        )

    def _result(self, function: Any, *arguments: Any, **options: Any) -> Any:
        with suppress(ClosedClientError):
            future = self._client.submit(function, *arguments, pure=False, **options)
            while self._client.status in ("connecting", "running"):
                with suppress(TimeoutError):
                    return future.result(LOOK_S)
        raise StemdError(
            f"the Dask scheduler at {self._address} has ended: start it again; then the same "
            "command with --resume goes on"
        )

    def _send_and_fetch(self, job: Job, there: "partial[Outcome | Left | None]") -> Outcome:
        with Song(job.song) as song:
            ready = prepare(job, song)
        if isinstance(ready, Outcome):
            return ready
        with job.song.open("rb") as file:
            pieces = list(iter(partial(file.read, PIECE_BYTES), b""))
        sent = self._client.scatter(pieces, hash=False) if pieces else []
        left = self._result(there, job, None, None, sent)
        outcome = self._fetch(left, job, ready) if isinstance(left, Left) else left
        return as_asked(outcome, job, job)

    def _fetch(self, left: Left, job: Job, ready: Destination) -> Outcome:
        """Copy the stems from a worker; each is whole here, or is not here.

        What the song lacked is noted anew: what has the note's name here may be the user's.
        """
        damage = ""
        with ExitStack() as stack:
            parts = []
            for name, size in left.sizes.items():
                pieces = self._pieces(left.worker, left.folder / name, size)
                if Path(name).suffix == f".{TEXT}":
                    _, _, damage = b"".join(pieces).decode(errors="replace").partition("\n")
                    continue
                target = ready.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                part, file = stack.enter_context(part_of(target))
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
                parts.append((part, target))
            for part, target in parts:
                part.replace(target)
        ready.note_damage(damage.strip())
        with suppress(TimeoutError):
            self._there(left.worker, rmtree, left.folder.parent, True)
        return as_asked(left.outcome, replace(job, destination=at(job, left.folder)), job)

    def _pieces(self, worker: str, path: Path, size: int) -> Iterator[bytes]:
        """Yield a worker's file in pieces."""
        for start in range(0, size, PIECE_BYTES):
            yield self._there(worker, read_piece, path, start)

    def _there(self, worker: str, function: Any, *arguments: Any) -> Any:
        future = self._client.submit(function, *arguments, workers=[worker], pure=False)
        return future.result(PIECE_S)

    def _take_progress(self, event: Any) -> None:
        """Pass on a worker's progress (the client's thread)."""
        _, (name, done, whole) = event
        if listener := self._listeners.get(name):
            listener(done, whole)


def at(job: Job, folder: Path) -> Any:
    """Return where a job's stems go, in another folder."""
    return replace(job.destination, folder=folder)


def as_asked(outcome: Outcome, done: Job, asked: Job) -> Outcome:
    """Return an outcome with the paths of the job that was asked for."""
    folder, given = str(done.destination.folder), str(asked.destination.folder)
    return replace(
        outcome,
        song=str(asked.song),
        stems=[str(Path(given, Path(stem).relative_to(folder))) for stem in outcome.stems],
        warnings=[each.replace(str(done.song), str(asked.song)) for each in outcome.warnings],
    )


_of_thread = local()


def _separator(way: Way) -> SongSeparator:
    """Return this thread's separator: its networks are loaded for its first song."""
    known: dict[Way, SongSeparator] = vars(_of_thread).setdefault("separators", {})
    if way not in known:
        known.clear()
        work, extension = way
        known[way] = SongSeparator([work], extension)
    return known[way]


def separate_there(
    way: Way,
    listener: tuple[str, str],
    job: Job,
    token: Path | None,
    seen: tuple[int, int] | None,
    pieces: Sequence[bytes] | None = None,
) -> Outcome | Left | None:
    """Separate a song on a worker.

    Parameters
    ----------
    way : Way
    listener : tuple of str
        Topic and name under which the progress is reported.
    job : Job
    token : Path, optional
        What the client has made in the folder of the stems.
    seen : tuple of int, optional
        The song's size and time, as the client sees it.
    pieces : sequence of bytes, optional
        The song, where it is sent.

    Returns
    -------
    Outcome, Left or None
        None: the song must be sent.
    """
    separator, worker = _separator(way), get_worker()
    if separator.settings != job.destination.settings:
        raise StemdError(
            f"the worker {worker.address} has other networks than this machine: install the same "
            "ones there, and the same stemd"
        )
    topic, name = listener
    on_progress = throttled(lambda *progress: worker.log_event(topic, (name, *progress)))
    if pieces is None:
        if not _is_shared(job.song, token, seen):
            return None
        return run_job(job, separator, on_progress)
    place = Path(mkdtemp(prefix="stemd-"))
    song, folder = place / "song" / job.song.name, place / "stems"
    try:
        song.parent.mkdir()
        song.write_bytes(b"".join(pieces))
        own = replace(job, song=song, destination=at(job, folder), resume=False)
        outcome = as_asked(run_job(own, separator, on_progress), own, replace(own, song=job.song))
        sizes = {
            str(path.relative_to(folder)): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    except BaseException as error:
        rmtree(place, ignore_errors=True)
        if isinstance(error, AudioFileError):
            raise AudioFileError(str(error).replace(str(song), str(job.song))) from None
        raise
    rmtree(song.parent)
    return Left(outcome, worker.address, folder, sizes)


def read_piece(path: Path, start: int) -> bytes:
    """Return a piece of a file on a worker."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(PIECE_BYTES)


def _is_shared(song: Path, token: Path | None, seen: tuple[int, int] | None) -> bool:
    """Whether the client's files are here."""
    try:
        stat = song.stat()
    except OSError:
        return seen is None  # nor has the client that song
    return token is not None and token.exists() and (stat.st_size, stat.st_mtime_ns) == seen
