"""Cine cardiac MR, long axis: two- and four-chamber planes, ventricle and atria."""

from popscan.columns import Column
from popscan.protocol import (
    Beside,
    Biomarkers,
    Outcome,
    Protocol,
    Quality,
    Segmentation,
    Series,
    Simulation,
    Sorting,
    Words,
)
from popscan.protocols.cine_lax.labels import LABELS
from popscan.protocols.cine_lax.limits import LIMITS, SOURCE

PROTOCOL = Protocol(
    name="cine_lax",
    version="3",
    mb_per_subject=8,
    title="Cine cardiac MR, long axis",
    series=(
        Series(
            view="lax", title="two- and four-chamber planes", suffixes=("cine", "bold"),
            dimensions=4, time_axis="phase of the heart cycle", min_frames=2,
            ukb_fields={20208: ""},
        ),
    ),
    labels=LABELS,
    sources={
        "bids": "popscan.io.long_axis:LongAxisBids",
        "dicom": "popscan.io.long_axis:LongAxisDicom",
        "simulated": "popscan.io.simulated:Simulated",
        "ukb": "popscan.io.ukb:Ukb",
    },
    words=Words(
        organ="heart",
        acquisition="Long-axis cine cardiac MR",
        simulated="simulated by the digital heart",
        legend="LV cavity orange, myocardium yellow, RV blue, left atrium pink, right atrium "
        "green.",
        pictured="end-diastole",
        first=("lvef_pct", "lvedv_ml", "lav_max_ml", "laef_pct", "mapse_mm"),
        limits=(
            "How well labels were drawn that came with the images is not judged beyond the checks "
            "of QC; the shipped model never saw a labelled long-axis image of a patient.",
            "How right a network's labels are on acquired images is known only where its bundle "
            "states it; other networks' labels go to review unless the study lifts that limit.",
            "Biplane volumes take chambers for ellipses across the long axis and the planes for "
            "perpendicular; docs/long_axis.md says what that costs.",
        ),
        parts={
            "lv": "LV", "rv": "RV", "la": "left atrium", "ra": "right atrium",
            "myo": "myocardium", "mapse": "mitral annular excursion",
            "lav": "left atrial volume", "rav": "right atrial volume",
            "laef": "left atrial emptying fraction", "raef": "right atrial emptying fraction",
            "lasv": "left atrial stroke volume", "rasv": "right atrial stroke volume",
            **{f"lv{what}": f"LV {name}" for what, name in
               (("edv", "end-diastolic volume"), ("esv", "end-systolic volume"),
                ("sv", "stroke volume"), ("ef", "ejection fraction"))},
            "al": "area-length", "2ch": "2ch", "4ch": "4ch",
        },
        capitals=("lv*", "rv*", "la*", "ra*", "ed", "es", "myo", "mapse"),
        titles={
            "lav_max_ml": "Largest LA volume (mL)", "lav_min_ml": "Smallest LA volume (mL)",
            "lasv_ml": "LA stroke volume (mL)", "laef_pct": "LA emptying fraction (%)",
            "rav_max_ml": "Largest RA volume (mL)", "rav_min_ml": "Smallest RA volume (mL)",
            "rasv_ml": "RA stroke volume (mL)", "raef_pct": "RA emptying fraction (%)",
            "lav_max_index_ml_m2": "Largest LA volume, indexed (mL/m²)",
            "rav_max_index_ml_m2": "Largest RA volume, indexed (mL/m²)",
        },
    ),
    segmentation=Segmentation(
        methods={
            "given": "popscan.segment.given:given_labels",
            "bundle": "popscan.protocols.cine_lax.segmentation:segment",
        },
        method="given",
        bundle="",
        bundles={"bundle": "cine_lax"},
        columns="popscan.protocols.cine_lax.columns:SEGMENTATION",
        training="popscan.protocols.cine_lax.training.kind:KIND",
        proof_needed=True,
    ),
    quality=Quality(
        checks="popscan.protocols.cine_lax.qc:CHECKS",
        context="popscan.protocols.cine_lax.qc:PlanesContext",
    ),
    biomarkers=Biomarkers(
        methods={"planes": "popscan.protocols.cine_lax.biomarkers:measure"},
        method="planes",
        dictionary="popscan.protocols.cine_lax.biomarkers:DICTIONARY",
        details="popscan.protocols.cine_lax.biomarkers:DETAILS",
    ),
    methods_text="popscan.protocols.cine_lax.methods:sentences",
    phases="popscan.protocols.cine_lax.methods:phase_frames",
    phase_names=("ED", "ES"),
    outcomes=(
        Outcome(name="lvedv_ml", words="LV end-diastolic volume"),
        Outcome(name="lvef_pct", words="LV ejection fraction"),
        Outcome(name="lav_max_ml", words="largest left atrial volume"),
        Outcome(name="laef_pct", words="left atrial emptying fraction"),
        Outcome(name="mapse_mm", words="mitral annular excursion"),
    ),
    columns={
        "hr_bpm": Column("1/min", "heart rate", "cohort table"),
        "n_slices": Column("", "long-axis planes of the visit", "ingest"),
        "n_frames": Column("", "cardiac phases", "ingest"),
    },
    beside=(
        Beside(
            of="cine_sax",
            limits=LIMITS,
            source=SOURCE,
            measure="popscan.protocols.cine_lax.beside:measure",
            dictionary="popscan.protocols.cine_lax.beside:DICTIONARY",
            version="2",
        ),
    ),
    config={"visibility": {"sources": ["biomarkers"]}, "simulate": {"kspace": False}},
    simulation=Simulation(
        population="popscan.protocols.cine_sax.simulate.population:sample_population",
        subject="popscan.protocols.cine_lax.simulate.scan:simulate_subject",
        truth="popscan.protocols.cine_lax.simulate.scan:TRUTH",
    ),
    sorting=Sorting(
        names={
            "2ch_cine": "two-chamber cine", "3ch_cine": "three-chamber cine",
            "4ch_cine": "four-chamber cine", "rvot_cine": "cine of the right outflow tract",
        },
        find="popscan.protocols.cine_lax.sorting:find",
    ),
)  # fmt: skip
