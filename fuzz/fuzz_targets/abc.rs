//! Tunes in ABC notation, as they would sound.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for tune in &maliang::music::abc::read(text).tunes {
        let _ = maliang::music::synth::samples(tune);
    }
});
