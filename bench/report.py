"""From raw records to medians, targets and RESULTS.md; standard library only."""

import statistics
from dataclasses import dataclass
from typing import Any

from measure import DISTURBED, GROUPS, TEXT_MODES, Record

PEERS = ("pytorch", "keras")
TITLES = {
    "dcgan-64": "DCGAN, 64×64, training step, batch 64",
    "vae-64": "VAE, 64×64, training step, batch 64",
    "generate": "DCGAN generator, 64×64, making pictures, batch 64",
    "cold-start": "A process from nothing to one picture as PNG on disk",
    "memory": "DCGAN, 64×64, batch 64, training: peak resident memory",
    "conv": "Convolutions beside plain matrix products, f32",
    "gpt-small": "GPT 4 × 128, context 64, batch 12, training step",
    "gpt": "GPT 6 × 384, context 256, batch 16, training step",
    "lstm": "LSTM 2 × 256, context 128, batch 32, training step",
    "write": "GPT 6 × 384 writing 256 tokens, one stream with a cache",
}


@dataclass(frozen=True)
class Row:
    """One line of a table: an entry's values over the rounds."""

    group: str
    who: str
    mode: str
    precision: str
    values: dict[str, dict[str, list[float]]]
    errors: list[str]

    def all(self, field: str, name: str | None = None) -> list[float]:
        return self.values.get(name or self.group, {}).get(field, [])

    def median(self, field: str, name: str | None = None) -> float | None:
        found = self.all(field, name)
        return statistics.median(found) if found else None


def rows(records: list[Record]) -> list[Row]:
    made: dict[tuple[str, ...], Row] = {}
    for record in sorted(records, key=lambda r: r["round"]):
        key = (record["group"], record["who"], record["mode"], record["precision"])
        row = made.setdefault(key, Row(*key, values={}, errors=[]))
        if "error" in record:
            row.errors.append(record["error"])
            continue
        for name, value in record["values"].items():
            for field, number in value.items():
                if isinstance(number, int | float) and not isinstance(number, bool):
                    row.values.setdefault(name, {}).setdefault(field, []).append(float(number))
    return list(made.values())


@dataclass(frozen=True)
class Target:
    """`value` is what was measured, at least or (`most`) at most `goal`; None where a side is missing."""

    what: str
    goal: float
    value: float | None
    against: str
    most: bool = False

    def reached(self) -> str:
        if self.value is None:
            return "not measured"
        return "yes" if (self.value <= self.goal if self.most else self.value >= self.goal) else "no"


def targets(table: list[Row]) -> list[Target]:
    def pick(group: str, field: str, best: Any, who: tuple[str, ...], **only: str) -> tuple[float | None, str]:
        found = [
            (value, f"{row.who} {row.mode}")
            for row in table
            if row.group == group and row.who in who and all(getattr(row, k) == v for k, v in only.items())
            if (value := row.median(field)) is not None
        ]
        return best(found) if found else (None, "–")

    def speed(what: str, goal: float, group: str, who: tuple[str, ...] = PEERS, **only: str) -> Target:
        mine, _ = pick(group, per_second(group), max, ("maliang",), precision=only.get("precision", "f32"))
        theirs, against = pick(group, per_second(group), max, who, **only)
        return Target(what, goal, mine / theirs if mine and theirs else None, against)

    def fewer(what: str, goal: float, group: str, field: str, turned: bool) -> Target:
        mine, _ = pick(group, field, min, ("maliang",))
        theirs, against = pick(group, field, min, ("pytorch",))
        value = None if not mine or not theirs else theirs / mine if turned else mine / theirs
        return Target(what, goal, value, against, most=not turned)

    made = []
    groups = {row.group for row in table}
    if "dcgan-64" in groups:
        name = "DCGAN-64 training"
        made += [speed(f"{name}, f32: × the fastest f32 peer", g, "dcgan-64", precision="f32") for g in (1.3, 1.5)]
        made.append(speed(f"{name}, bf16: × the fastest bf16 peer", 1.2, "dcgan-64", precision="bf16"))
    if "vae-64" in groups:
        name = "VAE-64 training, f32"
        made.append(speed(f"{name}: × PyTorch untuned", 2.0, "vae-64", ("pytorch",), mode="default"))
        made.append(speed(f"{name}: × the fastest f32 peer", 1.3, "vae-64", precision="f32"))
    if "generate" in groups:
        what = "Generation, f32: × PyTorch channels-last"
        made.append(speed(what, 1.2, "generate", ("pytorch",), mode="channels-last"))
    if "cold-start" in groups:
        made.append(fewer("Cold start: times faster than PyTorch", 20.0, "cold-start", "seconds", turned=True))
    if "memory" in groups:
        what = "Training memory: × PyTorch's, the leaner f32 mode"
        made.append(fewer(what, 0.5, "memory", "peak_memory_bytes", turned=False))
    if "conv" in groups:
        made.append(Target("All convolutions of a step: share of the gemm peak", 0.75, conv_share(table), "gemm, f32"))
    for what, goal, group, only in TEXT_TARGETS:
        if group in groups:
            made.append(speed(what, goal, group, ("pytorch",), **only))
    return made


TEXT_TARGETS: list[tuple[str, float, str, dict[str, str]]] = [
    ("GPT 4 × 128 training, f32: × PyTorch untuned", 2.0, "gpt-small", {"mode": "default"}),
    ("GPT 4 × 128 training, f32: × torch.compile", 1.5, "gpt-small", {"mode": "compiled"}),
    ("GPT 6 × 384 training, f32: × PyTorch untuned", 2.0, "gpt", {"mode": "default"}),
    ("GPT 6 × 384 training, bf16: × PyTorch bf16", 1.2, "gpt", {"precision": "bf16"}),
    ("LSTM 2 × 256 training, f32: × PyTorch untuned", 2.0, "lstm", {"mode": "default"}),
    ("Writing, f32: × PyTorch with a cache", 3.0, "write", {"mode": "default"}),
]


def per_second(group: str) -> str:
    return "tokens_per_second" if group in TEXT_MODES else "images_per_second"


def conv_share(table: list[Row]) -> float | None:
    """The sum over the layers ÷ the fastest plain matrix product of the same rounds."""
    conv = next((v for r in table if r.mode == "conv" if (v := r.median("gigaflops", "conv/sum"))), None)
    peaks = [v for r in table if r.mode == "gemm" for name in r.values if (v := r.median("gigaflops", name))]
    return conv / max(peaks) if conv and peaks else None


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: list[float], scale: float = 1.0) -> str:
    if not values:
        return "–"
    low, middle, high = (v * scale for v in (min(values), statistics.median(values), max(values)))
    return f"{number(middle)} ({number(low)}–{number(high)})"


def line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def group_table(group: str, table: list[Row]) -> list[str]:
    mine = {row.precision: row for row in table if row.who == "maliang"}

    def ratio(row: Row, field: str, more_is_better: bool) -> str:
        ours = mine.get(row.precision)
        a, b = (ours.median(field) if ours else None), row.median(field)
        if row.who == "maliang" or not a or not b:
            return ""
        return f"{a / b if more_is_better else b / a:.2f}"

    if group == "conv":
        lines = [line("what", "GFLOP/s (min–max)", "share of the gemm peak"), "|---|---|---|"]
        peaks = [v for r in table if r.mode == "gemm" for name in r.values if (v := r.median("gigaflops", name))]
        for row in sorted(table, key=lambda r: r.mode, reverse=True):
            for name in row.values:
                value = row.median("gigaflops", name)
                share = f"{value / max(peaks):.0%}" if value and peaks else "–"
                lines.append(line(name, spread(row.all("gigaflops", name)), share))
        return lines
    if group == "cold-start":
        lines = [line("who", "mode", "seconds (min–max)", "resident MB", "times faster"), "|---|---|---|---|---|"]
        for row in table:
            memory = spread(row.all("peak_memory_bytes"), 1e-6)
            lines.append(line(row.who, row.mode, spread(row.all("seconds")), memory, ratio(row, "seconds", False)))
        return lines
    if group == "memory":
        lines = [line("who", "mode", "MB (min–max)", "ours ÷ this"), "|---|---|---|---|"]
        for row in table:
            share = ratio(row, "peak_memory_bytes", True)
            lines.append(line(row.who, row.mode, spread(row.all("peak_memory_bytes"), 1e-6), share))
        return lines
    what = "tokens/s (min–max)" if group in TEXT_MODES else "pictures/s (min–max)"
    head = line("who", "mode", what, "ms/step", "peak MB", "ours ÷ this")
    lines = [head, "|---|---|---|---|---|---|"]
    for row in sorted(table, key=lambda r: (r.precision == "bf16", r.who != "maliang")):
        rate, memory = spread(row.all(per_second(group))), spread(row.all("peak_memory_bytes"), 1e-6)
        share = ratio(row, per_second(group), True)
        lines.append(line(row.who, row.mode, rate, number(row.median("ms_per_step")), memory, share))
    return lines


METHOD = """\
Every number comes from a process of its own. A round runs every entry once, ours and theirs in turn, every second
round backwards; a value is the median over the rounds, a ratio the quotient of two medians, and the span in brackets
is the slowest and fastest round. A training step is timed singly, after warm-up and, where a mode compiles, after
compiling; the process reports its median step. Both sides get the same number of threads and an environment without
variables that tune or hamper a library (OMP_*, MKL_*, OPENBLAS_*, RAYON_*, LD_PRELOAD and their like). The ratio
compares f32 with our f32 and bf16 with our bf16. Cold start is timed from outside, from starting the process to its
end. bench/README.md says what is compared and to whom it is unfair."""


def disturbed(results: dict[str, Any]) -> str:
    shares = [r["share_of_others"] for r in results["records"] if "share_of_others" in r]
    if not shares:
        return "–"
    many = sum(share > DISTURBED for share in shares)
    text = f"{statistics.median(shares):.0%} of the machine in the median measurement, {max(shares):.0%} in the worst"
    return text + (f"; **{many} of {len(shares)} were disturbed**" if many else "")


def markdown(results: dict[str, Any]) -> str:
    table = rows(results["records"])
    machine = results["machine"]
    lines = ["# Maliang beside its peers", "", f"{results['date']}, commit {results['commit']}: `{results['command']}`"]
    lines += ["", line("machine", ""), "|---|---|", *[line(k, str(v)) for k, v in machine.items()]]
    lines += [line(k, v) for k, v in sorted(results["versions"].items())]
    lines += [line("rounds done", str(results["rounds_done"])), line("taken by other programs", disturbed(results))]
    lines += ["", "## Targets", "", line("what", "goal", "measured", "against", "reached"), "|---|---|---|---|---|"]
    for t in targets(table):
        goal = f"{'≤' if t.most else '≥'} {t.goal:g}"
        lines.append(line(t.what, goal, "–" if t.value is None else f"{t.value:.2f}", t.against, t.reached()))
    for group in GROUPS:
        part = [row for row in table if row.group == group]
        if part:
            lines += ["", f"## {TITLES[group]}", "", *group_table(group, part)]
            lines += [f"\nFailed: {r.who} {r.mode}, {len(r.errors)}×: {r.errors[0]}" for r in part if r.errors]
    return "\n".join([*lines, "", "## Method", "", METHOD, ""])
