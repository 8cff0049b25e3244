"""Mixtures to learn from, never twice the same: parts of one song or of several, played otherwise.

A batch is a function of the seed and its number, so that a run that was interrupted hears what it
would have heard.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from research.training.tracks import RECORDING, STEMS, Stem, Track
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

Stems: TypeAlias = NDArray[np.float32]
"""[shape=(stems, CHANNELS, frames)], in the order of STEMS."""
Batch: TypeAlias = NDArray[np.float32]
"""[shape=(mixtures, stems, CHANNELS, frames)]."""

CODECS = (("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"))


@dataclass(frozen=True)
class Augmentation:
    """How much is made otherwise. Shares are probabilities; decibels standard deviations.

    Attributes
    ----------
    together : float
        Share of mixtures whose parts are of one song, at one time; so is the voice, if it has one.
    balance : float
        Share of those that have the song's own balance. In the others all parts are about equally
        loud, as they are otherwise: in songs as notes, the drums are often 15 dB below the rest,
        and what is as soft as that is hardly learnt.
    sung : float
        Share of mixtures with a voice.
    silent : float
        Share of parts that pause.
    level_db : float
    driven : float
        Share of basses and others that go through an amplifier that distorts.
    drive_db : (float, float)
        How far into it, from and to.
    equalised : float
    equaliser_db : float
    transposition : float
        Semitones up or down at most, of speed and pitch at once; twice as many for voices.
    reverberant : float
    reverberation_s : (float, float)
        Time in which a room's answer falls by 60 dB, from and to.
    reverberation_db : (float, float)
        Level of a room's answer, from and to.
    coded : float
        Share of parts that went through a lossy codec.
    recorded : float
        Share of mixtures that are a recording by itself, where there are any.
    """

    together: float = 0.5
    balance: float = 0.2
    sung: float = 0.6
    silent: float = 0.1
    level_db: float = 4.0
    driven: float = 0.15
    drive_db: tuple[float, float] = (6, 30)
    equalised: float = 0.7
    equaliser_db: float = 4.0
    transposition: float = 1.5
    reverberant: float = 0.25
    reverberation_s: tuple[float, float] = (0.2, 1.2)
    reverberation_db: tuple[float, float] = (-18, -6)
    coded: float = 0.1
    recorded: float = 0.0


USUAL = Augmentation()


class Mixer:
    """Makes mixtures out of tracks.

    Parameters
    ----------
    folder : Path
        Of the tracks' files.
    tracks : sequence of Track
    seed : int
    augmentation : Augmentation
    """

    def __init__(
        self,
        folder: Path,
        tracks: Sequence[Track],
        seed: int,
        augmentation: Augmentation = USUAL,
    ) -> None:
        self._folder, self._seed, self._chances = folder, seed, augmentation
        self._by_stem: dict[Stem, list[Track]] = defaultdict(list)
        by_song: dict[str, dict[Stem, list[Track]]] = defaultdict(lambda: defaultdict(list))
        self._recordings = [track for track in tracks if track.player == RECORDING]
        for track in tracks:
            if track.player == RECORDING:
                continue
            self._by_stem[track.stem].append(track)
            by_song[track.song][track.stem].append(track)
        self._songs = [song for song in by_song.values() if set(song) >= set(STEMS[1:])]

    def batch(self, number: int, size: int, frames: int) -> Batch:
        """Return the stems of some mixtures."""
        rng = np.random.default_rng([self._seed, number])
        return np.stack([self._mix(rng, frames) for _ in range(size)])

    def _mix(self, rng: Generator, frames: int) -> Stems:
        chances = self._chances
        if self._recordings and rng.random() < chances.recorded:
            return self._record(rng, frames)
        together = rng.random() < chances.together and bool(self._songs)
        song = self._songs[rng.integers(len(self._songs))] if self._songs else {}
        is_balanced = rng.random() < chances.balance
        speed = _speed(rng, chances.transposition)
        place = rng.random()
        stems = np.zeros((len(STEMS), CHANNELS, frames), np.float32)
        for stem, out in zip(STEMS, stems, strict=True):
            if rng.random() < (1 - chances.sung if stem == "vocals" else chances.silent):
                continue
            is_songs = together and stem in song
            if is_songs:
                tracks, at, own_speed = song[stem], place, speed
            else:
                tracks, at = self._by_stem[stem], rng.random()
                semitones = chances.transposition * (2 if stem == "vocals" else 1)
                own_speed = _speed(rng, semitones)
            if not tracks:
                continue
            track = tracks[rng.integers(len(tracks))]
            part = self._played(rng, track, at, own_speed, frames)
            out[:] = part * _level(rng, part, track, chances.level_db, is_songs and is_balanced)
        return _at_some_level(rng, stems)

    def _record(self, rng: Generator, frames: int) -> Stems:
        """Return an excerpt of a recording, all of it as one stem."""
        track = self._recordings[rng.integers(len(self._recordings))]
        speed = _speed(rng, self._chances.transposition)
        stems = np.zeros((len(STEMS), CHANNELS, frames), np.float32)
        stems[STEMS.index(track.stem)] = self._played(rng, track, rng.random(), speed, frames)
        return _at_some_level(rng, stems)

    def _played(
        self, rng: Generator, track: Track, place: float, speed: float, frames: int
    ) -> Waveform:
        """Return an excerpt of a track, augmented."""
        chances = self._chances
        lead = SAMPLERATE // 4  # for what sounds on from before
        whole = frames + lead
        dry = _read(self._folder / track.file, place, round(whole * speed))
        x = soxr.resample(dry, SAMPLERATE * speed, SAMPLERATE, quality="LQ")[:whole]
        x = np.pad(x, ((0, whole - len(x)), (0, 0))).T
        if rng.random() < chances.driven and track.stem in ("bass", "other"):
            x = _driven(rng, x, chances.drive_db)
        x = _widened(rng, x)
        equalised = rng.random() < chances.equalised
        reverberant = rng.random() < chances.reverberant and track.stem != "bass"
        if equalised or reverberant:
            n = next_fast_len(whole + SAMPLERATE, real=True)
            spectrum = rfft(x, n)
            if equalised:
                spectrum *= _equaliser(rng, spectrum.shape[1], chances.equaliser_db)
            if reverberant:
                room = _room(rng, chances)
                spectrum *= 1 + rfft(room, n)
            x = irfft(spectrum, n)[:, :whole]
        heard = np.asarray(x[:, lead:], np.float32)
        return _coded(rng, heard) if rng.random() < chances.coded else heard


def _at_some_level(rng: Generator, stems: Stems) -> Stems:
    peak = np.abs(stems.sum(0)).max()
    return stems * np.float32(rng.uniform(0.2, 1.0) / peak) if peak > 0 else stems


def _read(path: Path, place: float, frames: int) -> NDArray[np.float32]:
    """Read an excerpt [shape=(frames, CHANNELS)]; `place` is 0 at the beginning, 1 at the end."""
    with soundfile.SoundFile(path) as file:
        file.seek(round(place * max(file.frames - frames, 0)))
        x = file.read(frames, dtype="float32", always_2d=True)
    x = np.pad(x, ((0, frames - len(x)), (0, 0)))
    return np.broadcast_to(x, (frames, CHANNELS))


def _speed(rng: Generator, semitones: float) -> float:
    return float(2 ** (rng.uniform(-semitones, semitones) / 12))


def _level(
    rng: Generator, x: Waveform, track: Track, spread_db: float, is_balanced: bool
) -> np.float32:
    """Return a gain: about the song's own balance, or about one loudness for all."""
    jitter = 10 ** (rng.normal(0, spread_db) / 20)
    if is_balanced:
        return np.float32(track.gain * jitter)
    # A part that is nearly silent here stays so.
    rms = max(float(np.sqrt(np.mean(np.square(x)))), 0.02)
    return np.float32(0.1 / rms * jitter)


def _driven(rng: Generator, x: Waveform, drive_db: tuple[float, float]) -> Waveform:
    """Distort as an amplifier does, softly, and make it as loud as before."""
    peak = np.abs(x).max()
    if peak == 0:
        return x
    distorted = np.tanh(x * (10 ** (rng.uniform(*drive_db) / 20) / peak))
    gain = np.sqrt(np.square(x).mean() / np.square(distorted).mean())
    return np.asarray(distorted * gain, np.float32)


def _widened(rng: Generator, x: Waveform) -> Waveform:
    """Change width and balance; now and then the sides."""
    mid, side = (x[0] + x[1]) / 2, (x[0] - x[1]) / 2 * rng.uniform(0, 1.5)
    pan = rng.uniform(-0.3, 0.3)
    left, right = (mid + side) * (1 - pan), (mid - side) * (1 + pan)
    return np.stack([right, left] if rng.random() < 0.5 else [left, right])


def _equaliser(rng: Generator, bins: int, spread_db: float) -> NDArray[np.float32]:
    """Return gains by bin, smooth over the octaves."""
    octaves = np.linspace(np.log2(40), np.log2(16_000), 7)
    gains_db = rng.normal(0, spread_db, len(octaves))
    hertz = np.linspace(0, SAMPLERATE / 2, bins)
    gain_db = np.interp(np.log2(np.maximum(hertz, 1)), octaves, gains_db)
    return np.asarray(10 ** (gain_db / 20), np.float32)


def _room(rng: Generator, chances: Augmentation) -> Waveform:
    """Return a room's reverberation without the direct sound: decaying noise (Schroeder)."""
    seconds = rng.uniform(*chances.reverberation_s)
    time = np.arange(round(seconds * SAMPLERATE * 0.7)) / SAMPLERATE
    noise = rng.standard_normal((CHANNELS, len(time)), np.float32)
    answer = noise * (10 ** (-3 * time / seconds)).astype(np.float32)
    level = 10 ** (rng.uniform(*chances.reverberation_db) / 20)
    return answer * np.float32(level / np.sqrt(np.square(answer).sum(1).mean()))


def _coded(rng: Generator, x: Waveform) -> Waveform:
    """Send a part through a lossy codec and back."""
    container, codec = CODECS[rng.integers(len(CODECS))]
    peak = np.abs(x).max()
    if peak == 0:
        return x
    file = io.BytesIO()
    soundfile.write(
        file, x.T / peak, SAMPLERATE, format=container, subtype=codec,
        compression_level=rng.uniform(0.3, 0.9),
    )  # fmt: skip
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    frames = x.shape[1]
    whole = np.pad(decoded[:frames], ((0, max(frames - len(decoded), 0)), (0, 0)))
    return np.asarray(whole.T * peak, np.float32)
