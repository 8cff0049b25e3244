"""What `run` hands on of the configuration."""

import pytest

from fake_graph import FakeGraph
from stemd.daemon import app, plan, supervisor
from stemd.daemon.config import load_config
from stemd.daemon.errors import StemdError
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import Scheme


def test_run_hands_on_every_wish(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(
        "jack: {client_name: mine, server: pipewire, longest_period: 77,\n"
        "  autoconnect: {in_L: 'a:b'}}\n"
        "separation: {stems: 4, T: 128, B: 4, A: 2, mirror: 3, precision: int8,\n"
        "  threads: 5, mask_extension: zeros}\n"
        "mixer: {strips: {vocals: {mute: true}}, ramp: 0.3}\n"
        "control: {socket: off}\n"
        "midi: {enabled: true}"
    )
    told, scheme = {}, Scheme(T=128, B=4, A=2, mirror=3)
    graph = FakeGraph()
    networks = dict.fromkeys(("vocals", "drums", "bass", "other"))

    def open_client(name, server):
        told["client"] = (name, server)
        return graph

    def choose(*wishes):
        told["networks"] = wishes
        return scheme, lambda: networks

    class Session:
        def __init__(self, client, networks, scheme, extension, longest_period, patchbay, *more):
            told["session"] = (client, scheme, extension, longest_period, *more)
            told["patterns"] = {port: each.pattern for port, each in patchbay._patterns.items()}
            told["loaded"] = networks.by_stem
            raise StemdError("the sky fell down")

    monkeypatch.setattr(app, "open_client", open_client)
    monkeypatch.setattr(plan, "choose", choose)
    monkeypatch.setattr(supervisor, "settle_memory", lambda: None)
    monkeypatch.setattr(supervisor, "Session", Session)
    with pytest.raises(StemdError, match="the sky fell down"):
        app.run(lambda: load_config(path))
    assert graph.closed
    assert told == {
        "client": ("mine", "pipewire"),
        "networks": (4, (scheme,), "int8", 5),
        "session": (graph, scheme, MaskExtension.ZEROS, 77, False, 0.3, True),
        "patterns": {"in_L": "a:b"},
        "loaded": networks,
    }
