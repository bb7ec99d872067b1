"""Bottlenecks of any network, and maps of what they depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popscan.records import PopscanError
from popscan.segment.networks import ARCHITECTURES, build_network
from popscan.visibility.latent import bottleneck, latent_features, pooled, saliencies

#: Arguments that build a small network of each kind, and its size at the bottleneck for 64 pixels.
SMALL = {
    "unet": ({"channels": [4, 8, 16]}, 16),
    "dynunet": ({"channels": [4, 8, 16]}, 16),
    "basic_unet": ({"channels": [4, 4, 8, 8, 16]}, 4),
    "fcn": ({"channels": [4, 8, 16, 16, 16]}, 4),
    "deepmedic": ({"channels": [4, 4]}, None),
    "swin_unetr": ({"channels": [12, 12, 24, 48, 96, 192]}, 2),
}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_has_a_bottleneck(name):
    if name not in SMALL:
        pytest.fail(f"{name}: add small arguments of it to this test")
    arguments, side = SMALL[name]
    torch.manual_seed(0)
    network = build_network(name, 4, **arguments).eval()
    images = torch.randn(2, 1, 64, 64)
    found = bottleneck(network, images)
    assert found.ndim == 4
    assert len(found) == 2
    if side is not None:
        assert tuple(found.shape[2:]) == (side, side)
    features = latent_features(network, images)
    assert features.shape == (2 * found.shape[1],)
    assert np.isfinite(features).all()
    # Nothing is left behind on the network.
    assert not any(module._forward_hooks for module in network.modules())


def test_pooling_is_mean_and_spread():
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert torch.allclose(pooled(x), torch.tensor([[1.5, 5.5, 1.25**0.5, 1.25**0.5]]), atol=1e-4)


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(PopscanError, match="no 2D convolution"):
        bottleneck(torch.nn.Identity(), torch.zeros(1, 1, 8, 8))


class Halves(torch.nn.Module):
    """Channel 0 of the bottleneck sees the left half alone; the task sees the right half alone."""

    def __init__(self) -> None:
        super().__init__()
        self.down = torch.nn.Conv2d(1, 2, 1, stride=2, bias=False)
        torch.nn.init.ones_(self.down.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left = torch.cat([x[:, :, :8], torch.zeros_like(x[:, :, 8:])], dim=2)
        self.down(left)
        right = torch.cat([torch.zeros_like(x[:, :, :8]), x[:, :, 8:]], dim=2)
        return torch.cat([right * 0.0, right], dim=1)


def test_maps_show_what_task_and_attribute_depend_on():
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) + 0.1
    task, attribute = saliencies(Halves().eval(), x, [np.array([1.0, 0.0, 0.0, 0.0])])
    assert task.shape == attribute.shape == (3, 16, 16)
    assert attribute[:, :8].sum() > 0
    assert attribute[:, 8:].sum() == 0
    assert task[:, 8:].min() > 0
    assert task[:, :8].sum() == 0
