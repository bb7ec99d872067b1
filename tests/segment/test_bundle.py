"""A bundle is read only when it is whole, unaltered and harmless."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from popscan.records import PopscanError
from popscan.segment import load_bundle, save_bundle
from popscan.segment.bundle import hash_identifier, pick_device
from popscan.segment.networks import ARCHITECTURES, bottleneck, build_network, stride

CHANNELS = {"channels": [4, 4, 8, 8, 8]}


def _about(members=1, architecture="dynunet"):
    return {
        "name": "tiny",
        "members": [{"architecture": architecture, "arguments": CHANNELS}] * members,
        "spacing_mm": 1.5,
        "patch": 32,
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": {"inplane_mm": [1.0, 2.0], "slice_distance_mm": [5.0, 10.0]},
        "training": {},
        "trained_on": {"salt": "s", "sha256": [hash_identifier("patient001", salt="s")]},
        "validation": {"subjects": ["patient002"]},
    }


def write(path: Path, members: int = 1, architecture: str = "dynunet") -> Path:
    torch.manual_seed(0)
    weights = [build_network(architecture, 4, **CHANNELS).state_dict() for _ in range(members)]
    save_bundle(path, about=_about(members, architecture), weights=weights, card="# Tiny\n")
    return path


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "tiny")


#: A small one of every architecture.
SMALL = dict.fromkeys(ARCHITECTURES, CHANNELS) | {
    "swin_unetr": {"channels": [12, 12, 24, 48, 96, 192]},
    "deepmedic": {"channels": [6, 4, 4], "layers": 3},
}


@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_labels_every_pixel_and_learns(architecture, context):
    arguments = SMALL[architecture] | {"context": context}
    torch.manual_seed(5)
    network = build_network(architecture, 4, **arguments)
    side = 2 * stride(arguments)
    x = torch.randn(2, 1 + 2 * context, side, side)
    seen = []
    handle = bottleneck(network).register_forward_hook(lambda *call: seen.append(call[-1].shape))
    logits = network(x)
    handle.remove()
    assert logits.shape == (2, 4, side, side)
    assert seen[0][0] == 2
    assert seen[0][-1] < side
    logits[:, 1].mean().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


def test_channels_that_swin_unetr_cannot_have():
    with pytest.raises(PopscanError, match="f, f, 2f, 4f, 8f, 16f"):
        build_network("swin_unetr", 4, channels=[12, 24, 48])


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"swin_unetr"}))
def test_round_trip_of_every_architecture(tmp_path, architecture):
    bundle = load_bundle(write(tmp_path / "b", architecture=architecture), "cpu")
    (network,) = bundle.networks
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not network.training
    side = 2 * stride(CHANNELS)
    assert network(torch.zeros(2, 1, side, side)).shape == (2, 4, side, side)


def test_members_are_kept_apart(tmp_path):
    bundle = load_bundle(write(tmp_path / "b", members=2), "cpu")
    first, second = (torch.cat([p.flatten() for p in n.parameters()]) for n in bundle.networks)
    assert not torch.equal(first, second)


def test_digest_follows_content(tmp_path, folder):
    same = write(tmp_path / "again")
    assert load_bundle(folder, "cpu").digest == load_bundle(same, "cpu").digest
    text = (same / "model.yaml").read_text().replace("name: tiny", "name: other")
    (same / "model.yaml").write_text(text)
    assert load_bundle(folder, "cpu").digest != load_bundle(same, "cpu").digest


@pytest.mark.parametrize("part", ["model.yaml", "weights.safetensors", "card.md"])
def test_missing_part(folder, part):
    (folder / part).unlink()
    with pytest.raises(PopscanError, match=part):
        load_bundle(folder, "cpu")


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(PopscanError, match="no model bundle there"):
        load_bundle(tmp_path / "nothing", "cpu")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".pkl"])
def test_pickles_are_refused_unread(tmp_path, folder, suffix):
    alone = tmp_path / f"model{suffix}"
    alone.write_bytes(b"never read")
    with pytest.raises(PopscanError, match="can run code"):
        load_bundle(alone, "cpu")
    (folder / f"weights{suffix}").write_bytes(b"never read")
    with pytest.raises(PopscanError, match="can run code"):
        load_bundle(folder, "cpu")


def test_altered_weights(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(PopscanError, match="was changed or cut off"):
        load_bundle(folder, "cpu")


def _edit(folder: Path, **changes):
    about = yaml.safe_load((folder / "model.yaml").read_text())
    (folder / "model.yaml").write_text(yaml.safe_dump(about | changes))


def test_weights_that_are_no_safetensors(folder):
    data = b"\x80\x04pickled"
    (folder / "weights.safetensors").write_bytes(data)
    _edit(folder, weights_sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(PopscanError, match="not a safetensors file"):
        load_bundle(folder, "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"labels": {"rv": 3, "myo": 2, "lv": 1}}, "popscan's are"),
        (
            {"members": [{"architecture": "vnet", "arguments": CHANNELS}]},
            "unknown architecture 'vnet'; known are basic_unet, deepmedic",
        ),
        (
            {"members": [{"architecture": "dynunet", "arguments": CHANNELS | {"x": 1}}]},
            "cannot be built",
        ),
        (
            {"members": [{"architecture": "dynunet", "arguments": CHANNELS | {"phases": 3}}]},
            "phases is 1 or 2, not 3",
        ),
        (
            {"members": [{"architecture": "dynunet", "arguments": {"channels": [4, 4, 8, 8, 12]}}]},
            "has shape",
        ),
        (
            {"members": [{"architecture": "dynunet", "arguments": {"channels": [4, 4, 8, 8]}}]},
            "do not belong to the architecture",
        ),
    ],
)
def test_wrong_descriptions(folder, changes, message):
    _edit(folder, **changes)
    with pytest.raises(PopscanError, match=message):
        load_bundle(folder, "cpu")


@pytest.mark.parametrize("name", ["1.weight", "junk", "x.0.weight"])
def test_tensors_of_no_member_are_refused(folder, name):
    path = folder / "weights.safetensors"
    save_file(load_file(path) | {name: torch.zeros(2)}, path)
    _edit(folder, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(PopscanError, match=rf"1 tensors belong to none .* first '{name}'"):
        load_bundle(folder, "cpu")


def test_description_that_lacks_keys_or_is_no_yaml(folder):
    (folder / "model.yaml").write_text("name: tiny\n")
    with pytest.raises(PopscanError, match=r"lacks format, members"):
        load_bundle(folder, "cpu")
    (folder / "model.yaml").write_text("a: [1\n")
    with pytest.raises(PopscanError, match="not readable as YAML"):
        load_bundle(folder, "cpu")
    (folder / "model.yaml").write_text("- 1\n")
    with pytest.raises(PopscanError, match="expected a mapping"):
        load_bundle(folder, "cpu")


def test_yaml_cannot_make_objects(folder):
    (folder / "model.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(PopscanError, match="not readable as YAML"):
        load_bundle(folder, "cpu")


def test_training_subjects_are_known_by_hash_only(folder):
    bundle = load_bundle(folder, "cpu")
    assert bundle.was_trained_on("patient001")
    assert bundle.was_trained_on("sub-patient001_ses-01")
    assert not bundle.was_trained_on("patient002")
    assert "patient001" not in (folder / "model.yaml").read_text()


def test_device_names():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in {"cpu", "cuda"}
    with pytest.raises(PopscanError, match="is unknown"):
        pick_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(PopscanError, match="finds no GPU"):
            pick_device("cuda")


def test_without_networks_it_still_knows_whom_it_saw_and_what_it_is(folder):
    whole, facts = load_bundle(folder, "cpu"), load_bundle(folder, "cpu", networks=False)
    assert facts.networks == ()
    assert (facts.digest, facts.name, facts.about) == (whole.digest, whole.name, whole.about)
    (folder / "weights.safetensors").write_bytes(b"cut off")
    with pytest.raises(PopscanError, match="changed or cut off"):
        load_bundle(folder, "cpu", networks=False)
