"""Folders of a trained network: ``model.yaml``, ``weights.safetensors``, ``card.md``.

For networks that reconstruct and register; plain text and numbers, nothing executable, checked
before use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from popscan.installation import shipped_models
from popscan.records import PopscanError
from popscan.yamlfile import problem_text, read_yaml

MODEL, WEIGHTS, CARD = "model.yaml", "weights.safetensors", "card.md"
FORMAT = 1
#: Largest file of weights that is read.
MAX_WEIGHTS_BYTES = 2**28

if TYPE_CHECKING:
    import torch

Network = TypeVar("Network", bound="torch.nn.Module")
Facts = TypeVar("Facts", bound="ModelFacts")


class ModelFacts(BaseModel):
    """What every ``model.yaml`` must say; a kind adds its ``arguments``, other keys are notes."""

    model_config = ConfigDict(frozen=True)

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def find_model(name: str, *, of: str) -> Path:
    """Return the folder of a model: `name` itself, or one shipped in resources/models.

    Parameters
    ----------
    name
        A folder, or a shipped model's name.
    of
        What it does, for the message.

    Raises
    ------
    PopscanError
        If there is neither.
    """
    for path in (Path(name), shipped_models() / name):
        if (path / MODEL).is_file():
            return path
    raise PopscanError(
        f"{name!r}: no model of {of}; give a folder that holds {MODEL} and {WEIGHTS}"
    )


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over ``model.yaml`` and the weights: what a result depends on."""
    digest = hashlib.sha256((folder / MODEL).read_bytes())
    digest.update(_weights(folder))
    return digest.hexdigest()


def read_facts(folder: Path, kind: type[Facts]) -> Facts:
    """Read ``model.yaml``.

    Raises
    ------
    PopscanError
        If it is not what `kind` expects.
    """
    try:
        return kind.model_validate(read_yaml(folder / MODEL))
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
        text = "; ".join(problem_text(item, where=str(folder / MODEL)) for item in items[:3])
        raise PopscanError(text) from error


def outline(build: Callable[[], Network]) -> Network:
    """Build a network without memory for its weights, to compare their names and shapes first.

    What the sizes in a ``model.yaml`` ask for is so compared with the file of weights before it is
    allocated. Weights are on torch's device ``meta``: the result computes nothing.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutMemory(TorchFunctionMode):
        # Layers take their weights from `empty`. Not `torch.device("meta")`: some constructors read
        # back small tensors that they compute (MONAI's SwinUNETR).
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            where = {"device": "meta"} if func is torch.empty else {}
            return func(*args, **{**(kwargs or {}), **where})

    with WithoutMemory():
        return build()


def read_weights(
    folder: Path, build: Callable[[], Network], *, facts: ModelFacts, what: str
) -> Network:
    """Load the weights into a network, checked, in evaluation mode and without gradients.

    Parameters
    ----------
    folder
        Of the model.
    build
        Returns a new network, as `facts` say; first called without memory for its weights.
    facts
        Of the same folder.
    what
        What the network is, for the message.

    Raises
    ------
    PopscanError
        If the file is absent, altered, or does not fit.
    """
    # Who reads the facts alone does not wait for torch.
    import torch
    from safetensors.torch import load

    weights = _weights(folder)
    if hashlib.sha256(weights).hexdigest() != facts.weights_sha256:
        raise PopscanError(f"{folder / WEIGHTS}: other weights than {MODEL} says")
    try:
        tensors = {key: value.float() for key, value in load(weights).items()}
        needed = {key: value.shape for key, value in outline(build).state_dict().items()}
        if needed != {key: value.shape for key, value in tensors.items()}:
            raise ValueError("other names or shapes")
        network = build()
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise PopscanError(f"{folder / WEIGHTS}: weights that do not fit the {what}") from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise PopscanError(f"{folder / WEIGHTS}: numbers that are not finite")
    return network.eval().requires_grad_(False)


def write_model(
    folder: Path, network: torch.nn.Module, *, head: Mapping[str, Any], card: str
) -> Path:
    """Write a model, its weights in half precision.

    Parameters
    ----------
    folder
        Made if absent; its three files are replaced.
    network
        What was trained.
    head
        ``kind``, ``architecture``, ``name``, ``arguments`` and notes for ``model.yaml``.
    card
        Text of ``card.md``.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().half().contiguous() for k, v in network.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    whole = {"format": FORMAT} | dict(head) | {"weights_sha256": digest}
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
