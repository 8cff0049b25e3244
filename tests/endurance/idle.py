"""A client with stemd's name and ports that does nothing: what any other client costs a graph.

`idle.py KIND STEM …` joins the server of that kind, and prints its counters as lines of JSON.
"""

import json
import sys
from dataclasses import asdict
from time import monotonic, sleep

from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.graph.jack import open_client

REPORT_S = 0.1

if __name__ == "__main__":
    kind, *stems = sys.argv[1:]
    client = open_client("stemd", kind)
    outputs = [f"{stem}_{side}" for stem in stems for side in "LR"]
    rt = RealtimeSide(2, len(outputs), client.samplerate)
    client.bind(rt.callbacks, ["in_L", "in_R"], outputs)
    client.activate()
    while True:
        sleep(REPORT_S)
        print(json.dumps({"at": monotonic(), **asdict(rt.counters())}), flush=True)
