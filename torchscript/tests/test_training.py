"""The parts of the training: crops, texts, losses, checkpoints. The models themselves are judged by judge.py."""

from pathlib import Path

import drawn
import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

import phrases
import progress
import smallclip
import smallrpn
import train_clip
import train_rpn
from crops import CropMaker, _extents, _iou, _sheet

PICTURES = drawn.pictures()
KINDS = len(phrases.background())


def test_extents_are_those_of_the_pixels() -> None:
    extents = _extents(_sheet(PICTURES.images["warm"]))
    bar = extents[drawn.NAMES.index("bar")]
    # The bar is 96x24 of 128 pixels: 0.75 and 0.1875 of half the side, known to one cell of 48.
    assert float(bar[0]) == pytest.approx(0.75, abs=0.05), "to the right"
    assert float(bar[36]) == pytest.approx(0.1875, abs=0.05), "down"


def test_crops_depend_on_seed_and_show_their_class() -> None:
    maker = CropMaker(PICTURES, size=32, backgrounds=4, seed=1)
    classes = torch.arange(len(PICTURES.concepts) + KINDS).repeat(4)
    crops = maker.batch((1, 2), classes)
    assert crops.pixels.shape == (len(classes), 3, 32, 32)
    assert crops.pixels.dtype == torch.uint8
    assert torch.equal(crops.pixels, maker.batch((1, 2), classes).pixels)
    assert not torch.equal(crops.pixels, maker.batch((1, 3), classes).pixels)


def test_iou_is_torchvisions() -> None:
    rng = np.random.default_rng(1)
    low, side = rng.random((2, 50, 2)), rng.random((2, 50, 2)) + 0.01
    a, b = (torch.from_numpy(np.concatenate([low[i], low[i] + side[i]], 1)) for i in range(2))
    assert torch.allclose(_iou(a, b), box_iou(a, b).diagonal(), atol=1e-12)


def test_a_shared_keyword_is_true_of_all_that_share_it() -> None:
    import random

    book = phrases.Phrasebook(PICTURES.concepts)
    rng = random.Random(1)
    shared = 0
    for _ in range(200):
        texts = book.draw(rng, [0, 2, len(PICTURES.concepts)])
        assert bool(texts.true_of[0, 0])
        assert texts.true_of[1].nonzero().flatten().tolist() == [2], "a cross is a cross alone"
        assert texts.true_of[2].nonzero().flatten().tolist() == [len(PICTURES.concepts)]
        shared += bool(texts.true_of[0, 1])
    assert shared > 5, "the keyword 'shape' was never drawn for the disc"
    used = set(book.used().tolist())
    for row in book.draw(rng, list(range(book.classes))).tokens:
        assert set(row.tolist()) <= used


def test_loss_leaves_false_negatives_out() -> None:
    classes = torch.tensor([0, 1])
    logits = torch.tensor([[5.0, 5.0], [0.0, 5.0]])
    own = torch.tensor([[True, False], [False, True]])
    both = torch.tensor([[True, False], [True, True]])  # the second text is true of class 0 as well
    strict = train_clip.contrastive_loss(logits, classes, own)
    lenient = train_clip.contrastive_loss(logits, classes, both)
    assert float(strict) > 0.3
    assert float(lenient) < 0.01


def test_text_tower_ignores_padding_and_scripts() -> None:
    model = smallclip.SmallCLIP().eval()
    tokens = torch.zeros(2, 77, dtype=torch.int64)
    tokens[0, :3] = torch.tensor([49406, 320, 49407])
    tokens[1, :6] = torch.tensor([49406, 320, 1929, 539, 269, 49407])
    with torch.no_grad():
        both, alone = model.text(tokens), model.text(tokens[:1])
        scripted = torch.jit.script(model.text)(tokens)
    assert torch.allclose(both[:1], alone, atol=1e-5), "a longer neighbour changed a text's features"
    assert torch.allclose(both, scripted, atol=1e-5)


def test_clip_checkpoint_round_trip(tmp_path: Path) -> None:
    model = smallclip.SmallCLIP(smallclip.Config(channels=(8, 8, 16, 16), text_width=32, embedding=16)).eval()
    smallclip.save(str(tmp_path / "clip.ckpt"), model, {"steps": 3})
    loaded, notes = smallclip.load(str(tmp_path / "clip.ckpt"))
    assert notes == {"steps": 3}
    assert loaded.config == model.config
    tokens = torch.zeros(1, 77, dtype=torch.int64)
    tokens[0, :3] = torch.tensor([49406, 320, 49407])
    crops = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.image(crops), model.image(crops))
        # The token table is rounded to half precision.
        assert torch.allclose(loaded.text(tokens), model.text(tokens), atol=1e-2)


def test_rpn_losses_and_proposals() -> None:
    model = smallrpn.SmallRPN()
    losses = model.losses(torch.rand(2, 3, 128, 160), [torch.tensor([[20.0, 20, 80, 90]]), torch.zeros(0, 4)])
    assert all(torch.isfinite(v) for v in losses.values()), losses
    sum(losses.values()).backward()
    boxes, objectness = model.eval().propose(torch.rand(3, 240, 320))
    assert boxes.shape == (len(objectness), 4)
    assert len(boxes) <= model.config.proposals
    assert float(boxes.min()) >= 0
    assert float(boxes[:, 2].max()) <= 320
    assert float(boxes[:, 3].max()) <= 240
    assert torch.equal(objectness, objectness.sort(descending=True).values)


def test_varied_scenes_keep_their_boxes() -> None:
    pixels = torch.zeros(3, 40, 60)
    pixels[:, 5:15, 10:30] = 1
    box = torch.tensor([[10.0, 5, 30, 15]])
    for seed in range(30):
        varied, (moved,) = train_rpn.vary(pixels, box, np.random.default_rng(seed))
        x0, y0, x1, y1 = moved.int().tolist()
        inside = varied[:, y0:y1, x0:x1].mean()
        assert abs(float(inside - varied[:, 0, 59].mean())) > 0.3, f"seed {seed}: the box {moved} left its square"
        assert (x1 - x0) * (y1 - y0) == 200


def test_average_follows_the_model() -> None:
    model = torch.nn.Linear(1, 1)
    mean = progress.Average(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(5.0)
    for step in range(200):
        mean.update(model, step)
    assert float(mean.state["weight"]) == pytest.approx(5.0, abs=1e-3)
