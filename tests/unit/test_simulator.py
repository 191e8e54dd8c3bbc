"""The payments simulator: its bytes, its columns, its frauds."""

from __future__ import annotations

import csv
import tracemalloc
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from fraudstream.errors import SettingsError
from fraudstream.simulator.scenarios import Scenario, deal_incidents
from fraudstream.simulator.simulate import Simulation, simulate

ROWS = 20_000
HEADER = ",".join(f'"{name}"' for name in ["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"])


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("simulated") / "payments.csv"
    simulate(ROWS, 7, output, with_ids=True)
    return output


@pytest.fixture(scope="module")
def numbers(csv_file: Path) -> np.ndarray:
    with csv_file.open(newline="") as lines:
        return np.array([[float(cell) for cell in row[:31]] for row in list(csv.reader(lines))[1:]])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        simulate(3_000, seed, tmp_path / name)
    first = (tmp_path / "first").read_bytes()
    assert first == (tmp_path / "again").read_bytes()
    assert first != (tmp_path / "other").read_bytes()


def test_columns_and_quoting_are_those_of_creditcard_csv(tmp_path: Path) -> None:
    simulate(1_000, 1, tmp_path / "payments.csv")
    lines = (tmp_path / "payments.csv").read_bytes().decode("ascii").split("\n")
    assert lines[0] == HEADER
    assert lines[-1] == ""
    assert len(lines) == 1_002
    for line in lines[1:-1]:
        cells = line.split(",")
        assert len(cells) == 31
        assert cells[-1] in {'"0"', '"1"'}
        assert not any('"' in cell for cell in cells[:-1])
        assert cells[0].isdigit()


def test_ids_follow_the_columns_of_creditcard_csv_and_change_nothing_else(tmp_path: Path) -> None:
    simulate(1_000, 1, tmp_path / "plain.csv")
    simulate(1_000, 1, tmp_path / "ids.csv", with_ids=True)
    plain = (tmp_path / "plain.csv").read_text().splitlines()
    with_ids = (tmp_path / "ids.csv").read_text().splitlines()
    assert with_ids[0] == HEADER + ',"CardId","TerminalId"'
    assert [line.rsplit(",", 2)[0] for line in with_ids] == plain


def test_a_card_pays_again_and_keeps_to_its_terminals(csv_file: Path) -> None:
    terminals = defaultdict(list)
    with csv_file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            terminals[row["CardId"]].append(row["TerminalId"])
    busy = [visited for visited in terminals.values() if len(visited) >= 8]
    assert len(busy) > 100
    assert np.mean([len(set(visited)) / len(visited) for visited in busy]) < 0.8


def test_time_ascends_through_two_days(numbers: np.ndarray) -> None:
    time = numbers[:, 0]
    assert (np.diff(time) >= 0).all()
    assert 0 <= time[0] < 60
    assert 172_000 < time[-1] < 172_792


def test_every_value_is_a_finite_number_and_no_amount_is_negative(numbers: np.ndarray) -> None:
    assert len(numbers) == ROWS
    assert np.isfinite(numbers).all()
    assert (numbers[:, 29] >= 0).all()


def test_components_are_centred_and_the_first_are_the_widest(numbers: np.ndarray) -> None:
    components = numbers[numbers[:, 30] == 0, 1:29]
    spread = components.std(axis=0)
    assert np.abs(components.mean(axis=0)).max() < 0.5
    assert spread[0] > 1.5 > 1.0 > spread[-1]
    assert spread[:7].min() > spread[14:].max()


@pytest.mark.parametrize("rows", [100, 1_000, ROWS])
def test_so_many_rows_hold_the_usual_share_of_frauds(rows: int) -> None:
    frauds = sum(int(payments.fraud.sum()) for payments, _ in Simulation(rows, 3).blocks())
    assert frauds == max(1, round(0.00173 * rows))


def test_frauds_come_at_once_and_throughout() -> None:
    fraud = np.concatenate([payments.fraud for payments, _ in Simulation(50_000, 5).blocks()])
    at = np.flatnonzero(fraud)
    assert at[0] < 120
    assert (np.bincount(at // 5_000, minlength=10) >= 2).all()


def test_every_scenario_happens() -> None:
    incidents = deal_incidents(60, 1.0, np.random.default_rng(7))
    assert {incident.scenario for incident in incidents} == set(Scenario)
    assert sum(incident.count for incident in incidents) == 60


def test_it_returns_the_number_of_frauds_among_the_rows_asked_for(tmp_path: Path) -> None:
    frauds = simulate(ROWS, 7, tmp_path / "payments.csv")
    lines = (tmp_path / "payments.csv").read_text().splitlines()
    assert (len(lines) - 1, frauds) == (ROWS, round(0.00173 * ROWS))
    assert sum(line.endswith(',"1"') for line in lines) == frauds


def test_amounts_have_the_quantiles_of_creditcard_csv(numbers: np.ndarray) -> None:
    amount = numbers[numbers[:, 30] == 0, 29]
    quantiles = np.quantile(amount, [0.25, 0.5, 0.75, 0.95, 0.99])
    np.testing.assert_allclose(quantiles, [5.6, 22.0, 77.0, 365.0, 1018.0], rtol=0.2)
    assert 0.002 < (amount == 0).mean() < 0.015
    assert 0.03 < (amount == 1).mean() < 0.07


def test_a_night_is_quieter_than_a_day(numbers: np.ndarray) -> None:
    hour = (numbers[:, 0] // 3600 % 24).astype(int)
    payments = np.bincount(hour, minlength=24)
    assert payments[2:6].max() < 0.5 * payments[9:22].min()


def test_a_burst_gathers_frauds_at_one_terminal_within_the_usual_share() -> None:
    blocks = [payments for payments, _ in Simulation(50_000, 1, burst_at=0.5).blocks()]
    fraud = np.concatenate([payments.fraud for payments in blocks])
    terminal = np.concatenate([payments.terminal for payments in blocks])
    window = slice(24_900, 28_000)
    _, visits = np.unique(terminal[window][fraud[window]], return_counts=True)
    assert visits.max() >= 8
    assert fraud.sum() == round(0.00173 * 50_000)


@pytest.mark.nightly
def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        try:
            for _, _block in zip(range(3), Simulation(rows, 1).blocks(), strict=False):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(1_500_000) < 1.1 * peak(300_000)


def test_progress_is_reported_up_to_the_last_row(tmp_path: Path) -> None:
    reports: list[int] = []
    simulate(ROWS, 1, tmp_path / "payments.csv", report=reports.append)
    assert reports == sorted(reports)
    assert len(reports) > 1
    assert reports[-1] == ROWS


@pytest.mark.parametrize(
    ("rows", "seed", "burst_at"), [(0, 1, None), (99, 1, None), (1_000, -1, None), (1_000, 1, 1.5)]
)
def test_what_cannot_be_simulated_is_refused(tmp_path: Path, rows: int, seed: int, burst_at: float | None) -> None:
    with pytest.raises(SettingsError):
        simulate(rows, seed, tmp_path / "payments.csv", burst_at=burst_at)
    assert list(tmp_path.iterdir()) == []


def test_an_output_in_no_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    output = tmp_path / "missing" / "payments.csv"
    with pytest.raises(SettingsError) as error:
        simulate(1_000, 1, output)
    assert str(output) in error.value.message


def test_a_simulation_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(1_000, 1, tmp_path / "payments.csv", report=stop)
    assert list(tmp_path.iterdir()) == []
