"""What a run shows in a log: rate and expected end, at intervals that grow with the run."""

from __future__ import annotations

import io
import logging
import re
import time
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_popscan as plugin
from popscan.commands.progress import RunProgress


def test_the_pace_is_that_since_the_total_was_known() -> None:
    run = RunProgress()
    assert run.pace(0.0) is None
    run.counted(1, 3, 0.0)
    run.counted(2, 41, 100.0)  # the plan is made: what comes is known
    assert run.pace(100.0) is None
    for n in range(1, 6):
        run.counted(2 + n, 41, 100.0 + 30 * n)
    rate, left_s = run.pace(250.0)
    assert (rate, left_s) == (pytest.approx(2.0), pytest.approx(34 * 30))
    assert run.pace(400.0)[0] == pytest.approx(1.0), "a job that hangs slows the pace down"
    run.counted(41, 41, 500.0)
    assert run.pace(500.0) is None


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch):
    """A handler that writes into memory, and its clock."""
    stream, clock = io.StringIO(), SimpleNamespace(now=1000.0)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(plugin.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(plugin.threading.Thread, "start", lambda self: None)
    settings = SimpleNamespace(stdout=False, nocolor=True, dryrun=False)
    handler = plugin.LogHandler(common_settings=settings, settings=None)
    return handler, stream, clock


def event(handler: logging.Handler, kind: LogEvent, **facts: object) -> None:
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    record.__dict__.update(event=kind, **facts)
    handler.emit(record)


def test_lines_of_a_log_come_at_growing_intervals_with_rate_and_end(log) -> None:
    handler, stream, clock = log
    event(handler, LogEvent.RUN_INFO, stats={"segment": 2000, "total": 2000})
    event(handler, LogEvent.JOB_INFO, jobid=1, rule_name="segment", output=["x.txt"])
    for n in range(1, 1441):
        clock.now += 60.0
        event(handler, LogEvent.PROGRESS, done=n, total=2000)
    lines = [line for line in stream.getvalue().splitlines() if " jobs" in line]
    lines = [line for line in lines if "begins" not in line]
    assert 100 < len(lines) < 200, "a day's run"
    assert "1 of 2000 jobs, segment" in lines[0]
    assert "a minute" not in lines[0], "no rate from one job"
    assert re.search(r"1.0 a minute, end expected about \d\d \w{3} \d\d:\d\d$", lines[5])
    assert re.search(r"1.0 a minute, end expected about \d\d:\d\d$", lines[-1])


def test_a_job_that_takes_hours_leaves_no_silence(log) -> None:
    handler, stream, clock = log
    event(handler, LogEvent.JOB_INFO, jobid=1, rule_name="atlas", output=["x.txt"])
    event(handler, LogEvent.PROGRESS, done=1, total=2)
    before = stream.getvalue().count("1 of 2 jobs, atlas")
    waits = iter([False] * 3600 + [True])

    def wait(seconds: float) -> bool:
        clock.now += seconds
        return next(waits)

    handler.closed = SimpleNamespace(wait=wait)
    handler._beat()
    assert 10 < stream.getvalue().count("1 of 2 jobs, atlas") - before < 60


def test_rates_below_one_a_minute_are_by_the_hour() -> None:
    now = time.mktime((2026, 1, 5, 10, 0, 0, 0, 0, -1))
    assert plugin._expected((0.05, 3600.0), now) == "3.0 an hour, end expected about 11:00"
    assert plugin._expected((120.0, 60.0), now) == "120 a minute, end expected about 10:01"
    assert plugin._expected(None, now) == ""
