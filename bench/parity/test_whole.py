"""The command, from files to ranked boxes, against bench/reference.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from open_clip import image_transform
from torch import nn

import reference
import stages

QUERIES = ["cat", "traffic light", "a person in a space suit", "cup=a cup of coffee|a mug on a table", "rocket"]
EDGES, COSINES = 0.01, 2e-3  # pixels, and the bar for cosines
TIE = 1e-4  # the order is compared if cosines differ by more


def arranged(got: np.ndarray, want: np.ndarray) -> list[int]:
    """Returns which of the wanted boxes [K,4] each box of got is, once each. Fails if
    there is none within EDGES."""
    free, places = np.ones(len(want), bool), []
    for box in got:
        distance = np.where(free, np.abs(want - box).max(1), np.inf)
        places.append(int(distance.argmin()))
        assert distance[places[-1]] <= EDGES, f"no such box in Python: {box}"
        free[places[-1]] = False
    assert not free.any(), f"{free.sum()} boxes are in Python's answer alone"
    return places


def test_whole(
    detector: Callable[[str], tuple[nn.Module, Path]],
    clip_model: Callable[..., tuple[nn.Module, Path]],
    full: bool,
    programs: Path,
    photos: list[Path],
    device: str,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    network, archive = detector("fasterrcnn_resnet50_fpn")
    clip, towers = clip_model("ViT-B-32", "float32", turned=True)
    for file in (archive, towers / "clip-image.pt", towers / "clip-text.pt"):
        (tmp_path / file.name).symlink_to(file)
    size, look = clip.visual.image_size, clip.visual.preprocess_cfg
    models = reference.Models(network, clip, image_transform(size, False, look["mean"], look["std"]))
    templates = stages.templates(programs)
    described = dict(reference.phrasings(query, templates) for query in QUERIES)
    queries = {name: reference.embed_query(clip, texts) for name, texts in described.items()}

    chosen, proposals = (photos, 100) if full else (photos[:3], 60)
    asked = [argument for query in QUERIES for argument in ("--query", query)]
    everything = ["--rank", "cosine", "--nms", "1", "--proposals", str(proposals), "--format", "jsonl"]
    where = ["--models", str(tmp_path), "--dtype", "float32", "--device", device]
    answer = stages.run(programs / "clipdet", ["detect", *asked, *everything, *where, *map(str, chosen)])

    pairs, largest, moved, spread = 0, 0.0, 0, []
    for photo, line in zip(chosen, answer.splitlines(), strict=True):
        found = json.loads(line)["detections"]
        expected = reference.detect(models, reference.read(photo), queries, proposals)
        for query in queries:
            got = [one for one in found if one["query"] == query]
            want = [one for one in expected if one.query == query]
            order = arranged(np.array([one["box"] for one in got]), np.array([one.box for one in want]))
            cosines = np.array([one.cosine for one in want])
            ranked = cosines[order]  # Python's cosines in clipdet's order
            pairs += len(want)
            largest = max(largest, np.abs(ranked - [one["cosine"] for one in got]).max())
            moved += sum(place != i for i, place in enumerate(order))
            spread.append(cosines.std())
            assert (ranked <= np.minimum.accumulate(ranked) + TIE).all(), f"{photo.name}, {query}: another order"
    report(
        f"whole: {len(chosen)} photos, {pairs} boxes of {len(queries)} queries the same; cosines within {largest:.1g}, "
        f"{moved} in another place, by cosines less than {TIE:g} apart; those of a query vary by "
        f"{min(spread):.3f} to {max(spread):.3f}"
    )
    assert largest <= COSINES
    assert min(spread) > 10 * COSINES, "the cosines are nearly equal, so that the comparison means little"
