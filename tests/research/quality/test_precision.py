import sys

import pytest

from research.quality import precision
from stemd.tflite_models.spleeter.architecture import KEPT_FLOAT

ROWS = precision.choices()


def test_choices_are_of_layers_that_exist_and_differ():
    assert [choice.kept for choice in ROWS[:2]] == [frozenset(precision.LAYERS), frozenset()]
    assert len({choice.name for choice in ROWS}) == len({choice.kept for choice in ROWS})
    assert all(choice.kept <= set(precision.LAYERS) for choice in ROWS)


def test_mixed_is_among_the_choices_with_each_layer_changed():
    kept = {choice.kept for choice in ROWS}
    assert KEPT_FLOAT in kept
    assert {KEPT_FLOAT ^ {layer} for layer in precision.LAYERS} <= kept


def test_names_tell_what_is_kept():
    kept = {choice.name: choice.kept for choice in ROWS}
    assert kept["encoder/1 only"] == frozenset(precision.LAYERS) - {"encoder/1"}
    assert kept["mixed, and encoder/1"] == KEPT_FLOAT - {"encoder/1"}
    assert kept["mixed, but not encoder/3"] == KEPT_FLOAT | {"encoder/3"}


def test_layers_kept_are_the_only_ones_in_float32(tmp_path):
    sizes = [
        precision.write_graphs(precision.Choice("", frozenset(kept)), tmp_path / str(n))["vocals"]
        .stat()
        .st_size
        for n, kept in enumerate((precision.LAYERS, ["encoder/6", "decoder/1"], []))
    ]
    fp32, some, int8 = sizes
    assert int8 < some < fp32
    assert int8 < 0.3 * fp32


def test_table_is_against_fp32():
    fp32, int8 = ROWS[:2]
    table = precision.table([fp32, int8], {fp32: [8.0, 6.0], int8: [7.9, 5.5]}, {fp32: 3, int8: 1})
    assert table.splitlines()[2:] == [
        "| none (fp32) | +0.000 | +0.00 | 3.00 |",
        "| all (int8) | -0.300 | -0.50 | 1.00 |",
    ]


def test_wrong_arguments_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["precision.py", "--songs", "0"])
    with pytest.raises(SystemExit):
        precision.main()
    assert "--songs is from 1 to" in capsys.readouterr().err
