"""The U-Net in numpy and float64, straight from the variables of a checkpoint.

Written from the description of the network, tap by tap, to be compared with the graphs; it shares
no line with what writes them.
"""

from collections.abc import Callable, Mapping

import numpy as np

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


def unet(
    v: Mapping[str, np.ndarray], stem: int, magnitudes: np.ndarray, down: str, up: str
) -> np.ndarray:
    """Give a stem's magnitudes, [shape=(T, bins, 2)] like those of the mixture."""

    def layer(kind: str, n: int, per_stem: int) -> str:
        number = stem * per_stem + n
        return f"{kind}_{number}" if number else kind

    def norm(x: np.ndarray, n: int) -> np.ndarray:
        gamma, beta, mean, variance = (
            v[f"{layer('batch_normalization', n, 12)}/{part}"].astype(np.float64)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 0.001) * gamma + beta

    def weights(kind: str, n: int, per_stem: int) -> tuple[np.ndarray, np.ndarray]:
        name = layer(kind, n, per_stem)
        return v[f"{name}/kernel"].astype(np.float64), v[f"{name}/bias"].astype(np.float64)

    x = magnitudes.astype(np.float64)
    skips = []
    for n in range(6):
        skips.append(convolve(x, *weights("conv2d", n, 7), stride=2))
        x = ACTIVATIONS[down](norm(skips[-1], n))
    x = skips.pop()
    for n in range(6):
        x = convolve_transposed(x, *weights("conv2d_transpose", n, 6))
        x = norm(ACTIVATIONS[up](x), 6 + n)
        if skips:
            x = np.concatenate([skips.pop(), x], axis=-1)
    logits = convolve(x, *weights("conv2d", 6, 7), dilation=2)
    return magnitudes / (1 + np.exp(-logits))


def convolve(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """Convolve with TensorFlow's "same" padding, which puts the odd zero at the end."""
    rows, bins = (-(-n // stride) for n in x.shape[:2])
    paddings = []
    for n, out, k in zip(x.shape[:2], (rows, bins), kernel.shape[:2], strict=True):
        total = max((out - 1) * stride + (k - 1) * dilation + 1 - n, 0)
        paddings.append((total // 2, total - total // 2))
    padded = np.pad(x, (*paddings, (0, 0)))
    y = np.broadcast_to(bias, (rows, bins, len(bias))).copy()
    for i, j in np.ndindex(kernel.shape[:2]):
        taps = padded[i * dilation :: stride, j * dilation :: stride][:rows, :bins]
        y += taps @ kernel[i, j]
    return y


def convolve_transposed(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Spread each input over 5×5 outputs, two apart, the first at minus one."""
    rows, bins, _ = x.shape
    y = np.zeros((2 * rows + 3, 2 * bins + 3, len(bias)))
    for i, j in np.ndindex(kernel.shape[:2]):
        y[i : i + 2 * rows : 2, j : j + 2 * bins : 2] += x @ kernel[i, j].T
    return y[1 : 1 + 2 * rows, 1 : 1 + 2 * bins] + bias
