"""The networks see as many spectra as they take, and what was never heard does not count."""

import pytest
import torch

from research.training.learner import WINDOWS
from research.training.windows import Window, window_of
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.scheme import Scheme


def numbered(rows):
    """Spectra that hold their own number [shape=(1, 1, rows, 1)]."""
    return torch.arange(float(rows))[None, None, :, None]


def test_the_newest_spectra_come_again_mirrored():
    window = window_of(Scheme(T=64, B=1, A=0, mirror=3), rows=1)
    assert window.seen(numbered(61)).flatten().tolist() == [*range(61), 59, 58, 57]
    assert window.counted(numbered(61)).flatten().tolist() == [60]


@pytest.mark.parametrize(("window", "_"), [*WINDOWS, (Window(64, mirror=5, A=2), 1)])
def test_what_counts_was_heard(window, _):
    heard = numbered(window.heard)
    seen = window.seen(heard)
    assert seen.shape[-2] == window.T
    counted = window.counted(heard)
    assert torch.equal(window.counted(seen), counted)
    assert counted[0, 0, -1, 0] == window.heard - 1 - window.A
    assert counted.shape[-2] == (window.rows or window.heard - window.A)
    emitted = range(window.graph.first, window.graph.first + window.graph.B)
    assert counted.flatten().tolist() == [*emitted]


def test_what_has_little_future_is_learnt_in_8_bits():
    little = [window.precision for window, _ in WINDOWS if window.A or window.mirror]
    assert sorted(little) == ["int8", "mixed"]


@pytest.mark.parametrize("preset", ["live", "balanced"])
def test_what_the_daemon_emits_counts(preset):
    """Of each scheme, in a window that shows what it shows, all rows that it emits are learnt."""
    for scheme in SHORTEST_WINDOWS[preset]:
        heard = torch.arange(scheme.heard) - scheme.heard  # from the newest one on
        emitted = set(window_of(scheme, scheme.B).counted(heard[:, None]).flatten().tolist())
        shown = [
            window.counted(numbered(window.heard) - window.heard).flatten().tolist()
            for window, _ in WINDOWS
            if (window.T, window.mirror) == (scheme.T, scheme.mirror) and window.rows
        ]
        assert any(emitted <= set(rows) for rows in shown), scheme
