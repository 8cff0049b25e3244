"""What a graph asks of a processor, counted and not measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from stemd.tflite_models.graphs.flatbuffer import schema


@dataclass(frozen=True)
class Count:
    """Of one run of a graph.

    Attributes
    ----------
    macs_int8, macs_float : int
        Multiplications with addition, of convolutions with kernels of 8 bits and of others.
    bytes_weights : int
        Of all constants, each read once.
    bytes_activations : int
        Written by one operation and read by the next.
    """

    macs_int8: int
    macs_float: int
    bytes_weights: int
    bytes_activations: int

    @property
    def macs(self) -> int:
        """All of them."""
        return self.macs_int8 + self.macs_float


def count(data: bytes) -> Count:
    """Count what a `.tflite` file asks for each time that it is run.

    Parameters
    ----------
    data : bytes
        Of a file that stemd wrote.
    """
    model = schema().Model.GetRootAs(data)
    graphs = [model.Subgraphs(n) for n in range(model.SubgraphsLength())]
    macs = {True: 0, False: 0}
    activations = 0
    for graph, operator in ((each, op) for each in graphs for op in _operators(each)):
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        inputs = [graph.Tensors(n) for n in operator.InputsAsNumpy()]
        output = graph.Tensors(operator.Outputs(0))
        if code == schema().BuiltinOperator.DEQUANTIZE:
            continue  # of constants, once and for all
        if code == schema().BuiltinOperator.CONV_2D:
            macs[_is_int8(inputs[1])] += prod(_shape(output)) * prod(_shape(inputs[1])[1:])
        if code == schema().BuiltinOperator.TRANSPOSE_CONV:
            macs[_is_int8(inputs[1])] += prod(_shape(inputs[2])) * prod(_shape(inputs[1])[:3])
        computed = [tensor for tensor in (*inputs, output) if not _constant_bytes(model, tensor)]
        activations += sum(4 * prod(_shape(tensor)) for tensor in computed)
    buffers = {graph.Tensors(n).Buffer() for graph in graphs for n in range(graph.TensorsLength())}
    weights = sum(int(model.Buffers(n).DataLength()) for n in buffers)
    return Count(macs[True], macs[False], weights, activations)


def _operators(graph: Any) -> Iterator[Any]:
    return (graph.Operators(n) for n in range(graph.OperatorsLength()))


def _shape(tensor: Any) -> list[int]:
    return [int(n) for n in tensor.ShapeAsNumpy()]


def _is_int8(tensor: Any) -> bool:
    return bool(tensor.Type() == schema().TensorType.INT8)


def _constant_bytes(model: Any, tensor: Any) -> int:
    return int(model.Buffers(tensor.Buffer()).DataLength())
