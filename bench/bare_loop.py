"""The script that everybody writes: read, encode, post, note. No validation, no claim, no retry: the yardstick.

python -m bench.bare_loop ROWS.csv URL NOTES.db
"""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import sys
from datetime import UTC, datetime
from itertools import count, islice

import aiohttp
import orjson

BATCH, CONNECTIONS = 500, 4
NOTES = """
CREATE TABLE notes (run TEXT, destination TEXT, row_number INTEGER, event_id TEXT, event_name TEXT, status TEXT,
                    http_status INTEGER, sent_at TEXT, PRIMARY KEY (destination, event_id))
"""


def encode(row: dict[str, str]) -> dict[str, object]:
    cents = round(float(row["revenue"]) * 100)
    tags = {"revenue": cents, "currency": row["currency"], "order_id": row["order_id"]}
    event = {
        "entity_id": "5001",
        "uuid": row["event_id"],
        "key": "purchase",
        "timestamp": int(datetime.fromisoformat(row["occurred_at"]).timestamp() * 1000),
        "revenue": cents,
        "tags": tags,
    }
    return {"visitor_id": row["user_id"], "attributes": [], "snapshots": [{"events": [event]}]}


async def main(source: str, url: str, notes: str) -> None:
    db = sqlite3.connect(notes, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(NOTES)
    envelope = {"account_id": "12345678", "project_id": "98765432", "enrich_decisions": True}
    numbers = count(1)

    async def post(session: aiohttp.ClientSession, rows: list[dict[str, str]]) -> tuple[list[dict[str, str]], int]:
        body = orjson.dumps({**envelope, "visitors": [encode(row) for row in rows]})
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            await answer.read()
            return rows, answer.status

    with open(source, newline="") as file:  # noqa: PTH123
        reader = csv.DictReader(file)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
            while batches := [part for _ in range(CONNECTIONS) if (part := list(islice(reader, BATCH)))]:
                done = await asyncio.gather(*(post(session, part) for part in batches))
                at = datetime.now(UTC).isoformat()
                told = [
                    ("run", "optimizely", next(numbers), row["event_id"], row["event_name"], "delivered", status, at)
                    for rows, status in done
                    for row in rows
                ]
                db.execute("BEGIN")
                db.executemany("INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", told)
                db.execute("COMMIT")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
