//! The real data sets, where they are there, and what happens where they are not.

use super::lookup::real;
use super::*;
use std::process::Command;

#[test]
fn tuxpaint_cutouts() {
    let Some(path) = real("tuxpaint-animals") else { return };
    let report = check_path(&path);
    assert_eq!((report.usable, report.captions, report.rejects.len(), report.ignored), (144, 144, 0, 0));
    assert_eq!(report.suggested_fit, Fit::Pad);
    assert!(report.transparent > 130 && report.labels.is_empty(), "{}", report.transparent);
}

#[test]
fn fashion_mnist() {
    let Some(path) = real("fashion-mnist/t10k-images-idx3-ubyte.gz") else { return };
    let scan = scan_path(&path);
    let cache = tempfile::tempdir().unwrap();
    let grey =
        DataConfig { width: 32, height: 32, channels: 1, fit: Fit::Pad, background: [0; 3], ..DataConfig::default() };
    let dataset = Dataset::open(&grey, &scan, cache.path(), &|_, _| ()).unwrap();
    assert_eq!(dataset.labels().len(), 10);
    assert_eq!(dataset.manifest().pictures.len() + dataset.manifest().counts.duplicates, 10_000);
    assert!((900..1100).contains(&dataset.heldout_len()), "{}", dataset.heldout_len());
}

#[test]
fn animals_have_twelve_labels() {
    let Some(path) = real("animals64") else { return };
    let report = check_path(&path);
    assert_eq!((report.usable, report.labels.len(), report.suggested_size), (6000, 12, 64));
    assert!(report.labels.iter().all(|(_, count)| *count == 500));
}

/// Runs `tuxpaint_cutouts` in a process of its own that finds no data.
#[test]
fn a_skip_is_recorded_and_fails_continuous_integration() {
    let place = tempfile::tempdir().unwrap();
    let list = place.path().join("skips");
    let without_data = |ci: &str| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "data::tests::real::tuxpaint_cutouts"]);
        test.env("MALIANG_TEST_DATA", place.path()).env("MALIANG_TEST_SKIPS", &list).env("CI", ci);
        let output = test.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (passed, out) = without_data("false");
    assert!(passed && out.contains("1 passed"), "{out}");
    let recorded = std::fs::read_to_string(&list).unwrap();
    assert!(
        recorded.starts_with("data::tests::real::tuxpaint_cutouts\tlacks the real data tuxpaint-animals: "),
        "{recorded}"
    );
    let (passed, out) = without_data("true");
    assert!(!passed && out.contains("1 failed") && out.contains("MALIANG_TEST_DATA may name another folder"), "{out}");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), recorded, "a failure is no skip");
}
