"""Separates one song, or several beside each other, and says how each went."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from stemd.daemon.capacity.choice import first_held
from stemd.daemon.cli.terminal import RunProgress, echo, echo_error, progress_bar
from stemd.daemon.errors import AudioFileError, DamagedSongError, StemdError
from stemd.daemon.files.job import Job, Outcome, not_separated, run_job, targets_of
from stemd.daemon.files.lanes import Lanes, lanes_for
from stemd.daemon.files.separate import Streams
from stemd.daemon.files.separator import SongSeparator
from stemd.daemon.files.song import STANDARD_INPUT
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.packages import install_extra
from stemd.daemon.wording import counted
from stemd.daemon.work import Work
from stemd.dsp.masks import MaskExtension
from stemd.tflite_models.files import write_whole

if TYPE_CHECKING:
    from stemd.daemon.files.cluster import Cluster

Event: TypeAlias = tuple[int, "Future[Outcome] | float"]
"""A song's number, and what became of it, or which share of it is separated."""


def _is_report(path: Path) -> bool:
    """Whether a file is a list of outcomes."""
    try:
        outcomes = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(outcomes, list) and all(
        isinstance(each, dict) and {"song", "state"} <= each.keys() for each in outcomes
    )


class Batch:
    """Separates songs into the same stems in the same way.

    Parameters
    ----------
    works : sequence of Work
        With the same networks, from the scheme wanted most to the one wanted least.
    extension : MaskExtension
    files : mapping
        See `wanted_files`.
    resume : bool
        Songs whose stems are there already are left out.
    jobs : int, optional
        How many songs are separated at a time, where there are several; by default as many as the
        cores and the memory are enough for.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers separate the songs.
    folder : Path
        All stems are below it.
    """

    def __init__(
        self,
        works: Sequence[Work],
        extension: MaskExtension,
        files: Mapping[str, Streams],
        resume: bool = False,
        jobs: int | None = None,
        scheduler: str | None = None,
        folder: Path = Path(),
    ) -> None:
        self.works = works
        self._outcomes: dict[int, Outcome] = {}
        self._numbers = count()
        self._progress = RunProgress()
        self._claimed: dict[Path, Path] = {}
        """The song of each file of this run."""
        self._extension = extension
        self._resume = resume
        self._jobs = jobs
        self.scheduler = scheduler
        self._folder = folder
        self._files = files

    def separate_all(self, songs: Iterable[tuple[Path, Destination]]) -> int:
        """Separate the songs, some at a time; print how each went.

        The first ones begin before the last ones are found.

        Returns
        -------
        int
            The exit code: 1 if a song could not be separated, 3 if one is damaged, else 0.
        """
        events = SimpleQueue[Event]()
        try:
            with self._crew() as crew:
                for song, destination in songs:
                    self._progress.expect(1)
                    self._submit(crew, self._job(song, destination), events)
                    with suppress(Empty):
                        while True:
                            self._take(events.get_nowait())
                while self._progress.is_waiting:
                    self._take(events.get())
        finally:
            self._progress.clear()
        return self._sum_up()

    def _sum_up(self) -> int:
        """Print how many songs went how; return the exit code."""
        counts = Counter(self._outcomes[number].state for number in sorted(self._outcomes))
        summary = ", ".join(f"{number} {state}" for state, number in counts.items())
        nothing = "; nothing was left to do" if set(counts) == {"done already"} else ""
        echo(f"{counted(len(self._outcomes), 'song')}: {summary}{nothing}", err=True)
        if counts["not separated"]:
            return AudioFileError.exit_code
        return DamagedSongError.exit_code if counts["damaged"] else 0

    def note_failure(self, path: Path, error: AudioFileError) -> None:
        """Print why a path gives no songs; it counts as a song that is not separated."""
        self._outcomes[next(self._numbers)] = not_separated(path, error)
        self._progress.clear()
        echo_error(error)

    def separate(self, path: Path, destination: Destination) -> None:
        """Separate a song with a progress bar, and print the names of the files written.

        Raises
        ------
        DamagedSongError
            The stems are written, and something is missing in the song.
        StemdError, ModelError
            With what, value, rule and remedy.
        """
        number = next(self._numbers)
        separator = SongSeparator(self._work, self._extension)
        try:
            with progress_bar(_name_of(path)) as on_progress:
                job = self._job(path, destination)
                outcome = run_job(job, separator, on_progress)
        except AudioFileError as error:
            self._outcomes[number] = not_separated(path, error)
            raise
        self._outcomes[number] = outcome
        _print_outcome(outcome)
        if outcome.state == "damaged":
            raise DamagedSongError(outcome.warnings[0])

    @contextmanager
    def reporting(self, path: Path) -> Iterator[None]:
        """Write the outcomes as JSON at the end, however it ends.

        Raises
        ------
        StemdError
            The file cannot be written, or is no report of an earlier run. It does not take the
            place of another error.
        """
        if os.path.lexists(path) and not _is_report(path):
            raise StemdError(
                f"{path} is there already, and is no report of an earlier run: give another name "
                "(--report)"
            )
        try:
            yield
        except BaseException:
            try:
                self._write_report(path)
            except StemdError as error:
                echo_error(error)
            raise
        self._write_report(path)

    def _write_report(self, path: Path) -> None:
        outcomes = [asdict(self._outcomes[number]) for number in sorted(self._outcomes)]
        text = json.dumps(outcomes, indent=2)
        try:
            write_whole(path, text.encode() + b"\n")
        except OSError as error:
            raise StemdError(f"cannot write the report {path}: {error.strerror}") from None

    def _crew(self) -> "Lanes | Cluster":
        if self.scheduler is None:
            return Lanes(self._jobs or lanes_for(self._work), self._work, self._extension)
        try:
            from stemd.daemon.files.cluster import Cluster
        except ImportError:
            raise StemdError(
                f"--scheduler takes a Python package that is missing: {install_extra('cluster')}"
            ) from None
        return Cluster(self.scheduler, self._folder, self._work, self._extension)

    def _job(self, song: Path, destination: Destination) -> Job:
        return Job(song, replace(destination, settings=self._settings), self._files, self._resume)

    def _submit(self, crew: "Lanes | Cluster", job: Job, events: SimpleQueue[Event]) -> None:
        number = next(self._numbers)
        if other := self._claimed_by_another(job):
            ended = Future[Outcome]()
            ended.set_result(not_separated(job.song, other))
            events.put((number, ended))
            return

        def on_progress(done: int, whole: int) -> None:
            events.put((number, min(done / whole, 1.0) if whole else 0.0))

        future = crew.submit(job, on_progress)
        future.add_done_callback(lambda ended: events.put((number, ended)))

    def _take(self, event: Event) -> None:
        """Print the progress, or what became of a song."""
        number, news = event
        if isinstance(news, float):
            self._progress.show(number, news)
            return
        outcome = self._outcomes[number] = news.result()
        with self._progress.lines(number):
            _print_outcome(outcome, outcome.song)

    def _claimed_by_another(self, job: Job) -> AudioFileError | None:
        """Return what is wrong if a file of this song is one of another song of this run."""
        with suppress(AudioFileError):  # which is told when it is its turn
            for target in targets_of(job):
                other = self._claimed.setdefault(target, job.song)
                if other != job.song:
                    return AudioFileError(
                        f"{target} is a stem of {other}, which has the same name: let --name have "
                        "{file}, or separate this song alone into another folder (-o)"
                    )
        return None

    @cached_property
    def _work(self) -> Work:
        return first_held(self.works)

    @cached_property
    def _settings(self) -> str:
        return SongSeparator(self.works[0], self._extension).settings


def _name_of(song: Path) -> str:
    return "standard input" if song == STANDARD_INPUT else song.name


def _print_outcome(outcome: Outcome, label: str = "") -> None:
    """Print the files that were written, and what there is to say.

    Parameters
    ----------
    outcome : Outcome
    label : str
        Of the song, where there are several: its damage and why it was not separated are then
        printed too.
    """
    if outcome.stems:
        echo(*outcome.stems)
    elif outcome.state != "not separated":
        echo(f"{outcome.song} is done already", err=True)
    is_whole = outcome.state in ("separated", "done already")
    first = 0 if is_whole else 1
    if label and not is_whole:
        echo_error(StemdError(outcome.warnings[0]))
    for warning in outcome.warnings[first:]:
        echo(warning, err=True)
    if outcome.stems:
        length = f"{label}: {outcome.seconds:.1f} s, " if label else ""
        echo(f"{length}{outcome.times_real_time:.2g} times as fast as real time", err=True)
