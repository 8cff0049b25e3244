"""Recording what a daemon plays, from one server to the next."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from daemon_on_stage import BY_HAND, NETWORKS, Servers, new_daemon, on_a_thread, play, play_until
from fake_graph import FakeGraph
from stemd.daemon.config_file import load_config
from stemd.daemon.control.events import RecordingChanged
from stemd.daemon.errors import StemdError
from stemd.daemon.record_wish import RecordWish
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.supervisor import joining, plan
from stemd.daemon.supervisor.plan import make_plan
from stemd.daemon.supervisor.state import State
from waiting import PATIENCE_S, wait_until

FILES = ("input", "vocals", "accompaniment")
PERIOD = 512
LAST = 4
"""The first channel of the last stem, which sounds on a machine that does not keep up, too."""


@pytest.fixture
def servers():
    made = Servers()
    made.present = FakeGraph()
    return made


@pytest.fixture
def stage(servers, monkeypatch):
    """A daemon that is not run yet."""
    monkeypatch.setattr(joining, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(daemon_module, "TICK_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    return new_daemon(servers)


@pytest.fixture
def daemon(stage):
    with on_a_thread(stage):
        wait_until(lambda: stage.playback.session)
        yield stage


def record(daemon, on=True, **wish):
    return daemon.console.record(on, RecordWish(**wish)).result(PATIENCE_S)


def play_noise(daemon, cycles, seed=1):
    """Play noise; return what was heard and played [shape=(channels, frames)]."""
    random, parts = np.random.default_rng(seed), []
    for _ in range(cycles):
        block = random.uniform(-0.5, 0.5, (2, PERIOD)).astype("f4")
        parts.append(np.concatenate([block, play(daemon, block)]))
    return np.concatenate(parts, axis=1)


def recorded(folder):
    parts = [soundfile.read(Path(folder) / f"{name}.wav", dtype="float32")[0] for name in FILES]
    return np.concatenate(parts, axis=1).T


def test_it_is_bit_for_bit_what_left_the_ports(daemon, tmp_path):
    play_noise(daemon, 200)
    daemon.console.mixer.set("vocals", gain=-6.0)
    begun = record(daemon, folder=str(tmp_path), align=False)
    assert (begun.on, begun.taking, begun.trouble) == (True, True, None)
    played = play_noise(daemon, 200, seed=2)
    ended = record(daemon, on=False)
    assert (ended.on, ended.taking, ended.lost_frames) == (False, False, 0)
    assert ended.seconds == round(played.shape[1] / 44_100, 3)
    np.testing.assert_array_equal(recorded(ended.folder), played)
    assert played[LAST].any()


def test_before_the_faders_muting_changes_nothing(daemon, tmp_path):
    play_noise(daemon, 200)
    record(daemon, folder=str(tmp_path), before_faders=True)
    daemon.console.mixer.set("accompaniment", mute=True)
    played = play_noise(daemon, 100)
    got = recorded(record(daemon, on=False).folder)
    assert not played[LAST, 2000:].any()
    assert got[LAST, 2000:].any()


def test_aligned_the_stems_add_up_to_the_inputs_file(daemon, tmp_path):
    play_noise(daemon, 200)
    record(daemon, folder=str(tmp_path))
    play_noise(daemon, 300)
    got = recorded(record(daemon, on=False).folder)
    delay = daemon.playback.session.rt.delay
    np.testing.assert_allclose(got[2:4, delay:] + got[4:, delay:], got[:2, delay:], atol=1e-5)


def test_each_server_has_a_take_of_its_own(daemon, servers, tmp_path):
    record(daemon, folder=str(tmp_path))
    play_noise(daemon, 10)
    first, servers.present = servers.present, FakeGraph(48_000)
    first.alive = False
    wait_until(lambda: daemon.playback.session and daemon.playback.session.client is not first)
    wait_until(lambda: daemon.playback.recordings.status().taking)
    play_noise(daemon, 20)
    second = record(daemon, on=False).folder
    folders = sorted(map(str, tmp_path.iterdir()))
    assert len(folders) == 2
    assert folders[1] == second
    assert recorded(folders[0]).shape[1] == 10 * PERIOD
    assert recorded(second).shape[1] == 20 * PERIOD
    assert soundfile.info(f"{second}/input.wav").samplerate == 48_000


def test_another_delay_has_a_take_of_its_own(servers, monkeypatch, tmp_path):
    monkeypatch.setattr(joining, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(daemon_module, "TICK_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(plan, "choose", lambda works: (works[0], lambda: dict(NETWORKS), ""))
    longer = load_config(None, [*BY_HAND, "jack.longest_period=4096"])
    daemon = new_daemon(servers, replan=lambda before, _: make_plan(longer, before))
    with on_a_thread(daemon):
        wait_until(lambda: daemon.playback.session)
        record(daemon, folder=str(tmp_path))
        before = daemon.playback.session.rt.delay
        play_noise(daemon, 10)
        reloaded = daemon.console.reload()
        play_until(daemon, reloaded.done)
        play_until(daemon, lambda: len([*tmp_path.iterdir()]) == 2)
        assert daemon.playback.session.rt.delay > before
        record(daemon, on=False)
    assert all(recorded(folder).size for folder in tmp_path.iterdir())


def test_the_end_of_the_daemon_leaves_whole_files(stage, tmp_path):
    with on_a_thread(stage):
        wait_until(lambda: stage.playback.session)
        record(stage, folder=str(tmp_path))
        played = play_noise(stage, 50)
    (folder,) = tmp_path.iterdir()
    assert recorded(folder).shape == played.shape


def test_clients_see_that_it_begins_and_ends(daemon, tmp_path):
    seen = []
    with daemon.console.bulletin.subscription(seen.append):
        record(daemon, on=None, folder=str(tmp_path))
        wait_until(lambda: any(isinstance(each, RecordingChanged) for each in seen))
        record(daemon, on=None)
        wait_until(lambda: sum(isinstance(each, RecordingChanged) for each in seen) >= 2)
    changes = [each for each in seen if isinstance(each, RecordingChanged)]
    assert [changes[0].on, changes[-1].on] == [True, False]


def test_one_at_a_time(daemon, tmp_path):
    record(daemon, folder=str(tmp_path))
    with pytest.raises(StemdError, match="stemd records already: end that first"):
        record(daemon, folder=str(tmp_path))
    record(daemon, on=False)
    record(daemon, on=False)  # which changes nothing


def test_without_a_server_there_is_nothing_to_record(stage, servers, tmp_path):
    servers.present = None
    with on_a_thread(stage):
        wait_until(lambda: stage.playback.state is State.WAITING)
        with pytest.raises(StemdError, match="no audio server has been joined"):
            record(stage, folder=str(tmp_path))
        assert not stage.console.status().result(PATIENCE_S).recording.on


def test_what_cannot_begin_is_not_on(daemon, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StemdError, match="cannot record into"):
        record(daemon, folder=str(tmp_path / "file" / "x"))
    wait_until(lambda: not daemon.playback.recordings.is_on)
    assert "cannot record" in daemon.console.status().result(PATIENCE_S).recording.trouble
    record(daemon, folder=str(tmp_path))
