//! A file of IDX pictures, with a file of labels beside it: the first two bytes say where one ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (labels, images) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
    maliang_fuzz::file("idx/train-labels-idx1-ubyte", labels);
    maliang_fuzz::check_pictures(&maliang_fuzz::file("idx/train-images-idx3-ubyte", images));
});
