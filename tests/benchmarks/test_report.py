"""What a document says between its markers."""

import re

import pytest

from benchmarks.report import DOCS, markdown_table, read_section, replace_section
from research.quality.experiments import EXPERIMENTS

PAGE = "# Speed\n\n<!-- x:begin -->\nold\n<!-- x:end -->\n\nThe end.\n"


def test_only_what_is_between_the_markers_changes(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    for text in ("new \\1", "newer\n"):
        replace_section(path, "x", text)
        assert path.read_text() == PAGE.replace("old", f"\n{text.strip()}\n")


@pytest.mark.parametrize(
    "page",
    [
        "",
        PAGE.replace("<!-- x:end -->", ""),
        PAGE + PAGE,
        "<!-- x:end --><!-- x:begin -->",
        "<!-- x:begin --><!-- x:begin --><!-- x:end -->",
    ],
)
def test_a_page_without_its_markers_stays_as_it_is(page, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(ValueError, match="each once"):
        replace_section(path, "x", "new")
    assert path.read_text() == page


def test_table():
    assert markdown_table(["a", "b"], [["1", 2.5]]) == "| a | b |\n| --- | ---: |\n| 1 | 2.5 |"


SECTIONS = {
    "speed": {"speed", "speed-avx2", "block", "processors", "wakeups"},
    "latency": {"presets"},
    "raspberry-pi": {"boards", "residual", "budget", "weight"},
    "models": {"sets", "figures", "recordings"},
    "research/delay": {"material", "mixes", "quality", "precision", *EXPERIMENTS},
    "research/yardstick": {
        *("songs", "vocals", "stems", "leakage", "likeness", "mixes"),
        *("rules", "extension", "only"),
    },
    "research/training": {"mixtures", "ceiling", "songs", "fonts", "runs"},
    "research/teaching": {"live", "live-by-stems", "balanced-by-stems", "int8"},
    "research/endurance": {"xruns-jack", "xruns-pipewire", "floods", "recording"},
}


@pytest.mark.parametrize("document", SECTIONS)
def test_every_section_holds_a_table(document):
    for name in SECTIONS[document]:
        lines = read_section(DOCS / f"{document}.md", name).splitlines()
        rows = [line for line in lines if line.startswith("|")]
        assert len(rows) > 2
        assert rows[1].startswith("| --- |")


@pytest.mark.parametrize("document", SECTIONS)
def test_every_section_belongs_to_a_command(document):
    page = (DOCS / f"{document}.md").read_text()
    assert set(re.findall("<!-- (.*):begin -->", page)) == SECTIONS[document]


def test_a_section_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    replace_section(path, "x", "| new |\n")
    assert read_section(path, "x") == "| new |"
