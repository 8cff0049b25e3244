"""What `run` hands on of the configuration, and how it ends."""

from contextlib import contextmanager

import pytest

from fake_graph import FakeGraph
from stemd.daemon import app
from stemd.daemon.config import load_config
from stemd.daemon.errors import StemdError
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import Scheme


def test_run_hands_on_every_wish_and_ends_with_the_trouble(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(
        "jack: {client_name: mine, server: pipewire, autoconnect: {in_L: 'a:b'}}\n"
        "separation: {stems: 4, T: 128, B: 4, A: 2, mirror: 3, precision: int8,\n"
        "  threads: 5, mask_extension: zeros}"
    )
    told, scheme = {}, Scheme(T=128, B=4, A=2, mirror=3)
    graph = FakeGraph()

    def open_client(name, server):
        told["client"] = (name, server)
        return graph

    def load_first_held(*wishes):
        told["networks"] = wishes
        return scheme, {"vocals": None}

    @contextmanager
    def separating(client, networks, scheme, extension, on_trouble):
        told["separating"] = (client, scheme, extension)
        on_trouble("the sky fell down")
        yield None

    monkeypatch.setattr(app, "open_client", open_client)
    monkeypatch.setattr(app, "load_first_held", load_first_held)
    monkeypatch.setattr(app, "separating", separating)
    monkeypatch.setattr(app, "_announce", lambda *_: None)
    monkeypatch.setattr(app, "_sum_up", lambda *_: None)
    with pytest.raises(StemdError, match="the sky fell down"):
        app.run(load_config(path))
    assert told == {
        "client": ("mine", "pipewire"),
        "networks": (4, (scheme,), "int8", 5),
        "separating": (graph, scheme, MaskExtension.ZEROS),
    }
    assert {port: p.pattern for port, p in graph.patterns.items()} == {"in_L": "a:b"}
