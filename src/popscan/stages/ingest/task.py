"""Task of the stage ingest: raw scans of any source to one checked 4D scan per view."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popscan.config import Source
from popscan.io.sources import Loaded, get_source
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.protocols import DEFAULT, get_protocol, protocol_key
from popscan.records import KSpace, LabelMap, Outcome, Scan, Subject, SubjectError
from popscan.stages import upstream_of
from popscan.stages.ingest.notes import header_notes, unlabelled_notes
from popscan.study.context import ShardContext
from popscan.study.files import FileNames
from popscan.task import Task

if TYPE_CHECKING:
    from popscan.io.sources import Loaded


def ingest_task(context: ShardContext) -> Task[Loaded]:
    """Read raw scans of any source; write one checked 4D scan per view, k-space, references."""
    source = context.section(Source)
    simulated = source.kind == "simulated"
    of_kind: Mapping[str, dict[str, Any]] = {
        "dicom": {"max_tilt_deg": source.max_tilt_deg},
        "ukb": {"max_tilt_deg": source.max_tilt_deg},
        "bids": {"labels": source.labels},
        "kspace": {"kspace": source.kspace.model_dump()},
    }
    rules = of_kind.get(source.kind, {})
    if section := context.protocol.source_section:
        rules = {**rules, section: getattr(source, section).model_dump()}

    def reads(subject: Subject) -> Mapping[str, object]:
        if simulated:
            return {"simulate": context.digest("simulate", subject)}
        if source.kind == "ukb":
            from popscan.io.ukb import Ukb

            # A zip of a view that is not read may come, change or go.
            needed = Ukb(context.protocol).needed(subject.sources, tuple(source.views))
            return {
                "files": stat_sources(
                    replace(subject, sources=tuple(needed)) if needed else subject
                )
            }
        return {"files": stat_sources(subject)}

    def load(subject: Subject) -> Loaded:
        if simulated:
            return _load_simulated(context, subject)

        views = tuple(source.views)
        return get_source(source.kind, context.protocol).load(subject.sources, views=views, **rules)

    def work(subject: Subject, loaded: Loaded) -> Outcome:
        check_required(loaded, context.protocol, source.views)
        return _ingest_outcome(subject, loaded, codes=source.label_codes, protocol=context.protocol)

    return Task(
        stage="ingest",
        version=context.version,
        # Where the raw data lies is no part of what they say: the files themselves are compared.
        options={
            "kind": source.kind,
            "views": source.views,
            **protocol_key(context.protocol),
            "label_codes": {str(code): name for code, name in source.label_codes.items()},
            **rules,
        },
        reads=reads,
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("ingest") if simulated else (),
        source_folder=(
            (lambda subject: context.store.stage_folder("simulate", subject.folder))
            if simulated
            else None
        ),
    )


def stat_sources(subject: Subject) -> list[tuple[str, int, int]]:
    """Name, size and mtime of every raw file of a subject.

    A link that leads nowhere (a file that was not fetched yet) counts as (name, -1, 0): whether it
    is needed, the source knows.

    Raises
    ------
    SubjectError
        If there is none (reason ``no_images``), or one cannot be asked (``unreadable_input``).
    """
    from popscan.io.walk import walk

    found: list[tuple[str, int, int]] = []
    for source in map(Path, subject.sources):
        paths = [source]
        if source.is_dir():
            paths = sorted(Path(place, name) for place, names in walk(source) for name in names)
        for number, path in enumerate(paths, 1):
            name = str(path.relative_to(source.parent))
            try:
                stat = path.stat()
            except OSError as error:
                if isinstance(error, FileNotFoundError) and path.is_symlink():
                    found.append((name, -1, 0))
                    continue
                # By number: files are often named after the person.
                raise SubjectError(
                    "unreadable_input",
                    f"{source}: file {number} of {len(paths)} cannot be read ({error.strerror})",
                ) from error
            if path.is_file():
                found.append((name, stat.st_size, stat.st_mtime_ns))
    if not found:
        if not subject.sources:
            words = "the cohort table lists this subject, but no images exist"
        else:
            words = f"{', '.join(subject.sources)}: no file there or below"
        raise SubjectError("no_images", words)
    return found


def _load_simulated(context: ShardContext, subject: Subject) -> Loaded:
    from popscan.io.kspace import read_kspace
    from popscan.io.nifti import read_labels, read_scan

    view = context.protocol.view
    if context.has("simulate", subject, context.names.kspace(subject)):
        kspace = {
            view: read_kspace(context.path("simulate", subject, context.names.kspace(subject)))
        }
        reference = context.names.image(subject, desc="reference")
        references = {view: read_scan(context.path("simulate", subject, reference))}
        scans: dict[str, Scan] = {}
    else:
        scans = {view: read_scan(context.path("simulate", subject, context.names.image(subject)))}
        kspace, references = {}, {}
    labels = read_labels(
        context.path("simulate", subject, context.names.labels(subject, desc="reference"))
    )
    return Loaded(
        scans=scans, kspace=kspace, labels={view: labels}, references=references, extra={}
    )


def check_required(loaded: Loaded, protocol: Protocol, views: Sequence[str]) -> None:
    """Refuse a visit that lacks a series which the protocol requires and the study reads.

    Raises
    ------
    SubjectError
        ``series_missing``, naming what is expected and what is there.
    """
    there = {*loaded.scans, *loaded.kspace}
    if not there:
        return  # reported where nothing at all is there
    lacking = [one for one in protocol.series if one.required and one.view in views]
    lacking = [one for one in lacking if one.view not in there]
    if lacking:
        expected = " and ".join(f"{one.view} ({one.title})" for one in lacking)
        raise SubjectError(
            "series_missing",
            f"protocol {protocol.name} requires {expected}; found {', '.join(sorted(there))}",
        )


def _ingest_outcome(
    subject: Subject,
    loaded: Loaded,
    *,
    codes: Mapping[int, str] | None = None,
    protocol: Protocol | None = None,
) -> Outcome:
    from popscan.ingest import check_kspace
    from popscan.io.references import usable_references

    protocol = protocol or get_protocol(DEFAULT)
    names = FileNames(protocol)
    labelled, problems = usable_references(loaded, codes, protocol=protocol)
    files: dict[str, object] = {}
    values: dict[str, object] = dict(loaded.extra)
    scans: dict[str, Scan] = {}
    references: dict[str, LabelMap] = {}
    for view, scan in loaded.scans.items():
        scans[view], turned, more = _prepared(protocol, scan, labelled.get(view))
        values |= more
        if turned is not None:
            references[view] = turned
    kspaces: dict[str, KSpace] = {
        view: check_kspace(k, series=protocol.series) for view, k in loaded.kspace.items()
    }
    if not scans and not kspaces:
        raise SubjectError("no_images", "no scan of the views asked for was found")
    for view, scan in scans.items():
        files[names.image(subject, view)] = scan
    for view, kspace in kspaces.items():
        files[names.kspace(subject, view)] = kspace
    for view, reference in loaded.references.items():
        files[names.image(subject, view, desc="reference")] = reference
    for view in kspaces:
        if view in labelled:
            references[view] = labelled[view]
    for view, labels in references.items():
        grid = scans.get(view) or _grid_of(kspaces[view], labels)
        files[names.labels(subject, view, desc="reference")] = (labels, grid)
    acquired: dict[str, Scan | KSpace] = {**kspaces, **scans}
    values.update(describe(acquired.get(protocol.view) or next(iter(acquired.values()))))
    values.update(views=" ".join(sorted(acquired)), **left_out(acquired))
    notes = [*loaded.notes, *unlabelled_notes(loaded, labelled)]
    notes += [f"{view}: {note}" for view, scan in scans.items() for note in header_notes(scan)]
    if protocol.notes:
        notes_of = load_place(protocol.notes)
        notes += [f"{view}: {note}" for view, scan in scans.items() for note in notes_of(scan)]
    values["ingest_notes"] = "; ".join(notes)
    values |= _reference_problem(problems, protocol.view)
    return Outcome(files=files, values=values, message=_said(values))


def _reference_problem(problems: Mapping[str, SubjectError], view: str) -> dict[str, str]:
    """Columns that say why labels that are there are no reference; empty where nothing is wrong."""
    error = problems.get(view) or next(iter(problems.values()), None)
    return {
        "reference_problem": "" if error is None else error.reason,
        "reference_message": "" if error is None else str(error),
    }


def _prepared(
    protocol: Protocol, scan: Scan, labels: LabelMap | None
) -> tuple[Scan, LabelMap | None, Mapping[str, object]]:
    """Check and turn a scan; where it fails, say what was left out of it, too."""
    from popscan.ingest import prepare

    try:
        return prepare(protocol, scan, labels)
    except SubjectError as error:
        left = scan.meta.get("images_left_out_reason")
        if not left:
            raise
        raise SubjectError(error.reason, f"{error} (left out: {left})") from error


def _grid_of(kspace: KSpace, labels: LabelMap) -> Scan:
    """Scan that only says on which grid the labels of a k-space study lie."""
    return Scan(
        array=labels.array,
        affine=kspace.affine,
        spacing_mm=kspace.spacing_mm,
        frame_times_ms=kspace.frame_times_ms,
        view=kspace.view,
    )


def left_out(acquired: Mapping[str, Scan | KSpace]) -> dict[str, int | str]:
    """Columns that say how many images of the views were not used, and why."""
    reasons = {view: str(s.meta.get("images_left_out_reason", "")) for view, s in acquired.items()}
    unread = [str(s.meta["views_unread"]) for s in acquired.values() if "views_unread" in s.meta]
    named = [f"{view}: {reason}" for view, reason in sorted(reasons.items()) if reason]
    return {
        "images_left_out": sum(int(s.meta.get("images_left_out", 0)) for s in acquired.values()),
        "images_left_out_reason": "; ".join([*named, *unread]),
    }


def _said(values: Mapping[str, object]) -> str:
    """Sentence for the ledger where not all that is there is used."""
    reason = values["images_left_out_reason"]
    sentences = [f"{values['images_left_out']} images left out ({reason})"] if reason else []
    sentences += [str(values["ingest_notes"])] if values["ingest_notes"] else []
    if values["reference_problem"]:
        sentences.append(f"reference labels not used: {values['reference_message']}")
    return "; ".join(sentences)


def describe(scan: Scan | KSpace) -> dict[str, float | str]:
    """Columns that say how a scan was acquired."""
    shape = scan.array.shape if isinstance(scan, Scan) else scan.data.shape[1:]
    meta = scan.meta
    return {
        "n_slices": int(shape[2]),
        "n_frames": int(shape[3]),
        "pixel_spacing_mm": round(float(scan.spacing_mm[0]), 4),
        "slice_distance_mm": round(float(scan.spacing_mm[2]), 3),
        "manufacturer": str(meta.get("manufacturer") or ""),
        "field_strength_t": float(meta.get("field_strength_t") or math.nan),
    }
