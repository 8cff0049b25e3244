"""Which variable belongs to which stem and layer, and what is refused."""

import numpy as np
import pytest

import tiny_model as tiny
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.spleeter.architecture import Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.unet import from_tensors
from stemd.tflite_models.spleeter.variables import read_unet


def test_layers_are_numbered_through_the_stems(checkpoint_dir):
    v = tiny.variables()
    unet = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "accompaniment")
    tensors = unet.tensors()
    for name, variable in {
        "encoder/1/bias": "conv2d_7/bias",
        "encoder/6/bias": "conv2d_12/bias",
        "head/bias": "conv2d_13/bias",
        "decoder/1/bias": "conv2d_transpose_6/bias",
        "decoder/6/bias": "conv2d_transpose_11/bias",
    }.items():
        np.testing.assert_array_equal(tensors[name], v[variable])


def test_kernels_come_in_the_order_of_tflite(checkpoint_dir):
    v = tiny.variables()
    unet = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "vocals")
    np.testing.assert_array_equal(
        unet.encoder[1].kernel, np.einsum("hwio->ohwi", v["conv2d_1/kernel"])
    )
    np.testing.assert_array_equal(
        unet.decoder[1].kernel, np.einsum("hwoi->ohwi", v["conv2d_transpose_1/kernel"])
    )


def test_the_bottleneck_and_the_head_have_no_norm(checkpoint_dir):
    unet = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "vocals")
    assert [layer.norm is None for layer in unet.encoder] == [False] * 5 + [True]
    assert [layer.norm is None for layer in unet.decoder] == [False] * 6
    assert unet.head.norm is None


def test_tensors_put_together_again_are_the_same(checkpoint_dir):
    unet = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "vocals")
    again = from_tensors(unet.stem, unet.activations, unet.tensors())
    assert again.tensors().keys() == unet.tensors().keys()
    assert all(again.tensors()[name] is array for name, array in unet.tensors().items())


def test_a_checkpoint_of_fewer_stems_is_refused(checkpoint_dir):
    four = Architecture(("vocals", "drums", "bass", "other"), tiny.OFFICIAL_4, tiny.FILTERS)
    with pytest.raises(ModelError, match="has no variable conv2d_14/kernel; is it another model"):
        read_unet(Checkpoint(checkpoint_dir), four, "bass")


def test_a_checkpoint_of_more_stems_is_refused(tmp_path):
    folder = tiny.write_checkpoint(tmp_path, tiny.variables(stems=4))
    with pytest.raises(ModelError, match=r"more than 2 stems \(vocals, accompaniment\)"):
        read_unet(Checkpoint(folder), tiny.ARCHITECTURE, "vocals")


def test_a_checkpoint_of_other_widths_is_refused(tmp_path):
    folder = tiny.write_checkpoint(tmp_path, tiny.variables(filters=(4, 3, 4, 3, 2, 3)))
    with pytest.raises(ModelError, match=r"shape \(5, 5, 2, 4\), expected .* \(5, 5, 2, 2\)"):
        read_unet(Checkpoint(folder), tiny.ARCHITECTURE, "vocals")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv2d_3/kernel", np.nan, "conv2d_3/kernel: has numbers that are not finite"),
        ("conv2d/bias", np.inf, "conv2d/bias: has numbers that are not finite"),
        ("batch_normalization_2/moving_variance", -1, "moving_variance: -1.0 is below 0"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path, name, value, message):
    v = tiny.variables()
    v[name].flat[-1] = value
    folder = tiny.write_checkpoint(tmp_path, v)
    with pytest.raises(ModelError, match=message):
        read_unet(Checkpoint(folder), tiny.ARCHITECTURE, "vocals")
