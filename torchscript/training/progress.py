"""Long runs: how far they are, and checkpoints that survive an interruption."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import checkpoint


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


def save(path: Path, model: torch.nn.Module, notes: dict) -> None:
    """Writes a checkpoint of a model's weights and sizes; notes say how they came about."""
    write(path, {"config": asdict(model.config), "state": model.state_dict(), "notes": notes})


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


class Run:
    """A training that an interruption does not end: AdamW, warm-up, cosine, clipped gradients, averaged weights.

    The steps left are iterated over; each is given its loss. The same settings find the checkpoint of before.
    """

    def __init__(
        self, name: str, model: torch.nn.Module, resume: Path, steps: int, peak: float, settings: dict
    ) -> None:
        self._model, self._resume, self._steps, self._peak, self._settings = model, resume, steps, peak, settings
        weights = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
        self._mean = Average(model, 0.998)
        self.first = 0
        if resume.exists():
            state = checkpoint.load(resume)
            if state["settings"] != settings:
                raise ValueError(f"{resume} belongs to a run with {state['settings']}: remove it or use those settings")
            model.load_state_dict(state["model"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._mean.state, self.first = state["mean"], state["step"]
        self._said = Progress(name, self.first, steps)
        self._recent = 0.0

    def __iter__(self) -> Iterator[int]:
        """The steps that are left; after the last the model has the averaged weights."""
        self._model.train()
        for step in range(self.first, self._steps):
            torch.manual_seed(step)
            yield step
        self._model.load_state_dict(self._mean.state)
        self._model.eval()

    def step(self, step: int, loss: torch.Tensor, text: str = "") -> None:
        """Learns from the loss of a step."""
        rate = self._peak * min(1, (step + 1) / 150) * (0.5 + 0.5 * float(np.cos(np.pi * step / self._steps))) + 1e-6
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimiser.step()
        self._mean.update(self._model, step)
        value = float(loss.detach())
        self._recent = 0.95 * self._recent + 0.05 * value if self._recent else value
        if self._said.step(step + 1, f"loss {self._recent:.3f}{text}"):
            state = {"model": self._model.state_dict(), "optimiser": self._optimiser.state_dict()}
            state |= {"mean": self._mean.state, "step": step + 1, "settings": self._settings}
            write(self._resume, state)
