"""Tables that may be larger than memory."""

from __future__ import annotations

import sqlite3

CACHE_KB = 2_000  # of a database in memory; the rest lies in a nameless temporary file


def spilling_database(schema: str) -> sqlite3.Connection:
    """An empty SQLite database with the tables of ``schema`` that lives as long as this process and its connection. It
    keeps CACHE_KB in memory and the rest in a temporary file (SQLite's "temporary database", whose name is empty)."""
    database = sqlite3.connect("", isolation_level=None)
    database.executescript(
        f"PRAGMA cache_size = -{CACHE_KB}; PRAGMA temp_store = FILE; PRAGMA journal_mode = OFF; {schema}"
    )
    return database
