"""T1 maps of the heart: fitted to inversion-recovery images (MOLLI, ShMOLLI), or ready-made."""

from popscan.columns import Column, text
from popscan.protocol import (
    Biomarkers,
    Outcome,
    Protocol,
    Quality,
    Segmentation,
    Series,
    Sorting,
    Words,
)
from popscan.protocols.t1_map.labels import LABELS

PROTOCOL = Protocol(
    name="t1_map",
    version="5",
    title="Heart MR, T1 map",
    series=(
        Series(
            view="t1", title="T1 map", suffixes=("T1map", "IRT1"), dimensions=4,
            ukb_fields={20214: ""},
        ),
    ),
    labels=LABELS,
    sources={
        "bids": "popscan.io.mapping:BidsMaps",
        "dicom": "popscan.io.mapping_dicom:DicomMaps",
        "ukb": "popscan.io.ukb:Ukb",
    },
    source_section="mapping",
    ingest="popscan.protocols.t1_map.ingest:prepare",
    words=Words(
        organ="heart",
        acquisition="T1 maps of the heart",
        limits=(
            "The regions come with the images, unless segment.method is probabilistic: how right "
            "its network is on acquired maps is known only where its bundle states it. How well "
            "regions were drawn is not judged beyond the checks of QC.",
            "T1 of MOLLI-like sequences depends on heart rate, T2, flip angle and magnetisation "
            "transfer; values compare within one sequence and field strength.",
        ),
        parts={"t1": "T1"},
        capitals=("t1",),
    ),
    segmentation=Segmentation(
        methods={
            "given": "popscan.segment.given:given_labels",
            "probabilistic": "popscan.protocols.t1_map.segmentation:probabilistic",
        },
        method="given",
        bundle="",
        bundles={"probabilistic": "t1_map"},
        columns="popscan.protocols.t1_map.columns:SEGMENTATION",
        training="popscan.protocols.t1_map.training.kind:KIND",
        proof_needed=True,
    ),
    quality=Quality(
        checks="popscan.protocols.t1_map.qc:CHECKS",
        context="popscan.protocols.t1_map.qc:MapContext",
    ),
    biomarkers=Biomarkers(
        methods={"regions": "popscan.protocols.t1_map.biomarkers:measure"},
        method="regions",
        dictionary="popscan.protocols.t1_map.biomarkers:DICTIONARY",
        details="popscan.protocols.t1_map.biomarkers:DETAILS",
        intervals="popscan.protocols.t1_map.sampled:T1_INTERVALS",
        interval_values="popscan.protocols.t1_map.sampled:t1_intervals",
    ),
    methods_text="popscan.protocols.t1_map.methods:sentences",
    report_blocks=("popscan.protocols.t1_map.report:values",),
    columns={
        "map_from": text("raw: fitted by popscan; map: ready-made", "source"),
        "scheme": text("how raw images were fitted", "header or config"),
        "scheme_by": text("whether header or config says so", "header or config"),
        "signs_by": text("phase: signs from phase images; fit: from the best fit", "ingest"),
        "map_unit": text("unit of a ready-made map, as it was read", "ingest"),
        "n_samples": Column("images", "raw images that the map was fitted to", "ingest"),
        "fit_failed_pct": Column("%", "voxels above the background without a value", "ingest"),
    },
    config={
        "associate": {"terms": ["age_years", "sex"]},
        "fairness": {"adjust_for": ["age_years"]},
        "visibility": {"sources": ["biomarkers"]},
    },
    outcomes=(
        Outcome(name="wall_t1_ms", words="T1 of the myocardium"),
        Outcome(name="lv_blood_t1_ms", words="T1 of the left-ventricular blood"),
    ),
    sorting=Sorting(
        names={
            "t1_inversions": "T1 mapping, inversion images",
            "t1_inversions_phase": "T1 mapping, phase of inversion images", "t1_map": "T1 map",
        },
        find="popscan.protocols.t1_map.sorting:find",
    ),
)  # fmt: skip
