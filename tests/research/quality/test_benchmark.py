import json
import sys
from shutil import copytree
from types import SimpleNamespace

import pytest

from research.quality import benchmark, tables
from research.quality.plot import draw
from stemd.daemon.presets import PRESETS


def chosen(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    return benchmark._arguments()


def test_every_preset_is_measured_in_every_precision(monkeypatch):
    cases = benchmark.cases_of(chosen(monkeypatch))
    assert len(set(cases)) == len(cases)
    for networks in ("2stems", "4stems-stemd"):
        for name in ("seed", "studio", "balanced", "live"):
            for scheme in PRESETS[name]:
                found = [
                    case.way.precision
                    for case in cases
                    if (case.networks, case.name, case.way.scheme) == (networks, name, scheme)
                ]
                assert found == ["fp32", "mixed", "int8"]


def test_offline_is_always_there_to_compare_with(monkeypatch):
    some = chosen(monkeypatch, "--schemes", "live", "--precisions", "int8", "--sets", "2stems")
    cases = benchmark.cases_of(some)
    assert cases[0].name == "offline" and cases[0].delay_s is None
    assert cases[0] == cases[1].offline or cases[1].offline.way == cases[0].way


def test_a_network_that_two_sets_share_runs_once(monkeypatch):
    some = chosen(monkeypatch, "--schemes", "offline", "--precisions", "fp32")
    cases = benchmark.cases_of(some)
    assert len(benchmark.needed_by(cases)) == 5  # vocals, accompaniment, and three more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--half", "both"], "no 'both'; there are decide, report"),
        (["--schemes", "fast"], "no 'fast'; there are offline"),
        (["--precisions", "int3"], "no 'int3'; there are fp32"),
    ],
)
def test_wrong_arguments_are_refused(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        chosen(monkeypatch, *arguments)
    assert message in capsys.readouterr().err


def figures(sdr, **more):
    same = {measure: {"vocals": sdr} for measure in ("sdr", "si_sdr", "bss")}
    return {**same, "leak_dbfs": {}, "leak_db": {}, "silence": {}, **more}


LEAK = {"sdr": {}, "leak_dbfs": {"vocals": -40.0}, "leak_db": {"vocals": -20.0}, "silence": {}}
ABOUT = {
    "networks": "2stems",
    "masks": "sigmoid",
    "scheme": {"T": 64, "B": 4, "A": 8, "mirror": 0},
    "precision": "fp32",
}
RESULTS = {
    "mixes": {
        "one": {"half": "report", "kind": "recorded"},
        "two": {"half": "report", "kind": "crossed"},
        "music": {"half": "report", "kind": "instrumental"},
        "song": {"half": "report", "kind": "whole"},
        "other": {"half": "decide", "kind": "recorded"},
    },
    "cases": [
        {
            **ABOUT,
            "name": "offline",
            "delay_s": None,
            "scores": {
                "one": figures(10.0),
                "two": figures(6.0),
                "music": LEAK,
                "song": {},
                "other": figures(99.0),
            },
        },
        {
            **ABOUT,
            "name": "balanced",
            "delay_s": 0.441,
            "scores": {
                "one": figures(9.0, voice={"drums": -20.0}),
                "two": figures(5.5),
                "music": LEAK,
                "song": {"likeness": {"vocals": 12.0}},
                "other": figures(0.0),
            },
        },
    ],
}


def cells(table: str, row: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[row].split("|")[1:-1]]


def test_tables_are_of_one_half_and_of_what_json_keeps():
    made = tables.all_tables(json.loads(json.dumps(RESULTS)), "report")
    assert cells(made["vocals"], -1) == [
        *("balanced", "2stems", "64, 4, 8, 0", "fp32", "0.441 s"),
        *("7.25", "1.75", "7.25", "5.50", "5.50", "7.25", "7.25"),
        *("-0.75", "0.25", "-0.75", "-1.00", "-1.00"),
    ]
    assert cells(made["leakage"], -1)[5:11] == ["-40.0", "–", "-40.0", "-40.0", "-40.0", "-20.0"]
    assert cells(made["likeness"], -1)[5:] == ["12.00", "–", "12.00", "12.00"]
    assert len(made["likeness"].splitlines()) == 3
    assert cells(made["stems"], -1)[5:] == ["7.25 ± 1.75", "–", "–", "–", "-20.0", "–", "–"]
    assert [cells(made["mixes"], row)[0] for row in (2, 3, 4)] == ["one", "two", "music"]
    assert "99" not in "".join(made.values())


def in_mixed(results):
    *cases, balanced = results["cases"]
    return {**results, "cases": [*cases, {**balanced, "precision": "mixed"}]}


def test_users_are_shown_what_a_preset_loses_in_the_usual_precision():
    made = tables.all_tables(in_mixed(RESULTS), "report")
    assert cells(made["presets"], -2)[:6] == [
        *("offline", "2stems", "64, 4, 8, 0", "–", "8.00", "–"),
    ]
    assert cells(made["presets"], -1) == [
        *("`balanced`", "2stems", "64, 4, 8, 0", "0.441 s"),
        *("7.25", "-0.75", "0.25", "-0.75", "-1.00", "-1.00", "7.25", "-40.0", "-40.0", "12.0"),
    ]
    assert len(tables.presets(RESULTS, RESULTS["mixes"]).splitlines()) == 3, "of fp32 only offline"
    assert cells(made["sets"], -1)[4:] == ["7.25 ± 1.75", "–", "–", "–", "–"]


def test_the_picture_has_a_panel_for_each_set(tmp_path):
    points = tables.points(in_mixed(RESULTS), "report")
    assert points["2stems"]["plain"] == [
        ("offline", "fp32", None, 8.0),
        ("balanced", "mixed", 0.441, 7.25),
    ]
    draw(tmp_path / "latency.png", points)
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_daemon_tells_is_of_the_reporting_half():
    assert tables.losses(in_mixed(RESULTS), "report") == {
        "2stems": {"T=64 B=4 A=8": {"mean_db": 0.75, "worst_db": 1.0}}
    }
    assert tables.losses(RESULTS, "report") == {}


def test_the_manifest_and_the_card_have_the_means_of_the_reporting_half(tmp_path, monkeypatch):
    folder = tmp_path / "4stems-stemd"
    copytree(benchmark.Library().find_bundled("4stems-stemd").folder, folder)
    monkeypatch.setattr(
        benchmark,
        "Library",
        lambda: SimpleNamespace(find_bundled=lambda _: SimpleNamespace(folder=folder)),
    )
    monkeypatch.setattr(benchmark, "FILE", tmp_path / "losses.json")
    cases = [{**case, "networks": "4stems-stemd"} for case in in_mixed(RESULTS)["cases"]]
    benchmark.record({**RESULTS, "cases": cases})
    manifest, card = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "card")
    )
    assert manifest["figures"] == {"of": "recorded songs", "sdr_db": {"vocals": 8.0}}
    assert card["recorded"] == {"vocals": 8.0}
    assert list(json.loads((tmp_path / "losses.json").read_text())) == ["4stems-stemd"]


def test_without_running_networks_only_complete_cases_are_left(monkeypatch):
    cases = benchmark.cases_of(chosen(monkeypatch, "--sets", "2stems"))
    song, whole = (SimpleNamespace(kind=kind) for kind in ("recorded", "whole"))
    kept = {case.way for case in cases if case.way.precision == "fp32"}
    monkeypatch.setattr(benchmark, "is_kept", lambda mix, network, way: mix is song and way in kept)
    assert {case.way for case in benchmark.complete(cases, [song, whole])} == kept
    assert not benchmark.is_ready(cases[0], whole)
