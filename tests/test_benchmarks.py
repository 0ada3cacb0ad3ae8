"""The benchmarks run: how fast is a question for a quiet machine, not for a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.measuring import per_round_ratio, quantile, rotated
from benchmarks.reporting import Budget, Section, budgets_text, number, table

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.processes
def test_a_quick_benchmark_ends_well_and_prints_a_table(tmp_path: Path) -> None:
    output = tmp_path / "benchmarks.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "record", "--output", str(output)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITKIT_", "DJANGO_"))}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| call | p50 ms | p99 ms | p50 / bare |\n|---|---:|---:|---:|\n| none |" in done.stdout
    assert "record: event / bare INSERT, p50" in done.stdout
    written = output.read_text()
    assert "PostgreSQL" in written
    assert "not a measurement" in written
    assert "| event |" in written


@pytest.mark.processes
def test_the_quick_benchmark_of_seals_says_what_has_a_budget() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "seal"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITKIT_", "DJANGO_"))}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    for figure in ("2,000 new entries beyond reading", "proof from 10,000, p95", "queries of a proof", "state per log"):
        assert f"| seal: {figure}" in done.stdout or f"| seal: inclusion {figure}" in done.stdout, figure


def test_every_benchmark_is_in_the_table_of_its_document() -> None:
    text = (REPOSITORY / "benchmarks/README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(NAMES)
    assert f"one of: {' '.join(NAMES)};" in text


def test_a_budget_is_missed_on_the_wrong_side_only() -> None:
    ceiling = Budget(name="time", got=0.3, wanted=0.25, unit="ms")
    floor = Budget(name="rate", got=0.3, wanted=0.25, is_floor=True)
    assert not ceiling.is_met
    assert floor.is_met
    section = Section(title="t", note="n", columns=("a",), rows=(), budgets=(ceiling, floor))
    text = budgets_text([section])
    assert "| time | 0.300 ms | ≤ 0.250 ms | **no** |" in text
    assert "| rate | 0.300 | ≥ 0.250 | yes |" in text


def test_a_quantile_is_a_sample() -> None:
    samples = [float(value) for value in range(100, 0, -1)]
    assert quantile(samples, 0.5) == 51
    assert quantile(samples, 0.99) == 100
    assert quantile([7.0], 0.99) == 7


def test_each_variant_leads_in_its_turn() -> None:
    assert [rotated("abc", by)[0] for by in range(4)] == ["a", "b", "c", "a"]
    assert sorted(rotated("abc", 2)) == ["a", "b", "c"]


def test_a_ratio_is_that_of_the_same_round() -> None:
    # In the second round the machine was ten times slower: the ratio of the medians would be 1.1.
    assert per_round_ratio([2.0, 20.0, 2.2], [1.0, 10.0, 2.0]) == 2.0


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (1.234, "1.23"), (0.1234, "0.123")], ids=str
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_table_is_markdown() -> None:
    assert table(("way", "ms"), [("batch()", 1)]) == "| way | ms |\n|---|---:|\n| batch() | 1 |"
