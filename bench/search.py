"""Compares a search over an index with faiss-cpu's flat index and usearch's exact search, on
the same vectors and queries, in one run and with the same threads.

    python3 -m venv venv && venv/bin/pip install numpy faiss-cpu usearch
    ./setup-libtorch.sh venv/bin/python bench/search.py --models DIR --index DIR

The index is of random unit vectors, a million by default, and stays in --index. The width
is that of the models, 512 for ViT-B/32. faiss holds the vectors in float32 and usearch in
float16, both in memory; clipdet maps its files in each search, and the time of a search
includes the boxes and the parts of the scores of all hits. Each program does each search
several times, and the best time counts, since other work on the machine only makes it
longer. The memory's bandwidth is that of numpy's sum over the float16 vectors as 64-bit
numbers. Where other programs keep the processors busy, --threads 1 --processor-time counts
the processor's time of each program in place of the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TOP = 100
clock = time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="a folder of exported models")
    parser.add_argument("--index", type=Path, required=True, help="where the index is, or will be")
    parser.add_argument("--regions", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--processor-time", action="store_true", help="with --threads 1, where other work keeps the clock"
    )
    args = parser.parse_args()

    global clock
    if args.processor_time:
        clock = time.process_time
    ours = search(args)
    seconds = ours["processor" if args.processor_time else "seconds"]
    shards = [np.load(path, mmap_mode="r") for path in sorted(args.index.glob("shard-*.npy"))]
    stored = np.concatenate(shards)
    queries = np.array(ours["queries"], dtype=np.float32)

    exact = exact_scores(shards, queries)
    wrong = different(exact, np.array(ours["places"]))
    print(f"{len(stored):,} regions of width {stored.shape[1]}, {args.threads} threads, top {TOP}")
    print(f"places that differ from numpy's in float32, ties aside: {wrong} of {len(queries) * TOP}")

    words = stored.view(np.uint64)
    bandwidth = best(lambda: words.sum(), args.rounds)
    print(f"reading the stored bytes once: {1000 * bandwidth:.0f} ms")

    times = {"clipdet": {n: min(seconds[f"cosine {n}"]) for n in (1, 16, 80)}}
    times["clipdet, fused score"] = {n: min(seconds[f"fused {n}"]) for n in (1, 16, 80)}
    times["usearch"] = usearch(stored, queries, args)
    times["faiss"] = faiss(stored, queries, args)
    print(f"{'milliseconds for queries at once':34}" + "".join(f"{n:>8}" for n in (1, 16, 80)))
    for name, of in times.items():
        print(f"{name:34}" + "".join(f"{1000 * of[n]:8.0f}" for n in (1, 16, 80)))
    others = [times["usearch"], times["faiss"]]
    fastest = min(o[80] for o in others)
    print(
        f"80 queries: {fastest / times['clipdet'][80]:.1f} times as fast as the faster of the two, by the fused score"
    )
    print(f"{fastest / times['clipdet, fused score'][80]:.1f} times")
    print(f"1 query: {times['clipdet'][1] / min(o[1] for o in others):.2f} times as long as the faster of the two, and")
    print(f"{times['clipdet'][1] / bandwidth:.1f} times as long as reading the stored bytes once")
    print(f"memory of the searches: {ours['grown_kb'] // 1024} MB more than before, mapped shards included")


def search(args: argparse.Namespace) -> dict:
    """Runs BenchmarkSearch of pkg/index, which leaves answer.json."""
    args.index.mkdir(parents=True, exist_ok=True)
    program = args.index.resolve() / "index.test"
    subprocess.run(["go", "test", "-c", "-o", program, "./pkg/index"], cwd=ROOT, check=True)
    command = [
        program,
        "-test.run=^$",
        "-test.bench=^BenchmarkSearch$",
        f"-test.benchtime={args.rounds}x",
        "-test.timeout=1h",
    ]
    command += [
        f"-search-models={args.models.resolve()}",
        f"-search-dir={args.index.resolve()}",
        f"-search-regions={args.regions}",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    said = subprocess.run(command, cwd=ROOT / "pkg" / "index", env=environment, capture_output=True, text=True)
    program.unlink()
    if said.returncode:
        sys.exit(said.stdout + said.stderr)
    return json.loads((args.index / "answer.json").read_text())


def exact_scores(shards: list[np.ndarray], queries: np.ndarray) -> np.ndarray:
    return np.concatenate([queries @ shard.astype(np.float32).T for shard in shards], axis=1)


def different(exact: np.ndarray, places: np.ndarray) -> int:
    """Counts the places whose score is below that of numpy's top by more than rounding."""
    best_scores = -np.sort(-np.partition(exact, -TOP, axis=1)[:, -TOP:], axis=1)
    found = np.take_along_axis(exact, places, axis=1)
    twice = sum(len(row) - len(set(row)) for row in places.tolist())
    return int((np.abs(found - best_scores) > 1e-6).sum()) + twice


def best(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


def usearch(stored: np.ndarray, queries: np.ndarray, args: argparse.Namespace) -> dict[int, float]:
    from usearch.index import MetricKind
    from usearch.index import search as exact_search

    asked = queries.astype(np.float16)

    def of(n: int) -> float:
        return best(
            lambda: exact_search(stored, asked[:n], TOP, MetricKind.IP, exact=True, threads=args.threads), args.rounds
        )

    return {n: of(n) for n in (1, 16, 80)}


def faiss(stored: np.ndarray, queries: np.ndarray, args: argparse.Namespace) -> dict[int, float]:
    import faiss

    faiss.omp_set_num_threads(args.threads)
    index = faiss.IndexFlatIP(stored.shape[1])
    for low in range(0, len(stored), 1 << 16):
        index.add(stored[low : low + (1 << 16)].astype(np.float32))
    return {n: best(lambda n=n: index.search(queries[:n], TOP), args.rounds) for n in (1, 16, 80)}


if __name__ == "__main__":
    main()
