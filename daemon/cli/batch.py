"""Separates one song after the other with the same networks, and says how each went."""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from stemd.daemon.capacity.choice import choose
from stemd.daemon.cli.terminal import echo, echo_error, progress_bar
from stemd.daemon.engine.networks import ByStem, find_networks
from stemd.daemon.errors import AudioFileError, DamagedSongError, StemdError
from stemd.daemon.files.separate import separate, wanted_files
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.wording import counted
from stemd.daemon.work import Work
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import sha256_of, write_whole
from stemd.tflite_models.store.manifest import MANIFEST


def _damaged(song: Song, damage: str) -> DamagedSongError:
    return DamagedSongError(f"{song.name} is damaged: {damage}; everything else was separated")


@dataclass(frozen=True)
class Outcome:
    """What became of a song, as the report has it."""

    song: str
    state: Literal["separated", "damaged", "done already", "not separated"]
    seconds: float = 0.0
    """The song's length."""
    stems: list[str] = field(default_factory=list)
    """The files that were written."""
    warnings: list[str] = field(default_factory=list)
    times_real_time: float = 0.0


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
    only : collection of str
    karaoke : bool
        See `wanted_files`.
    resume : bool
        Songs whose stems are there already are left out.

    Attributes
    ----------
    outcomes : list of Outcome
        Of the songs so far.

    Raises
    ------
    ConfigError
        The networks do not have a stem that is wanted.
    """

    def __init__(
        self,
        works: Sequence[Work],
        extension: MaskExtension,
        only: Collection[str] = (),
        karaoke: bool = False,
        resume: bool = False,
    ) -> None:
        self.works = works
        self.outcomes: list[Outcome] = []
        self._song_of: dict[Path, str] = {}  # by each file that this run has written
        self._extension = extension
        self._resume = resume
        self._files = wanted_files(works[0].networks.stems, only, karaoke)

    def separate_all(self, songs: Mapping[Path, Destination]) -> int:
        """Separate each song; print what went wrong with one, and go on with the next.

        Returns
        -------
        int
            The exit code: 1 if a song could not be separated, 3 if one is damaged, else 0.
        """
        for number, (song, destination) in enumerate(songs.items(), 1):
            try:
                self.separate(song, destination, f"{number}/{len(songs)} ")
            except (AudioFileError, DamagedSongError) as error:
                echo_error(error)
        counts = Counter(outcome.state for outcome in self.outcomes)
        summary = ", ".join(f"{number} {state}" for state, number in counts.items())
        echo(f"{counted(len(self.outcomes), 'song')}: {summary}", err=True)
        if counts["not separated"]:
            return AudioFileError.exit_code
        return DamagedSongError.exit_code if counts["damaged"] else 0

    def note_failure(self, path: Path, error: AudioFileError) -> None:
        """Print why a path gives no songs; it counts as a song that is not separated."""
        self.outcomes.append(Outcome(str(path), "not separated", warnings=[str(error)]))
        echo_error(error)

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
        text = json.dumps([asdict(outcome) for outcome in self.outcomes], indent=2)
        try:
            write_whole(path, text.encode() + b"\n")
        except OSError as error:
            raise StemdError(f"cannot write the report {path}: {error.strerror}") from None

    def separate(self, path: Path, destination: Destination, label: str = "") -> None:
        """Separate a song with a progress bar, and print the names of the files written.

        Raises
        ------
        DamagedSongError
            The stems are written, and something is missing in the song.
        StemdError, ModelError
            With what, value, rule and remedy.
        """
        try:
            outcome = self._separate(path, destination, label)
        except AudioFileError as error:
            self.outcomes.append(Outcome(str(path), "not separated", warnings=[str(error)]))
            raise
        self.outcomes.append(outcome)
        if outcome.state == "damaged":
            raise DamagedSongError(outcome.warnings[0])

    def _separate(self, path: Path, destination: Destination, label: str) -> Outcome:
        started = monotonic()
        with Song(path) as song:
            destination = replace(
                destination, song=song.fingerprint, settings=self._settings, tags=song.tags
            )
            self._check_not_written(destination)
            if self._resume and destination.is_done(self._files):
                echo(f"{song.name} is done already", err=True)
                damage = destination.damage(self._files)
                warnings = [str(_damaged(song, damage))] if damage else []
                return Outcome(str(path), "damaged" if damage else "done already", 0, [], warnings)
            destination.check_free(self._files)
            destination.check_writable(self._files)
            self._note_channels(song)
            work, networks = self._loaded
            with progress_bar(label + Path(song.name).name) as on_progress:
                separated = separate(
                    song,
                    destination,
                    networks,
                    work.scheme,
                    self._extension,
                    on_progress,
                    work.networks.masks,
                    self._files,
                )
        self._song_of |= dict.fromkeys(separated.files, song.name)
        stems = [str(file) for file in separated.files]
        echo(*stems)
        warnings = []
        if separated.clipped:
            warnings.append(
                f"{separated.clipped} samples exceeded full scale and were clipped: "
                "WAV with --bits float keeps them"
            )
            echo(*warnings, err=True)
        seconds = separated.frames / song.samplerate
        speed = seconds / (monotonic() - started)
        echo(f"{speed:.2g} times as fast as real time", err=True)
        damage = str(song.damage)
        if damage:
            warnings.insert(0, str(_damaged(song, damage)))
        state: Final = "damaged" if damage else "separated"
        return Outcome(str(path), state, seconds, stems, warnings, speed)

    def _check_not_written(self, destination: Destination) -> None:
        """Raise AudioFileError if a file of this song is one of an earlier song of this run."""
        for target in destination.targets(self._files):
            if target in self._song_of:
                raise AudioFileError(
                    f"{target} is a stem of {self._song_of[target]}, which has the same name: let "
                    "--name have {file}, or separate this song alone into another folder (-o)"
                )

    @cached_property
    def _loaded(self) -> tuple[Work, ByStem]:
        work, load = choose(self.works)
        return work, load()

    @cached_property
    def _settings(self) -> str:
        """What stems are made by: after another set of the same name is installed, it differs."""
        work = self.works[0]
        manifest = find_networks(work.networks.name).folder / MANIFEST
        made_by = sha256_of(manifest)[:8]
        return f"{replace(work, threads=1)}, {self._extension.value}, networks {made_by}"

    def _note_channels(self, song: Song) -> None:
        if song.channels > CHANNELS:
            echo(
                f"{song.name} has {song.channels} channels: they are mixed down to stereo "
                "(ITU-R BS.775)",
                err=True,
            )
