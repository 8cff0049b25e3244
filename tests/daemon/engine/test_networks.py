"""Which networks are chosen, and how they are made."""

import threading
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from known_sets import BUNDLED_FOUR, FOUR, TWO
from stemd.daemon.engine import network_choice, networks
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.errors import ConfigError
from stemd.daemon.work import Work
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import GraphSpec
from waiting import PATIENCE_S

SCHEME = Scheme(T=64, B=4, A=2, mirror=3)


class FakeLibrary:
    """What is here: two stems and four bundled, others installed; the official ones are not."""

    sets = (
        ("2stems", "bundled", TWO.stems),
        ("4stems", None, FOUR.stems),
        ("4stems-stemd", "bundled", FOUR.stems),
        ("4others", "installed", FOUR.stems),
        ("guitars", "installed", ("guitar", "rest")),
        ("5stems", None, ("vocals", "piano", "drums", "bass", "other")),
    )

    def list(self):
        return [
            SimpleNamespace(
                name=name,
                origin=origin,
                stems=stems,
                masks=BUNDLED_FOUR.masks if name == BUNDLED_FOUR.name else "sigmoid",
                family="spleeter",
            )
            for name, origin, stems in self.sets
        ]

    def find(self, name, deep=True):
        stems = {each: stems for each, origin, stems in self.sets if origin}.get(name)
        if not stems:
            raise ModelError(f"there are no networks named {name!r}")
        return SimpleNamespace(
            name=name, origin="installed", graphs=lambda spec: dict.fromkeys(stems, spec)
        )


@pytest.fixture
def made(monkeypatch):
    """What `load_networks` makes, instead of interpreters: (graph, threads, bins)."""
    monkeypatch.setattr(network_choice, "Library", FakeLibrary)
    monkeypatch.setattr(networks, "Network", lambda path, *rest: (path, *rest))


def test_each_stem_has_a_network_for_the_scheme_with_its_threads_and_bins(made):
    spec = GraphSpec(T=64, B=4, A=2, mirror=3, precision="int8")
    expected = dict.fromkeys(TWO.stems, (spec, 3, 1024))
    assert networks.load_networks(Work(SCHEME, TWO, "int8", threads=3)) == expected


def test_of_a_softmax_no_network_can_be_left_out(made):
    softmax = replace(TWO, masks="softmax")
    with pytest.raises(ConfigError, match=r"the 2stems networks have no residual: .* to false"):
        networks.load_networks(Work(SCHEME, softmax, "int8", residual=True))
    assert len(networks.load_networks(Work(SCHEME, softmax, "int8"))) == 2


def test_the_residual_has_none(made):
    loaded = networks.load_networks(Work(SCHEME, TWO, "int8", residual=True))
    assert list(loaded) == ["vocals", "accompaniment"]
    assert loaded["vocals"] is not None
    assert loaded["accompaniment"] is None


def test_only_the_networks_of_the_wanted_stems_are_loaded(made):
    only = BUNDLED_FOUR.only(["drums"])
    loaded = networks.load_networks(Work(SCHEME, only, "int8"))
    assert list(loaded) == ["drums", "rest"]
    assert (loaded["drums"] is None, loaded["rest"]) == (False, None)
    assert Work(SCHEME, only, "int8").running == 1
    assert str(only) == "4stems-stemd, only drums"


def test_wanted_stems_stay_in_the_order_of_the_set_and_nothing_is_left_of_all():
    assert FOUR.only(["bass", "vocals"]).stems == ("vocals", "bass", "rest")
    assert FOUR.only(["bass"]).only(["bass"]) == FOUR.only(["bass"])
    assert FOUR.only([]) == FOUR.only(FOUR.stems) == FOUR


def test_vocals_come_first_only_where_they_are_wanted():
    assert BUNDLED_FOUR.only(["drums", "vocals"]).masks == "vocals-first"
    assert BUNDLED_FOUR.only(["drums", "bass"]).masks == "sigmoid"


def test_a_wanted_stem_that_the_set_does_not_have_is_refused():
    rule = r"separation.only: the 2stems networks have no stem drums, but vocals, accompaniment; "
    with pytest.raises(ConfigError, match=rule):
        TWO.only(["vocals", "drums"])


def test_of_a_softmax_no_stem_can_be_had_alone(made):
    softmax = replace(TWO, masks="softmax").only(["vocals"])
    with pytest.raises(ConfigError, match=r"network; set separation.only to \[\]"):
        networks.load_networks(Work(SCHEME, softmax, "int8"))


@pytest.mark.parametrize(
    ("names", "stems", "chosen"),
    [
        ("auto", "auto", TWO),
        ("auto", 2, TWO),
        ("auto", 4, BUNDLED_FOUR),
        ("4stems-stemd", "auto", BUNDLED_FOUR),
        ("4others", "auto", replace(FOUR, name="4others")),
    ],
)
def test_networks_are_chosen_by_name_or_by_number_of_stems(made, names, stems, chosen):
    assert network_choice.choose_networks(names, stems) == chosen


def test_auto_is_four_stems_where_they_are_installed(made, monkeypatch):
    installed = ("4stems", "installed", FOUR.stems)
    monkeypatch.setattr(FakeLibrary, "sets", (installed, *FakeLibrary.sets))
    assert network_choice.choose_networks("auto") == FOUR
    assert network_choice.choose_networks("auto", 4) == FOUR
    assert network_choice.choose_networks("4stems-stemd") == BUNDLED_FOUR, "side by side"


@pytest.mark.parametrize(
    ("names", "stems", "reason"),
    [
        ("3stems", "auto", "no networks named '3stems'"),
        (
            "auto",
            3,
            r"no networks of 3 stems; known are 2stems \(2\), 4stems \(4\), 4stems-stemd \(4\)",
        ),
        ("auto", 5, "no networks named '5stems'"),
        ("guitars", "auto", "the guitars networks separate guitar, rest, for which stemd has no p"),
    ],
)
def test_networks_that_are_not_here_are_refused(made, names, stems, reason):
    with pytest.raises(ConfigError, match=reason):
        network_choice.choose_networks(names, stems)


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
        (filling(np.nan), "the network for b gives values that are not numbers"),
        (filling(np.inf), "the network for b gives values that are not numbers"),
    ],
)
def test_a_set_that_cannot_play_does_not_count_as_loaded(network, reason):
    sets = [{"a": filling(1), "b": filling(2)}, {"a": filling(1), "b": network}]
    loaded = LoadedNetworks(lambda: sets.pop(0), SCHEME)
    assert loaded.stems == ("a", "b")
    with pytest.raises(ModelError, match=reason):
        loaded.load_anew()
    assert not loaded.by_stem
    assert loaded.stems == ("a", "b"), "what they are to be is known"


def test_a_set_that_hangs_on_its_first_block_does_not_count_as_loaded(monkeypatch):
    go = threading.Event()
    sets = [{"a": filling(1)}, {"a": lambda *_: go.wait(PATIENCE_S)}]
    loaded = LoadedNetworks(lambda: sets.pop(0), SCHEME)
    monkeypatch.setattr("stemd.daemon.engine.networks.TRIAL_S", 0.2)
    with pytest.raises(ModelError, match="did not end their first block in 0 s"):
        loaded.load_anew()
    go.set()
    assert not loaded.by_stem


def test_what_is_tried_is_the_first_block_of_a_stream():
    """Not a window in the midst of music: all that is kept of the blocks before takes long."""

    class Sliding:
        numbers: ClassVar = []

        def __call__(self, window, out):
            pytest.fail("it has a stream")

        def stream(self):
            return self.run

        def run(self, window, out, number):
            self.numbers.append(number)
            out.fill(window.any())

    LoadedNetworks(lambda: {"a": Sliding()}, SCHEME)
    assert Sliding.numbers == [1]


def test_a_residual_has_nothing_to_try_out():
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


def test_a_set_that_hangs_is_given_up_without_waiting_for_the_next_one():
    begun, go = threading.Event(), threading.Event()
    go.set()

    def load():
        begun.set()
        assert go.wait(PATIENCE_S)
        return {"vocals": None}

    loaded = LoadedNetworks(load)
    go.clear()
    begun.clear()
    loading = threading.Thread(target=loaded.load_anew)
    loading.start()
    assert begun.wait(PATIENCE_S)
    loaded.give_up(1)
    go.set()
    loading.join(PATIENCE_S)
    assert loaded.by_stem, "the next one is another set"
    loaded.give_up(1)
    assert loaded.by_stem
    loaded.give_up(2)
    assert not loaded.by_stem
