"""Golden features of FID's Inception v3 with weights by formula. Needs torch, torchvision and numpy.

    python inception.py > inception.json

The convolutions are torchvision's; what FID's network does otherwise is put in here: averages leave out the zeros around a map,
and the last block takes a maximum instead.
"""

import json
import types

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models import inception

STEM = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"]
BLOCKS = [f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]


def functional(block):
    """What torchvision's blocks call as `F`."""
    if block == "Mixed_7c":
        pool = F.max_pool2d
    else:
        pool = lambda x, **options: F.avg_pool2d(x, **options, count_include_pad=False)
    return types.SimpleNamespace(relu=F.relu, max_pool2d=F.max_pool2d, avg_pool2d=pool)


def by_formula(number, name, shape):
    """Weights that both sides can make: He-uniform convolutions from a generator of Lehmer's kind, everything else a sine."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    if len(shape) == 4:
        x = (i * np.uint64(2654435761) + np.uint64(number * 40503 + 1)) & np.uint64(0xFFFFFFFF)
        x = ((x ^ (x >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
        unit = (x ^ (x >> np.uint64(13))).astype(np.float64) / 2**31 - 1
        values = unit * (6.0 / (shape[1] * shape[2] * shape[3])) ** 0.5
    else:
        wave = 0.3 * np.sin(i.astype(np.float64) * 0.37 + number)
        values = wave + (name.endswith(("weight", "running_var")) and 1)
    return torch.tensor(values.astype(np.float32).reshape(shape))


def picture(height, width):
    """Rings and waves of all lengths, another mixture in each channel: bytes [height, width, 3]."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * x * (c + 1) + y * y * (3 - c) + x * y) // 16) % 256


def features(network, bytes_hwc):
    x = torch.tensor(bytes_hwc / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) * 2 - 1
    for name in STEM + BLOCKS:
        inception.F = functional(name)
        x = getattr(network, name)(x)
    return x.mean((2, 3))[0]


if __name__ == "__main__":
    network = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False).eval()
    state = network.state_dict()
    names = sorted(name for name, value in state.items() if value.is_floating_point())
    for number, name in enumerate(names):
        state[name] = by_formula(number, name, list(state[name].shape))
    network.load_state_dict(state)
    shapes = ",\n".join(f'"{name}": {list(state[name].shape)}' for name in names if state[name].dim() != 1)
    with torch.no_grad():
        rows = [[round(v, 6) for v in features(network, picture(*size))[::64].tolist()] for size in ((40, 27), (320, 301))]
    rows = ",\n".join(str(row) for row in rows)
    print(f'{{\n"tensors": {len(names)},\n"shapes": {{\n{shapes}\n}},\n"features": [\n{rows}\n]\n}}')
