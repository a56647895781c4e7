"""A region proposal network small enough to train on a CPU, of torchvision's own parts on
a frozen ImageNet trunk.

EfficientNet-Lite0's features at strides 8, 16 and 32, a feature pyramid that adds stride
64, and Faster R-CNN's RPN on top.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

import checkpoint
from trunk import MEAN, STD, Trunk


@dataclass(frozen=True)
class Config:
    """Sizes of the network; anchor sizes are in pixels of the resized picture, a tuple a
    level."""

    min_size: int = 352
    max_size: int = 640
    channels: int = 96
    anchors: tuple[tuple[int, ...], ...] = ((16, 28), (44, 68), (100, 148), (208, 292))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    # Each costs the encoding of a crop. Of the objects of photos of 24 pixels or more,
    # 140 cover 0.75 at IoU 0.5, and 300 cover 0.82.
    proposals: int = 140
    nms: float = 0.7


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
        head = RPNHead(config.channels, anchors.num_anchors_per_location()[0])
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

    def losses(self, features: list[Tensor], size: tuple[int, int], boxes: list[Tensor]) -> dict[str, Tensor]:
        """Returns the objectness and box losses of pictures of a size (height, width),
        from the trunk's features [B,C,H,W] at strides 8, 16 and 32 and their boxes [n,4].

        It does RegionProposalNetwork's own steps of training, without the proposals,
        which nobody reads there.
        """
        named = dict(zip(("8", "16", "32"), features, strict=True))
        levels = list(self.backbone.fpn(named).values())
        logits, deltas = self.rpn.head(levels)
        images = ImageList(torch.empty(len(boxes), 3, *size, device="meta"), [size] * len(boxes))
        anchors = self.rpn.anchor_generator(images, levels)
        logits, deltas = concat_box_prediction_layers(logits, deltas)
        labels, matched = self.rpn.assign_targets_to_anchors(anchors, [{"boxes": b} for b in boxes])
        targets = self.rpn.box_coder.encode(matched, anchors)
        objectness, box = self.rpn.compute_loss(logits.float(), deltas.float(), labels, targets)
        return {"objectness": objectness, "box": box}

    @torch.no_grad()
    def propose(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Returns proposals [n,4] in pixels of the picture, best first, and their
        objectness [n]. image is [3,H,W] in 0..1."""
        captured: list[Tensor] = []
        original = self.rpn.filter_proposals

        def capture(*arguments):
            proposals, scores = original(*arguments)
            captured.extend(scores)
            return proposals, scores

        self.rpn.filter_proposals = capture
        try:
            batch, _ = self.transform([image])
            proposals, _ = self.rpn(batch, self.backbone(batch.tensors))
        finally:
            del self.rpn.filter_proposals
        height, width = batch.image_sizes[0]
        scale = torch.tensor([image.shape[2] / width, image.shape[1] / height]).repeat(2)
        return proposals[0] * scale, captured[0]


def save(path: Path, model: SmallRPN, notes: dict) -> None:
    """Writes a checkpoint of weights and sizes; notes say how they came about."""
    torch.save({"config": asdict(model.config), "state": model.state_dict(), "notes": notes}, path)


def load(path: Path) -> tuple[SmallRPN, dict]:
    """Returns the model of a checkpoint, in evaluation mode, and its notes. How many it
    proposes is not learned, so it is as Config has it today."""
    saved = checkpoint.load(path)
    model = SmallRPN(Config(**{**saved["config"], "proposals": Config.proposals}))
    model.load_state_dict(saved["state"])
    return model.eval(), saved["notes"]
