"""What the documents say is so."""

import re
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent

import pytest

from messages import messages, plain
from stemd.daemon.config import EFFECTS, JackSection, SeparationSection
from stemd.daemon.config_file import load_config
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, UNITY, decibels_at
from stemd.daemon.engine.separation import ring_prefill
from stemd.daemon.presets import PRESETS, SHORTEST_WINDOWS
from stemd.dsp.banks import InTurn
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import SPLEETER
from stemd.dsp.separator import Separator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()


def pages(readers: str) -> list[str]:
    """Return the pages for these readers, as docs/README.md lists them, from the root."""
    index = (DOCS / "README.md").read_text().partition(f"{readers}:")[2].partition("\nFor ")[0]
    return [f"docs/{page}" for page in re.findall(r"\]\(([^)]+\.md)\)", index)]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "auto"])
def test_readme_has_the_delay_of_each_preset(preset):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{preset}`"))
    delays = [
        scheme.delay + ring_prefill(JackSection().longest_period, 44_100)
        for scheme in SHORTEST_WINDOWS[preset]
    ]
    assert re.findall(r"(\d\.\d{3}) s", row) == [f"{frames / 44_100:.3f}" for frames in delays]


def test_readme_shows_the_demonstration_of_the_default_preset():
    frames = PRESETS[SeparationSection().preset][0].delay + ring_prefill(
        JackSection().longest_period, 44_100
    )
    shown = f"delay: {frames} frames ({frames / 44_100:.3f} s) declared, {frames} measured"
    assert shown in README


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "auto"])
def test_the_configuration_has_the_delay_of_each_preset(preset):
    config = " ".join((ROOT / "config.yaml").read_text().replace("#", "").split())
    shown = re.search(rf"{preset} ([\d.]+) (?:to ([\d.]+) )?s", config.partition("periods: ")[2])
    delays = [scheme.delay / 44_100 for scheme in SHORTEST_WINDOWS[preset]]
    ends = (min(delays), max(delays)) if len(delays) > 1 else delays
    assert [figure for figure in shown.groups() if figure] == [
        f"{seconds:.{len(figure.partition('.')[2])}f}"
        for seconds, figure in zip(ends, shown.groups(), strict=False)
    ]


@pytest.mark.parametrize("samplerate", [48_000, 88_200, 96_000, 192_000])
def test_documents_have_the_delay_of_the_conversion(samplerate):
    (scheme,) = SHORTEST_WINDOWS[SeparationSection().preset]
    separator = Separator(scheme, 2, InTurn([]), MaskExtension.MEAN)
    pipeline = Pipeline(separator, samplerate)
    conversion_s = (pipeline.latency + pipeline.held) / samplerate - scheme.delay / 44_100
    assert 40 <= round(1000 * conversion_s) <= 50
    assert "40 to 50 ms" in (DOCS / "architecture.md").read_text()
    rings_s = [ring_prefill(1024, rate) / rate for rate in (samplerate, 44_100)]
    added_ms = 1000 * (conversion_s + rings_s[0] - rings_s[1])
    assert round(added_ms, -1) == (40 if samplerate == 48_000 else 30)
    assert "adds about 40 ms, at higher rates about 30 ms" in README


def test_the_page_on_delay_has_its_parts():
    page = (DOCS / "latency.md").read_text()
    hop_ms, prefill = 1000 * SPLEETER.hop_length / 44_100, ring_prefill(1024, 44_100)
    parts = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+ ms) \|$", page, re.MULTILINE)
    assert parts == [
        (f"{SPLEETER.n_fft}", f"{1000 * SPLEETER.n_fft / 44_100:.0f} ms"),
        (f"A · {SPLEETER.hop_length}", f"A · {hop_ms:.0f} ms"),
        (f"(2 B − 1) · {SPLEETER.hop_length}", f"(2 B − 1) · {hop_ms:.0f} ms"),
        (f"1024 + {prefill - 1024}", f"{1000 * prefill / 44_100:.0f} ms"),
    ]


GENERATED = re.compile(r"<!-- (\S+):begin -->.*?<!-- \1:end -->", re.DOTALL)

MEASURED = re.compile(r"\d ?(?:[kMG]B\b|µs|%)|\d\.\d+ (?:dB|ms)\b")
"""Figures that only a measurement gives: memory, processor time, quality, fractions of a time."""

COMMAND = re.compile(r"`(?:sudo )?(?:make|stemd) [a-z]")


@pytest.mark.parametrize("document", ["README.md", "config.yaml", *pages("For users")])
def test_a_measured_figure_is_generated_or_its_command_is_beside_it(document):
    text = GENERATED.sub("", (ROOT / document).read_text())
    paragraphs = re.sub(r"\n+(?=\|)", "\n", text).split("\n\n")  # a table with its introduction
    assert not [
        paragraph
        for paragraph in paragraphs
        if MEASURED.search(paragraph)
        and not COMMAND.search(paragraph)
        and not paragraph.startswith("    ")  # what a command prints
    ]


def test_the_guide_to_playing_names_every_command():
    from stemd.daemon.cli.commands import stemd as cli

    text = (DOCS / "playing.md").read_text()
    for command in cli.commands:
        assert f"`stemd {command}" in text, command


@pytest.mark.filterwarnings("ignore:.*make_default_short_help:DeprecationWarning")
def test_man_pages_say_what_help_says(tmp_path):
    spec = spec_from_file_location("write", DOCS / "man" / "write.py")
    written = module_from_spec(spec)
    spec.loader.exec_module(written)
    written.write(tmp_path)
    pages = {page.name: page.read_text() for page in tmp_path.glob("*.1")}
    assert pages == {page.name: page.read_text() for page in (DOCS / "man").glob("*.1")}


def test_every_message_is_plain_or_explained_in_troubleshooting():
    text = (DOCS / "troubleshooting.md").read_text().partition("## What it says")[2]
    rows = re.findall(r"^\| (`+) ?(.+?) ?\1 \| .+ \|$", text, re.MULTILINE)
    found = [message for _, message in rows]
    assert set(found) | plain() == messages()
    assert not set(found) & plain(), "a plain message needs no row"
    assert len(found) == len(set(found)), "one row for each"


def test_the_changelog_is_a_list_of_different_things():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert all(re.match("#|- |  [^ ]|[A-Z][a-z]+:$|$", line) for line in lines)
    begins = [line.split(":")[0] for line in lines if line.startswith("- ")]
    assert len(begins) == len(set(begins))


def test_control_says_when_each_key_takes_effect():
    after = (DOCS / "control.md").read_text().partition("## What a reload changes")[2]
    text = after.partition("## ")[0]
    rows = re.findall(r"^\| (.+?) \| (`.+?) \|", text, re.MULTILINE)
    said = {key: effect for effect, keys in rows for key in re.findall(r"`([\w.]+)`", keys)}
    assert said == {key: effect.value for key, effect in EFFECTS.items()}


def test_documents_have_the_range_of_gains():
    control = " ".join((DOCS / "control.md").read_text().split())
    config = " ".join((ROOT / "config.yaml").read_text().replace("#", "").split())
    assert f"A gain goes from {OFF_DB:.0f} dB (`off`) to +{MAX_DB:.0f} dB." in control
    assert f"| `/stemd/STEM/gain` | dB, at most {MAX_DB:.0f} |" in control
    assert f"value {UNITY * 127:.0f}), the upper end is +{decibels_at(1):.0f} dB." in control
    assert f"from {OFF_DB:.0f} (silence) to {MAX_DB:.0f};" in config


def configurations() -> list[tuple[str, str]]:
    """What stands in the documents as YAML, and in which."""
    return [
        (path.name, dedent(text))
        for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
        for text in re.findall(r"^ *```yaml\n(.*?)^ *```", path.read_text(), re.DOTALL | re.M)
    ]


@pytest.mark.parametrize(("document", "text"), configurations(), ids=lambda value: value[:20])
def test_configurations_are_right(document, text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    load_config(tmp_path / "config.yaml")


def test_the_documents_hold_configurations():
    assert {document for document, _ in configurations()} >= {
        "network.md",
        "playing.md",
        "raspberry-pi.md",
    }


@pytest.mark.parametrize("folder", ["daemon/cli/song", "tflite_models/2stems"])
def test_every_file_of_others_is_in_the_notices(folder):
    notices = (ROOT / "THIRD-PARTY.md").read_text()
    assert folder in notices
    for path in (ROOT / folder).glob("*.mp3"):
        assert path.name in notices
        assert sha256(path.read_bytes()).hexdigest() in notices


@pytest.mark.parametrize(
    "document",
    [str(p.relative_to(ROOT)) for p in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))],
)
def test_links_lead_somewhere(document):
    path = ROOT / document
    for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text()):
        if "://" not in link:
            target = path.parent / link if link else path
            assert target.exists(), link
            assert not anchor or anchor in anchors_of(target), f"{link}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    """What GitHub calls a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
