"""The official side of `speed.py`: answers requests, in the environment of `make oracle`.

Each line on standard input is a JSON object, {"do": NAME, …}; each is answered by one line of JSON
on standard output. Whatever else is printed here goes to standard error.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import numpy as np  # noqa: E402
import spleeter  # noqa: E402
import tensorflow as tf  # noqa: E402
from spleeter.model import EstimatorSpecBuilder  # noqa: E402
from spleeter.separator import Separator  # noqa: E402
from spleeter.utils.configuration import load_configuration  # noqa: E402

CHECKPOINT = Path(spleeter.__file__).parent / "pretrained_models" / "2stems"


class Requests:
    """Each method answers the request of its name."""

    def about(self):
        """Return what runs here, and where the weights are."""
        return {
            "python": sys.version.split()[0],
            "tensorflow": tf.__version__,
            "checkpoint": str(CHECKPOINT),
        }

    def load(self, waveform):
        """Load a song, float32 [shape=(frames, 2)] at 44.1 kHz, and what separates it."""
        self._waveform = np.load(waveform)
        self._separator = Separator(MWF=False, multiprocess=False)

    def separate(self):
        """Separate the song from memory to memory; give the seconds, by the wall and of CPU."""
        wall, cpu = perf_counter(), process_time()
        self._stems = self._separator.separate(self._waveform)
        return perf_counter() - wall, process_time() - cpu

    def save(self, folder):
        """Write what `separate` gave: STEM.npy, float32 [shape=(frames, 2)]."""
        for stem, waveform in self._stems.items():
            np.save(Path(folder) / f"{stem}.npy", waveform)

    def convert(self, T, optimize, path):
        """Convert the network of the vocals with TensorFlow's own converter."""
        saved = f"{path}.saved_model"
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            params = load_configuration()
            window = tf.compat.v1.placeholder(tf.float32, (1, T, params["F"], 2))
            builder = EstimatorSpecBuilder({"mix_spectrogram": window}, {**params, "T": T})
            vocals = builder.model_outputs["vocals_spectrogram"]
            tf.compat.v1.train.Saver().restore(session, str(CHECKPOINT / "model"))
            inputs, outputs = {"magnitudes": window}, {"stem_magnitudes": vocals}
            tf.compat.v1.saved_model.simple_save(session, saved, inputs, outputs)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if optimize else []
        Path(path).write_bytes(converter.convert())


def main():
    """Answer until standard input ends."""
    requests = Requests()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(requests, request.pop("do"))(**request)
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
