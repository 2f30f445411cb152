//! Listing: folders, archives, IDX, metadata (faults 1, 2, 5).

use std::io::Write;

use zip::write::SimpleFileOptions;

use super::*;

#[test]
fn labels_come_from_two_or_more_folders() {
    let (a, b, c) = (png(1, 8, 8), png(2, 8, 8), png(3, 8, 8));
    let labels = |files: &[(&str, &[u8])]| -> Vec<Option<String>> {
        let dir = folder(files);
        scan_path(dir.path()).items.into_iter().map(|item| item.label).collect()
    };
    let some = |label: &str| Some(label.to_string());
    assert_eq!(
        labels(&[("cat/a.png", &a), ("dog/b.png", &b), ("dog/deep/c.png", &c)]),
        [some("cat"), some("dog"), some("dog")]
    );
    assert_eq!(labels(&[("cat/a.png", &a), ("dog/b.png", &b), ("c.png", &c)]), [None, None, None]);
    assert_eq!(labels(&[("only/a.png", &a), ("only/b.png", &b)]), [None, None]);
    assert_eq!(labels(&[("wrap/cat/a.png", &a), ("wrap/dog/b.png", &b)]), [some("cat"), some("dog")]);
    assert_eq!(
        labels(&[("train/cat/a.png", &a), ("test/cat/b.png", &b), ("test/dog/c.png", &c)]),
        [some("cat"), some("dog"), some("cat")]
    );
    assert_eq!(labels(&[("train/a.png", &a), ("test/b.png", &b)]), [None, None]);
    assert_eq!(labels(&[("cat/a.png", &a), ("dog/b.png", &b), ("notes/c.md", b"text")]), [some("cat"), some("dog")]);
}

#[test]
fn hidden_other_and_foreign_files() {
    let picture = png(1, 8, 8);
    let dir = folder(&[
        ("a.png", &picture),
        (".hidden.png", &picture),
        (".git/b.png", &picture),
        ("readme.md", b"hello"),
        ("alone.txt", b"beside nothing"),
        ("phone.HEIC", b"...."),
        ("B.PNG", &picture),
    ]);
    let scan = scan_path(dir.path());
    assert_eq!(names(&scan), ["B.PNG", "a.png"]);
    assert_eq!(scan.ignored, 2);
    assert!(reason(&scan.rejects, "phone.HEIC").contains("convert"));
}

#[test]
fn captions_and_metadata() {
    let (a, b) = (png(1, 8, 8), png(2, 8, 8));
    let dir = folder(&[
        ("x/a.png", &a),
        ("x/a.txt", "\u{feff}一只猫 \r\nmore".as_bytes()),
        ("y/b.png", &b),
        ("y/b.txt", b"\n"),
    ]);
    let scan = scan_path(dir.path());
    assert_eq!(scan.items[0].caption.as_deref(), Some("一只猫"));
    assert_eq!((scan.items[1].caption.as_deref(), scan.ignored), (None, 0));

    // The metadata decides about labels, and about captions where it has them.
    let csv = "file_name,label,text\nx/a.png,tabby,\"a cat, asleep\"\ny/b.png,hound,\nx/gone.png,tabby,\n,none,\n";
    write(dir.path(), "metadata.csv", csv.as_bytes());
    let scan = scan_path(&dir.path().join("metadata.csv"));
    assert_eq!(scan.items[0].label.as_deref(), Some("tabby"));
    assert_eq!(scan.items[0].caption.as_deref(), Some("a cat, asleep"));
    assert_eq!(reason(&scan.rejects, "x/gone.png"), "named in metadata.csv line 4 but not there");
    assert_eq!(reason(&scan.rejects, "metadata.csv line 5"), "the row has no file_name");

    let jsonl = "{\"file_name\": \"a.png\", \"label\": 3, \"text\": \"three\"}\n\n{oops\n";
    let dir = folder(&[("in/a.png", &a), ("in/metadata.jsonl", jsonl.as_bytes()), ("in/b.png", &b)]);
    let scan = scan_path(dir.path());
    assert_eq!((scan.items[0].label.as_deref(), scan.items[0].caption.as_deref()), (Some("3"), Some("three")));
    assert!(reason(&scan.rejects, "in/metadata.jsonl line 3").starts_with("the line is not valid JSON"));
    assert!(scan.notes.iter().any(|note| note.contains("1 of 2 pictures have no label")), "{:?}", scan.notes);

    let dir = folder(&[("a.png", &a), ("metadata.csv", b"name,size\nx,1\n")]);
    assert!(scan_path(dir.path()).notes[0].contains("no column file_name"));
}

#[test]
fn broken_files_are_listed_and_the_rest_is_used() {
    let good = png(1, 16, 16);
    let dir = folder(&[
        ("good.png", &good),
        ("empty.png", b""),
        ("text.png", b"hello"),
        ("cut.png", &good[..good.len() / 2]),
        ("new\nline.png", b"x"),
    ]);
    let report = check_path(dir.path());
    assert_eq!((report.usable, report.rejects.len()), (1, 4));
    assert!(reason(&report.rejects, "empty.png").contains("empty"));
    assert!(reason(&report.rejects, "text.png").contains("text"));
    assert!(reason(&report.rejects, "cut.png").contains("truncated"));
    assert_eq!(display_name(&report.rejects.iter().find(|r| r.name.contains('\n')).unwrap().name), "new\\nline.png");

    let cache = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&config(8), &scan_path(dir.path()), cache.path(), &|_, _| ()).unwrap();
    assert_eq!(dataset.manifest().rejects, report.rejects);
    assert_eq!(dataset.manifest().counts.rejected, 4);
}

#[test]
fn nothing_usable_says_why() {
    let dir = folder(&[("a.png", b""), ("b.png", b""), ("c.png", b"text")]);
    let cache = tempfile::tempdir().unwrap();
    let open = |path: &Path| Dataset::open(&config(8), &scan_path(path), cache.path(), &|_, _| ()).unwrap_err();
    let error = open(dir.path());
    assert_eq!(error.kind, crate::ErrorKind::Input);
    assert!(error.message.contains("none of the 3 files"), "{error}");
    assert!(error.message.ends_with("2 × empty: the file has no bytes; 1 × not a picture: it holds text"), "{error}");
    let dir = folder(&[("readme.md", b"")]);
    assert!(open(dir.path()).message.contains("there are no pictures"));
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0, "no partial files are left");
    assert_eq!(check_path(dir.path()).usable, 0);
}

#[cfg(unix)]
#[test]
fn links_pipes_and_odd_names_do_not_hang() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let dir = folder(&[("a/a.png", &png(1, 8, 8)), ("b/b.png", &png(2, 8, 8))]);
    let root = dir.path();
    symlink(root, root.join("a/loop")).unwrap();
    symlink(root.join("nowhere.png"), root.join("a/broken.png")).unwrap();
    // Two folders full of links to one another: not a loop for each path, but without end together.
    for i in 0..30 {
        std::fs::create_dir(root.join(format!("b/{i}"))).unwrap();
    }
    for i in 0..29 {
        for name in ["left", "right"] {
            symlink(root.join(format!("b/{}", i + 1)), root.join(format!("b/{i}/{name}"))).unwrap();
        }
    }
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"a/caf\xe9.png")), png(3, 8, 8)).unwrap();
    let scan = scan_path(root);
    assert_eq!(names(&scan), ["a/a.png", "a/caf\u{fffd}.png", "b/b.png"]);
    assert!(reason(&scan.rejects, "a/loop").contains("loop"));
    assert!(reason(&scan.rejects, "a/broken.png").contains("not there"));
    assert!(scan.notes.iter().any(|note| note.contains("UTF-8")));
    assert_eq!(check(&scan, &|_, _| ()).unwrap().usable, 3);
}

pub(super) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_zip_reads_like_a_folder() {
    let pictures: Vec<_> = (0..6).map(|i| png(i, 8, 8)).collect();
    let mut files: Vec<(String, &[u8])> = pictures
        .iter()
        .enumerate()
        .map(|(i, bytes)| (format!("pets/{}/{i}.png", if i < 3 { "cat" } else { "dog" }), bytes.as_slice()))
        .collect();
    files.push(("pets/cat/0.txt".into(), b"first cat"));
    files.push(("pets/bad.md".into(), b"text"));
    files.push(("__MACOSX/pets/cat/._0.png".into(), b"junk"));
    files.push(("pets/dog/cut.png".into(), &pictures[0][..40]));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let dir = folder(&[("pets.zip", &zip_of(&files))]);
    let path = dir.path().join("pets.zip");
    let report = check_path(&path);
    assert_eq!((report.usable, report.ignored, report.captions), (6, 1, 1));
    assert_eq!(report.labels, [("cat".to_string(), 3), ("dog".to_string(), 3)]);
    assert!(reason(&report.rejects, "pets/dog/cut.png").contains("truncated"));

    // The same pictures as a folder give the same rows.
    let unpacked = folder(&files);
    let cache = tempfile::tempdir().unwrap();
    let open = |path: &Path| Dataset::open(&config(8), &scan_path(path), cache.path(), &|_, _| ()).unwrap();
    let (zipped, plain) = (open(&path), open(&unpacked.path().join("pets")));
    assert_eq!(zipped.train_len(), plain.train_len());
    assert!((0..plain.train_len()).all(|i| zipped.train(i) == plain.train(i)));
}

#[test]
fn hostile_zips() {
    // Encrypted: bit 0 of the flags in the local and the central header.
    let mut bytes = zip_of(&[("a.png", &png(1, 8, 8))]);
    let central = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[6] |= 1;
    bytes[central + 8] |= 1;
    let dir = folder(&[("a.zip", &bytes)]);
    assert!(reason(&scan_path(&dir.path().join("a.zip")).rejects, "a.png").contains("encrypted"));

    // A bomb: 300 MiB of zeros in 300 KiB, which moreover claims to be small.
    let mut bytes = zip_of(&[("bomb.png", &vec![0; 300 << 20]), ("../../up.png", &png(1, 8, 8))]);
    let central = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[central + 24..central + 28].copy_from_slice(&1000u32.to_le_bytes());
    let dir = folder(&[("b.zip", &bytes)]);
    let report = check_path(&dir.path().join("b.zip"));
    assert_eq!(report.rejects.len(), 1, "{:?}", report.rejects);
    assert_eq!(report.items[0].name, "../../up.png"); // a name, never a path

    let dir = folder(&[("c.zip", b"PK\x03\x04 and then nothing"), ("d.zip", b"plain text")]);
    for name in ["c.zip", "d.zip"] {
        let source = Source::parse(dir.path().join(name).to_str().unwrap()).unwrap();
        assert!(scan(&source).unwrap_err().message.contains("not a readable zip"), "{name}");
    }
}

/// An IDX file: magic, dimensions, bytes.
fn idx_of(magic: u32, dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = magic.to_be_bytes().to_vec();
    dimensions.iter().for_each(|d| file.extend(d.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_with_and_without_labels() {
    let pixels: Vec<u8> = (0..12 * 16 * 8).map(|i| (i * 7 % 251) as u8).collect();
    let images = gzip(&idx_of(0x803, &[12, 8, 16], &pixels));
    let labels = idx_of(0x801, &[12], &[0, 1, 10, 2, 0, 1, 10, 2, 0, 1, 10, 2]);
    let dir = folder(&[("t-images-idx3-ubyte.gz", &images), ("t-labels-idx1-ubyte", &labels)]);
    let path = dir.path().join("t-images-idx3-ubyte.gz");
    let report = check_path(&path);
    assert_eq!((report.usable, report.items[0].width, report.items[0].height), (12, 16, 8));
    assert_eq!(report.labels.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "10"]);
    let cache = tempfile::tempdir().unwrap();
    let plain = DataConfig { width: 16, height: 8, channels: 1, holdout: 0.0, ..DataConfig::default() };
    let dataset = Dataset::open(&plain, &scan_path(&path), cache.path(), &|_, _| ()).unwrap();
    assert_eq!(dataset.train(3), &pixels[3 * 128..4 * 128]);
    assert_eq!(dataset.train_label(2), Some(3));

    std::fs::remove_file(dir.path().join("t-labels-idx1-ubyte")).unwrap();
    let scan = scan_path(&path);
    assert!(scan.items[0].label.is_none() && scan.notes[0].contains("no labels file"));
    write(dir.path(), "t-labels-idx1-ubyte", &idx_of(0x801, &[3], &[1, 2, 3]));
    let source = Source::parse(path.to_str().unwrap()).unwrap();
    assert!(super::scan(&source).unwrap_err().message.contains("3 labels for 12 pictures"));
    let error = Source::parse(dir.path().join("t-labels-idx1-ubyte").to_str().unwrap()).unwrap_err();
    assert!(error.message.contains("labels, not pictures"));
}

#[test]
fn idx_headers_are_not_trusted() {
    let cases: [(&str, Vec<u8>); 8] = [
        ("short", idx_of(0x803, &[5, 8, 8], &[0; 100])),
        ("long", idx_of(0x803, &[1, 8, 8], &[0; 100])),
        ("huge", idx_of(0x803, &[u32::MAX, u32::MAX, u32::MAX], &[0; 100])),
        ("wide", idx_of(0x803, &[1, 1, 5000], &[0; 5000])),
        ("none", idx_of(0x803, &[0, 8, 8], &[])),
        ("magic", idx_of(0x804, &[1, 8, 8], &[0; 64])),
        ("bomb", gzip(&idx_of(0x803, &[70_000, 32, 32], &vec![0; 70_000 << 10]))),
        ("gzip", gzip(&idx_of(0x803, &[5, 8, 8], &[0; 320]))[..30].to_vec()),
    ];
    for (name, bytes) in cases {
        let dir = folder(&[("x-images-idx3-ubyte", &bytes)]);
        let source = Source::parse(dir.path().join("x-images-idx3-ubyte").to_str().unwrap()).unwrap();
        let error = scan(&source).unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Input, "{name}");
        assert!(error.hint.is_some(), "{name}");
    }
}

#[test]
fn what_is_not_a_source_says_what_to_give() {
    let dir = folder(&[("one.png", &png(1, 8, 8)), ("notes.md", b"hello"), ("pack.tar", b"ustar")]);
    let parse = |name: &str| Source::parse(dir.path().join(name).to_str().unwrap()).unwrap_err();
    assert!(parse("absent").message.contains("there is no file or folder"));
    assert!(parse("one.png").message.contains("single picture"));
    assert!(parse("notes.md").message.contains("not a source"));
    assert!(parse("pack.tar").hint.unwrap().contains("unpack"));
    assert!(Source::parse("emoji").unwrap_err().hint.unwrap().contains("animals"));
    assert_eq!(Source::parse("emoji:animals").unwrap(), Source::Emoji("animals".into()));
}

/// The rule that training follows, too: mostly cut-outs are padded onto white.
#[test]
fn cut_outs_are_padded() {
    let transparent = encode(&image::RgbaImage::from_pixel(20, 30, image::Rgba([9, 9, 9, 0])).into(), ImageFormat::Png);
    let fit = |transparent_ones: u32| {
        let dir = many(10 - transparent_ones);
        (0..transparent_ones).for_each(|i| write(dir.path(), &format!("cut-out {i}.png"), &transparent));
        let report = check_path(dir.path());
        assert_eq!((report.usable, report.suggested_background), (10, [255; 3]));
        report.suggested_fit
    };
    assert_eq!((fit(0), fit(5), fit(6)), (Fit::Crop, Fit::Crop, Fit::Pad));
}

/// A tenth may be too small for the size, by more than a third.
#[test]
fn the_size_suits_nine_pictures_in_ten() {
    let size = |sides: &[u32]| {
        let dir = tempfile::tempdir().unwrap();
        sides
            .iter()
            .enumerate()
            .for_each(|(i, &side)| write(dir.path(), &format!("{i}.png"), &png(i as u32, side, side + 9)));
        check_path(dir.path()).suggested_size
    };
    assert_eq!(
        (size(&[8; 3]), size(&[47; 3]), size(&[48; 3]), size(&[96; 3]), size(&[300; 3])),
        (32, 32, 64, 128, 256)
    );
    let mostly_large = [[20; 1].as_slice(), &[64; 9]].concat();
    let mixed = [[20; 2].as_slice(), &[64; 8]].concat();
    assert_eq!((size(&mostly_large), size(&mixed)), (64, 32));
}
