"""Measures how much faster clipdet is than Python, as ratios in one run, side by side on
the same weights and pictures.

    ./setup-libtorch.sh python bench/compare.py [--json FILE] [--images DIR] [--rounds N]
        [--quick] [--device DEVICE] [--dtype auto|int8]

Three programs do the same work in turn, in several rounds, each round on other pictures.
reference.py ("notebook") takes float32, one crop and one phrasing at a time. tuned.py is
what a good engineer writes in PyTorch, in the faster of float32 and bfloat16, with
queries embedded before. clipdet runs from files to ranked boxes in the type that its auto
takes, with models loaded and queries embedded before. With --dtype int8 clipdet runs in
int8, and tuned.py may take torch's dynamic int8. clipdet also draws three pictures of
each; the others draw none. The weights of ViT-B/32, RN50 and fasterrcnn_resnet50_fpn are
random: they detect nothing, and take the same time. The built-in models have their own
weights, and run on their scenes.

On a GPU all three run there. A picture then takes so little time that the tuned one and
clipdet take each picture ten times, after a warm-up. clipdet then draws nothing, since
that would cost more than all else.

A ratio above 1 says how many times as fast clipdet is. non_module_share is the part of
clipdet's wall time that is not in the models' forwards; crop_share is the part that goes
into cutting crops.
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

sys.path.insert(0, str(stages.ROOT / "torchscript"))  # first, since OpenAI's package is called clip too

import clip
import detectors
import rpn
import towers
from archive import Weights, digest, read_manifest

QUERIES = ["person", "dog", "car", "chair", "bottle", "tree"]
SEED = 1


@dataclass(frozen=True)
class Setting:
    """A CLIP with a torchvision detector, or the built-in models, and how many boxes are
    encoded."""

    clip: str | None
    proposals: int
    detector: str = "fasterrcnn_resnet50_fpn"

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

TYPES = {"auto": (torch.float32, torch.bfloat16), "int8": (torch.float32, torch.bfloat16, torch.qint8)}

REPEATS = 10  # of a picture on a GPU

Queries = dict[str, Tensor]


@dataclass(frozen=True)
class Programs:
    """The folder of the Go programs, the device for everything, and clipdet's --dtype."""

    folder: Path
    device: str
    dtype: str = "auto"

    @property
    def gpu(self) -> bool:
        return torch.device(self.device).type != "cpu"


@dataclass(frozen=True)
class Contest:
    """The two ways in Python, each from a picture to its detections, and clipdet's flags
    for the same models."""

    embed: Callable[[list[str]], Tensor]
    notebook: Callable[[Image.Image, Queries, int], list[reference.Detection]]
    tuned: Callable[[Image.Image, Queries, int], list[reference.Detection]]
    tuned_dtype: torch.dtype
    flags: list[str]


@dataclass
class Seconds:
    """Seconds a picture of each way, one value for each round, and clipdet's shares."""

    notebook: list[float] = field(default_factory=list)
    tuned: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    dtype: str = ""  # the type that clipdet took
    ours_float32: list[float] = field(default_factory=list)
    non_module: list[float] = field(default_factory=list)
    crop: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, dict[str, float]]:
        """Returns ratios and shares, each with its median, least and most."""
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


def from_seed(setting: Setting) -> reference.Models:
    """Returns random models in memory."""
    detector, _ = detectors.from_seed(setting.detector, SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = towers.Model(setting.clip).build()
    size, look = model.visual.image_size, model.visual.preprocess_cfg
    preprocess = reference.open_clip.image_transform(
        size, False, look["mean"], look["std"], resize_mode=look["resize_mode"]
    )
    return reference.Models(detector, model, preprocess)


def export(setting: Setting, folder: Path, models: reference.Models, gpu: bool, dtype: str) -> None:
    """Exports the models into a folder in the types that clipdet may take here, and CLIP
    in int8 if that is the dtype."""
    weights = Weights(f"random, seed {SEED}", "0" * 64, "none: random", "torch.manual_seed")
    for each in ["float32", "bfloat16"] if gpu or stages.fast_bfloat16() else ["float32"]:
        rpn.export(folder, copy.deepcopy(models.detector), setting.detector, weights, each)
        clip.export(folder, towers.pair(setting.clip, copy.deepcopy(models.clip)), weights, each)
    if dtype == "int8":
        clip.export(folder, towers.pair(setting.clip, copy.deepcopy(models.clip)), weights, dtype)


def described(folder: Path, proposals: int) -> tuple[Setting, reference.Models]:
    """Returns the setting of a folder's archives, and the models that they were made
    from.

    Raises ValueError if the weights differ from from_seed's.
    """
    manifests = {name: read_manifest(folder / f"{name}.pt") for name in ("clip-image", "rpn")}
    names = {name: manifest["architecture"] for name, manifest in manifests.items()}
    setting = Setting(names["clip-image"], proposals, names["rpn"])
    models = from_seed(setting)
    for name, module in {"clip-image": models.clip, "rpn": models.detector}.items():
        if manifests[name]["weights"]["sha256"] != digest(module.state_dict()):
            raise ValueError(f"{folder / name}.pt: other weights than export.py all --random {SEED} makes here")
    return setting, models


def random_weights(folder: Path, models: reference.Models, device: str, dtype: str) -> Contest:
    """Returns the contest of random models on the device; folder has the same models
    exported. dtype is clipdet's: for int8 the tuned way may be in 8 bits too."""
    model, plain = models.clip, models.to(device)
    fast = tuned.fastest([tuned.Tuned(plain, each) for each in TYPES[dtype]])
    return Contest(
        lambda phrasings: reference.embed_query(model, phrasings),
        lambda picture, queries, count: reference.detect(plain, picture, queries, count),
        fast.detect,
        fast.type,
        ["--models", str(folder)],
    )


def builtin(device: str) -> Contest:
    """Returns the contest of the built-in models. They are given as a folder, since the
    program may be built without them."""
    plain = archives.Archives(BUILTIN, device=device)
    return Contest(plain.embed_query, plain.notebook, plain.tuned, plain.dtype, ["--models", str(BUILTIN)])


def timed(detect: Callable[[Path], object], pictures: list[Path]) -> float:
    """Returns seconds a picture."""
    start = time.perf_counter()
    for picture in pictures:
        detect(picture)
    return (time.perf_counter() - start) / len(pictures)


def bench(
    programs: Programs, scratch: Path, contest: Contest, setting: Setting, pictures: list[Path], dtype: str
) -> dict:
    """Returns what "clipdet bench" reports of one round."""
    report = scratch / "bench.json"
    asked = [argument for query in QUERIES for argument in ("-q", query)]
    command = [programs.folder / "clipdet", "bench", *contest.flags, "--device", programs.device, "--dtype", dtype]
    command += [*asked, "--stages=false", "--rounds", "1", "--batch-sizes", "", "--proposals", str(setting.proposals)]
    command += ["--json", report]
    if programs.gpu:
        command += [
            "--warm-up",
            str(max(3, len(pictures))),
            "--images",
            str(REPEATS * len(pictures)),
            "--pictures=false",
        ]
    else:
        command += ["--warm-up", "1"]
    done = subprocess.run([*command, *pictures], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"clipdet bench: {done.stderr.strip()}")
    return json.loads(report.read_text())


def agree(
    programs: Programs, contest: Contest, setting: Setting, picture: Path, found: list[reference.Detection]
) -> float:
    """Returns the largest difference of a query's best cosine from the notebook's, in
    float32."""
    asked = [argument for query in QUERIES for argument in ("-q", query)]
    command = ["detect", *contest.flags, "--device", programs.device, "--dtype", "float32", *asked]
    command += ["--rank", "cosine", "--nms", "1"]
    command += ["--proposals", str(setting.proposals), "--top-k", "1", "--text-cache", "", str(picture)]
    best = {
        one["query"]: one["cosine"]
        for one in json.loads(stages.run(programs.folder / "clipdet", command))["detections"]
    }
    wanted: dict[str, float] = {}
    for one in found:
        wanted.setdefault(one.query, one.cosine)
    return max(abs(best[name] - cosine) for name, cosine in wanted.items())


def compare(
    setting: Setting, programs: Programs, scratch: Path, contest: Contest, rounds: list[list[Path]]
) -> tuple[Seconds, float]:
    """Runs all rounds of a setting. Returns the times, and the largest difference of
    cosines over all rounds."""
    templates = stages.templates(programs.folder)
    texts = dict(reference.phrasings(query, templates) for query in QUERIES)
    queries: Queries = {name: contest.embed(phrasings) for name, phrasings in texts.items()}
    count, seconds, off = setting.proposals, Seconds(), 0.0
    contest.tuned(reference.read(rounds[0][0]), queries, count)  # to warm up
    for i, pictures in enumerate(rounds):
        found: list[reference.Detection] = []

        def notebook(path: Path, found: list[reference.Detection] = found) -> None:
            found[:] = contest.notebook(reference.read(path), queries, count)

        def fast(path: Path) -> None:
            contest.tuned(reference.read(path), queries, count)

        start = time.perf_counter()
        for phrasings in texts.values():
            contest.embed(phrasings).cpu()  # a download waits for the device
        embedding = (time.perf_counter() - start) / len(pictures)
        seconds.notebook.append(embedding + timed(notebook, pictures))
        if programs.gpu:
            timed(fast, pictures)
        seconds.tuned.append(timed(fast, pictures * (REPEATS if programs.gpu else 1)))
        ours = bench(programs, scratch, contest, setting, pictures, programs.dtype)
        seconds.ours.append(1 / ours["throughput"]["images_per_s"]["median"])
        seconds.dtype = next(one["dtype"] for one in ours["models"] if one["kind"] == "clip-image")
        exact = ours  # if clipdet takes float32 anyway
        if seconds.dtype != "float32":
            exact = bench(programs, scratch, contest, setting, pictures, "float32")
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
    """Returns rounds of three pictures, or, if quick, one round of one."""
    return [pictures[:1]] if quick and pictures else [pictures[i : i + 3] for i in range(0, len(pictures), 3)]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios to FILE too")
    parser.add_argument("--images", type=Path, metavar="DIR", default=stages.ROOT / "testdata" / "photos")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="at most N rounds of three pictures (default: all of them)"
    )
    parser.add_argument("--quick", action="store_true", help="one picture and the first setting alone: some minutes")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda:N")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="take parity and clipdet from here: no build")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help=f"archives of export.py all --random {SEED}: they alone are measured"
    )
    parser.add_argument(
        "--proposals", type=int, default=300, metavar="N", help="boxes of a picture, with --models (%(default)s)"
    )
    parser.add_argument(
        "--dtype",
        choices=TYPES,
        default="auto",
        help="clipdet's type (%(default)s); int8 is of image transformers, and the tuned way may then take its own too",
    )
    chosen = parser.parse_args(arguments)
    photos = grouped(sorted(chosen.images.glob("*.jpg")), chosen.quick)[: chosen.rounds]
    if not photos:
        parser.error(f"--images {chosen.images}: there is no *.jpg")
    if torch.device(chosen.device).type != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {chosen.device}: this PyTorch sees no GPU")
    settings = [one for one in SETTINGS if chosen.dtype == "auto" or (one.clip or "").startswith("ViT")]
    settings = settings[: 1 if chosen.quick else None]
    if chosen.models:
        try:
            setting, models = described(chosen.models, chosen.proposals)
        except (OSError, RuntimeError, ValueError) as error:
            parser.error(f"--models: {error}")
        settings = [setting]
    if chosen.dtype == "int8" and chosen.device != "cpu":
        parser.error("--dtype int8 is for CPUs")
    answer: dict = {"device": chosen.device, "threads": torch.get_num_threads(), "settings": {}}
    answer["pictures"] = sum(map(len, photos))
    with tempfile.TemporaryDirectory() as scratch:
        programs = Programs(chosen.programs or Path(scratch) / "programs", chosen.device, chosen.dtype)
        if not chosen.programs:
            stages.build(programs.folder)
        for setting in settings:
            rounds, folder = photos, chosen.models or Path(scratch) / (setting.clip or "built-in").replace("/", "-")
            if setting.clip:
                if not chosen.models:
                    models = from_seed(setting)
                    export(setting, folder, models, programs.gpu, chosen.dtype)
                contest = random_weights(folder, models, chosen.device, chosen.dtype)
            else:
                contest, rounds = (
                    builtin(chosen.device),
                    grouped(sorted(SCENES.glob("*.jpg")), chosen.quick)[: chosen.rounds],
                )
            few = rounds if setting is settings[0] else rounds[:3]
            seconds, off = compare(setting, programs, Path(scratch), contest, few)
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
