"""Weights that lie in half precision or 8 bits in an archive."""

from pathlib import Path

import pytest
import torch
from torch import nn

import stored


@pytest.mark.parametrize(("eight", "saved", "off"), [(False, 1.5, 2e-3), (True, 2.3, 3e-2)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_an_archive_is_smaller_and_computes_the_same(
    tmp_path: Path, layout: torch.memory_format, eight: bool, saved: float, off: float
) -> None:
    torch.manual_seed(1)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 64, 3, 2, 1),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(64, 64, 5, padding=4, dilation=2, groups=2, bias=False)),
        nn.Flatten(2),
        nn.Linear(99, 96),
    )
    plain = plain.eval().to(memory_format=layout)
    x = torch.randn(2, 3, 20, 24)
    with torch.inference_mode():
        exact = plain(x)
    before = tmp_path / "before.pt"
    torch.jit.script(plain).save(before)
    stored.shrink(plain, eight)
    large = plain[1], plain[3][0], plain[5]
    assert type(plain[0]).__module__ == "torch.nn.modules.conv", "fewer weights aren't worth it"
    assert {type(m).__module__ for m in large} == {"stored"}
    with torch.inference_mode():
        shrunk = plain(x)
    assert 0 < float((shrunk - exact).abs().max()) < off * float(exact.abs().max())
    path = tmp_path / "after.pt"
    torch.jit.script(plain).save(path)
    weights = sum(m.weight.numel() for m in large)
    assert before.stat().st_size - path.stat().st_size > saved * weights
    loaded = torch.jit.load(path)
    with torch.inference_mode():
        assert torch.equal(loaded(x), shrunk), "the archive computes what the module computes"
    assert not loaded.training
