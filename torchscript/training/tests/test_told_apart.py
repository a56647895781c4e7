"""What tells photos, persons and drawings apart, on made-up features."""

from pathlib import Path

import drawn
import pytest
import torch

import photoclip
import photorpn
import photos
import smallrpn
import train_gate
import train_look
import train_photos


def test_what_crops_mean_on_average_is_left_out() -> None:
    torch.manual_seed(1)
    tower = photoclip.PhotoTower().eval().requires_grad_(False)
    found = torch.rand(40, photoclip.FEATURES)
    before = tower.meanings.weight.clone()
    train_photos.centre(tower, found)
    likely = (photoclip.SHARPNESS * tower.classes(found[:, :, None, None])).softmax(1)
    assert tower.meanings(likely).mean(0).abs().max() < 1e-5 < before.abs().max()
    apart = before - tower.meanings.weight
    torch.testing.assert_close(apart, apart[:, :1].expand_as(apart), msg="the classes moved by different steps")


def test_persons_and_nothing_are_told_from_things() -> None:
    draw = torch.Generator().manual_seed(2)
    kinds = torch.arange(90) % 3
    found = torch.rand(90, photoclip.FEATURES, generator=draw)
    found[kinds == train_photos.PERSON, :40] += 2
    found[kinds == train_photos.NOTHING, 40:80] += 2
    known = torch.full((90,), 10.0)
    matrix, bias = train_photos.learn(found, known, kinds)
    logits = torch.cat([known[:, None], found.sqrt() @ matrix.T + bias], 1)
    assert logits.argmax(1).tolist() == kinds.tolist()


def test_a_logistic_regression_tells_two_kinds_apart() -> None:
    draw = torch.Generator().manual_seed(3)
    photo = (torch.arange(100) < 20).float()  # one kind is rarer, and weighs the same
    x = torch.randn(100, 6, generator=draw) + 4 * photo[:, None] * torch.tensor([1.0, 0, 0, 0, 0, 0])
    learned = train_gate.learn(x, photo, 1e-3)
    assert set(learned) == {"weight", "bias"}
    right = ((x @ learned["weight"][0] + learned["bias"] > 0) == (photo > 0)).float().mean()
    assert right > 0.95


def test_the_look_sees_whole_pictures(tmp_path: Path) -> None:
    of = photos.Photos(drawn.photos(tmp_path / "photos"))
    shown = list(train_look.photographed(of, 1, 3))
    assert len({picture.size for picture in shown}) > 1, "photos of one size"
    again = list(train_look.photographed(of, 1, 3))
    assert [picture.tobytes() for picture in shown] == [picture.tobytes() for picture in again]
    torch.manual_seed(1)
    seen = train_look.seen(smallrpn.SmallRPN().eval(), shown)
    assert seen.shape == (3, photorpn.WIDTH)
    assert seen[0].tolist() != pytest.approx(seen[1].tolist())
