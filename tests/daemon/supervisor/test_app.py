"""What `run` hands on of the configuration."""

import socket

import pytest

from fake_daemon import FakeDaemon
from fake_graph import FakeGraph
from known_sets import BUNDLED_FOUR
from stemd.daemon.config_file import load_config
from stemd.daemon.errors import StemdError
from stemd.daemon.supervisor import app, plan, playback
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.work import Work
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import Scheme


def test_run_hands_on_every_wish(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(
        "jack: {client_name: mine, server: pipewire, longest_period: 77,\n"
        "  autoconnect: {in_L: 'a:b'}}\n"
        "separation: {stems: 4, T: 128, B: 4, A: 2, mirror: 3, precision: int8,\n"
        "  threads: 5, residual: true, mask_extension: zeros}\n"
        "mixer: {strips: {vocals: {mute: true}}, ramp: 0.3}\n"
        "control: {socket: off}\n"
        "midi: {enabled: true}"
    )
    told, scheme = {}, Scheme(T=128, B=4, A=2, mirror=3)
    graph = FakeGraph()
    networks = dict.fromkeys(("vocals", "drums", "bass", "other"))

    def open_client(name, server, server_name):
        told["client"] = (name, server, server_name)
        return graph

    def choose(works):
        told["networks"] = works
        return works[0], lambda: networks, ""

    class Session:
        def __init__(self, client, setup, patchbay, *more, **ports):
            told["session"] = (client, setup.scheme, setup.extension, setup.longest_period, *more)
            told["ports"] = ports
            told["patterns"] = dict(patchbay._patterns)
            told["loaded"] = setup.networks.by_stem
            raise StemdError("the sky fell down")

    monkeypatch.setattr(app, "open_client", open_client)
    monkeypatch.setattr(plan, "choose", choose)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(playback, "Session", Session)
    with pytest.raises(StemdError, match="the sky fell down"):
        app.run(lambda: load_config(path))
    assert graph.closed
    assert told == {
        "client": ("mine", "pipewire", None),
        "networks": (Work(scheme, BUNDLED_FOUR, "int8", 5, residual=True),),
        "session": (graph, scheme, MaskExtension.ZEROS, 77, False, 0.3),
        "ports": {"has_midi": True, "has_midi_out": False, "has_mix": False},
        "patterns": {"in_L": "a:b"},
        "loaded": networks,
    }


def test_each_way_to_steer_listens_where_it_was_told(tmp_path, caplog):
    not_open = {}

    def opened(settings):
        config = load_config(None, settings)
        return list(app._open_interfaces(config, FakeDaemon(), not_open.__setitem__))

    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    osc, metrics = (each.getsockname()[1] for each in free)
    for each in free:
        each.close()
    settings = [f"osc.port={osc}", f"metrics.port={metrics}", f"control.socket={tmp_path / 's'}"]
    servers = opened(settings)
    assert [getattr(each, "port", None) for each in servers] == [None, osc, metrics]
    assert (tmp_path / "s").is_socket()
    taken = opened(settings)
    assert not taken
    assert not_open.keys() == {"control", "osc", "metrics"}
    assert str(osc) in not_open["osc"]
    assert caplog.text.count("it plays, but: ") == 3
    for each in servers:
        each.start()
        each.close()
    elsewhere = [f"osc.port={osc}", "osc.host=192.0.2.1", "control.socket=off"]
    assert not opened(elsewhere)
    assert "cannot listen for OSC on 192.0.2.1" in caplog.text
    elsewhere = [f"metrics.port={metrics}", "metrics.host=192.0.2.1", "control.socket=off"]
    assert not opened(elsewhere)
    assert "cannot serve metrics on 192.0.2.1" in caplog.text
