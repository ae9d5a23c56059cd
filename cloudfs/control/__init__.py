"""The control socket: JSON-RPC in, permissions, calls, events out."""
