//! The families of models. [`ModelConfig`] is the one list of those that make pictures: a family is a folder here and a line in it.

pub mod blocks;
pub mod choice;
pub mod dcgan;
pub mod family;
pub mod fastgan;
pub mod gan;
pub mod model;
pub mod projected;
pub mod settings;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
pub mod trainer;
pub mod vae;

pub use choice::Listed;
pub use family::{About, Family, Frame, Shape, Takes};
pub use model::{Code, Condition, Critic, Density, How, Latent, Likelihood, Model, Styles, one_hot};
pub use trainer::{Ingredients, Losses, Trainer};

use crate::makes::Makes;
use crate::weights::{self, Weights};
use crate::{Error, Result};
use burn::tensor::Device;
use choice::{Chosen, Facts, Question};
use serde::{Deserialize, Serialize};
use settings::Tables;
use std::ops::Deref;
use toml::Value;

/// Writes the enum of families, and every place where one is told from another.
macro_rules! families {
    (tables: $($table:ty),*; $($(#[doc = $doc:literal])* $(#[cfg($when:meta)])? $variant:ident($config:ty)),* $(,)?) => {
        /// Which family, and its sizes.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "family", rename_all = "lowercase")]
        pub enum ModelConfig {
            $($(#[doc = $doc])* $(#[cfg($when)])? $variant($config)),*
        }

        impl Deref for ModelConfig {
            type Target = dyn Family;

            fn deref(&self) -> &Self::Target {
                match self {
                    $($(#[cfg($when)])? Self::$variant(config) => config),*
                }
            }
        }

        $($(#[cfg($when)])? impl From<$config> for ModelConfig {
            fn from(config: $config) -> Self {
                Self::$variant(config)
            }
        })*

        /// What is said of each family that makes pictures.
        pub const FAMILIES: &[About] = &[$($(#[cfg($when)])? <$config>::ABOUT),*];

        /// What the family called `name` chooses.
        ///
        /// # Errors
        /// There is none of that name, or a setting of its tables cannot be used.
        pub(crate) fn choose(name: &str, question: &Question) -> Result<Chosen<ModelConfig>> {
            $($(#[cfg($when)])? if name == <$config>::ABOUT.name {
                return <$config>::choose(question).map(Chosen::into);
            })*
            Err(unknown(name, Makes::Pictures))
        }

        /// The family that suits best, and why.
        pub(crate) fn best_for(facts: &Facts) -> (&'static str, String) {
            let all = [$($(#[cfg($when)])? (<$config>::ABOUT.name, <$config>::suits(facts))),*];
            let suiting = all.into_iter().filter_map(|(name, suits)| suits.map(|suits| (name, suits)));
            let (name, suits) = suiting.max_by_key(|(_, suits)| suits.rank).expect("one of them suits everything");
            (name, suits.why)
        }

        /// The families' own tables as they are where nobody sets anything.
        pub(crate) fn defaults() -> Tables {
            let mut tables = Tables::default();
            $(tables.set(&<$table>::default());)*
            tables
        }
    };
}

families! {
    tables: gan::settings::GanConfig, vae::settings::VaeTraining;
    /// See [`dcgan`].
    Dcgan(dcgan::DcganConfig),
    /// See [`fastgan`].
    Fastgan(fastgan::FastganConfig),
    /// See [`projected`].
    Projected(projected::ProjectedConfig),
    /// See [`vae`].
    Vae(vae::VaeConfig),
    /// For tests.
    #[cfg(test)]
    Probe(crate::tests::probe::ProbeConfig),
}

/// All families, those that make pictures first.
pub fn all() -> impl Iterator<Item = &'static About> {
    FAMILIES.iter().chain(text::FAMILIES.iter())
}

/// The names of the families that make this, as people list them: "dcgan, fastgan, projected or vae".
pub fn names(makes: Makes) -> String {
    names_where(|about| about.makes == makes)
}

/// The names of the families of which this is true, listed as in [`names`].
pub fn names_where(is_true: impl Fn(&About) -> bool) -> String {
    let names: Vec<&str> = all().filter(|about| is_true(about)).map(|about| about.name).collect();
    let (last, others) = names.split_last().expect("it is true of a family");
    if others.is_empty() { last.to_string() } else { format!("{} or {last}", others.join(", ")) }
}

/// What to say of a family that is not in the list of those that make this.
pub(crate) fn unknown(name: &str, makes: Makes) -> Error {
    let other = match makes {
        Makes::Pictures => Makes::Text,
        Makes::Text => Makes::Pictures,
    };
    Error::input(format!("there is no model family \"{name}\" for {}", makes.name())).hint(format!(
        "use auto, {}; for {} {}",
        names(makes),
        other.name(),
        names(other)
    ))
}

impl ModelConfig {
    /// Builds the model with the values in `weights`.
    ///
    /// # Errors
    /// A config out of range; a missing, surplus or misshapen tensor.
    pub fn load(&self, mut weights: Weights, device: &Device) -> Result<Box<dyn Model>> {
        self.validate()?;
        let mut model = self.model();
        model.load(&mut weights, device)?;
        weights::expect_empty(&weights)?;
        Ok(model)
    }

    /// Takes out of `tables` what does nothing in training of this family.
    pub fn retain_read(&self, tables: &mut Tables) {
        let all = full(tables);
        tables.retain(|table, setting| self.unread(&all, table, setting).is_none());
    }

    /// Refuses tables that no family reads.
    ///
    /// # Errors
    /// Names the first of them.
    pub fn refuse_unknown(&self, tables: &Tables) -> Result<()> {
        let known = |table: &str| FAMILIES.iter().any(|about| about.tables.contains(&table));
        match tables.names().find(|table| !known(table)) {
            None => Ok(()),
            Some(table) => {
                let (why, hint) = self.unread(tables, table, "").unwrap_or_default();
                Err(Error::input(why).hint(hint))
            }
        }
    }

    /// The settings of `given` that would do nothing, `tables` being all that the run has. What only repeats a default changes nothing
    /// anyway.
    pub fn unread_of(&self, given: &Tables, tables: &Tables) -> Vec<Unread> {
        let (all, defaults) = (full(tables), defaults());
        let idle = |(table, setting, value): (&str, &str, &Value)| {
            let (why, hint) = self.unread(&all, table, setting)?;
            let usual = defaults.value(table, setting).is_some_and(|default| same(default, value));
            (!usual).then(|| Unread { name: format!("{table}.{setting}"), why, hint })
        };
        given.iter().filter_map(idle).collect()
    }

    /// Why a setting does nothing, and what to try.
    fn unread(&self, all: &Tables, table: &str, setting: &str) -> Option<(String, String)> {
        let about = self.about();
        if about.tables.contains(&table) {
            let why = self.idle(all, table, setting)?;
            return Some((why.to_string(), format!("leave {table}.{setting} out")));
        }
        let readers: Vec<&str> = FAMILIES.iter().filter(|f| f.tables.contains(&table)).map(|f| f.name).collect();
        Some(match readers.is_empty() {
            true => {
                let own: Vec<String> = about.tables.iter().map(|table| format!("[{table}]")).collect();
                let tables = ["[data]", "[model]", "[train]"].map(String::from).into_iter().chain(own);
                let tables = tables.collect::<Vec<_>>().join(", ");
                (format!("there is no table [{table}]"), format!("{} reads {tables}", about.name))
            }
            false => (
                format!("{} does not read [{table}]", about.name),
                format!("leave it out, or use --model {}", readers.join(" or ")),
            ),
        })
    }
}

/// A setting that would do nothing.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Its name, `gan.r1` for example.
    pub name: String,
    why: String,
    hint: String,
}

impl Unread {
    /// What to say to a user who has set it.
    pub fn refused(self) -> Error {
        Error::input(format!("{} would do nothing: {}", self.name, self.why)).hint(self.hint)
    }
}

/// Are these the same value, 1 and 1.0 too?
fn same(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    one == other || number(one).is_some_and(|one| number(other) == Some(one))
}

/// All tables, with what is left out as it is where nobody sets anything.
fn full(tables: &Tables) -> Tables {
    let mut all = defaults();
    all.overlay(tables);
    all
}
