"""Puts trained networks into the program: the set, and the card that tells what became of what."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

from research.material.packages import version
from research.material.voices import programs
from research.training import checkpoints
from research.training.card import CARD, REPLACED, digest_of_heard, read, runs_of
from research.training.errors import TrainingError
from research.training.evaluate import DEFAULT, Way, compiled, means, score_all, score_recording
from research.training.fonts import FONTS
from research.training.heldout import Mix, build_mixes, recordings
from research.training.learner import CHECKPOINT, digest_of_networks
from research.training.network import unet_of
from research.training.songs import PACKAGES, Song
from research.training.start import DEEZERS, OURS, bundled, read_all
from research.training.tracks import OWN, STEMS, Track, digest_of
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import locked
from stemd.tflite_models.graphs.spec import GraphSpec, MaskKind
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.store.manifest import MANIFEST, Figures, Manifest, Training
from stemd.tflite_models.store.set_folder import write_set
from stemd.tflite_models.store.sets import ModelSet

MEASURED_ON = "held-out MIDI songs"
WORKPLACE = ".4stems-stemd.part"
"""Where a set is made, beside its place: on the same file system, so that it gets there at once."""
BEFORE = "before"
"""In there, the set that is replaced, for the moment between it and the new one."""
SPEC = GraphSpec(precision="fp16")
MASKS: MaskKind = "vocals-first"
"""How the masks of the set are made. The three networks were taught by machine-made songs, and take
what a real singer sings for theirs; the vocals' network does not."""
WAYS = {
    "offline": Way(),
    "balanced, fp32": replace(DEFAULT, precision="fp32"),
    "balanced": DEFAULT,
    "balanced, int8": replace(DEFAULT, precision="int8"),
}
"""How the sets are run to be measured."""


def build(
    run: Path, material: Path, out_dir: Path, tracks: Sequence[Track], songs: Sequence[Song]
) -> Manifest:
    """Write the set, measure it, write the card, and put all into `out_dir/4stems-stemd` at once.

    Parameters
    ----------
    run : Path
        The folder of a run.
    material : Path
        Where the tracks' files are.
    out_dir : Path
        Holds Deezer's set, whose vocals the new one has.
    tracks : sequence of Track
    songs : sequence of Song
        What the tracks are of, but for the user's own.

    Raises
    ------
    TrainingError
        There is no such run, it has not ended, or it learnt beside other vocals or from other
        material.
    ModelError
        Deezer's set is missing or damaged, or another program writes into the folder.
    """
    state = checkpoints.load(run / CHECKPOINT)
    deezers = bundled(DEEZERS, out_dir)
    _refuse_what_does_not_belong(state, run, deezers, material, tracks)
    settings, about = json.loads(state["settings"]), state["about"]
    before = json.loads(about["history"])
    heard = _material(songs, tracks)
    vocals = deezers.manifest.files[deezers.stems.index(STEMS[0])]
    draft = Manifest(
        name=OURS,
        precision="fp16",
        graph=str(SPEC),
        masks=MASKS,
        files=(vocals.model_copy(update={"set": DEEZERS}),),
        provenance=deezers.manifest.provenance,
        training=Training(
            stems=STEMS[1:],
            steps=state["step"] + sum(card["training"]["steps"] for card in runs_of(before)),
            seed=settings["seed"],
            material_sha256=digest_of_heard(heard),
            card=CARD,
        ),
        licence=deezers.manifest.licence,
        citation=deezers.manifest.citation,
    )
    with _workplace(out_dir) as workplace:
        folder = workplace / OURS
        folder.with_name(DEEZERS).symlink_to(deezers.folder.resolve())
        manifest = write_set(folder, draft, _graphs(state, deezers, draft), plain_names=True)
        plain = {record.stem: record.path(folder) for record in manifest.files}
        mixes = list(build_mixes(material, tracks))
        sets = {OURS: plain, DEEZERS: deezers.paths}
        there = _there(out_dir)
        before_there: dict[str, Any] | None = None
        if there and there.manifest.files == manifest.files:
            before_there = _figures_of(there)
        elif there:
            sets[REPLACED] = there.paths
        figures = measure(mixes, sets)
        if before_there:
            _keep_what_was_replaced(figures, before_there)
        offline = {s: db for s, db in figures["mean"]["offline"][OURS].items() if db is not None}
        manifest = manifest.model_copy(update={"figures": Figures(of=MEASURED_ON, sdr_db=offline)})
        (folder / MANIFEST).write_text(manifest.to_json())
        card = {
            "training": {
                "settings": settings,
                "steps": state["step"],
                "start": about["start"],
                "loss": about["loss"],
            },
            "before": before,
            "curve": state["curve"],
            "figures": figures,
            "material": heard,
        }
        (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
        _put(folder, out_dir / OURS)
    return manifest


@contextmanager
def _workplace(out_dir: Path) -> Iterator[Path]:
    """Return a folder for the new set, after tidying up what a program that was killed has left."""
    place = out_dir / WORKPLACE
    with locked(out_dir, wait=False):
        if (place / BEFORE).exists() and not (out_dir / OURS).exists():
            (place / BEFORE).rename(out_dir / OURS)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place)


def _there(out_dir: Path) -> ModelSet | None:
    """Return the set that is to be replaced, unless there is none, or it is damaged."""
    try:
        return bundled(OURS, out_dir)
    except ModelError:
        return None


def _figures_of(there: ModelSet) -> dict[str, Any] | None:
    """Return those of a set's card, unless that is missing or damaged."""
    try:
        figures: dict[str, Any] = read(there.folder / CARD)["figures"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return figures


def _keep_what_was_replaced(figures: dict[str, Any], before: dict[str, Any]) -> None:
    """Bundled again, a run has replaced what it had replaced the first time."""
    for kind in ("mean", "mixtures"):
        for name, sets in before[kind].items():
            if REPLACED in sets and name in figures[kind]:
                figures[kind][name][REPLACED] = sets[REPLACED]
    if REPLACED in before["recordings"]:
        figures["recordings"][REPLACED] = before["recordings"][REPLACED]


def _refuse_what_does_not_belong(
    state: Mapping[str, Any], run: Path, deezers: ModelSet, material: Path, tracks: Sequence[Track]
) -> None:
    """Raise a TrainingError where run, material and vocals are not of each other."""
    about, steps = state.get("about", {}), json.loads(state["settings"])["steps"]
    if not {"start", "vocals", "history", "loss"} <= set(about):
        raise TrainingError(
            f"{run} is of an older version, and does not tell how it came about: train anew under "
            "another name (--run)"
        )
    if about["material"] != digest_of(tracks):
        raise TrainingError(
            f"{run} has heard other material than there is in {material}, so the card would be "
            "wrong: train anew under another name (--run)"
        )
    if state["step"] < steps:
        raise TrainingError(
            f"{run} has taken {state['step']} of its {steps} steps: let it end first "
            "(make train ARGS=train)"
        )
    if about["vocals"] != digest_of_networks({"vocals": read_all(deezers)["vocals"]}):
        raise TrainingError(
            f"{run} learnt beside other vocals than those of {deezers.folder}, which its set would "
            "have: put those there (-o)"
        )


def _put(folder: Path, target: Path) -> None:
    """Put a folder in the place of another one, which goes with the first one's parent."""
    before = folder.with_name(BEFORE)
    try:
        if target.exists():
            target.rename(before)
        folder.rename(target)
    except BaseException:  # of Ctrl+C too
        if before.exists() and not target.exists():
            before.rename(target)
        raise


def measure(mixes: Sequence[Mix], sets: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    """Measure plain networks, by name of the set and stem; everything is SDR in decibels.

    Returns
    -------
    dict
        ``mean``: by way, set and stem. ``mixtures``: the same of each mixture, offline.
        ``recordings``: see `score_recording`, by set and recording.
    """
    mean: dict[str, Any] = {way: {} for way in WAYS}
    mixtures: dict[str, Any] = {mix.name: {} for mix in mixes}
    recorded: dict[str, Any] = {}
    for name, plain in sets.items():
        scores = dict(zip(WAYS, score_all(mixes, plain, list(WAYS.values())), strict=True))
        for way, each in scores.items():
            mean[way][name] = _rounded(means(each))
        for mix, score in zip(mixes, scores["offline"], strict=True):
            mixtures[mix.name][name] = _rounded(score)
        with compiled(plain, [Way()]) as (graphs,):
            recorded[name] = {
                recording.name: _rounded(score_recording(recording, graphs))
                for recording in recordings()
            }
    return {"mean": mean, "mixtures": mixtures, "recordings": recorded}


def _rounded(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {stem: None if isnan(db) else round(db, 2) for stem, db in scores.items()}


def _graphs(
    state: Mapping[str, Any], deezers: ModelSet, draft: Manifest
) -> Iterator[tuple[str, bytes]]:
    activations = read_weights(deezers.paths["accompaniment"])[0].activations
    for stem in STEMS[1:]:
        unet = unet_of(stem, activations, state["average"][stem])
        yield stem, write_graph(unet, SPEC, draft.about)


def _material(songs: Sequence[Song], tracks: Sequence[Track]) -> dict[str, Any]:
    """Return what was heard, with checksums."""
    players = {track.player for track in tracks}
    fonts = [font for font in FONTS if font.name in players]
    packages = dict.fromkeys([*PACKAGES, *(font.package for font in fonts)])
    return {
        "packages": {package: version(package) for package in packages},
        "licences": PACKAGES,
        "renderers": sorted({programs(), *(font.made_by[0] for font in fonts)}),
        "fonts": [
            {
                "file": font.file,
                "package": font.package,
                "licence": font.licence,
                "splits": font.splits,
                "parts": font.parts,
                "sha256": font.sha256,
            }
            for font in fonts
        ],
        "songs": {song.name: {"sha256": song.sha256, "split": song.split} for song in songs},
        "voices": {track.song: track.sha256 for track in tracks if track.stem == "vocals"},
        "own": [
            {"file": track.file, "song": track.song, "sha256": track.sha256, "split": track.split}
            for track in tracks
            if track.player == OWN
        ],
        "tracks": dict(Counter(f"{track.split} {track.stem}" for track in tracks)),
        "tracks_sha256": digest_of(tracks),
    }
