"""The results as a table for people, in Markdown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Against, Better, Figure, Result, Target

SYSTEMS = ("cloudfs", "rclone", "rclone-32", "wire")
NUMBERS = len(SYSTEMS) + 3  # columns: values, then ratios to all but cloudfs
HEADER = (
    "figure",
    "unit",
    "cloudfs",
    "rclone",
    "r.-32",
    "bare",
    "× rclone",
    "× r.-32",
    "of bare",
    "target",
    "",
)
VERDICTS = {True: "met", False: "MISSED", None: ""}


def table(results: Sequence[Result]) -> str:
    """Medians, ratios (above 1: cloudfs is better) and what the targets say, then the failures."""
    rows = [HEADER, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += [
        f"{system} failed at {result.figure.name}, {len(reasons)} times: {reasons[0]}"
        for result in results
        for system, reasons in result.failures.items()
    ]
    return "\n".join(lines)


def as_json(results: Sequence[Result], setup: dict[str, object]) -> str:
    """Everything the table shows, and each sample behind it."""
    return json.dumps({"setup": setup, "figures": [_facts(result) for result in results]}, indent=2)


def number(value: float | None) -> str:
    """Three digits that say something."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _row(result: Result) -> tuple[str, ...]:
    figure = result.figure
    values = [number(result.median(system)) for system in SYSTEMS]
    if "cloudfs" in result.failures and not result.samples.get("cloudfs"):
        values[0] = "failed"
    ratios = [number(result.ratio(other)) for other in SYSTEMS[1:]]
    return (figure.title, figure.unit, *values, *ratios, _targets(figure), VERDICTS[result.is_met()])


def _targets(figure: Figure) -> str:
    return ", ".join(_target(target, figure) for target in figure.targets)


def _target(target: Target, figure: Figure) -> str:
    if target.against is Against.NOTHING:
        return f"{'≥' if figure.better is Better.MORE else '≤'} {target.value:g} {figure.unit}"
    names = {Against.WIRE: "of bare", Against.RCLONE: "× rclone", Against.RCLONE_32: "× r.-32"}
    return f"≥ {target.value:g} {names[target.against]}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    # Words to the left, numbers to the right.
    cells = [
        cell.rjust(width) if 2 <= column < 2 + NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(cells) + " |"


def _facts(result: Result) -> dict[str, Any]:
    figure = result.figure
    return {
        "name": figure.name,
        "title": figure.title,
        "unit": figure.unit,
        "better": figure.better.value,
        "medians": {system: result.median(system) for system in SYSTEMS},
        "samples": result.samples,
        "failures": result.failures,
        "over_rclone": result.ratio("rclone"),
        "over_rclone_32": result.ratio("rclone-32"),
        "of_bare": result.ratio("wire"),
        "target": _targets(figure),
        "met": result.is_met(),
    }
