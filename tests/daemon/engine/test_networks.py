"""Which networks are chosen, and how they are made."""

import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from stemd.daemon.engine import networks
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.work import Work
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import GraphSpec

SCHEME = Scheme(T=64, B=4, A=2, mirror=3)


class FakeLibrary:
    installed = ("2stems",)

    def list(self):
        return [
            SimpleNamespace(name=name, origin="installed" if name in self.installed else "bundled")
            for name in ("2stems", "4stems")
        ]

    def find(self, name):
        stems = ("vocals", "accompaniment") if name == "2stems" else ("vocals", "drums")
        return SimpleNamespace(
            name=name, origin="installed", graphs=lambda spec: dict.fromkeys(stems, spec)
        )


@pytest.fixture
def made(monkeypatch):
    """What `load_networks` makes, instead of interpreters: (graph, threads)."""
    monkeypatch.setattr(networks, "Library", FakeLibrary)
    monkeypatch.setattr(networks, "Network", lambda path, threads: (path, threads))


def test_each_stem_has_a_network_for_the_scheme_with_its_threads(made):
    spec = GraphSpec(T=64, B=4, A=2, mirror=3, precision="int8")
    expected = {"vocals": (spec, 3), "accompaniment": (spec, 3)}
    assert networks.load_networks(Work(SCHEME, 2, "int8", threads=3)) == expected


def test_the_remainder_has_none(made):
    loaded = networks.load_networks(Work(SCHEME, 2, "int8", remainder=True))
    assert list(loaded) == ["vocals", "accompaniment"]
    assert loaded["vocals"] is not None
    assert loaded["accompaniment"] is None


@pytest.mark.parametrize(
    ("stems", "installed", "chosen"),
    [
        ("auto", ("2stems",), 2),
        ("auto", ("2stems", "4stems"), 4),
        (2, ("2stems", "4stems"), 2),
        (4, ("2stems",), 4),
    ],
)
def test_auto_is_four_stems_where_they_are_installed(made, monkeypatch, stems, installed, chosen):
    monkeypatch.setattr(FakeLibrary, "installed", installed)
    assert networks.choose_stems(stems) == chosen


def filling(value):
    def network(_, out):
        out[:] = value

    return network


def failing(*_):
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (failing, "the network for b failed on its first block: out of order"),
        (filling(np.nan), "the network for b gives what is no number"),
        (filling(np.inf), "the network for b gives what is no number"),
        (lambda *_: threading.Event().wait(5), "did not end their first block in 0 s"),
    ],
)
def test_a_set_that_cannot_play_does_not_count_as_loaded(network, reason, monkeypatch):
    monkeypatch.setattr("stemd.daemon.engine.networks.TRIAL_S", 0.2)
    sets = [{"a": filling(1), "b": filling(2)}, {"a": filling(1), "b": network}]
    loaded = LoadedNetworks(lambda: sets.pop(0), SCHEME)
    assert loaded.stems == ("a", "b")
    with pytest.raises(ModelError, match=reason):
        loaded.load_anew()
    assert not loaded.by_stem
    assert loaded.stems == ("a", "b"), "what they are to be is known"


def test_a_remainder_has_nothing_to_try_out():
    assert LoadedNetworks(lambda: {"a": filling(1), "b": None}, SCHEME).by_stem["b"] is None


def test_the_present_set_is_given_up_before_another_one_is_loaded():
    class OneSet:
        def __call__(self, *_):
            pass

    alive = []

    def load():
        alive.append(sum(each() is not None for each in made))
        network = OneSet()
        made.append(weakref.ref(network))
        return {"a": network}

    made = []
    loaded = LoadedNetworks(load)
    loaded.ensure()
    assert alive == [0]
    loaded.load_anew()
    assert alive == [0, 0]
    loaded.give_up(1)
    assert loaded.by_stem, "another set was meant"
    loaded.give_up(2)
    loaded.ensure()
    assert alive == [0, 0, 0]
    assert loaded.another().by_stem
    assert alive == [0, 0, 0, 1]
