"""docs/api.md is what the code and the tests say today, and leaves nothing open."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

import api_map
from api_map import IMPOSSIBLE, PAGE, Proof, Shown
from tests.mount.calls import OF_A_FILE, OF_AN_ASSET, WITHOUT_FILE


def test_the_page_is_true() -> None:
    text, wrong = api_map.build()
    assert wrong == []
    assert PAGE.read_text() == text, "make it anew: scripts/api-map"


def test_every_reason_is_about_a_cell() -> None:
    assert set(IMPOSSIBLE) <= set(api_map.cells())


def test_a_cell_needs_a_test_on_a_mount() -> None:
    shown = Shown(
        ["A.start", "A.start 401", "A.stop"],
        [
            (Proof("tests/mount/test_a.py", "test_it"), "A.start*"),
            (Proof("tests/control/test_b.py", "test_half"), "A.stop"),
            (Proof("tests/mount/test_a.py", "test_typo"), "A.strat"),
        ],
    )
    assert shown.empty() == ["A.stop"]
    assert shown.unknown == ["tests/mount/test_a.py: test_typo: there is no 'A.strat'"]
    assert shown.describe("A.start 401") == "[test_it](../tests/mount/test_a.py)"


def test_marks_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_map, "ROOT", tmp_path)
    (tmp_path / "test_x.py").write_text(
        textwrap.dedent(
            """
            @pytest.mark.shows("A.start", "A.stop")
            async def test_one(): ...

            @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.shows("B.on"))])
            def test_two(n): ...

            @pytest.mark.shows("C.of no test")
            def helper(): ...
            """
        )
    )
    found = [(test.name, cell) for test, cell in api_map.claims(tmp_path)]
    assert found == [("test_one", "A.start"), ("test_one", "A.stop"), ("test_two", "B.on")]


def test_each_section_of_the_reference_is_on_the_page() -> None:
    text = PAGE.read_text()
    kinds = (*api_map.STATES.values(), *api_map.PROGRESS.values(), *api_map.ENUMS)
    for section in (*api_map.CLASSES, *(kind.__name__ for kind in kinds), "cloudSync.getFileSyncState"):
        assert f"| {section} | [" in text
    headings = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    anchors = {re.sub(r"[^a-z ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#(.+?)\)", text)) == anchors


def test_the_calls_of_the_tests_are_all_there_are() -> None:
    """They claim the codes that every method has by one pattern."""
    calls = {*WITHOUT_FILE, *OF_A_FILE, *OF_AN_ASSET, "cloudSync.getFileSyncState"}
    assert calls == {method.name for method in api_map.methods()}
