"""Model bundles of learned reconstruction: ``model.yaml``, ``weights.safetensors``, ``card.md``.

As the bundles that segment: plain text and numbers, nothing executable, checked before use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from popscan.installation import shipped_models
from popscan.recon.cascade import Cascade, build_cascade
from popscan.records import PopscanError
from popscan.yamlfile import problem_text, read_yaml

MODEL, WEIGHTS, CARD = "model.yaml", "weights.safetensors", "card.md"
FORMAT = 1
#: Largest file of weights that is read.
MAX_WEIGHTS_BYTES = 2**28


class CascadeArguments(BaseModel):
    """Arguments of `popscan.recon.cascade.Cascade`, within what a file of weights can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[
        list[Annotated[int, Field(ge=1, le=512, strict=True)]], Field(min_length=1, max_length=32)
    ]
    layers: Annotated[int, Field(ge=2, le=32, strict=True)]
    fold: Annotated[int, Field(ge=1, le=8, strict=True)]


class ReconFacts(BaseModel):
    """What ``model.yaml`` must say; other keys are notes."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1]
    kind: Literal["reconstruction"]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    architecture: Literal["cascade"]
    arguments: CascadeArguments
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def model_folder(name: str) -> Path:
    """Return the folder of a model: `name` itself, or one shipped in resources/models.

    Raises
    ------
    PopscanError
        If there is neither.
    """
    shipped = shipped_models()
    for path in (Path(name), shipped / name):
        if (path / MODEL).is_file():
            return path
    raise PopscanError(
        f"{name!r}: no model of reconstruction; give a folder that holds {MODEL} and {WEIGHTS}"
    )


def model_digest(name: str) -> str:
    """Return the SHA-256 over ``model.yaml`` and the weights: what a result depends on."""
    folder = model_folder(name)
    digest = hashlib.sha256((folder / MODEL).read_bytes())
    digest.update(_weights(folder))
    return digest.hexdigest()


@cache
def load_cascade(name: str, device: str = "cpu") -> Cascade:
    """Load a model once per process, in evaluation mode.

    Raises
    ------
    PopscanError
        If a file is absent, altered, or does not describe a cascade with weights that fit.
    """
    folder = model_folder(name)
    try:
        facts = ReconFacts.model_validate(read_yaml(folder / MODEL))
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
        text = "; ".join(problem_text(item, where=str(folder / MODEL)) for item in items[:3])
        raise PopscanError(text) from error
    weights = _weights(folder)
    if hashlib.sha256(weights).hexdigest() != facts.weights_sha256:
        raise PopscanError(f"{folder / WEIGHTS}: other weights than {MODEL} says")
    network = build_cascade("cascade", 0, **facts.arguments.model_dump())
    try:
        tensors = {key: value.float() for key, value in load(weights).items()}
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise PopscanError(f"{folder / WEIGHTS}: weights that do not fit the cascade") from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise PopscanError(f"{folder / WEIGHTS}: numbers that are not finite")
    return network.to(device).eval().requires_grad_(False)


def save_cascade(folder: Path, network: Cascade, *, about: Mapping[str, Any], card: str) -> Path:
    """Write a model as a bundle, its weights in half precision.

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
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().half().contiguous() for k, v in network.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    head = {"format": FORMAT, "kind": "reconstruction", "architecture": "cascade"}
    whole = head | dict(about) | {"weights_sha256": digest}
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
    (folder / MODEL).write_text(text, encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    return folder


def _weights(folder: Path) -> bytes:
    path = folder / WEIGHTS
    try:
        if (size := path.stat().st_size) > MAX_WEIGHTS_BYTES:
            raise PopscanError(f"{path}: {size} bytes; at most {MAX_WEIGHTS_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise PopscanError(f"{path}: cannot be read ({error.strerror or error})") from error
