"""A cine reduced to end-diastole and end-systole."""

from __future__ import annotations

from dataclasses import replace

from popscan.protocols.cine_sax.qc.context import Context


def two_frames(ctx: Context) -> Context:
    """Return the context of end-diastole and end-systole alone."""
    if ctx.labels is None or ctx.n_frames <= 2 or ctx.phases[1] is None:
        return ctx
    frames = [ctx.ed, ctx.es]
    meta = {**ctx.scan.meta, "frame_labels": ["ED", "ES"]}
    scan = replace(ctx.scan, array=ctx.scan.array[..., frames], frame_times_ms=None, meta=meta)
    return Context(
        scan, ctx.labels[..., frames], from_segmentation={**ctx.from_segmentation, "base": {}}
    )
