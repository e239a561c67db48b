"""Rows that are given to the vendors' own kits and to this project: the same for whoever records and whoever compares.

Forty and more, made and not drawn. Standard library alone: it is imported where the kits are, too.
"""

from __future__ import annotations

import json
from typing import Any

AMOUNTS = ("10", "20.50", "0", "1299.99", "0.10", "7.25", "89.99")
EVENTS = ("purchase", "signup", "add_to_cart", "form_submit")
GOALS = ("5001", "5002", "5003")


def optimizely() -> list[dict[str, Any]]:
    """Rows as tests build them: columns as text, JSON cells as JSON."""
    rows: list[dict[str, Any]] = []
    for number in range(48):
        row: dict[str, Any] = {
            "event_id": f"row-{number}",
            "event_name": EVENTS[number % len(EVENTS)],
            "occurred_at": str(1_700_000_000_000 + number),
            "user_id": f"visitor {number % 9} ü",
        }
        if number % 2 == 0:
            row |= {"revenue": AMOUNTS[number % 7], "currency": ("GBP", "EUR")[number % 4 // 2]}
            row["order_id"] = f"O-{number}"
        if number % 3 == 0:
            row["quantity"] = str(number)
        if number % 4 == 1:
            row["properties"] = json.dumps({"value": number + 0.5, "sku": f'A "{number}"', "gift": number % 8 == 1})
        if number % 5 < 3:
            row["attributes"] = json.dumps(_attributes(number))
        rows.append(row)
    return rows


def _attributes(number: int) -> dict[str, Any]:
    every = {"plan": "gold", "age": number, "is_vip": number % 2 == 0, "not_registered": 1, "$opt_user_agent": "till/1"}
    return {name: every[name] for place, name in enumerate(every) if number >> place & 1}


def convert() -> list[dict[str, Any]]:
    """Several rows per visitor and goal; rows with money have an order number of their own."""
    rows: list[dict[str, Any]] = []
    for number in range(60):
        row: dict[str, Any] = {
            "event_id": f"row-{number}",
            "event_name": "Order Completed",
            "occurred_at": str(1_700_000_000_000 + number),
            "user_id": f"visitor {number % 7} ü",
            "convert_goal_id": GOALS[number % 3],
        }
        if number % 4:
            row |= {"revenue": AMOUNTS[number % 7], "order_id": f"T-{number}"}
        if number % 4 and number % 5 == 0:
            row["quantity"] = str(number)
        rows.append(row)
    return rows


if __name__ == "__main__":
    print(json.dumps(convert()))  # noqa: T201 (the recorder of the JavaScript kit reads it)
