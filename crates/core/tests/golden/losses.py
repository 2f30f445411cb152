"""Golden values of crates/core/src/families/{gan,vae}/losses.rs, from the papers' formulas in float64.

Gradients are central differences of the same formulas, so they owe nothing to anyone's automatic differentiation.
    python3 losses.py > losses.json        (needs numpy)
"""

import json
import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def d_loss(kind, real, fake):
    if kind in ("non-saturating", "minimax"):  # Goodfellow 2014: maximise ln D(x) + ln(1 - D(G(z)))
        return -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake)))
    if kind == "least-squares":  # Mao 2017, Equation 9: a = 0, b = 1
        return np.mean((real - 1) ** 2) / 2 + np.mean(fake**2) / 2
    if kind == "hinge":  # Lim & Ye 2017
        return np.mean(np.maximum(0, 1 - real)) + np.mean(np.maximum(0, 1 + fake))
    if kind == "relativistic-paired":  # Jolicoeur-Martineau 2019, Equation 3; Huang 2024, Equation 2
        return -np.mean(np.log(sigmoid(real - fake)))
    return np.mean(fake) - np.mean(real)  # Arjovsky 2017


def g_loss(kind, fake, real):
    if kind == "non-saturating":
        return -np.mean(np.log(sigmoid(fake)))
    if kind == "minimax":
        return np.mean(np.log(1 - sigmoid(fake)))
    if kind == "least-squares":
        return np.mean((fake - 1) ** 2) / 2
    if kind == "relativistic-paired":
        return -np.mean(np.log(sigmoid(fake - real)))
    return -np.mean(fake)


def reconstruction(kind, x, y, log_scale):
    batch, numbers = x.shape[0], x[0].size
    if kind == "mse":  # Rybkin 2021, Equation 7; 1e-6 as in the program
        variance = np.mean((x - y) ** 2) + 1e-6
        squares = np.sum((x - y) ** 2) + 1e-6 * x.size
        return (squares / (2 * variance) + x.size / 2 * np.log(2 * np.pi * variance)) / batch
    if kind == "bce":
        t, p = (x + 1) / 2, (y + 1) / 2
        return -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p)) / batch
    # Kingma 2016, Appendix C: the probability of a grey level is the mass of its interval, open at both ends.
    total = 0.0
    for index in np.ndindex(x.shape):
        scale = np.exp(log_scale[index[3]])
        upper = 1.0 if x[index] >= 1 else sigmoid((x[index] + 1 / 255 - y[index]) / scale)
        lower = 0.0 if x[index] <= -1 else sigmoid((x[index] - 1 / 255 - y[index]) / scale)
        total -= np.log(upper - lower)
    return total / batch


def kl(mu, logvar):
    variance = np.exp(logvar)
    return np.mean((mu**2 + variance - logvar - 1) / 2, axis=0)


def gradient(f, at, step=1e-5):
    out = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        out[index] = (f(up) - f(down)) / (2 * step)
    return out


def flat(array):
    # Nine digits are more than float32 holds.
    return [float(f"{v:.9g}") for v in np.ravel(array)]


real = np.array([2.5, 0.3, -0.7, -4.0, 1.7])
fake = np.array([-2.2, 0.4, 1.3, -0.6, 5.0])
levels = np.array([0, 255, 17, 128, 200, 64, 90, 31, 255, 0, 140, 77, 12, 250, 101, 180, 33, 220, 5, 160, 99, 47, 211, 8])
x = (levels / 127.5 - 1).reshape(2, 2, 3, 2)
y = np.clip(x * 0.7 + 0.2 * np.sin(np.arange(24.0)).reshape(x.shape), -0.95, 0.95)
log_scale = np.array([-1.5, -2.5])
mu = np.array([[0.5, -1.0, 0.0], [1.5, 0.2, -0.3]])
logvar = np.array([[0.1, -2.0, 0.0], [-0.4, 1.0, 0.7]])

gan = {
    kind: {
        "d": float(d_loss(kind, real, fake)),
        "g": float(g_loss(kind, fake, real)),
        "d_by_real": flat(gradient(lambda v: d_loss(kind, v, fake), real)),
        "d_by_fake": flat(gradient(lambda v: d_loss(kind, real, v), fake)),
        "g_by_fake": flat(gradient(lambda v: g_loss(kind, v, real), fake)),
    }
    for kind in ("non-saturating", "minimax", "least-squares", "hinge", "wasserstein", "relativistic-paired")
}
vae = {
    kind: {
        "value": float(reconstruction(kind, x, y, log_scale)),
        "by_y": flat(gradient(lambda v: reconstruction(kind, x, v, log_scale), y)),
        "by_log_scale": flat(gradient(lambda v: reconstruction(kind, x, y, v), log_scale)),
    }
    for kind in ("mse", "bce", "logistic")
}
print(
    json.dumps(
        {
            "real": flat(real),
            "fake": flat(fake),
            "gan": gan,
            "x": flat(x),
            "y": flat(y),
            "log_scale": flat(log_scale),
            "reconstruction": vae,
            "mu": flat(mu),
            "logvar": flat(logvar),
            "kl": flat(kl(mu, logvar)),
            "kl_by_mu": flat(gradient(lambda v: np.sum(kl(v, logvar)), mu)),
            "kl_by_logvar": flat(gradient(lambda v: np.sum(kl(mu, v)), logvar)),
        },
        indent=1,
    )
)
