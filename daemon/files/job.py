"""One song of a run: what is to be done with it, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Literal

from stemd.daemon.errors import DamagedSongError
from stemd.daemon.files.cover import MOST_BYTES, UnusableCoverError, find_cover
from stemd.daemon.files.separate import Separated, Streams
from stemd.daemon.files.separator import OnProgress, SongSeparator
from stemd.daemon.files.song import STANDARD_INPUT, Song
from stemd.daemon.files.stem_files import Destination
from stemd.dsp.scheme import CHANNELS


@dataclass(frozen=True)
class Job:
    """A song to separate.

    Attributes
    ----------
    song : Path
    destination : Destination
        What is the song's own, its fingerprint and its tags, is added, and how it is separated.
    files : mapping
        See `wanted_files`.
    resume : bool
        Leave the song out if its stems are there already.
    """

    song: Path
    destination: Destination
    files: Mapping[str, Streams]
    resume: bool = False


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
    """If it is damaged, the first one says where."""
    times_real_time: float = 0.0


def not_separated(song: Path, error: Exception) -> Outcome:
    """Return the outcome for a song of which nothing is written."""
    return Outcome(str(song), "not separated", warnings=[str(error)])


def targets_of(job: Job) -> list[Path]:
    """Return the files of a song; it is opened only if its tags are in their names.

    Raises
    ------
    AudioFileError
        The song cannot be read.
    """
    destination = job.destination
    if destination.is_named_by_tags and job.song != STANDARD_INPUT:
        with Song(job.song) as song:
            destination = replace(destination, tags=song.tags)
    return destination.targets(job.files)


def prepare(job: Job, song: Song) -> Destination | Outcome:
    """Return where the stems go, or what became of the song if they are there already.

    Raises
    ------
    AudioFileError
        The stems cannot be written there.
    """
    destination = replace(job.destination, song=song.fingerprint, tags=song.tags)
    if job.resume and destination.is_done(job.files):
        return _done_already(song, destination)
    destination.check_free(job.files)
    destination.check_writable(job.files)
    return destination


def run_job(job: Job, separator: SongSeparator, on_progress: OnProgress) -> Outcome:
    """Separate a song, unless that is done already.

    Raises
    ------
    AudioFileError
        The song cannot be read, or its stems cannot be written.
    ConfigError, ModelError
        The networks cannot be loaded.
    """
    started = monotonic()
    with Song(job.song) as song:
        own = replace(job.destination, settings=separator.settings)
        destination = prepare(replace(job, destination=own), song)
        if isinstance(destination, Outcome):
            return destination
        destination, without = _with_cover(destination, song)
        separated = separator.write(song, destination, job.files, on_progress)
    seconds = separated.frames / song.samplerate
    damage = str(song.damage)
    return Outcome(
        str(job.song),
        "damaged" if damage else "separated",
        seconds,
        [str(file) for file in separated.files],
        [*_damaged(song, damage), *without, *_warnings(song, separated, destination)],
        seconds / (monotonic() - started),
    )


def _with_cover(destination: Destination, song: Song) -> tuple[Destination, list[str]]:
    """Return where the stems go with the song's cover, or why they have none."""
    if destination.suffix == "wav" or song.path == STANDARD_INPUT:
        return destination, []
    try:
        return replace(destination, cover=find_cover(song.path)), []
    except UnusableCoverError:
        most = MOST_BYTES // 10**6
        return destination, [
            f"the cover of {song.name} is no JPEG or PNG picture of at most {most} MB that "
            "ffmpeg can read: the stems are without it; give the song another cover"
        ]


def _done_already(song: Song, destination: Destination) -> Outcome:
    warnings = _damaged(song, destination.damage())
    state: Literal["damaged", "done already"] = "damaged" if warnings else "done already"
    return Outcome(str(song.path), state, warnings=warnings)


def _damaged(song: Song, damage: str) -> list[str]:
    if not damage:
        return []
    error = DamagedSongError(f"{song.name} is damaged: {damage}; everything else was separated")
    return [str(error)]


def _warnings(song: Song, separated: Separated, destination: Destination) -> list[str]:
    warnings = []
    if song.channels > CHANNELS:
        warnings.append(
            f"{song.name} has {song.channels} channels: they are mixed down to stereo "
            "(ITU-R BS.775)"
        )
    if separated.clipped:
        warnings.append(
            f"{separated.clipped} samples exceeded full scale and were clipped: WAV of float "
            f"samples keeps them ({destination.remedies.floats})"
        )
    return warnings
