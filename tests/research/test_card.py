"""What the card says of the networks is what the documents say, and what the files are."""

import json
from pathlib import Path

import pytest

from research.training import card
from stemd.tflite_models.store.library import Library

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tflite_models" / "4stems-stemd"


@pytest.fixture(scope="module")
def told():
    return card.read(FOLDER / "card.json")


def test_the_documents_have_the_cards_tables(told):
    for name, table in card.tables(told).items():
        text = card.DOCUMENTS[name].read_text()
        assert f"<!-- {name}:begin -->\n\n{table}\n\n<!-- {name}:end -->" in text, name


def test_the_manifest_has_the_cards_run_and_figures(told):
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    steps = [run["training"]["steps"] for run in card.runs_of(told)]
    assert manifest["training"]["steps"] == sum(steps)
    assert manifest["training"]["material_sha256"] == card.digest_of_heard(told["material"])
    assert manifest["training"]["seed"] == told["training"]["settings"]["seed"]
    at_training = told["figures"]["mean"]["offline"]["4stems-stemd"]
    assert manifest["figures"]["sdr_db"] == told.get("recorded", at_training)


def test_whose_works_were_heard_is_told(told):
    text = (ROOT / "THIRD-PARTY.md").read_text()
    packages = {name for run in card.runs_of(told) for name in run["material"]["packages"]}
    assert [name for name in sorted(packages) if f"| {name} |" not in text] == []
    kits = (f for f in told["material"]["fonts"] if f["package"] == "hydrogen-drumkits")
    rows = [row for row in text.splitlines() if row.startswith("| hydrogen-drumkits |")]
    licences = {row.split("|")[-2].strip() for row in rows}
    assert {kit["licence"] for kit in kits} == licences


def test_no_song_is_heard_and_measured(told):
    songs = told["material"]["songs"]
    tested = {song["sha256"] for song in songs.values() if song["split"] == "test"}
    heard = {
        song["sha256"]
        for run in card.runs_of(told)
        for song in run["material"]["songs"].values()
        if song["split"] == "train"
    }
    assert tested
    assert heard
    assert not tested & heard
    assert set(told["figures"]["mixtures"]) <= {
        name for name, song in songs.items() if song["split"] == "test"
    }
    fonts = {
        split: {
            font["sha256"]
            for run in card.runs_of(told)
            for font in run["material"]["fonts"]
            if split in font["splits"]
        }
        for split in ("train", "test")
    }
    assert fonts["train"]
    assert fonts["test"]
    assert not fonts["train"] & fonts["test"]


def test_the_bundled_four_stems_are_whole_and_the_vocals_are_deezers():
    library = Library()
    (ours,) = (each for each in library.verify("4stems-stemd") if each.origin == "bundled")
    (deezers,) = (each for each in library.verify("2stems") if each.origin == "bundled")
    assert ours.stems == ("vocals", "drums", "bass", "other")
    assert ours.manifest.training.stems == ours.stems[1:]
    assert ours.paths["vocals"] == deezers.paths["vocals"]
