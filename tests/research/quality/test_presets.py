import sys

import pytest

from research.quality import presets
from stemd.daemon.presets import PRESETS
from stemd.dsp.scheme import OFFLINE

LIVE = PRESETS["live"][0]


def test_every_preset_is_measured_in_every_precision():
    cases = presets.all_cases()
    assert cases[0].scheme == OFFLINE
    assert len(set(cases)) == len(cases)
    for name in ("seed", "studio", "balanced", "live"):
        for scheme in PRESETS[name]:
            for precision in presets.PRECISIONS:
                assert presets.Case(name, scheme, precision) in cases


def test_delay_is_the_programs():
    case = presets.Case("live", LIVE, "fp32")
    assert case.delay_s == LIVE.delay / 44_100
    assert presets.Case("offline", OFFLINE, "fp32").delay_s is None


def scores(*plain: float) -> list[presets.Score]:
    each = [dict.fromkeys(presets.STEMS, value) for value in plain]
    return [presets.Score(of_mix, of_mix) for of_mix in each]


def test_table_states_means_and_differences():
    offline = presets.Case("offline", OFFLINE, "fp32")
    live = presets.Case("live", LIVE, "fp32")
    table = presets.table_of_means({offline: scores(10, 6), live: scores(9, 5.5)})
    cells = [cell.strip() for cell in table.splitlines()[-1].split("|")[1:-1]]
    assert cells[0] == "`live`"
    assert cells[4:] == ["7.25", "7.25", "-0.75", "-0.75", "-1.00", "7.25", "7.25", "-0.75"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--songs", "0"], "--songs is from 1 to"),
        (["--schemes", "fast"], "no 'fast'; there are seed"),
        (["--precisions", "int3"], "no 'int3'; there are fp32"),
    ],
)
def test_wrong_arguments_are_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["presets", *arguments])
    with pytest.raises(SystemExit):
        presets.main()
    assert message in capsys.readouterr().err
