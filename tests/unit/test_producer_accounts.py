"""The producer's accounts: the mark moves only over rows that are settled without a gap."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.kafka.production import LISTED_REFUSALS, DeliveryTracker
from fraudstream.kafka.progress import RunProgress, Spool

TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
NO_TOPIC = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
AWAY = KafkaError(KafkaError.BROKER_NOT_AVAILABLE)


Books = Callable[..., DeliveryTracker]


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Makes accounts of a run, each with a spool of its own."""
    directory, numbers = tmp_path_factory.mktemp("spools"), itertools.count()
    with contextlib.ExitStack() as spools:

        def opened(**run: Any) -> DeliveryTracker:
            spool = spools.enter_context(contextlib.closing(Spool(directory / f"{next(numbers)}.jsonl")))
            return DeliveryTracker(RunProgress("run", "fingerprint", **run), spool)

        yield opened


def test_the_mark_waits_for_the_first_row_that_is_open(accounts: Books) -> None:
    books = accounts()
    books.session.sent = 3
    books.delivered(1, None)
    books.delivered(2, None)
    assert books.progress(1).run.next_row == 0
    books.delivered(0, None)
    assert books.progress(1).run.next_row == 3


@given(order=st.permutations(range(12)), rejections=st.sets(st.integers(0, 11)))
def test_in_whatever_order_reports_come_the_mark_ends_behind_the_last_row(
    accounts: Books, order: list[int], rejections: set[int]
) -> None:
    books = accounts()
    for done, number in enumerate(order, start=1):
        books.session.sent = done
        books.delivered(number, TOO_LARGE if number in rejections else None)
        open_rows = set(range(12)) - set(order[:done])
        assert books.progress(1).run.settled == min(open_rows, default=12)
    produced = books.progress(1)
    assert (produced.acknowledged, produced.failed) == (12 - len(rejections), len(rejections))
    assert produced.delivered == (not rejections)
    assert produced.unacknowledged == 0


def test_a_refused_row_is_kept_and_the_mark_passes_it(accounts: Books) -> None:
    books = accounts()
    books.session.sent = 2
    books.delivered(0, TOO_LARGE)
    books.delivered(1, None)
    produced = books.progress(1)
    assert produced.refusals == [f"row 0 was refused: {TOO_LARGE.str()}"]
    assert produced.run.settled == 2
    assert not produced.delivered


def test_only_the_first_refusals_are_kept_and_all_are_counted(accounts: Books) -> None:
    books = accounts()
    books.session.sent = LISTED_REFUSALS + 5
    for number in range(books.session.sent):
        books.delivered(number, TOO_LARGE)
    produced = books.progress(1)
    assert (len(produced.refusals), produced.failed) == (LISTED_REFUSALS, LISTED_REFUSALS + 5)


def test_an_error_about_the_topic_ends_the_run_and_the_mark_stays(accounts: Books) -> None:
    books = accounts()
    books.session.sent = 1
    books.delivered(0, NO_TOPIC)
    assert books.fatal is NO_TOPIC
    assert books.progress(1).run.settled == 0


def test_a_broker_away_is_trouble_until_the_next_acknowledgement(accounts: Books) -> None:
    books = accounts()
    books.client_error(AWAY)
    assert books.fatal is None
    assert books.progress(1).trouble
    books.delivered(0, None)
    assert not books.progress(1).trouble


def test_a_final_error_of_the_client_ends_the_run(accounts: Books) -> None:
    books = accounts()
    books.client_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "gap", fatal=True))
    assert books.fatal is not None


def test_passes_are_distinguished_from_where_a_run_was_resumed(accounts: Books) -> None:
    # Passes of 10 rows; resumed in pass 2 at row 7, so at number 27 of the run.
    books = accounts(settled=27, pass_number=2, next_row=7)
    books.start_pass(30)
    books.start_pass(40)
    numbers = list(range(27, 45))
    random.Random(3).shuffle(numbers)
    for number in numbers:
        books.delivered(number, None)
    run = books.progress(1).run
    assert (run.settled, run.pass_number, run.next_row) == (45, 4, 5)


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_the_rate_is_of_acknowledged_rows(seconds: float, accounts: Books) -> None:
    books = accounts()
    for number in range(10):
        books.delivered(number, None)
    assert books.progress(seconds).rate == (5.0 if seconds else 0.0)


def test_a_resumed_run_adds_to_its_counts(accounts: Books) -> None:
    books = accounts(settled=5, next_row=5, sent=6, acknowledged=5, failed=1)
    books.session.sent = 1
    books.delivered(5, None)
    run = books.progress(1).run
    assert (run.sent, run.acknowledged, run.failed) == (7, 6, 1)
