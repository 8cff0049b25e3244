"""Separates one song, or several beside each other, and says how each went."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias

from stemd.daemon.cli.terminal import RunProgress, echo, echo_error, progress_bar
from stemd.daemon.errors import AudioFileError, DamagedSongError, StemdError
from stemd.daemon.files.crew import Crew
from stemd.daemon.files.job import Job, Outcome, not_separated, run_job, targets_of
from stemd.daemon.files.lanes import Lanes, lanes_for
from stemd.daemon.files.separate import Streams
from stemd.daemon.files.separator import SongSeparator
from stemd.daemon.files.song import STANDARD_INPUT, shown_name
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.packages import install_extra
from stemd.daemon.wording import counted
from stemd.daemon.work import Work
from stemd.dsp.mask_kinds import MaskExtension
from stemd.tflite_models.files import write_whole

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
        self._claimed: dict[Path, int] = {}
        """The number of the song of each file of this run."""
        self._waiting: dict[int, list[tuple[int, Job, Path]]] = {}
        """Songs that are separated if the one of this number, which has their file, is not."""
        self._extension = extension
        self._separator = SongSeparator(works, extension)
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
                    self._submit(crew, next(self._numbers), self._job(song, destination), events)
                    with suppress(Empty):
                        while True:
                            self._take(crew, events.get_nowait(), events)
                while self._progress.is_waiting:
                    self._take(crew, events.get(), events)
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
        try:
            with progress_bar(_short_name(path)) as on_progress:
                job = Job(path, destination, self._files, self._resume)
                outcome = run_job(job, self._separator, on_progress)
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
        if not os.access(path.parent, os.W_OK | os.X_OK):  # else hours of work have no report
            raise StemdError(
                f"cannot write the report {path}: its folder is not there, or may not be written; "
                "give another name (--report)"
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

    def _crew(self) -> Crew:
        if self.scheduler is None:
            return Lanes(
                self._jobs or lanes_for(self._separator.work), self._separator.work, self._extension
            )
        try:
            from stemd.daemon.files.cluster import Cluster
        except ImportError:
            raise StemdError(
                f"--scheduler takes a Python package that is missing: {install_extra('cluster')}"
            ) from None
        return Cluster(self.scheduler, self._folder, self._separator.work, self._extension)

    def _job(self, song: Path, destination: Destination) -> Job:
        return Job(
            song, replace(destination, settings=self._separator.settings), self._files, self._resume
        )

    def _submit(self, crew: Crew, number: int, job: Job, events: SimpleQueue[Event]) -> None:
        """Hand a song to the crew; one that needs a file of an earlier song waits for that one."""
        if taken := self._claim(number, job):
            other = self._claimed[taken]
            self._waiting.setdefault(other, []).append((number, job, taken))
            if other in self._outcomes:
                self._settle(crew, other, events)
            return

        def on_progress(done: int, whole: int) -> None:
            events.put((number, min(done / whole, 1.0) if whole else 0.0))

        future = crew.submit(job, on_progress)
        future.add_done_callback(lambda ended: events.put((number, ended)))

    def _take(self, crew: Crew, event: Event, events: SimpleQueue[Event]) -> None:
        """Print the progress, or what became of a song."""
        number, news = event
        if isinstance(news, float):
            self._progress.show(number, news)
            return
        outcome = self._outcomes[number] = news.result()
        with self._progress.lines(number):
            _print_outcome(outcome, shown_name(Path(outcome.song)))
        self._settle(crew, number, events)

    def _claim(self, number: int, job: Job) -> Path | None:
        """Claim the files of a song, or return one that another song of this run has."""
        targets: list[Path] = []
        with suppress(AudioFileError):  # reported when it is its turn
            targets = targets_of(job)
        for target in targets:
            if target in self._claimed:
                return target
        self._claimed |= dict.fromkeys(targets, number)
        return None

    def _settle(self, crew: Crew, number: int, events: SimpleQueue[Event]) -> None:
        """Decide what becomes of the songs that wait for this one, which has ended."""
        outcome = self._outcomes[number]
        is_free = outcome.state == "not separated"
        if is_free:
            self._claimed = {path: each for path, each in self._claimed.items() if each != number}
        for waiting, job, taken in self._waiting.pop(number, []):
            if is_free:
                self._submit(crew, waiting, job, events)
            else:
                events.put((waiting, _refused(job, outcome.song, taken)))


def _refused(job: Job, other: str, taken: Path) -> "Future[Outcome]":
    """Return the outcome of a song one of whose files is a stem of another one."""
    error = AudioFileError(
        f"{taken} is a stem of {shown_name(Path(other))}, which has the same name: let --name have "
        "{file}, or separate this song alone into another folder (-o)"
    )
    ended = Future[Outcome]()
    ended.set_result(not_separated(job.song, error))
    return ended


def _short_name(song: Path) -> str:
    return shown_name(song) if song == STANDARD_INPUT else song.name


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
        echo(f"{shown_name(Path(outcome.song))} is done already", err=True)
    is_whole = outcome.state in ("separated", "done already")
    first = 0 if is_whole else 1
    if label and not is_whole:
        echo_error(StemdError(outcome.warnings[0]))
    for warning in outcome.warnings[first:]:
        echo(warning, err=True)
    if outcome.stems:
        length = f"{label}: {outcome.seconds:.1f} s, " if label else ""
        echo(f"{length}{outcome.times_real_time:.2g} times as fast as real time", err=True)
