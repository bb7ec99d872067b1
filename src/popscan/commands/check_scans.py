"""``popscan check`` opens scans: what ingest would say of a sample of the subjects, or of all.

The work is that of the stage ingest itself, without its files. What the readers report of a scan
(left-out images, guessed orders) and what fails is counted and reported with a first example.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popscan.config import Study as StudySection
from popscan.config import study_seed
from popscan.plan import Planned
from popscan.protocols.cine_sax.cycle import CYCLE_MS, cycle_length_ms, is_cycle_ms
from popscan.records import KSpace, LabelMap, Outcome, Scan, Subject, SubjectError
from popscan.store import Store
from popscan.task import Task

if TYPE_CHECKING:
    from popscan.io.sources import Loaded

#: Subjects that are opened without ``--deep``, and when no further one is begun.
N_SAMPLE, BUDGET_S = 20, 60.0
#: Reasons that are listed.
_MOST = 12
#: What readers say of a scan, where it means that something was left out or guessed: key of
#: ``Scan.meta`` -> sentence; ``{}`` stands for the value.
_TO_MEND: Mapping[str, str] = {
    "slices_left_out": "slices of the stack are left out ({})",
    "slice_tilt_deg": "slices are tilted against each other by {} degrees",
    "n_frames_of_reference": "slices lie in {} frames of reference: the patient may have moved",
    "n_copied_slices": "slices that are captured or annotated copies, without an original ({})",
    "n_undecided_slices": "slices in whose place another series may be the cine; one is read ({})",
    "slice_start_frames": "slices begin {} frames apart in the cycle",
    "trigger_time_unit": "trigger times are in {}, not in ms; they are read as such",
    "frame_order": "the order of frames is a guess (by {})",
    "labels_left_out": "reference labels are left out ({})",
    "label_note": "reference labels: {}",
    "geometry_note": "{}",
    "spacing_conflict_pct": "steps of sform and pixdim differ by {} %; QC judges it",
    "orientation_conflict_deg": "axes of sform and qform lie {} degrees apart; QC reviews it",
    "resampled_slices": "slices that a converter resampled to equal distances are taken",
}
_TO_KNOW: Mapping[str, str] = {
    "images_left_out_reason": "images left out: {}",
    "n_candidates": "several series of one view ({}); one is taken",
    "n_other_stacks": "further short-axis stacks ({}); one is taken",
    "n_runs": "several runs ({}); one is taken",
    "n_repeated_slices": "slices taken again ({}); one of each is taken",
    "views_unread": "views that cannot be read: {}",
    "affine_shear_deg": "sheared by {} degrees; brought to right angles",
    "n_tied_trigger_times": "frames with the same trigger time ({})",
    "frame_time_unit_assumed": "the header gives no unit of time; taken as {}",
}
#: Order of frames that is a guess.
_GUESS = "file_name"


@dataclass(kw_only=True)
class Opened:
    """What ingest would make of the subjects that were opened.

    Attributes
    ----------
    n_subjects, n_opened
        All that have images, and those that were opened.
    seconds
        Time that it took.
    failures
        Reason -> units.
    remarks, hints
        Sentence about scans -> units: what should be mended, and what is good to know.
    messages
        Reason or sentence -> what there is to say of the first unit.
    views, slices, frames, rates_bpm, labelled
        View -> scans; numbers of the analysed view; units with reference labels.
    """

    n_subjects: int = 0
    n_opened: int = 0
    seconds: float = 0.0
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    messages: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    hints: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    views: Counter[str] = field(default_factory=Counter)
    slices: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    rates_bpm: list[float] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Return what should be mended, one line per kind."""
        lines = [
            f"{len(units)} of {self.n_opened} opened: `{reason}`, first {units[0]}: "
            f"{self.messages[reason]}"
            for reason, units in _by_count(self.failures)
        ]
        lines += [self._line(text, units) for text, units in _by_count(self.remarks)]
        rest = len(lines) - _MOST
        return lines[:_MOST] + ([f"{rest} more kinds of problems with scans"] if rest > 0 else [])

    def notes(self) -> list[str]:
        """Return what was found, in a few lines."""
        lines = [
            f"{self.n_opened} of {self.n_subjects} subjects opened in {self.seconds:.0f} s"
            + ("" if self.n_opened == self.n_subjects else "; --deep opens all")
        ]
        if self.views:
            views = ", ".join(f"{view} ({n})" for view, n in sorted(self.views.items()))
            lines.append(
                f"views: {views}; slices {_range(self.slices)}; frames {_range(self.frames)}; "
                f"heart rate {_range(self.rates_bpm, '/min')}; reference labels of "
                f"{len(self.labelled)} subjects"
            )
        lines += [self._line(text, units) for text, units in _by_count(self.hints)[:_MOST]]
        return lines

    def _line(self, text: str, units: Sequence[str]) -> str:
        remark = text.replace("{}", self.messages.get(text, ""))
        return f"{len(units)} of {self.n_opened} opened: {remark}, first {units[0]}"


def open_scans(
    options: Mapping[str, object],
    planned: Sequence[Planned],
    *,
    deep: bool = False,
    budget_s: float = BUDGET_S,
) -> Opened:
    """Open subjects as the stage ingest does, write nothing, and say what was found.

    Parameters
    ----------
    options
        Config sections, at least source and study.
    planned
        The study's subjects.
    deep
        Open all of them, however long it takes.
    budget_s
        Without `deep`, no subject is begun after so long.
    """
    there = [p for p in planned if p.subject.sources and not p.problem]
    chosen = there if deep else sample(there, seed=study_seed(options))
    found = Opened(n_subjects=len(there))
    task = _task(options)
    began = time.monotonic()
    for one in chosen:
        if not deep and time.monotonic() - began > budget_s:
            break
        found.n_opened += 1
        _open(found, task, one.subject)
    found.seconds = time.monotonic() - began
    return found


def sample(planned: Sequence[Planned], *, seed: int, n: int = N_SAMPLE) -> list[Planned]:
    """Return at most `n` subjects: the smallest and the largest by bytes, and some of every part.

    One is drawn from each of equal parts of the order in which subjects join shards, so that all
    shards (and, with names by site, all sites) have their share. The same seed draws the same.
    """
    if len(planned) <= n:
        return list(planned)
    sizes = [sum(size for size, _ in p.stat.values()) for p in planned]
    chosen = {int(np.argmin(sizes)), int(np.argmax(sizes))}
    rng = np.random.default_rng([seed, 0xC8EC])
    rest = [i for i in range(len(planned)) if i not in chosen]
    edges = np.linspace(0, len(rest), n - len(chosen) + 1).astype(int)
    chosen |= {rest[rng.integers(low, high)] for low, high in itertools.pairwise(edges)}
    return [planned[i] for i in sorted(chosen)]


def _task(options: Mapping[str, object]) -> Task[Loaded]:
    from popscan.stages.ingest.task import ingest_task
    from popscan.study.context import ShardContext

    section = StudySection.of(options)
    study = Path(section.results, section.name)
    given = {**options, "version": "check"}
    return ingest_task(ShardContext(store=Store(study), shard="check", options=given))


def _open(found: Opened, task: Task[Loaded], subject: Subject) -> None:
    """Open one subject; whatever goes wrong is counted."""
    try:
        task.reads(subject)
        outcome = task.work(subject, task.load(subject))
    except SubjectError as error:
        _fail(found, subject, error.reason, str(error))
    except MemoryError:
        _fail(found, subject, "out_of_memory", "more memory is needed than this machine has")
    except OSError as error:
        _fail(found, subject, "unreadable_input", str(error.strerror or error))
    except Exception as error:  # as the runner: a fault of ours or of a library
        _fail(found, subject, "unexpected_error", f"{type(error).__name__}: {error}")
    else:
        _count(found, subject, outcome)


def _fail(found: Opened, subject: Subject, reason: str, message: str) -> None:
    found.failures[reason].append(subject.unit)
    text = " ".join(message.split())
    found.messages.setdefault(reason, text if len(text) <= 300 else text[:300] + "...")


def _count(found: Opened, subject: Subject, outcome: Outcome) -> None:
    values = outcome.values
    found.views.update(str(values.get("views", "")).split())
    found.slices.append(int(values["n_slices"]))
    found.frames.append(int(values["n_frames"]))
    if any(_is_labels(content) for content in outcome.files.values()):
        found.labelled.append(subject.unit)
    if values.get("reference_problem"):
        text = f"reference labels are not used (`{values['reference_problem']}`): {{}}"
        found.remarks[text].append(subject.unit)
        found.messages.setdefault(text, str(values["reference_message"])[:300])
    for scan in _scans(outcome):
        _note(found, found.remarks, subject, scan.view, _remarks(scan.meta))
        _note(found, found.hints, subject, scan.view, _filled(scan.meta, _TO_KNOW))
    first = next(_scans(outcome), None)
    if first is not None:
        _count_rate(found, subject, first)


def _scans(outcome: Outcome) -> Iterator[Scan | KSpace]:
    """Give the images (or k-space) that ingest would write."""
    for name, content in outcome.files.items():
        if hasattr(content, "meta") and "desc-reference" not in name:
            yield content


def _is_labels(content: object) -> bool:
    return isinstance(content, tuple) and bool(content) and isinstance(content[0], LabelMap)


def _note(
    found: Opened,
    groups: dict[str, list[str]],
    subject: Subject,
    view: str,
    remarks: Mapping[str, str],
) -> None:
    for sentence, value in remarks.items():
        text = f"{view}: {sentence}"
        groups[text].append(subject.unit)
        found.messages.setdefault(text, value)


def _remarks(meta: Mapping[str, object]) -> dict[str, str]:
    order = str(meta.get("frame_order") or "")
    return _filled(meta if order == _GUESS else {**meta, "frame_order": ""}, _TO_MEND)


def _filled(meta: Mapping[str, object], sentences: Mapping[str, str]) -> dict[str, str]:
    """Return sentence -> value of what `meta` says."""
    return {text: str(meta[key])[:150] for key, text in sentences.items() if meta.get(key)}


def _count_rate(found: Opened, subject: Subject, scan: Scan | KSpace) -> None:
    """Note the heart rate; an impossible cycle is reported with the habit that explains it."""
    rr_ms, times = scan.meta.get("rr_ms"), scan.frame_times_ms
    is_number = isinstance(rr_ms, (int, float)) and not isinstance(rr_ms, bool)
    recorded_ms = float(rr_ms) if rr_ms is not None and is_number else None
    cycle = cycle_length_ms(rr_ms=recorded_ms, frame_times_ms=times)
    if not np.isfinite(cycle):
        return
    if is_cycle_ms(cycle):
        found.rates_bpm.append(60000.0 / cycle)
        if factor := scan.meta.get("frame_time_factor"):
            as_given = cycle / float(factor)
            found.remarks[f"{_habit(as_given, 0.0, by_times=True)}; read so"].append(subject.unit)
        return
    step = float(np.median(np.diff(times))) if times is not None and len(times) > 1 else 0.0
    found.remarks[_habit(cycle, step, by_times=recorded_ms is None)].append(subject.unit)


def _habit(cycle_ms: float, step_ms: float, *, by_times: bool) -> str:
    what = (
        f"{'frame times' if by_times else 'the RR interval'} outside of a heart cycle "
        f"({CYCLE_MS[0]:g} to {CYCLE_MS[1]:g} ms)"
    )
    if not by_times:
        return what
    if abs(step_ms - 1000.0) < 1e-6:
        return f"{what}: 1 s per frame, as SimpleITK and nibabel write where nothing is known"
    if cycle_ms < 0.01 * CYCLE_MS[0]:
        return f"{what}: too short, as seconds that are called milliseconds"
    if cycle_ms < CYCLE_MS[0]:
        return (
            f"{what}: too short, as dcm2niix writes the repetition time of the pulse; set "
            "frame_times_ms in the sidecar"
        )
    return f"{what}: too long, as milliseconds that the header calls seconds"


def _by_count(groups: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def _range(numbers: Sequence[float], unit: str = "") -> str:
    if not numbers:
        return "unknown"
    low, high = min(numbers), max(numbers)
    text = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    return f"{text} {unit}".strip()
