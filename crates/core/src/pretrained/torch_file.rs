//! State dicts in the two formats of `torch.save`: the zip archive of PyTorch 1.6 and later, and the row of pickles before
//! it. Nothing in them is executed; see [`pickle`].

use super::pickle::{self, Numbers, Pickle, Reason, TensorView, Value};
use crate::weights::{HostTensor, Weights};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use zip::{CompressionMethod, ZipArchive};

/// How a zip archive begins.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";
/// How the older format begins: a pickle of the number 0x1950a86a20f9469cfc6c.
pub(super) const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The tensors of 32-bit floats in a file of `torch.save`; tensors of whole numbers (counters) are left out.
pub(super) fn load(bytes: &[u8]) -> Result<Weights, Reason> {
    let (pickle, storages) = if bytes.starts_with(ZIP) { open_zip(bytes)? } else { open_legacy(bytes)? };
    let dict = state_dict(&pickle).ok_or("it does not hold a dictionary of tensors")?;
    let mut weights = Weights::new();
    // A file may show the same numbers as several tensors, but not so often that they become more than the file.
    let mut left = bytes.len() / 2;
    for (name, value) in pickle.entries(dict).into_iter().flatten() {
        let Value::Tensor(view) = value else { continue };
        match view.storage.numbers {
            Numbers::F32 => {
                let data = numbers(view, &storages, &mut left).map_err(|why| format!("tensor \"{name}\": {why}"))?;
                weights.insert(name.to_owned(), HostTensor { shape: view.shape.clone(), data });
            }
            Numbers::Float(format, _) => {
                return Err(format!("tensor \"{name}\" is of type {format}: save it as 32-bit floats"));
            }
            Numbers::Whole(_) => {}
        }
    }
    Ok(weights)
}

/// The bytes of storages by key.
type Storages<'a> = BTreeMap<String, Cow<'a, [u8]>>;

/// The dictionary with tensors in it: the whole, or one entry of a training program's checkpoint.
fn state_dict(pickle: &Pickle) -> Option<&Value> {
    let has_tensors = |value: &Value| {
        let mut entries = pickle.entries(value).into_iter().flatten();
        entries.any(|(_, value)| matches!(value, Value::Tensor(_)))
    };
    if has_tensors(&pickle.value) {
        return Some(&pickle.value);
    }
    pickle.entries(&pickle.value)?.find(|(key, value)| *key == "state_dict" && has_tensors(value)).map(|(_, v)| v)
}

/// Five pickles (a magic number, the version, the system, the object, the keys of its storages), then the storages.
fn open_legacy(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), Reason> {
    let mut rest = bytes.strip_prefix(LEGACY).ok_or("it is not a file of torch.save")?;
    if !matches!(pickle::read(&mut rest)?.value, Value::Int(1001)) {
        return Err("it has another version than 1001".into());
    }
    pickle::read(&mut rest)?;
    let object = pickle::read(&mut rest)?;
    let keys = pickle::read(&mut rest)?;
    let sizes: BTreeMap<_, _> = object.storages.iter().map(|s| (s.key.clone(), s.numbers.size())).collect();
    let mut storages = Storages::new();
    for key in keys.sequence(&keys.value).ok_or("it lists no storages")? {
        let Value::Text(key) = key else { return Err("a storage's key is not text".into()) };
        let (count, data) = rest.split_first_chunk::<8>().ok_or("it is cut off")?;
        let size = sizes.get(key).copied().ok_or("a storage belongs to no tensor")?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(size));
        let (data, after) = length.and_then(|length| data.split_at_checked(length)).ok_or("it is cut off")?;
        storages.insert(key.to_string(), data.into());
        rest = after;
    }
    Ok((object, storages))
}

/// An archive with `…/data.pkl` and a file `…/data/KEY` a storage. PyTorch does not compress them.
fn open_zip(bytes: &[u8]) -> Result<(Pickle, Storages<'static>), Reason> {
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("it is not a readable zip archive ({e})"))?;
    let pickled = archive.file_names().flatten().find(|name| name.ends_with("data.pkl")).map(Cow::into_owned);
    let pickled = pickled.ok_or("it is a zip archive without a data.pkl, not one of torch.save")?;
    let root = pickled.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    let mut left = bytes.len() as u64;
    let mut read = |name: &str| -> Result<Vec<u8>, Reason> {
        let mut file = archive.by_name(name).map_err(|_| format!("its part {name} is missing"))?;
        if file.compression() != CompressionMethod::Stored || file.size() > left {
            return Err(format!("its part {name} is not stored the way torch.save does"));
        }
        let mut data = Vec::with_capacity(file.size() as usize);
        Read::by_ref(&mut file).take(left).read_to_end(&mut data).map_err(|e| format!("its part {name}: {e}"))?;
        left -= data.len() as u64;
        Ok(data)
    };
    let program = read(&pickled)?;
    let object = pickle::read(&mut &program[..])?;
    let mut storages = Storages::new();
    for storage in &object.storages {
        if !storages.contains_key(&*storage.key) {
            storages.insert(storage.key.to_string(), read(&format!("{root}data/{}", storage.key))?.into());
        }
    }
    Ok((object, storages))
}

/// The numbers of a view in the order of its dimensions. `left` is how many more there may be.
fn numbers(view: &TensorView, storages: &Storages, left: &mut usize) -> Result<Vec<f32>, Reason> {
    let count = view.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    let count = count.filter(|count| count <= left).ok_or("its shape is larger than the file")?;
    *left -= count;
    let (data, _) = storages.get(&*view.storage.key).ok_or("its numbers are missing")?.as_chunks::<4>();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut steps = view.shape.iter().zip(&view.strides).map(|(&size, &stride)| (size - 1).checked_mul(stride));
    let last = steps.try_fold(view.offset, |last, step| last.checked_add(step?));
    if last.is_none_or(|last| last >= data.len().min(view.storage.count)) {
        return Err("it reaches past the end of its numbers".into());
    }
    let mut index = vec![0usize; view.shape.len()];
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let at: usize = index.iter().zip(&view.strides).map(|(i, stride)| i * stride).sum();
        numbers.push(f32::from_le_bytes(data[view.offset + at]));
        for (i, &size) in index.iter_mut().zip(&view.shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
