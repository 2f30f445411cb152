//! Pixel space: what "the same picture" means to the eye, for the search for copies.

use crate::features::Features;

/// Sides of a thumbnail, at most: differences below this resolution do not make another picture.
const SIDE: usize = 32;

/// Pictures of one size as vectors of at most 32×32 cells of mean colour, in [-1, 1].
#[derive(Debug, Clone, Copy)]
pub struct Pixels {
    height: usize,
    width: usize,
    channels: usize,
}

impl Pixels {
    /// For pictures `[height, width, channels]`.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    fn cells(&self) -> (usize, usize) {
        (self.height.min(SIDE), self.width.min(SIDE))
    }

    /// Length of a vector.
    pub fn dimensions(&self) -> usize {
        let (rows, columns) = self.cells();
        rows * columns * self.channels
    }

    /// The vector of a picture. A cell is the mean of the pixels `⌊i·side/cells⌋ .. ⌈(i+1)·side/cells⌉`.
    pub fn vector(&self, picture: &[u8]) -> Vec<f32> {
        let (rows, columns) = self.cells();
        let range = |i: usize, cells: usize, side: usize| i * side / cells..((i + 1) * side).div_ceil(cells);
        let mut cells = Vec::with_capacity(self.dimensions());
        for i in 0..rows {
            for j in 0..columns {
                let (ys, xs) = (range(i, rows, self.height), range(j, columns, self.width));
                let count = (ys.len() * xs.len()) as f32;
                for c in 0..self.channels {
                    let sum: u32 = ys
                        .clone()
                        .map(|y| {
                            xs.clone()
                                .map(|x| u32::from(picture[(y * self.width + x) * self.channels + c]))
                                .sum::<u32>()
                        })
                        .sum();
                    cells.push(sum as f32 / count / 127.5 - 1.0);
                }
            }
        }
        cells
    }

    /// The vectors of the mirrored pictures.
    pub fn mirrored(&self, vectors: &Features) -> Features {
        let columns = self.cells().1;
        let rows = vectors.values().chunks_exact(columns * self.channels);
        let reversed = rows.flat_map(|row| row.chunks_exact(self.channels).rev().flatten().copied());
        Features::from_values(self.dimensions(), reversed.collect())
    }

    /// Root mean square difference of two pictures, in levels of 255, from the distance of their vectors.
    pub fn levels(&self, distance: f64) -> f64 {
        distance / (self.dimensions() as f64).sqrt() * 127.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_are_kept_and_large_ones_averaged() {
        let small = Pixels::new(2, 3, 1);
        assert_eq!(small.dimensions(), 6);
        assert_eq!(small.vector(&[0, 255, 0, 255, 0, 255]), [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
        let large = Pixels::new(64, 96, 3);
        assert_eq!(large.dimensions(), 32 * 32 * 3);
        let stripes: Vec<u8> = (0..64 * 96 * 3).map(|i| if i / (96 * 3) % 2 == 0 { 255 } else { 0 }).collect();
        assert!(large.vector(&stripes).iter().all(|v| v.abs() < 1e-6));
        let odd = Pixels::new(33, 71, 3);
        let picture: Vec<u8> = (0..33 * 71 * 3).map(|i| (i * i % 251) as u8).collect();
        let turned: Vec<u8> =
            picture.chunks_exact(71 * 3).flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
        assert_eq!(odd.mirrored(&Features::from_rows(&[odd.vector(&picture)])).row(0), odd.vector(&turned));
        let zero = large.vector(&[0; 64 * 96 * 3]);
        let four = large.vector(&[4; 64 * 96 * 3]);
        let distance = crate::features::squared_distance(&zero, &four).sqrt();
        assert!((large.levels(distance) - 4.0).abs() < 1e-3);
    }
}
