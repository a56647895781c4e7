"""Writes CLIP's vocabulary for pkg/internal/tokens, and texts with their token ids to
test it with.

    python testdata/make/tokens_golden.py vocabulary pkg/internal/tokens/merges.gz
    python testdata/make/tokens_golden.py texts testdata/tokens/golden.jsonl
    python testdata/make/tokens_golden.py texts --count 1500 FILE
    go test ./pkg/internal/tokens -tokens FILE

The texts come from testdata/tokens/sources.json, from ImageNet's names and templates, and
from random draws. The ids are those of OpenAI's SimpleTokenizer (github.com/openai/CLIP,
clip/simple_tokenizer.py). open_clip has copied it with other names for the start and the
end; the original names are put back here. Needs open_clip_torch, ftfy and regex.
"""

import argparse
import gzip
import hashlib
import json
import random
import struct
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import ftfy
import regex
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode, default_bpe
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

SOURCE_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49152 - 256 - 2
# Classes in which pkg/internal/tokens is known to differ, so that a few texts are enough.
KNOWN = {"mojibake", "newer letters", "stacked marks"}
SOURCES = Path(__file__).parent.parent / "tokens" / "sources.json"


def vocabulary() -> bytes:
    """Returns the merges that CLIP uses: first all left token ids, then all right ones,
    as uint16, little endian, by rank, gzipped."""
    packed = Path(default_bpe()).read_bytes()
    if hashlib.sha256(packed).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{default_bpe()} is not the vocabulary that CLIP was published with")
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : MERGES + 1]
    characters = list(bytes_to_unicode().values())
    tokens = characters + [c + "</w>" for c in characters] + [line.replace(" ", "") for line in lines]
    ids = {token: i for i, token in enumerate(tokens)}
    left, right = zip(*((ids[a], ids[b]) for a, b in (line.split() for line in lines)), strict=True)
    return gzip.compress(struct.pack(f"<{2 * MERGES}H", *left, *right), compresslevel=9, mtime=0)


def sources() -> dict[str, list[str]]:
    """Returns the texts that are written by hand, by class."""
    return json.loads(SOURCES.read_text(encoding="utf-8"))


def reference() -> SimpleTokenizer:
    """Returns open_clip's tokenizer with OpenAI's names for the start and the end."""
    tokenizer = SimpleTokenizer()
    marks = {"<|startoftext|>": tokenizer.sot_token_id, "<|endoftext|>": tokenizer.eot_token_id}
    tokenizer.encoder = {token: i for token, i in tokenizer.encoder.items() if i not in marks.values()} | marks
    tokenizer.cache = {mark: mark for mark in marks}
    tokenizer.pat = regex.compile(
        r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""",
        regex.IGNORECASE,
    )
    return tokenizer


def one_of(texts: list[str]) -> Callable[[random.Random], str]:
    """Draws from texts: one as it is or several in a row."""

    def draw(rng: random.Random) -> str:
        if rng.random() < 0.5:
            return rng.choice(texts)
        return rng.choice(["", " ", " ", ", "]).join(rng.choice(texts) for _ in range(rng.randint(2, 4)))

    return draw


def filled(names: list[str]) -> Callable[[random.Random], str]:
    """Draws a name in one of OpenAI's 80 templates."""
    return lambda rng: rng.choice(OPENAI_IMAGENET_TEMPLATES)(rng.choice(names))


def characters(alphabet: str, longest: int) -> Callable[[random.Random], str]:
    """Draws up to longest characters of alphabet."""
    return lambda rng: "".join(rng.choices(alphabet, k=rng.randint(1, longest)))


def assigned(*blocks: range) -> str:
    """Returns the characters of blocks that are in Python's Unicode tables."""
    return "".join(chr(c) for block in blocks for c in block if unicodedata.category(chr(c)) not in ("Cn", "Cs"))


def words_of(texts: list[str]) -> list[str]:
    """Returns all words of texts."""
    return [word for text in texts for word in text.split()]


def classes(sources: dict[str, list[str]]) -> dict[str, Callable[[random.Random], str]]:
    """Returns how to draw a text of each class."""
    ascii_text = assigned(range(0x20, 0x7F))
    latin = assigned(range(0x20, 0x7F), range(0xC0, 0x250), range(0x1E00, 0x1F00))
    cjk = assigned(range(0x3040, 0x3100), range(0x4E00, 0xA000), range(0xAC00, 0xD7A4))
    prose = words_of(sources["english"] + sources["coco names"] + list(IMAGENET_CLASSNAMES))
    everything = one_of([text for name, texts in sources.items() if name not in KNOWN for text in texts])
    return {name: one_of(texts) for name, texts in sources.items()} | {
        "coco names": filled(sources["coco names"]),
        "spellings": filled(sources["spellings"]),
        "imagenet names": filled(list(IMAGENET_CLASSNAMES)),
        "english words": lambda rng: " ".join(rng.choices(prose, k=rng.randint(1, 20))),
        "latin words": lambda rng: " ".join(rng.choices(words_of(sources["latin"]), k=rng.randint(1, 8))),
        "too long": lambda rng: " ".join(rng.choices(prose, k=rng.randint(60, 120))),
        "mixed": lambda rng: everything(rng) + everything(rng),
        "digits and punctuation": characters("0123456789.,:;!?'\"()[]{}<>|-_/\\@#$%^*+=~` ", 30),
        "random ascii": characters(ascii_text, 40),
        "random latin": characters(latin, 20),
        "random cjk": characters(cjk, 16),
        "random unicode": characters(assigned(range(0x110000)), 12),
    }


def texts(sources: dict[str, list[str]], count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yields distinct (class, text): all sources, and as many drawn texts as make about
    count of each class."""
    rng = random.Random(seed)
    seen = set()
    for name, draw in classes(sources).items():
        given = sources.get(name, [])
        drawn = [] if name in KNOWN else [draw(rng) for _ in range(count - len(given))]
        for text in given + drawn:
            if text in seen:
                continue
            seen.add(text)
            repaired = ftfy.fix_text(text) != ftfy.fix_text(text, fix_encoding=False)
            yield ("mojibake" if repaired else name), text


def main() -> None:
    """Writes the vocabulary or the texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["vocabulary", "texts"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=12, help="texts of each class, if it has no more sources")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.what == "vocabulary":
        args.file.write_bytes(vocabulary())
        return
    tokenizer = reference()
    with args.file.open("w", encoding="utf-8", newline="\n") as file:
        for name, text in texts(sources(), args.count, args.seed):
            ids = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
            file.write(json.dumps({"class": name, "text": text, "ids": ids}, ensure_ascii=True, separators=(",", ":")))
            file.write("\n")


if __name__ == "__main__":
    main()
