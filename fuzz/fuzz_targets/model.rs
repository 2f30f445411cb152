//! The description of a model of pictures: what it says must be refused before anything of its size is allocated.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<maliang::families::ModelConfig>(bytes) else { return };
    let _ = config.validate();
});
