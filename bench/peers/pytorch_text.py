"""The PyTorch peer for text. One process measures one thing and prints one JSON line.

The networks are the twins of Maliang's: a GPT with root mean square norms, rotary positions, a gated feed-forward layer and a tied
head; an LSTM with a tied head. `write` is one stream with a key–value cache allocated beforehand.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common

VOCABULARY = 65


@dataclass(frozen=True)
class Mode:
    compiled: bool = False
    bf16: bool = False

    def cast(self) -> AbstractContextManager:
        return torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()


MODES = {"default": Mode(), "compiled": Mode(compiled=True), "bf16": Mode(bf16=True)}


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        hidden = -(-(-(-8 * width // 3)) // 32) * 32
        self.heads = heads
        self.norm_attention, self.norm_feed = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: Tensor | None = None, at: int = 0) -> Tensor:
        batch, time, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = turn(qkv[0], cos, sin), turn(qkv[1], cos, sin), qkv[2]
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            cache[0, :, :, at : at + 1], cache[1, :, :, at : at + 1] = k, v
            y = F.scaled_dot_product_attention(q, cache[0, :, :, : at + 1], cache[1, :, :, : at + 1])
        x = x + self.attention_out(y.transpose(1, 2).reshape(batch, time, width))
        a, b = self.up(self.norm_feed(x)).chunk(2, -1)
        return x + self.down(F.silu(a) * b)


class Gpt(nn.Module):
    def __init__(self, layers: int, heads: int, width: int, context: int, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(width, 1e-5)
        half = width // heads // 2
        angles = torch.arange(context)[:, None] * 10_000 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, 0.0, 0.02)

    def forward(self, tokens: Tensor, caches: list[Tensor] | None = None, at: int = 0) -> Tensor:
        x = self.embedding(tokens)
        part = slice(at, at + tokens.shape[1])
        for i, block in enumerate(self.blocks):
            x = block(x, self.cos[part], self.sin[part], caches and caches[i], at)
        return self.norm(x) @ self.embedding.weight.T


class Lstm(nn.Module):
    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lstm(self.embedding(tokens))[0] @ self.embedding.weight.T


GPT = (6, 6, 384, 256)
# Network, sequences and tokens of each.
TRAINED: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "gpt-small": (lambda: Gpt(4, 4, 128, 64), 12, 64),
    "gpt": (lambda: Gpt(*GPT), 16, 256),
    "lstm": (lambda: Lstm(2, 256), 32, 128),
}


def train(work: str, mode: Mode) -> tuple[Callable[[], list[float]], int]:
    make, batch, time = TRAINED[work]
    model = make()
    run = torch.compile(model) if mode.compiled else model
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    tokens, targets = torch.randint(VOCABULARY, (2, batch, time))

    def step() -> list[float]:
        adam.zero_grad()
        with mode.cast():
            logits = run(tokens)
        loss = F.cross_entropy(logits.float().view(-1, VOCABULARY), targets.view(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        return [loss.item()]

    return step, batch * time


def write() -> tuple[Callable[[], list[float]], int]:
    layers, heads, width, context = GPT
    model = Gpt(*GPT).eval()
    caches = [torch.zeros(2, 1, heads, context, width // heads) for _ in range(layers)]

    def step() -> list[float]:
        with torch.inference_mode():
            for at in range(context):
                logits = model(torch.tensor([[at % 64]]), caches, at)
        return [float(logits[0, 0, 0])]

    return step, context


def main() -> None:
    args = common.arguments([*TRAINED, "write"], list(MODES)).parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    mode = MODES[args.mode]
    step, tokens = write() if args.work == "write" else train(args.work, mode)
    measured = common.measure(step, args.seconds, warm_up=4 if mode.compiled else 2)
    common.report("pytorch", args.mode, args.work, tokens, measured, {"torch": torch.__version__}, unit="tokens")


if __name__ == "__main__":
    main()
