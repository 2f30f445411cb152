"""What the programs of the peers share: arguments, timing, the one JSON line, a PNG."""

import argparse
import json
import platform
import resource
import statistics
import struct
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

BATCHES = 4  # different batches of synthetic pictures, made once
Z_DCGAN, Z_VAE = 100, 64
BASE = 64  # channels at half the picture's size
SIDE = 64
FREE_BITS = 0.02  # nats a latent dimension, Maliang's default


def arguments(works: list[str], modes: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", choices=works, required=True)
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="measure for at least this long after warm-up")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    return parser


def measure(step: Callable[[], list[float]], seconds: float, warm_up: int) -> dict[str, Any]:
    """Times single steps. `step` returns its losses as numbers, which also waits until it is done."""
    begin = time.perf_counter()
    for _ in range(warm_up):
        step()
    warm = time.perf_counter() - begin
    times: list[float] = []
    losses: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        begin = time.perf_counter()
        losses = step()
        times.append(time.perf_counter() - begin)
    return {"step_seconds": statistics.median(times), "steps": len(times), "warm_up_seconds": warm, "losses": losses}


def peak_memory() -> int:
    """Bytes; Linux counts ru_maxrss in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report(
    who: str, mode: str, work: str, batch: int, measured: dict[str, Any], versions: dict[str, str], unit: str = "images"
) -> None:
    """The one line on stdout; a step works on `batch` of `unit`."""
    line: dict[str, Any] = {"who": who, "mode": mode, "work": work, "batch": batch}
    if "step_seconds" in measured:
        seconds = measured["step_seconds"]
        line |= {f"{unit}_per_second": batch / seconds, "ms_per_step": seconds * 1e3}
        line |= {key: measured[key] for key in ("steps", "warm_up_seconds", "losses")}
    line |= {"peak_memory_bytes": peak_memory(), "versions": versions | {"python": platform.python_version()}}
    sys.stdout.write(json.dumps(line) + "\n")


def png(width: int, height: int, rgb: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + rgb[y * width * 3 : (y + 1) * width * 3] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)
