"""The pure parts of the benchmarks: turns, spread, tables, pictures, and README's figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import pytest

from benchmarks import plot, report, results, summary
from benchmarks.measure import LEAST, Run, Spread, in_turns, ratios
from benchmarks.results import Case, Findings, Target


def runs(*seconds: float) -> list[Run]:
    return [Run(value, value / 2, 1024) for value in seconds]


CASE = Case("20 files, converged", "50 ms", {"Rootwright": runs(1, 2, 3), "pyinfra": runs(10, 40)})


def findings(group: str = "converge", case: Case = CASE) -> Findings:
    targets = [Target("ours / theirs", case.ratios("pyinfra"), 0.1), Target("s", [3, 1], 1.5, " s")]
    return Findings(group, "Title & more", [case], targets, {"pyinfra": "3"}, ["Noted."])


# --- turns


def test_contenders_run_in_turns() -> None:
    order: list[str] = []

    def contender(name: str) -> Run:
        order.append(name)
        return Run(1, 1, 1)

    taken = in_turns("x", {name: partial(contender, name) for name in "ab"}, 3, 100)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(found) for name, found in taken.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("seconds", "budget", "expected"), [(1.0, 7.0, 7), (1.0, 100.0, 10), (50.0, 1.0, LEAST)]
)
def test_a_budget_bounds_the_runs_of_the_slow_and_leaves_them_enough(
    seconds: float, budget: float, expected: int
) -> None:
    taken = in_turns("x", {"a": lambda: Run(seconds, 0, 0)}, 10, budget)
    assert len(taken["a"]) == expected


def test_fewer_runs_than_the_least_may_be_asked_for() -> None:
    assert len(in_turns("x", {"a": lambda: Run(1, 0, 0)}, 1, 0)["a"]) == 1


# --- spread and ratios


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([5, 1, 2]) == Spread(1, 2, 5, 3)
    assert Spread.of([1, 2]).median == 1.5


def test_ratios_are_taken_turn_by_turn_as_far_as_both_ran() -> None:
    assert ratios(runs(1, 2, 3), runs(2, 8)) == [0.5, 0.25]


def test_a_target_is_met_by_the_median() -> None:
    assert Target("x", [0.1, 0.2, 9], 0.2).met
    assert not Target("x", [0.1, 0.3, 9], 0.2).met


# --- what is kept


def test_what_was_found_is_read_back_as_it_was(tmp_path: Path) -> None:
    report.save(findings(), tmp_path)
    assert results.load("converge", tmp_path) == findings()
    assert results.load("ship", tmp_path) is None


def test_a_table_says_who_took_how_long_and_what_was_promised(tmp_path: Path) -> None:
    text = report.save(findings(), tmp_path)
    assert text == (tmp_path / "converge.md").read_text()
    assert "| pyinfra | 25.00 (10.00–40.00) | 2 | 0.075 (0.050–0.100) | 12.50 |" in text
    assert "| ours / theirs | ≤ 0.1 | 0.075 (0.050–0.100) | 2 | met |" in text
    assert "| s | ≤ 1.5 s | 2.000 (1.000–3.000) s | 2 | **missed** |" in text
    assert "Versions: pyinfra 3." in text
    assert text.endswith("- Noted.\n")


def test_a_name_with_a_bar_does_not_end_its_cell(tmp_path: Path) -> None:
    case = Case("x", "here", {"a": runs(1), "tar | docker": runs(2)})
    text = report.save(Findings("ship", "Title", [case]), tmp_path)
    assert "| tar \\| docker |" in text


# --- pictures


def test_a_picture_has_a_bar_for_each_contender_as_long_as_it_took() -> None:
    bars = [plot.Bar("work", name, Spread.of(times)) for name, times in (("a", [1]), ("b", [100]))]
    bars.append(plot.Bar("more <work>", "a", Spread.of([10, 11, 12])))
    svg = ET.fromstring(plot.picture("Title & more", bars))
    space = "{http://www.w3.org/2000/svg}"
    wide = [float(rect.attrib["width"]) for rect in svg.iter(f"{space}rect") if "x" in rect.attrib]
    drawn = [width for width in wide if width != 11]  # those of the legend
    assert len(drawn) == 3
    assert drawn[0] < drawn[2] < drawn[1]
    said = ["".join(text.itertext()) for text in svg.iter(f"{space}text")]
    assert said.count("a") == 1
    assert {"Title & more", "more <work>", "11"} <= set(said)


# --- README's figures


def test_readme_shows_what_the_results_give() -> None:
    assert summary.shown() == summary.block()


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    assert summary.block(tmp_path) == ""
    peers = {name: runs(9) for name in ("pyinfra", "Ansible, Mitogen", "Ansible, pipelining")}
    case = Case(CASE.what, CASE.where, {"Rootwright": runs(1), **peers})
    report.save(findings(case=case), tmp_path)
    text = summary.block(tmp_path)
    assert text.count("| Rootwright") + text.count("| 1.00 s |") == 4
    assert "ship.svg" not in text
    assert "![Title & more](benchmarks/results/converge.svg)" in text


def test_writing_the_figures_leaves_the_rest_of_readme_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"Before.\n{summary.BEGIN}old\n{summary.END}After.\n")
    report.save(findings("hosts"), tmp_path)
    summary.write(tmp_path, readme)
    new = summary.block(tmp_path)
    assert "Measured on" in new
    assert readme.read_text() == f"Before.\n{summary.BEGIN}{new}{summary.END}After.\n"
