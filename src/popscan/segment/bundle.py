"""Model bundles: a folder with everything needed to use a model rightly, and nothing executable.

``model.yaml`` says what the model is, ``weights.safetensors`` holds its numbers, ``card.md``
describes it for people. Pickles are never read: not here and not by any library called from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from popscan.records import PopscanError
from popscan.segment.content import ARRAY, Familiarity, familiarity
from popscan.segment.devices import pick_device
from popscan.segment.facts import FORMAT, Member, read_facts
from popscan.segment.networks import build_network
from popscan.segment.trainingfile import KEY, TRAINING, Arrays, read_training
from popscan.yamlfile import shown

MODEL, WEIGHTS, CARD = "model.yaml", "weights.safetensors", "card.md"
_PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib"}
#: Largest file of weights that is read.
MAX_WEIGHTS_BYTES = 8 * 2**30
#: Types that weights may be stored in.
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


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
    labels
        Name of each structure -> its code in what the networks say, 1 first.
    digest
        SHA-256 over model.yaml (which holds that of ``training.safetensors``) and the weights:
        what a result depends on.
    about
        Everything in model.yaml.
    device
        Where the networks are.
    training
        What is known of the training scans, by name (`popscan.segment.trainingfile`).
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
    labels: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)
    training: Arrays = field(default_factory=dict)

    @property
    def n_labels(self) -> int:
        """Number of labels, background included."""
        return 1 + len(self.labels)

    def require_labels(self, labels: Mapping[str, int]) -> None:
        """Refuse a model of other structures than the caller's.

        Raises
        ------
        PopscanError
            If names or codes differ.
        """
        if dict(self.labels) != dict(labels):
            raise PopscanError(
                f"model {self.name} labels {shown(dict(self.labels))}; here it must be "
                f"{shown(dict(labels))}"
            )

    def was_trained_on(self, unit: str) -> bool:
        """Return whether the model was trained on a subject, by its identifier.

        The bundle holds salted hashes only. ``sub-`` and the visit do not matter: a subject seen
        at one visit is known at all. Identifiers are as in the training cohort, so a stranger of
        the same name counts as seen too, which errs on the safe side.
        """
        trained = self.about["trained_on"]
        return hash_identifier(unit, salt=trained["salt"]) in set(trained["sha256"])

    def recognise(self, unit: str, array: NDArray[np.generic]) -> Familiarity:
        """Return whether the model was trained on a scan (x, y, z, t), by its images.

        Where the bundle has no digests of them, by the subject's name (`was_trained_on`).
        """
        return familiarity(
            array,
            named=self.was_trained_on(unit),
            digests=self.training.get(ARRAY),
            salt=self.about["trained_on"]["salt"],
        )


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
        if tensor.dtype not in (_FLOATS if own[name].dtype in _FLOATS else {own[name].dtype}):
            raise PopscanError(
                f"{where}: {name!r} is {tensor.dtype}, the architecture needs {own[name].dtype}"
            )
        if not bool(torch.isfinite(tensor.to(own[name].dtype)).all()):
            raise PopscanError(f"{where}: {name!r} holds numbers that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def _check_width(member: Member, tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Refuse a network far wider than its weights before memory is asked for."""
    widest = max((max(tensor.shape, default=1) for tensor in tensors.values()), default=0)
    if max(member.arguments["channels"]) > widest:
        raise PopscanError(
            f"{where}: channels {shown(member.arguments['channels'])} are more than any tensor "
            f"of the weights has ({widest})"
        )


def _networks(
    members: Sequence[Member], weights: bytes, device: torch.device, *, n_labels: int, where: str
) -> Iterator[torch.nn.Module]:
    """Build the members and fill them with their weights."""
    try:
        tensors = load(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise PopscanError(f"{where}: not a safetensors file ({error})") from error
    numbers = {str(index) for index in range(len(members))}
    if surplus := sorted(n for n in tensors if "." not in n or n.split(".", 1)[0] not in numbers):
        raise PopscanError(
            f"{where}: {len(surplus)} tensors belong to none of the {len(members)} members, "
            f"first {shown(surplus[0])}"
        )
    for index, member in enumerate(members):
        own = {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{index}.")}
        _check_width(member, own, where=f"{where}, member {index}")
        try:
            network = build_network(member.architecture, n_labels, **member.arguments)
        except PopscanError as error:
            raise PopscanError(f"{where}, member {index}: {error}") from error
        _fill(network, own, where=f"{where}, member {index}")
        yield network.to(device).eval().requires_grad_(False)


def _read_weights(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_WEIGHTS_BYTES:
            raise PopscanError(f"{path}: {size} bytes; at most {MAX_WEIGHTS_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise PopscanError(f"{path}: cannot be read ({error.strerror or error})") from error


def load_bundle(
    path: str | Path,
    device: str = "auto",
    *,
    networks: bool = True,
    labels: Mapping[str, int] | None = None,
) -> Bundle:
    """Read a model bundle.

    Parameters
    ----------
    path
        Folder with ``model.yaml``, ``weights.safetensors`` and ``card.md``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    networks
        False leaves them out: enough, and much faster, for who only asks whom the model knows.
    labels
        Structures and codes that it must have; None for whatever it has.

    Raises
    ------
    PopscanError
        If a part is missing or altered (digest), a pickle is given or lies in the folder, the
        architecture is unknown, or names or shapes of the weights do not fit it.
    """
    path = Path(path)
    _check_folder(path)
    facts, about = read_facts(path / MODEL, labels)
    weights = _read_weights(path / WEIGHTS)
    if (found := _sha256(weights)) != facts.weights_sha256:
        raise PopscanError(
            f"{path / WEIGHTS}: its SHA-256 is {found[:12]}..., {MODEL} says "
            f"{facts.weights_sha256[:12]}...; the file was changed or cut off"
        )
    where = pick_device(device)
    built: Iterator[torch.nn.Module] = iter(())
    if networks:
        built = _networks(
            facts.members,
            weights,
            where,
            n_labels=1 + len(facts.labels),
            where=str(path / WEIGHTS),
        )
    return Bundle(
        name=facts.name,
        networks=tuple(built),
        arguments=tuple(member.arguments for member in facts.members),
        spacing_mm=facts.spacing_mm,
        patch=facts.patch,
        normalisation=about["normalisation"],
        input_range=facts.input_range,
        digest=_sha256((path / MODEL).read_bytes(), weights),
        device=where,
        labels=facts.labels,
        about=about,
        training=read_training(path, facts.training_sha256),
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
        Folder; made if absent, its three files replaced, and what it knew of training scans gone
        where `about` does not hold its digest.
    about
        What goes into model.yaml, without ``format`` and ``weights_sha256``; ``labels`` are the
        structures with their codes, 1 first.
    weights
        One state dict per entry of ``about["members"]``.
    card
        Text of card.md.
    half
        Store float16: half the size, and no measurable difference in what it segments.
    """
    path.mkdir(parents=True, exist_ok=True)
    if KEY not in about:
        (path / TRAINING).unlink(missing_ok=True)
    tensors = {}
    for index, (member, values) in enumerate(zip(about["members"], weights, strict=True)):
        network = build_network(
            member["architecture"], 1 + len(about["labels"]), **member["arguments"]
        )
        for name in _tensors(network):
            value = values[name].detach().cpu().contiguous()
            tensors[f"{index}.{name}"] = value.half() if half else value.clone()
    save_file(tensors, path / WEIGHTS)
    (path / WEIGHTS).chmod(0o644)
    head = {"format": FORMAT, "labels": dict(about["labels"])}
    tail = {"weights_sha256": _sha256((path / WEIGHTS).read_bytes())}
    text = yaml.safe_dump(head | dict(about) | tail, sort_keys=False, allow_unicode=True, width=100)
    (path / MODEL).write_text(text, encoding="utf-8")
    (path / CARD).write_text(card, encoding="utf-8")
