//! Text in any encoding, or a line of JSON a document.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["text/text.txt", "text/text.jsonl"] {
        let path = maliang_fuzz::file(name, bytes);
        let source = path.to_str().expect("a temporary directory with a name in UTF-8");
        let Ok(scan) = maliang::data::text::scan_text(source) else { return };
        let _ = maliang::data::text::check_text(&scan, maliang::data::text::Documents::default(), &|_, _| ());
    }
});
