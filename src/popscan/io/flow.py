"""Source ``bids`` of protocols of flow: magnitude and phase of one plane over the cycle.

``sub-1_part-mag_flow.nii.gz`` and ``sub-1_part-phase_flow.nii.gz`` (BIDS's entity ``part``), or
``X.nii.gz`` and ``X_ph.nii.gz`` as dcm2niix names them, each (x, y, 1, t). The velocity encoding is
in either sidecar (`popscan.io.flow_words`), the unit of the phase in ``Units`` of its own. Regions
are as `popscan.io.bids` has them, of every frame or of one for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.ingest.checks import header_conflicts, known_meta, number_of
from popscan.ingest.slices import slices_last
from popscan.io.bids import Bids, bids_meta
from popscan.io.bids_names import Named, ViewWords, list_named, require_content
from popscan.io.flow_words import one_venc, packed, packed_labels, sidecar_venc, single, unit_kind
from popscan.io.mapping import label_file, last_run, sidecar_of
from popscan.io.nifti import is_nifti_name, read_scan, stem_of
from popscan.io.references import read_reference
from popscan.io.sources import Loaded, one_folder
from popscan.protocols.cine_sax.cycle import rr_in_ms, times_in_ms
from popscan.records import LabelMap, Scan, SubjectError


class BidsFlow(Bids):
    """See the module."""

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        labels: str = "",
        flow: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths, views, labels
            As `Bids.load`.
        flow
            Config section ``source.flow``.

        Returns
        -------
        Loaded
            One scan of the protocol's view, (x, y, 2, t): magnitude and stored phase. Its
            ``meta["flow"]`` has ``venc_cm_s``, ``venc_by``, ``phase_kind``, ``positive``.

        Raises
        ------
        SubjectError
            ``view_missing``, ``no_phase``, ``several_images``, ``several_planes``,
            ``frame_mismatch``, ``no_venc``, ``conflicting_venc``, ``bad_phase``, and those of
            `popscan.io.nifti`.
        """
        options = dict(flow or {})
        folder = one_folder(paths)
        view = self.protocol.view
        places = [folder, *(Path(path) for path in paths[1:])]
        named = list_named(places, words=ViewWords.of(self.protocol))
        images = [item for item in named if not item.is_label and item.view == view]
        if not images:
            endings = ", ".join(f"_{end}" for end in self.protocol.series[0].suffixes)
            raise SubjectError(
                "view_missing", f"{folder}: no magnitude image (NIfTI) whose name ends in {endings}"
            )
        chosen, others = last_run(
            images, str(options.get("name", "")), option="source.flow.name"
        )  # fmt: skip
        scan = _scan(chosen[0], options)
        if others:
            left = {"images_left_out": others, "images_left_out_reason": "not of this run"}
            scan = replace(scan, meta={**scan.meta, **left})
        there = [item for item in named if item.is_label and item.view == view]
        own = [item for item in there if item.core == chosen[0].core]
        # The vessel may have moved between runs.
        own = own or [i for i in there if not any(t.startswith("run-") for t in i.core)]
        found, problem = _labels(scan, own, prefer=labels)
        return Loaded(
            scans={view: replace(scan, view=view)},
            labels={} if found is None else {view: found},
            label_problems={} if problem is None else {view: problem},
        )


def _scan(item: Named, options: Mapping[str, Any]) -> Scan:
    """Magnitude and phase as one scan, with what their sidecars say."""
    require_content(item)
    other = _phase_path(item.path)
    magnitude, phase = (slices_last(read_scan(path)) for path in (item.path, other))
    side, phase_side = sidecar_of(item.path), sidecar_of(other)
    found = {f"{key} (magnitude)": value for key, value in sidecar_venc(side).items()}
    found |= sidecar_venc(phase_side)
    venc, by = one_venc(found, float(options.get("venc_cm_s", 0.0)))
    meta: dict[str, Any] = {
        **known_meta(magnitude.meta), **bids_meta(item.path), **bids_meta(other),
        **header_conflicts([magnitude.meta, phase.meta]),
    }  # fmt: skip
    times, factor = times_in_ms(
        phase.frame_times_ms if magnitude.frame_times_ms is None else magnitude.frame_times_ms
    )
    if factor != 1.0:
        meta["frame_time_factor"] = factor
    if "rr_ms" in meta:
        meta.update(rr_in_ms(meta["rr_ms"]))
    if _is_repetition(times, side) or _is_repetition(times, phase_side):
        times = None
    facts = {
        "venc_cm_s": venc, "venc_by": by,
        "phase_kind": unit_kind(phase_side.get("Units"), str(options.get("phase", "auto"))),
        "positive": str(options.get("positive", "auto")),
    }  # fmt: skip
    return packed(replace(magnitude, frame_times_ms=times, meta=meta), phase, facts)


def _is_repetition(times: NDArray[Any] | None, side: Mapping[str, Any]) -> bool:
    """Whether the time step is but the repetition time, as dcm2niix writes it.

    Of a gated series that is the pulse's, or how long a frame was acquired, not the distance of
    the frames that were reconstructed.
    """
    repetition = number_of(side.get("RepetitionTime"))
    if times is None or len(times) < 2 or repetition is None:
        return False
    return bool(np.isclose(float(times[1] - times[0]), 1000.0 * repetition, rtol=1e-3))


def _phase_path(path: Path) -> Path:
    """Phase image beside a magnitude image, by either way of naming.

    Raises
    ------
    SubjectError
        ``no_phase``.
    """
    stem, ending = stem_of(path), path.name[len(stem_of(path)) :]
    names = [path.name.replace("part-mag", "part-phase"), f"{stem}_ph{ending}"]
    for name in names:
        other = path.with_name(name)
        if other != path and is_nifti_name(other) and other.is_file():
            return other
    raise SubjectError(
        "no_phase",
        f"{path.parent}: no phase image beside {path.name} (part-phase for part-mag, or _ph)",
    )


def _labels(
    scan: Scan, items: Sequence[Named], *, prefer: str
) -> tuple[LabelMap | None, SubjectError | None]:
    path, problem = label_file(items, prefer=prefer)
    if path is None:
        return None, problem
    try:
        return packed_labels(read_reference(path, single(scan)), scan), None
    except SubjectError as error:
        return None, error
