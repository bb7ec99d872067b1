"""2D phase-contrast flow: volumes and velocities in vessels that are labelled in the images."""

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
from popscan.protocols.flow_2d.labels import LABELS

_TITLES = {
    "net_ml": "net volume (mL)", "forward_ml": "volume forward (mL)",
    "backward_ml": "volume backward (mL)", "net_se_ml": "standard error of the net volume (mL)",
    "regurgitant_pct": "regurgitant fraction (%)",
    "regurgitant_se_pct": "standard error of the regurgitant fraction (%)",
    "peak_cm_s": "peak velocity (cm/s)", "peak_mean_cm_s": "peak of the mean velocity (cm/s)",
    "peak_flow_ml_s": "peak flow (mL/s)", "peak_time_ms": "time of the peak flow (ms)",
    "area_cm2": "mean area (cm²)",
    "area_max_cm2": "largest area (cm²)", "area_min_cm2": "smallest area (cm²)",
    "area_strain_pct": "change of the area over the cycle (%)",
    "offset_ml": "background taken off (mL)",
    "aliased_pct": "aliased samples (%)",
    "curved_ml": "change by a curved background (mL)",
}  # fmt: skip

PROTOCOL = Protocol(
    name="flow_2d",
    mb_per_subject=4,
    title="Heart MR, 2D phase-contrast flow",
    series=(
        Series(
            view="flow", title="2D phase-contrast flow",
            suffixes=("flow", "pc", "pcmri", "phasecontrast"), dimensions=4,
            time_axis="phase of the heart cycle", min_frames=2, ukb_fields={20213: ""},
        ),
    ),
    labels=LABELS,
    sources={
        "bids": "popscan.io.flow:BidsFlow",
        "dicom": "popscan.io.flow_dicom:DicomFlow",
        "ukb": "popscan.io.ukb:Ukb",
    },
    source_section="flow",
    ingest="popscan.protocols.flow_2d.ingest:prepare",
    words=Words(
        organ="heart",
        acquisition="2D phase-contrast flow",
        legend="Ascending aorta orange, descending aorta yellow, pulmonary trunk blue.",
        pictured="the frame in which the vessels are widest",
        first=("aorta_net_ml", "aorta_regurgitant_pct", "aorta_peak_cm_s"),
        limits=(
            "The regions come with the images: nothing is segmented, and how well they were drawn "
            "is not judged beyond the checks of QC.",
            "Velocities are those through the plane: where it lies oblique to a vessel, flow is "
            "still right, and peak velocities are too low.",
        ),
        parts={"pulmonary": "pulmonary trunk", "regurgitant": "regurgitant fraction"},
        capitals=("rr",),
        titles={
            **{
                f"{name}_{ending}": f"{title}, {words}"
                for name, title in LABELS.titles.items() for ending, words in _TITLES.items()
            },
            "cardiac_output_l_min": "Cardiac output (L/min)",
            "cardiac_index_l_min_m2": "Cardiac index (L/min/m²)",
            "qp_qs": "Qp/Qs", "rr_ms": "RR interval (ms)", "frame_ms": "Length of a frame (ms)",
            "peak_of_venc_pct": "Peak over the velocity encoding (%)",
            "venc_cm_s": "Velocity encoding (cm/s)",
            "background_cm_s": "Background in a vessel (cm/s)",
            "background_curved_cm_s": "Doubt which surface the background is (cm/s)",
            "net_se_pct": "Standard error of the net volume (%)",
            "net_ml": "Smallest net volume of a vessel (mL)",
            "largest_net_ml": "Largest net volume of a vessel (mL)",
            "regurgitant_pct": "Largest regurgitant fraction of a vessel (%)",
            "aliased_pct": "Aliased samples (%)",
            "flow_beside_pct": "Flow around a region (%)",
            "still_voxels": "Voxels of still tissue",
            "frames_without_region": "Frames without a region",
            "region_voxels": "Smallest region (voxels)",
            "region_pieces": "Pieces of a region",
            "frames_uneven_pct": "Uneven distances of frames (%)",
            "torn_pct": "Unwrapping that did not hold (%)",
            "regions_alike": "Vessels drawn once for all frames",
            "against_direction": "Vessels that flow the wrong way",
            "covered_pct": "RR interval covered by frames (%)",
        },
    ),
    segmentation=Segmentation(
        methods={"given": "popscan.segment.given:given_labels"},
        method="given",
        bundle="",
        columns="popscan.segment.given:COLUMNS",
    ),
    quality=Quality(
        checks="popscan.protocols.flow_2d.qc:CHECKS",
        context="popscan.protocols.flow_2d.context:FlowContext",
    ),
    biomarkers=Biomarkers(
        methods={"regions": "popscan.protocols.flow_2d.biomarkers:measure"},
        method="regions",
        dictionary="popscan.protocols.flow_2d.biomarkers:DICTIONARY",
        details="popscan.protocols.flow_2d.biomarkers:DETAILS",
    ),
    methods_text="popscan.protocols.flow_2d.methods:sentences",
    phases="popscan.protocols.flow_2d.methods:phase_frames",
    phase_names=("widest",),
    # What the ventricle ejects goes forward in its vessel, but for a leak of its other valve.
    equals={"aorta_forward_ml": "lvsv_ml", "pulmonary_forward_ml": "rvsv_ml"},
    report_blocks=("popscan.protocols.flow_2d.report:vessels",),
    columns={
        "n_slices": Column("", "images per frame: magnitude and velocity", "ingest"),
        "n_frames": Column("", "phases of the heart cycle", "ingest"),
        "venc_cm_s": Column("cm/s", "velocity encoding", "header, sidecar or config"),
        "venc_by": text("which key, tag or option gives the velocity encoding", "ingest"),
        "phase_stored_as": text("what the phase images hold", "sidecar, config or values"),
        "times_by": text("what the length of a frame follows from", "ingest"),
        "covered_pct": Column("%", "RR interval of the header that the frames cover", "ingest"),
    },
    config={"visibility": {"sources": ["biomarkers"]}},
    outcomes=(
        Outcome(name="aorta_net_ml", words="net volume per beat of the ascending aorta"),
        Outcome(name="aorta_regurgitant_pct", words="regurgitant fraction of the ascending aorta"),
        Outcome(name="aorta_peak_cm_s", words="peak velocity of the ascending aorta"),
        Outcome(name="cardiac_output_l_min", words="cardiac output"),
    ),
    sorting=Sorting(
        names={"flow_phase": "flow, velocity or phase", "flow_magnitude": "flow, magnitude"},
        find="popscan.protocols.flow_2d.sorting:find",
    ),
)  # fmt: skip
