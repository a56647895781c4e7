"""A region proposal network small enough to train on a CPU, of torchvision's own parts on
a frozen ImageNet trunk.

EfficientNet-Lite0's features at strides 8, 16 and 32, a feature pyramid that adds stride
64, and Faster R-CNN's RPN on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_iou, generalized_box_iou_loss
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

import checkpoint
import rpn
from trunk import MEAN, STD, Trunk

WORTH = (0.4, 0.9)  # IoU up to which a box is worth nothing, and from which on it is worth all


@dataclass(frozen=True)
class Config:
    """Sizes of the network; anchor sizes are in pixels of the resized picture, a tuple a
    level."""

    min_size: int = 352
    max_size: int = 640
    channels: int = 96
    anchors: tuple[tuple[int, ...], ...] = ((16, 28), (44, 68), (100, 148), (208, 292))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    # Each costs the encoding of a crop. Of new scenes the AP50 is 0.908 with 120, 0.905 with
    # 72 and 0.902 with 50.
    proposals: int = 72
    nms: float = 0.5  # with 0.7 fewer objects have a proposal, since some have many
    depth: int = 2  # of the head's convolutions
    voting: float = 0.5  # IoU above which the boxes that suppression drops move the one that is kept


class Backbone(nn.Module):
    """Feature maps of normalised pictures [B,3,H,W], whose sides are multiples of 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.fpn = FeaturePyramidNetwork(list(Trunk.WIDTHS), channels, LastLevelMaxPool())
        self.out_channels = channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.trunk(x))


class SmallRPN(nn.Module):
    """A network whose transform, backbone and rpn are torchvision's, named and used as in
    its FasterRCNN."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        self.transform = GeneralizedRCNNTransform(config.min_size, config.max_size, list(MEAN), list(STD))
        self.backbone = Backbone(config.channels)
        anchors = AnchorGenerator(config.anchors, (config.ratios,) * len(config.anchors))
        head = RPNHead(config.channels, anchors.num_anchors_per_location()[0], config.depth)
        nn.init.constant_(head.cls_logits.bias, -2.0)
        self.rpn = RegionProposalNetwork(
            anchors,
            head,
            fg_iou_thresh=0.6,
            bg_iou_thresh=0.35,
            batch_size_per_image=128,
            positive_fraction=0.5,
            # With torchvision's 1000 a level, 109 of 111 pictures had the same 300 best,
            # and suppression took longer.
            pre_nms_top_n={"training": 1000, "testing": 500},
            post_nms_top_n={"training": config.proposals, "testing": config.proposals},
            nms_thresh=config.nms,
        )

    def losses(
        self, features: list[Tensor], size: tuple[int, int], boxes: list[Tensor], exact: bool = True
    ) -> dict[str, Tensor]:
        """Returns the objectness and box losses of pictures of a size (height, width),
        from the trunk's features [B,C,H,W] at strides 8, 16 and 32 and their boxes [n,4].

        Without exact they are RegionProposalNetwork's own, on a sample of the anchors. With
        it, objectness is learned of every anchor as in generalized focal loss (Li et al.
        2020): it tells how exact the box that the anchor became is, so that of a person's
        boxes the whole one comes first. Boxes are then learned by generalized IoU
        (Rezatofighi et al. 2019), of anchors that overlap a box by half.
        """
        named = dict(zip(("8", "16", "32"), features, strict=True))
        levels = list(self.backbone.fpn(named).values())
        logits, deltas = concat_box_prediction_layers(*self.rpn.head(levels))
        logits, deltas = logits.float(), deltas.float()
        images = ImageList(torch.empty(len(boxes), 3, *size, device="meta"), [size] * len(boxes))
        anchors = self.rpn.anchor_generator(images, levels)
        if not exact:
            labels, matched = self.rpn.assign_targets_to_anchors(anchors, [{"boxes": b} for b in boxes])
            targets = self.rpn.box_coder.encode(matched, anchors)
            objectness, box = self.rpn.compute_loss(logits, deltas, labels, targets)
            return {"objectness": objectness, "box": box}
        good: list[Tensor] = []
        far: list[Tensor] = []
        decoded = self.rpn.box_coder.decode(deltas, anchors)[:, 0].split(len(anchors[0]))
        for found, own, wanted in zip(decoded, anchors, boxes, strict=True):
            good.append(self.worth(found.detach(), wanted))
            if len(wanted):
                overlap, which = box_iou(own, wanted).max(1)
                near = overlap >= 0.5
                far.append(generalized_box_iou_loss(found[near], wanted[which[near]]))
        wanted = torch.cat(good)
        wrong = functional.binary_cross_entropy_with_logits(logits[:, 0], wanted, reduction="none")
        objectness = (wrong * (logits[:, 0].sigmoid() - wanted) ** 2).sum() / wanted.sum().clamp(min=1)
        box = torch.cat(far) if far else deltas[:0, 0]
        return {"objectness": objectness, "box": box.sum() / max(1, len(box))}

    def worth(self, found: Tensor, boxes: Tensor) -> Tensor:
        """Returns what objectness [A] boxes found [A,4] should have: how well they cover one
        of the boxes [n,4]."""
        if not len(boxes):
            return found.new_zeros(len(found))
        low, high = WORTH
        return ((box_iou(found, boxes).amax(1) - low) / (high - low)).clamp(0, 1)

    @torch.no_grad()
    def propose(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Returns proposals [n,4] in pixels of the picture, best first, and their
        objectness [n]. image is [3,H,W] in 0..1."""
        rows, counts = rpn.Proposals(self, voting=self.config.voting)(
            255 * image[None], torch.tensor([image.shape[1:]])
        )
        found = rows[0, : int(counts[0])]
        return found[:, :4], found[:, 4]


def load(path: Path) -> tuple[SmallRPN, dict]:
    """Returns the model of a checkpoint, in evaluation mode, and its notes. How many it
    proposes, and how they are suppressed and moved, is not learned, so that is as Config
    has it today."""
    saved = checkpoint.load(path)
    today = {"proposals": Config.proposals, "nms": Config.nms, "voting": Config.voting}
    model = SmallRPN(Config(**{**saved["config"], **today}))
    model.load_state_dict(saved["state"])
    return model.eval(), saved["notes"]
