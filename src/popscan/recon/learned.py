"""Models of learned reconstruction, in folders as `popscan.modelfolder` describes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from popscan.modelfolder import (
    ModelFacts,
    find_model,
    folder_digest,
    read_facts,
    read_weights,
    write_model,
)
from popscan.recon.cascade import Cascade, build_cascade

_OF = "reconstruction"


class CascadeArguments(BaseModel):
    """Arguments of `popscan.recon.cascade.Cascade`, within what a file of weights can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[
        list[Annotated[int, Field(ge=1, le=512, strict=True)]], Field(min_length=1, max_length=32)
    ]
    layers: Annotated[int, Field(ge=2, le=32, strict=True)]
    fold: Annotated[int, Field(ge=1, le=8, strict=True)]


class ReconFacts(ModelFacts):
    """What ``model.yaml`` must say; other keys are notes."""

    kind: Literal["reconstruction"]
    architecture: Literal["cascade"]
    arguments: CascadeArguments


def model_digest(name: str) -> str:
    """Return the SHA-256 over ``model.yaml`` and the weights: what a result depends on."""
    return folder_digest(find_model(name, of=_OF))


@cache
def load_cascade(name: str, device: str = "cpu") -> Cascade:
    """Load a model once per process, in evaluation mode.

    Raises
    ------
    PopscanError
        If a file is absent, altered, or does not describe a cascade with weights that fit.
    """
    folder = find_model(name, of=_OF)
    facts = read_facts(folder, ReconFacts)
    network = build_cascade("cascade", 0, **facts.arguments.model_dump())
    return read_weights(folder, network, facts=facts, what="cascade").to(device)


def save_cascade(folder: Path, network: Cascade, *, about: Mapping[str, Any], card: str) -> Path:
    """Write a model, its weights in half precision.

    Parameters
    ----------
    folder
        Made if absent; its three files are replaced.
    network
        The cascade.
    about
        ``name``, ``arguments`` and notes for ``model.yaml``.
    card
        Text of ``card.md``.
    """
    head = {"kind": "reconstruction", "architecture": "cascade"} | dict(about)
    return write_model(folder, network, head=head, card=card)
