"""The command line's shape: every verb with its arguments, help and examples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cloudfs import __version__
from cloudfs.model.errors import SERVER_ERRORS

# What shtab takes for "names of files": completed by the shell from names alone, which hydrates nothing.
_FILES = {
    "bash": "_shtab_compgen_files",
    "zsh": "_files",
    "tcsh": "f",
    "fish": "(__fish_complete_path (commandline -ct))",
}

EXIT_CODES = (
    "exit codes: 0 done; 1 failed; 2 wrong usage; 3 no such file; 4 the daemon is not running; "
    "5 temporary (network, battery, busy)"
)


class _Verbs:
    """Adds verbs to the parser in one form."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(self, name: str, summary: str, *, examples: Sequence[str]) -> argparse.ArgumentParser:
        shown = "\n".join(f"  {example}" for example in examples)
        return self._verbs.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"examples:\n{shown}\n\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )


def build_parser() -> argparse.ArgumentParser:
    """The parser of `cloudfs`; a parsed namespace has `verb`."""
    parser = argparse.ArgumentParser(
        prog="cloudfs",
        description="Cloud files that open like local ones: placeholders that stream in when read.",
        epilog="cloudfs VERB --help explains a verb. " + EXIT_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cloudfs {__version__}")
    verbs = _Verbs(parser)
    _add_mount_verbs(verbs)
    _add_sync_verbs(verbs)
    _add_file_verbs(verbs)
    _add_doctor(verbs)
    _add_simulate(verbs)
    _add_completion(verbs)
    _add_install_helper(verbs)
    return parser


def _add_mount_verbs(verbs: _Verbs) -> None:
    mount = verbs.add(
        "mount",
        "mount what a mount.toml describes",
        examples=[
            "cloudfs mount",
            "cloudfs mount --config work.toml ~/Work",
            "cloudfs mount -o cache.size=1GiB,read_only --foreground",
        ],
    )
    mount.add_argument("--foreground", action="store_true", help="serve here, and log to this terminal")
    _add_configuration(mount)
    mount.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    mount.add_argument("--source", help=argparse.SUPPRESS)  # what mount_helper passes on

    umount = verbs.add(
        "umount",
        "end a mount, unless changes are not in the cloud yet",
        examples=["cloudfs umount ~/Cloud", "cloudfs umount --wait ~/Cloud"],
    )
    how = umount.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="send pending changes first, also of stopped syncs")
    how.add_argument(
        "--force",
        action="store_true",
        help="leave them for the next mount, and end under programs that use it",
    )
    _add_path(umount, "mountpoint", metavar="MOUNTPOINT", nargs="?", help="default: the only one running")
    _add_socket(umount)

    demo = verbs.add(
        "demo",
        "show a file going from placeholder to hydrated, on a server of its own",
        examples=["cloudfs demo", "cloudfs demo --once"],
    )
    demo.add_argument("--once", action="store_true", help="check what is shown, clean up and leave")
    _add_path(demo, "mountpoint", metavar="MOUNTPOINT", nargs="?", help="default: a new temporary folder")

    status = verbs.add(
        "status",
        "show mounts, syncs, transfers and the cache",
        examples=["cloudfs status", "cloudfs status --json"],
    )
    _add_json(status)
    _add_socket(status)

    events = verbs.add(
        "events",
        "follow every progress event of the mount",
        examples=["cloudfs events", "cloudfs events --since 41 --json"],
    )
    events.add_argument(
        "--since", metavar="SEQ", type=_sequence, help="begin after this event of the journal"
    )
    _add_json(events)
    _add_socket(events)


def _add_sync_verbs(verbs: _Verbs) -> None:
    sync = verbs.add(
        "sync",
        "start or stop a sync, ask when the last one completed, or settle many deletions",
        examples=[
            "cloudfs sync start --wait",
            "cloudfs sync stop --gallery",
            "cloudfs sync last --json",
            "cloudfs sync restore --wait",
        ],
    )
    sync.add_argument(
        "action",
        choices=["start", "stop", "last", "confirm", "restore"],
        help="confirm, restore: carry out or undo the deletions that the brake holds, made here or in the "
        "cloud, by a sync that it starts",
    )
    sync.add_argument("--gallery", action="store_true", help="the gallery folders instead of all else")
    sync.add_argument("--wait", action="store_true", help="until the sync has ended")
    _add_json(sync)
    _add_socket(sync)


def _add_file_verbs(verbs: _Verbs) -> None:
    download = verbs.add(
        "download",
        "fetch files to the cache, or stop that",
        examples=["cloudfs download start --wait ~/Cloud/film.mkv", "cloudfs download stop ~/Cloud/film.mkv"],
    )
    download.add_argument("action", choices=["start", "stop"])
    download.add_argument(
        "--keep-partial", action="store_true", help="stop: keep what has come, to resume it"
    )
    download.add_argument("--wait", action="store_true", help="until each is there, with progress")
    _add_targets(download)
    _add_json(download)
    _add_socket(download)

    clean = verbs.add(
        "clean",
        "drop cached content and keep the placeholders",
        examples=["cloudfs clean ~/Cloud/film.mkv", "cloudfs clean -r ~/Cloud/Films"],
    )
    _add_recursive(clean)
    _add_targets(clean)
    _add_socket(clean)

    state = verbs.add(
        "state",
        "show where content is, what is under way, and pins",
        examples=["cloudfs state ~/Cloud/film.mkv", "cloudfs state -r ~/Cloud --json"],
    )
    _add_recursive(state)
    _add_targets(state)
    _add_json(state)
    _add_socket(state)

    why = verbs.add(
        "why",
        "tell who fetched or changed a file, what it waits for, and why it failed or is pinned",
        examples=["cloudfs why ~/Cloud/report.odt", "cloudfs why --json ~/Cloud/report.odt"],
    )
    _add_path(why, "target", metavar="PATH|URI", help="a path in a mount, or a file:// URI")
    _add_json(why)
    _add_socket(why)

    for name, summary in (
        ("pin", "keep files and folders hydrated always"),
        ("unpin", "leave it to the cache what is kept"),
    ):
        verb = verbs.add(name, summary, examples=[f"cloudfs {name} ~/Cloud/Documents"])
        _add_path(verb, "targets", metavar="PATH", nargs="+", help="a file or folder in a mount")
        _add_socket(verb)


def _add_doctor(verbs: _Verbs) -> None:
    doctor = verbs.add(
        "doctor",
        "check what a mount needs: the machine, the configuration, the places on disk, the server",
        examples=[
            "cloudfs doctor",
            "cloudfs doctor --config work.toml ~/Work",
            "cloudfs doctor -o read_only --json",
        ],
    )
    _add_configuration(doctor)
    _add_json(doctor)


def _add_simulate(verbs: _Verbs) -> None:
    simulate = verbs.add(
        "simulate",
        "make the running daemon meet conditions or errors, in place of those simulated before",
        examples=[
            "cloudfs simulate --battery 9",
            "cloudfs simulate --network none --for 30s",
            "cloudfs simulate --server-error 429 --for 1m",
            "cloudfs simulate off",
        ],
    )
    simulate.add_argument("off", nargs="?", choices=["off"], help="end what is simulated")
    simulate.add_argument(
        "--battery", metavar="PERCENT", type=_percent, help="a battery that is not charging, 0 to 100"
    )
    simulate.add_argument(
        "--network",
        choices=["none", "mobile", "wifi", "ethernet"],
        help="what the device is on; none: nothing reaches the cloud",
    )
    simulate.add_argument("--quota-full", action="store_true", help="the cloud takes no content (507)")
    simulate.add_argument("--disk-full", action="store_true", help="the disk of the cache takes nothing more")
    simulate.add_argument(
        "--server-error",
        metavar="STATUS",
        type=int,
        choices=SERVER_ERRORS,
        help=f"the answer to every request: {', '.join(map(str, SERVER_ERRORS))}; 404 and 410 to those for "
        "content alone, so that no file is taken for deleted",
    )
    simulate.add_argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        type=_duration,
        help="when it ends by itself: 30s, 5m; default: with the mount",
    )
    _add_json(simulate)
    _add_socket(simulate)


def _add_completion(verbs: _Verbs) -> None:
    completion = verbs.add(
        "completion",
        "print the completion script of a shell",
        examples=[
            "cloudfs completion bash > ~/.local/share/bash-completion/completions/cloudfs",
            "cloudfs completion zsh > ~/.zfunc/_cloudfs",
            "cloudfs completion fish > ~/.config/fish/completions/cloudfs.fish",
        ],
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])


def _add_install_helper(verbs: _Verbs) -> None:
    install = verbs.add(
        "install-helper",
        "install mount.fuse.cloudfs, so that mount(8) and /etc/fstab know the type fuse.cloudfs",
        examples=[
            "cloudfs install-helper",
            "mount -t fuse.cloudfs /etc/cloudfs/mount.toml /mnt/cloud -o cache.size=1GiB",
        ],
    )
    _add_path(
        install,
        "--root",
        metavar="DIR",
        type=Path,
        default=Path("/"),
        help="the system to install it in, in its sbin; default: /",
    )
    _add_json(install)


def _add_path(
    verb: argparse.ArgumentParser,
    name: str,
    *,
    metavar: str,
    help: str,
    nargs: str | None = None,
    type: type[Path] | None = None,
    default: Path | None = None,
) -> None:
    kind = partial(_filled, type or str)
    argument = verb.add_argument(name, metavar=metavar, help=help, nargs=nargs, type=kind, default=default)
    argument.complete = _FILES  # type: ignore[attr-defined]


def _add_configuration(verb: argparse.ArgumentParser) -> None:
    _add_path(verb, "--config", metavar="FILE", type=Path, help="default: ~/.config/cloudfs/mount.toml")
    verb.add_argument(
        "-o",
        dest="options",
        metavar="K=V,…",
        action="append",
        default=[],
        help="keys of the file, for this mount; of mount(8)'s options ro, rw and noexec",
    )
    _add_path(verb, "mountpoint", metavar="MOUNTPOINT", nargs="?", help="goes before mount.path")


def _add_targets(verb: argparse.ArgumentParser) -> None:
    _add_path(verb, "targets", metavar="PATH|URI", nargs="+", help="a path in a mount, or a file:// URI")


def _add_recursive(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-r", "--recursive", action="store_true", help="folders with all below them")


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="facts for programs, on stdout")


def _add_socket(verb: argparse.ArgumentParser) -> None:
    _add_path(
        verb,
        "--socket",
        metavar="SOCKET",
        type=Path,
        help="which mount; default: found by the path, $CLOUDFS_SOCKET, the only one",
    )


def _filled(kind: type[Path] | type[str], text: str) -> Path | str:
    """The path. An empty one is no name of the working directory: a shell variable was not set."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return kind(text)


def _percent(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage from 0 to 100")
    return int(text)


def _duration(text: str) -> float:
    from cloudfs.config.quantities import parse_duration  # the verbs that take none need not wait for it

    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; such are 30s, 5m, 1h30m") from error
    if not duration:
        raise argparse.ArgumentTypeError("it must be longer than nothing")
    return duration


def _sequence(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no event number")
    return int(text)
