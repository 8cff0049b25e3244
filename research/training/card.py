"""The card beside trained networks, and the tables that the documents take from it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.report import DOCS, markdown_table, replace_section

CARD = "card.json"
SETS = ("2stems", "4stems-stemd")
REPLACED = "4stems-stemd before"
"""What the figures of the set that was replaced are called, of the same mixtures."""
SPLITS = ("train", "validation", "test")
DOCUMENTS = {
    **dict.fromkeys(("figures", "recordings"), DOCS / "models.md"),
    **dict.fromkeys(("mixtures", "runs", "fonts", "songs"), DOCS / "research" / "training.md"),
}
"""Where each table stands."""
STEMS = ("vocals", "drums", "bass", "other", "accompaniment")


def read(path: Path) -> dict[str, Any]:
    """Read a card."""
    card: dict[str, Any] = json.loads(path.read_text())
    return card


def runs_of(card: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Yield a card and those of the runs before, the last one first."""
    while card is not None:
        yield card
        card = card.get("before")


def digest_of_heard(material: Any) -> str:
    """Return a checksum of what a card says of its run's material."""
    return sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


def tables(card: dict[str, Any]) -> dict[str, str]:
    """Return the tables by name of their section."""
    return {
        "figures": _figures(card["figures"]["mean"]),
        "mixtures": _mixtures(card["figures"]["mixtures"]),
        "recordings": _recordings(card["figures"]["recordings"]),
        "runs": _runs(card),
        "fonts": _fonts(card["material"]),
        "songs": _songs(card["material"]),
    }


def _figures(means: dict[str, Any]) -> str:
    rows = (
        [way, name, *(_db(sets[name].get(stem)) for stem in STEMS)]
        for way, sets in means.items()
        for name in (*SETS, REPLACED)
        if name in sets
    )
    return markdown_table(["run as", "set", *STEMS], rows)


def _mixtures(mixtures: dict[str, Any]) -> str:
    rows = (
        [
            _short(song),
            *(_db(sets["4stems-stemd"][stem]) for stem in STEMS[:4]),
            _db(sets["2stems"]["vocals"]),
        ]
        for song, sets in mixtures.items()
    )
    return markdown_table(["song", *STEMS[:4], "vocals of 2stems"], rows)


def _recordings(recordings: dict[str, Any]) -> str:
    kinds = [(what, name) for what in ("instruments", "guitar") for name in SETS]
    rows = (
        [title, *(_db(recordings[name][title][what]) for what, name in kinds)]
        for title in recordings["4stems-stemd"]
    )
    return markdown_table(["recording", *(f"{what}, {name}" for what, name in kinds)], rows)


def _runs(card: dict[str, Any]) -> str:
    """Return the table of the runs, the first one first."""
    rows = []
    for number, run in enumerate(reversed([*runs_of(card)]), 1):
        training, material = run["training"], run["material"]
        songs = Counter(song["split"] for song in material["songs"].values())
        fonts = sum("train" in font["splits"] for font in material["fonts"])
        settings = training["settings"]
        told = (training["start"], training["steps"], settings["rate"], settings["seed"])
        rows.append([f"{value}" for value in (number, *told, songs["train"], fonts)])
    head = ["run", "began with", "steps", "rate", "seed", "songs learnt from", "fonts"]
    return markdown_table(head, rows)


def _fonts(material: dict[str, Any]) -> str:
    rows = (
        [
            Path(font["file"]).name,
            f"`{font['package']}` {material['packages'][font['package']]}",
            font["licence"],
            ", ".join(font["parts"]),
            ", ".join(font["splits"]),
        ]
        for font in material["fonts"]
    )
    return markdown_table(["font", "Debian package", "licence", "plays", "in"], rows)


def _songs(material: dict[str, Any]) -> str:
    versions, licences = material["packages"], material["licences"]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, song in material["songs"].items():
        counts[name.split("/")[0]][song["split"]] += 1
    rows = (
        [
            f"`{origin}` {versions[origin]}" if origin in licences else origin,
            licences.get(origin, ""),
            *(f"{count[split]}" for split in SPLITS),
        ]
        for origin, count in counts.items()
    )
    return markdown_table(["Debian package", "licence", *SPLITS], rows)


def write(card: dict[str, Any]) -> None:
    """Write the tables into the documents."""
    for name, table in tables(card).items():
        replace_section(DOCUMENTS[name], name, table)


def _short(song: str) -> str:
    """Leave out the folders."""
    names = song.split("/")
    return "/".join(dict.fromkeys((names[0], names[-1])))


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
