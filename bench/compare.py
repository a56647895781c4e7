"""How much faster clipdet is than Python, as ratios measured in one run, side by side on the same weights and pictures.

    ./setup-libtorch.sh python bench/compare.py [--json FILE] [--images DIR] [--rounds N] [--quick]

Three do the same work in turn, several rounds, each round on other pictures: reference.py ("notebook": float32, one
crop and one phrasing at a time), tuned.py (what a good engineer writes in PyTorch, in the faster of float32 and
bfloat16, queries embedded before) and clipdet, in the type that its auto takes, from files to ranked boxes, models
loaded and queries embedded before.
clipdet draws three pictures of each besides, the others none. The weights of ViT-B/32, RN50 and
fasterrcnn_resnet50_fpn are random ones: they detect nothing, and take the same time. The built-in models have their
own, and run on their scenes.

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
from PIL import Image
from torch import Tensor

import archives
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
    """A CLIP beside fasterrcnn_resnet50_fpn, or the built-in models, and how many boxes are encoded."""

    clip: str | None
    proposals: int

    @property
    def name(self) -> str:
        return f"{self.clip or 'built-in models'}, {self.proposals} proposals"


SETTINGS = [
    Setting("ViT-B/32", 300),
    Setting("ViT-B/32", 100),
    Setting("ViT-B/32", 1000),
    Setting("RN50", 300),
    Setting(None, 300),
]

BUILTIN = stages.ROOT / "pkg" / "model" / "builtin"

SCENES = stages.ROOT / "testdata" / "scenes"

TYPES = (torch.float32, torch.bfloat16)

Queries = dict[str, Tensor]


@dataclass(frozen=True)
class Contest:
    """The two ways in Python, each from a picture to its detections, and clipdet's flags for the same models."""

    embed: Callable[[list[str]], Tensor]
    notebook: Callable[[Image.Image, Queries, int], list[reference.Detection]]
    tuned: Callable[[Image.Image, Queries, int], list[reference.Detection]]
    tuned_dtype: torch.dtype
    flags: list[str]


@dataclass
class Seconds:
    """Seconds a picture of each way, a value for each round, and clipdet's shares."""

    notebook: list[float] = field(default_factory=list)
    tuned: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    dtype: str = ""  # that clipdet's auto took
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


def exported(name: str, folder: Path) -> Contest:
    """Random models in memory, and the same ones exported into a folder in the types that clipdet may take here."""
    weights = Weights(f"random, seed {SEED}", "0" * 64, "none: random", "torch.manual_seed")
    detector, _ = detectors.from_seed("fasterrcnn_resnet50_fpn", SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = towers.Model(name).build()
    size, look = model.visual.image_size, model.visual.preprocess_cfg
    for each in ["float32", "bfloat16"] if stages.fast_bfloat16() else ["float32"]:
        rpn.export(folder, copy.deepcopy(detector), "fasterrcnn_resnet50_fpn", weights, each)
        clip.export(folder, towers.pair(name, copy.deepcopy(model)), weights, each)
    preprocess = reference.open_clip.image_transform(size, False, look["mean"], look["std"])
    plain = reference.Models(detector, model, preprocess)
    fast = tuned.fastest([tuned.Tuned(plain, each) for each in TYPES])
    return Contest(
        lambda phrasings: reference.embed_query(model, phrasings),
        lambda picture, queries, count: reference.detect(plain, picture, queries, count),
        fast.detect,
        fast.dtype,
        ["--models", str(folder)],
    )


def builtin() -> Contest:
    """The built-in models, which clipdet takes without a flag."""
    plain = archives.Archives(BUILTIN)
    fast = tuned.fastest([plain, archives.Archives(BUILTIN, "bfloat16")])
    return Contest(plain.embed_query, plain.notebook, fast.tuned, fast.dtype, [])


def timed(detect: Callable[[Path], object], pictures: list[Path]) -> float:
    """Seconds a picture."""
    start = time.perf_counter()
    for picture in pictures:
        detect(picture)
    return (time.perf_counter() - start) / len(pictures)


def bench(programs: Path, folder: Path, contest: Contest, setting: Setting, pictures: list[Path], dtype: str) -> dict:
    """What "clipdet bench" says of one round."""
    report = folder / "bench.json"
    asked = [argument for query in QUERIES for argument in ("-q", query)]
    command = [str(programs / "clipdet"), "bench", *contest.flags, "--dtype", dtype, *asked, "--stages=false"]
    command += [
        "--rounds",
        "1",
        "--warm-up",
        "1",
        "--batch-sizes",
        "",
        "--proposals",
        str(setting.proposals),
        "--json",
        str(report),
    ]
    subprocess.run([*command, *map(str, pictures)], check=True, capture_output=True)
    return json.loads(report.read_text())


def agree(programs: Path, contest: Contest, setting: Setting, picture: Path, found: list[reference.Detection]) -> float:
    """How far the best cosine of a query is from the notebook's at most, in float32."""
    asked = [argument for query in QUERIES for argument in ("-q", query)]
    command = ["detect", *contest.flags, "--dtype", "float32", *asked, "--rank", "cosine", "--nms", "1"]
    command += ["--proposals", str(setting.proposals), "--top-k", "1", "--text-cache", "", str(picture)]
    best = {one["query"]: one["cosine"] for one in json.loads(stages.run(programs / "clipdet", command))["detections"]}
    wanted: dict[str, float] = {}
    for one in found:
        wanted.setdefault(one.query, one.cosine)
    return max(abs(best[name] - cosine) for name, cosine in wanted.items())


def compare(
    setting: Setting, programs: Path, folder: Path, contest: Contest, rounds: list[list[Path]]
) -> tuple[Seconds, float]:
    """All rounds of a setting, and the largest difference of cosines, looked at in each round."""
    templates = stages.templates(programs)
    texts = dict(reference.phrasings(query, templates) for query in QUERIES)
    queries: Queries = {name: contest.embed(phrasings) for name, phrasings in texts.items()}
    count, seconds, off = setting.proposals, Seconds(), 0.0
    contest.tuned(reference.read(rounds[0][0]), queries, count)  # to warm up
    for i, pictures in enumerate(rounds):
        found: list[reference.Detection] = []

        def notebook(path: Path, found: list[reference.Detection] = found) -> None:
            found[:] = contest.notebook(reference.read(path), queries, count)

        start = time.perf_counter()
        for phrasings in texts.values():
            contest.embed(phrasings)
        embedding = (time.perf_counter() - start) / len(pictures)
        seconds.notebook.append(embedding + timed(notebook, pictures))
        seconds.tuned.append(timed(lambda path: contest.tuned(reference.read(path), queries, count), pictures))
        ours = bench(programs, folder, contest, setting, pictures, "auto")
        seconds.ours.append(1 / ours["throughput"]["images_per_s"]["median"])
        seconds.dtype = next(one["dtype"] for one in ours["models"] if one["kind"] == "clip-image")
        exact = ours  # where clipdet takes float32 anyway
        if seconds.dtype != "float32":
            exact = bench(programs, folder, contest, setting, pictures, "float32")
        seconds.ours_float32.append(1 / exact["throughput"]["images_per_s"]["median"])
        seconds.non_module.append(1 - ours["rounds"]["module_share"]["median"])
        seconds.crop.append(ours["rounds"]["crop_share"]["median"])
        off = max(off, agree(programs, contest, setting, pictures[-1], found))
        took = [seconds.notebook[-1], seconds.tuned[-1], seconds.ours[-1], seconds.ours_float32[-1]]
        print(
            f"{setting.name}: round {i + 1} of {len(rounds)}: seconds of notebook, tuned, ours, ours in float32:",
            *(f"{value:.2f}" for value in took),
            file=sys.stderr,
            flush=True,
        )
    return seconds, off


def grouped(pictures: list[Path], quick: bool) -> list[list[Path]]:
    """Rounds of three pictures, or one of one."""
    return [pictures[:1]] if quick and pictures else [pictures[i : i + 3] for i in range(0, len(pictures), 3)]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios to FILE too")
    parser.add_argument("--images", type=Path, metavar="DIR", default=stages.ROOT / "testdata" / "photos")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="at most N rounds of three pictures (default: all of them)"
    )
    parser.add_argument("--quick", action="store_true", help="one picture and the first setting alone: some minutes")
    chosen = parser.parse_args(arguments)
    photos = grouped(sorted(chosen.images.glob("*.jpg")), chosen.quick)[: chosen.rounds]
    if not photos:
        parser.error(f"--images {chosen.images}: there is no *.jpg")
    answer: dict = {"threads": torch.get_num_threads(), "settings": {}}
    answer["pictures"] = sum(map(len, photos))
    with tempfile.TemporaryDirectory() as scratch:
        programs = Path(scratch) / "programs"
        stages.build(programs)
        for setting in SETTINGS[: 1 if chosen.quick else None]:
            folder = Path(scratch) / (setting.clip or "built-in").replace("/", "-")
            folder.mkdir(exist_ok=True)
            if setting.clip:
                contest, rounds = exported(setting.clip, folder), photos
            else:
                contest, rounds = builtin(), grouped(sorted(SCENES.glob("*.jpg")), chosen.quick)[: chosen.rounds]
            few = rounds if setting is SETTINGS[0] else rounds[:3]
            seconds, off = compare(setting, programs, folder, contest, few)
            answer["settings"][setting.name] = {
                **seconds.summary(),
                "dtype": seconds.dtype,
                "tuned_dtype": str(contest.tuned_dtype).removeprefix("torch."),
                "cosine_difference": off,
                "seconds": {name: value for name, value in vars(seconds).items() if name != "dtype"},
            }
    answer |= next(iter(answer["settings"].values()))
    for name, figures in answer["settings"].items():
        print(f"{name}: clipdet in {figures['dtype']}, tuned in {figures['tuned_dtype']}")
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
