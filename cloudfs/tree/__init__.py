"""The tree as this machine knows it: rows in SQLite, and a bounded number of them in memory."""
