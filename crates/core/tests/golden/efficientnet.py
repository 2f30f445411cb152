"""Golden numbers of EfficientNet-Lite0 as PyTorch computes it. Needs torch and numpy, and for `timm` also timm and torchvision.

    python efficientnet.py check efficientnet-lite0.safetensors   # prints src/pretrained/efficientnet/golden.rs's FEATURES
    python efficientnet.py timm > efficientnet_timm.json          # names, shapes and features of a timm model by formula
"""

import json
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]


def same(x, w, stride, groups=1):
    """TensorFlow's padding "SAME"."""
    size, kernel = x.shape[2], w.shape[2]
    zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    x = F.pad(x, [zeros // 2, zeros - zeros // 2] * 2)
    return F.conv2d(x, w, stride=stride, groups=groups)


def features(w, x):
    def norm(x, name):
        part = [w[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *part, training=False, eps=1e-3)

    x = F.relu6(norm(same(x, w["_conv_stem.weight"], 2), "_bn0"))
    i = 0
    for count, _, stride, expansion, c_out in STAGES:
        for first in [True] + [False] * (count - 1):
            name, y, s = f"_blocks.{i}", x, stride if first else 1
            if expansion > 1:
                y = F.relu6(norm(F.conv2d(y, w[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
            y = F.relu6(norm(same(y, w[f"{name}._depthwise_conv.weight"], s, y.shape[1]), f"{name}._bn1"))
            y = norm(F.conv2d(y, w[f"{name}._project_conv.weight"]), f"{name}._bn2")
            x = x + y if s == 1 and x.shape[1] == c_out else y
            i += 1
    return F.relu6(norm(F.conv2d(x, w["_conv_head.weight"]), "_bn1")).mean((2, 3))


def picture():
    """Rings and waves of all lengths, another mixture in each channel: bytes [224, 224, 3]."""
    y, x, c = np.meshgrid(np.arange(224), np.arange(224), np.arange(3), indexing="ij")
    return ((x * x * (c + 1) + y * y * (3 - c) + x * y) // 64) % 256


def as_input(bytes_hwc):
    return torch.tensor((bytes_hwc - 127) / 128, dtype=torch.float32).permute(2, 0, 1)[None]


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            tensors[name] = torch.tensor(np.frombuffer(data[start:end], "<f4").reshape(entry["shape"]).copy())
    return tensors


def check(path):
    values = features(load(path), as_input(picture()))[0, ::32].tolist()
    print("const FEATURES: [f32; 40] = [" + ", ".join(str(round(v, 6)) for v in values) + "];")


def by_formula(number, name, shape):
    """Weights that both sides can make: a sine, in a range in which activations neither die nor explode."""
    wave = torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float64) * 0.37 + number).float().reshape(shape)
    if len(shape) == 4:
        return wave * (4.0 / (shape[1] * shape[2] * shape[3])) ** 0.5
    return {"weight": 1 + 0.3 * wave, "bias": 0.3 * wave, "running_mean": 0.3 * wave, "running_var": 1 + 0.3 * wave}[
        name.rsplit(".", 1)[1]
    ]


def timm_model():
    import timm

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    state = model.state_dict()
    names = sorted(name for name, value in state.items() if value.is_floating_point())
    for number, name in enumerate(names):
        state[name] = by_formula(number, name, list(state[name].shape))
    model.load_state_dict(state)
    with torch.no_grad():
        y = model(as_input(picture()))[0].tolist()
    shapes = {name: list(state[name].shape) for name in names}
    lines = ",\n".join(f"{json.dumps(name)}: {shape}" for name, shape in shapes.items())
    picked = [round(v, 6) for v in y[::32]]
    print(f'{{\n"timm": "{timm.__version__}",\n"shapes": {{\n{lines}\n}},\n"features": {picked}\n}}')


if __name__ == "__main__":
    check(sys.argv[2]) if sys.argv[1] == "check" else timm_model()
