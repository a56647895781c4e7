"""How much faster clipdet is than Python, as ratios measured in one run, side by side on the same weights and pictures.

    ./setup-libtorch.sh python bench/compare.py [--json FILE] [--images DIR] [--quick]

Three do the same work in turn, several rounds, each round on other pictures: reference.py ("notebook": float32, one
crop at a time), tuned.py (what a good engineer writes in PyTorch, in the type that clipdet takes here) and clipdet,
from files to ranked boxes, models loaded and queries embedded before. clipdet draws three pictures of each besides,
the others none. The weights are random ones of ViT-B/32, RN50 and fasterrcnn_resnet50_fpn: they detect nothing, and
take the same time.

A ratio above 1 says how many times as fast clipdet is. non_module_share is what clipdet's wall time has besides the
models' forwards; crop_share is what cutting crops takes of it.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

import reference
import stages
import tuned

sys.path.insert(0, str(stages.ROOT / "torchscript"))  # first, since a package of OpenAI's is called clip too

import clip
import detectors
import rpn
import towers
from archive import Weights

QUERIES = ["person", "dog", "car", "chair", "bottle", "tree"]
SEED = 1


@dataclass(frozen=True)
class Setting:
    """What is compared: a CLIP beside fasterrcnn_resnet50_fpn, and how many boxes are encoded."""

    clip: str
    proposals: int

    @property
    def name(self) -> str:
        return f"{self.clip}, {self.proposals} proposals"


SETTINGS = [Setting("ViT-B/32", 300), Setting("ViT-B/32", 100), Setting("ViT-B/32", 1000), Setting("RN50", 300)]


@dataclass
class Seconds:
    """Seconds a picture of each way, a value for each round, and clipdet's shares."""

    notebook: list[float] = field(default_factory=list)
    tuned: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    ours_float32: list[float] = field(default_factory=list)
    non_module: list[float] = field(default_factory=list)
    crop: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, dict[str, float]]:
        """Ratios and shares, each with its median, least and most."""
        pairs = {
            "notebook_over_ours": (self.notebook, self.ours),
            "notebook_over_ours_float32": (self.notebook, self.ours_float32),
            "tuned_over_ours": (self.tuned, self.ours),
        }
        values = {name: [a / b for a, b in zip(*both, strict=True)] for name, both in pairs.items()}
        values |= {"non_module_share": self.non_module, "crop_share": self.crop}
        return {
            name: {"median": statistics.median(each), "min": min(each), "max": max(each)}
            for name, each in values.items()
        }


def models(name: str, folder: Path) -> reference.Models:
    """Random models in memory, and the same ones exported into a folder in float32 and bfloat16."""
    weights = Weights(f"random, seed {SEED}", "0" * 64, "none: random", "torch.manual_seed")
    detector, _ = detectors.from_seed("fasterrcnn_resnet50_fpn", SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = towers.Model(name).build()
    size, look = model.visual.image_size, model.visual.preprocess_cfg
    for dtype in ("float32", "bfloat16"):
        rpn.export(folder, copy.deepcopy(detector), "fasterrcnn_resnet50_fpn", weights, dtype)
        clip.export(folder, towers.pair(name, copy.deepcopy(model)), weights, dtype)
    preprocess = reference.open_clip.image_transform(size, False, look["mean"], look["std"])
    return reference.Models(detector, model, preprocess)


def timed(detect: Callable[[Path], object], pictures: list[Path]) -> float:
    """Seconds a picture."""
    start = time.perf_counter()
    for picture in pictures:
        detect(picture)
    return (time.perf_counter() - start) / len(pictures)


def bench(programs: Path, folder: Path, setting: Setting, pictures: list[Path], dtype: str) -> dict:
    """What "clipdet bench" says of one round."""
    report = folder / "bench.json"
    asked = [argument for query in QUERIES for argument in ("-q", query)]
    command = [str(programs / "clipdet"), "bench", "--models", str(folder), "--dtype", dtype, "--rounds", "1", *asked]
    command += ["--warm-up", "1", "--batch-sizes", "", "--proposals", str(setting.proposals), "--json", str(report)]
    subprocess.run([*command, *map(str, pictures)], check=True, capture_output=True)
    return json.loads(report.read_text())


def agree(programs: Path, folder: Path, setting: Setting, picture: Path, found: list[reference.Detection]) -> float:
    """How far the best cosine of a query is from the notebook's at most, in float32."""
    asked = [argument for query in QUERIES for argument in ("-q", query)]
    command = ["detect", "--models", str(folder), "--dtype", "float32", *asked, "--rank", "cosine", "--nms", "1"]
    command += ["--proposals", str(setting.proposals), "--top-k", "1", "--text-cache", "", str(picture)]
    best = {one["query"]: one["cosine"] for one in json.loads(stages.run(programs / "clipdet", command))["detections"]}
    wanted: dict[str, float] = {}
    for one in found:
        wanted.setdefault(one.query, one.cosine)
    return max(abs(best[name] - cosine) for name, cosine in wanted.items())


def compare(
    setting: Setting, programs: Path, folder: Path, base: reference.Models, rounds: list[list[Path]]
) -> tuple[Seconds, float, str]:
    """All rounds of a setting; the largest difference of cosines; the type that clipdet took."""
    templates = stages.templates(programs)
    texts = dict(reference.phrasings(query, templates) for query in QUERIES)
    dtype = "bfloat16" if fast_bfloat16() else "float32"
    other = tuned.Tuned(base, getattr(torch, dtype))
    queries: dict[str, Tensor] = {name: other.embed_query(phrasings) for name, phrasings in texts.items()}
    count, seconds, off = setting.proposals, Seconds(), 0.0
    other.detect(reference.read(rounds[0][0]), queries, count)  # to warm up
    for i, pictures in enumerate(rounds):
        seconds.notebook.append(
            timed(lambda path: reference.detect(base, reference.read(path), queries, count), pictures)
        )
        seconds.tuned.append(timed(lambda path: other.detect(reference.read(path), queries, count), pictures))
        ours = bench(programs, folder, setting, pictures, "auto")
        seconds.ours.append(1 / ours["throughput"]["images_per_s"]["median"])
        exact = bench(programs, folder, setting, pictures, "float32")
        seconds.ours_float32.append(1 / exact["throughput"]["images_per_s"]["median"])
        seconds.non_module.append(1 - ours["rounds"]["module_share"]["median"])
        seconds.crop.append(ours["rounds"]["crop_share"]["median"])
        if i == 0:
            found = reference.detect(base, reference.read(pictures[0]), queries, count)
            off = agree(programs, folder, setting, pictures[0], found)
        took = [seconds.notebook[-1], seconds.tuned[-1], seconds.ours[-1], seconds.ours_float32[-1]]
        print(
            f"{setting.name}: round {i + 1} of {len(rounds)}: seconds of notebook, tuned, ours, ours in float32:",
            *(f"{value:.2f}" for value in took),
            file=sys.stderr,
            flush=True,
        )
    return seconds, off, dtype


def fast_bfloat16() -> bool:
    """Whether clipdet takes bfloat16 on this processor."""
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios to FILE too")
    parser.add_argument("--images", type=Path, metavar="DIR", default=stages.ROOT / "testdata" / "photos")
    parser.add_argument("--quick", action="store_true", help="one picture and the first setting alone: some minutes")
    chosen = parser.parse_args(arguments)
    pictures = sorted(chosen.images.glob("*.jpg"))
    each = 1 if chosen.quick else 3
    rounds = [pictures[i : i + each] for i in range(0, len(pictures), each)][: 1 if chosen.quick else None]
    if not rounds:
        parser.error(f"--images {chosen.images}: there is no *.jpg")
    answer: dict = {"threads": torch.get_num_threads(), "pictures": sum(map(len, rounds)), "settings": {}}
    with tempfile.TemporaryDirectory() as scratch:
        programs = Path(scratch) / "programs"
        stages.build(programs)
        for setting in SETTINGS[: 1 if chosen.quick else None]:
            folder = Path(scratch) / setting.clip.replace("/", "-")
            base = models(setting.clip, folder)
            few = rounds if setting is SETTINGS[0] else rounds[:3]
            seconds, off, answer["dtype"] = compare(setting, programs, folder, base, few)
            answer["settings"][setting.name] = {**seconds.summary(), "cosine_difference": off, "seconds": vars(seconds)}
    answer |= next(iter(answer["settings"].values()))
    for name, figures in answer["settings"].items():
        print(name)
        for key in (
            "notebook_over_ours",
            "notebook_over_ours_float32",
            "tuned_over_ours",
            "non_module_share",
            "crop_share",
        ):
            one = figures[key]
            print(f"  {key:28} {one['median']:6.2f}  ({one['min']:.2f} to {one['max']:.2f})")
        print(f"  {'cosines differ by at most':28} {figures['cosine_difference']:.1g}")
    if chosen.json:
        chosen.json.write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
