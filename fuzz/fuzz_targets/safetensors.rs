//! A safetensors file, ours or of others.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = maliang::weights::load_bytes(bytes);
    let _ = maliang::weights::foreign_bytes(bytes);
});
