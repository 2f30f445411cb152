//! An XMP packet that may hold a label: reading it, and adding a label of ours.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(packet) = std::str::from_utf8(bytes) else { return };
    let _ = maliang::provenance::xmp::read::<maliang::provenance::recipe::Recipe>(packet);
    let _ = maliang::provenance::xmp::read::<maliang::provenance::recipe::TextRecipe>(packet);
});
