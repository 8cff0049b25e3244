"""What is chosen for a configuration, and what is said of it."""

from types import SimpleNamespace

import pytest

from known_sets import TWO
from stemd.daemon.config import Config
from stemd.daemon.supervisor import plan
from stemd.dsp.scheme import Scheme
from two_networks import low_and_high

SCHEME = Scheme(T=64, B=3, A=2, mirror=4)


@pytest.fixture
def two_stems(monkeypatch):
    """A machine on which two are chosen."""
    monkeypatch.setattr(plan, "choose_networks", lambda networks, stems: TWO)
    chosen = (
        SimpleNamespace(scheme=SCHEME, networks=TWO, precision="mixed"),
        lambda: low_and_high(SCHEME),
        "it is fastest",
    )
    monkeypatch.setattr(plan, "choose", lambda works: chosen)


@pytest.mark.parametrize(("stems", "says"), [("auto", True), (2, False)])
def test_two_stems_by_default_are_explained_once(two_stems, caplog, stems, says):
    caplog.set_level("INFO")
    config = Config.model_validate({"separation": {"stems": stems}})
    first = plan.make_plan(config)
    assert first.why_precision == "it is fastest"
    assert ("stemd models install 4stems" in caplog.text) is says
    caplog.clear()
    plan.make_plan(config, first)
    assert not caplog.text
