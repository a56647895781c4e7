"""Words for things that can be seen, beyond the pictograms' names: WordNet's concrete nouns."""

from __future__ import annotations

from pathlib import Path

import packages

# WordNet's lexicographer files (lexnames(5WN)) of animals, artefacts, bodies, food, natural objects, people, plants.
CONCRETE = {"05", "06", "08", "13", "17", "18", "20"}


def nouns(folder: Path | None = None) -> list[str]:
    """Nouns of at most two words, without proper names, in alphabetical order."""
    root = packages.fetch("words", folder or packages.cache_home() / "pictograms")
    found = set()
    for line in (root / "usr/share/wordnet/data.noun").read_text().splitlines():
        if line.startswith(" "):
            continue  # the licence
        # offset, lexicographer file, kind, count of words in hexadecimal, then word and sense number in turn
        _, file, _, count, *rest = line.split(" ")
        if file in CONCRETE:
            found |= {w for w in rest[: 2 * int(count, 16) : 2] if w.islower() and w.count("_") < 2}
    return sorted(w.replace("_", " ") for w in found if w.replace("_", "").replace("-", "").isalpha())
