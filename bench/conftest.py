"""What the comparisons share: the photos, the Go programs, and the figures, which are
printed at the end.

./setup-libtorch.sh python -m pytest -q bench [--photos DIR]
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

import stages

ROOT = Path(__file__).resolve().parent.parent
# First, since OpenAI's package is called clip too.
sys.path[:0] = [str(ROOT / "torchscript"), str(ROOT / "testdata" / "make")]

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", r"ignore:.torch\.jit\.\w+. is (deprecated|not):DeprecationWarning")
    if config.getoption("--device") != "cpu":
        # TF32, which convolutions take by default, has 10 bits: its rounding would hide
        # mistakes. Both sides read this variable.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--photos", type=Path, metavar="DIR", help="compare on all photos of this folder too: 30 minutes")
    parser.addoption("--device", default="cpu", help="where stages run on both sides: cpu (default) or cuda:N")
    parser.addoption("--programs", type=Path, metavar="DIR", help="take parity and clipdet from here: no build")
    parser.addoption(
        "--detector", action="append", help="compare proposals of this one, by torchvision's name, instead of all"
    )
    parser.addoption(
        "--clip", action="append", help="compare embeddings of this one, by open_clip's name, instead of two"
    )
    parser.addoption("--figures", type=Path, metavar="FILE", help="write the figures to FILE too, a JSON list")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Returns whether the run may take long."""
    return request.config.getoption("--photos") is not None


@pytest.fixture(scope="session")
def photos(request: pytest.FixtureRequest) -> list[Path]:
    """Returns the photos, at least four, of different sizes."""
    folders = [ROOT / "testdata" / "photos", request.config.getoption("--photos")]
    return [photo for folder in folders if folder for photo in sorted(folder.glob("*.jpg"))]


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Writes pictures of smooth noise: a small one, a panorama, and one with odd
    sides."""
    folder = tmp_path_factory.mktemp("noise")
    generator = torch.Generator().manual_seed(5)
    made = []
    for height, width in [(97, 131), (120, 600), (431, 333)]:
        coarse = torch.randn(1, 3, 6, 8, generator=generator) * 90 + 128
        smooth = functional.interpolate(coarse, size=(height, width), mode="bicubic")[0]
        pixels = smooth.clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        made.append(folder / f"{width}x{height}.png")
        Image.fromarray(pixels).save(made[-1])
    return made


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Returns the device of the stages that use libtorch, on both sides."""
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the Go programs."""
    if built := request.config.getoption("--programs"):
        return built.absolute()
    folder = tmp_path_factory.mktemp("programs")
    stages.build(folder)
    return folder


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Returns a function that keeps a figure for the end of the run."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("compared with Python")
        terminalreporter.write_line("\n".join(figures))
    if config.getoption("--figures"):
        config.getoption("--figures").write_text(json.dumps(figures, indent=1) + "\n")
