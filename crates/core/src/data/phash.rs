//! Near-duplicates: a difference hash (dHash, N. Krawetz 2013) to find candidates, the small pictures themselves to confirm.

use image::DynamicImage;

use super::resize::grey_thumbnail;

/// Two hashes of near-duplicates differ in at most this many of 64 bits.
pub(super) const MAX_BITS: u32 = 3;
/// And their 9×8 thumbnails, brightness taken out, by at most this many of 255 levels on average.
const MAX_LEVELS: f32 = 4.0;
/// Thumbnails with a smaller range of levels say nothing: flat pictures are all alike.
const MIN_RANGE: u8 = 12;
/// Pairs are compared until there were this many comparisons, about a second or two.
const MAX_COMPARISONS: u64 = 400_000_000;
/// Pairs that are reported.
const MAX_PAIRS: usize = 10_000;

/// A picture seen from far away: 9×8 grey levels, and the sign of each horizontal difference as 64 bits.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub hash: u64,
    thumbnail: Vec<u8>,
}

impl Look {
    pub(super) fn of(image: &DynamicImage) -> Result<Look, String> {
        let thumbnail = grey_thumbnail(image, 9, 8)?;
        let rows = thumbnail.chunks_exact(9);
        let brighter = rows.flat_map(|row| row.windows(2).map(|pair| u64::from(pair[0] < pair[1])));
        let hash = brighter.fold(0, |hash, bit| hash << 1 | bit);
        Ok(Look { hash, thumbnail })
    }

    fn is_flat(&self) -> bool {
        let (low, high) = (self.thumbnail.iter().min(), self.thumbnail.iter().max());
        low.zip(high).is_none_or(|(low, high)| high - low < MIN_RANGE)
    }

    /// Mean absolute difference of the thumbnails after taking out each one's mean.
    fn distance(&self, other: &Look) -> f32 {
        let n = self.thumbnail.len() as f32;
        let mean = |look: &Look| look.thumbnail.iter().map(|&v| f32::from(v)).sum::<f32>() / n;
        let (a, b) = (mean(self), mean(other));
        let pairs = self.thumbnail.iter().zip(&other.thumbnail);
        pairs.map(|(&x, &y)| ((f32::from(x) - a) - (f32::from(y) - b)).abs()).sum::<f32>() / n
    }
}

/// The pairs of near-duplicates among `looks`, by index, and whether all pairs were compared.
pub(super) fn near_pairs(looks: &[&Look]) -> (Vec<(usize, usize, u32)>, bool) {
    let mut pairs = Vec::new();
    let mut left = MAX_COMPARISONS;
    let useful: Vec<usize> = (0..looks.len()).filter(|&i| !looks[i].is_flat()).collect();
    // Two hashes that differ in at most 3 bits are equal in at least one of their four quarters, so only pictures that
    // share a quarter are compared; a pair is taken at the first quarter it shares.
    for band in 0..4 {
        let quarter = |i: usize| (looks[i].hash >> (16 * band)) as u16;
        let mut order = useful.clone();
        order.sort_by_key(|&i| (quarter(i), i));
        for bucket in order.chunk_by(|&a, &b| quarter(a) == quarter(b)) {
            for (place, &a) in bucket.iter().enumerate() {
                let others = &bucket[place + 1..];
                match left.checked_sub(others.len() as u64) {
                    Some(rest) if pairs.len() < MAX_PAIRS => left = rest,
                    _ => return (sorted(pairs), false),
                }
                for &b in others {
                    let difference = looks[a].hash ^ looks[b].hash;
                    let earlier = (0..band).any(|band| (difference >> (16 * band)) as u16 == 0);
                    let bits = difference.count_ones();
                    if bits <= MAX_BITS && !earlier && looks[a].distance(looks[b]) <= MAX_LEVELS {
                        pairs.push((a, b, bits));
                    }
                }
            }
        }
    }
    (sorted(pairs), true)
}

fn sorted(mut pairs: Vec<(usize, usize, u32)>) -> Vec<(usize, usize, u32)> {
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(shift: u32, brightness: u8) -> DynamicImage {
        let wave = |x: u32, y: u32| {
            ((f64::from(x + shift) / 9.0).sin() * 50.0 + (f64::from(y) / 7.0).cos() * 50.0 + 110.0) as u8
        };
        image::GrayImage::from_fn(72, 64, |x, y| image::Luma([wave(x, y).saturating_add(brightness)])).into()
    }

    #[test]
    fn finds_the_brighter_copy_but_not_flat_or_other_pictures() {
        let flat = DynamicImage::from(image::GrayImage::from_pixel(40, 40, image::Luma([9])));
        let looks: Vec<Look> = [picture(0, 0), picture(20, 0), flat.clone(), picture(0, 12), flat, picture(41, 0)]
            .into_iter()
            .map(|image| Look::of(&image).unwrap())
            .collect();
        let (pairs, all) = near_pairs(&looks.iter().collect::<Vec<_>>());
        assert!(all);
        assert_eq!(pairs.iter().map(|&(a, b, _)| (a, b)).collect::<Vec<_>>(), [(0, 3)]);
    }

    #[test]
    fn quarters_miss_nothing() {
        // Against the plain comparison of all pairs, on hashes that are close to one another.
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let thumbnail: Vec<u8> = (0..72).map(|i| i * 3).collect();
        let looks: Vec<Look> = (0..300)
            .map(|_| Look {
                hash: 0x1234_5678_9abc_def0 ^ 1 << (next() % 64) ^ 1 << (next() % 64),
                thumbnail: thumbnail.clone(),
            })
            .collect();
        let mut plain = Vec::new();
        for a in 0..looks.len() {
            for b in a + 1..looks.len() {
                let bits = (looks[a].hash ^ looks[b].hash).count_ones();
                if bits <= MAX_BITS {
                    plain.push((a, b, bits));
                }
            }
        }
        let (pairs, _) = near_pairs(&looks.iter().collect::<Vec<_>>());
        assert!(plain.len() > 100);
        assert_eq!(pairs, plain);
    }
}
