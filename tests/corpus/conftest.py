"""How an input of the corpus ends: with a value, a failed record of its own reason, or a message.

Anything else fails the test: another exception (``unexpected_error`` in a study), a hang, memory
beyond the limit. Each input runs through the very functions that a study runs.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from popscan.config import Config
from popscan.jsontext import canonical_json
from popscan.protocols import get_protocol
from popscan.records import Outcome, PopscanError, Scan, Subject, SubjectError
from popscan.stages.ingest.task import ingest_task
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.files import FileNames

NAMES = FileNames(get_protocol("cine_sax"))

#: Seconds of one input, and bytes that it may ask for beyond what the process has.
LIMIT_S, LIMIT_BYTES = 10, 1500 * 2**20
REASONS = set(
    re.findall(
        r"`(\w+)`",
        (Path(__file__).resolve().parents[2] / "docs" / "reasons.md").read_text(),
    )
)


@dataclass(frozen=True, kw_only=True)
class End:
    """How an input ended.

    Attributes
    ----------
    value
        What was returned; None if it was refused.
    reason
        Of a failed record; empty for a message without one, and for a value.
    message
        What was said.
    """

    value: Any = None
    reason: str = ""
    message: str = ""

    @property
    def refused(self) -> bool:
        """Whether there is no value."""
        return bool(self.message)


@contextlib.contextmanager
def bounds() -> Iterator[None]:
    """Let no input hang, and none take all memory."""

    def late(*_: object) -> None:
        raise AssertionError(f"more than {LIMIT_S} s")

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.fixture(scope="session")
def end() -> Callable[..., End]:
    """Call a reader; return how it ended. Exceptions that no user should see go through."""

    def call(reader: Callable[..., Any], *arguments: Any, **options: Any) -> End:
        try:
            with bounds():
                return End(value=reader(*arguments, **options))
        except SubjectError as error:
            said = End(reason=error.reason, message=str(error))
        except PopscanError as error:
            said = End(message=str(error))
        assert not said.reason or said.reason in REASONS, f"{said.reason} is not in docs/reasons.md"
        assert said.message.strip()
        assert len(said.message) < 4000, f"a message of {len(said.message)} characters"
        return said

    return call


@pytest.fixture
def ingest(end, tmp_path) -> Callable[..., End]:
    """Ingest one subject's folder and write what comes of it, as the stage does."""

    def run(kind: str, *folders: Path, views: tuple[str, ...] = ("sax",)) -> End:
        source = {"kind": kind, "root": str(folders[0].parent), "views": list(views)}
        options = Config.model_validate({"source": source}).model_dump()
        context = ShardContext(
            store=Store(tmp_path), shard="00000", options={**options, "version": "1"}
        )
        task = ingest_task(context)
        subject = Subject(sub="sub-1", sources=tuple(map(str, folders)))

        def work() -> Outcome:
            canonical_json(task.reads(subject))
            outcome = task.work(subject, task.load(subject))
            canonical_json([outcome.values, outcome.rows])
            json.dumps(outcome.message)
            out = tmp_path / "out"
            out.mkdir(exist_ok=True)
            for name, content in outcome.files.items():
                task.write(out / name, content)
            return outcome

        return end(work)

    return run


@pytest.fixture(scope="session")
def cine() -> Callable[[End], Scan]:
    """Return the short-axis cine of an ingest that ended well."""

    def of(ended: End) -> Scan:
        assert not ended.refused, ended.message
        return ended.value.files[NAMES.image(Subject(sub="sub-1"))]

    return of
