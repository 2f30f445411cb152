//! A picture that a user names; JPEGs are looked at before they are decoded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = maliang_fuzz::file("picture/picture.jpg", bytes);
    let _ = maliang::data::read_picture(&path, &maliang::data::DataConfig::default());
});
