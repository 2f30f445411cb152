"""What the PyTorch peer has learned after so many minutes. One process trains once and prints one JSON line.

    pytorch_learn.py text TOKENS --minutes 3               held-out nats a token, TOKENS being Maliang's cache (*.tokens) of the text
    pytorch_learn.py pictures SOURCE OUT --minutes 10      a DCGAN's pictures as PNG in OUT, to look at

Text: the GPT of `pytorch_text.py` on the tokens, the split and the scored stretches of Maliang. Pictures: SOURCE is a folder of square
pictures, or an IDX file of grey ones, which is padded to 32 pixels; the DCGAN of PyTorch's example, unconditional, Adam 2e-4, batch 64.
"""

import argparse
import gzip
import json
import math
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import pytorch
from common import Z_DCGAN
from pytorch_text import Gpt

CONTEXT, BATCH, RATE, WARM_UP = 64, 12, 1e-3, 100
HEADER = 128


def tokens(path: Path) -> tuple[Tensor, Tensor, int]:
    """Training and held-out tokens of a cache, and the vocabulary; the header is described in `data/text/store.rs`."""
    data = path.read_bytes()
    width, train, heldout = struct.unpack_from("<IQQ", data, 12)
    everything = numpy.frombuffer(data, {2: "<u2", 4: "<u4"}[width], offset=HEADER).astype(numpy.int64)
    assert len(everything) == train + heldout
    return torch.from_numpy(everything[:train]), torch.from_numpy(everything[train:]), int(everything.max()) + 1


def schedule(share: float, step: int) -> float:
    """nanoGPT's: a warm-up, then a cosine to a tenth."""
    return min(1.0, (step + 1) / WARM_UP) * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def nats(model: nn.Module, stream: Tensor, before: int) -> Tensor:
    """Of each token of a stream, from at least half a context: as `judge/text/likelihood.rs` does it."""
    everything = torch.cat((torch.tensor([before]), stream))
    last = len(stream) - CONTEXT
    starts = list(range(0, last + 1, CONTEXT // 2))
    if starts[-1] < last:
        starts.append(last)
    scored: list[Tensor] = []
    done = 0
    with torch.inference_mode():
        for first in range(0, len(starts), 16):
            part = starts[first : first + 16]
            x = torch.stack([everything[s : s + CONTEXT] for s in part])
            y = torch.stack([everything[s + 1 : s + 1 + CONTEXT] for s in part])
            losses = F.cross_entropy(model(x).transpose(1, 2), y, reduction="none")
            for start, row in zip(part, losses, strict=True):
                scored.append(row[done - start :])
                done = start + CONTEXT
    return torch.cat(scored)


def text(args: argparse.Namespace) -> dict[str, object]:
    train, heldout, vocabulary = tokens(args.source)
    model = Gpt(4, 4, 128, CONTEXT, vocabulary)
    adam = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    begin, step = time.perf_counter(), 0
    while (spent := time.perf_counter() - begin) < args.minutes * 60:
        for group in adam.param_groups:
            group["lr"] = RATE * schedule(spent / (args.minutes * 60), step)
        at = torch.randint(len(train) - CONTEXT - 1, (BATCH,))
        window = torch.stack([train[i : i + CONTEXT + 1] for i in at.tolist()])
        adam.zero_grad()
        F.cross_entropy(model(window[:, :-1]).reshape(-1, vocabulary), window[:, 1:].reshape(-1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        step += 1
    most = args.number or 100_000
    count = 1 if len(heldout) <= most else 8
    length = min(len(heldout), most) // count
    starts = [i * len(heldout) // count for i in range(count)]
    scored = torch.cat([nats(model, heldout[s : s + length], int(heldout[s - 1]) if s else 0) for s in starts])
    mean = scored.mean().item()
    return {"steps": step, "tokens_seen": step * BATCH * CONTEXT, "nats_a_token": mean, "perplexity": math.exp(mean)}


def pictures_of(source: Path) -> Tensor:
    """u8 [N, channels, side, side]."""
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
        made = [numpy.asarray(Image.open(path).convert("RGB")) for path in files]
        return torch.from_numpy(numpy.stack(made)).permute(0, 3, 1, 2).contiguous()
    data = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    _, count, height, width = struct.unpack_from(">IIII", data)
    grey = torch.from_numpy(numpy.frombuffer(data, numpy.uint8, offset=16).reshape(count, 1, height, width).copy())
    return F.pad(grey, ((32 - width) // 2, (32 - width) // 2, (32 - height) // 2, (32 - height) // 2))


def batches(data: Tensor, batch: int, flip: bool) -> Callable[[], Tensor]:
    """Endless passes over the pictures, each in an order of its own."""
    order: list[Tensor] = []

    def draw() -> Tensor:
        if not order:
            order.extend(torch.randperm(len(data)).split(batch)[: len(data) // batch])
        x = data[order.pop()].float() / 127.5 - 1
        mirrored = (torch.rand(batch, 1, 1, 1) < 0.5) & torch.tensor(flip)
        return torch.where(mirrored, x.flip(3), x).contiguous(memory_format=torch.channels_last)

    return draw


def pictures(args: argparse.Namespace) -> dict[str, object]:
    data = pictures_of(args.source)
    mode, batch = pytorch.Mode(), 64
    generator, step = pytorch.dcgan(mode, batch, batches(data, batch, args.source.is_dir()), data.shape[3], data.shape[1])
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < args.minutes * 60:
        step()
        steps += 1
    args.out.mkdir(parents=True, exist_ok=True)
    generator.eval()
    with torch.inference_mode():
        for first in range(0, args.number or 2000, 50):
            for i, x in enumerate(generator(torch.randn(50, Z_DCGAN, 1, 1))):
                levels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
                Image.fromarray(levels.squeeze()).save(args.out / f"{first + i:05}.png")
    return {"steps": steps, "pictures_seen": steps * batch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["text", "pictures"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--number", type=int, help="tokens that are scored, or pictures that are made")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.what == "pictures" and args.out is None:
        parser.error("pictures need OUT")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    found = text(args) if args.what == "text" else pictures(args)
    sys.stdout.write(json.dumps({"who": "pytorch", "what": args.what, "minutes": args.minutes} | found) + "\n")


if __name__ == "__main__":
    main()
