//! Whole paths through the data part, on inputs made here.

mod dataset;
mod files;
mod golden;
mod jpegs;
mod kept;
pub(crate) mod lookup;
mod real;
mod sources;
mod users;

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, RgbImage};
use tempfile::TempDir;

use super::*;

/// Encodes a picture.
fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A colourful PNG that differs for every `seed`, in its bytes and to the eye.
fn png(seed: u32, width: u32, height: u32) -> Vec<u8> {
    let wave = |x: u32, y: u32, c: u32| {
        let phase = f64::from(seed * (c + 1)) * 1.7;
        ((f64::from(x) * 0.31 + phase).sin() * 60.0 + (f64::from(y) * 0.23 - phase * 1.3).cos() * 60.0 + 127.0) as u8
    };
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([wave(x, y, 0), wave(x, y, 1), wave(x, y, 2)]));
    encode(&image.into(), ImageFormat::Png)
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(dir.path(), name, bytes);
    }
    dir
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A folder of `n` pictures of 24×20 pixels.
fn many(n: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..n {
        write(dir.path(), &format!("{i:03}.png"), &png(i, 24, 20));
    }
    dir
}

fn scan_path(path: &Path) -> Scan {
    scan(&Source::parse(path.to_str().unwrap()).unwrap()).unwrap()
}

fn check_path(path: &Path) -> CheckReport {
    check(&scan_path(path), &|_, _| ()).unwrap()
}

fn config(size: usize) -> DataConfig {
    DataConfig { width: size, height: size, ..DataConfig::default() }
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.items.iter().map(|item| item.name.as_str()).collect()
}

fn reason<'a>(rejects: &'a [Reject], name: &str) -> &'a str {
    &rejects.iter().find(|reject| reject.name == name).unwrap_or_else(|| panic!("{name} in {rejects:?}")).reason
}
