"""The trunk against EfficientNet-Lite written out: unfolded norms and TensorFlow's padding, random weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import trunk


def random_state() -> dict[str, Tensor]:
    """A checkpoint's tensors, under the names of efficientnet_lite_pytorch."""
    torch.manual_seed(3)
    state: dict[str, Tensor] = {}

    def layer(conv: str, norm: str, outward: int, inward: int, kernel: int) -> None:
        state[f"{conv}.weight"] = torch.randn(outward, inward, kernel, kernel) / (inward * kernel * kernel) ** 0.5
        state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.rand(outward) + 0.5, torch.randn(outward) * 0.1
        state[f"{norm}.running_mean"] = torch.randn(outward) * 0.1
        state[f"{norm}.running_var"] = torch.rand(outward) + 0.5

    layer("_conv_stem", "_bn0", trunk.STEM, 3, 3)
    width, i = trunk.STEM, 0
    for stage in trunk.LITE0:
        for _ in range(stage.count):
            inner, block = width * stage.expansion, f"_blocks.{i}"
            if stage.expansion > 1:
                layer(f"{block}._expand_conv", f"{block}._bn0", inner, width, 1)
            layer(f"{block}._depthwise_conv", f"{block}._bn1", inner, 1, stage.kernel)
            layer(f"{block}._project_conv", f"{block}._bn2", stage.width, inner, 1)
            width, i = stage.width, i + 1
    return state


def convolve(state: dict[str, Tensor], x: Tensor, conv: str, norm: str, stride: int, groups: int = 1) -> Tensor:
    """A convolution with TensorFlow's SAME padding, and its norm."""
    weight = state[f"{conv}.weight"]
    kernel, pads = weight.shape[2], []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pads += [total // 2, total - total // 2]
    x = functional.conv2d(functional.pad(x, pads), weight, None, stride, 0, 1, groups)
    statistics = (state[f"{norm}.running_mean"], state[f"{norm}.running_var"])
    return functional.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)


def written_out(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The features at strides 8, 16 and 32."""
    x = functional.relu6(convolve(state, x, "_conv_stem", "_bn0", 2))
    found, i = [], 0
    for number, stage in enumerate(trunk.LITE0):
        for k in range(stage.count):
            block, before, stride = f"_blocks.{i}", x, stage.stride if k == 0 else 1
            if stage.expansion > 1:
                x = functional.relu6(convolve(state, x, f"{block}._expand_conv", f"{block}._bn0", 1))
            x = functional.relu6(
                convolve(state, x, f"{block}._depthwise_conv", f"{block}._bn1", stride, groups=x.shape[1])
            )
            x = convolve(state, x, f"{block}._project_conv", f"{block}._bn2", 1)
            if stride == 1 and before.shape == x.shape:
                x = x + before
            i += 1
        if number in (2, 4, 6):
            found.append(x)
    return found


@pytest.mark.parametrize(("height", "width", "even"), [(64, 96, True), (161, 161, False), (97, 129, False)])
def test_features_are_those_of_the_layers(tmp_path: Path, height: int, width: int, even: bool) -> None:
    state = random_state()
    torch.save(state, tmp_path / "lite.pth")
    network = trunk.load(tmp_path / "lite.pth", even)
    picture = torch.randn(2, 3, height, width)
    found = network(picture)
    assert list(found) == ["8", "16", "32"]
    for feature, want in zip(found.values(), written_out(state, picture), strict=True):
        assert feature.shape == want.shape
        assert torch.allclose(feature, want, atol=1e-3 * float(want.abs().max()))
    scripted = torch.jit.script(network)
    assert all(torch.equal(a, b) for a, b in zip(scripted(picture).values(), found.values(), strict=True))
