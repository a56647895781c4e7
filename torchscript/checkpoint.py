"""Reads weights from a file without running anything in it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

# Where training scripts keep the state dict beside their optimiser's: torchvision's and open_clip's.
NESTED = ("model", "state_dict")


def read(path: Path) -> dict[str, Tensor]:
    """A state dict as torch.save wrote it, alone or in a training checkpoint. Raises ValueError when it is none."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "TypedStorage is deprecated")  # torch's own use of it
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: not a file of torch.save that holds weights only: {reason}") from error
    for key in NESTED:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: not a state dict; write one with torch.save(model.state_dict(), ...)")
    return {name.removeprefix("module."): value for name, value in state.items()}  # the prefix of distributed training
