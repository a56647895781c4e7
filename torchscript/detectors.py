"""torchvision's detectors, built as torchvision builds the published ones, with weights
from a file or a seed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.ops import FrozenBatchNorm2d

import archive
import checkpoint
from archive import Weights

# The eps of the frozen batch norms that torchvision gives each detector's published
# COCO_V1 weights; None if the norms are not frozen
# (torchvision.models.detection.faster_rcnn, versions 0.13 to 0.26).
NORM_EPS: dict[str, float | None] = {
    "fasterrcnn_resnet50_fpn": 0.0,
    "fasterrcnn_resnet50_fpn_v2": None,
    "fasterrcnn_mobilenet_v3_large_fpn": 1e-5,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5,
}


def check(name: str) -> None:
    """Raises ValueError, which lists the names, if name is no detector's."""
    if name not in NORM_EPS:
        raise ValueError(f"unknown detector {name!r}; known: {', '.join(NORM_EPS)}")


def build(name: str, classes: int = 91, **options: int) -> nn.Module:
    """Returns a detector by torchvision's name, in evaluation mode, its weights not yet
    set. options go to torchvision's FasterRCNN (min_size and so on)."""
    check(name)
    detector = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=classes, **options)
    eps = NORM_EPS[name]
    if eps is not None:
        freeze_norms(detector.backbone.body, eps)
    return detector.eval().requires_grad_(False)


def freeze_norms(root: nn.Module, eps: float) -> None:
    """Replaces every batch norm with torchvision's FrozenBatchNorm2d."""
    for parent in list(root.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, FrozenBatchNorm2d(child.num_features, eps))


def from_file(name: str, path: Path, licence: str, source: str) -> tuple[nn.Module, Weights]:
    """Returns a detector with the weights of a state dict's file: torchvision's published
    ones, or your own fine-tuned ones.

    Raises ValueError if the file holds no state dict, or not this detector's.
    """
    state = checkpoint.read(path)
    scores = state.get("roi_heads.box_predictor.cls_score.weight")
    if scores is None:
        raise ValueError(f"{path}: not a Faster R-CNN's weights: no roi_heads.box_predictor.cls_score.weight in it")
    detector = build(name, classes=scores.shape[0])
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path}: not weights of {name}: {checkpoint.misfit(error)}") from error
    return detector, Weights(path.name, archive.file_digest(path), licence, source)


def from_seed(name: str, seed: int, **options: int) -> tuple[nn.Module, Weights]:
    """Returns a detector with random weights whose outputs look like a trained one's. It
    is for tests and trials: it detects nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = build(name, **options)
        randomise_norms(detector.backbone)
        calibrate(detector, contrast=1.4)
    digest = archive.digest(detector.state_dict())
    return detector, Weights(f"random, seed {seed}", digest, "none: random", "torch.manual_seed")


def randomise_norms(root: nn.Module) -> None:
    """Gives every batch norm statistics of its own, so that a mistake with them shows."""
    for module in root.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            module.weight.data.uniform_(0.5, 1.0)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)


@torch.no_grad()
def calibrate(detector: nn.Module, contrast: float = 1.0) -> None:
    """Scales a random network so that its outputs look like a trained one's.

    Unscaled, activations grow from block to block, logits reach hundreds and every
    objectness is 1. Here each feature map gets a spread of about 1, logits -4 +- 2, box
    deltas +- 0.3, measured on smooth noise whose standard deviation in normalised pixels
    is contrast. A MobileNet's gates make logits grow with a high power of contrast.
    """
    noise = contrast * nn.functional.interpolate(torch.randn(1, 3, 12, 16), size=(192, 256), mode="bicubic")
    spread(detector.backbone, noise)
    head = detector.rpn.head
    for conv in head.conv.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    logits, deltas = head(list(detector.backbone(noise).values()))
    head.cls_logits.weight *= 2 / torch.cat([level.flatten() for level in logits]).std()
    head.cls_logits.bias.fill_(-4)
    head.bbox_pred.weight *= 0.3 / torch.cat([level.flatten() for level in deltas]).std()


@torch.no_grad()
def spread(root: nn.Module, example: Tensor) -> None:
    """Scales each convolution in turn so that its output for the example has a standard
    deviation of 1."""
    hooks = [m.register_forward_hook(unit_spread) for m in root.modules() if isinstance(m, nn.Conv2d)]
    root(example)
    for hook in hooks:
        hook.remove()


def unit_spread(conv: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The forward hook of spread. It leaves gates (squeeze and excitation), whose output
    is one number a channel, as they are: scaled, they would open and close at random."""
    if output.shape[-1] == 1:
        return output
    scale = 1 / output.std().clamp(min=1e-6)
    conv.weight *= scale
    if conv.bias is not None:
        conv.bias *= scale
    return output * scale
