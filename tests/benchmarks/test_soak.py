"""The soak in a few seconds, and what it calls a broken promise."""

import dataclasses

import pytest

from benchmarks import soak
from benchmarks.process_watch import Usage
from benchmarks.soak import SLACK, Tally, drift_pct, report

QUIET = Usage(0.0, 600.0, 30, 20)


def row(printed, name):
    (line,) = [line for line in printed.splitlines() if line.startswith(f"| {name} |")]
    return line.split(" | ")[1]


def test_short_soak_finds_no_wrong_mask_and_no_failure(capsys, tmp_path):
    """Whether memory stays as it is cannot be seen in seconds, so the status is not judged."""
    tiny = ["--minutes", "0.1", "--annotators", "3", "--images", "3"]
    soak.main([*tiny, "--log", str(tmp_path / "log")])
    printed = capsys.readouterr().out
    assert int(row(printed, "right masks")) > 0
    assert row(printed, "wrong masks") == "0"
    assert row(printed, "failures that were not caused") == "0", printed


def judged(tally=None, after=QUIET, drift=0.0):
    return report(tally or Tally(), 0, (QUIET, after), drift, 1.0)


def test_quiet_soak_keeps_its_promises(capsys):
    tally = Tally()
    tally.add("right")
    tally.add("", caused="image_unreachable: cut")
    assert judged(tally) == 0
    assert "broken" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["threads", "handles"])
def test_leak_breaks_a_promise(name):
    few = dataclasses.replace(QUIET, **{name: getattr(QUIET, name) + SLACK})
    many = dataclasses.replace(QUIET, **{name: getattr(QUIET, name) + SLACK + 1})
    assert (judged(after=few), judged(after=many)) == (0, 1)


def test_memory_that_grows_breaks_a_promise():
    assert judged(drift=5.1) == 1
    assert judged(after=dataclasses.replace(QUIET, resident_mb=631.0)) == 1
    assert judged(after=dataclasses.replace(QUIET, resident_mb=629.0)) == 0


def test_wrong_mask_or_failure_breaks_a_promise():
    wrong, failed = Tally(), Tally()
    wrong.add("wrong")
    failed.add("right", failed="500 internal_error for a good image")
    assert (judged(wrong), judged(failed)) == (1, 1)


def test_drift_is_of_the_last_fifth_against_the_first():
    seen = [Usage(float(at_s), mb, 1, 1) for at_s, mb in enumerate([100.0] * 2 + [300.0] * 6)]
    seen += [Usage(9.0, 110.0, 1, 1)] * 2
    assert drift_pct(seen) == pytest.approx(10)
