"""The PyTorch peer. One process measures one thing and prints one JSON line.

The DCGAN is that of PyTorch's examples at 64 pixels (ngf = ndf = 64, z 100); the VAE is the twin of Maliang's.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import common
from common import BASE, BATCHES, FREE_BITS, SIDE, Z_DCGAN, Z_VAE


@dataclass(frozen=True)
class Mode:
    """`tuned`: channels-last, Adam in one pass, and D frozen in G's step; what a user who reads the guides would do."""

    tuned: bool = True
    compiled: bool = False
    bf16: bool = False

    def place(self, module: nn.Module) -> nn.Module:
        return module.to(memory_format=torch.channels_last) if self.tuned else module

    def compile(self, module: nn.Module) -> Callable[..., Tensor]:
        return torch.compile(module) if self.compiled else module

    def cast(self) -> AbstractContextManager:
        return torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()

    def adam(self, module: nn.Module, lr: float, beta_1: float) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=lr, betas=(beta_1, 0.999), fused=True if self.tuned else None)


MODES = {
    "default": Mode(tuned=False),
    "channels-last": Mode(),
    "compiled": Mode(compiled=True),
    "bf16": Mode(bf16=True),
    "bf16-compiled": Mode(compiled=True, bf16=True),
}


def up(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(True)]


def down(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2, inplace=True)]


def widths(side: int) -> list[int]:
    """Channels at half the side, at a quarter, …, at 4."""
    return [BASE << i for i in range(side.bit_length() - 3)]


class Generator(nn.Sequential):
    """z [B, 100, 1, 1] → [B, channels, side, side], side 32 or 64."""

    def __init__(self, side: int = SIDE, channels: int = 3) -> None:
        stages = widths(side)[::-1]
        super().__init__(
            nn.ConvTranspose2d(Z_DCGAN, stages[0], 4, 1, 0, bias=False),
            nn.BatchNorm2d(stages[0]),
            nn.ReLU(True),
            *(layer for stage in pairwise(stages) for layer in up(*stage)),
            nn.ConvTranspose2d(BASE, channels, 4, 2, 1, bias=False),
            nn.Tanh(),
        )


class Discriminator(nn.Sequential):
    """[B, channels, side, side] → logits [B, 1, 1, 1]."""

    def __init__(self, side: int = SIDE, channels: int = 3) -> None:
        stages = widths(side)
        super().__init__(
            nn.Conv2d(channels, BASE, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            *(layer for stage in pairwise(stages) for layer in down(*stage)),
            nn.Conv2d(stages[-1], 1, 4, 1, 0, bias=False),
        )


class Vae(nn.Module):
    """Layer for layer Maliang's VAE at 64 pixels, base 64; `forward` gives −ELBO in nats a picture."""

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last
        features = BASE * 8 * 4 * 4
        self.encoder = nn.Sequential(
            nn.Conv2d(3, BASE, 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            *down(BASE, BASE * 2),
            *down(BASE * 2, BASE * 4),
            *down(BASE * 4, BASE * 8),
        )
        self.mu = nn.Linear(features, Z_VAE)
        self.logvar = nn.Linear(features, Z_VAE)
        self.project = nn.Linear(Z_VAE, features, bias=False)
        self.decoder = nn.Sequential(
            nn.BatchNorm2d(BASE * 8),
            nn.ReLU(True),
            *up(BASE * 8, BASE * 4),
            *up(BASE * 4, BASE * 2),
            *up(BASE * 2, BASE),
            nn.ConvTranspose2d(BASE, 3, 4, 2, 1),
            nn.Tanh(),
        )

    def decode(self, z: Tensor) -> Tensor:
        x = self.project(z)
        if self.channels_last:
            return self.decoder(x.view(-1, 4, 4, BASE * 8).permute(0, 3, 1, 2))
        return self.decoder(x.view(-1, BASE * 8, 4, 4))

    def forward(self, x: Tensor, epsilon: Tensor) -> Tensor:
        features = self.encoder(x)
        if self.channels_last:
            features = features.permute(0, 2, 3, 1)
        features = features.flatten(1)
        mu, logvar = self.mu(features).float(), self.logvar(features).float().clamp(-10.0, 10.0)
        y = self.decode(mu + (0.5 * logvar).exp() * epsilon).float()
        # A Gaussian with the batch's optimal variance (Rybkin 2021, Equation 7).
        mse = (x - y).square().mean()
        reconstruction = (torch.log(2 * math.pi * (mse + 1e-6)) + 1.0) * (x[0].numel() / 2)
        kl = 0.5 * (mu.square() + logvar.exp() - logvar - 1.0).mean(0)
        return reconstruction + kl.clamp(min=FREE_BITS).sum()


def initialise(module: nn.Module) -> None:
    """As the DCGAN example does it."""
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)


def pictures(mode: Mode, batch: int) -> list[Tensor]:
    made = [torch.rand(batch, 3, SIDE, SIDE) * 2 - 1 for _ in range(BATCHES)]
    return [x.contiguous(memory_format=torch.channels_last) for x in made] if mode.tuned else made


def dcgan(
    mode: Mode, batch: int, draw: Callable[[], Tensor], side: int = SIDE, channels: int = 3
) -> tuple[Generator, Callable[[], list[float]]]:
    """A new generator, and what trains it one step on pictures that are drawn."""
    generator = mode.place(Generator(side, channels).apply(initialise))
    discriminator = mode.place(Discriminator(side, channels).apply(initialise))
    run_g, run_d = mode.compile(generator), mode.compile(discriminator)
    adam_g, adam_d = mode.adam(generator, 2e-4, 0.5), mode.adam(discriminator, 2e-4, 0.5)
    bce = nn.BCEWithLogitsLoss()
    real_label, fake_label = torch.ones(batch), torch.zeros(batch)

    def judge(x: Tensor, label: Tensor) -> Tensor:
        with mode.cast():
            logits = run_d(x)
        return bce(logits.float().view(-1), label)

    def step() -> list[float]:
        discriminator.zero_grad()
        on_real = judge(draw(), real_label)
        on_real.backward()
        with mode.cast():
            fake = run_g(torch.randn(batch, Z_DCGAN, 1, 1))
        on_fake = judge(fake.detach(), fake_label)
        on_fake.backward()
        adam_d.step()
        generator.zero_grad()
        if mode.tuned:
            discriminator.requires_grad_(False)
        g_loss = judge(fake, real_label)
        g_loss.backward()
        if mode.tuned:
            discriminator.requires_grad_(True)
        adam_g.step()
        return [on_real.item() + on_fake.item(), g_loss.item()]

    return generator, step


def dcgan_on_noise(mode: Mode, batch: int) -> Callable[[], list[float]]:
    return dcgan(mode, batch, cycle(pictures(mode, batch)).__next__)[1]


def vae(mode: Mode, batch: int) -> Callable[[], list[float]]:
    model = mode.place(Vae(mode.tuned).apply(initialise))
    run = mode.compile(model)
    adam = mode.adam(model, 1e-3, 0.9)
    data = pictures(mode, batch)
    count = 0

    def step() -> list[float]:
        nonlocal count
        x = data[count % BATCHES]
        count += 1
        model.zero_grad()
        with mode.cast():
            loss = run(x, torch.randn(batch, Z_VAE))
        loss.backward()
        adam.step()
        return [loss.item()]

    return step


def generate(mode: Mode, batch: int) -> Callable[[], list[float]]:
    generator = mode.place(Generator().apply(initialise)).eval()
    z = torch.randn(batch, Z_DCGAN, 1, 1)
    if mode.bf16:
        generator, z = generator.bfloat16(), z.bfloat16()
    run = mode.compile(generator)

    def step() -> list[float]:
        with torch.no_grad():
            return [float(run(z)[0, 0, 0, 0])]

    return step


def cold_start(weights: Path, output: Path) -> None:
    """From weights on disk to one picture on disk; the caller times the process."""
    generator = Generator()
    generator.load_state_dict(torch.load(weights, weights_only=True))
    generator.eval()
    with torch.no_grad():
        x = generator(torch.randn(1, Z_DCGAN, 1, 1))[0]
    rgb = ((x + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy().tobytes()
    output.write_bytes(common.png(SIDE, SIDE, rgb))


def main() -> None:
    parser = common.arguments(["dcgan", "vae", "generate", "cold-start", "memory"], list(MODES))
    parser.add_argument("--weights", type=Path, help="cold-start: the generator's weights")
    parser.add_argument("--write-weights", action="store_true", help="cold-start: write them first if they are missing")
    parser.add_argument("--output", type=Path, help="cold-start: the picture to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    mode = MODES[args.mode]
    measured = {}
    if args.work == "cold-start":
        if args.weights is None or args.output is None:
            parser.error("cold-start needs --weights and --output")
        if args.write_weights and not args.weights.exists():
            torch.save(Generator().apply(initialise).state_dict(), args.weights)
        cold_start(args.weights, args.output)
    elif args.work == "memory":
        measured = common.measure(dcgan_on_noise(mode, args.batch), 0.0, warm_up=2)
    else:
        work = {"dcgan": dcgan_on_noise, "vae": vae, "generate": generate}[args.work](mode, args.batch)
        measured = common.measure(work, args.seconds, warm_up=4 if mode.compiled else 2)
    common.report("pytorch", args.mode, args.work, args.batch, measured, {"torch": torch.__version__})


if __name__ == "__main__":
    main()
