//! Times check and cache, with and without keeping, in turn. Not for the repository.
use maliang::data::{self, DataConfig, Dataset, KEPT_BYTES, Source};
use std::time::Instant;
fn main() {
    if std::env::args().nth(1).as_deref() == Some("photos") {
        for i in 0..60u32 {
            let mut noise = i * 7919 + 1;
            let image = image::RgbImage::from_fn(4000, 3000, |x, y| {
                noise = noise.wrapping_mul(1664525).wrapping_add(1013904223);
                let n = (noise >> 28) as f32;
                let w = |c: f32| {
                    ((x as f32 / (90.0 + c * 31.0) + i as f32).sin() * 60.0
                        + (y as f32 / (70.0 + c * 17.0)).cos() * 50.0
                        + 120.0
                        + n) as u8
                };
                image::Rgb([w(0.0), w(1.0), w(2.0)])
            });
            image.save(format!("/tmp/photos/{i}.jpg")).unwrap();
        }
        return;
    }
    for source in std::env::args().skip(1) {
        for round in 0..4 {
            for room in [0, KEPT_BYTES] {
                let cache = tempfile::tempdir().unwrap();
                let scan = data::scan(&Source::parse(&source).unwrap()).unwrap().keeping(room);
                let t = Instant::now();
                let report = data::check(&scan, &|_, _| ()).unwrap();
                let a = t.elapsed().as_secs_f64();
                let config = DataConfig {
                    fit: report.suggested_fit,
                    background: report.suggested_background,
                    ..DataConfig::default()
                };
                let t = Instant::now();
                let d = Dataset::open(&config, &scan, cache.path(), &|_, _| ()).unwrap();
                let b = t.elapsed().as_secs_f64();
                println!(
                    "{source} round {round} keep {room:>10}: check {a:.3} s, cache {b:.3} s, both {:.3} s ({} pictures)",
                    a + b,
                    d.manifest().pictures.len()
                );
            }
        }
    }
}
