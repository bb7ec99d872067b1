"""Model bundles: a folder with everything needed to use a model rightly, and nothing executable.

``model.yaml`` says what the model is, ``weights.safetensors`` holds its numbers, ``card.md``
describes it for people. Pickles are never read: not here and not by any library called from here.
`popscan.segment.known` has what can be known without the networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from popscan.modelfolder import outline
from popscan.records import PopscanError
from popscan.segment.devices import pick_device
from popscan.segment.facts import FORMAT, Member
from popscan.segment.known import CARD, MODEL, WEIGHTS, KnownBundle, read_parts, sha256
from popscan.segment.networks import build_network
from popscan.segment.trainingfile import KEY, TRAINING
from popscan.yamlfile import shown

#: Types that weights may be stored in.
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


@dataclass(frozen=True, kw_only=True)
class Bundle(KnownBundle):
    """A model ready to use.

    Attributes
    ----------
    networks
        Members of the ensemble, one or more, on `device` in evaluation mode.
    device
        Where the networks are.
    """

    networks: tuple[torch.nn.Module, ...]
    device: torch.device


def tensors_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers by name, each once even where a module is used twice."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Put tensors into a network after checking every name and shape."""
    own = tensors_of(network)
    check_fit(own, tensors, where=where)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor.to(own[name].dtype)).all()):
            raise PopscanError(f"{where}: {name!r} holds numbers that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def check_fit(
    own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], *, where: str
) -> None:
    """Refuse weights whose names, shapes or types are not those of a network.

    Parameters
    ----------
    own
        `tensors_of` the network, or of one without memory (`popscan.modelfolder.outline`).
    tensors
        The weights.
    where
        For the message.

    Raises
    ------
    PopscanError
        With the first that differs.
    """
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
            build = partial(build_network, member.architecture, n_labels, **member.arguments)
            check_fit(tensors_of(outline(build)), own, where=f"{where}, member {index}")
            network = build()
        except PopscanError as error:
            raise PopscanError(f"{where}, member {index}: {error}") from error
        fill(network, own, where=f"{where}, member {index}")
        yield network.to(device).eval().requires_grad_(False)


def load_bundle(
    path: str | Path, device: str = "auto", *, labels: Mapping[str, int] | None = None
) -> Bundle:
    """Read a model bundle.

    Parameters
    ----------
    path
        Folder with ``model.yaml``, ``weights.safetensors`` and ``card.md``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    labels
        Structures and codes that it must have; None for whatever it has.

    Raises
    ------
    PopscanError
        If a part is missing or altered (digest), a pickle is given or lies in the folder, the
        architecture is unknown, or names or shapes of the weights do not fit it.
    """
    path = Path(path)
    known, members, weights = read_parts(path, labels)
    where = pick_device(device)
    built = _networks(members, weights, where, n_labels=known.n_labels, where=str(path / WEIGHTS))
    return Bundle(**vars(known), networks=tuple(built), device=where)


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
        for name in tensors_of(network):
            value = values[name].detach().cpu().contiguous()
            tensors[f"{index}.{name}"] = value.half() if half else value.clone()
    save_file(tensors, path / WEIGHTS)
    (path / WEIGHTS).chmod(0o644)
    head = {"format": FORMAT, "labels": dict(about["labels"])}
    tail = {"weights_sha256": sha256((path / WEIGHTS).read_bytes())}
    text = yaml.safe_dump(head | dict(about) | tail, sort_keys=False, allow_unicode=True, width=100)
    (path / MODEL).write_text(text, encoding="utf-8")
    (path / CARD).write_text(card, encoding="utf-8")
