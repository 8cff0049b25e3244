"""The compiled side under sanitizers, by the tests that are there and by a harness of all threads.

Each check is shown to fail: the source is broken once, in a copy, in a way that it must find.
`make sanitizers` has what it takes: gcc, Clang 20 or later (STEMD_CLANG: a command), the runtime of
RealtimeSanitizer (STEMD_RTSAN: a static library), and <jack/jack.h>.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from stemd.daemon.engine import rt_build
from stemd.daemon.graph.jack import CALLBACKS

pytestmark = [pytest.mark.sanitizers, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RT = ROOT / "daemon" / "engine" / "rt"

STRICT = ("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer")
FLAGS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    # Fences are not modelled: what they keep apart, the harness does not do at once.
    "thread": ("-fsanitize=thread", "-Wno-tsan"),
}
PRELOADED = ("libasan.so", "libubsan.so")

TESTS = (
    *("engine/test_link.py", "engine/test_tape.py", "engine/test_separation.py"),
    *("control/interfaces/test_midi_control.py", "graph/test_jack.py"),
)


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of the source that may be broken."""
    return Path(shutil.copytree(RT, tmp_path / "rt"))


@pytest.fixture(scope="session")
def clang() -> list[str]:
    command = shlex.split(os.environ.get("STEMD_CLANG", ""))
    if not command:
        pytest.skip("STEMD_CLANG names no Clang, 20 or later; `make sanitizers` brings one")
    return command


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def compiled(*command: object) -> None:
    ended = run(*command)
    assert ended.returncode == 0, ended.stderr


def sources(folder: Path) -> list[Path]:
    return [folder / Path(part).name for part in rt_build.ffibuilder._assigned_source[3]["sources"]]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


# ---- what is wrong, and who must find it ----

ALLOCATES = (
    "rt.c",
    "    change_links(rt);\n",
    "    change_links(rt);\n    void *volatile p = malloc(1);\n    free(p);\n",
)
WAITS = ("link.c", "link->missing += frames - ready;", "usleep(frames); link->missing += frames;")
OVERRUNS = (
    "rt.c",
    "c < all_outputs(rt); c++) {\n        uintptr_t port",
    "c <= 16; c++) {\n        uintptr_t port",
)
LEAKS = ("link.c", "    free(link->in.data);\n", "")
RACES = (
    "ring.h",
    "atomic_load_explicit(counter, memory_order_acquire)",
    "atomic_load_explicit(counter, memory_order_relaxed)",
)
OVERFLOWS = ("rt.c", "(int32_t)(now - rt->next_frame_time)", "INT32_MAX + (int32_t)nframes")


def harness(folder: Path, sanitizer: str) -> subprocess.CompletedProcess[str]:
    program = folder / "harness"
    compiled(
        *("gcc", *STRICT, *FLAGS[sanitizer], "-I", folder, *sources(folder)),
        *(HERE / "harness.c", "-o", program, "-lm", "-lpthread"),
    )
    return run(program, TSAN_OPTIONS="halt_on_error=1")


@pytest.mark.parametrize("sanitizer", FLAGS)
def test_all_threads_at_once(source, sanitizer):
    ended = harness(source, sanitizer)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("sanitizer", "broken", "found"),
    [
        ("address", LEAKS, "LeakSanitizer: detected memory leaks"),
        ("address", OVERRUNS, "runtime error: index 16 out of bounds"),
        ("address", OVERFLOWS, "runtime error: signed integer overflow"),
        ("thread", RACES, "ThreadSanitizer: data race"),
    ],
)
def test_what_is_broken_is_found_by_all_threads_at_once(source, sanitizer, broken, found):
    name, old, new = broken
    replace(source / name, old, new)
    ended = harness(source, sanitizer)
    assert ended.returncode
    assert found in ended.stderr


def the_tests(folder: Path, *tests: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run tests with the module as it is built from the folder; return what the sanitizers say too.

    ThreadSanitizer is of no use here: CPython is not instrumented, so it does not see what the
    interpreter's lock keeps apart.
    """
    module, python_h = folder / "_rt.abi3.so", sysconfig.get_path("include")
    rt_build.ffibuilder.emit_c_code(str(folder / "_rt.c"))
    compiled(
        *("gcc", *STRICT[:3], *FLAGS["address"], "-shared", "-fPIC", "-DPy_LIMITED_API=0x030B0000"),
        *("-I", folder, "-I", python_h, folder / "_rt.c", *sources(folder), "-o", module, "-lm"),
    )
    preloaded = [run("gcc", f"-print-file-name={each}").stdout.strip() for each in PRELOADED]
    # What Python has not freed when it ends is no leak of ours; the harness looks for leaks.
    options = f"detect_leaks=0 log_path={folder / 'report'}"
    ended = run(
        *(sys.executable, "-m", "pytest", "-v", "-p", "sanitized_rt", "-p", "no:cacheprovider"),
        *(ROOT / "tests" / "daemon" / test for test in tests),
        LD_PRELOAD=" ".join(preloaded),
        PYTHONPATH=str(HERE),
        STEMD_RT=str(module),
        ASAN_OPTIONS=options,
        UBSAN_OPTIONS=options,
    )
    return ended, "".join(report.read_text() for report in folder.glob("report.*"))


def test_the_tests_hold(source):
    ended, report = the_tests(source, *TESTS)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-8000:] + report
    assert str(source) in ended.stdout
    assert not report


def test_what_is_broken_is_found_by_the_tests(source):
    replace(source / "link.c", "wanted < room ? wanted : (uint32_t)room", "wanted")
    ended, report = the_tests(source, "engine/test_link.py")
    assert ended.returncode
    assert "AddressSanitizer: heap-buffer-overflow" in report


def effects(clang: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile everything, and let Clang judge what may block."""
    flags = (*STRICT, "-Wfunction-effects", "-I", folder, "-r", "-o", folder / "all.o")
    return run(*clang, *flags, *sources(folder))


def test_nothing_on_the_servers_thread_may_block(clang, source):
    ended = effects(clang, source)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("broken", "found"),
    [(ALLOCATES, "must not call non-'nonblocking' function 'malloc'"), (WAITS, "'usleep'")],
)
def test_what_may_block_is_found(clang, source, broken, found):
    name, old, new = broken
    replace(source / name, old, new)
    replace(
        source / "ring.h", "#include <string.h>\n", "#include <string.h>\n#include <unistd.h>\n"
    )
    ended = effects(clang, source)
    assert ended.returncode
    assert found in ended.stderr


def in_real_time(clang: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the harness where what blocks in the server's thread ends it."""
    runtime = os.environ.get("STEMD_RTSAN", "")
    if not Path(runtime).is_file():
        pytest.skip("STEMD_RTSAN names no runtime of RealtimeSanitizer")
    objects = []
    for part in (*sources(folder), HERE / "harness.c"):
        objects.append(folder / f"{part.stem}.o")
        flags = ("-fno-sanitize=undefined", "-fsanitize=realtime", "-I", folder)
        compiled(*clang, *STRICT, *flags, "-c", part, "-o", objects[-1])
    whole = ("-Wl,--whole-archive", runtime, "-Wl,--no-whole-archive")
    compiled("gcc", *objects, *whole, "-o", folder / "harness", "-lm", "-lpthread", "-ldl")
    return run(folder / "harness")


def test_nothing_on_the_servers_thread_blocks(clang, source):
    ended = in_real_time(clang, source)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (ALLOCATES, "unsafe function `malloc`"),
        (WAITS, "unsafe function `usleep`"),
    ],
)
def test_what_blocks_is_found(clang, source, broken, found):
    name, old, new = broken
    replace(source / name, old, new)
    replace(
        source / "ring.h", "#include <string.h>\n", "#include <string.h>\n#include <unistd.h>\n"
    )
    ended = in_real_time(clang, source)
    assert ended.returncode
    assert found in ended.stderr


# ---- libjack's functions as they are declared, here and there ----

HEADERS = "#include <stddef.h>\n#include <jack/jack.h>\n#include <jack/midiport.h>\n"

CHECK = """
#include "rt.c"

port_get_buffer_f jack_port_get_buffer;
last_frame_time_f jack_last_frame_time;
get_time_f jack_get_time;
midi_get_event_count_f jack_midi_get_event_count;
midi_event_get_f jack_midi_event_get;
midi_clear_buffer_f jack_midi_clear_buffer;
midi_event_write_f jack_midi_event_write;
port_latency_range_f jack_port_get_latency_range, jack_port_set_latency_range;

int check(jack_client_t *client)
{
    /* As Python calls them, by address: see libjack.py and jack_graph.py. */
    const char *version = jack_get_version_string();
    jack_set_error_function(on_message);
    jack_set_info_function(on_message);
    jack_on_info_shutdown(client, on_info_shutdown, NULL);
    return version && jack_recompute_total_latencies(client)"""


def prototypes(ours: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile what is called beside what libjack's headers declare."""
    if run("gcc", "-E", "-include", "jack/jack.h", "-xc", os.devnull).returncode:
        pytest.skip("<jack/jack.h> is not installed; `make sanitizers` brings it")
    setters = (f"{setter}(client, on_{what}, NULL)" for what, setter in CALLBACKS.items())
    check = folder / "check.c"
    check.write_text(f"{HEADERS}{CHECK} && {' && '.join(setters)};\n}}\n")
    flags = (*STRICT, "-D_GNU_SOURCE=", "-fsyntax-only")
    return run("gcc", *flags, "-Wno-deprecated-declarations", "-I", ours, check)


def test_libjacks_functions_are_declared_as_its_headers_have_them(source, tmp_path):
    ended = prototypes(source, tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "last_frame_time_f(const jack_client_t *client)",
            "last_frame_time_f(jack_client_t *client)",
        ),
        ("void *buffer, uint32_t index)", "void *buffer, uint64_t index)"),
        (
            "offsetof(jack_midi_event_t, buffer) == 2 *",
            "offsetof(jack_midi_event_t, buffer) == 1 *",
        ),
    ],
)
def test_a_wrong_declaration_is_found(source, tmp_path, old, new):
    replace(source / "libjack.h", old, new)
    assert "error" in prototypes(source, tmp_path).stderr
