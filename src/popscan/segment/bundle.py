"""Model bundles: a folder with everything needed to use a model rightly, and nothing executable.

``model.yaml`` says what the model is, ``weights.safetensors`` holds its numbers, ``card.md``
tells people about it. Pickles are never read: not here and not by any library called from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from popscan.records import STRUCTURES, Label, PopscanError
from popscan.segment.networks import build_network

MODEL, WEIGHTS, CARD = "model.yaml", "weights.safetensors", "card.md"
FORMAT = 1
_PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib"}
_REQUIRED = (
    "format",
    "name",
    "members",
    "labels",
    "spacing_mm",
    "patch",
    "normalisation",
    "input_range",
    "weights_sha256",
    "trained_on",
    "training",
    "validation",
)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A model ready to use.

    Attributes
    ----------
    name
        What it calls itself.
    networks
        Members of the ensemble, one or more, on `device` in evaluation mode.
    arguments
        Arguments of each member's architecture.
    spacing_mm, patch
        In-plane spacing and side of the square that the networks were trained on.
    normalisation
        Keyword arguments of `popscan.segment.preprocess.normalise`.
    input_range
        ``inplane_mm`` and ``slice_distance_mm``, each [lowest, highest] seen in training.
    digest
        SHA-256 over model.yaml and the weights: what a result depends on.
    about
        Everything in model.yaml.
    device
        Where the networks are.
    """

    name: str
    networks: tuple[torch.nn.Module, ...]
    arguments: tuple[Mapping[str, Any], ...]
    spacing_mm: float
    patch: int
    normalisation: Mapping[str, float]
    input_range: Mapping[str, Sequence[float]]
    digest: str
    device: torch.device
    about: Mapping[str, Any] = field(default_factory=dict)

    def was_trained_on(self, unit: str) -> bool:
        """Return whether the model was trained on a subject, by its identifier.

        The bundle holds salted hashes only. ``sub-`` and the visit do not matter: a subject seen
        at one visit is known at all. Identifiers are as in the training cohort, so a stranger of
        the same name counts as seen too, which errs on the safe side.
        """
        trained = self.about["trained_on"]
        return hash_identifier(unit, salt=trained["salt"]) in set(trained["sha256"])


def subject_of(unit: str) -> str:
    """Return whose visit it is: an identifier without ``sub-`` prefix and visit.

    Examples
    --------
    >>> subject_of("sub-0001_ses-01")
    '0001'
    """
    return unit.split("_ses-")[0].removeprefix("sub-")


def hash_identifier(unit: str, *, salt: str) -> str:
    """Return the salted SHA-256 of a subject, without ``sub-`` prefix and visit."""
    return hashlib.sha256(f"{salt}:{subject_of(unit).lower()}".encode()).hexdigest()


def pick_device(name: str) -> torch.device:
    """Return the torch device for ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` ...

    Raises
    ------
    PopscanError
        If it is none torch knows, or a GPU is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PopscanError(f"device {name!r} is unknown; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise PopscanError(
            f"device {name!r} was asked for, but torch finds no GPU; use auto or cpu"
        )
    return device


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 in hardware, which is about twice as fast."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return what networks compute in: for ``auto``, bfloat16 where the device has it.

    Raises
    ------
    PopscanError
        If it is none of ``auto``, ``float32`` and ``bfloat16``.
    """
    if name == "auto":
        return torch.bfloat16 if computes_in_bfloat16(device) else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in known:
        raise PopscanError(f"precision {name!r} is unknown; use auto, {', '.join(known)}")
    return known[name]


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _check_folder(path: Path) -> None:
    if path.suffix in _PICKLES:
        raise PopscanError(
            f"{path}: a {path.suffix} file can run code when it is loaded and is never read; "
            f"give the folder of a model bundle ({MODEL}, {WEIGHTS}, {CARD})"
        )
    if not path.is_dir():
        raise PopscanError(f"{path}: no model bundle there; a bundle is a folder with {MODEL}")
    if pickles := sorted(p.name for p in path.iterdir() if p.suffix in _PICKLES):
        raise PopscanError(
            f"{path}: holds {', '.join(pickles)}; such files can run code when they are loaded and "
            f"are never read, a bundle keeps its weights in {WEIGHTS}"
        )
    if missing := [name for name in (MODEL, WEIGHTS, CARD) if not (path / name).is_file()]:
        raise PopscanError(f"{path}: the model bundle lacks {', '.join(missing)}")


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = yaml.safe_load((path / MODEL).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PopscanError(f"{path / MODEL}: not readable as YAML ({error})") from error
    if not isinstance(about, dict):
        raise PopscanError(f"{path / MODEL}: expected a mapping of keys to values")
    if missing := [key for key in _REQUIRED if key not in about]:
        raise PopscanError(f"{path / MODEL}: lacks {', '.join(missing)}")
    if about["format"] != FORMAT:
        raise PopscanError(
            f"{path / MODEL}: format {about['format']!r}, this popscan reads {FORMAT}"
        )
    expected = {name: int(label) for label, name in STRUCTURES.items()}
    if about["labels"] != expected:
        raise PopscanError(f"{path / MODEL}: labels {about['labels']}, popscan's are {expected}")
    return about


def _tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers by name, each once even where a module is used twice."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def _fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Put tensors into a network after checking every name and shape."""
    own = _tensors(network)
    if set(own) != set(tensors):
        odd = sorted(set(own) ^ set(tensors))
        raise PopscanError(
            f"{where}: the weights do not belong to the architecture; {len(odd)} names differ, "
            f"first {odd[0]!r}"
        )
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise PopscanError(
                f"{where}: {name!r} has shape {tuple(tensor.shape)}, the architecture needs "
                f"{tuple(own[name].shape)}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise PopscanError(f"{where}: {name!r} holds numbers that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def _networks(
    about: Mapping[str, Any], weights: bytes, device: torch.device, *, where: str
) -> Iterator[torch.nn.Module]:
    """Build the members and fill them with their weights."""
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise PopscanError(f"{where}: not a safetensors file ({error})") from error
    members = {str(index) for index in range(len(about["members"]))}
    if surplus := sorted(name for name in tensors if name.split(".", 1)[0] not in members):
        raise PopscanError(
            f"{where}: {len(surplus)} tensors belong to none of the {len(members)} members, "
            f"first {surplus[0]!r}"
        )
    for index, member in enumerate(about["members"]):
        network = build_network(member["architecture"], len(Label), **member["arguments"])
        own = {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{index}.")}
        _fill(network, own, where=f"{where}, member {index}")
        yield network.to(device).eval().requires_grad_(False)


def load_bundle(path: str | Path, device: str = "auto", *, networks: bool = True) -> Bundle:
    """Read a model bundle.

    Parameters
    ----------
    path
        Folder with ``model.yaml``, ``weights.safetensors`` and ``card.md``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    networks
        False leaves them out: enough, and much faster, for who only asks whom the model knows.

    Raises
    ------
    PopscanError
        If a part is missing or altered (digest), a pickle is given or lies in the folder, the
        architecture is unknown, or names or shapes of the weights do not fit it.
    """
    path = Path(path)
    _check_folder(path)
    about = _read_about(path)
    weights = (path / WEIGHTS).read_bytes()
    if (found := _sha256(weights)) != about["weights_sha256"]:
        raise PopscanError(
            f"{path / WEIGHTS}: its SHA-256 is {found[:12]}..., {MODEL} says "
            f"{str(about['weights_sha256'])[:12]}...; the file was changed or cut off"
        )
    where = pick_device(device)
    built = _networks(about, weights, where, where=str(path / WEIGHTS)) if networks else ()
    return Bundle(
        name=about["name"],
        networks=tuple(built),
        arguments=tuple(member["arguments"] for member in about["members"]),
        spacing_mm=float(about["spacing_mm"]),
        patch=int(about["patch"]),
        normalisation=about["normalisation"],
        input_range=about["input_range"],
        digest=_sha256((path / MODEL).read_bytes(), weights),
        device=where,
        about=about,
    )


def save_bundle(
    path: Path,
    *,
    about: Mapping[str, Any],
    weights: Sequence[Mapping[str, torch.Tensor]],
    card: str,
    half: bool = True,
) -> None:
    """Write a model bundle.

    Parameters
    ----------
    path
        Folder; made if absent, its three files replaced.
    about
        What goes into model.yaml, without ``format``, ``labels`` and ``weights_sha256``.
    weights
        One state dict per entry of ``about["members"]``.
    card
        Text of card.md.
    half
        Store float16: half the size, and no measurable difference in what it segments.
    """
    path.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for index, (member, values) in enumerate(zip(about["members"], weights, strict=True)):
        network = build_network(member["architecture"], len(Label), **member["arguments"])
        for name in _tensors(network):
            value = values[name].detach().cpu().contiguous()
            tensors[f"{index}.{name}"] = value.half() if half else value.clone()
    save_file(tensors, path / WEIGHTS)
    (path / WEIGHTS).chmod(0o644)
    head = {"format": FORMAT, "labels": {name: int(label) for label, name in STRUCTURES.items()}}
    tail = {"weights_sha256": _sha256((path / WEIGHTS).read_bytes())}
    text = yaml.safe_dump(head | dict(about) | tail, sort_keys=False, allow_unicode=True, width=100)
    (path / MODEL).write_text(text, encoding="utf-8")
    (path / CARD).write_text(card, encoding="utf-8")
