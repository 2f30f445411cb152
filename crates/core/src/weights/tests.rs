use super::*;
use proptest::prelude::*;

fn tensor(shape: &[usize]) -> HostTensor {
    let count = shape.iter().product();
    HostTensor { shape: shape.to_vec(), data: (0..count).map(|i| i as f32 * 0.5 - 1.0).collect() }
}

fn sample() -> (Weights, Metadata) {
    let weights =
        [("g.conv.weight", tensor(&[4, 4, 3, 2])), ("g.conv.bias", tensor(&[2])), ("g.none", tensor(&[0, 7]))];
    let metadata =
        [("config", r#"{"model":"dcgan","title":"马良 \"x\""}"#), ("version", "0.1.0"), ("a", "b"), ("c", "d")];
    (
        weights.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect(),
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    )
}

fn saved(weights: &Weights, metadata: &Metadata) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    save(&path, weights, metadata).unwrap();
    std::fs::read(path).unwrap()
}

/// A file with this header and `data` zero bytes after it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn round_trip() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    let (weights, metadata) = sample();
    save(&path, &weights, &metadata).unwrap();
    assert_eq!(load(&path).unwrap(), (weights, metadata));
    save(&path, &Weights::new(), &Metadata::new()).unwrap();
    assert_eq!(load(&path).unwrap(), (Weights::new(), Metadata::new()));
}

#[test]
fn same_weights_same_bytes() {
    let (weights, metadata) = sample();
    assert_eq!(saved(&weights, &metadata), saved(&weights.clone(), &metadata.clone()));
    assert_eq!(saved(&weights, &metadata).len() % 8, 0, "the data is aligned");
}

#[test]
fn the_safetensors_crate_reads_what_we_write() {
    let (weights, metadata) = sample();
    let bytes = saved(&weights, &metadata);
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), weights.len());
    for (name, tensor) in &weights {
        let view = theirs.tensor(name).unwrap();
        assert_eq!((view.shape(), view.dtype()), (&tensor.shape[..], safetensors::Dtype::F32));
        assert_eq!(view.data(), tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().clone().unwrap().into_iter().collect::<Metadata>(), metadata);
}

#[test]
fn we_read_what_the_safetensors_crate_writes() {
    let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = |dtype| safetensors::tensor::TensorView::new(dtype, vec![2], &data);
    let theirs = safetensors::serialize([("w", view(safetensors::Dtype::F32).unwrap())], None).unwrap();
    assert_eq!(load_bytes(&theirs).unwrap().0["w"].data, [1.5, -2.0]);
    let integers = safetensors::serialize([("w", view(safetensors::Dtype::I32).unwrap())], None).unwrap();
    let expected = WeightsError::WrongDtype { name: "w".into(), found: "I32".into() };
    assert_eq!(load_bytes(&integers), Err(expected));
}

#[test]
fn a_huge_header_is_refused() {
    for length in [u64::MAX, u64::MAX - 7, 1 << 62, MAX_HEADER, MAX_HEADER + 1, 9] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{      }");
        assert_eq!(load_bytes(&bytes), Err(WeightsError::HeaderTooLarge(length)));
    }
}

#[test]
fn a_header_that_is_not_the_json_is_refused() {
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let negative = r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#;
    let extra = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#;
    let deep = "[".repeat(10_000);
    for header in ["", "not json", "[]", "{\"a\":1}", "\u{0}\u{0}", twice, negative, extra, &deep] {
        assert!(matches!(load_bytes(&file(header, 4)), Err(WeightsError::HeaderNotJson(_))), "{header:.60}");
    }
    let mut not_text = file("{}", 0);
    not_text[LENGTH] = 0xff;
    assert!(matches!(load_bytes(&not_text), Err(WeightsError::HeaderNotJson(_))));
}

#[test]
fn offsets_must_tile_the_data() {
    let two = |a: &str, b: &str| {
        let entry = |offsets| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":[{offsets}]}}"#);
        load_bytes(&file(&format!(r#"{{"a":{},"b":{}}}"#, entry(a), entry(b)), 16)).map(|_| ())
    };
    let name = || "b".to_owned();
    assert_eq!(two("0,8", "8,16"), Ok(()));
    assert_eq!(two("0,8", "4,12"), Err(WeightsError::Overlap { name: name() }));
    assert_eq!(two("0,8", "0,8"), Err(WeightsError::Overlap { name: name() }));
    assert_eq!(two("0,8", "12,20"), Err(WeightsError::Hole { name: name() }));
    assert_eq!(two("8,16", "16,24"), Err(WeightsError::Hole { name: "a".into() }));
    assert_eq!(two("0,8", "8,4"), Err(WeightsError::Overlap { name: name() }));
    assert!(matches!(two("0,8", "8,20"), Err(WeightsError::WrongLength { .. })));
}

#[test]
fn shapes_that_overflow_are_refused() {
    for shape in ["4294967296,4294967296", "18446744073709551615,2", "18446744073709551615"] {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,4]}}}}"#);
        assert!(matches!(load_bytes(&file(&header, 4)), Err(WeightsError::ShapeOverflow { .. })), "{shape}");
    }
}

/// Each tensor's size is possible, and their sum exceeds 64 bits: an addition of these offsets must not overflow.
#[test]
fn offsets_near_the_end_of_u64_are_refused() {
    let length = usize::MAX / 8 / 4 * 4;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            let (start, end) = (i * length, (i + 1) * length);
            format!(r#""t{i}":{{"dtype":"F32","shape":[{}],"data_offsets":[{start},{end}]}}"#, length / 4)
        })
        .collect();
    let bytes = file(&format!("{{{}}}", entries.join(",")), 4);
    assert!(matches!(load_bytes(&bytes), Err(WeightsError::Truncated { .. })));
}

#[test]
fn values_must_be_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut weights, metadata) = sample();
        let mut bytes = saved(&weights, &metadata);
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&bad.to_le_bytes());
        assert_eq!(load_bytes(&bytes), Err(WeightsError::NotFinite { name: "g.conv.weight".into() }));

        weights.get_mut("g.conv.bias").unwrap().data[1] = bad;
        let directory = tempfile::tempdir().unwrap();
        let error = save(&directory.path().join("m"), &weights, &metadata).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Diverged);
        assert!(!directory.path().join("m").exists());
    }
}

#[test]
fn other_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.safetensors");
    let text = b"once upon a time there was a boy with a brush";
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    for bytes in [&b""[..], b"abc", text, png] {
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.contains("x.safetensors"), "{error}");
        assert!(error.hint.is_some());
    }
    let error = load(&directory.path().join("none")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Io);
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let (weights, metadata) = sample();
    let mut bytes = saved(&weights, &metadata);
    for length in 0..bytes.len() {
        assert!(load_bytes(&bytes[..length]).is_err(), "{length}");
    }
    bytes.push(0);
    assert_eq!(load_bytes(&bytes), Err(WeightsError::Trailing(1)));
}

#[test]
fn taking_checks_names_and_shapes() {
    let (mut weights, _) = sample();
    assert_eq!(take(&mut weights, "none", &[1]), Err(WeightsError::Missing { name: "none".into() }));
    let (name, expected, found) = ("g.conv.bias".to_owned(), vec![3], vec![2]);
    assert_eq!(take(&mut weights, "g.conv.bias", &[3]), Err(WeightsError::WrongShape { name, expected, found }));
    let (mut weights, _) = sample();
    assert_eq!(take(&mut weights, "g.conv.bias", &[2]).unwrap().data, [-1.0, -0.5]);
    assert_eq!(expect_empty(&weights), Err(WeightsError::Unexpected { name: "g.conv.weight".into() }));
    assert_eq!(expect_empty(&Weights::new()), Ok(()));
}

proptest! {
    /// Whatever happens to the bytes, loading answers; what it accepts is well formed.
    #[test]
    fn damaged_files_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let (weights, metadata) = sample();
        let mut bytes = saved(&weights, &metadata);
        for (index, value) in flips {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((weights, _)) = load_bytes(&bytes) {
            for tensor in weights.values() {
                prop_assert_eq!(tensor.shape.iter().product::<usize>(), tensor.data.len());
            }
        }
    }
}
