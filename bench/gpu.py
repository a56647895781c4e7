"""The parts of gpu.sh that are easier in Python: the machine, what a GPU does for one
picture, and the report.

gpu.py missing                          prints the packages that python3 lacks
gpu.py libtorch                         prints the folder of PyTorch's libraries
gpu.py machine --json FILE              writes processor, GPU, driver and versions
gpu.py counts --models DIR ... PICTURE  counts kernels, copies and waits of one picture
gpu.py report DIR                       writes gpu.json and gpu.txt from the steps' files
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What the exporter, compare.py and the parity tests import, with pip's names.
PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "PIL": "pillow",
    "pytest": "pytest",
    "open_clip": "open_clip_torch",
    "ftfy": "ftfy",
    "wcwidth": "wcwidth",
    "regex": "regex",
    "tqdm": "tqdm",
    "huggingface_hub": "huggingface_hub",
    "safetensors": "safetensors",
}

# Crops that clipdet encodes at once: at most so many on a GPU (DefaultBatch of pkg/detect),
# and on a CPU always as many as the archive says, or so many (block of pkg/internal/clip).
BATCH, BLOCK = 1024, 16


def missing() -> list[str]:
    return [package for module, package in PACKAGES.items() if not importlib.util.find_spec(module)]


def libtorch() -> Path:
    """Returns PyTorch's lib/, without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("python3 has no torch")
    return Path(spec.origin).parent / "lib"


def machine(device: str) -> dict:
    """Returns the machine and the versions that the figures are of."""
    import torch
    import torchvision

    found = {
        "processor": processor(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "device": device,
        "gpu": None,
    }
    if device != "cpu":
        about = torch.cuda.get_device_properties(device)
        found["gpu"] = {
            "name": about.name,
            "memory_bytes": about.total_memory,
            "capability": f"{about.major}.{about.minor}",
            "driver": driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def processor(cpuinfo: str) -> str:
    """Returns the processor's name in the text of /proc/cpuinfo, and which instructions
    for bfloat16 it has."""
    name = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", cpuinfo)]
    return f"{name[1] if name else 'unknown'} ({', '.join(flags) or 'no bfloat16'})"


def driver() -> str:
    """Returns the version of NVIDIA's driver, from NVIDIA's own tool."""
    if not shutil.which("nvidia-smi"):
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def counts(models: Path, device: str, clipdet: Path, picture: Path, proposals: int) -> dict:
    """Returns what the device does for one picture in float32. With nsys it is counted
    in clipdet itself, else in the two archives that take most of the time, run by
    PyTorch."""
    if device != "cpu" and shutil.which("nsys"):
        return {
            "by": "nsys, of clipdet detect",
            "parts": {"a picture": by_nsys(models, device, clipdet, picture, proposals)},
        }
    return {
        "by": "torch.profiler, of the archives alone, run in Python",
        "parts": by_profiler(models, device, picture, proposals),
    }


def by_profiler(models: Path, device: str, picture: Path, proposals: int) -> dict[str, dict[str, int]]:
    """Returns the counts of the proposals' forward, and of the forwards of its crops, under
    the executor and with the batches that clipdet runs them with."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.profiler import ProfilerActivity, profile

    extra = {"manifest.json": ""}
    network = torch.jit.load(models / "rpn.pt", device)
    image = torch.jit.load(models / "clip-image.pt", device, _extra_files=extra)
    described = json.loads(extra["manifest.json"])
    side = described["input_size"]
    pixels = torch.from_numpy(np.array(Image.open(picture).convert("RGB"))).permute(2, 0, 1)[None].to(device)
    size = torch.tensor([pixels.shape[2:]])  # stays on the host
    crops = torch.rand(proposals, 3, side, side, device=device)
    block = described.get("block", BLOCK)

    def encode() -> None:
        for part in crops.split(BATCH if device != "cpu" else block):
            if device == "cpu" and len(part) < block:
                part = torch.cat([part, part[:1].expand(block - len(part), -1, -1, -1)])
            image(part)

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device != "cpu" else [])
    parts = {}
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        for name, run in {"rpn": lambda: network(pixels, size), "encode": encode}.items():
            for _ in range(3):  # the first calls prepare more than later ones
                run()
            with profile(activities=activities) as profiled:
                run()
            told = ((event.name, event.cpu_parent and event.cpu_parent.name) for event in profiled.events())
            parts[name] = tally(told, device != "cpu")
    return parts


def tally(events: Iterable[tuple[str, str | None]], gpu: bool) -> dict[str, int]:
    """Counts events of torch.profiler, each a name and the name of the event that it
    happens in.

    Kernels are counted by the calls that launch them. An operation inside another one is
    not counted.
    """
    kinds = {"operations": 0} | ({"kernels": 0, "copies": 0, "waits": 0} if gpu else {})
    for name, parent in events:
        if name.startswith("aten::") and not (parent or "").startswith("aten::"):
            kinds["operations"] += 1
        if gpu and (kind := called(name)):
            kinds[kind] += 1
    return kinds


def called(name: str) -> str | None:
    """Returns the count that a function of CUDA's belongs to."""
    if re.match(r"(cuda|cu)LaunchKernel", name):
        return "kernels"
    if re.match(r"(cuda|cu)Memcpy", name):
        return "copies"
    if re.match(r"(cuda|cu)(Stream|Device|Event|Ctx)Synchronize", name):
        return "waits"
    return None


def by_nsys(models: Path, device: str, clipdet: Path, picture: Path, proposals: int) -> dict[str, int]:
    """Returns what the last of four pictures adds to three."""
    with tempfile.TemporaryDirectory() as scratch:
        pictures = [Path(scratch) / f"{i}{picture.suffix}" for i in range(4)]
        for copy in pictures:
            shutil.copy(picture, copy)
        command = [clipdet, "detect", "--models", models, "--device", device, "--dtype", "float32", "-q", "dog"]
        command += ["--proposals", str(proposals), "--batch-pictures", "1", "--text-cache", ""]
        few, all_ = (nsys([*command, *some], Path(scratch) / str(len(some))) for some in (pictures[:3], pictures))
    all_.subtract(few)
    return {kind: all_[kind] for kind in ("kernels", "copies", "waits")}


def nsys(command: list, file: Path) -> Counter[str]:
    """Returns the calls of CUDA's functions while a command runs."""
    subprocess.run(
        ["nsys", "profile", "--trace=cuda", f"--output={file}", *command], check=True, stdout=subprocess.DEVNULL
    )
    stats = ["nsys", "stats", "--report=cuda_api_sum", "--format=csv", "--output=-", f"{file}.nsys-rep"]
    return nsys_calls(subprocess.run(stats, check=True, capture_output=True, text=True).stdout)


def nsys_calls(report: str) -> Counter[str]:
    """Sums up nsys' cuda_api_sum, which is CSV after some other lines."""
    found: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(report[max(report.find("Time (%)"), 0) :])):
        if kind := called(row.get("Name") or ""):
            found[kind] += int(row["Num Calls"])
    if not found:
        raise ValueError("nsys counted no call of CUDA's")
    return found


def gather(out: Path) -> dict:
    """Returns all that the steps left in a folder, with null for what a step didn't
    write."""

    def read(name: str) -> object:
        path = out / name
        return json.loads(path.read_text()) if path.exists() and path.stat().st_size else None

    steps = []
    for line in (out / "steps.tsv").read_text().splitlines():
        name, state, seconds = line.split("\t")
        steps.append({"step": name, "state": state, "seconds": int(seconds)})
    return {
        "machine": read("machine.json"),
        "steps": steps,
        "verify": verified((out / "verify.log").read_text()) if (out / "verify.log").exists() else [],
        "parity": {device: read(f"parity-{device}.json") for device in ("cpu", "cuda")},
        "bench": {dtype: read(f"bench-{dtype}.json") for dtype in ("float32", "bfloat16")},
        "compare": read("compare.json"),
        "counts": read("counts.json"),
    }


def verified(said: str) -> list[dict]:
    """Returns the archives in the output of "clipdet models verify", each with its
    difference and tolerance."""
    pattern = r"(\S+\.pt)\b.*?(rpn|clip-\w+) in (\w+), difference (\S+) \(up to (\S+) is right\)"
    return [
        {"file": Path(m[1]).name, "kind": m[2], "dtype": m[3], "difference": float(m[4]), "tolerance": float(m[5])}
        for m in re.finditer(pattern, said)
    ]


def table(report: dict) -> str:
    """Returns the report as text."""
    lines: list[str] = []
    about = report["machine"]
    if about:
        lines.append(f"processor  {about['processor']}, {about['cores']} cores")
        gpu = about["gpu"]
        lines.append(
            f"GPU        {gpu['name']}, {gpu['memory_bytes'] >> 30} GiB, compute capability {gpu['capability']}, "
            f"driver {gpu['driver']}, CUDA {gpu['cuda']}, cuDNN {gpu['cudnn']}"
            if gpu
            else "GPU        none was used: all figures are of the CPU, of small models, and say nothing of GPUs"
        )
        lines.append(f"versions   torch {about['torch']}, torchvision {about['torchvision']}, Python {about['python']}")
    lines += ["", f"{'step':20} {'seconds':>8}  state"]
    lines += [f"{one['step']:20} {one['seconds']:8d}  {one['state']}" for one in report["steps"]]
    if report["verify"]:
        lines += ["", f"{'known answer':24} {'difference':>10} {'tolerance':>10}"]
        lines += [f"{one['file']:24} {one['difference']:10.2g} {one['tolerance']:10.2g}" for one in report["verify"]]
    for device, figures in report["parity"].items():
        if figures:
            lines += ["", f"stages against Python on {device}", *(f"  {figure}" for figure in figures)]
    lines += bench_table(report["bench"])
    if report["compare"]:
        lines += ["", "beside Python: how many times as fast clipdet is"]
        for name, one in report["compare"]["settings"].items():
            lines.append(f"  {name}; clipdet in {one['dtype']}, tuned PyTorch in {one['tuned_dtype']}")
            for key in ("notebook_over_ours", "notebook_over_ours_float32", "tuned_over_ours"):
                lines.append(f"    {key:28} {one[key]['median']:8.2f}")
            lines.append(f"    {'cosines differ by at most':28} {one['cosine_difference']:8.1g}")
    if report["counts"]:
        lines += ["", f"one picture, by {report['counts']['by']}"]
        for part, kinds in report["counts"]["parts"].items():
            lines.append(f"  {part:10} " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    return "\n".join(lines) + "\n"


def bench_table(benches: dict[str, dict | None]) -> list[str]:
    """Returns the rows of "clipdet bench", with a column for each type of weights."""
    measured = {dtype: bench for dtype, bench in benches.items() if bench}
    if not measured:
        return []
    rows: dict[str, dict[str, float]] = {}
    for dtype, bench in measured.items():
        rows.setdefault("pictures a second", {})[dtype] = bench["throughput"]["images_per_s"]["median"]
        for stage in bench["stages"]:
            rows.setdefault(f"{stage['stage']}, ms a picture", {})[dtype] = stage["median_ms"]
        for batch in bench["batches"]:
            rows.setdefault(f"crops/s, batch {batch['size']}", {})[dtype] = batch["crops_per_s"]["median"]
        for dtype_of, peak in bench["peaks"].items():
            if dtype_of == dtype:
                rows.setdefault("peak, GFLOP/s", {})[dtype] = peak["flops_per_s"] / 1e9
        for part in ("rpn", "encode"):
            if work := bench["operations"][part]:
                rows.setdefault(f"{part}, % of the peak", {})[dtype] = 100 * work["utilisation"]
    lines = ["", f"{'clipdet bench':24}" + "".join(f"{dtype:>12}" for dtype in measured)]
    for name, values in rows.items():
        lines.append(f"{name:24}" + "".join(f"{values[d]:12.1f}" if d in values else f"{'':12}" for d in measured))
    return lines


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("missing")
    commands.add_parser("libtorch")
    for name in ("machine", "counts"):
        one = commands.add_parser(name)
        one.add_argument("--device", default="cpu")
        one.add_argument("--json", type=Path, required=True)
        if name == "counts":
            one.add_argument("--models", type=Path, required=True)
            one.add_argument("--clipdet", type=Path, required=True)
            one.add_argument("--proposals", type=int, default=300)
            one.add_argument("picture", type=Path)
    commands.add_parser("report").add_argument("out", type=Path)
    chosen = parser.parse_args(arguments)
    match chosen.command:
        case "missing":
            print(*missing())
        case "libtorch":
            print(libtorch())
        case "machine":
            chosen.json.write_text(json.dumps(machine(chosen.device), indent=1) + "\n")
        case "counts":
            found = counts(chosen.models, chosen.device, chosen.clipdet, chosen.picture, chosen.proposals)
            chosen.json.write_text(json.dumps(found, indent=1) + "\n")
        case "report":
            report = gather(chosen.out)
            (chosen.out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
            (chosen.out / "gpu.txt").write_text(table(report))


if __name__ == "__main__":
    main(sys.argv[1:])
