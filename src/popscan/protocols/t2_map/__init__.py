"""T2 maps of the heart: fitted to images with T2 preparation, or ready-made."""

from dataclasses import replace

from popscan.protocol import Biomarkers, Outcome, Quality, Series, Words
from popscan.protocols.t1_map import PROTOCOL as T1_MAP

#: What is not of T2 is as in T1 maps: regions that come with the images, audit, configuration.
PROTOCOL = replace(
    T1_MAP,
    name="t2_map",
    version="5",
    title="Heart MR, T2 map",
    series=(Series(view="t2", title="T2 map", suffixes=("T2map", "T2prep"), dimensions=4),),
    sources={"bids": "popscan.io.mapping:BidsMaps"},
    words=Words(
        organ="heart",
        acquisition="T2 maps of the heart",
        limits=(
            T1_MAP.words.limits[0],
            "T2 by T2 preparation depends on the readout, its flip angle and the field; values "
            "compare within one sequence and field strength.",
        ),
        parts={"t2": "T2"},
        capitals=("t2",),
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
        intervals="popscan.protocols.t1_map.sampled:T2_INTERVALS",
        interval_values="popscan.protocols.t1_map.sampled:t2_intervals",
    ),
    sorting=None,
    methods_text="popscan.protocols.t2_map.parts:sentences",
    report_blocks=("popscan.protocols.t2_map.parts:values",),
    columns={
        name: T1_MAP.columns[name]
        for name in ("map_from", "map_unit", "n_samples", "fit_failed_pct")
    },
    outcomes=(
        Outcome(name="wall_t2_ms", words="T2 of the myocardium"),
        Outcome(name="lv_blood_t2_ms", words="T2 of the left-ventricular blood"),
    ),
)
