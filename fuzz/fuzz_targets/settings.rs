//! A `run.toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = toml::from_str::<maliang::run::config::RunConfig>(text) else { return };
    let _ = config.opened().and_then(|config| config.validate());
});
