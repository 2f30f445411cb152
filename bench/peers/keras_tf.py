"""The Keras peer on TensorFlow: one `tf.function` a training step, NHWC, f32. One process prints one JSON line.

Not called keras.py: a script's own directory comes first on the import path.
"""

import math
import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from keras import layers

import common
from common import BASE, BATCHES, FREE_BITS, SIDE, Z_DCGAN, Z_VAE

MODES = ["tf.function", "xla"]


def norm(activation: layers.Layer) -> list[layers.Layer]:
    gamma = keras.initializers.RandomNormal(1.0, 0.02)
    return [layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma), activation]


def weights() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(0.0, 0.02)


def conv(kind: type[layers.Layer], channels: int, bias: bool = False, activation: str | None = None) -> layers.Layer:
    return kind(
        channels, 4, 2, "same", use_bias=bias, activation=activation, kernel_initializer=weights()
    )  # on even sizes "same" is padding 1


def upsampler(z_dim: int, bias: bool) -> keras.Sequential:
    """z → [B, 64, 64, 3] in [-1, 1]; `bias` on the last layer only."""
    stages = [[conv(layers.Conv2DTranspose, BASE * k), *norm(layers.ReLU())] for k in (4, 2, 1)]
    return keras.Sequential(
        [
            layers.Input((z_dim,)),
            layers.Dense(4 * 4 * BASE * 8, use_bias=False, kernel_initializer=weights()),
            layers.Reshape((4, 4, BASE * 8)),
            *norm(layers.ReLU()),
            *[layer for stage in stages for layer in stage],
            conv(layers.Conv2DTranspose, 3, bias, "tanh"),
        ]
    )


def downsampler(bias: bool) -> list[layers.Layer]:
    """[B, 64, 64, 3] → [B, 8192]; `bias` on the first layer only."""
    stages = [[conv(layers.Conv2D, BASE * k), *norm(layers.LeakyReLU(0.2))] for k in (2, 4, 8)]
    return [
        layers.Input((SIDE, SIDE, 3)),
        conv(layers.Conv2D, BASE, bias),
        layers.LeakyReLU(0.2),
        *[layer for stage in stages for layer in stage],
        layers.Flatten(),
    ]


def pictures(batch: int) -> list[tf.Tensor]:
    return [tf.random.uniform((batch, SIDE, SIDE, 3), -1.0, 1.0) for _ in range(BATCHES)]


def dcgan(xla: bool, batch: int) -> Callable[[], list[float]]:
    generator = upsampler(Z_DCGAN, bias=False)
    logit = layers.Dense(1, use_bias=False, kernel_initializer=weights())
    discriminator = keras.Sequential([*downsampler(bias=False), logit])
    adam_g, adam_d = keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5)
    adam_g.build(generator.trainable_variables)
    adam_d.build(discriminator.trainable_variables)
    data = pictures(batch)
    count = 0

    def bce(logits: tf.Tensor, label: float) -> tf.Tensor:
        labels = tf.fill(tf.shape(logits), label)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))

    @tf.function(jit_compile=xla)
    def update(real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Both players move at once, from one D(fake): fewer passes than D first and then G.
        with tf.GradientTape(persistent=True) as tape:
            fake = generator(tf.random.normal((batch, Z_DCGAN)), training=True)
            on_real, on_fake = discriminator(real, training=True), discriminator(fake, training=True)
            d_loss = bce(on_real, 1.0) + bce(on_fake, 0.0)
            g_loss = bce(on_fake, 1.0)
        d_gradients = tape.gradient(d_loss, discriminator.trainable_variables)
        g_gradients = tape.gradient(g_loss, generator.trainable_variables)
        adam_d.apply(d_gradients, discriminator.trainable_variables)
        adam_g.apply(g_gradients, generator.trainable_variables)
        return d_loss, g_loss

    def step() -> list[float]:
        nonlocal count
        count += 1
        return [float(loss) for loss in update(data[count % BATCHES])]

    return step


def vae(xla: bool, batch: int) -> Callable[[], list[float]]:
    encoder, decoder = keras.Sequential(downsampler(bias=True)), upsampler(Z_VAE, bias=True)
    mu_layer = layers.Dense(Z_VAE, kernel_initializer=weights())
    logvar_layer = layers.Dense(Z_VAE, kernel_initializer=weights())
    for layer in (mu_layer, logvar_layer):
        layer.build(encoder.output_shape)
    variables = [v for part in (encoder, mu_layer, logvar_layer, decoder) for v in part.trainable_variables]
    adam = keras.optimizers.Adam(1e-3, 0.9)
    adam.build(variables)
    data = pictures(batch)
    count = 0

    @tf.function(jit_compile=xla)
    def update(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            features = encoder(x, training=True)
            mu = mu_layer(features)
            logvar = tf.clip_by_value(logvar_layer(features), -10.0, 10.0)
            y = decoder(mu + tf.exp(0.5 * logvar) * tf.random.normal((batch, Z_VAE)), training=True)
            mse = tf.reduce_mean(tf.square(x - y))
            reconstruction = (tf.math.log(2 * math.pi * (mse + 1e-6)) + 1.0) * (SIDE * SIDE * 3 / 2)
            kl = 0.5 * tf.reduce_mean(tf.square(mu) + tf.exp(logvar) - logvar - 1.0, 0)
            loss = reconstruction + tf.reduce_sum(tf.maximum(kl, FREE_BITS))
        adam.apply(tape.gradient(loss, variables), variables)
        return loss

    def step() -> list[float]:
        nonlocal count
        count += 1
        return [float(update(data[count % BATCHES]))]

    return step


def generate(xla: bool, batch: int) -> Callable[[], list[float]]:
    generator = upsampler(Z_DCGAN, bias=False)
    z = tf.random.normal((batch, Z_DCGAN))
    run = tf.function(lambda z: generator(z, training=False), jit_compile=xla)
    return lambda: [float(run(z)[0, 0, 0, 0])]


def main() -> None:
    args = common.arguments(["dcgan", "vae", "generate", "memory"], MODES).parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.utils.set_random_seed(0)
    work = {"dcgan": dcgan, "vae": vae, "generate": generate, "memory": dcgan}[args.work]
    step = work(args.mode == "xla", args.batch)
    measured = common.measure(step, 0.0 if args.work == "memory" else args.seconds, warm_up=3)
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    common.report("keras", args.mode, args.work, args.batch, measured, versions)


if __name__ == "__main__":
    main()
