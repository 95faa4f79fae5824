"""Activities in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from psycopg_pool import ConnectionPool

_SCHEMA = """
SELECT pg_advisory_xact_lock(hashtext('activity-core schema'));
CREATE TABLE IF NOT EXISTS activity (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    name text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS activity_at ON activity (at);
CREATE TABLE IF NOT EXISTS total (
    source text NOT NULL,
    name text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (source, name)
);
CREATE TABLE IF NOT EXISTS progress (counted_until bigint NOT NULL);
INSERT INTO progress SELECT 0 WHERE NOT EXISTS (SELECT FROM progress);
"""

# Totals and mark change together, so that nothing is counted twice, however often the worker is killed. The lock waits
# for activities that are being written: one of them may have a number below the newest that can be seen.
_LOCK = "LOCK TABLE activity IN SHARE ROW EXCLUSIVE MODE"
_COUNT = """
WITH old AS (SELECT counted_until FROM progress FOR UPDATE),
news AS (
    SELECT source, name, count(*) AS count, max(id) AS last FROM activity, old
    WHERE id > counted_until GROUP BY source, name
),
added AS (
    INSERT INTO total SELECT source, name, count FROM news
    ON CONFLICT (source, name) DO UPDATE SET count = total.count + excluded.count
),
marked AS (UPDATE progress SET counted_until = (SELECT max(last) FROM news) WHERE EXISTS (SELECT FROM news))
SELECT coalesce(sum(count), 0)::bigint FROM news
"""


@dataclass(frozen=True)
class Total:
    """How often a source did something."""

    source: str
    name: str
    count: int


class Store(Protocol):
    """What the program needs of its storage."""

    def ping(self) -> None:
        """Raise when it does not answer."""

    def add(self, source: str, name: str) -> None:
        """Keep one activity."""

    def count(self) -> int:
        """Add new activities to the totals and return how many there were."""

    def totals(self) -> list[Total]:
        """Return the totals, the largest first."""

    def prune(self, days: int) -> int:
        """Forget activities that are counted and older than this and return how many there were."""


class PostgresStore:
    """The store, in a database it makes its tables in."""

    def __init__(self, url: str) -> None:
        """Connect in the background; nothing is asked yet."""
        self._pool = ConnectionPool(url, min_size=1, max_size=5, timeout=3, open=True)

    def prepare(self) -> None:
        """Make the tables that are missing; two that start at once wait for each other."""
        with self._pool.connection(timeout=60) as connection:
            connection.execute(_SCHEMA)

    def ping(self) -> None:
        """Raise when it does not answer."""
        with self._pool.connection() as connection:
            connection.execute("SELECT 1")

    def add(self, source: str, name: str) -> None:
        """Keep one activity."""
        with self._pool.connection() as connection:
            connection.execute("INSERT INTO activity (source, name) VALUES (%s, %s)", (source, name))

    def count(self) -> int:
        """Add new activities to the totals and return how many there were."""
        with self._pool.connection() as connection:
            connection.execute(_LOCK)
            row = connection.execute(_COUNT).fetchone()
        return int(row[0]) if row else 0

    def totals(self) -> list[Total]:
        """Return the totals, the largest first."""
        with self._pool.connection() as connection:
            rows = connection.execute("SELECT source, name, count FROM total ORDER BY count DESC, source, name")
            return [Total(*row) for row in rows]

    def prune(self, days: int) -> int:
        """Forget activities that are counted and older than this and return how many there were."""
        with self._pool.connection() as connection:
            return connection.execute(
                "DELETE FROM activity USING progress"
                " WHERE id <= counted_until AND at < now() - make_interval(days => %s)",
                (days,),
            ).rowcount

    def close(self) -> None:
        """End the connections."""
        self._pool.close()
