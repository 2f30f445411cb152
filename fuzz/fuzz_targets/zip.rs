//! A zip archive as a source of pictures.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    maliang_fuzz::check_pictures(&maliang_fuzz::file("zip/source.zip", bytes));
});
