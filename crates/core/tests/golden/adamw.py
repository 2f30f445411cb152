"""Golden values of one optimiser step after another: AdamW, clipping of the gradients' norm, moving average.

Written from the papers in Python's float64 (Loshchilov & Hutter 2019, Algorithm 2; Pascanu 2013, Algorithm 1), with the same
meaning as `torch.nn.utils.clip_grad_norm_` followed by `torch.optim.AdamW`; where torch is installed that is checked.
    python3 adamw.py > adamw.json
"""

import json
import math
import sys

SETTINGS = {"lr": 0.05, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-8, "weight_decay": 0.1, "clip_norm": 2.0, "ema_beta": 0.75}
START = {"a": [0.5, -1.25, 2.0], "b": [0.1, -0.2, 0.3, -0.4, 0.75]}
STEPS = 6


def gradient(name, step):
    # Norms below and above the limit: every second step is small.
    size = 0.3 if step % 2 else 3.0
    phase = 1.0 if name == "a" else 2.0
    return [size * math.sin(phase + 1.7 * i + 0.9 * step) for i in range(len(START[name]))]


def run(clip_norm, weight_decay):
    s = SETTINGS
    p = {k: list(v) for k, v in START.items()}
    average = {k: list(v) for k, v in START.items()}
    m = {k: [0.0] * len(v) for k, v in START.items()}
    v = {k: [0.0] * len(w) for k, w in START.items()}
    out = []
    for step in range(1, STEPS + 1):
        g = {k: gradient(k, step) for k in START}
        norm = math.sqrt(sum(x * x for values in g.values() for x in values))
        c = min(1.0, clip_norm / norm) if clip_norm > 0 else 1.0
        for k in START:
            for i, x in enumerate(g[k]):
                x *= c
                m[k][i] = s["beta_1"] * m[k][i] + (1 - s["beta_1"]) * x
                v[k][i] = s["beta_2"] * v[k][i] + (1 - s["beta_2"]) * x * x
                m_hat = m[k][i] / (1 - s["beta_1"] ** step)
                v_hat = v[k][i] / (1 - s["beta_2"] ** step)
                p[k][i] -= s["lr"] * (m_hat / (math.sqrt(v_hat) + s["epsilon"]) + weight_decay * p[k][i])
                average[k][i] = s["ema_beta"] * average[k][i] + (1 - s["ema_beta"]) * p[k][i]
        out.append({"value": {k: list(w) for k, w in p.items()}, "average": {k: list(w) for k, w in average.items()}})
    return out


def torch_run(torch, clip_norm, weight_decay):
    p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in START.items()}
    betas = (SETTINGS["beta_1"], SETTINGS["beta_2"])
    adamw = torch.optim.AdamW(p.values(), lr=SETTINGS["lr"], betas=betas, eps=SETTINGS["epsilon"], weight_decay=weight_decay)
    for step in range(1, STEPS + 1):
        for k in START:
            p[k].grad = torch.tensor(gradient(k, step), dtype=torch.float64)
        if clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(p.values(), clip_norm)
        adamw.step()
    return {k: v.tolist() for k, v in p.items()}


runs = [
    {"clip_norm": clip, "weight_decay": decay, "steps": run(clip, decay)}
    for clip, decay in ((0.0, 0.0), (0.0, SETTINGS["weight_decay"]), (SETTINGS["clip_norm"], SETTINGS["weight_decay"]))
]
try:
    import torch
except ImportError:
    print("torch is not installed: the values are not compared with it", file=sys.stderr)
else:
    for r in runs:
        found = torch_run(torch, r["clip_norm"], r["weight_decay"])
        for k, expected in r["steps"][-1]["value"].items():
            # torch adds 1e-6 to the norm that it divides by.
            assert all(abs(a - b) < 1e-5 for a, b in zip(found[k], expected)), (r["clip_norm"], k, found[k], expected)
    print(f"as torch {torch.__version__}", file=sys.stderr)

gradients = [{k: gradient(k, step) for k in START} for step in range(1, STEPS + 1)]
print(json.dumps({"settings": SETTINGS, "start": START, "gradients": gradients, "runs": runs}, indent=1))
