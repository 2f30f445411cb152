//! Named tensors on the host and their file, in the safetensors format:
//! `u64` header length, JSON header `{name: {dtype, shape, data_offsets}, "__metadata__": {…}}`, then the data.
//!
//! The header is read and written here rather than by the `safetensors` crate, for two reasons: the crate writes the
//! metadata in hash order, so that equal models get different bytes, and its length check adds untrusted offsets
//! unchecked. The tests use the crate as the independent reader and writer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::files::write_atomic;

/// A tensor in ordinary memory, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type Weights = BTreeMap<String, HostTensor>;

/// Text stored beside the weights, by key.
pub type Metadata = BTreeMap<String, String>;

/// The header may not be longer than this: the limit of the reference implementation.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes of the header's length.
const LENGTH: usize = 8;
/// The member of the header that is not a tensor.
const METADATA: &str = "__metadata__";
/// Bytes of one f32.
const F32: usize = 4;

/// What is wrong with a weights file, or with its weights for the model that wants them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// The file ends before the data that its header announces.
    #[error("the file is cut off: {found} bytes where {expected} are needed")]
    Truncated {
        /// Bytes needed.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The file is longer than its header says.
    #[error("{0} bytes follow the last tensor")]
    Trailing(u64),
    /// The header claims to be longer than the file or than any real header.
    #[error("the header claims {0} bytes, which is longer than the file or than any real header")]
    HeaderTooLarge(u64),
    /// The header is not the JSON it must be.
    #[error("the header is not the expected JSON: {0}")]
    HeaderNotJson(String),
    /// A tensor's bytes begin before its neighbour's end.
    #[error("tensor \"{name}\" overlaps another one")]
    Overlap {
        /// The tensor.
        name: String,
    },
    /// Bytes between two tensors belong to neither.
    #[error("there is a hole before tensor \"{name}\"")]
    Hole {
        /// The tensor.
        name: String,
    },
    /// The shape's product is too large to be a size.
    #[error("the shape {shape:?} of tensor \"{name}\" overflows")]
    ShapeOverflow {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Shape and number of bytes disagree.
    #[error("tensor \"{name}\" of shape {shape:?} cannot have {bytes} bytes")]
    WrongLength {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its bytes in the file.
        bytes: usize,
    },
    /// Not 32-bit floats.
    #[error("tensor \"{name}\" has type {found} instead of F32")]
    WrongDtype {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// NaN or infinite values.
    #[error("tensor \"{name}\" contains NaN or infinite values")]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// The model wants a tensor that is not there.
    #[error("tensor \"{name}\" is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// The model wants another shape.
    #[error("tensor \"{name}\" has shape {found:?} where the model needs {expected:?}")]
    WrongShape {
        /// The tensor.
        name: String,
        /// The shape the model needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor that the model does not know.
    #[error("tensor \"{name}\" does not belong to this model")]
    Unexpected {
        /// The tensor.
        name: String,
    },
}

impl WeightsError {
    /// The same as an [`struct@Error`] that names the file.
    pub fn at(&self, path: &Path) -> Error {
        Error::corrupt(format!("cannot use {}: {self}", path.display())).hint(self.advice())
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::WrongShape { .. } | Self::Unexpected { .. } => {
                "the file belongs to another architecture or configuration: use the one it was trained with"
            }
            Self::WrongDtype { .. } => "convert the file to 32-bit floats (F32)",
            Self::NotFinite { .. } => "the training that wrote it had diverged: use an earlier checkpoint",
            _ => "the file is damaged or not a model: copy it again or use an earlier checkpoint",
        }
    }
}

impl From<WeightsError> for Error {
    fn from(error: WeightsError) -> Self {
        Error::corrupt(error.to_string()).hint(error.advice())
    }
}

/// What the header says of one tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// Writes `weights` and `metadata` to `path`, atomically. Equal input gives equal bytes.
///
/// # Errors
/// Values that are not finite are refused ([`ErrorKind::Diverged`]): such a file could not be loaded again.
pub fn save(path: &Path, weights: &Weights, metadata: &Metadata) -> Result<()> {
    let header = header(weights, metadata)?;
    write_atomic(path, |writer| {
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(&header)?;
        weights.values().flat_map(|tensor| &tensor.data).try_for_each(|value| writer.write_all(&value.to_le_bytes()))
    })
}

/// One member of the header.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Metadata(&'a Metadata),
    Tensor(Entry),
}

/// The JSON header of `weights`, padded with spaces so that the data is aligned to 8 bytes.
fn header(weights: &Weights, metadata: &Metadata) -> Result<Vec<u8>> {
    let internal = |message: String| Error::new(ErrorKind::Internal, message);
    let mut members = BTreeMap::from([(METADATA, Member::Metadata(metadata))]);
    let mut start = 0;
    for (name, tensor) in weights {
        if tensor.shape.iter().product::<usize>() != tensor.data.len() || name == METADATA {
            let (shape, values) = (&tensor.shape, tensor.data.len());
            return Err(internal(format!("tensor \"{name}\" of shape {shape:?} with {values} values cannot be saved")));
        }
        if !tensor.data.iter().all(|value| value.is_finite()) {
            let message = WeightsError::NotFinite { name: name.clone() }.to_string();
            return Err(Error::new(ErrorKind::Diverged, message).hint("resume from an earlier checkpoint"));
        }
        let end = start + tensor.data.len() * F32;
        let entry = Entry { dtype: "F32".into(), shape: tensor.shape.clone(), data_offsets: (start, end) };
        members.insert(name, Member::Tensor(entry));
        start = end;
    }
    let mut bytes =
        serde_json::to_vec(&members).map_err(|error| internal(format!("cannot write a header: {error}")))?;
    bytes.resize(bytes.len().next_multiple_of(LENGTH), b' ');
    Ok(bytes)
}

/// Reads the weights and the metadata of `path`.
///
/// # Errors
/// A [`WeightsError`] as an error of kind [`ErrorKind::Corrupt`] that names the file. Memory use is bounded by the
/// file's real length, whatever its header claims.
pub fn load(path: &Path) -> Result<(Weights, Metadata)> {
    read(path, true).and_then(|bytes| load_bytes(&bytes).map_err(|error| error.at(path)))
}

/// Reads the weights of a file that another program has written: tensors of whole numbers (counters) are left out.
///
/// # Errors
/// As [`load`].
pub fn load_foreign(path: &Path) -> Result<Weights> {
    read(path, true).and_then(|bytes| foreign_bytes(&bytes).map_err(|error| error.at(path)))
}

/// Reads the weights of a safetensors file in memory that another program has written, without tensors of whole numbers.
pub fn foreign_bytes(bytes: &[u8]) -> Result<Weights, WeightsError> {
    load_some(bytes, true).map(|(weights, _)| weights)
}

/// Reads the metadata of `path` and leaves its tensors where they are.
///
/// # Errors
/// As [`load`], of the header.
pub fn load_metadata(path: &Path) -> Result<Metadata> {
    let bytes = read(path, false)?;
    let header =
        serde_json::from_slice(&bytes[LENGTH..]).map_err(|error| WeightsError::HeaderNotJson(error.to_string()));
    header.map(|header: Header| header.metadata).map_err(|error| error.at(path))
}

/// The bytes of a file whose header's length is possible; of its header, or of the `whole` file.
fn read(path: &Path, whole: bool) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Result<Vec<u8>, WeightsError>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = vec![];
        Read::by_ref(&mut file).take(LENGTH as u64).read_to_end(&mut bytes)?;
        // A picture or a text is refused before the rest is read.
        Ok(match header_length(&bytes, length) {
            Ok(header) => {
                file.take(if whole { length } else { header as u64 }).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Err(error) => Err(error),
        })
    };
    read().map_err(|source| Error::io("read", path, &source))?.map_err(|error| error.at(path))
}

/// Reads the weights and the metadata of a safetensors file in memory.
pub fn load_bytes(bytes: &[u8]) -> Result<(Weights, Metadata), WeightsError> {
    load_some(bytes, false)
}

/// The tensors of floats, and an error if there are others, or whole numbers where `foreign` allows them.
fn load_some(bytes: &[u8], foreign: bool) -> Result<(Weights, Metadata), WeightsError> {
    let length = header_length(bytes, bytes.len() as u64)?;
    let (header, data) = bytes[LENGTH..].split_at(length);
    let header: Header =
        serde_json::from_slice(header).map_err(|error| WeightsError::HeaderNotJson(error.to_string()))?;

    let mut entries: Vec<(String, Entry)> = header.entries.into_iter().collect();
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in &entries {
        check(name, entry, end, foreign)?;
        end = entry.data_offsets.1;
    }
    let (expected, found) = ((LENGTH + length) as u64, bytes.len() as u64);
    if end > data.len() {
        return Err(WeightsError::Truncated { expected: expected.saturating_add(end as u64), found });
    }
    if end < data.len() {
        return Err(WeightsError::Trailing((data.len() - end) as u64));
    }

    let mut weights = Weights::new();
    for (name, Entry { dtype, shape, data_offsets: (start, end) }) in entries {
        if dtype != "F32" {
            continue;
        }
        let (values, _) = data[start..end].as_chunks::<F32>();
        let data: Vec<f32> = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
        if !data.iter().all(|value| value.is_finite()) {
            return Err(WeightsError::NotFinite { name });
        }
        weights.insert(name, HostTensor { shape, data });
    }
    Ok((weights, header.metadata))
}

/// The header's length, if a file of `file` bytes that begins with `bytes` can hold it.
fn header_length(bytes: &[u8], file: u64) -> Result<usize, WeightsError> {
    let Some(first) = bytes.first_chunk::<LENGTH>() else {
        return Err(WeightsError::Truncated { expected: LENGTH as u64, found: bytes.len() as u64 });
    };
    let length = u64::from_le_bytes(*first);
    if length > MAX_HEADER || length > file.saturating_sub(LENGTH as u64) {
        return Err(WeightsError::HeaderTooLarge(length));
    }
    Ok(length as usize)
}

/// Bytes of an element, if it is one that may be there.
fn element_size(dtype: &str, foreign: bool) -> Option<usize> {
    match dtype {
        "F32" => Some(F32),
        "I64" | "U64" if foreign => Some(8),
        "I32" | "U32" if foreign => Some(4),
        "I16" | "U16" if foreign => Some(2),
        "I8" | "U8" | "BOOL" if foreign => Some(1),
        _ => None,
    }
}

/// Checks that the tensor has a type that it may have, begins where the one before ended, and has the bytes its shape asks for.
fn check(name: &str, entry: &Entry, previous_end: usize, foreign: bool) -> Result<(), WeightsError> {
    let name = || name.to_owned();
    let Some(size) = element_size(&entry.dtype, foreign) else {
        return Err(WeightsError::WrongDtype { name: name(), found: entry.dtype.clone() });
    };
    let (start, end) = entry.data_offsets;
    if start < previous_end || end < start {
        return Err(WeightsError::Overlap { name: name() });
    }
    if start > previous_end {
        return Err(WeightsError::Hole { name: name() });
    }
    let bytes = entry.shape.iter().try_fold(size, |product, &length| product.checked_mul(length));
    let Some(bytes) = bytes else {
        return Err(WeightsError::ShapeOverflow { name: name(), shape: entry.shape.clone() });
    };
    if bytes != end - start {
        return Err(WeightsError::WrongLength { name: name(), shape: entry.shape.clone(), bytes: end - start });
    }
    Ok(())
}

/// The header as read. A name that occurs twice is an error here; JSON maps would keep the last silently.
struct Header {
    metadata: Metadata,
    entries: BTreeMap<String, Entry>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Header;
            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a JSON object of tensors")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { metadata: Metadata::new(), entries: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        header.metadata = map.next_value()?;
                        continue;
                    }
                    let entry = map.next_value()?;
                    if header.entries.insert(name.clone(), entry).is_some() {
                        return Err(serde::de::Error::custom(format!("\"{name}\" occurs twice")));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Takes tensor `name` out of `weights`, which must have the shape `expected`.
pub fn take(weights: &mut Weights, name: &str, expected: &[usize]) -> Result<HostTensor, WeightsError> {
    let Some(tensor) = weights.remove(name) else { return Err(WeightsError::Missing { name: name.to_owned() }) };
    if tensor.shape != expected {
        let (expected, found) = (expected.to_vec(), tensor.shape);
        return Err(WeightsError::WrongShape { name: name.to_owned(), expected, found });
    }
    Ok(tensor)
}

/// After everything was [taken](take): whatever is left does not belong to the model.
pub fn expect_empty(weights: &Weights) -> Result<(), WeightsError> {
    match weights.keys().next() {
        Some(name) => Err(WeightsError::Unexpected { name: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
