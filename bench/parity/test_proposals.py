"""Proposals against torchvision's own transform, backbone and rpn."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import resize_boxes
from torchvision.transforms.functional import to_tensor

import archive
import reference
import rpn
import stages


@dataclass(frozen=True)
class Tolerance:
    edges: float  # pixels
    scores: float  # objectness
    share: float  # of proposals that must be the same


# A GPU's convolutions add up in another order, by algorithms that it chooses by shape. If
# an IoU is next to the threshold, suppression then keeps another box, and those after it
# move up or down a place. On a CPU all are equal.
TOLERANCES = {"cpu": Tolerance(0.01, 1e-5, 1), "cuda": Tolerance(0.1, 1e-4, 0.98)}


@torch.inference_mode()
def propose(detector: nn.Module, paths: list[Path]) -> list[np.ndarray]:
    """Returns torchvision's proposals of a batch, in pixels of each picture, with
    objectness, best first: [n,5] each.

    These are all that suppression leaves. torchvision keeps the best K of them; if some
    at the cut have the same objectness, it may keep any of those.
    """
    scores: list[Tensor] = []
    kept = detector.rpn._post_nms_top_n
    detector.rpn._post_nms_top_n = dict.fromkeys(kept, sys.maxsize)
    own = detector.rpn.filter_proposals

    def keep_scores(*arguments: object) -> tuple[list[Tensor], list[Tensor]]:
        boxes, found = own(*arguments)
        scores.extend(found)
        return boxes, found

    detector.rpn.filter_proposals = keep_scores
    pictures = [to_tensor(reference.read(path)).to(reference.place(detector)) for path in paths]
    batch, _ = detector.transform(pictures)
    boxes, _ = detector.rpn(batch, detector.backbone(batch.tensors))
    del detector.rpn.filter_proposals
    detector.rpn._post_nms_top_n = kept
    return [
        torch.cat([resize_boxes(box, resized, picture.shape[1:]), score[:, None]], 1).cpu().numpy()
        for box, score, resized, picture in zip(boxes, scores, batch.image_sizes, pictures, strict=True)
    ]


@dataclass
class Comparison:
    """What was compared, and the largest differences between the proposals that are the
    same."""

    allowed: Tolerance
    proposals: int = 0  # of torchvision, the best K of each picture
    found: int = 0  # with the box and objectness within the tolerance, at its place or in a tie with it
    ties: int = 0  # found ones whose box has another place
    edges: float = 0.0
    scores: float = 0.0

    def add(self, got: np.ndarray, want: np.ndarray, most: int) -> None:
        """Looks up each proposal of got [K,5] among all of want [n,5], once each. got
        must have as many as the best most of want; if others tie with the last of these,
        any of them may be in got. Unless some may be missing, each place must have the
        objectness that is wanted there, and a box that is wanted with that objectness."""
        allowed = self.allowed
        best = min(most, len(want))
        assert best * allowed.share <= len(got) <= best / allowed.share, f"{len(got)} proposals, not {best}"
        self.proposals += best
        free = np.ones(len(want), bool)
        for place, row in enumerate(got):
            distance = np.abs(want[:, :4] - row[:4]).max(1)
            distance[~free | (np.abs(want[:, 4] - row[4]) > allowed.scores)] = np.inf
            at = int(distance.argmin())
            if place < len(want) and distance[place] == distance[at]:
                at = place
            if distance[at] > allowed.edges:
                continue
            if allowed.share == 1 and abs(want[place, 4] - row[4]) > allowed.scores:
                continue
            free[at] = False
            self.found += 1
            self.ties += at != place
            self.edges = max(self.edges, float(distance[at]))
            self.scores = max(self.scores, float(abs(want[at, 4] - row[4])))

    def __str__(self) -> str:
        return (
            f"{self.found} of {self.proposals} proposals the same ({self.ties} at another place), "
            f"edges within {self.edges:.1g} px, objectness within {self.scores:.1g}"
        )


def test_proposals(
    detector_name: str,
    detector: Callable[[str], tuple[nn.Module, Path]],
    full: bool,
    programs: Path,
    photos: list[Path],
    noise: list[Path],
    device: str,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    model, exported = detector(detector_name)
    allowed = TOLERANCES[torch.device(device).type]
    alone = [*photos, *noise] if full else [photos[1], noise[0]]
    pairs = [[one, noise[i % len(noise)]] for i, one in enumerate(photos[::5])] if full else [[photos[1], noise[1]]]
    batches = [[picture] for picture in alone] + pairs
    want = [propose(model, batch) for batch in batches]
    objectness = np.concatenate([rows[:, 4] for batch in want for rows in batch])
    report(
        f"{detector_name}: {len(alone)} pictures alone, {len(pairs)} pairs; objectness varies by {objectness.std():.2f}"
    )

    def compare(path: Path) -> list[Comparison]:
        request = {"Model": str(path), "Batches": [[str(picture) for picture in batch] for batch in batches]}
        got = iter(stages.ask(programs, "proposals", request, device))
        compared = [Comparison(allowed) for _ in want]
        for one, batch in zip(compared, want, strict=True):
            for rows in batch:
                one.add(next(got), rows, model.rpn.post_nms_top_n())
        return compared

    compared = compare(exported)
    report(f"  alone: {total(compared[: len(alone)])}")
    report(f"  in pairs: {total(compared[len(alone) :])}")
    if full:
        weights = archive.Weights("random", "0" * 64, "none", "none")
        last = compare(rpn.export(tmp_path, copy.deepcopy(model).cpu(), detector_name, weights, channels_last=True))
        report(f"  exported in channels_last: {total(last)}")
        (tmp_path / "rpn.pt").unlink()
    assert objectness.std() > 1000 * allowed.scores, (
        "the objectness is nearly equal everywhere, so that order means little"
    )
    for one, batch in zip(compared, batches, strict=True):
        assert one.found >= allowed.share * one.proposals, f"{batch}: {one}"


def total(compared: list[Comparison]) -> Comparison:
    """Returns the sum of all comparisons."""
    return Comparison(
        compared[0].allowed,
        sum(one.proposals for one in compared),
        sum(one.found for one in compared),
        sum(one.ties for one in compared),
        max(one.edges for one in compared),
        max(one.scores for one in compared),
    )
