"""Token ids against OpenAI's SimpleTokenizer."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

import stages
import tokens_golden

CONTEXT = 77
ASCII = range(0x80)
LATIN = {*range(0x250), *range(0x1E00, 0x1F00)}  # Basic Latin to Latin Extended-B, and Latin Extended Additional


def test_tokens(programs: Path, report: Callable[[str], None]) -> None:
    sources = tokens_golden.sources()
    texts = list(tokens_golden.texts(sources, count=1500, seed=1))
    names = [*sources["coco names"], *sources["spellings"], *IMAGENET_CLASSNAMES]
    filled = {template.replace("{}", name) for template in stages.templates(programs) for name in names}
    texts += [("every name", text) for text in sorted(filled)]

    reference = tokens_golden.reference()
    want = np.zeros((len(texts), CONTEXT), np.int64)
    for row, (_, text) in zip(want, texts, strict=True):
        ids = reference.encode(text)[: CONTEXT - 2]
        row[: len(ids) + 2] = [reference.sot_token_id, *ids, reference.eot_token_id]
    (got,) = stages.ask(programs, "tokens", [text for _, text in texts])
    same = (got == want).all(1)

    differing = Counter(name for (name, _), equal in zip(texts, same, strict=True) if not equal)
    report(f"tokens: {same.sum():,} of {len(texts):,} texts equal; others: {dict(differing)}")
    for script, characters in [("ASCII", ASCII), ("Latin", LATIN)]:
        chosen = [all(ord(c) in characters for c in text) and name != "mojibake" for name, text in texts]
        report(f"tokens: of {script}, {same[chosen].sum():,} of {sum(chosen):,} texts equal")
        assert same[chosen].all()
    assert len(texts) >= 20_000
    assert set(differing) <= tokens_golden.KNOWN, (
        "a class in which the documentation of pkg/internal/tokens names no difference"
    )
    assert same.mean() >= 0.998
