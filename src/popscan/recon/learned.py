"""Models of learned reconstruction, in folders as `popscan.modelfolder` describes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from popscan.modelfolder import (
    ModelFacts,
    find_model,
    folder_digest,
    read_facts,
    read_weights,
    write_model,
)
from popscan.recon.noise import edge_noise_sd
from popscan.records import KSpace, PopscanError, Scan

if TYPE_CHECKING:
    import torch

    from popscan.recon.cascade import Cascade
    from popscan.recon.kt_network import KtNetwork
    from popscan.recon.unrolled import VariationalNetwork

_OF = "reconstruction"
#: Method -> the architecture of its models.
ARCHITECTURES = {
    "dc_cnn": "cascade", "varnet": "varnet", "kt_sense_net": "kt_net", "dautomap": "dautomap",
}  # fmt: skip
#: How far beyond what it was trained on a number may be: of an acceleration, and of a noise that is
#: measured.
_SLACK, _SLACK_OF_NOISE = 1.02, 1.25
#: Percentile of an image's values that counts as its brightest tissue.
_BRIGHT_PCT = 99.5

Size = Annotated[int, Field(ge=1, le=512, strict=True)]
Layers = Annotated[int, Field(ge=2, le=32, strict=True)]
Fold = Annotated[int, Field(ge=1, le=8, strict=True)]
Side = Annotated[int, Field(ge=8, le=1024, strict=True)]
Range = tuple[float, float]


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Layers
    fold: Fold


class CascadeArguments(_Arguments):
    """Arguments of cascades and variational networks, within what a file of weights can hold."""

    channels: Annotated[list[Size], Field(min_length=1, max_length=32)]


class KtArguments(_Arguments):
    """Arguments of `popscan.recon.kt_network.KtNetwork`."""

    channels: Size
    n_iterations: Annotated[int, Field(ge=1, le=100, strict=True)]


class DomainArguments(_Arguments):
    """Arguments of `popscan.recon.domain.DomainTransform`."""

    channels: Size
    sides: tuple[Side, Side]


class Trained(BaseModel):
    """What k-space a network was trained on: outside of it, a result carries a warning.

    Attributes
    ----------
    accelerations
        Smallest and largest net acceleration.
    coils, frames
        Smallest and largest number where there are several.
    single_coil, single_frame
        Whether it saw one coil, and one frame.
    noise
        Smallest and largest standard deviation of the noise, relative to the brightest tissue. Of
        bundles that do not say, what popscan's recipes simulate.
    source
        One sentence on the images, for the report.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accelerations: Range
    coils: tuple[int, int]
    frames: tuple[int, int]
    single_coil: bool
    single_frame: bool
    noise: Range = (0.002, 0.04)
    source: Annotated[str, Field(min_length=1, max_length=400)]


class ReconFacts(ModelFacts):
    """What every ``model.yaml`` must say; other keys are notes."""

    kind: Literal["reconstruction"]
    architecture: Literal["cascade", "varnet", "kt_net", "dautomap"]
    trained: Trained | None = None


class _Cascade(ReconFacts):
    arguments: CascadeArguments


class _Kt(ReconFacts):
    arguments: KtArguments


class _Domain(ReconFacts):
    arguments: DomainArguments


AnyFacts = _Cascade | _Kt | _Domain
_FACTS: dict[str, type[AnyFacts]] = {
    "cascade": _Cascade, "varnet": _Cascade, "kt_net": _Kt, "dautomap": _Domain,
}  # fmt: skip
Network = TypeVar("Network", bound="torch.nn.Module")


def model_digest(name: str) -> str:
    """Return the SHA-256 over ``model.yaml`` and the weights: what a result depends on."""
    return folder_digest(find_model(name, of=_OF))


@cache
def facts_of(name: str, method: str) -> AnyFacts:
    """Return what ``model.yaml`` says, of a model that `method` can use.

    Raises
    ------
    PopscanError
        If it is absent or is not a model of this method.
    """
    folder = find_model(name, of=_OF)
    architecture = read_facts(folder, ReconFacts).architecture
    if architecture != ARCHITECTURES[method]:
        own = next(m for m, a in ARCHITECTURES.items() if a == architecture)
        raise PopscanError(f"model {name!r} is for method {own}, not for {method}")
    return read_facts(folder, _FACTS[architecture])


@cache
def load_network(name: str, method: str, device: str = "cpu") -> torch.nn.Module:
    """Load a model once per process, in evaluation mode.

    Raises
    ------
    PopscanError
        If a file is absent, altered, is of another method, or its weights do not fit.
    """
    from popscan.recon.architectures import build_reconstruction

    facts = facts_of(name, method)
    build = partial(build_reconstruction, facts.architecture, 0, **facts.arguments.model_dump())
    folder = find_model(name, of=_OF)
    return read_weights(folder, build, facts=facts, what=facts.architecture).to(device)


def load_cascade(name: str, device: str = "cpu") -> Cascade:
    """Load a deep cascade; as `load_network`."""
    return cast("Cascade", load_network(name, "dc_cnn", device))


def load_series_network(
    name: str, method: str, device: str = "cpu"
) -> VariationalNetwork | KtNetwork:
    """Load a network that is given whole series; as `load_network`."""
    return cast("VariationalNetwork | KtNetwork", load_network(name, method, device))


def with_model(scan: Scan, kspace: KSpace, name: str, method: str) -> Scan:
    """Return a reconstruction of a k-space whose meta says by which model it was made.

    ``model``, ``model_digest``, and ``unlike_training``: how the k-space differs from what the
    model was trained on, a list.
    """
    facts, done = facts_of(name, method), dict(scan.meta["reconstruction"])
    bright = float(np.percentile(scan.array, _BRIGHT_PCT))
    done |= {
        "model": facts.name,
        "model_digest": model_digest(name),
        "unlike_training": unlike_training(
            facts.trained, acceleration=done["acceleration"], coils=done["n_coils"],
            frames=scan.array.shape[3], lines=kspace.mask.shape[0],
            noise=edge_noise_sd(kspace) / bright if bright > 0 else float("nan"),
        ),
    }  # fmt: skip
    return replace(scan, meta={**scan.meta, "reconstruction": done})


def unlike_training(
    trained: Trained | None,
    *,
    acceleration: float,
    coils: int,
    frames: int,
    lines: int = 0,
    noise: float = float("nan"),
) -> list[str]:
    """Return how k-space differs from what a network was trained on; empty if it does not.

    More coils than in training, up to four times as many, and more frames are no difference: coils
    are combined by their maps, and more frames make the task easier. Nor is less noise.

    Parameters
    ----------
    trained
        What the model says; None if it says nothing.
    acceleration, coils, frames
        Of the k-space; the acceleration is net.
    lines
        Phase-encoding lines of the grid. Whole lines are left out, so that an acceleration of 10
        leaves 4 or 5 of 45 lines; 0 if they are not known.
    noise
        Standard deviation relative to the brightest tissue; NaN if it is not known.
    """
    if trained is None:
        return ["the model does not say what it was trained on"]
    low, high = trained.accelerations
    low, high = low / _SLACK, high * _SLACK
    found = []
    if lines:
        low = min(low, lines / math.ceil(lines / low))
        high = max(high, lines / max(1, math.floor(lines / high)))
    if not low <= acceleration <= high:
        low, high = trained.accelerations
        found.append(f"acceleration {acceleration:.1f} (trained on {low:g} to {high:g})")
    found += _count("coil", coils, trained.coils, alone=trained.single_coil)
    found += _count("frame", frames, trained.frames, alone=trained.single_frame)
    most = trained.noise[1]
    if noise > most * _SLACK_OF_NOISE:
        found.append(f"noise {noise:.2g} of the brightest tissue (trained on up to {most:g})")
    return found


def _count(what: str, n: int, known: Sequence[int], *, alone: bool) -> list[str]:
    """Say that a number of coils or frames is none that was trained on; more is served, too."""
    low, high = known
    shown = f"trained on {low} to {high}{', or one' if alone else ''}"
    if n == 1:
        return [] if alone else [f"one {what} ({shown})"]
    return [] if low <= n <= 4 * high else [f"{n} {what}s ({shown})"]


def save_network(
    folder: Path, network: torch.nn.Module, *, about: Mapping[str, Any], card: str
) -> Path:
    """Write a model, its weights in half precision.

    Parameters
    ----------
    folder
        Made if absent; its three files are replaced.
    network
        What was trained.
    about
        ``architecture``, ``name``, ``arguments``, ``trained`` and notes for ``model.yaml``.
    card
        Text of ``card.md``.
    """
    return write_model(folder, network, head={"kind": "reconstruction"} | dict(about), card=card)


def save_cascade(folder: Path, network: Cascade, *, about: Mapping[str, Any], card: str) -> Path:
    """Write a deep cascade; as `save_network`, with ``architecture`` known."""
    return save_network(folder, network, about={"architecture": "cascade"} | dict(about), card=card)
