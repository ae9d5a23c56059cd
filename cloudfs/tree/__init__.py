"""The tree as this machine knows it: rows in SQLite, and in memory what the kernel holds and a bounded number more."""
