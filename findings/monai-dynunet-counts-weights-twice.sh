#!/usr/bin/env bash
# MONAI's DynUNet lists almost every weight twice in its state_dict, and safetensors refuses to save it.
#
# Version    monai 1.6.1, safetensors 0.8.0, torch 2.13.0
# Behaviour  The blocks of a DynUNet are registered as input_block, downsamples, upsamples ... and once
#            more inside skip_layers, the same tensors under other names. named_parameters leaves the
#            doubles out, state_dict has them. save_file(net.state_dict()) raises a RuntimeError on
#            shared memory; safetensors' save_model works, and writes each once.
# Output     parameters 29484, in state_dict 58932 (66 names, 34 tensors)
#            save_file of the state_dict: RuntimeError
#            save_model: 34 tensors in the file
# Source     monai/networks/nets/dynunet.py (skip_layers is built of the registered blocks);
#            safetensors documentation, "Torch shared tensors". DynUNet is not named there.
# Consequence A model's size that is counted from state_dict is about twice the truth, an average or a decay
#            over state_dict entries touches most weights twice, and an export that works for other
#            networks stops at this one. Count and save by named_parameters and named_buffers.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  torch==2.13.0 monai==1.6.1 safetensors==0.8.0 numpy
env/bin/python -W ignore - <<'PY'
from monai.networks.nets import DynUNet
from safetensors import safe_open
from safetensors.torch import save_file, save_model

net = DynUNet(
    spatial_dims=2, in_channels=1, out_channels=4, kernel_size=[3, 3, 3], strides=[1, 2, 2],
    upsample_kernel_size=[2, 2], filters=[8, 16, 32],
)
state = net.state_dict()
parameters = sum(p.numel() for p in net.parameters())
listed = sum(v.numel() for v in state.values())
tensors = len({v.data_ptr() for v in state.values()})
print(f"parameters {parameters}, in state_dict {listed} ({len(state)} names, {tensors} tensors)")
try:
    save_file(state, "a.safetensors")
    outcome = "saved"
except RuntimeError:
    outcome = "RuntimeError"
print(f"save_file of the state_dict: {outcome}")
save_model(net, "b.safetensors")
with safe_open("b.safetensors", framework="pt") as stream:
    kept = len(list(stream.keys()))
print(f"save_model: {kept} tensors in the file")
assert (parameters, listed, len(state), tensors) == (29484, 58932, 66, 34)
assert outcome == "RuntimeError"
assert kept == 34
PY
