"""Voices to learn what is no instrument from: they speak and sing words of no meaning.

The networks do not learn voices, for which Deezer's own stays: only to leave them alone. None of
these voices is heard again when the networks are measured.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tqdm import tqdm

from research.material.voices import MaterialError, Singer, Speaker, Voice, programs
from research.training.songs import Split
from research.training.tracks import Track, keep, write_list
from research.workers import workers
from stemd.dsp.scheme import SAMPLERATE

SECONDS = 40.0
LANGUAGES = ("en-us", "de", "fr-fr", "it", "es", "sv", "pl", "pt-br")
VARIANTS = (
    "f1",
    "m2",
    "Annie",
    "m4",
    "Michael",
    "Linda",
    "m6",
    "klatt4",
    "Alicia",
    "m8",
    "Gene",
    "Belinda",
)
SINGERS = 24
EIGHTHS_HELD_OUT = 1
"""Of all voices, for the curve while networks learn."""

CONSONANTS = "bdfghklmnprstvw"
VOWELS = ("a", "e", "i", "o", "u", "ai", "ou")
SUNG = (
    *("light", "night", "rain", "home", "sky", "fire", "moon", "sea", "wind", "road", "hand"),
    *("heart", "day", "low", "high", "blue", "stone", "gold", "dream", "song", "time", "long"),
    *("way", "new", "old", "sun", "fall", "rise", "hold", "stay"),
)
SCALE = ("C", "D", "E", "G", "A")


def performers() -> dict[str, Voice]:
    """Return the voices of the training, by name; the same on every machine."""
    speakers: dict[str, Voice] = {}
    for n, variant in enumerate(VARIANTS):
        for language in (LANGUAGES[n % 8], LANGUAGES[(n + 3) % 8]):
            dice = Random(f"speaker {variant} {language}")
            voice = f"{language}+{variant}"
            speed, pitch = dice.randrange(110, 190), dice.randrange(20, 80)
            speakers[f"speaks-{voice}"] = Speaker(voice, speed, pitch, _babble(dice, 120))
    singers = {
        f"sings-{n}": Singer(_score(Random(f"singer {n}")), 70 + 3 * n, "ked_diphone")
        for n in range(SINGERS)
    }
    return speakers | singers


def perform_all(folder: Path) -> list[Track]:
    """Let all of them perform, where they have not yet, and write ``voices.json``."""
    made_by = programs()
    jobs = [
        (name, voice, _split(number), made_by, folder)
        for number, (name, voice) in enumerate(performers().items())
    ]
    with workers() as processes:
        tracks = list(tqdm(processes.map(_perform, jobs), total=len(jobs), unit="voice"))
    write_list(folder / "voices.json", tracks)
    return tracks


def _split(number: int) -> Split:
    return "validation" if number % 8 < EIGHTHS_HELD_OUT else "train"


def _perform(job: tuple[str, Voice, Split, str, Path]) -> Track:
    name, voice, split, made_by, folder = job
    frames = round(SECONDS * SAMPLERATE)
    made_of = (repr(voice), f"{SECONDS} s", made_by)
    kept = keep(folder, "voices", made_of, lambda: voice.perform()[:frames])
    if not kept:
        raise MaterialError(f"{voice} is silent; look whether its program works")
    return Track(kept.file, split, str(voice), name, "vocals", 1.0, kept.sha256)


def _babble(dice: Random, words: int) -> str:
    """Make up words, with a breath after every dozen."""
    made = []
    for n in range(words):
        syllables = (
            dice.choice(CONSONANTS) + dice.choice(VOWELS) for _ in range(dice.choice((1, 2, 2, 3)))
        )
        made.append("".join(syllables) + (", " if n % 12 == 11 else " "))
    return "".join(made)


def _score(dice: Random) -> str:
    """Make up a tune: a walk through the five notes of a scale, over two of festival's octaves."""
    step, words = dice.randrange(2, 6), []
    for _ in range(45):
        step = min(max(step + dice.choice((-2, -1, -1, 0, 1, 1, 2)), 0), 9)
        note = f"{SCALE[step % 5]}{3 + step // 5}"
        words.append(f"{dice.choice(SUNG)}:{note}:{dice.choice((0.5, 1, 1, 1.5, 2, 3))}")
    return " ".join(words)
