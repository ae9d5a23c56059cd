"""docs/api.md: each section of the cloudSync reference with its method, its event and its tests.

Made from the code: the methods, their params, codes and texts from the tables of `cloudfs.control`, the
values from `cloudfs.model.enums`, the Python names from `cloudfs.client`, and the tests from the marker
`shows` that they carry. A cell is one outcome of a method (`FileSync.start 22400003`), one state of an event
(`FileSync.progress STOPPED`) or one value of an enumeration (`ErrorType.CLOUD_STORAGE_FULL`); a method's own
name stands for its result. Every cell has a test on a real mount, or a reason why it can't occur. What the
socket has no method for, the constructors, is a table here.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from cloudfs import client
from cloudfs.control.call import Access, AnyMethod
from cloudfs.control.cloud_file_cache import cloud_file_cache_methods, download_methods
from cloudfs.control.cloud_sync import cloud_sync_methods
from cloudfs.control.file_sync import sync_methods
from cloudfs.control.messages import ANY
from cloudfs.model.enums import (
    DownloadErrorType,
    ErrorType,
    EventClass,
    FileSyncState,
    Scope,
    State,
    SyncState,
)
from cloudfs.model.progress import DownloadProgress, SyncProgress

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
ON_A_MOUNT = "tests/mount/"

CLASSES = ("FileSync", "GallerySync", "CloudFileCache", "Download")
STATES: Mapping[str, type[IntEnum]] = {
    "FileSync": SyncState,
    "GallerySync": SyncState,
    "CloudFileCache": State,
    "Download": State,
}
PROGRESS = {
    "FileSync": SyncProgress,
    "GallerySync": SyncProgress,
    "CloudFileCache": DownloadProgress,
    "Download": DownloadProgress,
}
ENUMS: Sequence[type[IntEnum]] = (ErrorType, DownloadErrorType, FileSyncState)

# The codes that the reference has for constructors.
CONSTRUCTORS: Mapping[str, tuple[int, ...]] = {
    "FileSync": (202, 401),
    "GallerySync": (),
    "CloudFileCache": (401,),
    "Download": (),
}

# What the contract adds to the reference's tables.
ADDED = {
    "CloudFileCache.start": (201,),
    "CloudFileCache.stop": (201,),
    "CloudFileCache.cleanCache": (13900010,),
    "Download.start": (14000002,),
    "Download.stop": (13900002, 14000002),
}
BEYOND = {"GallerySync.getLastSyncTime"}  # methods that the reference does not have

_NO_FILE = "`off` names no file, so nothing about one can be wrong"
_NO_PARAM = "a constructor takes nothing"
_NO_CALL = "nothing is asked before the first call, which has its own 202"
IMPOSSIBLE = {
    "FileSync.constructor 202": _NO_CALL,
    "FileSync.constructor 401": _NO_PARAM,
    "CloudFileCache.constructor 401": _NO_PARAM,
    "CloudFileCache.off 13900002": _NO_FILE,
    "CloudFileCache.off 13900025": _NO_FILE,
    "CloudFileCache.off 14000002": _NO_FILE,
}

ACCESS = {
    Access.SYSTEM: "system apps with CLOUDFILE_SYNC",
    Access.ANYBODY: "who can read the file",
    Access.OWNER: "the mount's owner and root",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that shows something. file: relative to the project."""

    file: str
    name: str

    def link(self) -> str:
        return f"[{self.name}](../{self.file})"


class Shown:
    """Which tests show which cells."""

    def __init__(self, cells: Sequence[str], claims: Sequence[tuple[Proof, str]]) -> None:
        """claims: a test and a cell that it shows, or a pattern of cells (fnmatch)."""
        self._tests: dict[str, list[Proof]] = {cell: [] for cell in cells}
        self.unknown: list[str] = []
        for test, pattern in claims:
            matching = [cell for cell in cells if fnmatchcase(cell, pattern)]
            if not matching:
                self.unknown.append(f"{test.file}: {test.name}: there is no {pattern!r}")
            for cell in matching:
                if test not in self._tests[cell]:
                    self._tests[cell].append(test)

    def empty(self) -> list[str]:
        """Cells that nothing shows on a real mount, and that could occur."""
        return [
            cell
            for cell, tests in self._tests.items()
            if cell not in IMPOSSIBLE and not any(test.file.startswith(ON_A_MOUNT) for test in tests)
        ]

    def describe(self, cell: str) -> str:
        if cell in IMPOSSIBLE:
            return f"can't occur: {IMPOSSIBLE[cell]}"
        return "<br>".join(test.link() for test in self._tests[cell])


def methods() -> list[AnyMethod]:
    """The reference's methods as the socket has them. Made over nothing: only a call would need it."""
    nothing = cast(Any, None)
    made = [*cloud_file_cache_methods(nothing, nothing), *download_methods(nothing)]
    made += cloud_sync_methods(nothing, nothing)
    for scope, event_class in ((Scope.FILES, EventClass.FILE_SYNC), (Scope.GALLERY, EventClass.GALLERY_SYNC)):
        made += sync_methods(cast(Any, SimpleNamespace(scope=scope, event_class=event_class)))
    return made


def methods_of(owner: str) -> list[AnyMethod]:
    """The methods of a class, or of the module itself (`cloudSync`)."""
    return [method for method in methods() if method.name.partition(".")[0] == owner]


def codes(method: AnyMethod) -> list[int]:
    """The codes of a method: the reference's, and those that the contract adds."""
    return sorted({*method.messages, *ADDED.get(method.name, ())})


def cells() -> list[str]:
    """Every cell there is."""
    found = [f"{name}.constructor {code}" for name in CLASSES for code in CONSTRUCTORS[name]]
    for method in methods():
        found.append(method.name)
        found += [f"{method.name} {code}" for code in codes(method)]
    for name, states in STATES.items():
        found += [f"{name}.progress {state.name}" for state in states]
    for enum in ENUMS:
        found += [f"{enum.__name__}.{value.name}" for value in enum]
    return found


# --- the tests ---


def claims(folder: Path) -> list[tuple[Proof, str]]:
    """What the tests below a folder say that they show. Only a test's own marks count, as for pytest."""
    found: list[tuple[Proof, str]] = []
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                test = Proof(str(file.relative_to(ROOT)), node.name)
                found += [(test, cell) for mark in node.decorator_list for cell in _shown_by(mark)]
    return found


def _shown_by(decorator: ast.expr) -> Iterator[str]:
    """The arguments of every `pytest.mark.shows(...)` in a decorator, those of single params too."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.shows":
            yield from (ast.literal_eval(argument) for argument in node.args)


# --- the page ---

HEAD = """\
# The cloudSync reference, section by section

<!-- Made by scripts/api-map; a test keeps it true. -->

Each section of `@ohos.file.cloudSync` with the method of the control socket that carries it
([control.md](control.md)), its name in `cloudfs.client`, its event, and the tests that show each outcome on a
real mount against a real server. The promise and the callback overload of a method are one.
"""


def page(shown: Shown) -> str:
    """docs/api.md."""
    parts = [HEAD, _contents()]
    for name in CLASSES:
        parts += [f"## {name}\n", _example(name), _constructor(name, shown)]
        parts += [_method(method, shown) for method in methods_of(name)]
        parts.append(_event(name, shown))
    parts += ["## cloudSync\n", _example("getFileSyncState")]
    parts += [_method(method, shown) for method in methods_of("cloudSync")]
    parts.append("## Enumerations\n")
    parts += [_enum(enum, shown) for enum in ENUMS]
    return "\n".join(parts)


def _contents() -> str:
    """The reference's sections and where they are on this page."""
    lines = ["| section of the reference | here |", "|---|---|"]
    for name in CLASSES:
        headings = [f"{name}.constructor", *(method.name for method in methods_of(name))]
        lines.append(f"| {name} | {', '.join(map(_anchor, headings))} |")
    for kinds in (STATES, PROGRESS):
        for kind in dict.fromkeys(kinds.values()):
            events = [_heading(name) for name in CLASSES if kinds[name] is kind]
            lines.append(f"| {kind.__name__} | {', '.join(map(_anchor, events))} |")
    lines += [f"| {method.name} | {_anchor(method.name)} |" for method in methods_of("cloudSync")]
    lines += [f"| {enum.__name__} | {_anchor(enum.__name__)} |" for enum in ENUMS]
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    """A link to a heading of the page, as code hosts make its name."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter == " ")
    return f"[{heading}](#{kept.replace(' ', '-')})"


def _example(name: str) -> str:
    """Which program uses a class or function. Raises FileNotFoundError where none does."""
    program = f"examples/{_snake(name)}.py"
    if not (PAGE.parent / program).is_file():
        raise FileNotFoundError(f"docs/{program}")
    return f"In a program: [{program}]({program}).\n"


def _constructor(name: str, shown: Shown) -> str:
    lines = [
        f"### {name}.constructor\n",
        f"Socket: none; a connection has every class. Python: `{getattr(client, name).__name__}`.\n",
    ]
    if CONSTRUCTORS[name]:
        lines += ["| outcome | text | shown by |", "|---|---|---|"]
    for code in CONSTRUCTORS[name]:
        lines.append(f"| {code} | {ANY[code]} | {shown.describe(f'{name}.constructor {code}')} |")
    return "\n".join(lines).rstrip() + "\n"


def _method(method: AnyMethod, shown: Shown) -> str:
    beyond = " It is beyond the reference." if method.name in BEYOND else ""
    lines = [
        f"### {method.name}\n",
        f"Socket: `{method.name}({_params(method)})`, for {ACCESS[method.access]}. "
        f"Python: `{python_name(method.name)}`.{beyond}\n",
        "| outcome | text | shown by |",
        "|---|---|---|",
        f"| result | | {shown.describe(method.name)} |",
    ]
    for code in codes(method):
        text = method.messages.get(code) or f"{ANY[code]} *(beyond the reference)*"
        lines.append(f"| {code} | {text} | {shown.describe(f'{method.name} {code}')} |")
    return "\n".join(lines) + "\n"


def _params(method: AnyMethod) -> str:
    names = (
        field.encode_name + ("" if field.required else "?") for field in msgspec.structs.fields(method.params)
    )
    return ", ".join(names)


def python_name(method: str) -> str:
    """The method's name in `cloudfs.client`. Raises AttributeError where it has none there."""
    owner, _, name = method.partition(".")
    snake = _snake(name)
    if owner == "cloudSync":
        getattr(client, snake)
        return snake
    getattr(getattr(client, owner), snake)
    return f"{owner}.{snake}"


def _heading(name: str) -> str:
    return f"{name}: the progress event"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


def _event(name: str, shown: Shown) -> str:
    progress = PROGRESS[name]
    names = ", ".join(field.name for field in fields(progress))
    states = STATES[name]
    lines = [
        f"### {_heading(name)}\n",
        f"Socket: `{name}.progress`. Python: `{progress.__name__}({names})`. "
        f"Its `state` is a {states.__name__}.\n",
        f"| {states.__name__} | value | shown by |",
        "|---|---|---|",
    ]
    lines += [
        f"| {state.name} | {state.value} | {shown.describe(f'{name}.progress {state.name}')} |"
        for state in states
    ]
    return "\n".join(lines) + "\n"


def _enum(enum: type[IntEnum], shown: Shown) -> str:
    name = enum.__name__
    lines = [f"### {name}\n", "| name | value | shown by |", "|---|---|---|"]
    lines += [
        f"| {value.name} | {value.value} | {shown.describe(f'{name}.{value.name}')} |" for value in enum
    ]
    return "\n".join(lines) + "\n"


def build() -> tuple[str, list[str]]:
    """The page, and what is wrong with it: cells without a test, tests that show what there is not."""
    shown = Shown(cells(), claims(ROOT / "tests"))
    return page(shown), [*shown.unknown, *(f"nothing shows {cell} on a mount" for cell in shown.empty())]


def main() -> int:
    text, wrong = build()
    PAGE.write_text(text)
    for line in wrong:
        print(f"api-map: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
