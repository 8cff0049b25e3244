"""The writer writes every operator of the schema with its options, or refuses it in words."""

import numpy as np
import pytest

from stemd.tflite_models.graphs.graph_file import INPUT
from stemd.tflite_models.graphs.rows import Rows
from stemd.tflite_models.graphs.writer import MAIN, ModelWriter
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import new_interpreter

SHAPE = (1, 4, 6, 2)


def written(operator, shape, **options) -> bytes:
    writer = ModelWriter("one operation")
    x = writer.value(INPUT, SHAPE)
    return writer.finish({INPUT: x}, {"y": writer.op(operator, [x], "y", shape, **options)}, {})


def run(data: bytes, path, x: np.ndarray) -> np.ndarray:
    path.write_bytes(data)
    out = np.empty(SHAPE[1:], np.float32)
    Network(path)(x, out)
    return out


@pytest.mark.parametrize(
    ("operator", "options", "expected"),
    [
        ("SOFTMAX", {"beta": 2.0}, lambda x: np.exp(2 * x) / np.exp(2 * x).sum(-1, keepdims=True)),
        ("LEAKY_RELU", {"alpha": 0.25}, lambda x: np.where(x > 0, x, 0.25 * x)),
        ("TANH", {}, np.tanh),
        (
            "AVERAGE_POOL_2D",
            {"padding": 0, "strideW": 1, "strideH": 1, "filterWidth": 1, "filterHeight": 1},
            lambda x: x,
        ),
    ],
)
def test_an_operator_has_the_options_that_it_is_given(tmp_path, operator, options, expected):
    x = np.random.default_rng(0).standard_normal(SHAPE[1:]).astype(np.float32)
    y = run(written(operator, SHAPE, **options), tmp_path / "one.tflite", x)
    np.testing.assert_allclose(y, expected(x), atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "option", "table"),
    [
        ("TANH", "beta", "TanhOptions"),
        ("SOFTMAX", "alpha", "SoftmaxOptions"),
        ("L2_NORMALIZATION", "fusedActivationFunction", "L2NormalizationOptions"),
    ],
)
def test_an_option_that_cannot_be_written_is_refused(operator, option, table):
    with pytest.raises(ValueError, match=f"{operator} has no option {option} .* {table}; .*writer"):
        written(operator, SHAPE, **{option: 0})


def test_a_file_may_have_several_graphs_that_share_constants(tmp_path):
    writer, weights = ModelWriter("two graphs"), np.arange(12, dtype=np.float32).reshape(6, 2)
    for key, operator in ((MAIN, "MUL"), ("second", "ADD")):
        x = writer.value(INPUT, SHAPE)
        constants = [writer.constant("weights", weights) for _ in range(2)]
        assert constants[0] == constants[1]
        y = writer.op(operator, [x, constants[0]], "y", SHAPE)
        if key == MAIN:
            writer.end_graph(key, {INPUT: x}, {"y": y})
    other = writer.constant("weights", weights + 1)
    assert other != constants[0], "the same name, other numbers"
    data = writer.finish({INPUT: x}, {"y": y}, {}, "second")
    assert data.count(weights.tobytes()) == 1
    path = tmp_path / "two.tflite"
    path.write_bytes(data)
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    np.testing.assert_allclose(run(data, path, x[0]), x[0] * weights, rtol=1e-6)
    second = new_interpreter(str(path), 1).get_signature_runner("second")
    np.testing.assert_allclose(second(**{INPUT: x})["y"], x + weights, rtol=1e-6)


@pytest.mark.parametrize("rows", [Rows(1, 0, 4), Rows(2, 1, 31), Rows(16, 5, 6)])
def test_names_of_rows_are_read_as_they_are_written(rows):
    assert Rows.parse(str(rows)) == rows
    assert len(rows) == rows.stop - rows.start


@pytest.mark.parametrize("name", [INPUT, "kept/2", "kept/a[1:2]", "x[1:2]", "kept/2[1:2]b", ""])
def test_other_names_are_no_rows(name):
    assert Rows.parse(name) is None
