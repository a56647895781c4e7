"""Random models for both sides: torchvision's and open_clip's, and their exports."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import archive
import clip
import detectors
import rpn
import towers
from reference import open_clip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Compares the models that the command line names, or the usual ones."""
    usual = {"detector": list(detectors.NORM_EPS), "clip": ["RN50-quickgelu", "ViT-B-32"]}
    for kind, names in usual.items():
        if f"{kind}_name" in metafunc.fixturenames:
            metafunc.parametrize(f"{kind}_name", metafunc.config.getoption(f"--{kind}") or names)


@pytest.fixture(scope="session")
def exports() -> Iterator[Path]:
    """Makes a folder for exported models, 2 GB of them, and removes it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def detector(exports: Path, full: bool, device: str) -> Callable[[str], tuple[nn.Module, Path]]:
    """Returns a function that makes one of torchvision's detectors, with random weights,
    and exports its proposal network in float32 and in torchvision's memory format. If the
    run may not take long, the ResNets see pictures at half their size."""

    @functools.cache
    def export(name: str) -> tuple[nn.Module, Path]:
        half = not full and "resnet" in name
        model, weights = detectors.from_seed(name, 1, **({"min_size": 400, "max_size": 667} if half else {}))
        path = rpn.export(exports / name, copy.deepcopy(model), name, weights, channels_last=False)
        return model.to(device), path

    return export


@torch.no_grad()
def vary(model: nn.Module, examples: Tensor) -> None:
    """Changes an open_clip model so that its embeddings of examples, and of photos,
    differ. Its convolutions get outputs of standard deviation 1. A ResNet's embeddings
    lose most of what they have in common."""
    detectors.spread(model.visual, examples)
    if hasattr(model.visual, "attnpool"):
        model.visual.attnpool.c_proj.bias -= 0.65 * model.visual(examples).mean(0)


@torch.no_grad()
def turn_texts(model: nn.Module, examples: Tensor) -> None:
    """Turns texts into the four directions in which the embeddings of examples differ
    most, so that their cosines with pictures differ too. Half precision would leave
    little of such texts."""
    embeddings = model.encode_image(examples, normalize=True)
    directions = torch.linalg.svd(embeddings - embeddings.mean(0), full_matrices=False)[2][:4]
    model.text_projection.copy_(model.text_projection @ directions.T @ directions)


@pytest.fixture(scope="session")
def clip_model(exports: Path, device: str) -> Callable[..., tuple[nn.Module, Path]]:
    """Returns a function that makes an open_clip model by its name, with random weights,
    and exports its towers in the given types. turned makes texts differ in what pictures
    differ in.

    Unchanged, random networks embed all crops nearly alike.
    """

    @functools.cache
    def export(name: str, *dtypes: str, turned: bool = False) -> tuple[nn.Module, Path]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = open_clip.create_model(name, pretrained_text=False).eval().requires_grad_(False)
            detectors.randomise_norms(model.visual)
            size, noise = model.visual.image_size, torch.randn(16, 3, 7, 7) + torch.randn(16, 3, 1, 1)
        examples = 1.4 * functional.interpolate(noise, size=size, mode="bicubic")
        vary(model, examples)
        if turned:
            turn_texts(model, examples)
        folder = exports / (f"{name}-turned" if turned else name)
        weights = archive.Weights("random", archive.digest(model.state_dict()), "none: random", "torch.manual_seed")
        for dtype in dtypes:
            clip.export(folder, towers.pair(name, model), weights, dtype)
        return model.to(device), folder

    return export
