"""OpenAI's CLIP by OpenAI's own code, with random weights in the forms of its published
checkpoints.

The package with that code is called clip, as a file here is, so it is imported as
openai_clip.
"""

import importlib.metadata
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType

import open_clip
import torch
from torch import nn

import detectors
from published import OPENAI


def import_openai() -> ModuleType:
    folder = Path(str(importlib.metadata.distribution("clip-anytorch").locate_file("clip")))
    spec = importlib.util.spec_from_file_location(
        "openai_clip", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["openai_clip"] = module
    spec.loader.exec_module(module)
    return module


openai_clip = import_openai()


def build(name: str, seed: int = 1) -> nn.Module:
    """Returns one of OpenAI's models by its name, initialised as OpenAI does. A ResNet is
    changed so that its embeddings of crops differ."""
    config = open_clip.get_model_config(OPENAI[name])
    image, text = config["vision_cfg"], config["text_cfg"]
    layers = image["layers"] if isinstance(image["layers"], int) else tuple(image["layers"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = openai_clip.model.CLIP(
            config["embed_dim"],
            image["image_size"],
            layers,
            image["width"],
            image.get("patch_size"),
            text["context_length"],
            text["vocab_size"],
            text["width"],
            text["heads"],
            text["layers"],
        ).eval()
        if not isinstance(layers, int):
            noise = torch.randn(4, 3, image["image_size"], image["image_size"])
            detectors.randomise_norms(model.visual)
            detectors.spread(model.visual, noise)
            # Most of an embedding is the same for all pictures. Without most of that they
            # differ.
            with torch.no_grad():
                model.visual.attnpool.c_proj.bias -= 0.8 * model.encode_image(noise).mean(0)
    return model.requires_grad_(False)


def write_state_dict(model: nn.Module, path: Path) -> None:
    """Writes a model's state dict with torch.save, in half precision as OpenAI has it."""
    openai_clip.model.convert_weights(model)
    torch.save(model.state_dict(), path)


def write_archive(model: nn.Module, path: Path) -> None:
    """Writes what OpenAI publishes: the traced model, with its sizes as further buffers
    and its weights in half precision."""
    image_size = model.visual.input_resolution
    for key, value in {"input_resolution": image_size, "context_length": 77, "vocab_size": 49408}.items():
        vars(model).pop(key, None)
        model.register_buffer(key, torch.tensor(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        example = torch.zeros(1, 3, image_size, image_size), torch.zeros(1, 77, dtype=torch.int64)
        traced = torch.jit.trace(model, example, check_trace=False)
    openai_clip.model.convert_weights(model)
    half = model.state_dict()
    for name, value in traced.state_dict(keep_vars=True).items():
        value.data = half[name]
    torch.jit.save(traced, path)
