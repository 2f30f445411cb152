"""Prints RAMP and RESIZED of crates/kernels/src/tests/depthwise.rs. Needs numpy, Pillow and PyTorch."""

import numpy as np
import torch
from PIL import Image

ramp = np.array([1, -2, 3, 0.5, -1, 4, 2], dtype=np.float32)
tensor = torch.tensor(ramp)[None, None, None]


def interpolate(to, mode, antialias):
    y = torch.nn.functional.interpolate(tensor, size=(1, to), mode=mode, antialias=antialias, align_corners=False)
    return y[0, 0, 0].numpy()


rows = []
for name, pillow, mode in (("Triangle", Image.BILINEAR, "bilinear"), ("Bicubic", Image.BICUBIC, "bicubic")):
    for to in (11, 4):
        y = np.asarray(Image.fromarray(ramp[None]).resize((to, 1), pillow))[0]
        assert abs(y - interpolate(to, mode, True)).max() < 1e-5
        rows.append((name, to, y))
rows += [("Bilinear", to, interpolate(to, "bilinear", False)) for to in (11, 4)]

print(f"const RAMP: [f32; {len(ramp)}] = [" + ", ".join(repr(float(v)) for v in ramp) + "];\n")
print(f"const RESIZED: [(Filter, usize, &[f32]); {len(rows)}] = [")
for name, to, y in rows:
    print(f"    (Filter::{name}, {to}, &[" + ", ".join(str(round(float(v), 6)) for v in y) + "]),")
print("];")
