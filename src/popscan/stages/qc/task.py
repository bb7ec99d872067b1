"""Task of the stage qc: checks of image and segmentation."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.config import Qc
from popscan.protocol import load as load_place
from popscan.protocols import protocol_key
from popscan.records import LabelMap, Outcome, Scan, Status, Subject
from popscan.stages import upstream_of
from popscan.stages.segment.uncertainty import read_samples
from popscan.study.context import ShardContext
from popscan.study.reading import read_digests, scan_and_labels
from popscan.task import Task


def qc_task(context: ShardContext) -> Task[tuple[Scan, LabelMap, Mapping[str, object]]]:
    """Check image and segmentation; a verdict of fail excludes the subject from analysis."""
    section = context.section(Qc)
    quality = context.protocol.quality

    def load(subject: Subject) -> tuple[Scan, LabelMap, Mapping[str, object]]:
        return (*scan_and_labels(context, subject), read_samples(context, subject))

    def work(subject: Subject, inputs: tuple[Scan, LabelMap, Mapping[str, object]]) -> Outcome:
        from popscan.qc import run_checks, verdict

        scan, labels, samples = inputs
        from_segmentation = {
            **context.record("segment", subject).values,
            "base": samples.get("base", {}),
        }
        shared = load_place(quality.context)(
            scan, labels.array, from_segmentation=from_segmentation
        )
        checks = run_checks(load_place(quality.checks), shared, thresholds=section.thresholds)
        overall = verdict(checks)
        failed = [c.name for c in checks if c.verdict == "fail"]
        review = [c.name for c in checks if c.verdict == "review"]
        return Outcome(
            rows=tuple(c.row() for c in checks),
            values={"verdict": overall, "failed": " ".join(failed), "review": " ".join(review)},
            status=Status.EXCLUDED if overall == "fail" else Status.OK,
            reason="qc_fail" if overall == "fail" else "",
            message=f"QC: {', '.join(failed)}" if failed else "",
        )

    return Task(
        stage="qc",
        version=context.version,
        options={"thresholds": section.thresholds, **protocol_key(context.protocol)},
        reads=lambda subject: read_digests(context, subject),
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("qc"),
    )
