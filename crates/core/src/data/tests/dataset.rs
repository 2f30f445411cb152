//! Cache, split, duplicates, loader (fault 7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn open(config: &DataConfig, path: &Path, cache: &TempDir) -> Dataset {
    Dataset::open(config, &scan_path(path), cache.path(), &|_, _| ()).unwrap()
}

#[test]
fn the_second_open_decodes_nothing() {
    let (dir, cache) = (many(30), tempfile::tempdir().unwrap());
    let scan = scan_path(dir.path());
    let calls = AtomicUsize::new(0);
    let count = |done: usize, total: usize| {
        assert!(done <= total && total == 30);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    let first = Dataset::open(&config(16), &scan, cache.path(), &count).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 30);
    let second = Dataset::open(&config(16), &scan, cache.path(), &count).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 30);
    assert_eq!(first.manifest(), second.manifest());
    assert!((0..first.train_len()).all(|i| first.train(i) == second.train(i) && first.train(i).len() == 16 * 16 * 3));
    assert_eq!(first.train_len() + first.heldout_len(), 30);
    // Other settings or other files are another data set; another spelling of the source is not.
    assert_ne!(fingerprint(&config(24), &scan), first.fingerprint());
    let spelt = DataConfig { source: "elsewhere".into(), ..config(16) };
    let same = Dataset::open(&spelt, &scan, cache.path(), &count).unwrap();
    assert_eq!((same.fingerprint(), same.manifest().config.source.as_str()), (first.fingerprint(), "elsewhere"));
    write(dir.path(), "new.png", &png(99, 9, 9));
    assert_ne!(fingerprint(&config(16), &scan_path(dir.path())), first.fingerprint());
}

#[test]
fn a_picture_by_itself_is_prepared_like_the_others() {
    let (dir, cache) = (many(8), tempfile::tempdir().unwrap());
    for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
        let config = DataConfig { fit, channels: 1, ..config(16) };
        let dataset = open(&config, dir.path(), &cache);
        for i in 0..dataset.train_len() {
            let path = dir.path().join(&dataset.train_entry(i).name);
            assert_eq!(read_picture(&path, &config).unwrap(), dataset.train(i), "{fit:?}");
        }
    }
    assert!(read_picture(&dir.path().join("none.png"), &config(16)).unwrap_err().message.contains("none.png"));
    write(dir.path(), "text.png", b"text");
    let error = read_picture(&dir.path().join("text.png"), &config(16)).unwrap_err();
    assert!(error.message.contains("text.png") && error.message.contains("not a picture"), "{error}");
}

#[test]
fn resume_needs_no_source() {
    let (dir, cache) = (many(12), tempfile::tempdir().unwrap());
    let scan = scan_path(dir.path());
    let dataset = Dataset::open(&config(16), &scan, cache.path(), &|_, _| ()).unwrap();
    let before: Vec<Vec<u8>> = (0..dataset.train_len()).map(|i| dataset.train(i).to_vec()).collect();
    let fingerprint = dataset.fingerprint().to_string();
    drop(dir);
    let resumed = Dataset::open_cached(cache.path(), &fingerprint).unwrap();
    assert!(before.iter().enumerate().all(|(i, row)| resumed.train(i) == row));
    assert_eq!(resumed.manifest(), dataset.manifest());
    // Gone between scan and open: each file is a reject, and with none left an error.
    let error = Dataset::open(&config(8), &scan, cache.path(), &|_, _| ()).unwrap_err();
    assert!(error.message.contains("12 × gone"), "{error}");
    let error = Dataset::open_cached(cache.path(), &"0".repeat(32)).unwrap_err();
    assert!(error.hint.unwrap().contains("give the source again"));
    assert!(Dataset::open_cached(cache.path(), "../../etc/passwd").is_err());
}

#[test]
fn a_file_gone_after_the_scan_is_one_reject() {
    let (dir, cache) = (many(12), tempfile::tempdir().unwrap());
    let scan = scan_path(dir.path());
    std::fs::remove_file(dir.path().join("004.png")).unwrap();
    let dataset = Dataset::open(&config(8), &scan, cache.path(), &|_, _| ()).unwrap();
    assert_eq!(dataset.manifest().pictures.len(), 11);
    assert!(reason(&dataset.manifest().rejects, "004.png").contains("gone"));
}

#[test]
fn a_damaged_cache_is_made_anew_or_named() {
    let (dir, cache) = (many(10), tempfile::tempdir().unwrap());
    let scan = scan_path(dir.path());
    let open = || Dataset::open(&config(8), &scan, cache.path(), &|_, _| ()).unwrap();
    let good: Vec<u8> = open().train(0).to_vec();
    let fingerprint = fingerprint(&config(8), &scan);
    let path = cache.path().join(format!("{fingerprint}.cache"));
    let json = cache.path().join(format!("{fingerprint}.json"));
    let (bytes, manifest) = (std::fs::read(&path).unwrap(), std::fs::read(&json).unwrap());
    let flip = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let damages: Vec<(&str, &Path, Vec<u8>)> = vec![
        ("empty", &path, vec![]),
        ("cut", &path, bytes[..bytes.len() - 1].to_vec()),
        ("long", &path, [&bytes[..], &[0]].concat()),
        ("magic", &path, flip(&bytes, 0)),
        ("rows", &path, flip(&bytes, 26)),
        ("json hash", &path, flip(&bytes, 40)),
        ("pixel", &path, flip(&bytes, bytes.len() - 1)),
        ("json", &json, flip(&manifest, 60)),
        ("json empty", &json, vec![]),
    ];
    for (name, file, damage) in damages {
        std::fs::write(file, damage).unwrap();
        let error = Dataset::open_cached(cache.path(), &fingerprint).unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Corrupt, "{name}: {error}");
        assert_eq!(open().train(0), good, "{name}");
        Dataset::open_cached(cache.path(), &fingerprint).unwrap();
    }
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let (dir, cache) = (many(10), tempfile::tempdir().unwrap());
    let fingerprint = fingerprint(&config(8), &scan_path(dir.path()));
    write(cache.path(), &format!(".{fingerprint}-abc.tmp"), &[0; 999]);
    write(cache.path(), &format!("{fingerprint}.lock"), &[]);
    open(&config(8), dir.path(), &cache);
    let mut left: Vec<_> =
        std::fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, [format!("{fingerprint}.cache"), format!("{fingerprint}.json")]);
}

#[test]
fn repeats_are_kept_once_and_the_split_follows_content() {
    let (dir, cache) = (many(60), tempfile::tempdir().unwrap());
    let split_of = |dataset: &Dataset| -> BTreeMap<String, Split> {
        dataset.manifest().pictures.iter().map(|p| (p.blake3.clone(), p.split)).collect()
    };
    let config = DataConfig { holdout: 0.25, ..config(8) };
    let before = open(&config, dir.path(), &cache);
    assert!((5..25).contains(&before.heldout_len()), "{}", before.heldout_len());
    // More files, a copy of an old one under two other names, one renamed.
    for i in 100..140 {
        write(dir.path(), &format!("a{i}.png"), &png(i, 12, 12));
    }
    write(dir.path(), "zz/copy.png", &png(5, 24, 20));
    write(dir.path(), "zz/again.png", &png(5, 24, 20));
    std::fs::rename(dir.path().join("007.png"), dir.path().join("seven.png")).unwrap();
    let after = open(&config, dir.path(), &cache);
    assert_eq!(after.manifest().pictures.len(), 100);
    assert_eq!(after.manifest().counts.duplicates, 2);
    let expected = Duplicate { kept: "005.png".into(), dropped: vec!["zz/again.png".into(), "zz/copy.png".into()] };
    assert_eq!(after.manifest().duplicates, [expected]);
    let after = split_of(&after);
    assert!(split_of(&before).iter().all(|(hash, split)| after[hash] == *split));
}

#[test]
fn check_finds_repeats_and_lookalikes() {
    let original = image::load_from_memory(&png(3, 64, 64)).unwrap();
    let smaller = original.resize_exact(40, 40, image::imageops::FilterType::Triangle);
    let dir = folder(&[
        ("a.png", &png(3, 64, 64)),
        ("b.png", &png(3, 64, 64)),
        ("c.jpg", &encode(&smaller, ImageFormat::Jpeg)),
        ("d.png", &png(8, 64, 64)),
    ]);
    let report = check_path(dir.path());
    assert_eq!((report.usable, report.distinct), (4, 3));
    assert_eq!(report.duplicates, [Duplicate { kept: "a.png".into(), dropped: vec!["b.png".into()] }]);
    let pairs: Vec<_> = report.near_duplicates.iter().map(|pair| (pair.a.as_str(), pair.b.as_str())).collect();
    assert_eq!(pairs, [("a.png", "c.jpg")]);
    assert_eq!(report.formats, BTreeMap::from([("jpeg".into(), 1), ("png".into(), 3)]));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<CheckReport>(&json).unwrap(), report);
}

#[test]
fn twins_among_prepared_pictures() {
    let (dir, cache) = (many(12), tempfile::tempdir().unwrap());
    let all = DataConfig { holdout: 0.0, ..config(16) };
    let before = open(&all, dir.path(), &cache).twins();
    assert_eq!((before.exact, before.near, before.complete), (0, 0, true));
    // Another file with the same pixels, and one that is a little brighter.
    let picture = image::load_from_memory(&png(3, 24, 20)).unwrap();
    write(dir.path(), "same.bmp", &encode(&picture, ImageFormat::Bmp));
    write(dir.path(), "brighter.png", &encode(&picture.brighten(9), ImageFormat::Png));
    let twins = open(&all, dir.path(), &cache).twins();
    assert_eq!((twins.exact, twins.near, twins.leaked), (1, 3, 0), "{twins:?}");
    // Wherever the split cuts, a pair is among training pictures, across, or held out.
    let half = open(&DataConfig { holdout: 0.5, ..config(16) }, dir.path(), &cache);
    let found = half.twins();
    assert!(found.near + found.leaked <= 3 && half.any(half.train_len()) == half.heldout(0), "{found:?}");
}

fn labelled(n: u32) -> (TempDir, TempDir, Arc<Dataset>) {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for i in 0..n {
        write(dir.path(), &format!("{}/{i:03}.png", ["cat", "dog", "emu"][i as usize % 3]), &png(i, 16, 16));
    }
    let config = DataConfig { holdout: 0.0, ..config(8) };
    let dataset = Arc::new(open(&config, dir.path(), &cache));
    (dir, cache, dataset)
}

#[test]
fn every_picture_once_an_epoch_in_another_order() {
    let (_dir, _cache, dataset) = labelled(23);
    let loader = Loader::new(dataset.clone(), 5, false, 1);
    let served: Vec<usize> = (0..23).flat_map(|step| loader.indices(step)).collect(); // 23 steps of 5: five epochs
    let epochs: Vec<&[usize]> = served.chunks(23).collect();
    for epoch in &epochs {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..23).collect::<Vec<_>>());
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(loader.indices(0), Loader::new(dataset, 5, false, 2).indices(0));
}

#[test]
fn a_batch_depends_on_seed_and_step_alone() {
    let (_dir, _cache, dataset) = labelled(23);
    let in_order = Loader::new(dataset.clone(), 8, true, 7);
    let expected: Vec<Batch> = (0..20).map(|step| in_order.batch(step)).collect();
    for step in [19, 0, 7, 7, 3, 12] {
        assert_eq!(Loader::new(dataset.clone(), 8, true, 7).batch(step), expected[step as usize]);
        assert_eq!(in_order.batch(step), expected[step as usize]);
    }
    let batch = &expected[0];
    assert_eq!((batch.size, batch.condition.classes.len(), batch.pictures.len()), (8, 8, 8 * 8 * 8 * 3));
    assert!(batch.pictures.iter().all(|v| (-1.0..=1.0).contains(v)));
    for (place, &index) in in_order.indices(0).iter().enumerate() {
        let class = batch.condition.classes[place];
        assert_eq!(class, dataset.train_label(index).unwrap());
        assert_eq!(dataset.train_entry(index).label.as_deref(), Some(dataset.labels()[class].as_str()));
    }
    // What is assembled ahead, rightly or wrongly guessed, changes nothing.
    let guessing = Loader::new(dataset.clone(), 8, true, 7);
    for (step, next) in [(0, 1), (1, 2), (2, 9), (3, 4), (4, 4), (4, 5), (19, 0)] {
        assert_eq!(guessing.batch_before(step, next), expected[step as usize]);
    }
    assert_eq!(guessing.batch(0), expected[0]);
    // Far steps cost no more than near ones, and batches larger than the data repeat it.
    let large = Loader::new(dataset, 50, false, 7);
    assert_eq!(large.batch(u64::MAX / 100).size, 50);
}

#[test]
fn flips_mirror_about_half_of_the_pictures_left_to_right() {
    let (_dir, _cache, dataset) = labelled(20);
    let (plain, flipped) = (Loader::new(dataset.clone(), 20, false, 3), Loader::new(dataset, 20, true, 3));
    let mut mirrored = 0;
    for step in 0..10 {
        let (a, b) = (plain.batch(step), flipped.batch(step));
        assert_eq!(a.condition, b.condition);
        for (a, b) in a.pictures.chunks(8 * 8 * 3).zip(b.pictures.chunks(8 * 8 * 3)) {
            let mirror: Vec<f32> = a.chunks(8 * 3).flat_map(|row| row.chunks(3).rev().flatten().copied()).collect();
            assert!(b == a || b == mirror);
            mirrored += usize::from(b == mirror);
        }
    }
    assert!((70..130).contains(&mirrored), "{mirrored} of 200");
}

/// Pictures of one colour each, which says by itself which picture of a batch it is: flips and shuffles do not change it.
fn captioned(n: u8) -> TempDir {
    let mut metadata = String::from("file_name,text,label\n");
    let dir = tempfile::tempdir().unwrap();
    for i in 0..n {
        let image = RgbImage::from_pixel(8, 8, image::Rgb([i * 9, 0, 0]));
        write(dir.path(), &format!("{i}.png"), &encode(&image.into(), ImageFormat::Png));
        // Every fifth has no caption.
        let caption = if i % 5 == 4 { String::new() } else { format!("\"number {i}, red\"") };
        metadata += &format!("{i}.png,{caption},{}\n", ["odd", "even"][usize::from(i % 2 == 0)]);
    }
    write(dir.path(), "metadata.csv", metadata.as_bytes());
    dir
}

#[test]
fn each_picture_of_a_batch_has_its_own_class_and_caption() {
    let (dir, cache) = (captioned(20), tempfile::tempdir().unwrap());
    let dataset = Arc::new(open(&DataConfig { holdout: 0.25, ..config(8) }, dir.path(), &cache));
    assert!(dataset.heldout_len() > 0);
    let number = |red: u8| usize::from(red) / 9;
    let check = |reds: Vec<u8>, condition: &Conditions| {
        assert_eq!((condition.classes.len(), condition.captions.len()), (reds.len(), reds.len()));
        for (place, i) in reds.into_iter().map(number).enumerate() {
            let caption = (i % 5 != 4).then(|| format!("number {i}, red"));
            assert_eq!(condition.captions[place].as_deref(), caption.as_deref());
            assert_eq!(dataset.labels()[condition.classes[place]], ["odd", "even"][usize::from(i % 2 == 0)]);
        }
    };
    for flip in [false, true] {
        let loader = Loader::new(dataset.clone(), 7, flip, 3);
        for step in 0..10 {
            let batch = loader.batch_before(step, step + 1); // 70 pictures of at most 19: several epochs
            let reds = batch.pictures.chunks(8 * 8 * 3).map(|picture| preprocess::to_bytes(&picture[..1])[0]).collect();
            check(reds, &batch.condition);
        }
    }
    let heldout: Vec<usize> = (0..dataset.heldout_len()).collect();
    check(heldout.iter().map(|&i| dataset.heldout(i)[0]).collect(), &dataset.heldout_conditions(&heldout));
}

#[test]
fn where_there_are_no_captions_and_no_classes_a_batch_has_none() {
    let (dir, cache) = (many(9), tempfile::tempdir().unwrap());
    let dataset = Arc::new(open(&config(8), dir.path(), &cache));
    assert_eq!(Loader::new(dataset, 4, true, 0).batch(0).condition, Conditions::default());
}

#[test]
fn impossible_settings_are_named() {
    let dir = many(2);
    let cache = tempfile::tempdir().unwrap();
    let scan = scan_path(dir.path());
    let bad = [
        ("width", DataConfig { width: 0, ..config(8) }),
        ("height", DataConfig { height: 1 << 40, ..config(8) }),
        ("channels", DataConfig { channels: 4, ..config(8) }),
        ("holdout", DataConfig { holdout: f64::NAN, ..config(8) }),
        ("holdout", DataConfig { holdout: 0.9, ..config(8) }),
    ];
    for (name, config) in bad {
        let error = Dataset::open(&config, &scan, cache.path(), &|_, _| ()).unwrap_err();
        assert!(error.message.contains(name) && error.hint.is_some(), "{error}");
    }
    assert!(toml::from_str::<DataConfig>("source = 'x'\nwidht = 3").is_err());
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_an_error_that_names_it() {
    let dir = many(9);
    let file = folder(&[("taken", b"")]);
    let error =
        Dataset::open(&config(8), &scan_path(dir.path()), &file.path().join("taken/cache"), &|_, _| ()).unwrap_err();
    assert_eq!(error.kind, crate::ErrorKind::Io);
    assert!(error.message.contains("taken"), "{error}");
}

#[test]
fn noise_is_a_data_set_like_any_other() {
    let classes = ["cat".to_string(), "dog".to_string()];
    let data = Dataset::synthetic(&config(16), &classes, 10).unwrap();
    assert_eq!((data.train_len(), data.heldout_len(), data.labels()), (10, 0, &classes[..]));
    assert_ne!(data.train(0), data.train(1));
    assert_eq!(data.train_label(3), Some(1));
    assert_eq!(data.train_entry(9).name, "noise 9");
    let again = Dataset::synthetic(&config(16), &classes, 10).unwrap();
    assert_eq!(data.manifest(), again.manifest());
    assert!(Dataset::synthetic(&config(16), &[], 1).unwrap().train_label(0).is_none());
}
