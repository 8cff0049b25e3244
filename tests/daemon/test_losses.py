"""What presets lose on recorded songs, as the daemon and bench tell it."""

import json

import pytest

from known_sets import BUNDLED_FOUR, FOUR, TWO
from stemd.daemon import losses
from stemd.daemon.capacity import choice
from stemd.daemon.capacity.estimate import by_precision
from stemd.daemon.losses import Loss, loss_of
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work

LONG, SHORT = (Work(scheme, TWO, "mixed") for scheme in PRESETS["balanced"])


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """One scheme was measured."""
    found = {"2stems": {"T=128 B=4 A=8": {"mean_db": 0.31, "worst_db": 0.9}}}
    monkeypatch.setattr(losses, "FILE", tmp_path / "losses.json")
    losses.FILE.write_text(json.dumps(found))


def test_a_loss_is_of_the_set_and_the_scheme(measured):
    assert str(loss_of(LONG)) == "0.3 dB, at worst 0.9 dB"
    assert loss_of(SHORT) is None
    assert loss_of(Work(LONG.scheme, FOUR, "mixed")) is None


def test_nothing_is_known_of_a_residual(measured):
    assert loss_of(Work(LONG.scheme, TWO, "mixed", residual=True)) is None
    assert loss_of(Work(LONG.scheme, TWO.only(["vocals"]), "mixed")) is None


def test_the_choice_of_a_window_says_what_it_is_worth(measured, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr(choice, "ways_here", lambda works, board: by_precision(works))
    choice.first_held([LONG, SHORT])
    told = "; on recorded songs the vocals lose 0.3 dB, at worst 0.9 dB against offline"
    assert caplog.records[-1].message.endswith(told)


def test_what_is_shipped_is_of_presets_and_of_bundled_sets():
    shipped = json.loads(losses.FILE.read_text())
    assert set(shipped) <= {TWO.name, BUNDLED_FOUR.name}
    schemes = {str(scheme) for scheme in PRESETS["auto"]} | {"T=64 B=16 A=16"}
    for by_scheme in shipped.values():
        assert set(by_scheme) <= schemes
        for figures in by_scheme.values():
            assert Loss(**figures).mean_db <= Loss(**figures).worst_db
