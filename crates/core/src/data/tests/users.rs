//! Sources as users have them: names and tables in other encodings, parts of one set, files of other programs, files of ours.

use super::*;
use crate::provenance::{label, xmp};

fn labels(scan: &Scan) -> Vec<&str> {
    let mut labels: Vec<&str> = scan.items.iter().filter_map(|item| item.label.as_deref()).collect();
    labels.dedup();
    labels
}

/// One note holds all of these words.
#[track_caller]
fn notes(scan: &Scan, words: &[&str]) {
    let found = scan.notes.iter().any(|note| words.iter().all(|word| note.contains(word)));
    assert!(found, "{words:?} in {:?}", scan.notes);
}

/// An archive as old programs write it: names of any bytes, nothing that says in which encoding.
fn raw_zip(names: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (i, name) in names.iter().enumerate() {
        let (offset, bytes) = (out.len() as u32, png(i as u32, 8, 8));
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        let common = |version: &[u16]| {
            let mut header: Vec<u8> = version.iter().flat_map(|v| v.to_le_bytes()).collect();
            header.extend([0u16, 0, 0, 0].iter().flat_map(|v| v.to_le_bytes()));
            header.extend([crc.sum(), bytes.len() as u32, bytes.len() as u32].iter().flat_map(|v| v.to_le_bytes()));
            header.extend((name.len() as u16).to_le_bytes());
            header
        };
        out.extend([b"PK\x03\x04", &common(&[20])[..], &[0; 2], name, &bytes].concat());
        central.extend([b"PK\x01\x02", &common(&[20, 20])[..], &[0; 12], &offset.to_le_bytes(), name].concat());
    }
    let count = (names.len() as u16).to_le_bytes();
    let (length, start) = ((central.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    [&out[..], &central, b"PK\x05\x06", &[0; 4], &count, &count, &length, &start, &[0; 2]].concat()
}

fn scan_zip(names: &[Vec<u8>]) -> Scan {
    let dir = folder(&[("a.zip", &raw_zip(names))]);
    let scan = scan_path(&dir.path().join("a.zip"));
    let usable = check(&scan, &|_, _| ()).unwrap().usable;
    assert_eq!(usable, names.len());
    scan
}

#[test]
fn names_in_archives_are_read_in_their_encoding() {
    for (encoding, called, classes) in [
        (encoding_rs::GB18030, "GB18030", &["狗", "猫"][..]),
        (encoding_rs::SHIFT_JIS, "CP932", &["犬", "表札", "表紙"]),
        (encoding_rs::WINDOWS_1252, "CP1252", &["Bären", "Vögel"]),
        (encoding_rs::UTF_8, "", &["狗", "猫"]),
    ] {
        let encode = |name: String| encoding.encode(&name).0.into_owned();
        let names: Vec<Vec<u8>> =
            (0..12).flat_map(|i| classes.iter().map(move |class| encode(format!("{class}/{i:02}.png")))).collect();
        let scan = scan_zip(&names);
        let mut found = labels(&scan);
        found.sort_unstable();
        let mut wanted = classes.to_vec();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        match called {
            "" => assert!(scan.notes.is_empty(), "{:?}", scan.notes),
            _ => notes(&scan, &["not UTF-8", called, classes[0], "unpack it"]),
        }
    }
}

#[test]
fn names_in_no_encoding_stay_apart() {
    let names: Vec<Vec<u8>> =
        [0xfe, 0xff].map(|byte| vec![byte, 0xff, b'\\', 0x80, b'/', b'1', b'.', b'p', b'n', b'g']).into();
    let scan = scan_zip(&names);
    assert_eq!(scan.items.iter().map(|item| &item.name).collect::<std::collections::HashSet<_>>().len(), 2);
    notes(&scan, &["not UTF-8"]);
}

#[test]
fn names_are_compared_composed() {
    let (composed, apart) = ("Gr\u{f6}\u{df}e 1.png", "Gro\u{308}\u{df}e 1.png");
    let dir = folder(&[(apart, &png(1, 8, 8)), ("b.png", &png(2, 8, 8))]);
    write(dir.path(), "metadata.csv", format!("file_name,label\n{composed},B\u{e4}r\nb.png,Ba\u{308}r\n").as_bytes());
    let scan = scan_path(dir.path());
    assert!(scan.rejects.is_empty(), "{:?}", scan.rejects);
    assert_eq!(labels(&scan), ["B\u{e4}r"]);
    // Two forms of one folder are one class, beside another.
    let dir =
        folder(&[("B\u{e4}r/1.png", &png(1, 8, 8)), ("Ba\u{308}r/2.png", &png(2, 8, 8)), ("cat/3.png", &png(3, 8, 8))]);
    assert_eq!(labels(&scan_path(dir.path())), ["B\u{e4}r", "cat"]);
}

#[test]
fn classes_that_are_nearly_equal_are_pointed_out() {
    let pictures: Vec<_> = (0..4).map(|i| png(i, 8, 8)).collect();
    let dir = folder(&[
        ("Cat/1.png", &pictures[0]),
        ("cat/2.png", &pictures[1]),
        ("dog/3.png", &pictures[2]),
        ("dog /4.png", &pictures[3]),
    ]);
    let scan = scan_path(dir.path());
    notes(&scan, &["\"Cat\" and \"cat\"", "\"dog\" and \"dog \"", "kept apart"]);
    assert_eq!(labels(&scan).len(), 4);
}

#[test]
fn parts_of_one_set_are_no_classes() {
    let classes = |names: &[&str]| {
        let files: Vec<(&str, Vec<u8>)> =
            names.iter().enumerate().map(|(i, name)| (*name, png(i as u32, 8, 8))).collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        let dir = folder(&files);
        let scan = scan_path(dir.path());
        (labels(&scan).into_iter().map(String::from).collect::<Vec<_>>(), scan.notes)
    };
    for names in [
        &["training_set/a/1.png", "training_set/b/2.png", "test_set/a/3.png"][..],
        &["Train-Images/a/1.png", "Train-Images/b/2.png", "val2017/b/3.png"],
        &["fold1/a/1.png", "fold1/b/2.png", "fold2/a/3.png", "fold2/b/4.png"],
    ] {
        let (mut found, said) = classes(names);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, ["a", "b"], "{names:?}");
        assert!(said.iter().any(|note| note.contains("parts of one set")), "{said:?}");
    }
    let (found, said) = classes(&["train2017/1.png", "val2017/2.png"]);
    assert!(found.is_empty() && said.iter().any(|note| note.contains("train2017, val2017")), "{said:?}");
    assert!(classes(&["train/a/1.png", "test/b/2.png", "unlabeled/3.png"]).0.is_empty());
    // These are classes.
    for names in [
        &["trains/1.png", "tests/2.png"][..],
        &["extra/1.png", "plain/2.png"],
        &["a/x/1.png", "a/y/2.png", "b/x/3.png"],
        &["a/train/1.png", "a/test/2.png", "b/train/3.png", "b/test/4.png"],
        &["a/images/1.png", "a/masks/2.png", "b/images/3.png", "b/masks/4.png"],
    ] {
        assert_eq!(classes(names).0.len(), 2, "{names:?}");
    }
}

#[test]
fn metadata_of_spreadsheets_is_read() {
    let table = "file_name,label\r\n1.png,Bär\r\n2.png,pêche\r\n3.png,pèche\r\n";
    let utf_16: Vec<u8> = format!("\u{feff}{table}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let western = encoding_rs::WINDOWS_1252.encode(table).0.into_owned();
    let plain = |separator| table.replace(',', separator).into_bytes();
    for (bytes, guessed) in
        [(plain(";"), false), (plain("\t"), false), (plain("|"), false), (utf_16, false), (western, true)]
    {
        let dir = many(0);
        (1..4).for_each(|i| write(dir.path(), &format!("{i}.png"), &png(i, 8, 8)));
        write(dir.path(), "metadata.csv", &bytes);
        let scan = scan_path(dir.path());
        assert_eq!(labels(&scan), ["Bär", "pêche", "pèche"], "{:?}", scan.notes);
        match guessed {
            true => notes(&scan, &["metadata.csv is not UTF-8", "CP1252", "1.png,Bär"]),
            false => assert!(scan.notes.is_empty(), "{:?}", scan.notes),
        }
    }
    let dir = many(2);
    write(dir.path(), "metadata.parquet", b"PAR1....PAR1");
    notes(&scan_path(dir.path()), &["metadata.parquet is not read", "metadata.csv", "pandas.read_parquet"]);
}

#[test]
fn metadata_that_names_nothing_says_what_it_should_name() {
    let dir = many(0);
    write(dir.path(), "images/1.png", &png(1, 8, 8));
    write(dir.path(), "metadata.csv", b"file_name,label\nset/images/1.png,cat\n");
    let scan = scan_path(dir.path());
    notes(&scan, &["no row", "set/images/1.png", "where images/1.png would be one"]);
    assert!(scan.rejects[0].line);
    write(dir.path(), "metadata.jsonl", b"{\"file_name\": \"images/1.png\", \"score\": NaN}\n");
    assert!(scan_path(dir.path()).rejects.iter().any(|reject| reject.reason.contains("NaN")));
}

#[test]
fn what_holds_no_pictures_says_what_it_holds() {
    for (name, bytes, words) in [
        ("inner.zip", &b"PK"[..], "unpack the archives"),
        ("poem.txt", b"text", "to learn from texts"),
        ("table.csv", b"a,b", ".jsonl"),
        ("page.html", b"<p>", ".jsonl"),
        ("program.rs", b"fn", "pictures are png"),
    ] {
        let dir = folder(&[("a.zip", &super::sources::zip_of(&[(name, bytes)]))]);
        let error = scan_path(&dir.path().join("a.zip")).nothing_usable(&[]);
        let kind = name.rsplit_once('.').unwrap().1;
        assert!(error.message.contains(&format!("1 other file: {kind}")), "{error}");
        assert!(error.hint.clone().unwrap().contains(words), "{name}: {:?}", error.hint);
    }
}

#[test]
fn a_single_pixel_and_an_empty_file_are_refused() {
    let dir =
        folder(&[("a.png", &png(1, 8, 8)), ("tracker.gif", &png(2, 1, 1)), ("line.png", &png(3, 1, 8)), ("none", b"")]);
    let report = check_path(dir.path());
    assert_eq!((report.usable, report.ignored), (2, 1));
    assert!(reason(&report.rejects, "tracker.gif").contains("single pixel"));
}

/// Files of the system that never end: they say that they are empty.
#[cfg(target_os = "linux")]
#[test]
fn links_to_files_of_the_system_do_not_hang() {
    use std::os::unix::fs::symlink;
    let dir = folder(&[("a.png", &png(1, 8, 8))]);
    for name in ["b.png", "c.txt", "d", "metadata.csv", "a.txt"] {
        symlink("/proc/kmsg", dir.path().join(name)).unwrap();
    }
    assert_eq!(check_path(dir.path()).usable, 1);
}

#[test]
fn entries_that_overlap_are_refused() {
    let mut bytes = super::sources::zip_of(&[("a.png", &png(1, 8, 8)), ("b.png", &png(2, 8, 8))]);
    let second = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    // The second entry begins in the middle of the first.
    bytes[second + 42..second + 46].copy_from_slice(&9u32.to_le_bytes());
    let dir = folder(&[("a.zip", &bytes)]);
    let source = Source::parse(dir.path().join("a.zip").to_str().unwrap()).unwrap();
    assert!(scan(&source).unwrap_err().message.contains("overlap"));
}

#[test]
fn folders_of_other_programs_are_left_out_and_content_decides() {
    let picture = png(1, 8, 8);
    let dir = folder(&[
        ("cat/1.png", &picture),
        ("cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", &picture),
        ("#recycle/2.png", &picture),
        ("dog/IMG_0001", &png(2, 8, 8)),
        ("dog/photo.jpg_large", &png(3, 8, 8)),
        ("dog/notes", b"P2P and BMW are no pictures"),
        ("dog/more.notes", b"BMW, and P2P, are no pictures either"),
    ]);
    let scan = scan_path(dir.path());
    assert_eq!(names(&scan), ["cat/1.png", "dog/IMG_0001", "dog/photo.jpg_large"]);
    assert_eq!(scan.ignored, 2);
    notes(&scan, &["left out", "#recycle", "@eaDir"]);
    assert_eq!(check(&scan, &|_, _| ()).unwrap().usable, 3);
}

#[test]
fn what_this_program_made_is_no_data() {
    let picture = png(1, 8, 8);
    let mut own = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut own, 2, 2);
    encoder.add_itxt_chunk("XML:com.adobe.xmp".into(), xmp::merge(None, &label::sample()).unwrap()).unwrap();
    encoder.write_header().unwrap().write_image_data(&[9; 4]).unwrap();
    let dir = folder(&[
        ("1.png", &picture),
        ("made.png", &own),
        ("runs/photos-1/run.toml", b"seed = 1"),
        ("runs/photos-1/lock", b""),
        ("runs/photos-1/samples/00000001.png", &png(2, 8, 8)),
        ("cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"),
        ("cache/3.png", &png(3, 8, 8)),
    ]);
    let scan = scan_path(dir.path());
    assert_eq!(names(&scan), ["1.png", "made.png"]);
    notes(&scan, &["left out", "cache", "runs/photos-1"]);
    let files = [("1.png", &picture[..]), ("a/run.toml", b""), ("a/lock", b""), ("a/reals.png", &picture)];
    let archive = folder(&[("a.zip", &super::sources::zip_of(&files))]);
    let packed = scan_path(&archive.path().join("a.zip"));
    assert_eq!(names(&packed), ["1.png"]);
    notes(&packed, &["left out", "(a)"]);
    let report = check(&scan, &|_, _| ()).unwrap();
    assert_eq!(report.usable, 1);
    assert!(reason(&report.rejects, "made.png").contains("made by Maliang"));
    let cache = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&config(8), &scan_path(dir.path()), cache.path(), &|_, _| ()).unwrap();
    assert_eq!((dataset.train_len(), dataset.manifest().counts.rejected), (1, 1));
    // Who judges generated pictures wants them.
    assert_eq!(check(&scan_path(dir.path()).with_generated(), &|_, _| ()).unwrap().usable, 2);
}
