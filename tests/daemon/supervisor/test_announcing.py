"""What is logged while the daemon plays."""

import logging
from types import SimpleNamespace

import pytest

import statuses
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.replies import Recording
from stemd.daemon.ports import UNCONNECTED
from stemd.daemon.supervisor import announcing
from stemd.daemon.supervisor.announcing import CONNECT_S, Announcer


@pytest.mark.parametrize(
    ("destination", "is_told"),
    [("stemd:in_R", False), ("stemd:midi_in", True), ("other:in_L", True)],
)
def test_inputs_that_stay_unconnected_are_told_once(monkeypatch, caplog, destination, is_told):
    caplog.set_level(logging.INFO)
    client = SimpleNamespace(name="stemd", server="JACK", samplerate=48_000, period=256)
    session = SimpleNamespace(
        client=client,
        rt=SimpleNamespace(delay=1),
        networks=SimpleNamespace(stems=("vocals", "accompaniment")),
    )
    playback = SimpleNamespace(
        session=session,
        state="playing",
        device=SimpleNamespace(status=lambda: None),
        recordings=SimpleNamespace(status=lambda: Recording(**statuses.WAITING["recording"])),
        patchbay=SimpleNamespace(connections={("player:out_1", destination)}),
    )
    announcer = Announcer(playback, Bulletin())
    now = 100.0
    monkeypatch.setattr(announcing, "monotonic", lambda: now)
    announcer.session_begins(session)
    now += CONNECT_S / 2
    announcer.changes()
    assert UNCONNECTED not in caplog.messages
    for _ in range(2):
        now += CONNECT_S
        announcer.changes()
    assert caplog.messages.count(UNCONNECTED) == is_told
