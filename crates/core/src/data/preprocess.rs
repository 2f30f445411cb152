//! The only place that changes pixel range: bytes 0..=255 on disk, floats -1..=1 inside a model.

/// Bytes to floats: `x / 127.5 - 1`, so 0 becomes -1 and 255 becomes 1 exactly.
pub fn to_unit(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|&byte| unit(byte)).collect()
}

/// One byte to its float, see [`to_unit`].
#[inline]
pub fn unit(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// Floats to bytes: `(x + 1) * 127.5`, rounded to the nearest and clamped. Not-a-number becomes 0.
///
/// Each value is converted on its own: a picture never depends on its neighbours in a batch.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    // `as u8` saturates at both ends and maps NaN to 0.
    values.iter().map(|&value| ((value + 1.0) * 127.5).round() as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        let unit = to_unit(&all);
        assert_eq!(to_bytes(&unit), all);
        assert_eq!((unit[0], unit[255]), (-1.0, 1.0));
        assert!(unit.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn out_of_range_is_clamped() {
        let values = [-7.0, 7.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0];
        assert_eq!(to_bytes(&values), [0, 255, 255, 0, 0, 128]);
    }
}
