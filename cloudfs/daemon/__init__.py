"""The daemon: builds every part once, runs them in order, and ends them in the reverse one."""

from cloudfs.daemon.serving import serve

__all__ = ["serve"]
