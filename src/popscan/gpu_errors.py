"""Which exceptions are faults of an accelerator, so that no subject is charged with them."""

from __future__ import annotations

import sys

#: What torch raises for accelerators; those that its version has.
_GPU_ERRORS = ("OutOfMemoryError", "AcceleratorError")
#: Texts of plain RuntimeErrors of CUDA, HIP and their libraries.
_GPU_TEXTS = (
    "CUDA error",
    "CUDA driver",
    "CUDA out of memory",
    "No CUDA GPUs",
    "NVIDIA driver",
    "HIP error",
    "No HIP GPUs",
    "cuDNN error",
    "CUDNN_STATUS",
    "CUBLAS_STATUS",
    "CUSOLVER_STATUS",
    "CUFFT",
)
#: Causes of causes that are looked at.
_CHAIN = 5


def is_gpu_fault(error: BaseException) -> bool:
    """Return whether an exception, or what it was raised from, is a fault of an accelerator.

    torch raises `torch.OutOfMemoryError` where a GPU's memory is full and `torch.AcceleratorError`
    (from 2.8) for what a driver reports, after which the process can use the GPU no more. What
    older versions, CUDA's libraries and the start of CUDA raise is a plain `RuntimeError`, known by
    its text alone.
    """
    torch = sys.modules.get("torch")
    types = tuple(
        getattr(torch, name) for name in _GPU_ERRORS if torch is not None and hasattr(torch, name)
    )
    seen: BaseException | None = error
    for _ in range(_CHAIN):
        if seen is None:
            return False
        if isinstance(seen, types):
            return True
        if isinstance(seen, RuntimeError) and any(mark in str(seen) for mark in _GPU_TEXTS):
            return True
        seen = seen.__cause__
    return False
