"""Networks of another family, of which stemd knows only what the family declares."""

import json
import re
import subprocess
import sys
from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import short_family as short
from daemon_on_stage import SILENCE, Servers, on_a_thread, play, play_until
from dsp_reference import separate
from fake_graph import FakeGraph
from grids import SHORT
from processes import running
from rigs import measure
from stalls import measure_undisturbed
from stemd.daemon.capacity import measurements
from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.benchmark import measure as measure_cost
from stemd.daemon.capacity.estimate import BOARDS
from stemd.daemon.capacity.profiles import choose_profile, completed
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.cli.recording import SONG, play_and_record, read_song
from stemd.daemon.config_file import load_config
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.saved_state import StateFile
from stemd.daemon.engine.network_choice import choose_networks
from stemd.daemon.engine.networks import load_networks
from stemd.daemon.errors import ConfigError
from stemd.daemon.graph.private_server import private_server
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.supervisor.daemon import Daemon
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import make_plan
from stemd.daemon.work import SetOfNetworks
from stemd.dsp.scheme import SPLEETER, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import FAMILIES
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.manifest import MANIFEST
from waiting import PATIENCE_S, wait_until

SCHEME = Scheme(T=20, B=3, A=2, mirror=4, grid=SHORT)
SETTINGS = [f"separation.{key}={number}" for key, number in SCHEME.numbers.items()]
SETTINGS = ["separation.networks=short", *SETTINGS]
NAMED = ["--set", "separation.networks=short"]
DELAY = 1024 + (2 + 2 * 3 - 1) * 256
"""Of the scheme, in frames at 44.1 kHz."""

GRAPHS = [
    ("fake", 44_100, 509),
    ("fake", 48_000, 256),
    ("jackd", 44_100, 256),
    ("jackd", 48_000, 128),
    ("pipewire", 48_000, 1024),
]


@pytest.fixture
def installed(tmp_path, monkeypatch, derived_networks):
    """The set of networks, installed out of its official archive."""
    monkeypatch.setitem(FAMILIES, short.NAME, short.FAMILY)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(derived_networks))
    release = short.publish(tmp_path)
    return Installer(Library(releases={release.name: release})).install(
        release.name, tmp_path / release.archive
    )


def weights_of(found) -> dict[str, short.Convolution]:
    return {stem: short.FAMILY.reopen(path) for stem, path in found.paths.items()}


def test_the_manifest_names_the_family(installed):
    assert installed.family == "short"
    assert installed.manifest.graph == "T16-B16-A0-m0-fp32"
    assert '"family": "short"' in (installed.folder / MANIFEST).read_text()
    line = next(line for line in Library().list() if line.name == "short")
    assert (line.family, line.origin, line.problem) == ("short", "installed", "")


@pytest.mark.parametrize("spec", [GraphSpec(4, 4), GraphSpec(20, 3, 2, 4), GraphSpec(64, 1, 1, 8)])
def test_its_graphs_give_the_networks_numbers(installed, spec):
    window = np.random.default_rng(0).random((spec.T, SHORT.model_bins, 2), np.float32)
    out = np.empty((spec.B, SHORT.model_bins, 2), np.float32)
    for stem, path in installed.graphs(spec).items():
        Network(path, bins=SHORT.model_bins)(window, out)
        expected = weights_of(installed)[stem].estimate(window, spec)
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_schemes_are_written_down_on_spleeters_grid():
    assert SetOfNetworks("2stems", ("vocals", "accompaniment")).grid == SPLEETER


def test_the_windows_stride_is_the_familys(installed):
    networks = choose_networks("short")
    assert networks.grid == SHORT
    wishes = load_config(None, ["separation.T=20"]).separation
    assert [work.scheme.T for work in wishes.works(networks)] == [20]
    with pytest.raises(ConfigError, match=r"T must be a multiple of 4 .* for the short networks"):
        load_config(None, ["separation.T=18"]).separation.works(networks)


@pytest.mark.parametrize(
    ("precisions", "used"),
    [
        (("fp32",), {"fp32": "fp32", "mixed": "fp32", "int8": "fp32"}),
        (("fp32", "int8"), {"fp32": "fp32", "mixed": "fp32", "int8": "int8"}),
        (("int8", "mixed", "fp32"), {"fp32": "fp32", "mixed": "mixed", "int8": "int8"}),
    ],
)
def test_a_precision_that_the_family_does_not_have_is_the_next_more_exact_one(
    installed, monkeypatch, precisions, used
):
    monkeypatch.setattr(short.FAMILY, "precisions", precisions)
    networks = choose_networks("short")
    for wanted, expected in used.items():
        wishes = load_config(None, [*SETTINGS, f"separation.precision={wanted}"]).separation
        assert [work.precision for work in wishes.works(networks)] == [expected]
        chosen = choose_profile(BOARDS[3], [networks], {"precision": wanted}).settings
        assert chosen["precision"] == expected


def test_a_board_holds_what_the_family_says(installed):
    chosen = choose_profile(BOARDS[0], [choose_networks("short")]).settings
    assert (chosen["preset"], chosen["residual"]) == ("balanced", False)


@pytest.mark.parametrize(
    ("stride", "fits"), [(1, True), (32, True), (128, True), (48, False), (600, False)]
)
def test_what_chooses_among_presets_leaves_out_those_that_do_not_fit(
    installed, monkeypatch, stride, fits
):
    of_stride = copy(short.FAMILY)
    of_stride.sizes = replace(short.SIZES, stride=stride)
    monkeypatch.setitem(FAMILIES, short.NAME, of_stride)
    monkeypatch.setattr(measurements, "measured", lambda _: Measurement(0.5, 0.2, 1, 1, 100))
    monkeypatch.setattr(measurements, "compared", lambda works: dict.fromkeys(works, 0.01))

    def bench() -> str:
        return CliRunner().invoke(cli, ["bench", *NAMED], catch_exceptions=False).output

    def choose() -> int:
        works = completed(load_config(None, [*NAMED[1:], "separation.profile=auto"])).separation
        return works.works(choose_networks("short"))[0].scheme.T

    if fits:
        assert choose() % stride == 0
        assert "`preset: auto` is" in bench()
    else:
        for ask in (bench, choose):
            misfit = rf"multiple of {stride} .*, for the short networks; set separation.T, B and A"
            with pytest.raises(ConfigError, match=misfit):
                ask()


def test_sizes_that_do_not_fit_are_an_error_of_the_family(installed, monkeypatch):
    finer = copy(short.FAMILY)
    finer.sizes = replace(short.SIZES, hop_length=128)
    monkeypatch.setitem(FAMILIES, short.NAME, finer)
    with pytest.raises(ModelError, match=r"of the short family .* hop_length must be at least 147"):
        _ = choose_networks("short").grid


def test_it_is_measured_on_its_grid(installed, monkeypatch):
    monkeypatch.setattr("stemd.daemon.capacity.benchmark.LEAST_S", 0)
    (work,) = load_config(None, SETTINGS).separation.works(choose_networks("short"))
    assert measure_cost(load_networks(work), work.scheme).load > 0


def test_a_family_that_is_not_known_is_an_error(installed, monkeypatch):
    monkeypatch.delitem(FAMILIES, short.NAME)
    unknown = r"manifest.json: there is no family of networks named 'short'; known are spleeter"
    with pytest.raises(ModelError, match=unknown):
        choose_networks("short")
    (line,) = (line for line in Library().list() if line.name == "short")
    assert "no family of networks" in line.problem


def noise(frames: int, delay: int) -> np.ndarray:
    """Noise that every sample rate has room for, and as much silence as the delay is long."""
    spectrum = np.fft.rfft(np.random.default_rng(frames).standard_normal((2, frames)))
    spectrum[:, frames // 4 :] = 0
    x = 0.1 * np.fft.irfft(spectrum, frames) * np.hanning(frames)
    return np.pad(x, ((0, 0), (0, delay))).astype(np.float32)


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_its_stems_add_up_to_the_input_at_the_declared_delay(rig, graph, installed):
    plan = make_plan(load_config(None, SETTINGS))
    assert (plan.scheme, plan.scheme.delay) == (SCHEME, DELAY)
    take = measure(rig, graph, plan.scheme, partial(noise, 40_000), networks=plan.networks.another)
    stems = take.y.reshape(2, 2, -1)[..., take.delay :]
    total, played = stems.sum(axis=0), take.played[:, : stems.shape[2]]
    assert played.any()
    assert np.square(total - played).sum() < 1e-8 * np.square(played).sum()
    if graph[0] != "pipewire":
        assert take.report.blocks.late == 0


def test_its_stems_are_the_plain_computation(rig, installed):
    plan = make_plan(load_config(None, SETTINGS))
    spec = GraphSpec(**SCHEME.numbers)

    def plainly(weights: short.Convolution):
        def network(window, out):
            out[:] = weights.estimate(window, spec)

        return network

    take = measure(
        rig, ("fake", 44_100, 256), SCHEME, partial(noise, 20_000), networks=plan.networks.another
    )
    heard = np.pad(take.played, ((0, 0), (take.begin, 0)))  # silence, before the player began
    heard = heard[:, : heard.shape[1] // SHORT.hop_length * SHORT.hop_length]
    networks = [plainly(weights) for weights in weights_of(installed).values()]
    expected = separate(heard, networks, SCHEME)[:, take.begin :][:, :20_000]
    stems = take.y[:, take.delay :][:, :20_000]
    np.testing.assert_allclose(stems, expected[:, : stems.shape[1]], atol=1e-5)


def test_a_file_is_separated_on_its_grid(tmp_path, installed):
    x = noise(30_000, 0).T
    soundfile.write(tmp_path / "song.wav", x, 44_100, subtype="FLOAT")
    command = ["separate", str(tmp_path / "song.wav"), "--networks", "short", "--bits", "float"]
    ended = CliRunner().invoke(cli, [*command, "-o", str(tmp_path / "stems")])
    assert ended.exit_code == 0, ended.output
    stems = [soundfile.read(tmp_path / "stems" / f"{stem}.wav")[0] for stem in installed.stems]
    np.testing.assert_allclose(np.sum(stems, axis=0), x, atol=1e-5)
    assert np.abs(stems[0] - stems[1]).max() > 1e-3


def test_in_real_time_the_delay_is_the_declared_one_and_nothing_is_late(installed):
    song = read_song(SONG)[:, 2 * 44_100 : 4 * 44_100]
    config = load_config(None, ["separation.networks=short"])
    recording = measure_undisturbed(
        lambda: play_and_record(config, song),
        lambda it: it.report.blocks.late or it.declared_delay != it.measured_delay,
        spare_s=0.005,
    )
    balanced = 1024 + (8 + 2 * 4 - 1) * 256
    assert recording.declared_delay == recording.measured_delay
    assert balanced < recording.declared_delay < balanced + 2 * 1024
    assert recording.report.blocks.late == 0


def test_the_command_runs_it(tmp_path, installed, environment):
    mine = {**environment, "XDG_DATA_HOME": str(tmp_path / "data")}
    program = [sys.executable, short.__file__]

    def stemd(*arguments: str) -> str:
        ended = subprocess.run(
            [*program, *arguments], env=mine, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    settings = [each for setting in SETTINGS for each in ("--set", setting)]
    with (
        private_server(48_000, 512, realtime=False) as server,
        running(mine, *settings, program=program, JACK_DEFAULT_SERVER=server) as (_, log),
    ):
        told = json.loads(stemd("status", "--json"))
        line = log.find("separating into vocals, accompaniment with a delay of ")
        assert int(re.search(r"delay of (\d+)", line)[1]) == told["delay"]["frames"]
        assert told["precision"] == "fp32"
    assert re.search(r"(?m)^short +installed .*vocals, accompaniment", stemd("models", "list"))
    assert stemd("models", "verify", "short") == "short (installed): 2 files are intact\n"
    assert stemd("check", *settings).startswith("the configuration is right")


STUDIO = ["separation.preset=studio"]
"""Unlike `live` it does not depend on what the machine holds."""


class TestFromSpleeterToItAndBack:
    @pytest.fixture
    def wished(self):
        """The configuration that is read next."""
        return [load_config(None, STUDIO)]

    @pytest.fixture
    def daemon(self, installed, wished, monkeypatch):
        monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
        servers = Servers()
        mixer, state, notifier = Mixer([]), StateFile(None), Notifier({})

        def plan_after(before, _preset):
            return make_plan(wished[-1], before)

        daemon = Daemon(wished[0], plan_after, servers.join, mixer, state, notifier)
        with on_a_thread(daemon):
            servers.present = FakeGraph(44_100, 256)
            wait_until(lambda: daemon.playback.session)
            yield daemon

    def test_a_reload_cross_fades_from_one_grid_to_the_other(self, daemon, wished):
        spleeters = daemon.playback.session.rt.delay
        for settings in (SETTINGS, STUDIO):
            wished.append(load_config(None, settings))
            play(daemon, SILENCE)
            reloading = daemon.console.reload()
            play_until(daemon, reloading.done)
            assert reloading.result().changed
            self.assert_stems_add_up(daemon)
            delay = daemon.playback.session.rt.delay
            assert (delay == spleeters) == (settings is not SETTINGS)

    def assert_stems_add_up(self, daemon) -> None:
        delay = daemon.playback.session.rt.delay
        x = noise(256 * 40, -(-delay // 256) * 256)
        y = np.concatenate(
            [play(daemon, x[:, at : at + 256]) for at in range(0, x.shape[1], 256)], axis=1
        )
        total = y.reshape(2, 2, -1).sum(axis=0)
        np.testing.assert_allclose(total[:, delay:], x[:, : x.shape[1] - delay], atol=1e-4)
