"""A reload changes everything that it says, or nothing; what plays is untouched until then."""

import threading
import weakref
from time import monotonic

import numpy as np
import pytest

from daemon_on_stage import (
    BY_HAND,
    NETWORKS,
    SILENCE,
    Servers,
    new_daemon,
    on_a_thread,
    passing,
    play,
    play_until,
)
from fake_graph import FakeGraph
from stemd.daemon.config_file import load_config
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.events import ReloadEnded, StateChanged
from stemd.daemon.control.replies import Reloaded
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.presets import PRESETS
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.supervisor import plan
from stemd.daemon.supervisor.plan import make_plan, with_preset
from stemd.daemon.supervisor.state import State
from stemd.daemon.supervisor.swap import Phase
from waiting import PATIENCE_S, until, wait_until

FOUR = ("vocals", "drums", "bass", "other")
OTHER_WORK = ["separation.threads=2", *BY_HAND]


@pytest.fixture
def servers():
    return Servers()


def raising(_, out) -> None:
    raise RuntimeError("out of order")


class OnceGood:
    """A network that passes its trial, and fails at its second block."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, window, out) -> None:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("out of order")
        passing(window, out)


def reload(daemon):
    """Reload while silence plays; return what has changed."""
    play(daemon, SILENCE)
    reloading = daemon.console.reload()
    play_until(daemon, reloading.done)
    return reloading.result()


class TestReload:
    @pytest.fixture
    def replan(self):
        """What the configuration says next; or an exception."""
        return []

    @pytest.fixture
    def daemon(self, servers, replan, monkeypatch):
        monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
        monkeypatch.setattr(plan, "choose", lambda works: (works[0], lambda: dict(NETWORKS), ""))

        def next_plan(before, preset):
            following = replan.pop(0)
            if isinstance(following, Exception):
                raise following
            return make_plan(with_preset(following, preset), before)

        daemon = new_daemon(servers, replan=next_plan)
        with on_a_thread(daemon):
            servers.present = FakeGraph()
            wait_until(lambda: daemon.playback.session)
            yield daemon

    def test_what_is_the_same_stays(self, daemon, replan):
        replan.append(load_config(None))
        before = daemon.playback.session.separation
        assert daemon.console.reload().result(PATIENCE_S) == Reloaded(changed=[], at_next_start=[])
        assert daemon.playback.session.separation is before

    def test_however_often_one_is_asked_for_one_is_done_and_one_waits(
        self, daemon, replan, monkeypatch
    ):
        monkeypatch.setattr("stemd.daemon.supervisor.reloading.RELOAD_PAUSE_S", 0.05)
        begun, go, began_at = threading.Semaphore(0), threading.Semaphore(0), []

        def next_plan(before, preset):
            began_at.append(monotonic())
            begun.release()
            assert go.acquire(timeout=PATIENCE_S)
            return make_plan(load_config(None), before)

        daemon.reloader._replan = next_plan
        daemon.console.reload_soon()
        assert begun.acquire(timeout=PATIENCE_S)
        for _ in range(42):
            daemon.console.reload_soon()
        go.release(2)
        assert begun.acquire(timeout=PATIENCE_S)
        wait_until(lambda: not daemon.reloader._reloading.locked())
        daemon.console.reload_soon()  # a third one, if nothing is left of the others
        go.release()
        assert begun.acquire(timeout=30)
        wait_until(lambda: not daemon.reloader._reloading.locked())
        assert len(began_at) == 3
        assert began_at[1] - began_at[0] >= 0.05

    def test_gains_patterns_and_masks_change_without_another_separation(self, daemon, replan):
        settings = [
            "mixer.strips={vocals: {gain: -6}}",
            "jack.autoconnect={in_L: 'mpv:.*'}",
            "separation.mask_extension=zeros",
            "jack.client_name=other",
        ]
        replan.append(load_config(None, settings))
        before = daemon.playback.session.separation
        assert daemon.console.reload().result(PATIENCE_S) == Reloaded(
            changed=["jack.autoconnect", "mixer.strips", "separation.mask_extension"],
            at_next_start=["jack.client_name"],
        )
        assert daemon.playback.session.separation is before
        assert daemon.console.mixer.strips()["vocals"].gain == -6

    def test_others_are_played_by_another_separation(self, daemon, replan):
        replan.append(load_config(None, ["separation.precision=int8", *BY_HAND]))
        before = daemon.playback.session.separation
        assert "separation.precision" in reload(daemon).changed
        play_until(daemon, lambda: before.is_stopped)
        assert daemon.playback.session.separation is not before
        assert daemon.playback.session.networks is daemon.playback.plan.networks

    def test_a_preset_counts_until_the_next_reload(self, daemon, replan):
        shown = daemon.console.status
        replan.append(load_config(None, BY_HAND))
        reloading = daemon.console.reload("studio")
        assert "separation.preset" in reloading.result(PATIENCE_S).changed
        assert shown().result(PATIENCE_S).preset == "studio"
        assert shown().result(PATIENCE_S).window.B == PRESETS["studio"][0].B
        replan.append(load_config(None, ["separation.preset=balanced"]))
        daemon.console.reload().result(PATIENCE_S)
        assert shown().result(PATIENCE_S).preset == "balanced"

    def test_another_longest_period_gets_networks_of_its_own(self, daemon, replan):
        """Those that play are no other separation's at the same time."""
        before = daemon.playback.session.separation
        replan.append(load_config(None, ["jack.longest_period=2048", *BY_HAND]))
        networks = daemon.playback.plan.networks
        assert "jack.longest_period" in reload(daemon).changed
        assert daemon.playback.plan.networks is not networks
        play_until(daemon, lambda: before.is_stopped)

    def test_what_waits_for_the_next_start_is_told_each_time_and_changes_nothing(
        self, daemon, replan
    ):
        later = ["midi.enabled=true", "mixer.ramp=1", "jack.client_name=other"]
        for _ in range(2):
            replan.append(load_config(None, later))
            assert daemon.console.reload().result(PATIENCE_S) == Reloaded(
                changed=[],
                at_next_start=["jack.client_name", "midi.enabled", "mixer.ramp"],
            )
        assert not daemon.playback.plan.config.midi.enabled
        with pytest.raises(StemdError, match="there is no MIDI port"):
            daemon.console.learn(Binding(cc=0, does="bypass")).result(PATIENCE_S)

    def test_a_solo_that_goes_lets_the_others_be_heard_only_when_it_is_gone(
        self, daemon, replan, monkeypatch
    ):
        daemon.console.mixer.set("vocals", solo=True)
        others = {"drums": NETWORKS["vocals"], "other": NETWORKS["vocals"]}
        monkeypatch.setattr(plan, "choose", lambda works: (works[0], lambda: others, ""))
        replan.append(load_config(None, ["separation.threads=2", *BY_HAND]))
        before = daemon.playback.session.separation
        play(daemon, SILENCE)
        reloading, mixed = daemon.console.reload(), []
        play_until(
            daemon, lambda: mixed.append({*daemon.console.mixer.strips()}) or before.is_stopped
        )
        assert reloading.result(PATIENCE_S).changed
        assert mixed[0] == {*NETWORKS}
        assert {*NETWORKS, *others} in mixed, "while both are heard"
        wait_until(lambda: daemon.console.mixer.strips().keys() == others.keys())

    def test_a_wrong_one_changes_nothing_and_says_why(self, daemon, replan, caplog):
        replan.append(ConfigError("separation.preset: must be …"))
        before, told = daemon.playback.plan, []
        with (
            daemon.console.bulletin.subscription(told.append),
            pytest.raises(StemdError, match=r"nothing is changed: separation\.preset"),
        ):
            daemon.console.reload().result(PATIENCE_S)
        assert told == [ReloadEnded([], [], "separation.preset: must be …")]
        assert daemon.playback.plan is before
        assert "nothing is changed: separation.preset" in caplog.text
        replan.append(load_config(None))
        assert daemon.console.reload().result(PATIENCE_S), "and the next one is read"

    def test_a_wrong_one_leaves_the_audio_as_it_is_bit_for_bit(self, daemon, servers, replan):
        left_alone = Servers()
        left_alone.present = FakeGraph()
        other = new_daemon(left_alone)
        with on_a_thread(other):
            wait_until(lambda: other.playback.session)
            rng = np.random.default_rng(1)
            for n in range(200):
                block = 0.1 * rng.standard_normal((2, 256)).astype(np.float32)
                heard = [play(each, block) for each in (daemon, other)]
                np.testing.assert_array_equal(*heard)
                if n in (80, 120):
                    replan.append(ConfigError("wrong"))
                    with pytest.raises(StemdError):
                        daemon.console.reload().result(PATIENCE_S)
            assert heard[0].any()

    @pytest.fixture
    def loading(self, monkeypatch):
        """What the next set is loaded from."""
        following = []
        monkeypatch.setattr(plan, "choose", lambda works: (works[0], following.pop(0), ""))
        return following

    @pytest.mark.parametrize("network", [lambda: raising, OnceGood], ids=["trial", "live"])
    def test_networks_that_fail_leave_all_as_it_is(self, daemon, replan, loading, network):
        settings = ["mixer.strips={vocals: {gain: -6}}", "jack.autoconnect={in_L: 'mpv:.*'}"]
        settings += ["separation.mask_extension=zeros", *OTHER_WORK]
        replan.append(load_config(None, settings))
        loading.append(lambda: {stem: network() for stem in FOUR})
        before = (
            daemon.playback.plan,
            daemon.playback.session.separation,
            daemon.console.mixer.all_strips(),
        )
        status, patterns = (
            daemon.console.status().result(PATIENCE_S),
            daemon.playback.patchbay._patterns,
        )
        told = []
        with (
            daemon.console.bulletin.subscription(told.append),
            pytest.raises(StemdError, match=r"^nothing is changed: the network .*out of order"),
        ):
            reload(daemon)
        assert (
            daemon.playback.plan,
            daemon.playback.session.separation,
            daemon.console.mixer.all_strips(),
        ) == before
        assert daemon.playback.patchbay._patterns is patterns
        after = daemon.console.status().result(PATIENCE_S)
        for key in ("networks", "stems", "preset", "precision", "window", "mixer", "delay"):
            assert getattr(after, key) == getattr(status, key)
        # The state may change too: the machine may be busy.
        (ended,) = [each for each in told if not isinstance(each, StateChanged)]
        assert isinstance(ended, ReloadEnded)
        assert "out of order" in ended.error
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        assert reload(daemon).changed
        assert daemon.console.status().result(PATIENCE_S).stems == [*FOUR], "from the answer on"

    def test_without_a_server_too(self, daemon, servers, replan, loading):
        gone, servers.present = servers.present, None
        gone.alive = False
        wait_until(lambda: daemon.playback.state is State.WAITING)
        before = daemon.playback.plan
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, raising))
        with pytest.raises(StemdError, match="nothing is changed: the network for vocals failed"):
            daemon.console.reload().result(PATIENCE_S)
        assert daemon.playback.plan is before

    def test_status_and_mixer_agree_without_a_server(self, daemon, servers, replan, loading):
        gone, servers.present = servers.present, None
        gone.alive = False
        wait_until(lambda: daemon.playback.state is State.WAITING)
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        daemon.console.reload().result(PATIENCE_S)
        stems = daemon.console.status().result(PATIENCE_S).stems
        assert stems == [*FOUR]
        for stem in stems:
            assert daemon.console.mixer.set(stem, gain=-3).gain == -3

    def test_a_server_that_goes_meanwhile_leaves_it_to_the_next_one(
        self, daemon, servers, replan, loading
    ):
        play(daemon, SILENCE)
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        reloading, gone = daemon.console.reload(), servers.present
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.WARMING)
        gone.alive, servers.present = False, None
        assert reloading.result(PATIENCE_S).changed
        servers.present = FakeGraph()
        wait_until(
            lambda: daemon.playback.session and daemon.playback.session.client is servers.present
        )
        assert daemon.playback.session.stems == FOUR

    def test_what_comes_muted_is_never_heard(self, daemon, servers, replan, loading):
        settings = ["mixer.strips={drums: {mute: true}}", "mixer.ramp=1", *OTHER_WORK]
        rng = np.random.default_rng(1)
        replan.append(load_config(None, settings))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        play(daemon, SILENCE)
        reloading, loudest = daemon.console.reload(), {}
        for _ in until(lambda: reloading.done() and daemon.playback.session.phase is Phase.STEADY):
            names = [*servers.present._slots]
            heard = play(daemon, 0.1 * rng.standard_normal((2, 256)).astype(np.float32))
            for name, samples in zip(names, heard, strict=False):  # while some come or go
                if [*servers.present._slots] == names:
                    loudest[name] = max(loudest.get(name, 0), float(np.abs(samples).max()))
        assert loudest["bass_L"] > 0.01
        assert loudest["drums_L"] == loudest["drums_R"] == 0

    def test_reloads_wait_for_each_other_and_there_are_two_sets_at_most(
        self, daemon, replan, loading, monkeypatch
    ):
        monkeypatch.setattr("stemd.daemon.supervisor.reloading.RELOAD_PAUSE_S", 0)
        live, most = [], []

        class OneSet:
            def __call__(self, window, out):
                passing(window, out)

        def load():
            one = OneSet()
            live[:] = [each for each in live if each()] + [weakref.ref(one)]
            most.append(len(live))
            return {"vocals": one, "accompaniment": one}

        play(daemon, SILENCE)
        for n in range(60):
            replan.append(load_config(None, [f"separation.threads={n + 2}", *BY_HAND]))
            loading.append(load)
        for n in range(4):
            reloading = daemon.console.reload()
            for _ in range(50):
                daemon.console.reload_soon()
                with pytest.raises(StemdError, match="a reload is under way: wait for its end"):
                    daemon.console.reload().result(0)
            play_until(daemon, reloading.done)
            assert reloading.result().changed
            # One for this, and one for all that asked meanwhile.
            play_until(daemon, lambda so_far=2 * (n + 1): len(most) == so_far)
            play_until(daemon, lambda: not daemon.reloader._second_set.locked())
        assert len(most) == 8
        assert max(most) == 2
        assert sum(each() is not None for each in live) == 1
