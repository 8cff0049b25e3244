"""Five stems whose masks are a softmax, from ten ports."""

import numpy as np
import pytest

from rigs import Watch, session_on
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.ports import outputs_of
from stemd.dsp.scheme import SPLEETER, Scheme
from stemd.tflite_models.families import releases

MODEL_BINS = SPLEETER.model_bins

SCHEME = Scheme(T=64, B=3, A=2, mirror=4)
STEMS = releases()["5stems"].stems
NEVER = np.float32(-20.0)
"""A logit that counts for nothing beside zero; as a magnitude it would be the loudest."""


def bands() -> dict:
    """Networks by stem, each of which is sure of a fifth of the bins that it sees."""
    edges = np.linspace(0, MODEL_BINS, len(STEMS) + 1).astype(int)

    def sure_of(low: int, high: int):
        def network(_, logits):
            logits[:] = NEVER
            logits[:, low:high] = 0

        return network

    return {stem: sure_of(*edges[n : n + 2]) for n, stem in enumerate(STEMS)}


def share_of_band(wave: np.ndarray, n: int) -> float:
    """Which share of a stem's power up to the last bin that networks see lies in the n-th band."""
    power = np.abs(np.fft.rfft(wave, axis=-1)).sum(axis=0) ** 2
    seen = power[: len(power) // 2]
    edges = np.linspace(0, len(seen), len(STEMS) + 1).astype(int)
    return float(seen[edges[n] : edges[n + 1]].sum() / seen.sum())


@pytest.mark.parametrize("graph", [("fake", 44_100, 509), ("jackd", 44_100, 256)], ids=str)
def test_each_stem_plays_what_its_network_is_sure_of(rig, graph):
    rng = np.random.default_rng(5)
    networks = LoadedNetworks(bands, SCHEME, "softmax")
    with rig(*graph) as r, session_on(r, SCHEME, networks) as session:
        ports = [name for name in r.ports() if not name.startswith("in_")]
        assert ports == [*outputs_of(STEMS)]
        assert len(ports) == 10
        delay = session.rt.delay
        x = np.zeros((2, 40_000 + delay), np.float32)
        x[:, :40_000] = 0.1 * rng.standard_normal((2, 40_000))
        _, played, y = r.play(x, Watch(session.separation))
        assert session.separation.failure is None
    by_port = dict(zip(ports, y, strict=True))
    stems = {stem: np.stack([by_port[f"{stem}_{side}"] for side in "LR"]) for stem in STEMS}
    total = np.sum(list(stems.values()), axis=0)[:, delay:]
    np.testing.assert_allclose(total, played[:, : total.shape[1]], atol=1e-4)
    for n, stem in enumerate(STEMS):
        assert share_of_band(stems[stem], n) > 0.95, stem
