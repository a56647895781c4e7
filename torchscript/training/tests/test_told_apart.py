"""What tells photos, persons and drawings apart, on made-up features."""

from pathlib import Path

import drawn
import numpy as np
import pytest
import torch
from PIL import Image

import meanings
import photoclip
import photorpn
import photos
import smallrpn
import ssdlite
import train_gate
import train_look
import train_photos
import wordnet


def test_what_crops_mean_on_average_is_left_out() -> None:
    torch.manual_seed(1)
    tower = photoclip.PhotoTower().eval().requires_grad_(False)
    crops = train_photos.Seen(torch.rand(40, photoclip.FEATURES, 1, 1), torch.randn(40, len(ssdlite.NAMES), 1, 1))
    before = tower.meanings.weight.clone()
    train_photos.centre(tower, crops)
    likely = (photoclip.SHARPNESS * tower.things(crops.found, crops.named)).softmax(1)
    assert tower.meanings(likely).mean(0).abs().max() < 1e-5 < before.abs().max()
    apart = before - tower.meanings.weight
    torch.testing.assert_close(apart, apart[:, :1].expand_as(apart), msg="the classes moved by different steps")


def test_persons_and_nothing_are_told_from_things() -> None:
    draw = torch.Generator().manual_seed(2)
    kinds = torch.arange(90) % 3
    evidence = torch.rand(90, 200, generator=draw)
    evidence[kinds == train_photos.PERSON, :40] += 2
    evidence[kinds == train_photos.NOTHING, 40:80] += 2
    known = torch.full((90,), 10.0)
    matrix, bias = train_photos.learn(evidence, known, kinds)
    logits = torch.cat([known[:, None], evidence @ matrix.T + bias], 1)
    assert logits.argmax(1).tolist() == kinds.tolist()


@pytest.mark.pictograms
def test_cocos_categories_alone_say_what_a_cup_is() -> None:
    tower = photoclip.PhotoTower().eval().requires_grad_(False)
    train_photos.pretrained(tower)
    for other in (tower.classes, tower.further):  # ImageNet's classes, persons and nothing are never likely
        other.weight.zero_()
        other.bias.fill_(-50.0)
    image = Image.open(Path(__file__).parents[3] / "testdata/photos/coffee.jpg").convert("RGB")
    crop = torch.from_numpy(train_photos.cut(image, np.array([172.0, 21, 418, 262])).copy())[None]
    found = tower(train_photos.normalise(crop))[0, : photoclip.MEANING]
    net, sayings = wordnet.WordNet(), meanings.Sayings()
    names = ssdlite.NAMES[1:]
    meant = meanings.categories(sayings, meanings.shared_by_nouns(sayings, net), names)
    near = [names[i] for i in (meant @ found).topk(3).indices]
    assert near[0] == "cup", near


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
