//! A data set of noise, held in memory: for measuring and trying, where it does not matter what the pictures show.

use memmap2::MmapMut;
use rand::Rng;

use super::{Counts, DataConfig, Dataset, Entry, Manifest, Split, cache};
use crate::{Error, Result, rng};

impl Dataset {
    /// `count` different pictures of noise in the shape of `config`, all to train on; the classes in turn.
    ///
    /// # Errors
    /// A shape out of range, or no memory for it.
    pub fn synthetic(config: &DataConfig, classes: &[String], count: usize) -> Result<Dataset> {
        config.validate()?;
        let size = config.row_bytes();
        let no_memory = |e: std::io::Error| Error::io("get memory for", format!("{count} pictures"), &e);
        let mut map = MmapMut::map_anon(cache::HEADER_BYTES + count * size).map_err(no_memory)?;
        rng::stream(0, "synthetic", 0).fill_bytes(&mut map[cache::HEADER_BYTES..]);
        let checksum = blake3::hash(&map[cache::HEADER_BYTES..]);
        let header = cache::header(config, count as u64, blake3::hash(&[]), checksum);
        map[..cache::HEADER_BYTES].copy_from_slice(&header);
        let label = |i: usize| (!classes.is_empty()).then(|| i % classes.len());
        let entry = |(i, row): (usize, &[u8])| Entry {
            name: format!("noise {i}"),
            blake3: blake3::hash(row).to_hex().to_string(),
            bytes: size as u64,
            width: config.width,
            height: config.height,
            mode: "noise".into(),
            label: label(i).map(|class| classes[class].clone()),
            caption: None,
            split: Split::Train,
        };
        let manifest = Manifest {
            fingerprint: checksum.to_hex()[..32].to_string(),
            config: config.clone(),
            counts: Counts { train: count, ..Counts::default() },
            labels: classes.to_vec(),
            notes: Vec::new(),
            rejects: Vec::new(),
            duplicates: Vec::new(),
            pictures: map[cache::HEADER_BYTES..].chunks_exact(size).enumerate().map(entry).collect(),
        };
        Ok(Self::of(map.make_read_only().map_err(no_memory)?, manifest))
    }
}
