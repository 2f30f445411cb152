//! Pictures that the user names, prepared as training pictures are.

use super::source::{self, Raw};
use super::{DataConfig, Item, Scan, decode, display_name, resize};
use crate::provenance::container;
use crate::{Error, Result};
use rayon::prelude::*;
use std::io::Cursor;
use std::path::Path;

/// Decodes the picture at `path` and fits it as `config` says: u8, `[height, width, channels]`.
///
/// # Errors
/// The file cannot be read, or is not a picture.
pub fn read_picture(path: &Path, config: &DataConfig) -> Result<Vec<u8>> {
    config.validate()?;
    let name = path.display().to_string();
    if !path.is_file() {
        return Err(Error::input(format!("there is no picture {name}")).hint("give the path of a PNG or JPEG file"));
    }
    let read = || -> Result<Vec<u8>, String> {
        let raw = Raw::File(source::read_file(path)?.into());
        resize::fit(&decode::decode(&raw, &name)?.0, config)
    };
    read().map_err(|reason| {
        Error::input(format!("{name} cannot be used: {reason}"))
            .hint("pictures are png, jpg, gif, webp, bmp, tiff, pnm, qoi and tga files")
    })
}

/// Decodes pictures of `scan` and fits them as `config` says: u8, `[height, width, channels]`.
///
/// # Errors
/// The first one that cannot be read.
pub fn read_pictures(scan: &Scan, items: &[&Item], config: &DataConfig) -> Result<Vec<Vec<u8>>> {
    config.validate()?;
    let read = |item: &&Item| {
        let read = || resize::fit(&decode::decode(&scan.read(item)?, &item.name)?.0, config);
        read().map_err(|reason: String| {
            Error::input(format!("{} of {} cannot be used: {reason}", display_name(&item.name), scan.source))
        })
    };
    items.par_iter().map(read).collect()
}

/// The XMP packet in the file of `item`, such as a label of what made the picture; nothing where none can be read.
pub fn read_packet(scan: &Scan, item: &Item) -> Option<String> {
    container::xmp(&mut Cursor::new(scan.read(item).ok()?.bytes())).ok()?
}
