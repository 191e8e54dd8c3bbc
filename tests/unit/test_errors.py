"""What a message says: the thing, the place, the remedy, and the doctor where the machine may be at fault."""

from __future__ import annotations

import pytest

from fraudstream.cli.entry import run_to_exit
from fraudstream.errors import (
    BrokerFailed,
    BrokerUnreachable,
    DataNotFound,
    FraudstreamError,
    JarsMissing,
    PortInUse,
    ProcessFailed,
    SetupError,
)


def test_a_message_has_the_thing_the_place_and_the_remedy() -> None:
    error = DataNotFound("the CSV is not there", where="a.csv", remedy="check the path")
    assert error.message.splitlines() == ["the CSV is not there", "  where:  a.csv", "  remedy: check the path"]


@pytest.mark.parametrize("kind", [SetupError, JarsMissing, PortInUse, BrokerFailed, BrokerUnreachable, ProcessFailed])
def test_a_failure_at_the_start_points_to_the_doctor_once(kind: type[FraudstreamError]) -> None:
    assert kind("it failed", remedy="mend it").message.count("fraudstream doctor") == 1
    assert kind("it failed", remedy="run `fraudstream doctor`").message.count("fraudstream doctor") == 1


def test_an_error_that_cannot_be_put_into_words_is_no_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    class WithoutItsSession(Exception):
        def __str__(self) -> str:
            raise AssertionError

    def program() -> None:
        raise WithoutItsSession

    with pytest.raises(SystemExit) as error:
        run_to_exit(program)
    assert error.value.code == 1
    output = capsys.readouterr().err
    assert output.startswith("fraudstream: unexpected error: WithoutItsSession: Spark ended before")
    assert "remedy:" in output
    assert "Traceback" not in output


def test_a_broken_file_is_no_matter_for_the_doctor() -> None:
    assert "doctor" not in DataNotFound("the CSV is not there").message
