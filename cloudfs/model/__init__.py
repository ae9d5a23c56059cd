"""Plain data and decisions, free of I/O: what every other layer speaks in."""
