"""What the columns of scores against references mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, flag, text
from popscan.protocol import Protocol

_VERDICT = text(
    "whether the reference fits image and segmentation: pass, review or fail; those that fail are "
    "in no mean"
)
_SCORES: Mapping[str, Column] = {
    "frame": Column("", "index of the frame"),
    "dice": Column("", "Dice overlap with the reference; empty where both are empty"),
    "hd95_mm": Column(
        "mm", "95th percentile of the symmetric surface distance; empty where either is empty"
    ),
    "msd_mm": Column("mm", "mean symmetric surface distance; empty where either is empty"),
    "volume_ml": Column("mL", "volume of the segmentation"),
    "reference_volume_ml": Column("mL", "volume of the reference"),
    "seen_in_training": flag("whether the model was trained on this subject"),
    "correct_pct": Column("%", "of the reference's voxels of the structure, labelled so"),
    "flipped_pct": Column(
        "%", "of the reference's voxels, labelled as another structure", "Achara et al."
    ),
    "missed_pct": Column("%", "of the reference's voxels, labelled as background"),
    "spurious_pct": Column("%", "of the labelled voxels, background in the reference"),
    "taken_pct": Column("%", "of the labelled voxels, another structure in the reference"),
    "reference_verdict": _VERDICT,
}
_REFERENCE: Mapping[str, Column] = {
    "source": text(
        "reference_labels: measured on the reference labels; reference_image: on what the model "
        "makes of the reference image",
    ),
    "seen_in_training": flag("whether the model was trained on this subject"),
    "reference_verdict": _VERDICT,
}


def structures(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the scores of a segmentation."""
    phases = " or ".join(protocol.phase_names) or "empty"
    return {
        "structure": text(protocol.labels.either),
        "phase": text(f"{phases} where known"),
        **_SCORES,
    }


def biomarkers(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of biomarkers measured on references."""
    return {**protocol.biomarkers.columns(), **_REFERENCE}


def images(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the scores of reconstructed images."""
    region = f"in the region of the {protocol.words.organ}"
    return {
        "variant": text("reconstruction variant"),
        "nrmse": Column("", f"root mean square error {region}, relative"),
        "psnr_db": Column("dB", f"peak signal to noise ratio {region}"),
        "ssim": Column("", f"structural similarity {region}"),
        "hfen": Column("", f"high-frequency error norm {region}, relative: edges lost or added"),
        "nrmse_whole": Column("", "root mean square error of the whole image, relative"),
        "psnr_whole_db": Column("dB", "peak signal to noise ratio of the whole image"),
        "ssim_whole": Column("", "structural similarity of the whole image"),
        "hfen_whole": Column("", "high-frequency error norm of the whole image, relative"),
    }
