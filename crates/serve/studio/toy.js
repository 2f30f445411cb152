// Networks so small that a page can train them: points of the plane, a GAN, a VAE, and how they look.

const { abs, cos, exp, floor, hypot, log, max, min, PI, random, sin, sqrt } = Math;

/** A standard normal number (Box and Muller). */
export const normal = () => sqrt(-2 * log(1 - random())) * cos(2 * PI * random());

/** Random points of different shapes, within [-1, 1]². */
export const SHAPES = {
  ring() {
    const angle = (2 * PI * floor(8 * random())) / 8;
    return [0.75 * cos(angle) + 0.05 * normal(), 0.75 * sin(angle) + 0.05 * normal()];
  },
  moons() {
    const angle = PI * random();
    const [x, y] = random() < 0.5 ? [cos(angle) - 0.5, sin(angle) - 0.25] : [0.5 - cos(angle), 0.25 - sin(angle)];
    return [0.6 * x + 0.04 * normal(), 0.6 * y + 0.04 * normal()];
  },
  spiral() {
    const t = sqrt(random());
    return [0.85 * t * cos(9 * t) + 0.03 * normal(), 0.85 * t * sin(9 * t) + 0.03 * normal()];
  },
  two() {
    const side = random() < 0.5 ? -0.5 : 0.5;
    return [side + 0.1 * normal(), side + 0.1 * normal()];
  },
};

/** Layers of matrices with a leaky ReLU between them, trained by Adam. Batches are lists of lists. */
class Net {
  constructor(sizes) {
    this.layers = sizes.slice(1).map((outs, i) => {
      const ins = sizes[i];
      const weights = Float64Array.from({ length: (ins + 1) * outs }, (_, k) => (k < ins * outs ? normal() * sqrt(2 / ins) : 0));
      return { ins, outs, weights, gradient: new Float64Array(weights.length), m: new Float64Array(weights.length), v: new Float64Array(weights.length) };
    });
    this.steps = 0;
  }

  /** Outputs; what the way back needs is kept in `tape` where one is given. */
  forward(batch, tape) {
    let x = batch;
    this.layers.forEach((layer, i) => {
      const { ins, outs, weights } = layer;
      const y = x.map((row) => {
        const out = new Array(outs);
        for (let o = 0; o < outs; o++) {
          let sum = weights[ins * outs + o];
          for (let k = 0; k < ins; k++) sum += row[k] * weights[k * outs + o];
          out[o] = i + 1 < this.layers.length && sum < 0 ? 0.1 * sum : sum;
        }
        return out;
      });
      tape?.push([x, y]);
      x = y;
    });
    return x;
  }

  /** Adds the gradients of the weights, given those of the outputs; returns those of the inputs. */
  backward(tape, gradients, learn = true) {
    let g = gradients;
    for (let i = this.layers.length - 1; i >= 0; i--) {
      const { ins, outs, weights, gradient } = this.layers[i];
      const [x, y] = tape[i];
      const last = i + 1 === this.layers.length;
      g = g.map((row, b) => {
        const back = new Array(ins).fill(0);
        for (let o = 0; o < outs; o++) {
          const own = !last && y[b][o] < 0 ? 0.1 * row[o] : row[o];
          if (learn) gradient[ins * outs + o] += own;
          for (let k = 0; k < ins; k++) {
            if (learn) gradient[k * outs + o] += own * x[b][k];
            back[k] += own * weights[k * outs + o];
          }
        }
        return back;
      });
    }
    return g;
  }

  /** Adam (Kingma & Ba 2015). */
  update(rate, beta1) {
    this.steps++;
    const [one, two] = [1 - beta1 ** this.steps, 1 - 0.99 ** this.steps];
    for (const { weights, gradient, m, v } of this.layers) {
      for (let k = 0; k < weights.length; k++) {
        m[k] = beta1 * m[k] + (1 - beta1) * gradient[k];
        v[k] = 0.99 * v[k] + 0.01 * gradient[k] ** 2;
        weights[k] -= (rate * (m[k] / one)) / (sqrt(v[k] / two) + 1e-8);
      }
      gradient.fill(0);
    }
  }
}

const sigmoid = (x) => 1 / (1 + exp(-x));
const softplus = (x) => max(x, 0) + log(1 + exp(-abs(x)));
const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;
const noise = (count, length) => Array.from({ length: count }, () => Array.from({ length }, normal));

/** The share of real points that have a generated one nearby. */
function covered(real, made) {
  return mean(real.map(([x, y]) => +made.some(([a, b]) => hypot(x - a, y - b) < 0.12)));
}

/** The share of generated points that have a real one nearby. */
const near = (real, made) => covered(made, real);

/** A generator against a discriminator, with the non-saturating loss (Goodfellow 2014). */
export class Gan {
  generator = new Net([2, 32, 32, 2]);
  discriminator = new Net([2, 32, 32, 1]);
  fixed = noise(256, 2);
  accuracy = 0.5;

  made() {
    return this.generator.forward(this.fixed);
  }

  /** How real a point looks to the discriminator, 0 to 1. */
  opinions(points) {
    return this.discriminator.forward(points).map(([logit]) => sigmoid(logit));
  }

  step(real, { rate, critic }) {
    const count = real.length;
    const way = [];
    const fake = this.generator.forward(noise(count, 2), way);
    const [onReal, onFake] = [[], []];
    const told = [this.discriminator.forward(real, onReal), this.discriminator.forward(fake, onFake)];
    this.discriminator.backward(onReal, told[0].map(([logit]) => [-sigmoid(-logit) / count]));
    this.discriminator.backward(onFake, told[1].map(([logit]) => [sigmoid(logit) / count]));
    // Both gradients are taken before either player moves.
    const toFake = this.discriminator.backward(onFake, told[1].map(([logit]) => [-sigmoid(-logit) / count]), false);
    this.generator.backward(way, toFake);
    this.discriminator.update(rate * critic, 0.5);
    this.generator.update(rate, 0.5);
    const right = mean([...told[0].map(([l]) => +(l > 0)), ...told[1].map(([l]) => +(l < 0))]);
    this.accuracy = 0.95 * this.accuracy + 0.05 * right;
    return { d: mean(told[0].map(([l]) => softplus(-l))) + mean(told[1].map(([l]) => softplus(l))), g: mean(told[1].map(([l]) => softplus(-l))) };
  }

  /** Which sentence describes how it stands. */
  judge(real) {
    const made = this.made();
    const [reached, good] = [covered(real, made), near(real, made)];
    if (this.accuracy > 0.95) return "labWon";
    if (good > 0.6 && reached < 0.5) return "labCollapse";
    if (good > 0.8 && reached > 0.8) return "labGood";
    return good < 0.3 ? "labFar" : "labBetter";
  }
}

/** A variational auto-encoder (Kingma & Welling 2013): half the squared error, and beta times the KL to N(0, 1). */
export class Vae {
  encoder = new Net([2, 32, 32, 4]);
  decoder = new Net([2, 32, 32, 2]);
  fixed = noise(256, 2);

  made() {
    return this.decoder.forward(this.fixed);
  }

  rebuilt(points) {
    return this.decoder.forward(this.encoder.forward(points).map(([a, b]) => [a, b]));
  }

  step(real, { rate, beta }) {
    const count = real.length;
    const [there, back] = [[], []];
    const told = this.encoder.forward(real, there);
    const chance = noise(count, 2);
    const spread = told.map((row) => [0, 1].map((k) => exp(min(max(row[2 + k], -8), 4) / 2)));
    const z = told.map((row, b) => [0, 1].map((k) => row[k] + spread[b][k] * chance[b][k]));
    const made = this.decoder.forward(z, back);
    const toZ = this.decoder.backward(back, made.map((row, b) => row.map((x, k) => (x - real[b][k]) / count)));
    const toCode = told.map((row, b) => [
      ...[0, 1].map((k) => toZ[b][k] + (beta * row[k]) / count),
      ...[0, 1].map((k) => (toZ[b][k] * chance[b][k] * spread[b][k]) / 2 + (beta * (spread[b][k] ** 2 - 1)) / 2 / count),
    ]);
    this.encoder.backward(there, toCode);
    for (const net of [this.encoder, this.decoder]) net.update(rate, 0.9);
    const error = mean(made.map((row, b) => row.reduce((sum, x, k) => sum + (x - real[b][k]) ** 2, 0)));
    const kl = mean(told.map((row, b) => [0, 1].reduce((sum, k) => sum + (row[k] ** 2 + spread[b][k] ** 2 - 1) / 2 - log(spread[b][k]), 0)));
    return { error: 10 * error, kl };
  }

  judge(real) {
    const again = this.rebuilt(real);
    const exact = mean(real.map(([x, y], i) => +(hypot(x - again[i][0], y - again[i][1]) < 0.12)));
    const made = this.made();
    const [reached, good] = [covered(real, made), near(real, made)];
    if (exact < 0.4) return "labBlur";
    if (good > 0.8 && reached > 0.8) return "labGood";
    return exact > 0.8 && good < 0.7 ? "labHoles" : "labBetter";
  }
}

/** Paints the plane: what the discriminator thinks of each place, real points, generated ones, and for a VAE rebuilt ones. */
export function draw(canvas, net, real) {
  const c = canvas.getContext("2d");
  const { width, height } = canvas;
  const place = ([x, y]) => [((x + 1.1) / 2.2) * width, ((1.1 - y) / 2.2) * height];
  const style = getComputedStyle(canvas);
  c.fillStyle = style.getPropertyValue("--raised");
  c.fillRect(0, 0, width, height);
  if (net.opinions) {
    const cells = 32;
    const points = Array.from({ length: cells * cells }, (_, i) => [(((i % cells) + 0.5) / cells) * 2.2 - 1.1, 1.1 - ((floor(i / cells) + 0.5) / cells) * 2.2]);
    net.opinions(points).forEach((p, i) => {
      c.fillStyle = p > 0.5 ? `rgba(106,143,42,${(p - 0.5) * 0.9})` : `rgba(138,90,168,${(0.5 - p) * 0.9})`;
      c.fillRect((i % cells) * (width / cells), floor(i / cells) * (height / cells), width / cells, height / cells);
    });
  }
  const dots = (points, colour, radius) => {
    c.fillStyle = colour;
    for (const point of points) {
      const [x, y] = place(point);
      c.beginPath();
      c.arc(x, y, radius, 0, 2 * PI);
      c.fill();
    }
  };
  dots(real, "#2f6f9f", 3);
  if (net.rebuilt) {
    const again = net.rebuilt(real);
    c.strokeStyle = "#6a8f2a";
    real.forEach((point, i) => {
      c.beginPath();
      c.moveTo(...place(point));
      c.lineTo(...place(again[i]));
      c.stroke();
    });
    dots(again, "#6a8f2a", 2);
  }
  dots(net.made(), "#d8532f", 3);
}
