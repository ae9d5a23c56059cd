"""`-o K=V,…` of `cloudfs mount` and of fstab: keys of the configuration, set for this mount alone."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, get_type_hints

from cloudfs.config.settings import MountConfig

# mount(8), systemd.mount(5): what fstab lines carry for others to read, or what the mount has anyway.
_FOR_OTHERS = frozenset(
    {"defaults", "auto", "noauto", "user", "nouser", "users", "group", "owner", "_netdev", "nofail"}
    | {"default_permissions"}
    | {"exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "dirsync"}
    | {"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime"}
    | {"lazytime", "nolazytime"}
)
_FOR_OTHERS_PREFIXES = ("x-", "X-", "comment=", "user=", "helper=", "uhelper=")
# An option, which a comma ends, but for those in the brackets of a list.
_OPTION = re.compile(r"(?:\[[^\]]*\]|[^,])+")
_SHORT = {"ro": ("mount.read_only", "true"), "rw": ("mount.read_only", "false")}


def split_options(text: str) -> list[str]:
    """`ro,hydration.deny=["a","b"]` as its two options; empty ones are left out."""
    return _OPTION.findall(text)


def parse_options(text: str) -> dict[str, str]:
    """`cache.size=1GiB,read_only` as {"cache.size": "1GiB", "mount.read_only": "true"}.

    A key without a table is one of [mount]; a key without a value is `true`. `ro` and `rw` mean
    `read_only`; options meant for mount(8) or systemd are left out.
    """
    overrides: dict[str, str] = {}
    for option in split_options(text):
        if option in _FOR_OTHERS or option.startswith(_FOR_OTHERS_PREFIXES):
            continue
        if option in _SHORT:
            key, value = _SHORT[option]
        else:
            key, equals, value = option.partition("=")
            value = value if equals else "true"
        overrides[key if "." in key else f"mount.{key}"] = value
    return overrides


def is_noexec(text: str) -> bool:
    """Whether `-o` asks that no program is run from the mount; of `exec` and `noexec` the last one counts."""
    asked = [option for option in split_options(text) if option in ("exec", "noexec")]
    return asked[-1:] == ["noexec"]


def without_unknown(text: str) -> str:
    """The options but those that no key is for (mount(8)'s -s)."""
    return ",".join(option for option in split_options(text) if _is_known(option))


def _is_known(option: str) -> bool:
    return all(_key_type(path) is not None for path in parse_options(option))


def apply_overrides(tables: dict[str, Any], overrides: Mapping[str, str]) -> None:
    """Put `-o` options ("cache.size": "1GiB") into the parsed tables, typed as their keys want it.

    What does not fit goes in as the text it is, so that reading it reports the fault; where a table's name
    is taken by something else, the file's own fault is the one to report.
    """
    for path, text in overrides.items():
        section, _, key = path.partition(".")
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = _typed(path, text)


def _key_type(path: str) -> object:
    """The type of a key, as "cache.size"; None where there is no such key."""
    section, _, key = path.partition(".")
    section_type = get_type_hints(MountConfig).get(section)
    return None if section_type is None else get_type_hints(section_type).get(key)


def _typed(path: str, text: str) -> object:
    if _key_type(path) not in (bool, int, tuple[str, ...]):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
