//! The metadata of a folder: the first byte chooses between `metadata.csv` and `metadata.jsonl`.
#![no_main]

/// One grey pixel.
const PICTURE: &[u8] = b"P5 1 1 255\n\x80";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let (name, folder) = if first % 2 == 0 { ("metadata.csv", "csv") } else { ("metadata.jsonl", "jsonl") };
    for picture in ["a.png", "dir/b.png"] {
        maliang_fuzz::file(&format!("{folder}/{picture}"), PICTURE);
    }
    let path = maliang_fuzz::file(&format!("{folder}/{name}"), bytes);
    maliang_fuzz::check_pictures(path.parent().expect("a file in a directory"));
});
