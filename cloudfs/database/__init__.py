"""SQLite: the only durable memory. Nothing above this package sees a row."""
