"""`cloudfs completion`: scripts made from the very parser, so that they can't fall behind it."""

from __future__ import annotations

import argparse

import shtab

from cloudfs.cli.failures import Exit
from cloudfs.cli.parser import build_parser


def run(arguments: argparse.Namespace) -> Exit:
    print(shtab.complete(build_parser(), arguments.shell))
    return Exit.DONE
