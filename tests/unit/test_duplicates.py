"""Copies across the split are taken out of the test; payments that are alike by chance are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fraudstream.model.training.split import Duplicates, Part, digested, find_duplicates, split_in_time
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import profile


def duplicates_of(path: Path, lines: list[str], header: str = "Time,V1,V2,Class") -> tuple[Duplicates, list[int]]:
    path.write_text("\n".join([header, *lines]) + "\n")
    source = open_data(path)
    csv_profile = profile(source, "Class")
    split = split_in_time(csv_profile.label.is_fraud, csv_profile.time)
    digests: list[int] = []
    assert list(digested(source.json_rows(), csv_profile.time, digests)) == list(source.json_rows())
    return find_duplicates(csv_profile, digests, split.part), split.rows_of(Part.TEST).tolist()


def random_lines(rows: int = 100) -> list[str]:
    rng = np.random.default_rng(1)
    return [f"{row},{rng.normal():.6f},{rng.normal():.6f},{int(row % 5 == 0)}" for row in range(rows)]


def test_a_test_row_that_equals_a_training_row_but_for_its_time_is_a_copy(tmp_path: Path) -> None:
    lines = random_lines()
    lines[90] = "90," + lines[10].split(",", 1)[1]
    lines[95] = "95," + lines[70].split(",", 1)[1]
    duplicates, test = duplicates_of(tmp_path / "a.csv", lines)
    assert np.flatnonzero(duplicates.rows).tolist() == [90, 95]
    assert {90, 95} <= set(test)
    assert duplicates.count == 2


def test_the_same_values_with_another_label_are_no_copy(tmp_path: Path) -> None:
    lines = random_lines()
    lines[90] = "90," + lines[11].split(",", 1)[1][:-1] + "1"
    assert duplicates_of(tmp_path / "a.csv", lines)[0].count == 0


def test_copies_within_the_test_period_stay(tmp_path: Path) -> None:
    lines = random_lines()
    lines[95] = "95," + lines[90].split(",", 1)[1]
    assert duplicates_of(tmp_path / "a.csv", lines)[0].count == 0


def test_payments_that_are_alike_by_chance_stay_and_are_counted(tmp_path: Path) -> None:
    lines = [f"{row},{row % 3},{row % 4},{int(row % 5 == 0)}" for row in range(100)]
    duplicates, test = duplicates_of(tmp_path / "a.csv", lines)
    assert duplicates.count == 0
    assert f"{len(test)} test rows equal a training row" in duplicates.note
