"""The official Spleeter code as an oracle, in a Python of its own."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).parents[2]


class Official:
    """Asks `official.py`, which runs in the oracle's environment."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._folder = folder
        where = self._run("-c", "import spleeter; print(spleeter.__path__[0])")
        self.checkpoint = Path(where.strip()) / "pretrained_models" / "2stems"
        """The folder of the official 2-stem checkpoint."""

    def networks(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """Give the mixture's magnitudes and those of each stem, [shape=(windows, 128, 1024, 2)]."""
        out = self._folder / "networks.npz"
        self._ask("networks", waveform, out)
        return dict(np.load(out))

    def random(self, waveform: np.ndarray, name: str, checkpoint: Path) -> dict[str, np.ndarray]:
        """Save a checkpoint of random weights; return as `networks` what it makes of the song."""
        out = self._folder / f"random-{name}.npz"
        self._ask("random", waveform, name, checkpoint, out)
        return dict(np.load(out))

    def separate(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """Give each stem's waveform, float32 [shape=(frames, 2)], as Spleeter does."""
        out = self._folder / "separated"
        self._ask("separate", waveform, out)
        return {path.stem: np.load(path) for path in out.iterdir()}

    def tflite(self, magnitudes: np.ndarray, network: Path) -> np.ndarray:
        """Give what a `.tflite` file makes of the windows in TensorFlow's own interpreter."""
        out = self._folder / "tflite.npy"
        self._ask("tflite", magnitudes, out, network)
        return np.load(out)

    def _ask(self, command: str, array: np.ndarray, *paths: str | Path) -> None:
        given = self._folder / "given.npy"
        np.save(given, array)
        self._run(Path(__file__).with_name("official.py"), command, given, *paths)

    def _run(self, *arguments: str | Path) -> str:
        done = subprocess.run([self._python, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Official:
    python = os.environ.get("STEMD_ORACLE_PYTHON")
    if not python:
        pytest.fail(
            "STEMD_ORACLE_PYTHON is not set: it names the Python that has the official Spleeter; "
            "`make oracle` makes one and runs these tests",
            pytrace=False,
        )
    return Official(python, tmp_path_factory.mktemp("oracle"))


@pytest.fixture(scope="session")
def song() -> np.ndarray:
    """The demo song, float32 [shape=(frames, 2)] at 44.1 kHz."""
    waveform, samplerate = soundfile.read(
        REPOSITORY / "daemon" / "cli" / "song" / "slow-motion-dream.mp3", dtype="float32"
    )
    assert samplerate == 44_100
    return waveform
