"""Proposals against torchvision's own transform, backbone and rpn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import resize_boxes
from torchvision.transforms.functional import to_tensor

import archive
import detectors
import reference
import rpn
import stages

EDGES, SCORES = 0.01, 1e-5  # pixels, objectness


@torch.inference_mode()
def propose(detector: nn.Module, paths: list[Path]) -> list[np.ndarray]:
    """torchvision's proposals of a batch, in pixels of each picture, with objectness, best first -> [K,5] each."""
    scores: list[Tensor] = []
    own = detector.rpn.filter_proposals

    def keep_scores(*arguments: object) -> tuple[list[Tensor], list[Tensor]]:
        boxes, found = own(*arguments)
        scores.extend(found)
        return boxes, found

    detector.rpn.filter_proposals = keep_scores
    pictures = [to_tensor(reference.read(path)) for path in paths]
    batch, _ = detector.transform(pictures)
    boxes, _ = detector.rpn(batch, detector.backbone(batch.tensors))
    del detector.rpn.filter_proposals
    return [
        torch.cat([resize_boxes(box, resized, picture.shape[1:]), score[:, None]], 1).numpy()
        for box, score, resized, picture in zip(boxes, scores, batch.image_sizes, pictures, strict=True)
    ]


@dataclass
class Comparison:
    """What was compared, and the largest differences of what is the same."""

    proposals: int = 0
    found: int = 0  # with a box within EDGES and an objectness within SCORES, at its place or in a tie with it
    ties: int = 0  # of those, the ones at another place
    edges: float = 0.0
    scores: float = 0.0
    counts_equal: bool = True

    def add(self, got: np.ndarray, want: np.ndarray) -> None:
        """Looks for each of the wanted proposals [K,5] among those that were got, in the places whose objectness is
        within SCORES of its own."""
        self.counts_equal &= len(got) == len(want)
        self.proposals += len(want)
        free = np.ones(len(got), bool)
        for place, row in enumerate(want):
            distance = np.abs(got[:, :4] - row[:4]).max(1, initial=0)
            near = free & (np.abs(got[:, 4] - row[4]) <= SCORES) & (distance <= EDGES)
            if not near.any():
                continue
            at = place if place < len(got) and near[place] else int(near.argmax())
            free[at] = False
            self.found += 1
            self.ties += at != place
            self.edges = max(self.edges, float(distance[at]))
            self.scores = max(self.scores, float(abs(got[at, 4] - row[4])))

    def __str__(self) -> str:
        return (
            f"{self.found} of {self.proposals} proposals the same ({self.ties} in another order within a tie), "
            f"edges within {self.edges:.1g} px, objectness within {self.scores:.1g}"
        )


@pytest.mark.parametrize("name", detectors.NORM_EPS)
def test_proposals(
    name: str,
    detector: Callable[[str], tuple[nn.Module, Path]],
    full: bool,
    programs: Path,
    photos: list[Path],
    noise: list[Path],
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    model, exported = detector(name)
    alone = [*photos, *noise] if full else [photos[1], noise[0]]
    pairs = [[one, noise[i % len(noise)]] for i, one in enumerate(photos[::5])] if full else [[photos[1], noise[1]]]
    batches = [[picture] for picture in alone] + pairs
    want = [propose(model, batch) for batch in batches]
    objectness = np.concatenate([rows[:, 4] for batch in want for rows in batch])
    report(f"{name}: {len(alone)} pictures alone, {len(pairs)} pairs; objectness varies by {objectness.std():.2f}")

    def compare(path: Path) -> list[Comparison]:
        request = {"Model": str(path), "Batches": [[str(picture) for picture in batch] for batch in batches]}
        got = iter(stages.ask(programs, "proposals", request))
        compared = [Comparison() for _ in want]
        for one, batch in zip(compared, want, strict=True):
            for rows in batch:
                one.add(next(got), rows)
        return compared

    compared = compare(exported)
    report(f"  alone: {total(compared[: len(alone)])}")
    report(f"  in pairs: {total(compared[len(alone) :])}")
    if full:
        weights = archive.Weights("random", "0" * 64, "none", "none")
        last = compare(rpn.export(tmp_path, copy.deepcopy(model), name, weights, channels_last=True))
        report(f"  exported in channels_last: {total(last)}")
        (tmp_path / "rpn.pt").unlink()
    assert objectness.std() > 1000 * SCORES, "the objectness is nearly equal everywhere, so that order means little"
    for one, batch in zip(compared, batches, strict=True):
        assert one.counts_equal, batch
        assert one.found == one.proposals, f"{batch}: {one}"


def total(compared: list[Comparison]) -> Comparison:
    """All of them in one."""
    return Comparison(
        sum(one.proposals for one in compared),
        sum(one.found for one in compared),
        sum(one.ties for one in compared),
        max(one.edges for one in compared),
        max(one.scores for one in compared),
        all(one.counts_equal for one in compared),
    )
