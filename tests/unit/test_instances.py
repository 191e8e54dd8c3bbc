"""What dashboards on one database send each other."""

from __future__ import annotations

import orjson

from fraudstream.dashboard.services.instances import MOST_BYTES, packed


def test_items_share_notifications_and_one_too_long_is_left_out() -> None:
    items = [{"alert_id": f"id-{number}"} for number in range(1_000)]
    notifications = list(packed([*items[:500], "x" * MOST_BYTES, *items[500:]]))
    assert [item for each in notifications for item in orjson.loads(f"[{each}]")] == items
    assert len(notifications) == 3
    assert all(len(each) <= MOST_BYTES for each in notifications)


def test_an_item_of_the_largest_size_is_sent_and_nothing_without_items() -> None:
    largest = "x" * (MOST_BYTES - 2)
    assert list(packed([largest, "", largest])) == [f'"{largest}"', '""', f'"{largest}"']
    assert list(packed([])) == []
