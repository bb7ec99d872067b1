"""Flow through a plane from phase-contrast images: velocity, background, aliasing, volumes."""

from popscan.flow.background import Background, correct_background
from popscan.flow.curve import FlowNumbers, flow_curve, measure_flow, regurgitant_pct
from popscan.flow.unwrap import Unwrapped, unwrap_velocity
from popscan.flow.velocity import phase_radians, stored_velocity, velocity_cm_s

__all__ = [
    "Background", "FlowNumbers", "Unwrapped", "correct_background", "flow_curve", "measure_flow",
    "phase_radians", "regurgitant_pct", "stored_velocity", "unwrap_velocity", "velocity_cm_s",
]  # fmt: skip
