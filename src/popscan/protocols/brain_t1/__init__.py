"""T1-weighted brain MR: volumes of structures, head size, asymmetry."""

from popscan.columns import Column, text
from popscan.protocol import (
    AtlasFrame,
    Biomarkers,
    CropFrame,
    Cut,
    Outcome,
    Protocol,
    Quality,
    Segmentation,
    Series,
    Simulation,
    SizeAdjustment,
    Sorting,
    Words,
)
from popscan.protocols.brain_t1.labels import LABELS, NETWORK_LABELS
from popscan.protocols.brain_t1.regions import REGIONS

PROTOCOL = Protocol(
    name="brain_t1",
    version="3",
    mb_per_subject=35,
    title="Brain MR, T1-weighted",
    series=(
        Series(view="t1w", title="T1-weighted", suffixes=("T1w",), name_words=("t1w",),
               min_slices=30, ukb_fields={20252: "T1/T1.nii.gz"}),
        Series(view="flair", title="FLAIR", suffixes=("FLAIR",), name_words=("flair",),
               min_slices=1, required=False,
               ukb_fields={20253: "T2_FLAIR/T2_FLAIR.nii.gz"}),
    ),
    labels=LABELS,
    sources={
        "bids": "popscan.io.bids:Bids", "simulated": "popscan.io.simulated:Simulated",
        "ukb": "popscan.io.ukb:Ukb",
    },
    ingest="popscan.protocols.brain_t1.ingest:prepare",
    words=Words(
        organ="brain",
        acquisition="T1-weighted brain MR",
        simulated="simulated by the digital brain",
        limits=(
            "The segmentation model learned from another program's labels (DLMUSE) of 18 people "
            "at two sites, older adults at one and younger ones at the other: age and site cannot "
            "be separated in its training data.",
            "Volumes of single structures of this model are for comparing groups, not for "
            "diagnosis.",
        ),
        parts={
            "icv": "intracranial volume", "dc": "diencephalon", "csf": "CSF",
            "ventricles_3_4": "third and fourth ventricle", "grey": "grey matter",
            "white": "white matter",
        },
        capitals=("icv", "csf", "t1w", "flair"),
    ),
    segmentation=Segmentation(
        methods={"planes": "popscan.protocols.brain_t1.segmentation:segment"},
        method="planes",
        bundle="brain_t1",
        network_labels=NETWORK_LABELS,
        columns="popscan.protocols.brain_t1.columns:SEGMENTATION",
        training="popscan.protocols.brain_t1.training:KIND",
    ),
    quality=Quality(
        checks="popscan.protocols.brain_t1.qc:CHECKS",
        context="popscan.protocols.brain_t1.qc:Context",
    ),
    biomarkers=Biomarkers(
        methods={"volumes": "popscan.protocols.brain_t1.biomarkers:measure"},
        method="volumes",
        dictionary="popscan.protocols.brain_t1.biomarkers:DICTIONARY",
    ),
    methods_text="popscan.protocols.brain_t1.methods:sentences",
    atlas=AtlasFrame(
        grid="popscan.protocols.brain_t1.frame:brain_grid",
        prepare="popscan.protocols.brain_t1.frame:prepare",
        affine="popscan.protocols.brain_t1.frame:grid_affine",
        regions=REGIONS,
        cuts=(
            Cut(title="axial", axis=2, level=0.5, region="deep_grey",
                upward=True),
            Cut(title="axial, higher", axis=2, level=0.8, region="white",
                upward=True),
            Cut(title="coronal", axis=1, level=0.4, region="deep_grey",
                upward=True),
            Cut(title="sagittal", axis=0, level=0.55, region="cortex",
                upward=True),
        ),
        words="brains",
        legend="Cortex orange, white matter white, deep grey matter green, ventricles violet, "
        "cerebellum yellow, brainstem grey, fluid blue.",
    ),
    crops=CropFrame(
        grid="popscan.protocols.brain_t1.crops:covering_brain",
        frame="popscan.protocols.brain_t1.crops:brain_pose",
        fallback="popscan.protocols.brain_t1.crops:fallback_pose",
        around="the brain",
    ),
    columns={
        "orientation_found": text("Directions of the image's axes as stored", "header"),
        "age_group": text("Age in two groups, of digital brains", "simulate"),
        "diagnosis": text("healthy or dementia, of digital brains", "simulate"),
        "air_share": Column("share", "Voxels that are exactly 0", "own definition"),
        "face_removed": Column("", "Whether the face was taken away: 1 or 0", "own definition"),
        "clipped_pct": Column("%", "Head voxels that have the largest value", "own definition"),
        "bias_field_pct": Column(
            "%", "How far the bias field varied over the head: 98th over 2nd percentile, less 1",
            "N4, Tustison et al. 2010, doi:10.1109/TMI.2010.2046908",
        ),
    },
    report_blocks=("popscan.protocols.brain_t1.report:volumes_over_age",),
    # Thin structures need small voxels.
    config={
        "rca": {"inplane_mm": 3.0, "along_mm": 3.0, "affine": True},
        "simulate": {"kspace": False, "spacing_mm": 2.0},
    },
    simulation=Simulation(
        population="popscan.protocols.brain_t1.population:sample_population",
        subject="popscan.protocols.brain_t1.digital:simulate_subject",
    ),
    adjustments=(
        SizeAdjustment(
            columns=(
                "brain_ml", "grey_ml", "white_ml", "ventricles_ml", "cortical_grey_ml",
                "hippocampus_ml", "amygdala_ml", "thalamus_ml", "caudate_ml", "putamen_ml",
                "pallidum_ml",
            ),
            by="icv_ml",
            name="icv_adjusted",
        ),
    ),
    # Volumes, then the same for the size of the head: by the study's slope, and as a share.
    outcomes=(
        Outcome(name="brain_ml", words="brain volume"),
        Outcome(name="grey_ml", words="grey matter volume"),
        Outcome(name="white_ml", words="white matter volume"),
        Outcome(name="ventricles_ml", words="ventricular volume"),
        Outcome(name="hippocampus_ml", words="hippocampal volume"),
        Outcome(name="thalamus_ml", words="thalamic volume"),
        Outcome(name="brain_icv_adjusted_ml", words="brain volume at mean head size"),
        Outcome(name="ventricles_icv_adjusted_ml", words="ventricular volume at mean head size"),
        Outcome(name="hippocampus_icv_adjusted_ml", words="hippocampal volume at mean head size"),
        Outcome(name="brain_icv_pct", words="brain volume as a share of head size"),
        Outcome(name="ventricles_icv_pct", words="ventricular volume as a share of head size"),
        Outcome(name="hippocampus_icv_pct", words="hippocampal volume as a share of head size"),
    ),
    sorting=Sorting(
        names={"brain_t1w": "brain, T1-weighted", "brain_other": "brain, another contrast"},
        find="popscan.protocols.brain_t1.sorting:find",
    ),
)  # fmt: skip
