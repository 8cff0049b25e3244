"""The writer writes every operator of the schema with its options, or refuses it in words."""

import numpy as np
import pytest

from stemd.tflite_models.graphs.graph_file import INPUT
from stemd.tflite_models.graphs.writer import ModelWriter
from stemd.tflite_models.network import Network

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
