"""What Python programs use: `stemd.separate` and `stemd.Separator`; docs/api.md describes them."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from stemd.daemon.errors import ConfigError
from stemd.daemon.files.job import Job, Outcome, run_job
from stemd.daemon.files.mixdown import mixdown, to_stereo
from stemd.daemon.files.remedies import PARAMETERS
from stemd.daemon.files.separate import files_of, separated_blocks
from stemd.daemon.files.separator import SongSeparator, works_for
from stemd.daemon.files.song import MAX_SAMPLERATE, MIN_SAMPLERATE, Song, base_name
from stemd.daemon.files.stem_file import ENCODERS, SUBTYPES
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.files.stem_mp4 import STEM_MP4
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import AUTO
from stemd.dsp.arrays import Waveform
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.graphs.spec import StreamingPrecision

Samples: TypeAlias = NDArray[np.floating[Any]]
"""Sound [shape=(frames,) or (channels, frames)]; full scale is 1."""

MOST_THREADS = 64
"""Of a network, as of the command."""

MOST_CHANNELS = 64
"""Of an array; one with more has its frames there."""


class Stems(dict[str, Waveform]):
    """The stems of a song by name: float32 [shape=(2, frames)] each.

    Attributes
    ----------
    samplerate : int
        Frames per second, as of the song.
    damage : str
        What was missing in the song's file, where silence is now; empty if it is whole.
    """

    def __init__(self, stems: dict[str, Waveform], samplerate: int, damage: str = "") -> None:
        super().__init__(stems)
        self.samplerate = samplerate
        self.damage = damage


class Separator(SongSeparator):
    """Separates songs and streams with networks that are loaded once, with the first song.

    It is not thread-safe: use one for each thread, or one after the other. Its networks have
    threads of their own, which end with each song.

    Parameters
    ----------
    networks : str
        The name of a set, as `stemd models list` shows it: "2stems", for example. "auto": Deezer's
        four stems where they are installed, else two.
    preset : str, optional
        Separate as the daemon does with this preset; by default with the whole context. Of "auto"
        and "live", it takes the scheme for which this machine is fast enough; the first song may
        wait until that is measured.
    precision : str, optional
        Arithmetic of the networks; by default "fp32", and with a preset "mixed".
    threads : int
        Of each network.
    residual : bool
        The last stem is the song without the other stems, and has no network.
    mask_extension : str
        Above 11 kHz; with "mean" the stems add up to the song, "zeros" is Spleeter's.

    Raises
    ------
    ConfigError
        A parameter has a wrong value, or the networks are not here.
    ModelError
        The networks are damaged.
    """

    def __init__(
        self,
        networks: str = AUTO,
        *,
        preset: str | None = None,
        precision: StreamingPrecision | None = None,
        threads: int = 1,
        residual: bool = False,
        mask_extension: Literal["mean", "zeros"] = "mean",
    ) -> None:
        _check_whole("threads", threads, 1, MOST_THREADS)
        _check_choice("preset", preset, [None, *PRESETS])
        _check_choice("precision", precision, [None, *get_args(StreamingPrecision)])
        _check_choice("mask_extension", mask_extension, [each.value for each in MaskExtension])
        works = works_for(networks, "auto", preset, precision, threads, residual)
        super().__init__(works, MaskExtension(mask_extension))

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in order."""
        return self.set.stems

    def separate(
        self, song: str | os.PathLike[str] | Samples, samplerate: int | None = None
    ) -> Stems:
        """Return the stems of a song; all of it is in memory.

        Parameters
        ----------
        song : path or floats [shape=(frames,) or (channels, frames)]
            A file of any kind that `stemd separate` reads, or samples. More than two channels are
            mixed down to stereo.
        samplerate : int, optional
            Frames per second of samples.

        Raises
        ------
        AudioFileError
            The file cannot be read.
        ConfigError
            An array cannot be separated.
        ModelError
            The networks are damaged.
        """
        if isinstance(song, np.ndarray):
            rate = _checked_rate(samplerate)
            return Stems(self._joined([song], rate), rate)
        with Song(_checked_path(song)) as opened:
            stems = self._joined(opened.blocks(), opened.samplerate)
            return Stems(stems, opened.samplerate, str(opened.damage))

    def stream(self, blocks: Iterable[Samples], samplerate: int) -> Iterator[dict[str, Waveform]]:
        """Separate a stream; yield blocks of the stems when they are ready.

        Together they are as long as the stream, in blocks of other sizes; the first comes some
        seconds after its part of the stream. The memory that it takes does not depend on the
        stream's length.

        Parameters
        ----------
        blocks : iterable of floats [shape=(frames,) or (channels, frames)]
            Of any sizes.
        samplerate : int
            Frames per second.

        Yields
        ------
        dict of str to float32 [shape=(2, frames)]
            Each stem.

        Raises
        ------
        ConfigError
            A block cannot be separated.
        ModelError
            The networks are damaged.
        """
        rate, work = _checked_rate(samplerate), self.work
        mixture = (_as_stereo(block) for block in blocks)
        networks, masks = self.networks, work.networks.masks
        ready = separated_blocks(mixture, rate, networks, work.scheme, self.extension, masks)
        with closing(ready):
            for stems in ready:
                yield dict(zip(self.stems, stems.copy(), strict=True))

    def save(
        self,
        song: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        format: str = "wav",
        *,
        only: Collection[str] = (),
        karaoke: bool = False,
        replace: bool = False,
        resume: bool = False,
    ) -> Outcome:
        """Write the stems of a song into a folder, as `stemd separate` does.

        Parameters
        ----------
        song : path
        folder : path
            Made if missing.
        format : str
            As `--format`.
        only : collection of str
            The stems that are wanted.
        karaoke : bool
            Write all but the vocals as one file.
        replace : bool
            Replace files of other songs.
        resume : bool
            Leave out a song whose stems are there already.

        Returns
        -------
        Outcome
            Its `stems` are the names of the files, its `warnings` what there is to say.

        Raises
        ------
        AudioFileError
            The song cannot be read, or the stems cannot be written.
        ConfigError
            A parameter has a wrong value.
        ModelError
            The networks are damaged.
        """
        _check_choice("format", format, [*SUBTYPES, *ENCODERS])
        networks, path = self.set, _checked_path(song)
        files = files_of(format, networks, only, karaoke)
        template = "{file}" if format == STEM_MP4 else "{stem}"
        subtype = SUBTYPES.get(format, "PCM_24")
        destination = Destination(
            Path(folder),
            format,
            subtype,
            replace,
            base_name(path),
            template=template,
            remedies=PARAMETERS,
        )
        job = Job(path, destination, files, resume)
        return run_job(job, self, lambda *_: None)

    def _joined(self, blocks: Iterable[Samples], samplerate: int) -> dict[str, Waveform]:
        parts: dict[str, list[Waveform]] = {stem: [] for stem in self.stems}
        for ready in self.stream(blocks, samplerate):
            for stem, part in ready.items():
                parts[stem].append(part)
        empty = np.zeros((CHANNELS, 0), np.float32)
        return {stem: np.concatenate([empty, *each], axis=1) for stem, each in parts.items()}


def separate(
    song: str | os.PathLike[str] | Samples,
    networks: str = AUTO,
    samplerate: int | None = None,
    **options: Any,
) -> Stems:
    """Return the stems of one song; for several, a `Separator` loads its networks only once.

    Parameters
    ----------
    song, samplerate
        See `Separator.separate`.
    networks, **options
        See `Separator`.
    """
    return Separator(networks, **options).separate(song, samplerate)


def _check_choice(name: str, value: object, choices: Collection[object]) -> None:
    if value not in choices:
        known = ", ".join(str(each) for each in choices if each is not None)
        raise ConfigError(f"{name}={value}: there is no such {name}; choose one of {known}")


def _checked_rate(samplerate: int | None) -> int:
    if samplerate is None:
        raise ConfigError("samples do not say how many there are in a second: give samplerate=…")
    _check_whole("samplerate", samplerate, MIN_SAMPLERATE, MAX_SAMPLERATE)
    return samplerate


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (is_whole and least <= cast("int", value) <= most):
        raise ConfigError(f"{name}={value!r}: must be a whole number from {least} to {most}")


def _checked_path(song: object) -> Path:
    if not isinstance(song, (str, os.PathLike)):
        raise ConfigError(
            f"a song must be a path, or samples as a NumPy array (got {type(song).__name__}): "
            "convert samples by numpy.asarray"
        )
    return Path(song)


def _as_stereo(block: Samples) -> Waveform:
    """Return samples as [shape=(CHANNELS, frames)]."""
    if not isinstance(block, np.ndarray):
        raise ConfigError(
            f"samples must be a NumPy array (got {type(block).__name__}): convert them by "
            "numpy.asarray"
        )
    if block.ndim not in (1, 2) or not np.issubdtype(block.dtype, np.floating):
        raise ConfigError(
            f"samples must be floats in one or two dimensions, (frames,) or (channels, frames) "
            f"(got {block.dtype} {block.shape}): convert them, so that full scale is 1 (of int16, "
            "samples / 32768)"
        )
    rows = np.atleast_2d(block).astype(np.float32)
    if not np.isfinite(rows).all():
        raise ConfigError("some samples are not numbers (NaN or infinity): replace them first")
    if len(rows) > MOST_CHANNELS:
        raise ConfigError(
            f"samples of {len(rows)} channels: at most {MOST_CHANNELS} are mixed down; has the "
            "array the shape (frames, channels)? Give its transpose"
        )
    return to_stereo(rows.T, mixdown(len(rows), 0) if len(rows) > CHANNELS else None)
