"""The CLIP for photos and drawings, with random weights."""

import pytest
import torch

import photoclip
import smallclip
import stored


def tower(gate: float, glance: float = 1) -> photoclip.ImageTower:
    """An image tower whose glance and gate always say the same."""
    torch.manual_seed(1)
    made = photoclip.ImageTower(photoclip.PhotoTower(), smallclip.SmallCLIP().image).eval().requires_grad_(False)
    for layer, value in ((made.glance, glance), (made.gate, gate)):
        layer.weight.data.zero_()
        layer.bias.data.fill_(value)
    return made


@pytest.mark.parametrize(("gate", "photo"), [(-9.0, 0.0), (0.0, 0.5), (9.0, 1.0)])
def test_halves_are_as_long_as_the_gate_says(gate: float, photo: float) -> None:
    found = tower(gate)(torch.randn(3, 3, photoclip.SIZE, photoclip.SIZE))
    assert found.shape == (3, photoclip.WIDTH + 256)
    assert torch.allclose((found**2).sum(1), torch.ones(3), atol=1e-4)
    assert torch.allclose((found[:, : photoclip.WIDTH] ** 2).sum(1), torch.full((3,), photo), atol=1e-4)


def test_what_is_drawn_at_a_glance_has_no_photo_half() -> None:
    found = tower(9, glance=-1)(torch.randn(3, 3, photoclip.SIZE, photoclip.SIZE))
    assert not found[:, : photoclip.WIDTH].any()
    assert torch.allclose((found**2).sum(1), torch.ones(3), atol=1e-4)


def test_a_crop_does_not_depend_on_its_batch() -> None:
    made = tower(0.0)
    made.glance.weight.data.normal_(std=5)  # photos and drawings mixed
    made.glance.bias.data.zero_()
    crops = torch.randn(6, 3, photoclip.SIZE, photoclip.SIZE)
    alone = torch.cat([made(crop[None]) for crop in crops])
    assert torch.allclose(made(crops), alone, atol=1e-4)


def test_texts_have_both_halves_at_the_scales_of_each() -> None:
    config = smallclip.Config(embedding=photoclip.WIDTH, token_width=8, text_width=32, text_layers=1)
    scales = photoclip.Scales(20.0, 30.0)
    made = photoclip.TextTower(smallclip.TextTower(config), smallclip.SmallCLIP().text, scales.photo_share).eval()
    tokens = torch.zeros(2, 77, dtype=torch.int64)
    tokens[:, 0], tokens[:, 1], tokens[:, 2] = 49406, 320, 49407
    found = made(tokens)
    halves = found[:, : photoclip.WIDTH].norm(dim=1), found[:, photoclip.WIDTH :].norm(dim=1)
    for half, scale in zip(halves, (20.0, 30.0), strict=True):
        assert torch.allclose(half * scales.both, torch.full((2,), scale), rtol=1e-4)


def test_scripted_and_stored_in_half_precision_it_answers_the_same() -> None:
    made = tower(0.0)
    crops = torch.randn(2, 3, photoclip.SIZE, photoclip.SIZE)
    want = made(crops)
    stored.shrink(made)
    assert torch.allclose(torch.jit.script(made)(crops), want, atol=2e-2)
