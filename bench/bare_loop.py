"""The script that everybody writes: read, encode, post, note. No validation, no claim, no retry: the yardstick.

python -m bench.bare_loop ROWS.csv URL NOTES.db
"""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import sys
from datetime import datetime
from itertools import islice

import aiohttp
import orjson

BATCH, CONNECTIONS = 500, 4


def encode(row: list[str]) -> dict[str, object]:
    event_id, _, at, user, _, revenue, currency, order, _ = row
    cents = round(float(revenue) * 100)
    tags = {"revenue": cents, "currency": currency, "order_id": order}
    ms = int(datetime.fromisoformat(at).timestamp() * 1000)
    event = {"entity_id": "5001", "uuid": event_id, "key": "purchase", "timestamp": ms, "revenue": cents, "tags": tags}
    return {"visitor_id": user, "attributes": [], "snapshots": [{"events": [event]}]}


async def main(source: str, url: str, notes: str) -> None:
    db = sqlite3.connect(notes, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE notes (event_id TEXT PRIMARY KEY, status INTEGER) WITHOUT ROWID")
    envelope = {"account_id": "12345678", "project_id": "98765432", "enrich_decisions": True}

    async def post(session: aiohttp.ClientSession, rows: list[list[str]]) -> tuple[list[list[str]], int]:
        body = orjson.dumps({**envelope, "visitors": [encode(row) for row in rows]})
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            await answer.read()
            return rows, answer.status

    with open(source, newline="") as file:  # noqa: PTH123
        reader = csv.reader(file)
        next(reader)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
            while batches := [part for _ in range(CONNECTIONS) if (part := list(islice(reader, BATCH)))]:
                done = await asyncio.gather(*(post(session, part) for part in batches))
                db.execute("BEGIN")
                for rows, status in done:
                    db.executemany("INSERT INTO notes VALUES (?, ?)", [(row[0], status) for row in rows])
                db.execute("COMMIT")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
