"""One stem's sound in a file, the material that mixtures are made of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from research.material.voices import MaterialError
from research.training.errors import TrainingError
from research.training.songs import Split
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

Stem = Literal["vocals", "drums", "bass", "other"]
STEMS: tuple[Stem, ...] = get_args(Stem)

PEAK = 0.95
"""Of every file."""
RECORDING = "recording"
"""The player of tracks in which a whole band plays."""
OWN = "own"
"""The player of the user's own tracks."""
SILENCE = 1e-4
"""What peaks below it is not kept."""
LONGEST_TOLD = 60
"""Characters of a wrong value that are told: of text that is no JSON it is all of it."""


@dataclass(frozen=True)
class Track:
    """One part of a song by one player, as a FLAC file.

    Attributes
    ----------
    file : str
        Below the folder of the material.
    split, player, song, stem : str
        The player is a sound font or a voice.
    gain : float
        What its samples are to be multiplied by for the song's own balance.
    sha256 : str
        Of the samples, 16 bits each.
    """

    file: str
    split: Split
    player: str
    song: str
    stem: Stem
    gain: float
    sha256: str


@dataclass(frozen=True)
class Kept:
    """A file of samples.

    Attributes
    ----------
    file : str
        Below the folder of the material.
    gain, sha256
        As a `Track` has them.
    """

    file: str
    gain: float
    sha256: str


def keep(
    folder: Path, kind: str, made_of: Sequence[str], make: Callable[[], NDArray[np.float32]]
) -> Kept | None:
    """Make a file of samples, unless it is there; None for silence.

    Parameters
    ----------
    folder : Path
        Of the material.
    kind : str
        Name of the folder therein.
    made_of : sequence of str
        All that determines the samples; it names the file, so that what is made otherwise is made
        anew.
    make : callable
        Gives the samples [shape=(frames, channels)] or [shape=(frames,)], at SAMPLERATE.
    """
    key = sha256(json.dumps(made_of).encode()).hexdigest()[:24]
    file, note = f"{kind}/{key}.flac", folder / kind / f"{key}.json"
    if not _is_whole(folder, note):
        note.parent.mkdir(parents=True, exist_ok=True)
        samples = make()
        gain, digest = float(np.abs(samples).max(initial=0)) / PEAK, ""
        if gain * PEAK > SILENCE:
            quantized = np.rint(samples / gain * 32767).astype(np.int16)
            with _at_once(folder / file) as partial:
                soundfile.write(partial, quantized, SAMPLERATE, format="FLAC")
            digest = sha256(quantized.tobytes()).hexdigest()
        # The note comes last: with it the file is whole.
        with _at_once(note) as partial:
            partial.write_text(json.dumps(asdict(Kept(file, gain, digest))))
    kept = Kept(**json.loads(note.read_text()))
    return kept if kept.sha256 else None


def _is_whole(folder: Path, note: Path) -> bool:
    """Whether there is a readable note, and the file that it describes, if not silent."""
    try:
        kept = Kept(**json.loads(note.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return False
    return not kept.sha256 or (folder / kept.file).exists()


@contextmanager
def _at_once(path: Path) -> Iterator[Path]:
    """Yield a path to write; it becomes the file when all is written."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Own(BaseModel):
    """A track of the user's own, as ``own.json`` has it."""

    model_config = ConfigDict(extra="forbid")

    file: str
    split: Split
    song: str
    stem: Stem
    gain: float = Field(1.0, gt=0, allow_inf_nan=False)


def read_own(folder: Path) -> list[Track]:
    """Return the user's own tracks, which ``own.json`` names; none where there is no such file.

    Raises
    ------
    TrainingError
        The file, or one that it names, is not as it must be.
    """
    path = folder / "own.json"
    try:
        listed = TypeAdapter(list[_Own]).validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "text"
        got = repr(first["input"])
        got = got if len(got) <= LONGEST_TOLD else f"{got[:LONGEST_TOLD]}…"
        raise TrainingError(
            f"{path}: {place}: {first['msg']} (got {got}); see docs/research/training.md"
        ) from None
    tracks: list[Track] = []
    frames: dict[str, int] = {}
    for own in listed:
        same = [track for track in tracks if track.song == own.song]
        if any(track.split != own.split for track in same):
            raise TrainingError(
                f"{path}: {own.song} has tracks for {same[0].split} and for {own.split}, and a "
                "song is either learnt from or held out: give all of its tracks one split"
            )
        if any(track.stem == own.stem for track in same):
            raise TrainingError(
                f"{path}: {own.song} has two tracks of {own.stem}, and may have one of each stem: "
                "add them up, as with `sox -m IN1 IN2 OUT.flac`"
            )
        samples = _samples(folder / own.file)
        if len(samples) != frames.setdefault(own.song, len(samples)):
            raise TrainingError(
                f"{folder / own.file} has {len(samples)} frames, and another track of {own.song} "
                f"has {frames[own.song]}: cut or pad them to one length"
            )
        digest = sha256(samples.tobytes()).hexdigest()
        for track in tracks:
            if track.sha256 == digest and track.split != own.split and samples.any():
                raise TrainingError(
                    f"{folder / own.file} sounds like {track.file}, which is for {track.split}, "
                    f"and is for {own.split}: leave one of them out"
                )
        tracks.append(Track(own.file, own.split, OWN, own.song, own.stem, own.gain, digest))
    return tracks


def _samples(path: Path) -> NDArray[np.int16]:
    """Read a file of the user's own [shape=(frames, channels)]."""
    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TrainingError(f"cannot read {path}: {error}; mend or leave it out") from None
    if rate != SAMPLERATE or samples.shape[1] > CHANNELS:
        raise TrainingError(
            f"{path} has {samples.shape[1]} channels at {rate} Hz, and must have 1 or {CHANNELS} "
            f"at {SAMPLERATE}: convert it, as with `sox IN {path.stem}.flac rate 44100 channels 2`"
        )
    read: NDArray[np.int16] = samples
    return read


def digest_of(tracks: Iterable[Track]) -> str:
    """Return a checksum of material."""
    return sha256(json.dumps([asdict(track) for track in tracks]).encode()).hexdigest()


def write_list(path: Path, tracks: Iterable[Track]) -> None:
    """Write down what there is, as JSON."""
    with _at_once(path) as partial:
        partial.write_text(json.dumps([asdict(track) for track in tracks], indent=1) + "\n")


def read_list(path: Path) -> list[Track]:
    """Return what `write_list` wrote, of files beside it.

    Raises
    ------
    MaterialError
        It is missing or damaged, or a file that it names is missing.
    """
    remedy = "run `make train ARGS=material`"
    try:
        tracks = [Track(**each) for each in json.loads(path.read_text())]
    except FileNotFoundError:
        raise MaterialError(f"no {path}; {remedy} first") from None
    except (ValueError, TypeError) as error:
        raise MaterialError(
            f"{path} is damaged, or of another version ({error}); {remedy}"
        ) from None
    for track in tracks:
        if not (path.parent / track.file).exists():
            raise MaterialError(f"{path} names {track.file}, which is missing; {remedy}")
    return tracks
