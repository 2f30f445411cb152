"""What is measured, in which order, each in a process of its own; standard library only."""

import contextlib
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.common import png

# Groups of text, and PyTorch's modes in each.
TEXT_MODES = {
    "gpt-small": ["default", "compiled"],
    "gpt": ["default", "compiled", "bf16"],
    "lstm": ["default"],
    "write": ["default"],
}
GROUPS = ["dcgan-64", "vae-64", "generate", "cold-start", "memory", "conv", *TEXT_MODES]
TORCH_MODES = ["default", "channels-last", "compiled", "bf16", "bf16-compiled"]
KERAS_MODES = ["tf.function", "xla"]
STARTS = 3  # processes timed for one value of the cold start
DISTURBED = 0.05  # share of the machine that others may take before a measurement is suspect
LIMIT = 900.0  # seconds after which a measurement counts as failed; compiling takes minutes on small machines

# Whoever set these may have slowed a peer down, or us. Threads are given on the command line instead.
DROPPED = ("OPENBLAS_", "NVPL_", "MKL_", "OMP_", "GOMP_", "KMP_", "DNNL_", "ONEDNN_", "TF_", "TORCH", "ATEN_", "RAYON_",
           "MALIANG_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "PYTHON")  # fmt: skip

Record = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One measurement. `group` is the table that it belongs to."""

    group: str
    who: str
    mode: str
    precision: str
    command: tuple[str, ...]
    starts: bool = False
    """The process itself is timed, from outside."""


@dataclass(frozen=True)
class Tools:
    """Programs and files that the entries need."""

    maliang: Path
    python: Path
    peers: Path
    scratch: Path
    seconds: float
    threads: int
    who: frozenset[str]


def environment(threads: int) -> dict[str, str]:
    """The same for both sides."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    return kept | {"RAYON_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "2"}


def entries(groups: list[str], tools: Tools) -> list[Entry]:
    """Ours beside theirs, group by group."""

    def ours(group: str, precision: str = "f32", only: str | None = None) -> Entry:
        command = [str(tools.maliang), "bench", "--json", "--only", only or group]
        command += ["--precision", precision, "--seconds", f"{tools.seconds:g}"]
        return Entry(group, "maliang", only or precision, precision, tuple(command))

    def peer(group: str, who: str, mode: str) -> Entry:
        script = "pytorch_text.py" if group in TEXT_MODES else {"pytorch": "pytorch.py", "keras": "keras_tf.py"}[who]
        command = [str(tools.python), str(tools.peers / script), "--work", group.removesuffix("-64"), "--mode", mode]
        command += ["--seconds", f"{tools.seconds:g}", "--threads", str(tools.threads)]
        return Entry(group, who, mode, "bf16" if mode.startswith("bf16") else "f32", tuple(command))

    def all_modes(group: str) -> list[Entry]:
        torch = [peer(group, "pytorch", mode) for mode in TORCH_MODES]
        entries = [ours(group), *torch, *[peer(group, "keras", mode) for mode in KERAS_MODES]]
        # Maliang makes pictures in f32 whatever it was trained in.
        return entries if group == "generate" else [*entries, ours(group, "bf16")]

    def text(group: str) -> list[Entry]:
        modes = TEXT_MODES[group]
        entries = [ours(group), *[peer(group, "pytorch", mode) for mode in modes]]
        return [*entries, ours(group, "bf16")] if "bf16" in modes else entries

    def cold_start() -> list[Entry]:
        model, out = tools.scratch / "model.safetensors", tools.scratch / "pictures"
        generate = (str(tools.maliang), "generate", str(model), "-n", "1", "--output", str(out))
        weights = ("--weights", str(tools.scratch / "weights.pt"), "--output", str(tools.scratch / "picture.png"))
        torch = peer("cold-start", "pytorch", "default")
        return [
            Entry("cold-start", "maliang", "f32", "f32", generate, starts=True),
            Entry("cold-start", "pytorch", "default", "f32", torch.command + weights, starts=True),
        ]

    made = {
        "dcgan-64": lambda: all_modes("dcgan-64"),
        "vae-64": lambda: all_modes("vae-64"),
        "generate": lambda: all_modes("generate"),
        "cold-start": cold_start,
        "memory": lambda: [
            ours("memory"),
            *[peer("memory", "pytorch", mode) for mode in ("default", "channels-last")],
            peer("memory", "keras", "tf.function"),
        ],
        "conv": lambda: [ours("conv", only="gemm"), ours("conv", only="conv")],
    } | {group: lambda group=group: text(group) for group in TEXT_MODES}
    return [entry for group in GROUPS if group in groups for entry in made[group]() if entry.who in tools.who]


def busy() -> tuple[float, float]:
    """Seconds that all cores together have worked, and seconds that a hypervisor gave to others (Linux)."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def process(command: tuple[str, ...], threads: int) -> Record:
    """Runs one process to its end: seconds, peak resident memory, stdout, the share of the machine that other
    programs took meanwhile; or the reason why it failed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin, before = time.perf_counter(), busy()
        try:
            # A session of its own, so that what a compiler left behind can be ended with it.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(threads),
                start_new_session=True,
            )
        except OSError as error:
            return {"error": str(error)}
        watch = threading.Timer(LIMIT, os.killpg, (child.pid, signal.SIGKILL))
        watch.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            watch.cancel()
        seconds = time.perf_counter() - begin
        after, own = busy(), usage.ru_utime + usage.ru_stime
        cores = os.cpu_count() or 1
        # The kernel counts in ticks of 10 ms, one of which may be wrong on every core.
        others = max(after[0] - before[0] + after[1] - before[1] - own - 0.01 * cores, 0.0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        record: Record = {"seconds": seconds, "peak_memory_outside_bytes": usage.ru_maxrss * 1024}
        record["share_of_others"] = others / (seconds * cores)
        record["stdout"] = out.read().decode(errors="replace")
        if child.returncode != 0:
            lines = err.read().decode(errors="replace").strip().splitlines()
            # clap and cargo begin with the reason, Python ends with it.
            said = "".join(f": {line}" for line in [x for x in lines if x.startswith("error")][:1] or lines[-1:])
            limit = f" after {LIMIT:.0f} s" if seconds >= LIMIT else ""
            record["error"] = f"exit code {child.returncode}{limit}{said}"
        return record


def parse(stdout: str) -> Record | None:
    """The JSON object in `stdout`: all of it, or its last line."""
    for text in (stdout, *reversed(stdout.splitlines())):
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(text)
            if isinstance(value, dict):
                return value
    return None


def run(entry: Entry, tools: Tools) -> Record:
    """One measurement as it goes into results.json; `values` holds numbers by the name of what was measured."""
    head: Record = {"group": entry.group, "who": entry.who, "mode": entry.mode, "precision": entry.precision}
    if entry.starts:
        starts = [process(entry.command, tools.threads) for _ in range(STARTS)]
        failed = next((s["error"] for s in starts if "error" in s), None)
        if failed:
            return head | {"error": failed}
        times = [s["seconds"] for s in starts]
        memory = max(s["peak_memory_outside_bytes"] for s in starts)
        value = {"seconds": statistics.median(times), "starts": times, "peak_memory_bytes": memory}
        others = max(s["share_of_others"] for s in starts)
        return head | {"share_of_others": others, "values": {entry.group: value}}
    done = process(entry.command, tools.threads)
    stdout = done.pop("stdout", "")
    if "error" in done:
        return head | done
    said = parse(stdout)
    if said is None:
        return head | done | {"error": "printed no JSON"}
    results = said.pop("results") if "results" in said else [said]
    values = {}
    for result in results:
        name = result.get("name", entry.group)
        if name == "gemm" and "threads" in result:
            name = f"gemm/{result['threads']}"
        if result.get("precision", entry.precision) == entry.precision:
            values[name] = result
    record = head | done | {"values": values}
    if results != [said]:
        record["said"] = said
    if not values:
        record["error"] = f"no result in {entry.precision}"
    numbers = [number for value in values.values() for number in (*value.values(), *value.get("losses", []))]
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        record["error"] = "a number is not finite"
    return record


def rounds(count: int, chosen: list[Entry], tools: Tools) -> Iterator[list[Record]]:
    """Every entry once a round, every second round backwards, so that drift of the machine falls on both sides."""
    for index in range(count):
        order = chosen if index % 2 == 0 else chosen[::-1]
        records = []
        for number, entry in enumerate(order, 1):
            begin = time.perf_counter()
            record = run(entry, tools) | {"round": index}
            seconds = time.perf_counter() - begin
            note = f"  {record['error']}" if "error" in record else ""
            if record.get("share_of_others", 0.0) > DISTURBED:
                note += f"  others took {record['share_of_others']:.0%} of the machine"
            place = f"round {index + 1}/{count} {number}/{len(order)}  {entry.group} {entry.who} {entry.mode}"
            print(f"{place}  {seconds:.0f} s{note}", file=sys.stderr, flush=True)
            records.append(record)
        yield records


def prepare_cold_start(tools: Tools) -> None:
    """A generator of the same network on disk for each side; also lets both fill the page cache once."""
    if "pytorch" in tools.who:
        entry = next(e for e in entries(["cold-start"], tools) if e.who == "pytorch")
        record = process((*entry.command, "--write-weights"), tools.threads)
        if "error" in record:
            print(f"cold-start pytorch: {record['error']}", file=sys.stderr)
    if "maliang" in tools.who:
        error = train_tiny(tools)
        if error:
            print(f"cold-start maliang: {error}", file=sys.stderr)


def train_tiny(tools: Tools) -> str | None:
    """Two steps of Maliang's DCGAN at 64 pixels, base 64, on noise. Gives the error, if any."""
    source, out = tools.scratch / "noise", tools.scratch / "run"
    source.mkdir()
    numbers = random.Random(0)
    for index in range(128):
        (source / f"{index}.png").write_bytes(png(64, 64, numbers.randbytes(64 * 64 * 3)))
    command = [str(tools.maliang), "train", str(source), "--out", str(out), "--model", "dcgan", "--size", "64"]
    for setting in ("train.steps=2", "train.batch=64", "model.stack.base=64"):
        command += ["--set", setting]
    # The pictures must not end up in the user's cache; the variable is set here because environment() drops it.
    record = process(("env", f"MALIANG_CACHE={tools.scratch / 'cache'}", *command), tools.threads)
    models = sorted(out.glob("**/model.safetensors"))
    if "error" in record or not models:
        return str(record.get("error", "training left no model"))
    shutil.copyfile(models[-1], tools.scratch / "model.safetensors")
    return None
