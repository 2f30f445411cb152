use super::*;

const WRITTEN_ZIP: &[u8] = include_bytes!("../../../tests/golden/torch_zip.pth");
const WRITTEN_LEGACY: &[u8] = include_bytes!("../../../tests/golden/torch_legacy.pth");

/// The files of `tests/golden/torch_files.py`: whole tensors, a transposed one, a part of a storage, a counter, a parameter,
/// a dictionary with attributes, and in the older format a dictionary within a checkpoint.
#[test]
fn both_formats_of_pytorch_are_read() {
    for bytes in [WRITTEN_ZIP, WRITTEN_LEGACY] {
        let weights = load(bytes).unwrap();
        let names: Vec<&str> = weights.keys().map(String::as_str).collect();
        assert_eq!(names, ["conv.weight", "part.bias", "scalar", "turned.weight"]);
        assert_eq!(weights["conv.weight"].shape, [2, 3, 4]);
        assert_eq!(weights["conv.weight"].data, (0..24).map(|i| i as f32 / 8.0).collect::<Vec<_>>());
        assert_eq!(weights["part.bias"].data, [3.0, 4.0, 5.0, 6.0]);
        assert_eq!((&weights["scalar"].shape[..], &weights["scalar"].data[..]), (&[][..], &[2.5][..]));
        assert_eq!(weights["turned.weight"].shape, [4, 3]);
        let turned: Vec<f32> = (0..4).flat_map(|i| (0..3).map(move |j| (j * 4 + i) as f32 - 5.0)).collect();
        assert_eq!(weights["turned.weight"].data, turned);
    }
}

#[test]
fn damaged_files_are_refused_or_harmless() {
    for bytes in [WRITTEN_ZIP, WRITTEN_LEGACY] {
        for length in 0..bytes.len() {
            let _ = load(&bytes[..length]);
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= flip;
                let _ = load(&damaged);
            }
        }
    }
    assert!(load(&WRITTEN_LEGACY[..WRITTEN_LEGACY.len() - 1]).unwrap_err().contains("cut off"));
}

/// A file of the older format around the pickle `object`, without storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    [LEGACY, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", object, b"\x80\x02]."].concat()
}

#[test]
fn nothing_is_called() {
    let refused = |object: &[u8], words: &str| {
        let why = load(&legacy(object)).unwrap_err();
        assert!(why.contains(words), "{why}");
    };
    refused(b"\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00trueR.", "posix.system");
    refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval");
    refused(b"\x80\x02ctorch\nload\n.", "torch.load");
    refused(b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.", "0x69"); // INST
    refused(b"\x80\x02ccollections\nOrderedDict\n)\x81.", "0x81"); // NEWOBJ
    refused(b"\x80\x02}}b.", "not hold a dictionary of tensors");
    refused(b"\x80\x02N}b.", "attributes");
    refused(b"\x80\x02N)R.", "not a function");
    refused(b"\x80\x02h\x07.", "recalls");
    refused(b"\x80\x02.", "runs empty");
    refused(b"\x80\x02X\xff\xff\xff\xffabc", "cut off");
}

/// A dictionary with one tensor of `storage_count` numbers and these shape and strides, as text of pickle operations.
fn one_tensor(storage_count: u8, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let tuple = |sizes: &[u32]| {
        let numbers = sizes.iter().flat_map(|n| [&b"J"[..], &n.to_le_bytes()].concat());
        [&b"("[..], &numbers.collect::<Vec<u8>>(), b"t"].concat()
    };
    let object = [
        &b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"[..],
        &b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK"[..],
        &[storage_count],
        b"NtQK\x00",
        &tuple(shape),
        &tuple(strides),
        b"\x89}tRs.",
    ]
    .concat();
    let head = [LEGACY, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", &object, b"\x80\x02]X\x01\x00\x00\x000a."].concat();
    let numbers = (0..storage_count).flat_map(|i| f32::from(i).to_le_bytes());
    [head, u64::from(storage_count).to_le_bytes().to_vec(), numbers.collect()].concat()
}

#[test]
fn shapes_cannot_reach_outside_or_multiply_the_file() {
    assert_eq!(load(&one_tensor(6, &[2, 3], &[3, 1])).unwrap()["w"].data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(load(&one_tensor(6, &[0, 3], &[3, 1])).unwrap()["w"].data.is_empty());
    let refused = |shape: &[u32], strides: &[u32], words: &str| {
        let why = load(&one_tensor(6, shape, strides)).unwrap_err();
        assert!(why.contains(words), "{shape:?} {strides:?}: {why}");
    };
    refused(&[3, 3], &[3, 1], "past the end");
    refused(&[2, 3], &[0x7fff_ffff, 1], "past the end");
    refused(&[1_000_000], &[0], "larger than the file");
    refused(&[0x7fff_ffff; 8], &[0; 8], "larger than the file");
    refused(&[0xffff_ffff], &[1], "negative");
    refused(&[2, 3], &[1], "strides");
}
