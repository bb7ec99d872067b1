"""Cine cardiac MR, short axis: ventricles and myocardium over the heart cycle."""

from popscan.columns import Column
from popscan.protocol import (
    AtlasFrame,
    Biomarkers,
    CropFrame,
    Cut,
    LabelSet,
    Motion,
    Outcome,
    Protocol,
    Quality,
    Region,
    Segmentation,
    Series,
    Simulation,
    Sorting,
    Structure,
    Words,
)
from popscan.protocols.cine_sax.titles import TITLES

_CYCLE = "phase of the heart cycle"


def _long_axis(view: str, title: str, *name_words: str, ukb_field: int = 20208) -> Series:
    return Series(
        view=view, title=title, name_words=name_words, dimensions=4, time_axis=_CYCLE,
        required=False, ukb_fields={ukb_field: ""} if ukb_field else {},
    )  # fmt: skip


_LABELS = LabelSet(
    structures=(
        Structure(
            name="rv",
            code=1,
            title="RV cavity",
            colour="#56b4e9",
            on_white="#0072b2",
            words="the RV",
        ),
        Structure(
            name="myo",
            code=2,
            title="LV myocardium",
            colour="#f0e442",
            on_white="#8a6d00",
            words="the myocardium",
            encloses=(3,),
        ),
        Structure(
            name="lv",
            code=3,
            title="LV cavity",
            colour="#ff6a33",
            on_white="#c1440e",
            words="the LV",
        ),
    )
)
#: Grey levels of RV, myocardium and LV in the image that steers the atlas's registration.
_LEVELS = {"rv": 0.6, "myo": -1.0, "lv": 1.0}


def _slice(title: str, level: float) -> Cut:
    return Cut(title=title, axis=2, level=level, region="myo")


PROTOCOL = Protocol(
    name="cine_sax",
    mb_per_subject=30,
    title="Cine cardiac MR, short axis",
    series=(
        Series(
            view="sax",
            title="short axis",
            suffixes=("cine", "bold"),
            name_words=("sax", "sa", "shortaxis"),
            dimensions=4,
            time_axis=_CYCLE,
            min_slices=2,
            ukb_fields={20209: ""},
        ),
        _long_axis("2ch", "two-chamber", "2ch", "la2ch", "lax2ch", "vla"),
        _long_axis("3ch", "three-chamber", "3ch", "la3ch", "lax3ch", "lvot"),
        _long_axis("4ch", "four-chamber", "4ch", "la4ch", "lax4ch", "hla"),
        _long_axis("rvot", "right ventricular outflow tract", "rvot", ukb_field=0),
    ),
    labels=_LABELS,
    sources={
        "acdc": "popscan.io.acdc:Acdc",
        "bids": "popscan.io.bids:Bids",
        "dicom": "popscan.io.dicom:Dicom",
        "kspace": "popscan.io.kspace_source:KSpaceFiles",
        "simulated": "popscan.io.simulated:Simulated",
        "ukb": "popscan.io.ukb:Ukb",
    },
    words=Words(
        organ="heart",
        acquisition="Short-axis cine cardiac MR",
        simulated="simulated by the digital heart",
        legend="RV cavity blue, epicardium yellow, LV cavity orange.",
        pictured="end-diastole",
        first=("lvef_pct", "lvedv_ml", "lvm_g", "rvedv_ml", "rvef_pct", "lvesv_ml"),
        limits=(
            "The segmentation model was trained on one public data set and simulated scans; its "
            "card says which groups it was trained on and which it never saw.",
        ),
        parts={
            "lv": "LV", "rv": "RV", "myo": "myocardium", "lvm": "LV mass",
            **{f"{v}{what}": f"{v.upper()} {name}" for v in ("lv", "rv") for what, name in
               (("edv", "end-diastolic volume"), ("esv", "end-systolic volume"),
                ("sv", "stroke volume"), ("ef", "ejection fraction"))},
        },
        capitals=("lv*", "rv*", "la*", "ra*", "ed", "es", "co", "ci", "hr", "myo", "ef"),
        titles=TITLES,
    ),
    segmentation=Segmentation(
        methods={"bundle": "popscan.protocols.cine_sax.segmentation.inference:segment"},
        together={"bundle": "popscan.protocols.cine_sax.segmentation.inference:Together"},
        method="bundle",
        bundle="cine_sax",
        columns="popscan.protocols.cine_sax.columns:SEGMENTATION",
        training="popscan.protocols.cine_sax.training.kind:KIND",
        in_plane=True,
    ),
    quality=Quality(
        checks="popscan.protocols.cine_sax.qc.table:CHECKS",
        context="popscan.protocols.cine_sax.qc.context:Context",
        reference="popscan.protocols.cine_sax.qc.reference:check_reference",
    ),
    biomarkers=Biomarkers(
        methods={"cine_sax": "popscan.protocols.cine_sax.biomarkers.full:measure_all"},
        method="cine_sax",
        dictionary="popscan.protocols.cine_sax.biomarkers.full:ALL",
        details="popscan.protocols.cine_sax.biomarkers.full:DETAILS",
        intervals="popscan.protocols.cine_sax.biomarkers.intervals:INTERVAL_DICTIONARY",
        interval_values="popscan.protocols.cine_sax.biomarkers.samples:interval_values",
        curves="popscan.protocols.cine_sax.biomarkers.sax:volume_curves",
        common_curves="popscan.protocols.cine_sax.biomarkers.function:common_curves",
    ),
    published="popscan.protocols.cine_sax.published:published_ranges",
    orientation="popscan.protocols.cine_sax.orientation:standard_orientation",
    notes="popscan.protocols.cine_sax.cycle:cycle_notes",
    label_coding="popscan.protocols.cine_sax.coding:coding_problem",
    # Cines, but not of a view that is read.
    other_words=("la", "lax", "longaxis", "ao", "aorta", "tag", "tagging", "flow"),
    methods_text="popscan.protocols.cine_sax.methods:sentences",
    phases="popscan.protocols.cine_sax.volumes:phase_frames",
    phase_names=("ED", "ES"),
    outcomes=(
        Outcome(name="lvedv_ml", words="LV end-diastolic volume"),
        Outcome(name="lvesv_ml", words="LV end-systolic volume"),
        Outcome(name="lvef_pct", words="LV ejection fraction", most=100.0),
        Outcome(name="lvm_g", words="LV mass"),
        Outcome(name="rvedv_ml", words="RV end-diastolic volume"),
        Outcome(name="rvef_pct", words="RV ejection fraction", most=100.0),
    ),
    columns={
        "hr_bpm": Column("1/min", "heart rate", "cohort table"),
        "n_slices": Column("", "slices of the short-axis stack", "ingest"),
        "n_frames": Column("", "cardiac phases", "ingest"),
    },
    config={
        "visibility": {"sources": ["biomarkers", "labels", "heart", "image", "latent"]},
        "associate": {
            "outcomes": [
                "lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct",
            ]
        }
    },
    atlas=AtlasFrame(
        grid="popscan.protocols.cine_sax.atlas:heart_grid",
        prepare="popscan.protocols.cine_sax.atlas:prepare",
        affine="popscan.protocols.cine_sax.atlas:grid_affine",
        regions=tuple(
            Region(
                name=one.name, structures=(one.name,), words=one.words, colour=one.colour,
                level=_LEVELS[one.name],
            )
            for one in _LABELS.structures
        ),
        cuts=(_slice("basal", 0.2), _slice("mid-ventricular", 0.5), _slice("apical", 0.8)),
        words="hearts at end-diastole",
        legend="RV cavity blue, LV wall yellow, LV cavity orange.",
        phase="ED",
        cycle="popscan.protocols.cine_sax.atlas_cycle:cycle_of",
    ),
    crops=CropFrame(
        grid="popscan.protocols.cine_sax.crops:covering_heart",
        frame="popscan.protocols.cine_sax.frame:heart_frame",
        fallback="popscan.protocols.cine_sax.crops:fallback_frame",
        around="the heart",
        shown="myo",
    ),
    simulation=Simulation(
        population="popscan.protocols.cine_sax.simulate.population:sample_population",
        subject="popscan.protocols.cine_sax.simulate.scan:simulate_subject",
        truth="popscan.protocols.cine_sax.columns:TRUTH",
    ),
    motion=Motion(
        measure="popscan.protocols.cine_sax.strain.measure:measure_motion",
        dictionary="popscan.protocols.cine_sax.strain.dictionary:DICTIONARY",
        rows="popscan.protocols.cine_sax.strain.dictionary:ROWS",
        section="popscan.protocols.cine_sax.strain.report:section",
        picture="popscan.protocols.cine_sax.strain.bullseye:of_subject",
    ),
    sorting=Sorting(
        names={"sax_cine": "short-axis cine", "sax_lge": "short-axis late enhancement"},
        find="popscan.protocols.cine_sax.sorting:find",
    ),
)  # fmt: skip
