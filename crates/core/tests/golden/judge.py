"""Golden values of crates/core/src/judge, from the papers' formulas in float64.

    python3 judge.py > judge.json        (needs numpy)
"""

import json
import math
import numpy as np


def kid(x, y):  # Bińkowski 2018, Equation 4 and §4
    d = x.shape[1]
    kxx, kyy, kxy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return (kxx.sum() - np.trace(kxx)) / (n * (n - 1)) + (kyy.sum() - np.trace(kyy)) / (m * (m - 1)) - 2 * kxy.mean()


def frechet(x, y):  # Heusel 2017, Equation 6; the square root by an eigen-decomposition
    c1, c2 = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ c2 @ root)
    means = np.sum((x.mean(0) - y.mean(0)) ** 2)
    return means + np.trace(c1) + np.trace(c2) - 2 * np.sum(np.sqrt(np.maximum(inner, 0)))


def distances(x, y):
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def prdc(real, fake, k):  # Kynkäänniemi 2019, Equations 1-2; Naeem 2020, Equations 3-4
    radius = lambda s: np.sort(distances(s, s), axis=1)[:, k]  # column 0 is the vector itself
    cross = distances(real, fake)
    in_real, in_fake = cross <= radius(real)[:, None], cross <= radius(fake)[None]
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": in_real.sum(0).mean() / k,
        "coverage": in_real.any(1).mean(),
    }


def auth_pct(train, fake):  # Alaa 2022, §3.2: authentic if farther from the nearest than that is from its own nearest
    cross, own = distances(fake, train), distances(train, train)
    np.fill_diagonal(own, np.inf)
    nearest = cross.argmin(1)
    return 100 * np.mean(cross.min(1) > own.min(1)[nearest])


def c_t(train, heldout, fake):  # Meehan 2020, §3, one cell: the standardised Mann-Whitney U of the nearest distances
    q, p = distances(fake, train).min(1), distances(heldout, train).min(1)
    m, n = len(q), len(p)
    u = sum((qi > pi) + 0.5 * (qi == pi) for qi in q for pi in p)
    return (u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)


def flat(array):
    return [float(f"{v:.9g}") for v in np.ravel(array)]


# Rounded to what float32 holds, so that both sides see the same numbers.
rng = np.random.default_rng(20260101)
cases = []
for n, m, d in ((40, 30, 7), (30, 45, 12), (12, 10, 20), (10, 10, 3)):
    scale = np.linspace(0.5, 1.5, d)
    mixing = rng.normal(size=(d, d)) / math.sqrt(d)
    sample = lambda count, mean: ((rng.normal(size=(count, d)) * scale) @ mixing + mean).astype(np.float32)
    real, fake, heldout = sample(n, 0.5), sample(m, 0.7), sample(m, 0.5)
    x, y, h = (a.astype(np.float64) for a in (real, fake, heldout))
    cases.append(
        {
            "d": d,
            "real": flat(real),
            "fake": flat(fake),
            "heldout": flat(heldout),
            "kid": float(kid(x, y)),
            "frechet": float(frechet(x, y)),
            "prdc": {name: float(value) for name, value in prdc(x, y, 5).items()},
            "auth_pct": float(auth_pct(x, y)),
            "c_t": float(c_t(x, h, y)),
        }
    )
print(json.dumps(cases, indent=1))
