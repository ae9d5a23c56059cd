"""docs/api.md is what the code and the tests say today, and leaves nothing open."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import api_map
from api_map import IMPOSSIBLE, PAGE, Shown, Test


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
            (Test("tests/mount/test_a.py", "test_it"), "A.start*"),
            (Test("tests/control/test_b.py", "test_half"), "A.stop"),
            (Test("tests/mount/test_a.py", "test_typo"), "A.strat"),
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

            def helper(): ...
            """
        )
    )
    found = [(test.name, cell) for test, cell in api_map.claims(tmp_path)]
    assert found == [("test_one", "A.start"), ("test_one", "A.stop"), ("test_two", "B.on")]
