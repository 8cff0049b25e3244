"""How far light networks are from the full ones on the recorded songs that decide."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from research.material.recorded import Half, Recipe, recipes
from research.quality import sliding
from research.quality.estimates import excerpt
from research.quality.measures import sdr_db
from research.training.evaluate import Way, compiled
from research.training.learner import digest_of_networks
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.scheme import SPLEETER
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.unet import UNet

WAYS = {
    "live": Way(SHORTEST_WINDOWS["live"][1], "mixed"),
    "balanced": Way(SHORTEST_WINDOWS["balanced"][0], "mixed"),
}
Scores = dict[str, dict[str, float]]
"""SDR of the vocals in dB, by way and mix."""


def known(half: Half) -> list[Recipe]:
    """Return the mixes whose singer is known, and sings."""
    return [
        each for each in recipes() if each.half == half and each.kind in ("recorded", "crossed")
    ]


def scores_of(networks: Mapping[str, UNet], folder: Path, half: Half = "decide") -> Scores:
    """Return the vocals' SDR in every mix, measured once for each networks and half.

    Parameters
    ----------
    networks : mapping of str to UNet
        By stem, the vocals' first.
    folder : Path
        Where the figures are kept.
    half : Half
    """
    path = folder / f"{digest_of_networks(networks)[:16]}-{half}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plain = {stem: folder / f"{stem}.part.tflite" for stem in networks}
        for stem, unet in networks.items():
            plain[stem].write_bytes(write_graph(unet, GraphSpec(), {}))
        with compiled(plain, list(WAYS.values())) as sets:
            found = {
                name: {mix.name: score(mix, graphs, way) for mix in known(half)}
                for (name, way), graphs in zip(WAYS.items(), sets, strict=True)
            }
        for each in plain.values():
            each.unlink()
        path.write_text(json.dumps(found))
    scores: Scores = json.loads(path.read_text())
    return scores


def score(mix: Recipe, graphs: Mapping[str, Path], way: Way) -> float:
    """Return the SDR in dB of a mix's vocals, the first of the stems."""
    found, scheme = excerpt(mix), way.scheme
    spectra = sliding.analyse(found.heard(scheme.B, scheme.A))
    estimates = sliding.emitted_by(list(graphs.values()), spectra, scheme, found.first)[found.hops]
    masked = sliding.masks_of(estimates) * spectra[found.hops]
    stem = sliding.synthesise(masked)[:, : (len(masked) - SPLEETER.overlap) * SPLEETER.hop_length]
    return sdr_db(found.mix.truths["vocals"][:, found.frames], stem)


def gaps(full: Scores, light: Scores) -> dict[str, dict[str, float]]:
    """Return by how many dB the light networks are worse, of all mixes and of the worst one."""
    result = {}
    for way, scores in full.items():
        each = np.array([scores[mix] - light[way][mix] for mix in scores])
        result[way] = {"mean": round(float(each.mean()), 2), "worst": round(float(each.max()), 2)}
    return result
