"""Long runs: how far they are, and checkpoints that survive an interruption."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch


class Progress:
    """Says every few seconds where a run is and how long it still takes, and when a checkpoint is due."""

    def __init__(self, name: str, first: int, steps: int, every: float = 15, checkpoint: float = 120) -> None:
        self.name, self.first, self.steps = name, first, steps
        self._every, self._checkpoint = every, checkpoint
        self._start = self._said = self._saved = time.monotonic()

    def step(self, done: int, text: str) -> bool:
        """Notes that done steps are done; true when a checkpoint is due."""
        now = time.monotonic()
        if now - self._said >= self._every or done == self.steps:
            self._said = now
            pace = (now - self._start) / max(1, done - self.first)
            left = pace * (self.steps - done)
            print(
                f"{self.name}: step {done}/{self.steps}, {text}, {pace:.2f} s a step, {left / 60:.0f} min left",
                file=sys.stderr,
                flush=True,
            )
        if now - self._saved >= self._checkpoint or done == self.steps:
            self._saved = now
            return True
        return False


def write(path: Path, state: dict) -> None:
    """Saves beside and renames: an interruption leaves the older checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


class Average:
    """An exponential moving average of a module's weights and statistics, for evaluation."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        """Takes in the model after a step; early on the average is short."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)
