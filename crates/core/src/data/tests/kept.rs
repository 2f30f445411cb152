//! What a check keeps for the cache: each file is read and decoded once, and the cache is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{GrayImage, ImageBuffer, Luma, RgbaImage};

use super::super::kept::tests::kept;
use super::super::source::{Backing, Raw};
use super::*;

/// Pictures of all kinds, two of them equal, and three files that are none.
fn mixed() -> TempDir {
    let (wide, tall) = (png(1, 40, 24), png(2, 20, 30));
    let picture = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
    let alpha = RgbaImage::from_fn(30, 30, |x, y| image::Rgba([9, x as u8 * 8, y as u8 * 8, (x * y / 4) as u8]));
    let deep = ImageBuffer::<Luma<u16>, _>::from_fn(24, 24, |x, y| Luma([(x * y * 113) as u16]));
    folder(&[
        ("a.png", &wide),
        ("again.png", &wide),
        ("b.jpg", &encode(&picture(&tall), ImageFormat::Jpeg)),
        ("c.gif", &encode(&picture(&tall), ImageFormat::Gif)),
        ("alpha.png", &encode(&alpha.into(), ImageFormat::Png)),
        ("deep.png", &encode(&deep.into(), ImageFormat::Png)),
        ("grey.bmp", &encode(&GrayImage::from_fn(16, 16, |x, y| Luma([(x * y) as u8])).into(), ImageFormat::Bmp)),
        ("cut.png", &wide[..wide.len() / 2]),
        ("empty.png", b""),
        ("text.jpg", b"no picture"),
    ])
}

/// An archive of the files of a folder.
fn zipped(dir: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    let mut writer = zip::ZipWriter::new(std::fs::File::create(to.path().join("all.zip")).unwrap());
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut writer, &std::fs::read(entry.path()).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    to
}

/// The files of a cache: pixels and manifest.
fn files(cache: &TempDir, dataset: &Dataset) -> [Vec<u8>; 2] {
    ["cache", "json"].map(|kind| {
        let name = format!("{}.{kind}", dataset.fingerprint());
        std::fs::read(cache.path().join(name)).unwrap()
    })
}

#[test]
fn the_cache_after_a_check_is_the_cache_without_one() {
    let dir = mixed();
    let archive = zipped(dir.path());
    let sources = [dir.path().to_path_buf(), archive.path().join("all.zip")];
    let configs = [
        config(16),
        DataConfig { fit: Fit::Pad, background: [200, 10, 30], ..config(24) },
        DataConfig { fit: Fit::Stretch, channels: 1, background: [0; 3], ..config(32) },
    ];
    for (source, config) in sources.iter().flat_map(|source| configs.iter().map(move |config| (source, config))) {
        let without = tempfile::tempdir().unwrap();
        let expected = Dataset::open(config, &scan_path(source), without.path(), &|_, _| ()).unwrap();
        let plain_report = check_path(source);
        assert_eq!((plain_report.usable, plain_report.rejects.len()), (7, 3));
        // Room for everything, for some, for one picture, for the reasons of files that are none, and for nothing.
        for (room, most) in [(KEPT_BYTES, 20_000), (9_000, 9_000), (40 * 24 * 3, 2_880), (60, 60), (0, 0)] {
            let cache = tempfile::tempdir().unwrap();
            let scan = scan_path(source).keeping(room);
            let report = check(&scan, &|_, _| ()).unwrap();
            assert_eq!(report, plain_report, "{room}");
            assert!(kept(&scan) <= most && (kept(&scan) > 0) == (room > 0), "{room}: {}", kept(&scan));
            let dataset = Dataset::open(config, &scan, cache.path(), &|_, _| ()).unwrap();
            assert_eq!(files(&cache, &dataset), files(&without, &expected), "{room}");
            assert_eq!(kept(&scan), 0);
        }
    }
}

#[test]
fn nothing_is_kept_when_the_cache_is_there_or_cannot_be_made() {
    let (dir, cache) = (many(9), tempfile::tempdir().unwrap());
    let checked = || {
        let scan = scan_path(dir.path()).keeping(KEPT_BYTES);
        check(&scan, &|_, _| ()).unwrap();
        assert_eq!(kept(&scan), 9 * 24 * 20 * 3);
        scan
    };
    for _ in 0..2 {
        let scan = checked();
        Dataset::open(&config(8), &scan, cache.path(), &|_, _| ()).unwrap();
        assert_eq!(kept(&scan), 0);
    }
    let (scan, file) = (checked(), folder(&[("taken", b"")]));
    Dataset::open(&config(8), &scan, &file.path().join("taken"), &|_, _| ()).unwrap_err();
    assert_eq!(kept(&scan), 0);
}

/// Counts what is read: nothing is decoded without it.
#[derive(Debug)]
struct Counting {
    inner: Box<dyn Backing>,
    reads: Arc<AtomicUsize>,
}

impl Backing for Counting {
    fn read(&self, index: usize) -> Result<Raw<'_>, String> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(index)
    }
}

#[test]
fn a_file_is_read_and_decoded_once_for_check_and_cache() {
    let dir = mixed();
    let archive = zipped(dir.path());
    let reads_with = |room: u64| {
        let mut scan = scan_path(&archive.path().join("all.zip")).keeping(room);
        let (reads, cache) = (Arc::new(AtomicUsize::new(0)), tempfile::tempdir().unwrap());
        scan.backing = scan.backing.map(|inner| Box::new(Counting { inner, reads: reads.clone() }) as Box<dyn Backing>);
        check(&scan, &|_, _| ()).unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 10);
        Dataset::open(&config(16), &scan, cache.path(), &|_, _| ()).unwrap();
        reads.load(Ordering::Relaxed)
    };
    assert_eq!(reads_with(KEPT_BYTES), 10);
    assert_eq!(reads_with(0), 20);
    assert!((11..20).contains(&reads_with(4_000)));
}

#[test]
fn items_keep_their_own_picture_in_whatever_order_they_are_put() {
    let dir = many(12);
    let mut scan = scan_path(dir.path()).keeping(KEPT_BYTES);
    check(&scan, &|_, _| ()).unwrap();
    scan.items.retain(|item| item.name != "003.png");
    scan.items.reverse();
    let caches = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let kept = Dataset::open(&config(8), &scan, caches[0].path(), &|_, _| ()).unwrap();
    let decoded = Dataset::open(&config(8), &scan, caches[1].path(), &|_, _| ()).unwrap();
    assert_eq!(files(&caches[0], &kept), files(&caches[1], &decoded));
    assert_eq!(kept.manifest().pictures.len(), 11);
}
