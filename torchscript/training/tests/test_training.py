"""The parts of the training: crops, texts, losses, checkpoints. The models themselves are judged by judge.py."""

import math
from pathlib import Path

import drawn
import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

import crops
import judge
import phrases
import progress
import smallclip
import smallrpn
import train_clip
import train_rpn
import trunk
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


def test_mirrored_boxes_are_those_of_the_mirrored_pixels() -> None:
    """What is painted without background must fill the box that is said of it, mirrored or not, turned or not."""
    maker = CropMaker(PICTURES, size=32, backgrounds=2, seed=1)
    n = len(PICTURES.concepts)
    draw = torch.Generator().manual_seed(1)
    for mirrored in (False, True):
        sprites = crops._Sprites(
            torch.arange(n), torch.full((n,), 7), torch.full((n,), mirrored), torch.ones(n, dtype=torch.bool)
        )
        view = torch.tensor([[0.0, 0, 1.5, 1.5]]).expand(n, 4)
        # Lines alone come in any colour: painted on black, most of the shape shows.
        painted = maker._paint(torch.zeros(n, 3, 80, 80), sprites, torch.ones(n), torch.zeros(n, 2), view, draw)
        for shown, box in zip(painted.amax(1), maker._box(sprites), strict=True):
            y, x = torch.nonzero(shown > 0.02, as_tuple=True)
            seen = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]) / 80 * 3 - 1.5
            assert (seen - box).abs().max() < 0.2, f"box {box.tolist()}, pixels {seen.tolist()}, mirrored {mirrored}"


def test_most_around_is_a_max_pool() -> None:
    x = torch.randn(2, 3, 9, 8)
    assert torch.equal(crops._most_around(x), torch.nn.functional.max_pool2d(x, 3, 1, 1))


def test_recolouring_keeps_greys_and_turns_hues() -> None:
    red, grey = torch.tensor([1.0, 0, 0]), torch.full((3,), 0.5)
    colours = torch.stack([red, grey, red]).view(3, 3, 1, 1)
    third = torch.tensor([2 * math.pi / 3, 1.0, 0.0])
    turned = crops._recoloured(colours, third, torch.tensor([1.0, 2.0, 0.0])).view(3, 3)
    assert torch.allclose(turned[0], torch.tensor([0.0, 1, 0]), atol=1e-6), "red turned by a third is green"
    assert torch.allclose(turned[1], grey, atol=1e-6)
    assert torch.allclose(turned[2], torch.full((3,), 1 / 3), atol=1e-6), "without saturation all is grey"


def test_a_shared_keyword_is_true_of_all_that_share_it() -> None:
    book = phrases.Phrasebook(PICTURES.concepts)
    disc, bar, cross = (drawn.NAMES.index(n) for n in ("disc", "bar", "cross"))
    shape = book.phrases.index("shape")
    assert book.true_of[shape].nonzero().flatten().tolist() == [disc, bar]
    assert [book.phrases[k] for k in book.name] == list(drawn.NAMES)
    draw = torch.Generator().manual_seed(1)
    said = torch.stack([book.draw(torch.arange(book.classes), draw) for _ in range(300)])
    assert book.true_of[said, torch.arange(book.classes)].all(), "a phrase was drawn that is not true of its class"
    assert set(said[:, cross].tolist()) == {int(book.name[cross])}, "a cross is a cross alone"
    assert 120 < int((said[:, disc] == book.name[disc]).sum()) < 240, "a name is drawn 6 times in 10"
    circle = int((said[:, disc] == book.phrases.index("circle")).sum())
    assert circle > int((said[:, disc] == shape).sum()) > 5, "what others share is drawn less"


def test_used_tokens_are_all_that_training_texts_hold() -> None:
    book, tokens = phrases.Phrasebook(PICTURES.concepts), phrases.Tokens()
    used = set(tokens.used(book.phrases).tolist())
    texts = [t.format(p) for t in phrases.TRAINING for p in book.phrases]
    assert set(tokens(texts).unique().tolist()) <= used


def test_class_loss_leaves_false_negatives_out() -> None:
    classes = torch.tensor([0, 1])
    logits = torch.tensor([[9.0, 9, 0], [0, 9, 0]])
    own = torch.eye(3, dtype=torch.bool)
    shared = own.clone()
    shared[1, 0] = True  # the second class's phrase is true of class 0 as well
    assert float(train_clip.class_loss(logits, classes, own)) > 0.4
    assert float(train_clip.class_loss(logits, classes, shared)) < 0.35
    assert torch.equal(own, torch.eye(3, dtype=torch.bool)), "the caller's table was changed"


def test_mixed_styles_keep_shape_and_what_is_alike() -> None:
    torch.manual_seed(1)
    x = torch.randn(8, 4, 6, 6)
    mixed = train_clip.mix_styles(x)
    assert mixed.shape == x.shape
    # Each channel is an affine map of what it was: its pattern stays.
    flat, was = mixed.flatten(2), x.flatten(2)
    correlation = torch.nn.functional.cosine_similarity(flat - flat.mean(2, True), was - was.mean(2, True), dim=2)
    assert float(correlation.min()) > 0.999
    alike = x[:1].expand(8, -1, -1, -1)
    assert torch.allclose(train_clip.mix_styles(alike), alike, atol=1e-5)


def test_batches_depend_on_the_step_and_grow() -> None:
    maker = CropMaker(PICTURES, size=64, backgrounds=2, seed=1)
    batches = train_clip.Batches(maker, KINDS, 10, 1, 10)
    assert len(batches) == 10
    pixels, classes = batches[2]
    assert pixels.shape == (10, 3, train_clip.COARSE, train_clip.COARSE)
    assert torch.equal(pixels, batches[2][0])
    assert batches[9][0].shape == (10, 3, 64, 64)
    assert int(classes.max()) < len(PICTURES.concepts) + KINDS


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    def run(name: str, stop: int | None) -> torch.nn.Module:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        steps = progress.Run("test", model, tmp_path / name, 6, 1e-2, {"steps": 6})
        steps._said._checkpoint = 0  # a checkpoint at every step
        for step in steps:
            if step == stop:
                break
            steps.step(step, model(torch.randn(4, 3)).square().mean())
        return model

    whole = run("whole", None)
    run("part", 3)
    again = run("part", None)
    assert torch.equal(whole.weight, again.weight)
    with pytest.raises(ValueError, match="belongs to a run with"):
        progress.Run("test", torch.nn.Linear(3, 1), tmp_path / "part", 9, 1e-2, {"steps": 9})


def test_text_tower_ignores_padding_and_scripts() -> None:
    model = smallclip.SmallCLIP().eval()
    tokens = torch.zeros(2, 77, dtype=torch.int64)
    tokens[0, :3] = torch.tensor([49406, 320, 49407])
    tokens[1, :6] = torch.tensor([49406, 320, 1929, 539, 269, 49407])
    with torch.no_grad():
        both, alone = model.text(tokens), model.text(tokens[:1])
        scripted = torch.jit.script(model.text)
        whole, cut = scripted(tokens), scripted(tokens[:, :8])
    assert torch.allclose(both[:1], alone, atol=1e-5), "a longer neighbour changed a text's features"
    assert torch.allclose(both, whole, atol=1e-5)
    assert torch.allclose(both, cut, atol=1e-5)
    assert "int(" not in scripted.code, "an archive would wait for the device"


def test_clip_checkpoint_round_trip(tmp_path: Path) -> None:
    model = smallclip.SmallCLIP(smallclip.Config(channels=(8, 8, 16, 16), text_width=32, embedding=16)).eval()
    progress.save(tmp_path / "clip.ckpt", model, {"steps": 3})
    loaded, notes = smallclip.load(tmp_path / "clip.ckpt")
    assert notes == {"steps": 3}
    assert loaded.config == model.config
    tokens = torch.zeros(1, 77, dtype=torch.int64)
    tokens[0, :3] = torch.tensor([49406, 320, 49407])
    crops = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.image(crops), model.image(crops))
        # The token table is rounded to half precision.
        assert torch.allclose(loaded.text(tokens), model.text(tokens), atol=1e-2)


def test_rpn_weights_lie_between_both_losses() -> None:
    found = train_rpn.taken({"a": torch.zeros(2)}, {"a": torch.ones(2)})
    assert found["a"].tolist() == pytest.approx([train_rpn.TAKEN] * 2)


@pytest.mark.parametrize("exact", [False, True])
def test_rpn_losses_and_proposals(exact: bool) -> None:
    model = smallrpn.SmallRPN()
    features = [torch.rand(2, c, 128 // s, 160 // s) for c, s in zip(trunk.Trunk.WIDTHS, (8, 16, 32), strict=True)]
    losses = model.losses(features, (128, 160), [torch.tensor([[20.0, 20, 80, 90]]), torch.zeros(0, 4)], exact)
    assert all(torch.isfinite(v) for v in losses.values()), losses
    sum(losses.values()).backward()
    boxes, objectness = model.eval().propose(torch.rand(3, 240, 320))
    assert boxes.shape == (len(objectness), 4)
    assert len(boxes) <= model.config.proposals
    assert float(boxes.min()) >= 0
    assert float(boxes[:, 2].max()) <= 320
    assert float(boxes[:, 3].max()) <= 240
    assert torch.equal(objectness, objectness.sort(descending=True).values)


def test_worth_grows_with_the_best_overlap() -> None:
    found = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6.5], [0, 0, 10, 4], [100, 100, 110, 110]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [200, 200, 210, 210]])
    model = smallrpn.SmallRPN()
    assert model.worth(found, boxes).tolist() == pytest.approx([1, 0.5, 0, 0], abs=1e-5)
    assert model.worth(found, boxes[:0]).tolist() == [0, 0, 0, 0]


def test_detections_are_matched_to_objects_once() -> None:
    wanted = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    found = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 6], [50, 0, 60, 10], [20, 0, 30, 4]])
    assert judge.matched(found, wanted) == 2, "the second box of an object is wrong"
    assert judge.matched(found[3:], wanted) == 0, "too far away, or too small a part"
    assert judge.matched(found, wanted[:0]) == judge.matched(found[:0], wanted) == 0


def test_the_commands_threshold_is_read() -> None:
    assert 0 < judge.default_threshold() < 1


def test_average_follows_the_model() -> None:
    model = torch.nn.Linear(1, 1)
    mean = progress.Average(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(5.0)
    for step in range(200):
        mean.update(model, step)
    assert float(mean.state["weight"]) == pytest.approx(5.0, abs=1e-3)
