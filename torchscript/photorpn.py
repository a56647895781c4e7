"""Proposals of photos and of drawings: two networks, and a look at the whole picture that
tells which to ask.

A network that learned COCO's photos finds whole things in photos, and one that learned
drawings, and a few photos, finds drawings. In a photo it adds what the other doesn't
propose.
"""

import copy
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

import archive
import checkpoint
import rpn
import smallrpn
import ssdlite
import stored
from trunk import Trunk

MARGIN = 0.3  # of the probability of a photo: below it a picture is surely a drawing, above one minus this a photo
# What only the network for drawings proposes of a photo: its objectness is multiplied by this, since that one knows few
# photos; and so many of them, since each costs the encoding of a crop, which of a photo takes longer.
DOUBT, ADDED = 0.4, 12
WIDTH = sum(Trunk.WIDTHS)


class Proposals(rpn.Proposals):
    """Pictures and sizes to proposals and counts, as rpn.Proposals, which finds those of
    drawings."""

    margin: Final[float]
    doubt: Final[float]
    added: Final[int]

    def __init__(self, network: smallrpn.SmallRPN, look: nn.Linear, photographed: ssdlite.SSDLite) -> None:
        super().__init__(network, voting=network.config.voting)
        self.look = copy.deepcopy(look)  # above 0 a picture is rather a photo
        self.photographed = copy.deepcopy(photographed)
        self.margin, self.doubt, self.added = MARGIN, DOUBT, ADDED
        stored.shrink(self.backbone)
        stored.shrink(self.photographed, eight=True)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        sizes = sizes.cpu()
        resized = self.resized(images, sizes)
        batch = self.prepare(images, sizes, resized)
        maps = self.backbone.trunk(batch)
        photo = self.photo(maps, resized)
        drawn, count = self.proposed(batch, list(self.backbone.fpn(maps).values()), sizes, resized)
        if images.is_cuda:  # where choosing would be a wait for the device, and both cost little
            return self.both(drawn, self.photographed(images, sizes), photo)
        if bool((photo == 0).all()):
            return drawn, count
        return self.both(drawn, self.photographed(images, sizes), photo)

    def both(self, drawn: Tensor, photographed: Tensor, photo: Tensor) -> tuple[Tensor, Tensor]:
        """The best of both networks' proposals [B,K,5], where drawn ones that overlap others
        are left out. photo [B] is how much each picture is a photo."""
        photographed = weighted(photographed, photo[:, None])
        again = (rpn.ious(drawn[:, :, :4], photographed[:, :, :4]) > self.iou).any(2)  # NaN, of rows of 0, is not
        drawn = weighted(drawn, (1 - (1 - self.doubt) * photo)[:, None] * ~again)
        most = self.proposals - (photo * (self.proposals - self.added)).floor()
        drawn = weighted(drawn, (drawn[:, :, 4] > 0).cumsum(1) <= most[:, None])
        rows = torch.cat([drawn, photographed], 1)
        order = rows[:, :, 4].sort(dim=1, descending=True, stable=True)[1][:, : self.proposals]
        rows = rows.gather(1, order[:, :, None].expand(-1, -1, 5))
        return rows, (rows[:, :, 4] > 0).sum(1)

    def photo(self, maps: dict[str, Tensor], resized: Tensor) -> Tensor:
        """How much each picture is a photo [B], from 0 to 1."""
        sure = torch.sigmoid(self.look(seen(maps, resized))[:, 0])
        return ((sure - self.margin) / (1 - 2 * self.margin)).clamp(0, 1)


def weighted(rows: Tensor, share: Tensor) -> Tensor:
    """Rows [B,K,5] with their objectness times share, [B,K] or [B,1]; those without any
    are 0."""
    objectness = rows[:, :, 4] * share
    return torch.cat([rows[:, :, :4], objectness[:, :, None]], 2) * (objectness > 0)[:, :, None]


def seen(maps: dict[str, Tensor], resized: Tensor) -> Tensor:
    """What the look reads [B,472]: means of the trunk's maps, by their strides, over what
    isn't padding. resized tells each picture's height and width."""
    whole: list[list[int]] = resized.tolist()
    rows: list[Tensor] = []
    for i, size in enumerate(whole):
        means: list[Tensor] = []
        for key, level in maps.items():
            stride = int(key)
            height, width = (size[0] + stride - 1) // stride, (size[1] + stride - 1) // stride
            means.append(level[i, :, :height, :width].mean((1, 2)))
        rows.append(torch.cat(means))
    return torch.stack(rows)


def load(drawings: Path, look: Path) -> tuple[smallrpn.SmallRPN, nn.Linear]:
    """Returns what was trained, from the checkpoints of train_rpn.py and train_look.py."""
    with checkpoint.of("rpn", drawings):
        network, _ = smallrpn.load(drawings)
    layer = nn.Linear(WIDTH, 1)
    with checkpoint.of("look", look):
        layer.load_state_dict(checkpoint.load(look)["look"])
    return network, layer


def export(out: Path, network: smallrpn.SmallRPN, look: nn.Linear) -> Path:
    """Writes rpn.pt into out and returns its path. The weights are stored in half
    precision, and SSDLite's in 8 bits."""
    on = "EfficientNet-Lite0 with ImageNet weights; beside it is SSDLite with weights of COCO"
    photographed = ssdlite.load()
    weights = archive.trained(nn.ModuleList([network, look, photographed]), on)
    made = Proposals(network.eval(), look, photographed)
    fields = rpn.sizes_of(made, network)
    described = archive.manifest("rpn", "clipdet-small-rpn", weights, "float32", True, **fields)
    return rpn.write(out, made, made, described)
