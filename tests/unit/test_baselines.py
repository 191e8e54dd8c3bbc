"""The arithmetic of the runner of benchmarks/baselines, and the baselines' scores of rows and trees."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks.baselines.exported import ARRAYS, PLAIN, export_model, tree_arrays
from benchmarks.baselines.measuring import Sample, finished_at, merged, read_lines, steady_rate
from benchmarks.baselines.plain_consumer.contract import Reader
from benchmarks.baselines.plain_consumer.model import Trees, load_model
from benchmarks.baselines.quix_streams.model import compiled

from fraudstream.model.deployment.current import Deployment
from fraudstream.model.explanation.spark_files import Node, Tree
from saved_models import LINEAR_ID, linear_model


def test_the_steady_rate_leaves_out_start_up_and_the_last_fetch() -> None:
    samples = [Sample(0, 10), Sample(8, 100), Sample(9, 300), Sample(10, 500), Sample(30, 1000)]
    assert steady_rate(samples, 1000) == 200


def test_with_two_batches_in_all_the_last_one_counts() -> None:
    assert steady_rate([Sample(10, 500), Sample(15, 1000), Sample(99, 1000)], 1000) == 100


def test_one_batch_alone_has_no_steady_rate() -> None:
    assert steady_rate([Sample(10, 1000)], 1000) is None
    assert steady_rate([], 1000) is None


def test_processes_that_share_the_rows_are_added_up() -> None:
    together = merged([[Sample(1, 10), Sample(3, 30)], [Sample(2, 5), Sample(4, 40)]])
    assert together == [Sample(1, 10), Sample(2, 15), Sample(3, 35), Sample(4, 70)]
    assert finished_at(together, 35) == 3
    assert finished_at(together, 71) is None


def test_lines_of_progress_are_found_among_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('WARN starting\n{"at": 1.5, "rows": 7}\n[1]\n{"rows": 8}\n{"at": 2.5, "rows": 9}\n')
    assert read_lines(log) == [Sample(1.5, 7), Sample(2.5, 9)]


def leaf(prediction: float) -> Node:
    return Node(-1, -1, -1, float("nan"), 1.0, prediction)


def test_all_trees_at_once_give_the_sum_of_their_leaves() -> None:
    stump = Tree((Node(1, 2, 0, 1.0, 2.0, 0.0), leaf(0.25), leaf(0.75)), 1.0)
    deep = Tree((Node(1, 2, 1, 0.0, 2.0, 0.0), leaf(10.0), Node(3, 4, 0, 5.0, 1.0, 0.0), leaf(20.0), leaf(30.0)), 1.0)
    trees = (stump, deep)
    arrays, depth = tree_arrays(trees, [[node.value for node in tree.nodes] for tree in trees])
    matrix = np.array([[1.0, 0.0], [1.5, 1.0], [9.0, 1.0]] * 200)
    assert Trees(**arrays, depth=depth).margins(matrix).tolist() == [10.25, 20.75, 30.75] * 200
    scaling = {"mean": [0.0, 0.0], "factor": [1.0, 1.0], "coefficients": [], "is_log_odds": True}
    scaling |= {"calibration": {"a": 1.0, "b": 1.0, "c": 0.0}, "threshold": 0.5}
    one_by_one = compiled({name: array.tolist() for name, array in arrays.items()} | scaling)
    assert one_by_one([1.0, 0.0]) == pytest.approx(1 / (1 + math.exp(-10.25)), rel=1e-12)


def test_the_plain_consumer_reads_odd_rows_as_the_contract_says(tmp_path: Path) -> None:
    artifact = linear_model(tmp_path)
    export_model(artifact, Deployment(LINEAR_ID, 0.5, {}), tmp_path)
    model = load_model(tmp_path / ARRAYS)
    row = dict.fromkeys(model.names, 1.0)
    name = model.names[0]
    values: list[bytes | None] = [
        json.dumps(row).encode(),
        json.dumps({**row, name: "2.5"}).encode(),
        json.dumps({**row, name: float("nan")}).encode(),
        json.dumps({**row, name: True}).encode(),
        json.dumps(dict.fromkeys(row)).encode(),
        b"[1]",
        b"{",
        b"\xff{}",
        b"",
        None,
        b'{"V1": "' + b"9" * 3000 + b'"}',
    ]
    read = Reader(model, 2000).read(values)
    assert read.places == [0, 1, 2, 3]
    assert read.imputed == {2: [name], 3: [name], 4: list(model.names)}
    assert read.matrix[1][0] == 2.5
    assert read.matrix[2].tolist() == read.matrix[3].tolist() == [model.medians[0], 1.0, 1.0, 1.0, 1.0]
    assert list(read.unscorable) == [4]
    assert list(read.dead_letters) == [5, 6, 7, 8, 9, 10]


def test_a_row_has_the_same_score_in_every_baseline(tmp_path: Path) -> None:
    export_model(linear_model(tmp_path), Deployment(LINEAR_ID, 0.5, {}), tmp_path)
    matrix = np.random.default_rng(1).normal(size=(50, 5))
    one_by_one = compiled(json.loads((tmp_path / PLAIN).read_text()))
    expected = load_model(tmp_path / ARRAYS).scores(matrix)
    assert [one_by_one(row) for row in matrix.tolist()] == pytest.approx(expected.tolist(), rel=1e-12)
