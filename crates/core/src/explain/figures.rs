//! Explanations as pictures.

use super::directions::{Directions, Order};
use super::saliency::Critic;
use crate::data::{Dataset, preprocess};
use crate::device;
use crate::generate::grid::{caption, enlarge, grid};
use crate::generate::sampler::{Sampler, in_bytes};
use crate::judge::Neighbour;
use crate::picture::Picture;
use burn::tensor::{Tensor, TensorData};

/// Directions that are drawn.
const SHOWN: usize = 6;
/// Pictures that are moved along each.
const MOVED: u64 = 4;
/// How far they are moved; a latent vector's numbers have a deviation of 1.
const STRENGTHS: [f32; 7] = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0];
/// Pictures of a kind that are drawn with their heat.
const HEATED: usize = 6;
/// Share of a picture's pixels that are hotter than the scale shows, so that a single one does not leave the rest dark.
const HOTTEST: f64 = 0.01;
/// Pictures with words below are enlarged to this side: the words need the room.
const CELL: usize = 128;

/// A picture of an explanation.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name of its file, without an ending.
    pub name: String,
    /// What is to be seen.
    pub caption: String,
    /// How its latent vectors were chosen, for its recipe.
    pub latent: String,
    /// The picture.
    pub picture: Picture,
}

/// `picture` with a word below it.
pub fn named(picture: &Picture, word: &str) -> Picture {
    caption(&enlarge(picture, CELL), word)
}

/// A grid for each of the first six directions: a picture a row, moved by −3 to 3 from left to right.
pub fn direction_figures(sampler: &Sampler, directions: &Directions, seed: u64) -> Vec<Figure> {
    let latents: Vec<Vec<f32>> = (0..MOVED).map(|i| sampler.latent(seed, i, 1.0)).collect();
    let z = sampler.z(&latents);
    let figure = |(k, direction): (usize, &super::Direction)| {
        let moved: Vec<Vec<f32>> =
            z.iter().flat_map(|z| STRENGTHS.map(|strength| direction.moved(z, strength))).collect();
        let classes: Vec<usize> = (0..MOVED).flat_map(|i| [sampler.class_of(i); STRENGTHS.len()]).collect();
        let pictures = sampler.decoded(&moved, &classes);
        let what = match directions.order {
            Order::Eigenvalue => format!("eigenvalue {:.3}", direction.weight),
            Order::Kl => format!("{:.2} nats", direction.weight),
            Order::Sensitivity => format!("mean squared change {:.4}", direction.weight),
        };
        Figure {
            name: format!("direction-{k}"),
            caption: format!(
                "Direction {k}, from −3 to 3, the middle column is unchanged ({what}; a step of 1 changes a pixel by {:.1} of \
                 255 levels).",
                direction.effect
            ),
            latent: format!("numbers 0 to {}, moved from -3 to 3 along direction {k}", MOVED - 1),
            picture: grid(&pictures, STRENGTHS.len(), Some(&format!("direction {k}, -3 to 3"))),
        }
    };
    directions.list.iter().take(SHOWN).enumerate().map(figure).collect()
}

/// Pictures with the heat of their pixels beside them: real ones where there are any, and generated ones. `sampler` is the model of
/// the critic's own checkpoint.
pub fn saliency_figure(critic: &Critic, sampler: &Sampler, data: Option<&Dataset>, seed: u64) -> Figure {
    let mut cells = Vec::new();
    let mut add = |x: Tensor<4>, classes: &[usize], word: &str| {
        let heats = critic.heat(x.clone(), classes, HEATED);
        for (picture, heat) in in_bytes(x).iter().zip(&heats) {
            cells.push(named(picture, word));
            cells.push(named(&heated(picture, heat), "looked at"));
        }
    };
    if let Some(data) = data {
        let count = critic.batch.min(data.train_len());
        let numbers: Vec<usize> = (0..count).map(|i| spread(i, count, data.train_len())).collect();
        let values: Vec<f32> = numbers.iter().flat_map(|&i| preprocess::to_unit(data.train(i))).collect();
        let shape = [count, data.height(), data.width(), data.channels()];
        let classes: Vec<usize> = numbers.iter().map(|&i| data.train_label(i).unwrap_or(0)).collect();
        add(Tensor::from_data(TensorData::new(values, shape), &device::cpu()), &classes, "real");
    }
    let numbers = 0..critic.batch as u64;
    let latents: Vec<Vec<f32>> = numbers.clone().map(|i| sampler.latent(seed, i, 1.0)).collect();
    let classes: Vec<usize> = numbers.map(|i| sampler.class_of(i)).collect();
    add(sampler.tensor(&latents, &classes), &classes, "generated");
    Figure {
        name: "saliency".into(),
        caption:
            "What the discriminator looks at: the brighter a pixel, the more a small change of it changes the output."
                .into(),
        latent: format!("discriminator saliency, real pictures and numbers 0 to {}", HEATED - 1),
        picture: grid(&cells, 6, Some("\"real\" pictures are not generated")),
    }
}

/// The `i`th of `count` numbers below `total`: the first ones spread over all, because pictures lie in the order of their classes.
fn spread(i: usize, count: usize, total: usize) -> usize {
    let shown = HEATED.min(count);
    if i < shown { i * total / shown } else { (i * total / count + 1) % total }
}

/// A picture in dark grey under the heat of its pixels: black, red, yellow, white.
fn heated(picture: &Picture, heat: &[f32]) -> Picture {
    let mut sorted = heat.to_vec();
    sorted.sort_by(f32::total_cmp);
    let most = sorted[((1.0 - HOTTEST) * (sorted.len() - 1) as f64) as usize].max(f32::MIN_POSITIVE);
    let pixel = |([r, g, b], heat): ([u8; 3], &f32)| {
        let grey = (u32::from(r) + u32::from(g) + u32::from(b)) as f32 / 3.0;
        let t = (heat / most).clamp(0.0, 1.0);
        // A quarter of the picture's light stays, so that one sees where one is.
        [3.0 * t, 3.0 * t - 1.0, 3.0 * t - 2.0].map(|level| (level.clamp(0.0, 1.0) * 191.0 + grey * 0.25).round() as u8)
    };
    let pixels = picture.rgb().zip(heat).flat_map(pixel).collect();
    Picture { width: picture.width, height: picture.height, channels: 3, pixels }
}

/// Each of `generated` followed by its nearest training pictures, nearest first.
pub fn neighbour_sheet(generated: &[Picture], found: &[Vec<Neighbour>], data: &Dataset) -> Picture {
    let columns = 1 + found.iter().map(Vec::len).max().unwrap_or(0);
    let real = |near: &Neighbour| Picture {
        width: data.width(),
        height: data.height(),
        channels: data.channels(),
        pixels: data.train(near.index).to_vec(),
    };
    let row = |(picture, near): (&Picture, &Vec<Neighbour>)| {
        let own = std::iter::once(named(picture, "generated"));
        own.chain(near.iter().map(|near| named(&real(near), "real"))).collect::<Vec<_>>()
    };
    let cells: Vec<Picture> = generated.iter().zip(found).flat_map(row).collect();
    grid(&cells, columns, Some("\"real\" pictures are not generated"))
}
