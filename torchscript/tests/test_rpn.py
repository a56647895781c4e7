"""The exported proposals against torchvision's own transform, backbone and rpn."""

import argparse
import copy
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import transform

import archive
import detectors
import fold
import rpn

# Height and width in pixels: no multiples of 32, a panorama that max_size bounds, and a
# picture that is enlarged a lot.
SIZES = [(97, 131), (40, 200), (17, 11)]

# Small, to be quick. All but the last have more than 1,000 candidates in all, the last
# has fewer: torchvision's batched_nms takes another way for each.
MIN_SIZES = {
    "fasterrcnn_resnet50_fpn": 128,
    "fasterrcnn_resnet50_fpn_v2": 96,
    "fasterrcnn_mobilenet_v3_large_fpn": 160,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 160,
}


@pytest.fixture(scope="module", params=MIN_SIZES)
def detector(request: pytest.FixtureRequest) -> nn.Module:
    size = MIN_SIZES[request.param]
    return detectors.from_seed(request.param, 1, min_size=size, max_size=2 * size)[0]


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return detectors.from_seed("fasterrcnn_mobilenet_v3_large_320_fpn", 2, min_size=96, max_size=160)[0]


def pictures(sizes: list[tuple[int, int]]) -> list[Tensor]:
    """Returns smooth noise, uint8 [3,H,W] each."""
    generator = torch.Generator().manual_seed(5)
    made = []
    for height, width in sizes:
        coarse = torch.randn(1, 3, 6, 8, generator=generator) * 90 + 128
        smooth = nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
        made.append(smooth[0].clamp(0, 255).to(torch.uint8))
    return made


def padded(images: list[Tensor], fill: int = 0) -> tuple[Tensor, Tensor]:
    """Returns the arguments of forward for pictures of different sizes."""
    sizes = [tuple(image.shape[1:]) for image in images]
    batch = torch.full((len(images), 3, max(h for h, _ in sizes), max(w for _, w in sizes)), fill, dtype=torch.uint8)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, torch.tensor(sizes)


@torch.no_grad()
def reference(detector: nn.Module, images: list[Tensor]) -> list[Tensor]:
    """Returns torchvision's proposals in pixels of each picture, with objectness: [n,5]
    each."""
    scores: list[Tensor] = []
    original = detector.rpn.filter_proposals

    def keep_scores(*arguments: object) -> tuple[list[Tensor], list[Tensor]]:
        boxes, found = original(*arguments)
        scores.extend(found)
        return boxes, found

    detector.rpn.filter_proposals = keep_scores
    batch, _ = detector.transform([image / 255 for image in images])
    boxes, _ = detector.rpn(batch, detector.backbone(batch.tensors))
    del detector.rpn.filter_proposals
    rows = []
    for box, score, resized, image in zip(boxes, scores, batch.image_sizes, images, strict=True):
        rows.append(torch.cat([transform.resize_boxes(box, resized, image.shape[1:]), score[:, None]], 1))
    return rows


def candidates(detector: nn.Module, image: Tensor) -> int:
    """Returns how many boxes of a picture can reach torchvision's batched_nms."""
    batch, _ = detector.transform([image / 255])
    logits, _ = detector.rpn.head(list(detector.backbone(batch.tensors).values()))
    return sum(min(detector.rpn.pre_nms_top_n(), level.numel()) for level in logits)


def propose(network: nn.Module, images: Tensor, sizes: Tensor) -> list[Tensor]:
    """Returns the exported network's proposals, [n,5] each. Checks what must hold for
    every answer."""
    rows, counts = archive.run(network, [images, sizes])
    assert rows.dtype == torch.float32
    assert counts.dtype == torch.int64
    found = []
    for row, count, (height, width) in zip(rows, counts.tolist(), sizes.tolist(), strict=True):
        assert not row[count:].any(), "rows beyond the count are not zero"
        row = row[:count]
        assert (row[1:, 4] <= row[:-1, 4]).all(), "not best first"
        assert (row[:, :2] < row[:, 2:4]).all(), "an empty box"
        assert (row[:, :4] >= 0).all()
        assert (row[:, :4] <= torch.tensor([width, height, width, height])).all(), "outside its picture"
        found.append(row)
    return found


def assert_same(got: list[Tensor], want: list[Tensor]) -> None:
    """Checks for the same count and order, boxes within 0.01 px and objectness within
    1e-5."""
    assert [len(rows) for rows in got] == [len(rows) for rows in want]
    for i, (one, other) in enumerate(zip(got, want, strict=True)):
        torch.testing.assert_close(one[:, :4], other[:, :4], atol=0.01, rtol=0, msg=lambda m, i=i: f"picture {i}: {m}")
        torch.testing.assert_close(one[:, 4], other[:, 4], atol=1e-5, rtol=0, msg=lambda m, i=i: f"picture {i}: {m}")


def test_equals_torchvision(detector: nn.Module) -> None:
    network = torch.jit.script(rpn.Proposals(copy.deepcopy(detector), channels_last=False))
    images = pictures(SIZES)
    for image in images:
        want = reference(detector, [image])
        assert len(want[0]) > 20, "too few proposals to compare"
        assert len(want[0][:, 4].unique()) > len(want[0]) / 2, "objectness saturates, so that order means nothing"
        assert_same(propose(network, *padded([image])), want)
    assert_same(propose(network, *padded(images, fill=200)), reference(detector, images))


def test_equals_torchvision_in_channels_last(detector: nn.Module) -> None:
    # The same layout for both: convolutions round differently in each layout.
    last = copy.deepcopy(detector).to(memory_format=torch.channels_last)
    network = torch.jit.script(rpn.Proposals(copy.deepcopy(detector), channels_last=True))
    images = pictures(SIZES[:2])
    assert_same(propose(network, *padded(images)), reference(last, images))


def test_both_ways_of_batched_nms_are_compared(detector: nn.Module, request: pytest.FixtureRequest) -> None:
    most = max(candidates(detector, image) for image in pictures(SIZES))
    assert (most > rpn.SHIFTED_UP_TO) == ("320" not in request.node.callspec.id), most


def test_pictures_in_other_forms_give_the_same(small: nn.Module) -> None:
    network = torch.jit.script(rpn.Proposals(copy.deepcopy(small)))
    images, sizes = padded(pictures(SIZES[:2]))
    before = images.clone()
    want = propose(network, images, sizes)
    as_rows = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for other in (images.to(torch.float32), as_rows, as_rows.to(torch.float32)):
        for got, expected in zip(propose(network, other, sizes), want, strict=True):
            assert torch.equal(got, expected)
    floats = images.to(torch.float32)
    propose(network, floats, sizes)
    assert torch.equal(floats, before.to(torch.float32)), "forward changed its argument"


def test_resized_equals_eager_torchvision(small: nn.Module) -> None:
    detector = copy.deepcopy(small)
    detector.transform.min_size, detector.transform.max_size = (800,), 1333
    network = rpn.Proposals(detector)
    draw = random.Random(3)
    sizes = [(425, 640), (640, 425), (800, 800), (1, 1), (1333, 800)]
    sizes += [(draw.randint(1, 3000), draw.randint(1, 3000)) for _ in range(1000)]
    sizes = [(h, w) for h, w in sizes if max(h, w) < 1000 * min(h, w)]  # else torchvision's has no height or width
    whole = torch.zeros(1, 3, 1, 1).expand(len(sizes), 3, 3000, 3000)
    got = network.resized(whole, torch.tensor(sizes)).tolist()
    for (height, width), size in zip(sizes, got, strict=True):
        empty = torch.empty(3, height, width, device="meta")
        want, _ = transform._resize_image_and_masks(empty, 800, 1333)
        assert size == list(want.shape[1:]), f"{height} x {width}"
    assert got[0] == [800, 1204], "the known case in which float32 falls short of 800"


@pytest.mark.parametrize("count", [1, 2, 50, 700, 1500])
@pytest.mark.parametrize("iou", [0.3, 0.7])
def test_suppress_equals_torchvision(count: int, iou: float) -> None:
    generator = torch.Generator().manual_seed(count)
    corner = torch.rand(2, count, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 1 + torch.rand(2, count, 2, generator=generator) * 60], 2).round()
    valid = torch.rand(2, count, generator=generator) < 0.9
    kept = torch.jit.script(rpn.suppress)(boxes, valid, rpn.threshold(iou))
    for one, usable, got in zip(boxes, valid, kept, strict=True):
        order = torch.arange(count, 0, -1, dtype=torch.float32)[usable]
        want = usable.nonzero()[:, 0][torchvision.ops.nms(one[usable], order, iou)]
        assert got.nonzero()[:, 0].tolist() == want.tolist()


def test_suppress_follows_long_chains() -> None:
    # Each box overlaps only its neighbours: every second one stays, and each decision
    # depends on the one before.
    start = torch.arange(40, dtype=torch.float32)[:, None]
    boxes = torch.cat([start, torch.zeros(40, 1), start + 3, torch.ones(40, 1)], 1)
    kept = rpn.suppress(boxes[None], torch.ones(1, 40, dtype=torch.bool), 0.4)
    assert kept[0].nonzero()[:, 0].tolist() == list(range(0, 40, 2))


@pytest.mark.parametrize("iou", [0.1, 0.3, 1 / 3, 0.5, 0.6, 0.7, 0.9])
@pytest.mark.parametrize("unit", [1, 10, 100, 0.001, 4096, 20000, 98765.4])
def test_suppress_decides_as_torchvision_where_iou_equals_the_threshold(iou: float, unit: float) -> None:
    # Strips of length 1 + iou, 1 - iou apart, overlap their neighbours by the threshold
    # but for rounding. So do a strip and one of iou times its length inside it.
    generator = torch.Generator().manual_seed(1)
    start = torch.randint(0, 40, (400,), generator=generator) * (1 - iou)
    row = torch.randint(0, 3, (400,), generator=generator) * 3.0
    length = torch.where(torch.rand(400, generator=generator) < 0.7, 1 + iou, iou * (1 + iou))
    boxes = torch.stack([start, row, start + length, row + 2], 1) * unit
    near = (torchvision.ops.box_iou(boxes, boxes) - iou).abs() < 1e-5
    assert near.sum() > 2000, "too few pairs are at the threshold"
    want = torchvision.ops.nms(boxes, torch.arange(400, 0, -1, dtype=torch.float32), iou)
    kept = rpn.suppress(boxes[None], torch.ones(1, 400, dtype=torch.bool), rpn.threshold(iou))
    assert kept[0].nonzero()[:, 0].tolist() == want.tolist()


def test_voted_is_a_weighted_mean() -> None:
    chosen = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 60, 60]]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [0, 0, 8, 10], [50, 50, 60, 60]]])
    scores = torch.tensor([[0.9, 0.5, 1.0, 0.0, 0.0]])
    # IoUs with the first are 1, 0.8, 0.6 (the threshold, so it says nothing) and 0.8 (its score is 0).
    first, second = 0.9 * (1 - 0.6), 0.5 * (0.8 - 0.6)
    height = (first * 10 + second * 8) / (first + second)
    want = torch.tensor([[[0.0, 0, 10, height], [50, 50, 60, 60]]])
    torch.testing.assert_close(rpn.voted(chosen, boxes, scores, 0.6), want, rtol=0, atol=1e-5)


def test_voting_moves_proposals_a_little(small: nn.Module) -> None:
    images, sizes = padded(pictures(SIZES))
    plain, counts = rpn.Proposals(small)(images, sizes)
    moved, same = torch.jit.script(rpn.Proposals(small, voting=0.6))(images, sizes)
    assert torch.equal(counts, same)
    assert torch.equal(plain[:, :, 4], moved[:, :, 4]), "voting changed objectness or order"
    assert not torch.equal(plain, moved)
    for before, after, size, count in zip(plain, moved, sizes, counts, strict=True):
        overlap = torchvision.ops.box_iou(before[:count, :4], after[:count, :4]).diagonal()
        assert overlap.min() > 0.5, "a box moved away from what voted for it"
        assert after[:, :4].min() >= 0
        assert (after[:, 2:4] <= size.flip(0)).all()
        assert not after[count:].any()


@pytest.mark.parametrize(
    ("iou", "want"), [(0.3, 0.29999998211860657), (0.6, 0.5999999642372131), (0.7, 0.699999988079071), (0.5, 0.5)]
)
def test_threshold_is_the_largest_float32_not_above(iou: float, want: float) -> None:
    assert rpn.threshold(iou) == want


def test_bfloat16_sees_the_same_features(detector: nn.Module, request: pytest.FixtureRequest) -> None:
    network = rpn.Proposals(detector, "bfloat16")
    weights = [*network.backbone.named_parameters(), *network.head.named_parameters()]
    assert {value.dtype for name, value in weights if not name.startswith("cls_logits")} == {torch.bfloat16}
    images, sizes = padded(pictures(SIZES[:1]))
    batch = network.prepare(images, sizes, network.resized(images, sizes))
    with torch.inference_mode():
        want, got = detector.backbone(batch.to(torch.float32)), network.backbone(batch)
    # A random MobileNet multiplies a small difference by 20; see detectors.calibrate.
    limit = 0.02 if "resnet" in request.node.callspec.id else 0.15
    for level in want:
        assert (want[level] - got[level]).norm() < limit * want[level].norm(), level


def test_bfloat16_finds_the_same_boxes() -> None:
    detector = detectors.from_seed("fasterrcnn_resnet50_fpn", 1, min_size=128, max_size=256)[0]
    images, sizes = padded(pictures(SIZES[:1]))
    (want,) = propose(rpn.Proposals(copy.deepcopy(detector)), images, sizes)
    (got,) = propose(rpn.Proposals(detector, "bfloat16"), images, sizes)
    overlap = torchvision.ops.box_iou(want[:20, :4], got[:, :4])
    assert (overlap.amax(1) > 0.8).sum() >= 18, "the 20 best proposals are not among those of bfloat16"
    assert (want[:20, 4] - got[:20, 4]).abs().max() < 0.1


def test_nothing_found_is_no_error(small: nn.Module) -> None:
    quiet = copy.deepcopy(small)
    quiet.rpn.score_thresh = 1.0
    rows, counts = archive.run(torch.jit.script(rpn.Proposals(quiet)), padded(pictures(SIZES[:2])))
    assert counts.tolist() == [0, 0]
    assert not rows.any()


@pytest.mark.parametrize(
    ("images", "sizes", "why"),
    [
        ((1, 3, 8, 8), [[9, 8]], "height and width of images"),
        ((1, 3, 8, 8), [[8, 0]], "height and width of images"),
        ((2, 3, 8, 8), [[8, 8]], r"sizes must be \[B,2\]"),
        ((1, 1, 8, 8), [[8, 8]], r"images must be \[B,3,H,W\]"),
        ((3, 8, 8), [[8, 8]], r"images must be \[B,3,H,W\]"),
    ],
)
def test_wrong_arguments_are_named(small: nn.Module, images: tuple[int, ...], sizes: list, why: str) -> None:
    network = torch.jit.script(rpn.Proposals(copy.deepcopy(small)))
    with pytest.raises(torch.jit.Error, match=why):
        network(torch.zeros(images, dtype=torch.uint8), torch.tensor(sizes))


def test_fixed_size_is_refused(small: nn.Module) -> None:
    fixed = copy.deepcopy(small)
    fixed.transform.fixed_size = (64, 64)
    with pytest.raises(ValueError, match="one fixed size"):
        rpn.Proposals(fixed)


def test_fold_refuses_norms_that_do_not_follow_their_convolution() -> None:
    class NormBetween(nn.Module):
        """The norm is registered after the convolution, but is applied before it."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.norm = nn.BatchNorm2d(3)
            self.norm.running_mean.fill_(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.norm(x).relu())

    with pytest.raises(ValueError, match="folding its batch norms changes its output"):
        fold.fold_norms(NormBetween().eval(), torch.ones(1, 3, 4, 4))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_export(tmp_path: Path, small: nn.Module, dtype: str) -> None:
    weights = archive.Weights("test", archive.digest(small.state_dict()), "none", "tests")
    path = rpn.export(tmp_path, copy.deepcopy(small), "small", weights, dtype)
    assert path.name == ("rpn.pt" if dtype == "float32" else f"rpn.{dtype}.pt")
    described = archive.read_manifest(path)
    wanted = {"kind": "rpn", "dtype": dtype, "memory_format": "channels_last", "min_size": 96, "max_size": 160}
    wanted |= {"proposals": 150, "nms": 0.7}
    assert {key: described[key] for key in wanted} == wanted
    module = torch.jit.load(str(path))
    assert {value.dtype for value in module.backbone.parameters()} == {archive.DTYPES[dtype]}
    convolutions = [value for value in module.parameters() if value.dim() == 4]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in convolutions)


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    saved = detectors.from_seed(name, 3, classes=4)[0]
    state = saved.state_dict()
    torch.save(state, tmp_path / "plain.pth")
    # As torchvision's references/detection/train.py; test_checkpoint.py has all of it.
    beside = {"lr_scheduler": {"milestones": Counter([16, 22])}, "args": argparse.Namespace(epochs=26), "epoch": 3}
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}, **beside}, tmp_path / "training.pth")
    for file in ("plain.pth", "training.pth"):
        loaded, weights = detectors.from_file(name, tmp_path / file, "BSD-3-Clause", "here")
        assert archive.digest(loaded.state_dict()) == archive.digest(state), file
        assert weights == archive.Weights(file, archive.file_digest(tmp_path / file), "BSD-3-Clause", "here")


def test_wrong_checkpoints_are_named(tmp_path: Path) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    (tmp_path / "text.pth").write_text("not torch's\n")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    torch.save(nn.Linear(1, 1), tmp_path / "pickled-module.pth")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save({"roi_heads.box_predictor.cls_score.weight": torch.zeros(91, 1024)}, tmp_path / "partial.pth")
    wanted = {
        "text.pth": "not a file of weights",
        "list.pth": "not a state dict",
        "pickled-module.pth": "which no weights need",
        "other.pth": "not a Faster R-CNN's weights",
        "partial.pth": f"not weights of {name}",
    }
    for file, why in wanted.items():
        with pytest.raises(ValueError, match=why) as caught:
            detectors.from_file(name, tmp_path / file, "none", "here")
        assert file in str(caught.value)
    with pytest.raises(ValueError, match="unknown detector 'yolo'; known: fasterrcnn_resnet50_fpn,"):
        detectors.build("yolo")
