//! Weights as torch.save wrote them, the old and the new way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = maliang::pretrained::read_weights(&maliang_fuzz::file("pickle/weights.pth", bytes));
});
