//! DiffAugment (Zhao 2020) on `[batch, height, width, channel]` slices: colour, translation and cutout in one pass, and
//! the adjoint that carries gradients back through them.

use rayon::prelude::*;

/// Numbers that describe the augmentation of one picture: brightness, saturation, contrast, dy, dx, and the cutout
/// rectangle top, left, bottom, right. Shifts and rectangle are whole pixels stored as floats.
pub const AUGMENT_PARAMETERS: usize = 9;

struct Plan {
    brightness: f32,
    saturation: f32,
    contrast: f32,
    shift: [isize; 2],
    cut: [isize; 4],
}

impl Plan {
    fn read(p: &[f32]) -> Self {
        let whole = |i: usize| p[i] as isize;
        Self {
            brightness: p[0],
            saturation: p[1],
            contrast: p[2],
            shift: [whole(3), whole(4)],
            cut: [whole(5), whole(6), whole(7), whole(8)],
        }
    }

    /// Is output pixel (y, x) inside the cutout?
    fn cuts(&self, y: isize, x: isize) -> bool {
        (self.cut[0]..self.cut[2]).contains(&y) && (self.cut[1]..self.cut[3]).contains(&x)
    }
}

/// Sizes of a batch of pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PictureShape {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

/// Per picture: `x₁ = x + brightness`; `x₂` = x₁ with every pixel's distance to its own channel mean scaled by
/// `saturation`; `x₃` = x₂ with its distance to the picture's mean scaled by `contrast`; then moved by (dy, dx) with
/// zeros coming in, and the cutout rectangle set to zero.
pub(crate) fn augment(x: &[f32], plans: &[f32], s: PictureShape) -> Vec<f32> {
    let size = s.height * s.width * s.channels;
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(size).zip(x.par_chunks(size)).zip(plans.par_chunks(AUGMENT_PARAMETERS)).for_each(
        |((y, x), plan)| {
            let plan = Plan::read(plan);
            let mut colour = x.to_vec();
            colour.iter_mut().for_each(|v| *v += plan.brightness);
            recolour(&mut colour, s.channels, &plan);
            for_each_pixel(s, &plan, |from, to| {
                y[to..to + s.channels].copy_from_slice(&colour[from..from + s.channels])
            });
        },
    );
    y
}

/// The adjoint of [`augment`]'s linear part: the gradient of the input from the gradient of the output.
pub(crate) fn augment_backward(gy: &[f32], plans: &[f32], s: PictureShape) -> Vec<f32> {
    let size = s.height * s.width * s.channels;
    let mut gx = vec![0.0; gy.len()];
    gx.par_chunks_mut(size).zip(gy.par_chunks(size)).zip(plans.par_chunks(AUGMENT_PARAMETERS)).for_each(
        |((gx, gy), plan)| {
            let plan = Plan::read(plan);
            for_each_pixel(s, &plan, |from, to| gx[from..from + s.channels].copy_from_slice(&gy[to..to + s.channels]));
            // Saturation and contrast are symmetric matrices that commute, so they are their own adjoints.
            recolour(gx, s.channels, &plan);
        },
    );
    gx
}

/// Saturation, then contrast, in place.
fn recolour(picture: &mut [f32], channels: usize, plan: &Plan) {
    for pixel in picture.chunks_exact_mut(channels) {
        let mean = pixel.iter().sum::<f32>() / channels as f32;
        pixel.iter_mut().for_each(|v| *v = mean + (*v - mean) * plan.saturation);
    }
    let mean = (picture.iter().map(|&v| f64::from(v)).sum::<f64>() / picture.len() as f64) as f32;
    picture.iter_mut().for_each(|v| *v = mean + (*v - mean) * plan.contrast);
}

/// Calls `f(from, to)` with the float offsets of every pixel that survives translation and cutout.
fn for_each_pixel(s: PictureShape, plan: &Plan, mut f: impl FnMut(usize, usize)) {
    let [dy, dx] = plan.shift;
    for y in 0..s.height as isize {
        let from_y = y - dy;
        if !(0..s.height as isize).contains(&from_y) {
            continue;
        }
        for x in 0..s.width as isize {
            let from_x = x - dx;
            if (0..s.width as isize).contains(&from_x) && !plan.cuts(y, x) {
                let at = |y: isize, x: isize| (y as usize * s.width + x as usize) * s.channels;
                f(at(from_y, from_x), at(y, x));
            }
        }
    }
}
