"""Bundles that predict something of a subject: probabilities of classes, or a value.

The folder is that of every bundle (``model.yaml``, ``weights.safetensors``, ``card.md``); its
``model.yaml`` says ``task`` instead of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from popscan.arrays.resampling import Window, inplane_shape, resample_images
from popscan.modelfolder import outline
from popscan.records import PopscanError, Scan
from popscan.segment.bundle import check_fit, fill, tensors_of
from popscan.segment.devices import pick_device
from popscan.segment.facts import FORMAT, Digest, Finite, Member, Normalisation, Text, TrainedOn
from popscan.segment.headed import Headed, build_headed
from popscan.segment.inputs import check_scan
from popscan.segment.known import (
    CARD,
    MODEL,
    WEIGHTS,
    check_folder,
    hash_identifier,
    read_weights,
    sha256,
)
from popscan.segment.networks import build_network, context_slices, stride
from popscan.segment.preprocess import normalise, slices
from popscan.yamlfile import problem_text, read_yaml, shown

#: Slices in one batch.
_BATCH = 32


class Task(BaseModel):
    """What is predicted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["classify", "regress"]
    attribute: Text
    classes: list[Text] = []
    mean: Finite = 0.0
    sd: Annotated[Finite, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _classes(self) -> Self:
        n = len(set(self.classes))
        if self.task == "classify" and not (2 <= n == len(self.classes) <= 1000):
            raise ValueError(f"classes: 2 to 1000 different names; found {shown(self.classes)}")
        return self

    @property
    def n_outputs(self) -> int:
        """Numbers that a network says of a slice."""
        return len(self.classes) if self.task == "classify" else 1


class PredictorFacts(BaseModel):
    """``model.yaml`` of a predictor; keys that are not listed are notes."""

    model_config = ConfigDict(frozen=True)

    format: Annotated[int, Field(strict=True)]
    name: Annotated[Text, Field(min_length=1)]
    task: Task
    members: Annotated[list[Member], Field(min_length=1, max_length=64)]
    spacing_mm: Annotated[Finite, Field(ge=0.05, le=50)]
    patch: Annotated[int, Field(strict=True, ge=8, le=8192)]
    normalisation: Normalisation
    weights_sha256: Digest
    trained_on: TrainedOn
    training: dict[Text, Any]
    validation: dict[Text, Any]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A model of a subject's class or value, ready to use.

    Attributes
    ----------
    facts
        What model.yaml says.
    networks
        Members of the ensemble, on `device` in evaluation mode.
    digest
        SHA-256 over model.yaml and the weights.
    device
        Where the networks are.
    """

    facts: PredictorFacts
    networks: tuple[Headed, ...]
    digest: str
    device: torch.device

    def was_trained_on(self, unit: str) -> bool:
        """Return whether the model was trained on a subject, by its identifier."""
        trained = self.facts.trained_on
        return hash_identifier(unit, salt=trained.salt) in set(trained.sha256)


def load_predictor(path: str | Path, device: str = "auto") -> Predictor:
    """Read a bundle that classifies or regresses.

    Raises
    ------
    PopscanError
        If a part is missing or altered, a pickle lies in the folder, or the weights do not fit.
    """
    path = Path(path)
    check_folder(path)
    facts = _read_facts(path / MODEL)
    weights = read_weights(path / WEIGHTS)
    if (found := sha256(weights)) != facts.weights_sha256:
        raise PopscanError(
            f"{path / WEIGHTS}: its SHA-256 is {found[:12]}..., {MODEL} says "
            f"{facts.weights_sha256[:12]}...; the file was changed or cut off"
        )
    try:
        tensors = load(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise PopscanError(f"{path / WEIGHTS}: not a safetensors file ({error})") from error
    where, networks = pick_device(device), []
    for index, member in enumerate(facts.members):
        own = {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{index}.")}
        widest = max((max(tensor.shape, default=1) for tensor in own.values()), default=0)
        if max(member.arguments["channels"]) > widest:
            raise PopscanError(f"{path / WEIGHTS}: channels of member {index} are not its weights'")
        check_encoder(member, own, where=f"{path / WEIGHTS}, member {index}")
        network = build_headed(member.architecture, facts.task.n_outputs, **member.arguments)
        fill(network, own, where=f"{path / WEIGHTS}, member {index}")
        networks.append(network.to(where).eval().requires_grad_(False))
    return Predictor(
        facts=facts,
        networks=tuple(networks),
        digest=sha256((path / MODEL).read_bytes(), weights),
        device=where,
    )


def check_encoder(member: Member, tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Refuse weights that are not the encoder's, before memory is allocated for it."""
    start = "network."
    own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    network = outline(partial(build_network, member.architecture, 2, **member.arguments))
    check_fit(tensors_of(network), own, where=where)


def _read_facts(path: Path) -> PredictorFacts:
    about = read_yaml(path)
    if not isinstance(about, dict):
        raise PopscanError(f"{path}: expected a mapping of keys to values; found {shown(about)}")
    if "task" not in about:
        raise PopscanError(f"{path}: lacks task: this bundle segments, nothing else")
    try:
        facts = PredictorFacts.model_validate(about)
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
        raise PopscanError(
            "; ".join(problem_text(item, where=str(path)) for item in items[:5])
        ) from error
    if facts.format != FORMAT:
        raise PopscanError(f"{path}: format: this popscan reads {FORMAT}; found {facts.format}")
    return facts


def save_predictor(
    path: Path,
    *,
    about: Mapping[str, Any],
    weights: Sequence[Mapping[str, torch.Tensor]],
    card: str,
) -> None:
    """Write a bundle that classifies or regresses, weights as float16.

    Parameters
    ----------
    path
        Folder; made if absent.
    about
        What goes into model.yaml, without ``format`` and ``weights_sha256``.
    weights
        One state dict per entry of ``about["members"]``.
    card
        Text of card.md.
    """
    path.mkdir(parents=True, exist_ok=True)
    task = Task.model_validate(about["task"])
    tensors = {}
    for index, (member, values) in enumerate(zip(about["members"], weights, strict=True)):
        network = build_headed(member["architecture"], task.n_outputs, **member["arguments"])
        for name in tensors_of(network):  # each once, also where a module is used twice
            tensors[f"{index}.{name}"] = values[name].detach().cpu().half().contiguous()
    save_file(tensors, path / WEIGHTS)
    (path / WEIGHTS).chmod(0o644)
    tail = {"weights_sha256": sha256((path / WEIGHTS).read_bytes())}
    text = yaml.safe_dump(
        {"format": FORMAT} | dict(about) | tail, sort_keys=False, allow_unicode=True, width=100
    )
    (path / MODEL).write_text(text, encoding="utf-8")
    (path / CARD).write_text(card, encoding="utf-8")


def predict(scan: Scan, predictor: Predictor) -> dict[str, float]:
    """Predict the class or value of a subject from all slices of all frames of a scan.

    Every slice is seen at the spacing of the training, cut to the middle of the image; their
    probabilities (or values) are averaged, over members of an ensemble too.

    Returns
    -------
    dict
        Class -> probability; or ``value``.

    Raises
    ------
    SubjectError
        As `popscan.segment.inputs.check_scan` does for scans that cannot be.
    """
    check_scan(scan)
    facts = predictor.facts
    images = slices(normalise(scan.array, **facts.normalisation.model_dump()))
    shape = inplane_shape(
        (images.shape[1], images.shape[2]),
        spacing_mm=scan.spacing_mm[:2],
        target_mm=facts.spacing_mm,
    )
    images = resample_images(images, shape)
    multiple = max(stride(member.arguments) for member in facts.members)
    side = -(-facts.patch // multiple) * multiple
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    images = Window.around(middle, (side, side)).cut(images)
    stack = images.unflatten(0, (scan.array.shape[3], scan.array.shape[2]))
    total = torch.zeros(facts.task.n_outputs)
    for network, member in zip(predictor.networks, facts.members, strict=True):
        total += _outputs(network, stack, context_slices(member.arguments), predictor)
    numbers = (total / len(predictor.networks)).double()
    if facts.task.task == "classify":
        return dict(zip(facts.task.classes, map(float, numbers), strict=True))
    return {"value": float(numbers[0]) * facts.task.sd + facts.task.mean}


def _outputs(
    network: Headed, stack: torch.Tensor, context: int, predictor: Predictor
) -> torch.Tensor:
    """Mean output of a member over slices (t, z, x, y) with their neighbours."""
    n_frames, n_slices = stack.shape[:2]
    reach = torch.arange(-context, context + 1)
    near = (torch.arange(n_slices)[:, None] + reach).clamp(0, n_slices - 1)
    seen = stack[:, near].flatten(0, 1)  # (t * z, 1 + 2 context, x, y)
    parts = []
    with torch.inference_mode():
        for start in range(0, n_frames * n_slices, _BATCH):
            outputs = network(seen[start : start + _BATCH].to(predictor.device))
            if predictor.facts.task.task == "classify":
                outputs = outputs.softmax(dim=1)
            parts.append(outputs.float().cpu())
    return torch.cat(parts).mean(dim=0)
