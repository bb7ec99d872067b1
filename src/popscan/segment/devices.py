"""Which device networks run on, and with which numbers."""

from __future__ import annotations

import torch

from popscan.records import PopscanError

#: Functions of ``torch.cpu`` that say whether a processor multiplies bfloat16 in hardware.
_BFLOAT16_OF_CPUS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


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
    return device.type == "cpu" and any(map(_cpu_has, _BFLOAT16_OF_CPUS))


def _cpu_has(question: str) -> bool:
    """Ask torch what the processor can do; a torch that cannot say counts as no."""
    supported = getattr(torch.cpu, question, None)
    return supported is not None and bool(supported())


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
