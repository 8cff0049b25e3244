"""Writes a `.tflite` file, operation by operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.graphs.flatbuffer import Table, schema, table, write

MAIN = "serving_default"
"""The signature of a file's first graph, as other programs name it."""

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3

# The tables of options whose names do not follow from the operator's.
_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
}
# The oldest version of each operator that has what is used here; 1 where not named.
_VERSIONS = {"TRANSPOSE_CONV": 3, "DEQUANTIZE": 3}  # with bias; from float16
_QUANTIZED_VERSIONS = {"CONV_2D": 5}  # float32 with an int8 kernel of several scales


@dataclass(frozen=True)
class Tensor:
    """A value in the graph being written."""

    index: int
    shape: tuple[int, ...]
    is_quantized: bool = False


@dataclass(frozen=True)
class _Constant:
    """What is known of a constant: it is written once, whatever number of graphs reads it."""

    array: NDArray[Any]
    buffer: int
    tensor: Tensor
    graph: int


class ModelWriter:
    """Collects operations and constants; `finish` gives the bytes of the file.

    The same calls give the same bytes. A constant of the same name and numbers is written once.
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._tensors: list[Table] = []
        self._operators: list[Table] = []
        self._graphs: list[Table] = []
        self._signatures: list[Table] = []
        self._constants: dict[str, _Constant] = {}
        self._codes: dict[tuple[str, int], int] = {}  # by operator and version
        # By convention the first buffer is empty and stands for "computed at run time".
        self._buffers = [table("Buffer")]
        self._room = 4096  # bytes that the file will not exceed

    def value(self, name: str, shape: Sequence[int]) -> Tensor:
        """Add a float32 tensor that is computed, or is the input."""
        return self._tensor(name, shape, np.dtype(np.float32), buffer=0)

    def constant(self, name: str, array: NDArray[Any]) -> Tensor:
        """Add a constant of float32, float16 or int32."""
        return self._constant(name, array)

    def quantized(self, name: str, array: NDArray[np.int8], scales: NDArray[np.float32]) -> Tensor:
        """Add a constant of int8 that stands for `array * scales`, a scale for each `array[n]`."""
        quantization = table(
            "QuantizationParameters",
            scale=scales,
            zeroPoint=np.zeros(len(scales), np.int64),
            quantizedDimension=0,
        )
        self._room += scales.nbytes + 8 * len(scales)
        return self._constant(name, array, quantization)

    def op(
        self,
        operator: str,
        inputs: Sequence[Tensor],
        name: str,
        shape: Sequence[int],
        **options: Any,
    ) -> Tensor:
        """Add an operation and give its one output.

        Parameters
        ----------
        operator : str
            As in the schema's BuiltinOperator, for example `CONV_2D`.
        inputs : sequence of Tensor
            In the operator's order.
        name : str
            Of the output.
        shape : sequence of int
            Of the output.
        **options
            Of the operator, as in the schema and in its order.

        Raises
        ------
        ValueError
            The operator does not have one of the options, or the writer does not know them.
        """
        kind = _table_of_options(operator, options)
        output = self.value(name, shape)
        is_quantized = any(tensor.is_quantized for tensor in inputs)
        version = (_QUANTIZED_VERSIONS if is_quantized else _VERSIONS).get(operator, 1)
        self._operators.append(
            table(
                "Operator",
                opcodeIndex=self._codes.setdefault((operator, version), len(self._codes)),
                inputs=_indices(inputs),
                outputs=_indices([output]),
                builtinOptionsType=getattr(schema().BuiltinOptions, kind or "NONE"),
                builtinOptions=table(kind, **options) if kind else None,
            )
        )
        self._room += 256
        return output

    def end_graph(
        self, key: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> None:
        """End the graph and begin the next one of the file.

        Parameters
        ----------
        key : str
            The name of its signature.
        inputs, outputs : mapping of str to Tensor
            Under the names they have in the signature.
        """
        self._graphs.append(
            table(
                "SubGraph",
                tensors=self._tensors,
                inputs=_indices(inputs.values()),
                outputs=_indices(outputs.values()),
                operators=self._operators,
                name="main" if key == MAIN else key,
            )
        )
        self._signatures.append(_signature(key, inputs, outputs, len(self._signatures)))
        self._tensors, self._operators = [], []

    def finish(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        metadata: Mapping[str, bytes],
        key: str = MAIN,
    ) -> bytes:
        """End the graph, and return the whole file.

        Parameters
        ----------
        inputs, outputs, key
            As for `end_graph`.
        metadata : mapping of str to bytes
            Kept in the file unchanged.
        """
        kept = [
            table("Metadata", name=name, buffer=self._buffer(np.frombuffer(data, np.uint8)))
            for name, data in metadata.items()
        ]
        self.end_graph(key, inputs, outputs)
        model = table(
            "Model",
            version=_SCHEMA_VERSION,
            operatorCodes=[_code(*key) for key in self._codes],
            subgraphs=self._graphs,
            description=self._description,
            buffers=self._buffers,
            metadata=kept,
            signatureDefs=self._signatures,
        )
        return write(model, _IDENTIFIER, self._room)

    def _constant(
        self, name: str, array: NDArray[Any], quantization: Table | None = None
    ) -> Tensor:
        known, graph = self._constants.get(name), len(self._graphs)
        if known and not np.array_equal(known.array, array):
            known = None
        if known and known.graph == graph:
            return known.tensor
        buffer = known.buffer if known else self._buffer(array)
        tensor = self._tensor(name, array.shape, array.dtype, buffer, quantization)
        self._constants[name] = _Constant(array, buffer, tensor, graph)
        return tensor

    def _tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        buffer: int,
        quantization: Table | None = None,
    ) -> Tensor:
        self._tensors.append(
            table(
                "Tensor",
                shape=np.array(shape, np.int32),
                type=getattr(schema().TensorType, dtype.name.upper()),
                buffer=buffer,
                name=name,
                quantization=quantization,
            )
        )
        self._room += 256 + len(name)
        return Tensor(len(self._tensors) - 1, tuple(shape), quantization is not None)

    def _buffer(self, array: NDArray[Any]) -> int:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._buffers.append(table("Buffer", data=data))
        self._room += 64 + data.nbytes
        return len(self._buffers) - 1


def _indices(tensors: Iterable[Tensor]) -> NDArray[np.int32]:
    return np.array([tensor.index for tensor in tensors], np.int32)


def _table_of_options(operator: str, options: Iterable[str]) -> str | None:
    """Return the name of the table for an operator's options; None if it has no options."""
    own = f"{operator.title().replace('_', '')}Options"
    kind = _OPTIONS.get(operator, own)
    for option in options:
        if not hasattr(schema(), f"{kind}Add{option[0].upper()}{option[1:]}"):
            raise ValueError(
                f"{operator} has no option {option} in the schema's table {kind}; if that is "
                "another operator's table, name the right one in _OPTIONS (graphs/writer.py)"
            )
    return kind if hasattr(schema().BuiltinOptions, kind) else None


def _code(operator: str, version: int) -> Table:
    code = getattr(schema().BuiltinOperator, operator)
    return table(
        "OperatorCode", deprecatedBuiltinCode=min(code, 127), version=version, builtinCode=code
    )


def _signature(
    key: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], graph: int
) -> Table:
    def named(tensors: Mapping[str, Tensor]) -> list[Table]:
        return [
            table("TensorMap", name=name, tensorIndex=tensor.index)
            for name, tensor in tensors.items()
        ]

    return table(
        "SignatureDef",
        inputs=named(inputs),
        outputs=named(outputs),
        signatureKey=key,
        subgraphIndex=graph,
    )
