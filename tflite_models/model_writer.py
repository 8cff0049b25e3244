"""Writes a `.tflite` file, operation by operation.

Source: the schema of TFLite, `schema.fbs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.runtime import flatbuffer_builder, schema

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_DATA_ALIGNMENT = 16  # force_align of Buffer.data: interpreters use constants where they lie

# Operators that take options; the others are written with none.
_OPTIONS = {
    "ADD": "AddOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "SLICE": "SliceOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
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


class ModelWriter:
    """Collects operations and constants; `finish` gives the bytes of the file.

    The same calls give the same bytes.
    """

    def __init__(self, description: str) -> None:
        self._schema = schema()
        self._description = description
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[str, int], int] = {}  # by operator and version
        # By convention the first buffer is empty and stands for "computed at run time".
        self._buffers: list[Any] = [self._schema.BufferT()]

    def value(self, name: str, shape: Sequence[int]) -> Tensor:
        """Add a float32 tensor that is computed, or is the input."""
        return self._tensor(name, tuple(shape), np.dtype(np.float32), buffer=0)

    def constant(self, name: str, array: NDArray[Any]) -> Tensor:
        """Add a constant of float32, float16 or int32."""
        return self._tensor(name, array.shape, array.dtype, self._buffer(array))

    def quantized(self, name: str, array: NDArray[np.int8], scales: NDArray[np.float32]) -> Tensor:
        """Add a constant of int8 that stands for `array * scales`, a scale for each `array[n]`."""
        tensor = self._tensor(name, array.shape, array.dtype, self._buffer(array))
        self._tensors[tensor.index].quantization = self._schema.QuantizationParametersT(
            scale=scales.tolist(), zeroPoint=[0] * len(scales), quantizedDimension=0
        )
        return replace(tensor, is_quantized=True)

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
            Of the operator, as in the schema.
        """
        output = self.value(name, shape)
        kind = _OPTIONS.get(operator, "NONE")
        is_quantized = any(tensor.is_quantized for tensor in inputs)
        version = (_QUANTIZED_VERSIONS if is_quantized else _VERSIONS).get(operator, 1)
        self._operators.append(
            self._schema.OperatorT(
                opcodeIndex=self._codes.setdefault((operator, version), len(self._codes)),
                inputs=[tensor.index for tensor in inputs],
                outputs=[output.index],
                builtinOptionsType=getattr(self._schema.BuiltinOptions, kind),
                builtinOptions=getattr(self._schema, f"{kind}T")(**options)
                if operator in _OPTIONS
                else None,
            )
        )
        return output

    def finish(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        metadata: Mapping[str, bytes],
    ) -> bytes:
        """Give the whole file.

        Parameters
        ----------
        inputs, outputs : mapping of str to Tensor
            Under the names they have in the file's signature.
        metadata : mapping of str to bytes
            Kept in the file as they are.
        """
        model = self._schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=[self._code(*key) for key in self._codes],
            subgraphs=[self._subgraph(inputs, outputs)],
            description=self._description,
            metadata=[
                self._schema.MetadataT(
                    name=name, buffer=self._buffer(np.frombuffer(data, np.uint8))
                )
                for name, data in metadata.items()
            ],
            signatureDefs=[self._signature(inputs, outputs)],
            buffers=self._buffers,
        )
        builder = flatbuffer_builder(self._size_bound())
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], buffer: int
    ) -> Tensor:
        kind = getattr(self._schema.TensorType, dtype.name.upper())
        self._tensors.append(
            self._schema.TensorT(shape=list(shape), type=kind, buffer=buffer, name=name)
        )
        return Tensor(len(self._tensors) - 1, shape)

    def _buffer(self, array: NDArray[Any]) -> int:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._buffers.append(_AlignedBuffer(self._schema, data))
        return len(self._buffers) - 1

    def _code(self, operator: str, version: int) -> Any:
        code = getattr(self._schema.BuiltinOperator, operator)
        return self._schema.OperatorCodeT(
            deprecatedBuiltinCode=min(code, 127),
            builtinCode=code,
            version=version,
        )

    def _subgraph(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Any:
        return self._schema.SubGraphT(
            tensors=self._tensors,
            operators=self._operators,
            inputs=[tensor.index for tensor in inputs.values()],
            outputs=[tensor.index for tensor in outputs.values()],
            name="main",
        )

    def _signature(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Any:
        def named(tensors: Mapping[str, Tensor]) -> list[Any]:
            return [
                self._schema.TensorMapT(name=name, tensorIndex=tensor.index)
                for name, tensor in tensors.items()
            ]

        return self._schema.SignatureDefT(
            inputs=named(inputs), outputs=named(outputs), signatureKey="serving_default"
        )

    def _size_bound(self) -> int:
        """Room for everything, lest the builder grow by copying tens of megabytes."""
        constants = sum(len(buffer.data) + 64 for buffer in self._buffers[1:])
        values = sum(256 + len(tensor.name) + _scales(tensor) for tensor in self._tensors)
        return 4096 + constants + values + 256 * len(self._operators)


def _scales(tensor: Any) -> int:
    """Give the bytes of a tensor's scales and zero points."""
    return 12 * len(tensor.quantization.scale) if tensor.quantization else 0


class _AlignedBuffer:
    """A Buffer whose data is aligned, which the generated classes leave out."""

    def __init__(self, classes: Any, data: NDArray[np.uint8]) -> None:
        self._classes = classes
        self.data = data

    def Pack(self, builder: Any) -> Any:  # noqa: N802 (called by the generated classes)
        builder.Prep(_DATA_ALIGNMENT, len(self.data))
        return self._classes.BufferT(data=self.data).Pack(builder)
