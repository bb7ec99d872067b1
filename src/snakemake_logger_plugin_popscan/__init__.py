"""Snakemake's ``--logger popscan``: stages, subjects and failures by reason, not lists of jobs.

Errors and warnings are shown in Snakemake's words; its log in ``.snakemake/log`` stays whole.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from popscan.commands.progress import RunProgress

#: Seconds until the first line of progress where there is no terminal to redraw one. Later lines
#: are a twentieth of the time so far apart, up to ten minutes: a day's log has some 150 of them.
LINE_EVERY, LONGEST = 30.0, 600.0

_ERRORS = (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR)


class LogHandler(LogHandlerBase):
    """One line per stage that begins or ends, and a progress bar where there is a terminal."""

    def __post_init__(self) -> None:
        self.run = RunProgress()
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        # Off a terminal rich would break lines at 80 characters, also within a path.
        width = None if stream.isatty() else 10_000
        self.console = Console(
            file=stream, no_color=self.common_settings.nocolor, highlight=False, width=width
        )
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("jobs"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task("", total=None, failed="", start=False)
        self.began = self.last_line = time.monotonic()
        self.report = ""
        self.closed = threading.Event()
        if not self.console.is_terminal:
            # A job may take hours, in which Snakemake reports nothing.
            threading.Thread(target=self._beat, daemon=True).start()

    @property
    def writes_to_stream(self) -> bool:
        """Whether this plugin writes to stderr or stdout."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Whether this plugin writes to a file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether this plugin has a filter of its own; Snakemake's would hide what is counted."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Whether this plugin has a formatter of its own."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """Whether this plugin needs the graph of rules."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Count an event, and print what a person would want to know of it."""
        try:
            self._take(record)
        except Exception:  # as `logging` asks of handlers: a fault here must not stop the run
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        event: Any = getattr(record, "event", None)
        if self.common_settings.dryrun or record.levelno >= logging.WARNING or event in _ERRORS:
            if event != LogEvent.SHELLCMD and (text := self.format(record)):
                self._print(text)
        elif event == LogEvent.RUN_INFO:
            self.run.planned({k: v for k, v in record.stats.items() if k != "total"})
        elif event == LogEvent.JOB_INFO:
            outputs = [str(path) for path in record.output]
            self.report = next((o for o in outputs if o.endswith("index.html")), self.report)
            # What has no output only gathers the others.
            if outputs and (rule := self.run.job(record.jobid, record.rule_name, outputs)):
                self._begin(rule)
        elif event == LogEvent.JOB_FINISHED:
            if rule := self.run.finished(record.job_id):
                self._end(rule)
        elif event == LogEvent.PROGRESS:
            self.run.counted(record.done, record.total, time.monotonic())
            self._show()
        elif event is None and str(record.msg).startswith("Nothing to be done"):
            self._print(str(record.msg))

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _begin(self, rule: str) -> None:
        if self.console.is_terminal and not self.bar.live.is_started:
            self.bar.start()
        stage = self.run.stages[rule]
        jobs = f": {stage.jobs} jobs" if stage.jobs > 1 else ""
        self._print(f"{time.strftime('%H:%M:%S')}  {rule} begins{jobs}")

    def _end(self, rule: str) -> None:
        sentence = self.run.stages[rule].sentence()
        self._print(f"{time.strftime('%H:%M:%S')}  {rule} done{': ' if sentence else ''}{sentence}")

    def _show(self) -> None:
        failed = f"failed subjects: {self.run.n_failed}" if self.run.n_failed else ""
        running = [name for name, stage in self.run.stages.items() if stage.done < stage.jobs]
        if self.console.is_terminal:
            self.bar.start_task(self.task)
            self.bar.update(
                self.task,
                description=running[-1] if running else "",
                completed=self.run.done,
                total=self.run.total,
                failed=failed,
            )
        elif running and self._is_due(now := time.monotonic()):
            self.last_line = now
            jobs = f"{self.run.done} of {self.run.total} jobs"
            parts = [jobs, *running[-3:], failed, _expected(self.run.pace(now), time.time())]
            self._print(f"{time.strftime('%H:%M:%S')}  {', '.join(part for part in parts if part)}")

    def _is_due(self, now: float) -> bool:
        wait = min(max(LINE_EVERY, (self.last_line - self.began) / 20), LONGEST)
        return self.run.total > 0 and now - self.last_line >= wait

    def _beat(self) -> None:
        """Show a line when it is due, whether or not a job has ended."""
        while not self.closed.wait(1.0):
            self.acquire()
            try:
                self._show()
            finally:
                self.release()

    def close(self) -> None:
        """Remove the bar; say where the report is."""
        self.closed.set()
        self.bar.stop()
        if self.report and self.run.total and self.run.done == self.run.total:
            self._print(f"The report: {self.report}")
            self.report = ""  # the handler is closed twice
        super().close()


def _expected(pace: tuple[float, float] | None, now: float) -> str:
    """Say how fast jobs end and when the last would; empty where nothing is known yet."""
    if pace is None:
        return ""
    a_minute, left_s = pace
    rate = f"{a_minute:.0f} a minute" if a_minute >= 10 else f"{a_minute:.1f} a minute"
    if a_minute < 1:
        rate = f"{60 * a_minute:.1f} an hour"
    end = time.localtime(now + left_s)
    day = "%H:%M" if left_s < 12 * 3600 else "%d %b %H:%M"
    return f"{rate}, end expected about {time.strftime(day, end)}"
