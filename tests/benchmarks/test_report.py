import pytest

from experiments import EXPERIMENTS
from report import LATENCY_MD, markdown_table, replace_section


def test_only_what_is_between_the_markers_changes(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n")
    for _ in range(2):
        replace_section(path, "x", "new \\1")
    assert path.read_text() == "a\n<!-- x:begin -->\n\nnew \\1\n\n<!-- x:end -->\nb\n"


@pytest.mark.parametrize("page", ["", "<!-- x:begin -->\n<!-- x:end -->\n" * 2])
def test_markers_stand_once(tmp_path, page):
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(ValueError, match="pairs of the markers"):
        replace_section(path, "x", "new")


def test_table():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


@pytest.mark.parametrize("name", ["quality", "material", *EXPERIMENTS])
def test_the_document_has_a_place_for_each(name):
    page = LATENCY_MD.read_text()
    assert page.count(f"<!-- {name}:begin -->") == page.count(f"<!-- {name}:end -->") == 1
