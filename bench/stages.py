"""The Go side for Python: builds pkg/internal/parity and runs single stages."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent


def build(folder: Path) -> None:
    """Builds the programs parity and clipdet into a folder."""
    command = ["./setup-libtorch.sh", "go", "build", "-o", f"{folder}/", "./pkg/internal/parity", "./cmd/clipdet"]
    subprocess.run(command, cwd=ROOT, check=True)


def run(program: Path, arguments: list[str], request: str = "") -> bytes:
    """Returns a program's output. The program gets as many threads as torch has here,
    since their number changes the last digits."""
    environment = os.environ | {"GOMAXPROCS": str(torch.get_num_threads())}
    done = subprocess.run([program, *arguments], input=request.encode(), capture_output=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{program.name} {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout


def ask(programs: Path, stage: str, request: object, device: str = "cpu") -> list[np.ndarray]:
    """Returns the arrays that a stage answers. pkg/internal/parity/stages.go describes
    each stage's request."""
    answer = np.load(io.BytesIO(run(programs / "parity", [stage, device], json.dumps(request))))
    return [answer[str(i)] for i in range(len(answer.files))]


def templates(programs: Path) -> list[str]:
    """Returns clipdet's default templates."""
    return json.loads(run(programs / "parity", ["templates"]))


def fast_bfloat16() -> bool:
    """Returns whether the processor has instructions for bfloat16 (avx512_bf16). Without
    them it takes minutes."""
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
