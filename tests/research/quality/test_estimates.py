from time import monotonic

import numpy as np
import pytest

from research.material.recorded import Mix, Recipe, Song
from research.quality import estimates
from research.quality.estimates import FIRST, LAST, OVERLAP, Network, Way
from stemd.dsp.scheme import SPLEETER, Scheme

HOP_LENGTH = SPLEETER.hop_length
WAY = Way(Scheme(T=64, B=8, A=8))


@pytest.fixture
def mix(tmp_path, monkeypatch):
    """A function that makes a recipe whose mix is noise, so many hops of it."""
    monkeypatch.setattr(estimates, "cache_folder", lambda: tmp_path)

    def make(hops: int, seed: int = 0) -> Recipe:
        name = f"{hops} {seed}"
        noise = np.random.default_rng(seed).standard_normal((2, hops * HOP_LENGTH))
        made[name] = Mix(0.1 * noise.astype(np.float32), {})
        return Recipe("decide", "whole", Song(name, "us", "", "CC0", "learn", ""), 0)

    made: dict[str, Mix] = {}
    monkeypatch.setattr(estimates, "build", lambda recipe: made[recipe.music.name])
    for kept in (estimates.excerpt, estimates.digest):
        kept.cache_clear()
    return make


@pytest.mark.parametrize(
    ("hops", "first", "last"),
    [(LAST + OVERLAP, FIRST, LAST), (LAST + OVERLAP - 1, 0, LAST - 1), (50, 0, 46)],
)
def test_a_long_excerpt_is_scored_where_windows_are_full(mix, hops, first, last):
    found = estimates.excerpt(mix(hops))
    assert (found.first, found.last) == (first, last)
    assert found.heard(8, 3).shape[1] % (8 * HOP_LENGTH) == 0
    assert found.heard(8, 3).shape[1] >= (last + OVERLAP + 3) * HOP_LENGTH


def test_a_network_runs_once_over_a_mix(mix, tmp_path, monkeypatch):
    calls = []

    def fake(graph, excerpt, scheme):
        calls.append(scheme)
        return np.full((excerpt.last + OVERLAP, 3, 2), 1.0005, np.float32)

    monkeypatch.setattr(estimates, "_estimate", fake)
    monkeypatch.setattr(estimates, "read_weights", lambda _: [None])
    monkeypatch.setattr(estimates, "compile_graph", lambda *_: b"")
    network, mixes = Network(tmp_path, "ab"), [mix(50), mix(50, 1)]
    jobs = {(network, WAY): mixes}
    assert estimates.run(network, WAY, mixes, monotonic() - 1) == 0
    assert estimates.left(jobs) == 2
    assert estimates.run(network, WAY, mixes, monotonic() + 60) == 2
    assert estimates.left(jobs) == 0
    assert estimates.run(network, WAY, mixes, monotonic() + 60) == 0
    assert calls == [WAY.scheme] * 2
    np.testing.assert_allclose(estimates.estimates(mixes[0], network, WAY), 1.0005, rtol=5e-4)
    for other in (Network(tmp_path, "cd"), network):
        way = WAY if other != network else Way()
        assert not estimates.is_kept(mixes[0], other, way)
