"""Runs the official Spleeter code on TensorFlow and writes down what it says.

Runs in an environment of its own (see requirements.txt beside this file), never in stemd's.

    official.py networks WAVEFORM.npy OUT.npz
    official.py random WAVEFORM.npy NAME CHECKPOINT_DIR OUT.npz
    official.py separate WAVEFORM.npy OUT_DIR
    official.py tflite MAGNITUDES.npy OUT.npy NETWORK.tflite

WAVEFORM.npy is float32 [shape=(frames, 2)] at 44.1 kHz.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import spleeter
import tensorflow as tf
from spleeter.model import EstimatorSpecBuilder, InputProviderFactory
from spleeter.separator import Separator
from spleeter.utils.configuration import load_configuration

CHECKPOINT = Path(spleeter.__file__).parent / "pretrained_models" / "2stems" / "model"
T = 128
SEED = 4


def networks(waveform_file, out_file):
    """Write the song's magnitudes and, by stem, what each official 2-stem network makes of them.

    All are float32 [shape=(windows, 128, 1024, 2)]; those of the song are `mixture`.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        features, builder = _model(load_configuration())
        fetched = _fetches(builder)
        tf.compat.v1.train.Saver().restore(session, str(CHECKPOINT))
        _write(session, fetched, features, waveform_file, out_file)


ELU = {"conv_activation": "ELU", "deconv_activation": "ELU"}

MODELS = {
    "4stems": (["vocals", "drums", "bass", "other"], "unet.unet"),
    "5stems": (["vocals", "piano", "drums", "bass", "other"], "unet.softmax_unet"),
}
"""Stems and kind of the official configurations that this package lacks; both are of ELUs."""


def random(waveform_file, name, checkpoint_dir, out_file):
    """Save a checkpoint of random weights; write as `networks` does what it says."""
    params = load_configuration()
    params["instrument_list"], kind = MODELS[name]
    params["model"] = {"type": kind, "params": ELU}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        features, builder = _model(params)
        fetched = _fetches(builder)
        tf.compat.v1.train.get_or_create_global_step()
        rng = np.random.default_rng(SEED)
        weights = {
            variable.initializer.inputs[1]: _random(rng, variable)
            for variable in tf.compat.v1.global_variables()
            if variable.dtype.base_dtype == tf.float32
        }
        session.run(tf.compat.v1.global_variables_initializer(), weights)
        tf.compat.v1.train.Saver().save(session, str(Path(checkpoint_dir) / "model"))
        _write(session, fetched, features, waveform_file, out_file)


def separate(waveform_file, out_dir):
    """Write each stem of the official separation: STEM.npy, float32 [shape=(frames, 2)]."""
    stems = Separator(MWF=False, multiprocess=False).separate(np.load(waveform_file))
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    for stem, waveform in stems.items():
        np.save(Path(out_dir) / f"{stem}.npy", waveform)


def tflite(magnitudes_file, out_file, network_file):
    """Run a `.tflite` file by its signature in TensorFlow's own interpreter, window by window."""
    run = tf.lite.Interpreter(network_file).get_signature_runner("serving_default")
    windows = np.load(magnitudes_file)
    np.save(out_file, [run(magnitudes=window[None])["stem_magnitudes"][0] for window in windows])


def _model(params):
    params["T"] = T
    features = InputProviderFactory.get(params).get_input_dict_placeholders()
    return features, EstimatorSpecBuilder(features, params)


def _fetches(builder):
    outputs = {name.removesuffix("_spectrogram"): x for name, x in builder.model_outputs.items()}
    return {"mixture": builder.spectrogram_feature, **outputs}


def _write(session, fetched, features, waveform_file, out_file):
    waveform = np.load(waveform_file)
    feed = {features["waveform"]: waveform, features["audio_id"]: "song"}
    np.savez(out_file, **session.run(fetched, feed))


def _random(rng, variable):
    """Weights that hide nothing: no zero bias, no identity norm, signals of moderate size."""
    shape, kind = variable.shape.as_list(), variable.op.name.rpartition("/")[2]
    if kind == "kernel":
        # Of a transposed convolution's last two sizes the latter counts the inputs, and only a
        # quarter of the taps meet an input.
        transposed = "transpose" in variable.op.name
        inputs = shape[3] / 4 if transposed else shape[2]
        return rng.standard_normal(shape) * np.sqrt(1 / (shape[0] * shape[1] * inputs))
    if kind == "gamma":
        return rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
    if kind == "moving_variance":
        return rng.uniform(0.3, 2, shape)
    return 0.3 * rng.standard_normal(shape)


if __name__ == "__main__":
    commands = {each.__name__: each for each in (networks, random, separate, tflite)}
    commands[sys.argv[1]](*sys.argv[2:])
