//! Beginning with the weights of another model (transfer learning): what fits is taken over, by name and shape.

use crate::data::Dataset;
use crate::families::Ingredients;
use crate::families::trainer::Trainer;
use crate::nn::join;
use crate::pretrained::EfficientNetLite0;
use crate::run::checkpoint;
use crate::run::config::RunConfig;
use crate::run::dir::RunDir;
use crate::run::model_file::{self, ModelInfo};
use crate::weights::{self, HostTensor, Metadata, Weights};
use crate::{Error, Result, device};
use std::path::Path;
use std::sync::Arc;

/// The weights in the run directory, from its creation to its first checkpoint.
const FILE: &str = "init.safetensors";
/// Tensors whose last rows belong to the classes, because labels are appended to what they multiply.
const APPENDED: [&str; 3] = ["project.weight", "mu.weight", "logvar.weight"];
/// The tensor whose rows are the classes (Miyato & Koyama 2018).
const PROJECTED: &str = "class.weight";

/// A model to begin with.
#[derive(Debug)]
pub struct Donor {
    info: ModelInfo,
    hash: String,
    /// Under the names of the training state.
    weights: Weights,
}

/// What was taken over.
#[derive(Debug, Clone, PartialEq)]
pub struct Adopted {
    /// The state to begin with.
    weights: Weights,
    /// Tensors taken over whole.
    whole: usize,
    /// Names of those of which only the part that knows no class was taken over.
    partly: Vec<String>,
    /// Names of those that begin fresh.
    fresh: Vec<String>,
}

impl Donor {
    /// Reads a run directory (its best checkpoint, else its newest whole one), a checkpoint directory, or a model file. A
    /// model file knows no discriminator. Also returns a sentence for each damaged checkpoint that was passed over.
    ///
    /// # Errors
    /// Nothing usable is there.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        if !RunDir::is_run(path) {
            return Ok((Self::read(path)?, Vec::new()));
        }
        let run = RunDir::new(path);
        let newest = checkpoint::list(&run.checkpoints()).into_iter().map(|(_, directory)| directory);
        let mut warnings = Vec::new();
        for directory in run.pointed("best").into_iter().chain(newest) {
            match Self::read(&directory) {
                Ok(donor) => return Ok((donor, warnings)),
                Err(error) => warnings.push(error.to_string()),
            }
        }
        let detail = warnings.first().map_or(String::new(), |first| format!(": {first}"));
        Err(Error::corrupt(format!("no usable model in {}{detail}", path.display()))
            .hint("begin with a checkpoint or a model file of another run"))
    }

    /// A checkpoint directory or a model file.
    fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::input(format!("there is no {} to begin with", path.display()))
                .hint("--init takes a run directory (see `maliang runs`), a checkpoint directory, or a model file"));
        }
        let state = if path.is_dir() { Some(checkpoint::load(path)?.1) } else { None };
        let file = if path.is_dir() { path.join(checkpoint::MODEL_FILE) } else { path.to_path_buf() };
        let (model, info, hash) = model_file::open(&file, &device::cpu())?;
        let player = info.config.player();
        let mut weights = Weights::new();
        for (name, tensor) in model.weights() {
            weights.insert(join(player, &name), tensor.clone());
            weights.insert(join("average", &name), tensor);
        }
        let rest = state.unwrap_or_default().into_iter().filter(|(name, _)| name.starts_with("discriminator."));
        weights.extend(rest);
        Ok(Self { info, hash, weights })
    }

    /// Its name and hash, as in `run.toml`.
    pub fn record(&self) -> String {
        format!("{} {}", self.info.name, self.hash)
    }

    /// What a new run of `config` begins with: every tensor that has the name and shape of one of the donor, as it is there.
    /// Where the classes are others, what belongs to them begins fresh; so does the discriminator of a projected GAN of
    /// another seed, whose random mixing it was trained on.
    ///
    /// # Errors
    /// Another family, or no matrix and no kernel that fits.
    pub fn adopt(
        &self,
        config: &RunConfig,
        dataset: &Arc<Dataset>,
        features: Option<EfficientNetLite0>,
    ) -> Result<Adopted> {
        let (ours, theirs) = (&config.model, &self.info.config);
        if ours.family() != theirs.family() {
            return Err(Error::input(format!(
                "{} is a {}, whose weights cannot begin a {}",
                self.info.name,
                theirs.family(),
                ours.family()
            ))
            .hint(format!("--model {} trains one of the same family", theirs.family())));
        }
        let device = device::cpu();
        let loader = config.loader(dataset, config.seed);
        let given = Ingredients { settings: config.settings(), loader: &loader, device: &device, features };
        let fresh = ours.trainer(given)?.state();
        let of_its_seed = ours.seeded().filter(|_| config.seed != self.info.seed);
        let mut useful = false;
        let mut adopted = Adopted { weights: Weights::new(), whole: 0, partly: Vec::new(), fresh: Vec::new() };
        for (name, tensor) in fresh {
            let known = of_its_seed.is_none_or(|prefix| !name.starts_with(prefix));
            let found = self.weights.get(&name).filter(|_| known);
            let (tensor, kept) = match found {
                Some(found) => take_over(&name, tensor, found, ours.classes(), theirs.classes()),
                None => (tensor, Kept::Nothing),
            };
            useful |= kept != Kept::Nothing && tensor.shape.len() > 1;
            // The average begins as what it averages: named once.
            let named = !name.starts_with("average.");
            match kept {
                Kept::All if named => adopted.whole += 1,
                Kept::Part if named => adopted.partly.push(name.clone()),
                Kept::Nothing if named => adopted.fresh.push(name.clone()),
                _ => (),
            }
            adopted.weights.insert(name, tensor);
        }
        if !useful {
            return Err(Error::input(format!(
                "the weights of {} have other shapes than this run needs",
                self.info.name
            ))
            .hint("--set model.stack.base and --size must be those of the other model, or near them"));
        }
        Ok(adopted)
    }
}

#[derive(Debug, PartialEq)]
enum Kept {
    All,
    Part,
    Nothing,
}

/// `fresh` with what can be taken from `found`, the tensor of the same name.
fn take_over(
    name: &str,
    mut fresh: HostTensor,
    found: &HostTensor,
    ours: &[String],
    theirs: &[String],
) -> (HostTensor, Kept) {
    let appended = APPENDED.iter().any(|end| name.ends_with(end));
    let of_classes = appended && !(ours.is_empty() && theirs.is_empty()) || name.ends_with(PROJECTED);
    if ours == theirs || !of_classes {
        let fits = fresh.shape == found.shape;
        return if fits { (found.clone(), Kept::All) } else { (fresh, Kept::Nothing) };
    }
    // Rows that know no class come first.
    let rows = |tensor: &HostTensor, classes: usize| tensor.shape[0].checked_sub(classes);
    let (Some(mine), Some(other)) = (rows(&fresh, ours.len()), rows(found, theirs.len())) else {
        return (fresh, Kept::Nothing);
    };
    if !appended || mine != other || fresh.shape[1..] != found.shape[1..] {
        return (fresh, Kept::Nothing);
    }
    let values = mine * fresh.shape[1..].iter().product::<usize>();
    fresh.data[..values].copy_from_slice(&found.data[..values]);
    (fresh, if ours.is_empty() { Kept::All } else { Kept::Part })
}

impl Adopted {
    /// What was taken over and what was not, in one or two sentences.
    pub fn words(&self) -> String {
        let list = |names: &[String]| match names {
            names if names.len() > 6 => format!("{}, … ({} in all)", names[..6].join(", "), names.len()),
            names => names.join(", "),
        };
        let all = self.whole + self.partly.len() + self.fresh.len();
        let mut words = format!("{} of {all} tensors taken over", self.whole + self.partly.len());
        if !self.partly.is_empty() {
            words += &format!("; without their classes: {}", list(&self.partly));
        }
        if !self.fresh.is_empty() {
            words += &format!("; fresh: {}", list(&self.fresh));
        }
        words
    }

    /// Leaves the weights in the directory of a run that has not begun.
    ///
    /// # Errors
    /// The disk refused.
    pub(super) fn leave_in(&self, dir: &RunDir) -> Result<()> {
        weights::save(&dir.file(FILE), &self.weights, &Metadata::new())
    }
}

/// Gives `trainer` the weights that were left in `dir`.
///
/// # Errors
/// They are missing or damaged.
pub(super) fn begin(dir: &RunDir, trainer: &mut dyn Trainer) -> Result<()> {
    let (weights, _) = weights::load(&dir.file(FILE))?;
    trainer.restore(weights, 0)
}

/// Removes what was left in `dir`, once a checkpoint holds it.
pub(super) fn begun(dir: &RunDir) {
    // A file that cannot be removed costs space, not correctness.
    let _ = std::fs::remove_file(dir.file(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], value: f32) -> HostTensor {
        HostTensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn what_belongs_to_other_classes_begins_fresh() {
        let (cats, pets, birds) = (names(&["cat"]), names(&["cat", "dog"]), names(&["owl", "jay"]));
        let none = names(&[]);
        let project = "generator.project.weight";
        let take = |name: &str, mine: &[usize], other: &[usize], ours: &[String], theirs: &[String]| {
            let (tensor, kept) = take_over(name, tensor(mine, 1.0), &tensor(other, 2.0), ours, theirs);
            assert_eq!(tensor.shape, mine, "{name}");
            (tensor.data, kept)
        };
        // z has three numbers, the projection two.
        let part = |rows: usize| [vec![2.0; 6], vec![1.0; rows * 2]].concat();
        assert_eq!(take(project, &[5, 2], &[5, 2], &pets, &pets), (vec![2.0; 10], Kept::All));
        assert_eq!(take(project, &[5, 2], &[5, 2], &pets, &birds), (part(2), Kept::Part), "as many, but others");
        assert_eq!(take(project, &[4, 2], &[5, 2], &cats, &birds), (part(1), Kept::Part));
        assert_eq!(take(project, &[5, 2], &[3, 2], &pets, &none), (part(2), Kept::Part));
        assert_eq!(take(project, &[3, 2], &[5, 2], &none, &pets), (vec![2.0; 6], Kept::All));
        assert_eq!(take(project, &[4, 2], &[5, 3], &cats, &pets), (vec![1.0; 8], Kept::Nothing));
        assert_eq!(take(project, &[3, 2], &[3, 2], &none, &none), (vec![2.0; 6], Kept::All));
        let class = "discriminator.class.weight";
        assert_eq!(take(class, &[2, 4], &[2, 4], &pets, &birds), (vec![1.0; 8], Kept::Nothing));
        assert_eq!(take(class, &[2, 4], &[2, 4], &pets, &pets), (vec![2.0; 8], Kept::All));
        let other = "generator.last.weight";
        assert_eq!(take(other, &[2, 4], &[2, 4], &pets, &birds), (vec![2.0; 8], Kept::All));
        assert_eq!(take(other, &[2, 4], &[4, 2], &none, &none), (vec![1.0; 8], Kept::Nothing));
    }
}
