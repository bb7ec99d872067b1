"""Networks by name, of a kept library (MONAI) where it has them, for 2D slices.

Every builder takes ``channels`` (feature channels per level, finest first), ``context`` (slices
of the stack seen on each side of the one to label) and ``phases`` (2 to see the same slices in the
opposite phase of the cycle, too), and returns a module that maps
``(n, phases (1 + 2 context), x, y)`` to logits ``(n, n_labels, x, y)``; the slice's own phase comes
first, the slice itself in the middle of its neighbours. Sides are multiples of `stride`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from popscan.records import PopscanError

_INSTANCE_NORM = ("INSTANCE", {"affine": True})


def _unet(
    n_labels: int,
    *,
    channels: Sequence[int],
    context: int = 0,
    phases: int = 1,
    residual_units: int = 2,
) -> torch.nn.Module:
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=2,
        in_channels=phases * (1 + 2 * context),
        out_channels=n_labels,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=residual_units,
        norm=_INSTANCE_NORM,
    )


def _dynunet(
    n_labels: int,
    *,
    channels: Sequence[int],
    context: int = 0,
    phases: int = 1,
    residual: bool = False,
) -> torch.nn.Module:
    from monai.networks.nets import DynUNet

    depth = len(channels)
    return DynUNet(
        spatial_dims=2,
        in_channels=phases * (1 + 2 * context),
        out_channels=n_labels,
        kernel_size=[3] * depth,
        strides=[1] + [2] * (depth - 1),
        upsample_kernel_size=[2] * (depth - 1),
        filters=list(channels),
        norm_name=_INSTANCE_NORM,
        res_block=residual,
    )


def _basic_unet(
    n_labels: int, *, channels: Sequence[int], context: int = 0, phases: int = 1
) -> torch.nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(
        spatial_dims=2,
        in_channels=phases * (1 + 2 * context),
        out_channels=n_labels,
        features=(*channels, channels[0]),
        norm=_INSTANCE_NORM,
    )


def _fcn(
    n_labels: int,
    *,
    channels: Sequence[int],
    context: int = 0,
    phases: int = 1,
    convolutions: int = 2,
) -> torch.nn.Module:
    from popscan.segment.published import FCN

    return FCN(phases * (1 + 2 * context), n_labels, channels=channels, convolutions=convolutions)


def _deepmedic(
    n_labels: int, *, channels: Sequence[int], context: int = 0, phases: int = 1, layers: int = 8
) -> torch.nn.Module:
    from popscan.segment.published import DeepMedic

    return DeepMedic(phases * (1 + 2 * context), n_labels, channels=channels, layers=layers)


def _swin_unetr(
    n_labels: int, *, channels: Sequence[int], context: int = 0, phases: int = 1
) -> torch.nn.Module:
    from monai.networks.nets import SwinUNETR

    first = channels[0]
    if list(channels) != [first] + [first * 2**level for level in range(5)]:
        raise ValueError(f"channels of swin_unetr are f, f, 2f, 4f, 8f, 16f, not {list(channels)}")
    return SwinUNETR(
        in_channels=phases * (1 + 2 * context),
        out_channels=n_labels,
        feature_size=first,
        spatial_dims=2,
    )


def _autoencoder(
    n_outputs: int,
    *,
    channels: Sequence[int],
    context: int = 0,
    code: int = 8,
) -> torch.nn.Module:
    """Build a network without skip connections: all goes through `code` channels."""
    from monai.networks.nets import AutoEncoder

    return AutoEncoder(
        spatial_dims=2,
        in_channels=1 + 2 * context,
        out_channels=n_outputs,
        channels=(*channels, code),
        strides=(*(2,) * (len(channels) - 1), 1, 1),
        num_res_units=0,
        norm=_INSTANCE_NORM,
    )


def _hierarchical(
    n_labels: int,
    *,
    channels: Sequence[int],
    context: int = 0,
    phases: int = 1,
    latents: int = 2,
    latent_levels: int = 4,
) -> torch.nn.Module:
    from popscan.segment.hierarchical import Hierarchical

    return Hierarchical(
        phases * (1 + 2 * context),
        n_labels,
        channels=channels,
        latents=latents,
        latent_levels=latent_levels,
    )


#: Architecture name in a recipe or bundle -> builder ``(n_labels, **arguments)``.
ARCHITECTURES: Mapping[str, Callable[..., torch.nn.Module]] = {
    "unet": _unet,
    "dynunet": _dynunet,
    "basic_unet": _basic_unet,
    "fcn": _fcn,
    "deepmedic": _deepmedic,
    "swin_unetr": _swin_unetr,
}
#: Likewise, of those that say what a slice looks like and not what is where in it.
NORMATIVE: Mapping[str, Callable[..., torch.nn.Module]] = {"autoencoder": _autoencoder}
#: Likewise, of those that draw segmentations (`popscan.segment.hierarchical`).
DRAWING: Mapping[str, Callable[..., torch.nn.Module]] = {"hierarchical": _hierarchical}


def build_network(name: str, n_labels: int, **arguments: Any) -> torch.nn.Module:
    """Return a freshly initialised network.

    Parameters
    ----------
    name
        A key of `ARCHITECTURES`: ``unet`` (residual U-Net), ``dynunet`` (as in nnU-Net,
        Isensee et al. 2021, doi:10.1038/s41592-020-01008-z), ``basic_unet``, ``fcn`` (Bai et al.
        2018), ``deepmedic`` (Kamnitsas et al. 2017) or ``swin_unetr`` (a transformer, Hatamizadeh
        et al. 2022, arXiv:2201.01266; ``channels`` are f, f, 2f, 4f, 8f, 16f); ``hierarchical``
        (latent variables on several scales, `popscan.segment.hierarchical`).
    n_labels
        Output channels, background included.
    **arguments
        What the architecture takes, ``channels`` at least.

    Raises
    ------
    PopscanError
        For an unknown name or arguments it does not take; the message lists the known ones.
    """
    builders = {**ARCHITECTURES, **NORMATIVE, **DRAWING}
    if name not in builders:
        known = ", ".join([*sorted(ARCHITECTURES), *NORMATIVE, *DRAWING])
        raise PopscanError(f"unknown architecture {name!r}; known are {known}")
    if n_phases(arguments) not in (1, 2):
        raise PopscanError(f"phases is 1 or 2, not {arguments['phases']!r}")
    try:
        return builders[name](n_labels, **arguments)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise PopscanError(f"architecture {name!r} cannot be built: {error}") from error


def context_slices(arguments: Mapping[str, Any]) -> int:
    """Return how many slices on each side a network sees, for its arguments."""
    return int(arguments.get("context", 0))


def n_phases(arguments: Mapping[str, Any]) -> int:
    """Return in how many phases of the cycle a network sees a slice: 1, or 2 for the opposite."""
    return int(arguments.get("phases", 1))


def n_channels(arguments: Mapping[str, Any]) -> int:
    """Return how many slices of one position and scan a network sees at once."""
    return n_phases(arguments) * (1 + 2 * context_slices(arguments))


def by_phase(images: torch.Tensor) -> torch.Tensor:
    """Return slices (n, phases (1 + 2 context), x, y) as (n, phases, 1 + 2 context, x, y).

    A slice with its neighbours is an odd number of slices: an even one is two phases of them.
    """
    return images.unflatten(1, (2 - images.shape[1] % 2, -1))


def seen_by(images: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
    """Return what a network sees of slices that come with as much around them as any member needs.

    Parameters
    ----------
    images
        (n, phases (1 + 2 context), x, y).
    arguments
        The network's; it sees no more phases and neighbours than there are.

    Returns
    -------
    (n, `n_channels`, x, y).
    """
    phases = by_phase(images)[:, : n_phases(arguments)]
    spare = phases.shape[2] // 2 - context_slices(arguments)
    return phases[:, :, spare : phases.shape[2] - spare].flatten(1, 2)


def stride(arguments: Mapping[str, Any]) -> int:
    """Return what both sides of an input must be a multiple of, for a network's arguments."""
    return int(2 ** (len(arguments["channels"]) - 1))


def bottleneck(network: torch.nn.Module) -> torch.nn.Module:
    """Return the module at the lowest resolution: its output is the network's latent features.

    Raises
    ------
    PopscanError
        For a network that is none of `ARCHITECTURES` and `DRAWING`.
    """
    children = dict(network.named_children())
    for name in ("bottleneck", "down_4", "encoder10"):  # of DynUNet, BasicUNet, SwinUNETR
        if name in children:
            return children[name]
    for name in ("levels", "paths"):  # of FCN, DeepMedic
        if name in children:
            return list(children[name].children())[-1]
    from monai.networks.layers.simplelayers import SkipConnection

    skips = [m for m in network.modules() if isinstance(m, SkipConnection)]
    if not skips:
        raise PopscanError(f"{type(network).__name__}: it is not known where its bottleneck is")
    return skips[-1].submodule  # UNet: the innermost of its nested skip connections
