"""Relaxation times out of images: T1 from inversion recovery, T2 from decay. Arrays in and out."""

from popscan.relaxometry.checks import check_series
from popscan.relaxometry.decay import Decay, fit_decay
from popscan.relaxometry.inversion import Recovery, fit_recovery, look_locker_free, recovery_signal
from popscan.relaxometry.motion import image_shifts_mm
from popscan.relaxometry.polarity import signs_from_phase
from popscan.relaxometry.regions import RegionValue, region_value
from popscan.relaxometry.shmolli import fit_shmolli, shmolli_order

__all__ = [
    "Decay", "Recovery", "RegionValue", "check_series", "fit_decay", "fit_recovery", "fit_shmolli",
    "image_shifts_mm", "look_locker_free", "recovery_signal", "region_value", "shmolli_order",
    "signs_from_phase",
]  # fmt: skip
