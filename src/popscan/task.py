"""One stage as the runner sees it: a task of callables, and a subject to be worked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from popscan.records import Outcome, PopscanError, Subject

#: What a stage loads of a subject and works on.
Inputs = TypeVar("Inputs")


#: Ends the work on a subject; may raise `SubjectError`.
Ending = Callable[[], Outcome]


class MachineError(PopscanError):
    """The machine failed, not the subject (disk full, no GPU driver): the job stops."""


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Inputs]):
    """One stage, as the runner sees it.

    Attributes
    ----------
    stage, version
        Name, and version of its code: another version means other results.
    options
        Options really used (JSON-able), and digests of models: they enter the fingerprint.
    reads
        Subject -> what its work depends on (JSON-able): size and mtime of raw inputs, digests of
        other stages' outputs. May raise `SubjectError`.
    load
        Subject -> inputs in memory; runs in a thread, ahead of the work.
    work
        Subject, inputs -> outcome: the stage's pure function.
    write
        Path, object of ``Outcome.files`` -> writes it; runs in a thread, behind the work.
    upstream
        Stages whose failure means that this one is skipped.
    cores
        Cores that the job was given.
    together, work_together
        How many subjects' work may be done at once, and what does it: subjects with their inputs ->
        for each, in order, what ends its work and returns its outcome, in a thread behind the
        work. If it raises, its subjects are worked on one by one, so that a failure stays with
        the subject that caused it.
    source_folder
        Subject -> folder of an earlier stage: files that are written here and lie there with the
        same name and content are stored once, as hard links.
    """

    stage: str
    version: str
    options: Mapping[str, object]
    reads: Callable[[Subject], Mapping[str, object]]
    load: Callable[[Subject], Inputs]
    work: Callable[[Subject, Inputs], Outcome]
    write: Callable[[Path, Any], object]
    upstream: tuple[str, ...] = ()
    cores: int = 1
    together: int = 1
    work_together: Callable[[Sequence[tuple[Subject, Inputs]]], Sequence[Ending]] | None = None
    source_folder: Callable[[Subject], Path] | None = None


@dataclass(frozen=True, kw_only=True)
class Todo:
    """A subject to be worked on, and the fingerprint that its record will carry."""

    subject: Subject
    fingerprint: str
