"""The command line: talks to the daemon by the standard library alone, so that verbs start fast."""
