"""The parts of gpu.py that read other programs' output, and its table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import gpu

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 2.80GHz\nflags\t\t: fpu avx512f {}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "want"),
    [
        (CPUINFO.format("avx512_bf16 amx_bf16"), "Some CPU @ 2.80GHz (avx512_bf16, amx_bf16)"),
        (CPUINFO.format("avx512_bf16"), "Some CPU @ 2.80GHz (avx512_bf16)"),
        (CPUINFO.format(""), "Some CPU @ 2.80GHz (no bfloat16)"),
        ("", "unknown (no bfloat16)"),
    ],
)
def test_processor(cpuinfo: str, want: str) -> None:
    assert gpu.processor(cpuinfo) == want


EVENTS = [
    ("aten::linear", "forward"),
    ("aten::addmm", "aten::linear"),  # called by linear
    ("cudaLaunchKernel", "aten::addmm"),
    ("cudaLaunchKernelExC", "aten::addmm"),
    ("cuLaunchKernelEx", None),
    ("cudaMemcpyAsync", "aten::copy_"),
    ("cudaMemsetAsync", None),
    ("cudaStreamSynchronize", "aten::item"),
    ("cudaEventSynchronize", None),
    ("cudaDeviceGetAttribute", None),
]


def test_tally() -> None:
    assert gpu.tally(EVENTS, gpu=True) == {"operations": 1, "kernels": 3, "copies": 1, "waits": 2}
    assert gpu.tally(EVENTS, gpu=False) == {"operations": 1}


def test_crops_are_batched_as_clipdet_does() -> None:
    options = (gpu.ROOT / "pkg" / "detect" / "options.go").read_text()
    assert re.search(rf"DefaultBatch += {gpu.BATCH}$", options, re.M)
    clip = (gpu.ROOT / "pkg" / "internal" / "clip" / "clip.go").read_text()
    assert re.search(rf"\tblock += {gpu.BLOCK}$", clip, re.M)


def test_counts_on_a_cpu() -> None:
    def count(proposals: int) -> dict[str, dict[str, int]]:
        models, photo = gpu.ROOT / "testdata" / "models" / "tiny", gpu.ROOT / "testdata" / "photos" / "coffee.jpg"
        return gpu.by_profiler(models, "cpu", photo, proposals)

    few, full, more = (count(n) for n in (1, gpu.BLOCK, gpu.BLOCK + 1))
    assert few["rpn"] == full["rpn"]
    assert few["rpn"]["operations"] > 10
    of_few, of_full, of_more = (one["encode"]["operations"] for one in (few, full, more))
    assert of_full < of_few < 2 * of_full, "a block that isn't full is filled up"
    assert of_more == of_full + of_few - 1, "the split is one operation"


# In the form that NVIDIA documents for "nsys stats --report=cuda_api_sum --format=csv".
NSYS = """\
Processing [few.sqlite] with [cuda_api_sum.py]...

Time (%),Total Time (ns),Num Calls,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name
60.0,600,12,50.0,50.0,40,60,1.0,cudaLaunchKernel
20.0,200,3,66.7,66.0,60,70,1.0,cudaMemcpyAsync
15.0,150,2,75.0,75.0,70,80,1.0,cudaStreamSynchronize
5.0,50,1,50.0,50.0,50,50,0.0,cudaMalloc
"""


def test_nsys_calls() -> None:
    assert gpu.nsys_calls(NSYS) == {"kernels": 12, "copies": 3, "waits": 2}
    with pytest.raises(ValueError, match="no call"):
        gpu.nsys_calls("SKIPPED: few.sqlite does not contain CUDA trace data.\n")


VERIFY = """\
ok       clip-image.pt           clip-image in float32, difference 3.5e-08 (up to 0.0001 is right)
ok       rpn.bfloat16.pt         rpn in bfloat16, difference 0 (up to 0.2 is right); exported by torch 2.1.2
problem  clip-text.pt            the known answer is another one
"""


def test_verified() -> None:
    assert gpu.verified(VERIFY) == [
        {"file": "clip-image.pt", "kind": "clip-image", "dtype": "float32", "difference": 3.5e-08, "tolerance": 1e-4},
        {"file": "rpn.bfloat16.pt", "kind": "rpn", "dtype": "bfloat16", "difference": 0, "tolerance": 0.2},
    ]


def bench(rate: float, dtype: str) -> dict:
    """Returns as much of the JSON of "clipdet bench" as the table needs."""
    return {
        "throughput": {"images_per_s": {"median": rate}},
        "stages": [{"stage": "rpn", "median_ms": 12.5}],
        "batches": [{"size": 8, "crops_per_s": {"median": 10 * rate}}],
        "peaks": {dtype: {"flops_per_s": 1.5e12}},
        "operations": {"rpn": {"utilisation": 0.25}, "encode": None},
    }


def test_report(tmp_path: Path) -> None:
    about = {"processor": "a CPU", "cores": 2, "python": "3.12.1", "torch": "2.11.0", "torchvision": "0.26.0"}
    chip = {"name": "a GPU", "memory_bytes": 16 << 30, "capability": "9.0", "driver": "1.2", "cuda": "13.0", "cudnn": 9}
    (tmp_path / "steps.tsv").write_text("machine\tpassed\t3\ncompare\tended after 150 s\t150\n")
    (tmp_path / "verify.log").write_text(VERIFY)
    (tmp_path / "machine.json").write_text(json.dumps({**about, "device": "cuda:0", "gpu": chip}))
    (tmp_path / "bench-float32.json").write_text(json.dumps(bench(2, "float32")))
    (tmp_path / "bench-bfloat16.json").write_text(json.dumps(bench(4, "bfloat16")))
    (tmp_path / "parity-cuda.json").write_text(json.dumps(["crops: 244"]))
    (tmp_path / "compare.json").write_text("")  # as a step that was ended may leave it
    (tmp_path / "counts.json").write_text(
        json.dumps({"by": "nsys", "parts": {"a picture": {"kernels": 7, "waits": 2}}})
    )
    gpu.main(["report", str(tmp_path)])
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["steps"][1] == {"step": "compare", "state": "ended after 150 s", "seconds": 150}
    assert report["compare"] is None
    assert report["parity"] == {"cpu": None, "cuda": ["crops: 244"]}
    text = (tmp_path / "gpu.txt").read_text()
    for line in (
        "GPU        a GPU, 16 GiB, compute capability 9.0, driver 1.2, CUDA 13.0, cuDNN 9",
        "compare                   150  ended after 150 s",
        "clip-image.pt               3.5e-08     0.0001",
        "stages against Python on cuda\n  crops: 244",
        "clipdet bench                float32    bfloat16",
        "pictures a second                2.0         4.0",
        "crops/s, batch 8                20.0        40.0",
        "peak, GFLOP/s                 1500.0      1500.0",
        "rpn, % of the peak              25.0        25.0",
        "  a picture  7 kernels, 2 waits",
    ):
        assert f"{line}\n" in text, f"no line {line!r} in\n{text}"
    assert "encode, %" not in text


def test_report_of_little(tmp_path: Path) -> None:
    """There is a report even if nearly all steps failed."""
    (tmp_path / "steps.tsv").write_text("machine\tfailed with exit code 1\t3\n")
    gpu.main(["report", str(tmp_path)])
    assert (tmp_path / "gpu.txt").read_text() == "\nstep                  seconds  state\n" + (
        "machine                     3  failed with exit code 1\n"
    )
