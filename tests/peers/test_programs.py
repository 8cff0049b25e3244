"""Programs that record, restore connections, mix, steer and watch, as their users start them."""

import json
import re
import socket
import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile

from peer_programs import RATE, started, started_until, write_song
from waiting import PATIENCE_S, wait_until

STEMS = ("vocals", "accompaniment")
PLAYED = "jack.autoconnect={{in_L: 'mpv:out_0', in_R: 'mpv:out_1', {}}}"


@pytest.fixture
def song(home, tmp_path):
    """A player of a tone, 0.4 on the left and 0.2 on the right, round and round."""
    write_song(path := tmp_path / "song.wav", 60)
    mpv = ["mpv", "--no-config", "--no-video", "--ao=jack", "--no-jack-connect", "--loop", path]
    return lambda: started(mpv, home)


def free_port(kind: int) -> int:
    """A port of 127.0.0.1 that nothing listens at."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_ffmpeg_records_a_stem_and_sees_how_late_it_is(home, stemd, song, tool, tmp_path):
    wish = PLAYED.format("accompaniment_L: 'rec:input_1', accompaniment_R: 'rec:input_2'")
    record = ["ffmpeg", "-loglevel", "error", "-f", "jack", "-channels", "2", "-i", "rec"]
    wav = tmp_path / "stem.wav"
    with stemd(wish, "separation.residual=true") as desk, song():
        wait_until(lambda: min(desk.status()["peaks"]["accompaniment"]) > 0.1)
        with started([*record, "-t", "4", str(wav)], home) as ffmpeg:
            wait_until(lambda: len(desk.connections()) == 4)
            delay = desk.status()["delay"]["frames"]
            seen = tool("jack_lsp", "-l", "rec:input_1")
            ffmpeg.wait(PATIENCE_S)
    least, most = map(int, re.search(r"capture latency = \[ (\d+) (\d+) \]", seen).groups())
    assert least >= delay
    assert most - delay < RATE / 4  # the player's own
    x, rate = soundfile.read(wav)
    assert rate == RATE
    left, right = np.abs(x[RATE:-RATE]).max(axis=0)
    assert left == pytest.approx(2 * right, rel=0.1)
    assert left > 0.1


def test_aj_snapshot_restores_the_connections_and_a_user_has_the_last_word(stemd, tool, tmp_path):
    snapshot = str(tmp_path / "connections.xml")
    wish = "jack.autoconnect={in_L: 'system:capture_1', vocals_L: 'system:playback_1'}"
    links = {("system:capture_1", "stemd:in_L"), ("stemd:vocals_L", "system:playback_1")}
    with stemd(wish) as desk:
        wait_until(lambda: desk.connections() == links)
        tool("aj-snapshot", "-j", snapshot)
        tool("aj-snapshot", "-j", "-x")
        wait_until(lambda: set(map(tuple, desk.status()["disconnected"])) == links)
        tool("aj-snapshot", "-j", "-r", snapshot)
        wait_until(lambda: desk.connections() == links)
        wait_until(lambda: not desk.status()["disconnected"])


def test_stems_go_through_jack_mixer(home, stemd, song, tool):
    patterns = [
        f"{stem}_{s}: 'mixer:Channel {n} {s}'" for n, stem in enumerate(STEMS, 1) for s in "LR"
    ]
    mixer = ["jack_mix_box", "-n", "mixer", "-s", "7", "8"]

    def is_up() -> bool:
        return "mixer:Channel 2 R" in tool("jack_lsp")

    wish = PLAYED.format(", ".join(patterns))
    with stemd(wish) as desk, song(), started_until(is_up, mixer, home):
        expected = {
            (f"stemd:{stem}_{side}", f"mixer:Channel {number} {side}")
            for number, stem in enumerate(STEMS, 1)
            for side in "LR"
        }
        wait_until(lambda: expected <= desk.connections())
        tool("jack_connect", "mixer:MAIN L", "system:playback_1")
        seen = tool("jack_lsp", "-l", "mixer:Channel 1 L")
        assert int(re.search(r"capture latency = \[ (\d+)", seen)[1]) > RATE / 10


def test_oscsend_steers(stemd, tool):
    port = free_port(socket.SOCK_DGRAM)
    with stemd(f"osc.port={port}") as desk:

        def send(*words: str) -> None:
            tool("oscsend", "127.0.0.1", str(port), *words)

        send("/stemd/vocals/gain", "f", "-6.5")
        wait_until(lambda: desk.status()["mixer"]["vocals"]["gain"] == -6.5)
        send("/stemd/accompaniment/mute", "i", "1")
        wait_until(lambda: desk.status()["mixer"]["accompaniment"]["mute"])
        send("/stemd/bypass", "T")
        wait_until(lambda: desk.status()["bypass"])


def test_prometheus_reads_the_figures(home, stemd, tmp_path):
    ours, theirs = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "stemd", "static_configs": [{"targets": [f"127.0.0.1:{ours}"]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # which is YAML
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/figures",
        f"--web.listen-address=127.0.0.1:{theirs}",
    ]

    def ask(query: str) -> list:
        try:
            url = f"http://127.0.0.1:{theirs}/api/v1/query?query={quote(query)}"
            with urlopen(url, timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]["result"]
        except (URLError, ConnectionError):
            return []

    with stemd(f"metrics.port={ours}") as desk, started(command, home):
        with urlopen(f"http://127.0.0.1:{ours}/metrics", timeout=PATIENCE_S) as page:
            checked = subprocess.run(
                ["promtool", "check", "metrics"], input=page.read(), capture_output=True
            )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
        wait_until(lambda: ask("stemd_delay_seconds"))
        (told,) = ask("stemd_delay_seconds")
        assert float(told["value"][1]) == pytest.approx(desk.status()["delay"]["seconds"])


@pytest.mark.skipif(not Path("/dev/snd/seq").exists(), reason="this kernel has no ALSA sequencer")
def test_a2jmidid_is_connected_to_the_midi_port(home, stemd):
    wish = "jack.autoconnect={midi_in: 'a2j:Midi Through .*(capture).*'}"
    with stemd(wish, "midi.enabled=true") as desk, started(["a2jmidid", "-e"], home):
        wait_until(lambda: any(to == "stemd:midi_in" for _, to in desk.connections()))
