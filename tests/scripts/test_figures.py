"""Ratios say who is better, and verdicts follow from them."""

from __future__ import annotations

import pytest

from benchmarks.figures import Against, Better, Figure, Result, Target
from benchmarks.report import table


def result(better: Better, target: Target | None, **samples: list[float]) -> Result:
    return Result(Figure("name", "title", "s", better, target), dict(samples))


def test_the_ratio_is_above_1_where_cloudfs_is_better() -> None:
    assert result(Better.LESS, None, cloudfs=[2.0], rclone=[4.0]).ratio("rclone") == 2
    assert result(Better.MORE, None, cloudfs=[2.0], rclone=[4.0]).ratio("rclone") == 0.5


def test_medians_are_compared() -> None:
    assert result(Better.LESS, None, cloudfs=[1.0, 2.0, 90.0], rclone=[4.0]).ratio("rclone") == 2


@pytest.mark.parametrize(
    ("better", "target", "ours", "met"),
    [
        (Better.LESS, Target(1.6, Against.NOTHING), 1.6, True),
        (Better.LESS, Target(1.6, Against.NOTHING), 1.7, False),
        (Better.MORE, Target(99, Against.NOTHING), 98.0, False),
        (Better.MORE, Target(0.75, Against.WIRE), 75.0, True),
        (Better.MORE, Target(0.75, Against.WIRE), 74.0, False),
        (Better.LESS, Target(4, Against.RCLONE), 5.0, True),
        (Better.LESS, Target(4, Against.RCLONE), 6.0, False),
    ],
)
def test_a_target_stands_or_falls(better: Better, target: Target, ours: float, met: bool) -> None:
    assert result(better, target, cloudfs=[ours], rclone=[20.0], wire=[100.0]).is_met() is met


def test_without_values_there_is_no_verdict() -> None:
    assert result(Better.LESS, Target(1, Against.RCLONE), cloudfs=[1.0]).is_met() is None
    assert result(Better.LESS, Target(1, Against.NOTHING), rclone=[1.0]).is_met() is None


def test_the_table_names_what_failed() -> None:
    failed = result(Better.LESS, Target(1, Against.RCLONE), rclone=[1.0])
    failed.failures["cloudfs"] = ["OSError: no mount"]
    text = table([failed])
    assert "failed" in text.splitlines()[2]
    assert "OSError: no mount" in text.splitlines()[3]
