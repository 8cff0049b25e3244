"""What boards can hold, by count."""

from dataclasses import replace
from itertools import chain

import pytest

import known_sets
import tiny_model as tiny
from counting import count
from known_sets import TWO
from stemd.daemon.capacity import estimate, processor, profiles
from stemd.daemon.capacity.estimate import (
    A53,
    A72,
    A76,
    BOARDS,
    MOST_LOAD,
    Board,
    differ_in_window,
    expected_load,
    expected_quickest,
    this_board,
    without_slow_windows,
)
from stemd.daemon.capacity.profiles import choose_profile, completed
from stemd.daemon.config_file import load_config
from stemd.daemon.engine.network_choice import choose_networks
from stemd.daemon.errors import ConfigError
from stemd.daemon.presets import PRESETS, SHORTEST_WINDOWS
from stemd.daemon.work import Work
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import LIGHT_FILTERS, Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.family import SPLEETER, SPLEETER_LIGHT
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.unet import UNet
from stemd.tflite_models.spleeter.variables import read_unet
from stemd.tflite_models.store.library import Library

ZERO, THREE, FOUR, FIVE = BOARDS
BY_FLAG = dict(estimate.UNKNOWN)
DESKTOP = Board("x86_64", BY_FLAG["avx512_vnni"], 8, 16_384)
SLOW = replace(ZERO, cores=1, core=estimate.Core("slow", 0.1, 0.1, 0.1, 0.1))


@pytest.fixture(autouse=True)
def _litert(monkeypatch):
    """Whatever runtime is installed."""
    monkeypatch.setattr(profiles, "preferred_precision", lambda: "mixed")


BY_HAND = (Scheme(T=64, B=64, A=0), Scheme(T=192, B=5, A=60), Scheme(T=128, B=32, A=9, mirror=20))


@pytest.fixture(scope="module")
def light(tmp_path_factory) -> UNet:
    """Networks with half the filters, and random weights."""
    folder = tmp_path_factory.mktemp("light")
    checkpoint = Checkpoint(tiny.write_checkpoint(folder, tiny.variables(1, filters=LIGHT_FILTERS)))
    return read_unet(
        checkpoint, Architecture(("vocals",), tiny.OFFICIAL_2, LIGHT_FILTERS), "vocals"
    )


@pytest.mark.parametrize("family", [SPLEETER, SPLEETER_LIGHT], ids=lambda family: family.name)
@pytest.mark.parametrize(
    "scheme", [*PRESETS["auto"][:: len(PRESETS["auto"]) - 1], *BY_HAND], ids=str
)
def test_the_cost_is_what_the_graphs_have(scheme, family, light):
    vocals = (
        light
        if family is SPLEETER_LIGHT
        else read_weights(Library().find(TWO.name).paths["vocals"])[0]
    )
    counts = {}
    for precision in ("int8", "mixed", "fp32"):
        spec = GraphSpec(**scheme.numbers, precision=precision)
        counts[precision] = count(family.compile(vocals, spec, {}))
    int8, mixed, fp32 = counts["int8"], counts["mixed"], counts["fp32"]
    assert int8.macs_float == 0
    assert int8.macs == mixed.macs == fp32.macs
    for name, counted in counts.items():
        cost = Work(scheme, replace(TWO, family=family.name), name).cost
        assert (cost.macs_int8, cost.macs_float) == (counted.macs_int8, counted.macs_float)
        assert cost.macs_by_speed[2] == mixed.macs_float
        assert cost.activations == pytest.approx(counted.bytes_activations, rel=0.05)
        assert cost.weights == pytest.approx(counted.bytes_weights, rel=0.1)


def test_light_networks_take_a_quarter_of_the_work():
    for scheme in PRESETS["auto"]:
        full, light = (
            Work(scheme, replace(TWO, family=family.name), "mixed").cost
            for family in (SPLEETER, SPLEETER_LIGHT)
        )
        assert light.macs < 0.28 * full.macs
        assert light.weights < 0.26 * full.weights


BALANCED = Work(Scheme(T=64, B=4, A=8), TWO, "int8")


def test_the_load_goes_with_networks_threads_and_cores():
    one = expected_load(replace(BALANCED, residual=True), FOUR)
    assert expected_load(BALANCED, FOUR) == one, "each has a core"
    assert expected_load(replace(BALANCED, threads=2), FOUR) == pytest.approx(one / 2)
    assert expected_load(replace(BALANCED, threads=4), FOUR) == pytest.approx(one / 2)
    assert expected_load(BALANCED, replace(FOUR, cores=1)) == pytest.approx(2 * one)
    assert expected_load(replace(BALANCED, precision="fp32"), FOUR) > one
    slow_memory = replace(FOUR, core=replace(FOUR.core, memory=0.1))
    alone = expected_load(replace(BALANCED, residual=True), slow_memory)
    assert expected_load(BALANCED, slow_memory) == pytest.approx(2 * alone), "one way to memory"
    assert alone > one
    loads = [expected_load(BALANCED, board) for board in BOARDS]
    assert loads == sorted(loads, reverse=True)


@pytest.mark.parametrize(
    ("cpuinfo", "core"),
    [
        ("CPU part\t: 0xd03\nFeatures\t: fp asimd", A53),
        ("CPU part\t: 0xd08\nFeatures\t: fp asimd", A72),
        ("CPU part\t: 0xd0b\nFeatures\t: fp asimd asimddp", A76),
        ("CPU part\t: 0xfff\nFeatures\t: fp asimd asimddp", BY_FLAG["asimddp"]),
        ("CPU part\t: 0xfff\nFeatures\t: fp asimd", BY_FLAG["asimd"]),
        ("CPU part\t: 0xc07\nFeatures\t: half neon", BY_FLAG["neon"]),
        ("flags\t\t: sse4_1 avx2 avx_vnni avx512f avx512_vnni amx_int8", BY_FLAG["amx_int8"]),
        ("flags\t\t: sse4_1 avx2 avx512f avx512_vnni", BY_FLAG["avx512_vnni"]),
        ("flags\t\t: sse4_1 avx2 avx512f", BY_FLAG["avx512f"]),
        ("flags\t\t: sse4_1 avx2 avx_vnni", BY_FLAG["avx_vnni"]),
        ("flags\t\t: fpu sse4_1 avx avx2", BY_FLAG["avx2"]),
        ("flags\t\t: fpu sse4_1", BY_FLAG["sse4_1"]),
        ("flags\t\t: fpu sse2", estimate.UNKNOWN_CORE),
        ("", estimate.UNKNOWN_CORE),
    ],
)
def test_a_core_is_known_by_its_part_or_by_its_instructions(cpuinfo, core, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    found = this_board()
    assert found.core == core
    assert found.cores >= 1
    assert found.memory_mb > 100


TWO_CORES = replace(ZERO, cores=2)
ONLY_TWO, BOTH = [TWO], [known_sets.FOUR, TWO]


@pytest.mark.parametrize("sets", [ONLY_TWO, BOTH])
@pytest.mark.parametrize("board", [*BOARDS, DESKTOP], ids=lambda board: board.name)
def test_a_profile_is_what_the_board_is_expected_to_hold(board, sets):
    chosen = choose_profile(board, sets).settings
    scheme = PRESETS[chosen.pop("preset")][-1]
    name = chosen.pop("networks")
    (networks,) = (each for each in sets if each.name == name)
    precisions = networks.precisions(chosen.pop("precision"))
    works = [Work(scheme, networks, precision, **chosen) for precision in precisions]
    assert expected_load(expected_quickest(works, board), board) <= MOST_LOAD


def test_a_desktop_gets_all_and_a_small_board_one_network():
    assert choose_profile(DESKTOP, BOTH).settings["networks"] == "4stems"
    assert choose_profile(DESKTOP, ONLY_TWO).settings == {
        **{"networks": "2stems", "residual": False, "precision": "auto", "preset": "balanced"},
        "threads": 4,
    }
    small = choose_profile(TWO_CORES, BOTH)
    assert small.settings["residual"]
    assert "2 cores (Cortex-A53), 512 MB of memory: " in small.reason


def test_one_wanted_stem_is_held_where_four_are_not(load):
    wanted = load(FOUR, "stems=4", "only=drums")
    assert (wanted.networks, wanted.residual, wanted.threads) == ("4stems-stemd", False, 4)
    works = wanted.works(choose_networks("4stems-stemd"))
    assert expected_load(expected_quickest(works[-2:], FOUR), FOUR) <= MOST_LOAD
    assert load(FOUR, "only=vocals").networks == "2stems"


def test_with_the_runtime_of_old_it_is_float(monkeypatch):
    monkeypatch.setattr(profiles, "preferred_precision", lambda: "fp32")
    assert choose_profile(FOUR, ONLY_TWO).settings["precision"] == "fp32"


def test_memory_decides_too(monkeypatch):
    tiny = replace(DESKTOP, memory_mb=300)
    assert choose_profile(tiny, BOTH).settings["residual"]
    small = replace(DESKTOP, memory_mb=400)
    assert not choose_profile(small, ONLY_TWO).settings["residual"]
    monkeypatch.setattr(profiles, "preferred_precision", lambda: "fp32")
    assert choose_profile(small, ONLY_TWO).settings["residual"]


def test_a_board_that_is_too_slow_gets_the_least_and_is_told():
    chosen = choose_profile(SLOW, ONLY_TWO)
    assert chosen.settings["preset"] == "seed"
    assert "is too slow, and will take" in chosen.reason


@pytest.fixture
def load(monkeypatch):
    """Read a configuration of `profile: auto` and other keys of the section on a board."""

    def load(board, *keys):
        monkeypatch.setattr(profiles, "this_board", lambda: board)
        settings = [f"separation.{key}" for key in ("profile=auto", *keys)]
        return completed(load_config(None, settings)).separation

    return load


def test_a_profile_is_told_and_fills_in_what_is_left_out(load, caplog):
    caplog.set_level("INFO")
    assert load(TWO_CORES).residual
    assert "profile: 2 cores (Cortex-A53)" in caplog.text
    assert completed(load_config(None)).separation.preset == "balanced"


def test_what_the_user_writes_counts_and_the_rest_is_chosen_for_it(load):
    two = load(FIVE, "stems=2")
    assert (two.networks, two.stems, two.threads) == ("2stems", "auto", 2)
    four = load(FIVE, "stems=4")
    assert (four.networks, four.threads, four.preset) == ("4stems-stemd", 1, "balanced")
    assert load(FIVE, "networks=4stems-stemd") == four
    assert load(FOUR, "stems=4", "preset=balanced").precision == "int8"
    assert load(FOUR, "stems=4", "residual=true").residual
    assert load(FOUR, "threads=1").threads == 1
    assert load(ZERO, "stems=auto").networks == "2stems"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_that_the_user_writes_stays(load, preset):
    assert load(ZERO, f"preset={preset}").preset == preset


def test_what_the_user_writes_must_go_with_what_is_chosen(load):
    assert (load(SLOW, "T=64").preset, load(SLOW, "T=64").T) == ("studio", 64)
    misfit = r"separation: no preset fits: T must be a multiple of 64 .*\(got 80\), for the 2stems"
    with pytest.raises(ConfigError, match=misfit):
        load(SLOW, "T=80")


BALANCED_WINDOWS = [Work(scheme, TWO, "mixed") for scheme in PRESETS["balanced"]]


@pytest.mark.parametrize(("board", "T"), [(FIVE, 128), (FOUR, 64), (ZERO, 64)])
def test_the_window_is_the_longest_that_a_board_is_expected_to_hold(board, T):
    threads = [replace(work, threads=2) for work in BALANCED_WINDOWS]
    kept = without_slow_windows(threads, board)
    assert kept[0].scheme.T == T
    assert kept[-1].scheme.T == 64, "the shortest one always stays"


def test_only_windows_are_left_out():
    works = [Work(scheme, TWO, "mixed") for scheme in PRESETS["auto"]]
    kept = without_slow_windows(works, SLOW)
    assert [work.scheme for work in kept] == [
        *chain.from_iterable(reversed(SHORTEST_WINDOWS.values()))
    ]
    assert (
        without_slow_windows(works, replace(DESKTOP, core=DESKTOP.core.times(9, "fast"))) == works
    )


def test_works_differ_in_their_windows_only():
    assert differ_in_window(BALANCED_WINDOWS)
    assert differ_in_window(BALANCED_WINDOWS[:1])
    other = replace(BALANCED_WINDOWS[0], threads=2)
    assert not differ_in_window([other, *BALANCED_WINDOWS])
