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
from popscan.segment.devices import pick_device
from popscan.segment.known import hash_identifier, read_known
from popscan.segment.networks import ARCHITECTURES, bottleneck, build_network, stride

CHANNELS = {"channels": [4, 4, 8, 8, 8]}


def _about(members=1, architecture="dynunet"):
    return {
        "name": "tiny",
        "members": [{"architecture": architecture, "arguments": CHANNELS}] * members,
        "labels": {"rv": 1, "myo": 2, "lv": 3},
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


def test_labels_are_those_that_the_caller_needs(folder):
    load_bundle(folder, "cpu", labels={"rv": 1, "myo": 2, "lv": 3})
    with pytest.raises(PopscanError, match="popscan's are"):
        load_bundle(folder, "cpu", labels={"rv": 3, "myo": 2, "lv": 1})
    bundle = load_bundle(folder, "cpu")
    assert bundle.n_labels == 4
    with pytest.raises(PopscanError, match="here it must be"):
        bundle.require_labels({"hippocampus": 1})


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
        ({"labels": {"rv": 4, "myo": 2, "lv": 1}}, "codes 1, 2"),
        ({"labels": {"rv": 1, "lv": 2}}, "has shape"),
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


MEMBER = {"architecture": "dynunet", "arguments": CHANNELS}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("format", {"format": True}),
        ("format", {"format": "1"}),
        ("name", {"name": ""}),
        ("name", {"name": 7}),
        ("name", {"name": "x" * 10_000}),
        ("members", {"members": []}),
        ("members", {"members": [MEMBER] * 1000}),
        ("members", {"members": {"a": 1}}),
        ("members.0", {"members": ["dynunet"]}),
        ("members.0.architecture", {"members": [{**MEMBER, "architecture": ["dynunet"]}]}),
        ("members.0.arguments", {"members": [{**MEMBER, "arguments": [4, 4]}]}),
        ("members.0.arguments", {"members": [{"architecture": "dynunet"}]}),
        *(
            ("members.0", {"members": [{**MEMBER, "arguments": CHANNELS | more}]})
            for more in (
                {"channels": 4},
                {"channels": []},
                {"channels": [4, -4]},
                {"channels": [4.5, 8]},
                {"channels": [True, True]},
                {"channels": ["4", "8"]},
                {"channels": [4] * 1000},
                {"channels": [10**9, 10**9]},
                {"context": 10**6},
                {"context": -1},
                {"context": "1"},
                {"phases": NAN},
            )
        ),
        ("labels", {"labels": {"rv": True, "myo": 2, "lv": 3}}),
        ("labels", {"labels": {"rv": 1, "myo": 2, "lv": 3, "la": 5}}),
        ("labels", {"labels": ["rv", "myo", "lv"]}),
        ("labels", {"labels": {1: "rv", 2: "myo", 3: "lv"}}),
        *(("spacing_mm", {"spacing_mm": v}) for v in (NAN, INF, 0, -1.5, "1.5", [1.5, 1.5], None)),
        *(("patch", {"patch": v}) for v in (-128, 0, 128.0, NAN, "128", True, 10**12, [64, 64])),
        ("normalisation.method", {"normalisation": {"method": "zscore"}}),
        ("normalisation.mean", {"normalisation": {"low_pct": 1.0, "high_pct": 99.0, "mean": 0}}),
        ("normalisation.low_pct", {"normalisation": {"low_pct": NAN}}),
        ("normalisation.high_pct", {"normalisation": {"high_pct": 101.0}}),
        ("normalisation", {"normalisation": {"low_pct": 60.0, "high_pct": 40.0}}),
        ("normalisation", {"normalisation": "percentiles"}),
        ("input_range.inplane_mm", {"input_range": {"inplane_mm": [1.0]}}),
        ("input_range.inplane_mm", {"input_range": {"inplane_mm": [2.0, 1.0]}}),
        ("input_range.inplane_mm.0", {"input_range": {"inplane_mm": [NAN, 1.0]}}),
        ("input_range", {"input_range": [1.0, 2.0]}),
        ("weights_sha256", {"weights_sha256": 0}),
        ("weights_sha256", {"weights_sha256": "abc"}),
        ("trained_on", {"trained_on": ["patient001"]}),
        ("trained_on.sha256", {"trained_on": {"salt": "s"}}),
        ("trained_on.sha256.0", {"trained_on": {"salt": "s", "sha256": ["patient001"]}}),
        ("training", {"training": 3}),
        ("validation", {"validation": None}),
        ("calibration.temperature", {"calibration": {"temperature": 0.0}}),
        ("calibration.temperature", {"calibration": {"temperature": NAN}}),
        ("calibration", {"calibration": 1.2}),
        ("intervals.0", {"intervals": [3]}),
        (
            "intervals.0.quantities.lvedv_ml.errors.0",
            {
                "intervals": [
                    {
                        "flips": False,
                        "dropout_samples": 0,
                        "quantities": {"lvedv_ml": {"errors": ["x"], "spreads": []}},
                    }
                ]
            },
        ),
        ("expected_dice.models", {"expected_dice": {"features": ["a"]}}),
        (
            "expected_dice",
            {
                "expected_dice": {
                    "features": ["a", "b"],
                    "models": {
                        "rv": {"intercept": 0.1, "mean": [1.0], "sd": [1.0], "coefficients": [1.0]}
                    },
                }
            },
        ),
    ],
)
def test_wrong_value_is_named_by_file_and_key(folder, key, changes):
    _edit(folder, **changes)
    with pytest.raises(PopscanError) as caught:
        load_bundle(folder, "cpu")
    message = str(caught.value)
    assert message.startswith(f"{folder / 'model.yaml'}: {key}"), message
    assert "; found" in message
    assert len(message) < 1500


@pytest.mark.parametrize(
    "key", ["format", "members", "labels", "spacing_mm", "patch", "normalisation", "trained_on"]
)
def test_missing_key_is_named(folder, key):
    about = yaml.safe_load((folder / "model.yaml").read_text())
    del about[key]
    (folder / "model.yaml").write_text(yaml.safe_dump(about))
    with pytest.raises(PopscanError, match=rf"model.yaml: lacks {key}"):
        load_bundle(folder, "cpu")


def test_network_far_wider_than_its_weights_is_never_built(folder):
    """Before memory is asked for: one of this width would take gigabytes."""
    _edit(folder, members=[{"architecture": "dynunet", "arguments": {"channels": [4, 16384]}}])
    with pytest.raises(PopscanError, match=r"channels \[4, 16384\] are more than any tensor"):
        load_bundle(folder, "cpu")


@pytest.fixture
def no_memory(monkeypatch):
    """Let no convolution have weights."""

    def refused(layer):
        assert layer.weight.device.type == "meta", "memory was allocated"

    monkeypatch.setattr(torch.nn.modules.conv._ConvNd, "reset_parameters", refused)


def test_network_larger_than_its_weights_is_never_built(folder, no_memory):
    """Also where some tensor is as long as its channels are many."""
    _edit(folder, members=[{"architecture": "dynunet", "arguments": {"channels": [4096] * 10}}])
    _replace_weights(folder, lambda tensors: tensors | {"0.long": torch.zeros(65536)})
    with pytest.raises(PopscanError, match="do not belong to the architecture"):
        load_bundle(folder, "cpu")


def _replace_weights(folder, change):
    path = folder / "weights.safetensors"
    save_file(change(load_file(path)), path)
    _edit(folder, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _one_changed(change):
    def changed(tensors):
        name = sorted(n for n in tensors if tensors[n].ndim == 4)[0]
        return tensors | {name: change(tensors[name]).contiguous()}

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_one_changed(lambda t: t * NAN), "not finite"),
        (_one_changed(lambda t: t.double() + 1e300), "not finite"),
        (_one_changed(lambda t: t.to(torch.int32)), "is torch.int32, the architecture needs"),
        (_one_changed(lambda t: t > 0), "is torch.bool, the architecture needs"),
        (_one_changed(lambda t: t.to(torch.float8_e4m3fn)), "is torch.float8_e4m3fn"),
        (_one_changed(lambda t: t.to(torch.complex64)), "is torch.complex64"),
        (_one_changed(lambda t: t[:1]), "has shape"),
        (_one_changed(lambda t: t.flatten()), "has shape"),
        (lambda tensors: dict(list(tensors.items())[1:]), "do not belong to the architecture"),
        (lambda tensors: tensors | {"0.more": torch.zeros(1)}, "do not belong to the architecture"),
        (lambda tensors: {}, "are more than any tensor"),
    ],
)
def test_weights_of_another_kind_are_refused(folder, change, message):
    _replace_weights(folder, change)
    with pytest.raises(PopscanError, match=message) as caught:
        load_bundle(folder, "cpu")
    assert "weights.safetensors" in str(caught.value)


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
    with pytest.raises(PopscanError, match="not valid YAML"):
        load_bundle(folder, "cpu")
    (folder / "model.yaml").write_text("- 1\n")
    with pytest.raises(PopscanError, match="expected a mapping"):
        load_bundle(folder, "cpu")


def test_yaml_cannot_make_objects(folder):
    (folder / "model.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(PopscanError, match="not valid YAML"):
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
    whole, facts = load_bundle(folder, "cpu"), read_known(folder)
    assert (facts.digest, facts.name, facts.about) == (whole.digest, whole.name, whole.about)
    (folder / "weights.safetensors").write_bytes(b"cut off")
    with pytest.raises(PopscanError, match="changed or cut off"):
        read_known(folder)
