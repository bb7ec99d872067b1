"""Implicit segmentation: a network from place, phase of the cycle and a code to labels.

Such a network has no grid. What it learned of the shapes of many subjects is its weights; a
subject is a code (an auto-decoder: Park et al., CVPR 2019, arXiv:1901.05103; for segmentations in
space and time Stolt-Anso et al., MICCAI 2023, arXiv:2309.08643, who fit the code to images). Here
the code is fitted to the labels of a few slices, and labels between and beside them follow, at any
resolution. Slices that lie shifted in their plane, as those of several breath-holds do, can have
their shifts estimated at the same time (Wang et al., MICCAI 2021, doi:10.1007/978-3-030-87199-4_2).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from popscan.records import PopscanError
from popscan.segment.places import Frame, LabelledPoints, frame_of, in_frame, placed

#: Millimetres that the network sees as 1.
_UNIT_MM = 40.0
#: Longest wave of the features of a place, in mm.
_WAVE_MM = 160.0
#: Waves of a place: the shortest would be 0.08 mm long.
MOST_WAVES = 12


class ImplicitShape(nn.Module):
    """Network from place, phase and code to logits of the labels.

    Parameters
    ----------
    n_labels
        Number of labels, background included.
    subjects
        Number of subjects that it is trained on: each has a code of its own among the weights.
    code
        Numbers in a code.
    width, depth
        Features, and layers between the first and the last.
    waves
        Waves along each axis by which a place is described, each half as long as the one before;
        at most `MOST_WAVES`.

    Raises
    ------
    ValueError
        For a number below 1, one that is not whole, or more waves.
    """

    def __init__(
        self, n_labels: int, *, subjects: int, code: int = 48, width: int = 96, depth: int = 4,
        waves: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        numbers = (n_labels, subjects, code, width, depth, waves)
        if any(type(n) is not int or n < 1 for n in numbers) or waves > MOST_WAVES:
            raise ValueError(
                "numbers of labels, subjects, features, layers and waves are whole and start at 1, "
                f"waves end at {MOST_WAVES}; found {', '.join(map(str, numbers))}"
            )
        self.codes = nn.Embedding(subjects, code)
        nn.init.normal_(self.codes.weight, std=0.1)
        self.waves = waves
        self.first = nn.Linear(3 + 6 * waves + 2, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.by_code = nn.ModuleList(nn.Linear(code, width) for _ in range(depth + 1))
        self.last = nn.Linear(width, n_labels)

    def forward(self, places_mm: Tensor, phase: Tensor, code: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        places_mm
            (subject, n, 3), in each subject's frame.
        phase
            (subject, n), share of the cycle.
        code
            (subject, code).

        Returns
        -------
        Tensor, shape (subject, n, label)
        """
        angles = [places_mm * (2 * math.pi / _WAVE_MM * 2**k) for k in range(self.waves)]
        turn = 2 * math.pi * phase[..., None]
        features = [places_mm / _UNIT_MM, turn.cos(), turn.sin()]
        features += [part for angle in angles for part in (angle.sin(), angle.cos())]
        hidden = self.first(torch.cat(features, dim=-1))
        hidden = functional.silu(hidden + self.by_code[0](code)[:, None])
        for layer, shift in zip(self.layers, list(self.by_code)[1:], strict=True):
            hidden = hidden + functional.silu(layer(hidden) + shift(code)[:, None])
        logits: Tensor = self.last(hidden)
        return logits


def build_implicit(architecture: str, n_labels: int, **arguments: Any) -> ImplicitShape:
    """Return a freshly initialised network; called as builders of other networks are.

    Raises
    ------
    PopscanError
        For another architecture than ``implicit``, or arguments that it does not take.
    """
    if architecture != "implicit":
        raise PopscanError(f"unknown architecture {architecture!r} of implicit shapes; implicit")
    try:
        return ImplicitShape(n_labels, **arguments)
    except (TypeError, ValueError) as error:
        raise PopscanError(f"architecture {architecture} cannot be built: {error}") from error


@dataclass(frozen=True, kw_only=True)
class FittedShape:
    """A subject's shape, at any place and phase.

    Attributes
    ----------
    network
        The network, its weights the subject's own where they were fitted, too.
    code : Tensor, shape (1, code)
        The subject's.
    frame
        From the known points.
    pose : Tensor, shape (5,)
        What the fit moved the frame by: x, y, z in mm, radians, logarithm of the size.
    shifts_mm
        Slice -> how far it lies from where it should, along x and y.
    loss
        Mean cross-entropy of the known points at the end.
    """

    network: ImplicitShape
    code: Tensor
    frame: Frame
    pose: Tensor
    shifts_mm: dict[int, tuple[float, float]]
    loss: float

    def labels_at(self, places_mm: NDArray[np.floating], phase: float) -> NDArray[np.uint8]:
        """Return the label of every place, in the coordinates of the points of the fit.

        Parameters
        ----------
        places_mm
            (..., 3).
        phase
            Share of the cycle.

        Returns
        -------
        ndarray of uint8, shape (...)

        Raises
        ------
        PopscanError
            For places that are not three finite numbers each, or a phase that is not finite.
        """
        places_mm = np.asarray(places_mm, np.float32)
        if places_mm.shape[-1:] != (3,) or not np.isfinite(places_mm).all():
            raise PopscanError(f"places {places_mm.shape}: three finite numbers each are expected")
        if not math.isfinite(phase):
            raise PopscanError(f"phase: a share of the cycle is expected; found {phase}")
        places = torch.from_numpy(in_frame(places_mm.reshape(-1, 3), self.frame))
        found = []
        with torch.inference_mode():
            for part in places.split(65536):
                moved = _posed(part, self.pose)[None]
                logits = self.network(moved, torch.full(moved.shape[:2], phase), self.code)
                found.append(logits[0].argmax(dim=-1).to(torch.uint8))
        return torch.cat(found).numpy().reshape(places_mm.shape[:-1])


def _posed(places: Tensor, pose: Tensor) -> Tensor:
    """Return places moved, turned about z and scaled by a pose."""
    away = places - pose[:3]
    c, s = pose[3].cos(), pose[3].sin()
    x, y = c * away[:, 0] + s * away[:, 1], c * away[:, 1] - s * away[:, 0]
    return torch.stack([x, y, away[:, 2]], dim=1) * (-pose[4]).exp()


def check_labels(label: Tensor, network: ImplicitShape) -> None:
    """Refuse labels of points that a network does not have.

    Raises
    ------
    PopscanError
        If there is one.
    """
    most = network.last.out_features - 1
    if len(label) and int(label.max()) > most:
        raise PopscanError(
            f"points have the label {int(label.max())}; the network has labels up to {most}"
        )


#: Standard deviations of a pose that a subject is expected to have: mm, radians, logarithm.
_POSE_SD = (3.0, 3.0, 5.0, 0.15, 0.08)


def fit_shape(
    network: ImplicitShape,
    points: LabelledPoints,
    *,
    steps: int = 200,
    weight_steps: int = 0,
    shift_sd_mm: float = 0.0,
    prior: float = 0.002,
    rate: float = 0.05,
    at_once: int = 4096,
    seed: int = 0,
) -> FittedShape:
    """Fit a code to points whose labels are known.

    Parameters
    ----------
    network
        Trained; left as it is.
    points
        Of one subject (`popscan.segment.places.slice_points`).
    steps
        Of the code, the pose and the shifts.
    weight_steps
        Further steps in which the weights move as well, at a fiftieth of the rate: known slices
        are then matched more closely than any code could.
    shift_sd_mm
        Standard deviation of the shifts of slices in their plane that is expected; 0 takes slices
        as they lie. All frames of a slice are shifted equally. The mean shift is that of the
        subject, so shifts have a mean of 0.
    prior
        Weight of the code's, pose's and shifts' squared distance from what is expected, beside the
        mean cross-entropy.
    rate
        Of Adam, for what is in units of its standard deviation.
    at_once
        Points in a step, drawn anew in each.
    seed
        Of these draws.

    Raises
    ------
    PopscanError
        If no point has a label, or one that the network does not have, a number is out of its
        range, or the fit ends with a loss that is not finite.
    """
    if min(steps, weight_steps) < 0 or at_once < 1:
        raise PopscanError("steps from 0 and points at once from 1 are expected")
    frame = frame_of(points)
    own = placed(points, frame)
    places, phase = torch.from_numpy(own.places_mm), torch.from_numpy(own.phase)
    label = torch.from_numpy(own.label.astype(np.int64))
    check_labels(label, network)
    held, which = np.unique(own.slice_index, return_inverse=True)
    rows_of = torch.from_numpy(which)
    net = copy.deepcopy(network).eval().requires_grad_(weight_steps > 0)
    known = network.codes.weight.detach()
    spread = known.std(dim=0, unbiased=False).clamp_min(1e-3)
    free = {  # Everything in units of its standard deviation.
        "code": torch.zeros(1, known.shape[1], requires_grad=True),
        "pose": torch.zeros(5, requires_grad=True),
        "shift": torch.zeros(len(held), 2, requires_grad=shift_sd_mm > 0),
    }
    pose_sd, generator = torch.tensor(_POSE_SD), torch.Generator().manual_seed(seed)

    def shifts() -> Tensor:
        return (free["shift"] - free["shift"].mean(dim=0)) * shift_sd_mm

    def own_code() -> Tensor:
        return known.mean(dim=0) + free["code"] * spread

    def loss_of(rows: Tensor) -> Tensor:
        shift = shifts()
        moved = torch.cat([places[rows, :2] - shift[rows_of[rows]], places[rows, 2:]], dim=1)
        moved = _posed(moved, free["pose"] * pose_sd)
        logits = net(moved[None], phase[rows][None], own_code())
        return functional.cross_entropy(logits[0], label[rows])

    trained = [value for value in free.values() if value.requires_grad]
    weights = [p for name, p in net.named_parameters() if not name.startswith("codes")]
    optimiser = torch.optim.Adam([{"params": trained, "lr": rate}])
    if weight_steps:
        optimiser.add_param_group({"params": weights, "lr": 0.0})
    for step in range(steps + weight_steps):
        in_part = step / max(1, steps) if step < steps else 0.9
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * min(in_part, 1.0)))
        if step == steps and weight_steps:
            optimiser.param_groups[1]["lr"] = rate / 50
        rows = torch.randint(len(label), (min(at_once, len(label)),), generator=generator)
        total = loss_of(rows) + prior * sum(v.square().sum() for v in trained)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    net.requires_grad_(False)
    with torch.no_grad():
        rest = [float(loss_of(rows)) * len(rows) for rows in torch.arange(len(label)).split(65536)]
        c, s = math.cos(frame.angle), math.sin(frame.angle)
        back = shifts() @ torch.tensor([[c, s], [-s, c]])
        code = own_code()
    loss = sum(rest) / len(label)
    if not math.isfinite(loss):
        raise PopscanError(f"the fit of a shape ends with a loss of {loss}: nothing was found")
    return FittedShape(
        network=net, code=code.detach(), frame=frame, pose=(free["pose"] * pose_sd).detach(),
        shifts_mm={int(k): (float(x), float(y)) for k, (x, y) in zip(held, back, strict=True)},
        loss=loss,
    )  # fmt: skip
