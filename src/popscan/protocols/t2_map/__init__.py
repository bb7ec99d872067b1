"""T2 maps of the heart: fitted to images with T2 preparation, or ready-made."""

from popscan.columns import Column, text
from popscan.protocol import (
    Biomarkers,
    Outcome,
    Protocol,
    Quality,
    Segmentation,
    Series,
    Words,
)
from popscan.protocols.t1_map.labels import LABELS

PROTOCOL = Protocol(
    name="t2_map",
    title="Heart MR, T2 map",
    series=(
        Series(view="t2", title="T2 map", suffixes=("T2map", "T2prep"), dimensions=4),
    ),
    labels=LABELS,
    sources={"bids": "popscan.io.mapping:BidsMaps"},
    reads_maps=True,
    ingest="popscan.protocols.t1_map.ingest:prepare",
    words=Words(
        organ="heart",
        acquisition="T2 maps of the heart",
        limits=(
            "The regions come with the images: nothing is segmented, and how well they were drawn "
            "is not judged beyond the checks of QC.",
            "T2 by T2 preparation depends on the readout, its flip angle and the field; values "
            "compare within one sequence and field strength.",
        ),
        parts={"t2": "T2"},
        capitals=("t2",),
    ),
    segmentation=Segmentation(
        methods={"given": "popscan.segment.given:given_labels"},
        method="given",
        bundle="",
        columns="popscan.segment.given:COLUMNS",
    ),
    quality=Quality(
        checks="popscan.protocols.t2_map.parts:CHECKS",
        context="popscan.protocols.t1_map.qc:MapContext",
    ),
    biomarkers=Biomarkers(
        methods={"regions": "popscan.protocols.t2_map.parts:measure"},
        method="regions",
        dictionary="popscan.protocols.t2_map.parts:DICTIONARY",
        details="popscan.protocols.t2_map.parts:DETAILS",
    ),
    methods_text="popscan.protocols.t2_map.parts:sentences",
    report_blocks=("popscan.protocols.t2_map.parts:values",),
    columns={
        "map_from": text("raw: fitted by popscan; map: ready-made", "source"),
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
        Outcome(name="wall_t2_ms", words="T2 of the myocardium"),
        Outcome(name="lv_blood_t2_ms", words="T2 of the left-ventricular blood"),
    ),
)  # fmt: skip
