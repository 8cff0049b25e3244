"""`stemd bench`: every scheme is measured as asked, printed and remembered."""

import json

import pytest
from click.testing import CliRunner

from damaged import damaged_four_stems
from known_sets import BUNDLED_FOUR, TWO
from stemd.daemon.capacity import choice, measurements
from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.estimate import BOARDS, Board, expected_load
from stemd.daemon.capacity.profiles import choose_profile
from stemd.daemon.cli import bench_report
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.config import SeparationSection
from stemd.daemon.losses import Loss
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.tflite_models.errors import ModelError

LIVE, BALANCED, SEED = PRESETS["live"], PRESETS["balanced"][-1], PRESETS["seed"][0]
FOUR = BOARDS[2]
TIMES = {"mixed": 0.01, "fp32": 0.02, "int8": 0.008}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Run `stemd bench` on a Pi 4 whose load is a half at blocks of ``least`` hops."""
    asked = []

    def run(*options, least=BALANCED.B):
        def fake(work):
            asked.append(work)
            return Measurement(0.5 * least / work.scheme.B, 0.25, 12.5, 0.75, 101)

        monkeypatch.setattr(measurements, "measured", fake)
        monkeypatch.setattr(
            measurements, "compared", lambda works: {each: TIMES[each.precision] for each in works}
        )
        result = CliRunner().invoke(cli, ["bench", *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    monkeypatch.setattr(bench_report, "this_board", lambda: FOUR)
    monkeypatch.setattr(bench_report, "loss_of", lambda work: Loss(0.2, 0.5))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    run.asked = asked
    return run


def test_every_scheme_has_a_line_and_the_verdict_is_the_shortest_held(bench):
    lines = bench().splitlines()
    rows = [line.split() for line in lines if line.startswith(tuple(PRESETS))]
    assert [row[0] for row in rows] == ["live"] * 3 + ["balanced", "studio", "seed"]
    assert [row[-1] for row in rows] == ["no"] * 3 + ["yes"] * 3
    assert "12.5 ms" in lines[4] and "0.2 dB" in lines[4] and "mixed" in lines[4]
    compared = "10.0 ms in mixed, 20.0 ms in fp32, 8.0 ms in int8"
    assert lines[-4] == f"{BALANCED}, all networks, one block: {compared}"
    assert lines[-3] == "`precision: auto` is mixed here"
    assert lines[-6].startswith("EXPECTED rests on published figures of MobileNet")
    assert lines[-2] == f"`preset: auto` is balanced ({BALANCED}) here"
    assert lines[-1] == f"`profile: auto`, by estimate: {choose_profile(FOUR, [TWO]).reason}"


def test_beside_what_is_measured_stands_what_the_board_was_expected_to_do(bench):
    lines = bench("--precision", "int8").splitlines()
    shown = {line.split()[0]: line.split()[-5] for line in lines if line.startswith((*PRESETS,))}
    wanted = {
        name: f"{expected_load(Work(PRESETS[name][-1], TWO, 'int8'), FOUR):.0%}" for name in shown
    }
    assert shown == wanted
    report = json.loads(bench("--precision", "int8", "--json"))
    assert report["board"]["core"]["name"] == "Cortex-A72"
    assert [f"{each['expected_load']:.0%}" for each in report["schemes"][-3:]] == [
        *(wanted[name] for name in ("balanced", "studio", "seed"))
    ]


def test_longer_windows_are_measured_where_they_may_be_held(bench, monkeypatch):
    fast = Board("desktop", FOUR.core.times(50, "fast"), 4, 8192)
    monkeypatch.setattr(bench_report, "this_board", lambda: fast)
    lines = bench(least=1).splitlines()
    assert bench.asked == [Work(scheme, TWO, "mixed") for scheme in PRESETS["auto"]]
    assert lines[-2] == "`preset: auto` is live (T=128 B=1 A=1 mirror=8) here"


def test_a_machine_that_holds_nothing_is_told_so(bench):
    assert bench(least=1000).splitlines()[-2] == "this machine holds none of the presets"


def test_json_says_the_same(bench):
    report = json.loads(bench("--json"))
    assert (report["preset"], report["networks"], report["threads"]) == ("balanced", "2stems", 1)
    assert report["stems"] == ["vocals", "accompaniment"]
    assert report["precision"] == "auto"
    assert report["precisions"] == {**BALANCED.numbers, "block_s": TIMES, "error": None}
    assert report["schemes"][-1] == {
        "preset": "seed",
        **{"T": 128, "B": 128, "A": 0, "mirror": 0, "precision": "mixed"},
        "delay_s": pytest.approx(6.0139, abs=1e-4),
        "held": True,
        "loss": {"mean_db": 0.2, "worst_db": 0.5},
        "expected_load": pytest.approx(expected_load(Work(SEED, TWO, "mixed"), FOUR)),
        **{"load": 0.5 * BALANCED.B / 128, "cores": 0.25},
        **{"network_ms": 12.5, "dsp_ms": 0.75, "memory_mb": 101},
    }


def test_it_measures_what_it_is_asked_to(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_report, "find_networks", lambda name: None)
    config = tmp_path / "config.yaml"
    config.write_text("separation: {stems: 4, precision: fp32, threads: 2}")
    settings = ["--set", "separation.threads=3", "--set", "separation.residual=true"]
    bench("-c", str(config), *settings, "--precision", "int8")
    schemes = [scheme for scheme in PRESETS["auto"] if scheme.T == 64 or scheme.B > 4]
    asked = [Work(scheme, BUNDLED_FOUR, "int8", 3, residual=True) for scheme in schemes]
    assert bench.asked == asked


def test_the_daemon_uses_what_bench_remembered(bench, monkeypatch):
    bench()
    monkeypatch.setattr(choice, "this_board", lambda: FOUR)
    monkeypatch.setattr(measurements, "measured", None)  # nothing is measured again
    monkeypatch.setattr(choice, "TRIES", 1)
    for preset, scheme in (("auto", BALANCED), ("live", LIVE[-1])):
        works = SeparationSection(preset=preset).works(TWO)
        assert choice.first_held(works).scheme == scheme


def test_networks_that_cannot_be_used_are_told_before_anything(bench, tmp_path):
    damaged_four_stems(tmp_path / "data")
    with pytest.raises(ModelError, match="stemd models install 4stems"):
        bench("--stems", "4")
