import json
import sys

import pytest

from research.quality import benchmark, tables
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
