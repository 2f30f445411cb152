//! `maliang judge` of pictures that another program has made: the same scores and report, and no card, since nothing is known of
//! the model.

use super::{Clock, FEATURES, PICTURES, conclude};
use crate::args::JudgeArgs;
use crate::terminal::{cache_dir, weights_store};
use maliang::data::{self, CheckReport, DataConfig, Dataset, Item, Scan, Source, read_pictures};
use maliang::generate::picture::{Picture, encode_real_png};
use maliang::judge::{self, Judgement, Options};
use maliang::report::{self, Judged};
use maliang::train::{self, RunDir, checkpoint, fit_of};
use maliang::{Error, Result};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

/// The pictures where a model was expected: a folder or a .zip that holds no model.
pub fn instead_of_a_model(path: &Path) -> Option<Source> {
    let model = RunDir::is_run(path) || path.join(checkpoint::MODEL_FILE).is_file();
    let source = Source::parse(path.to_str()?).ok().filter(|_| !model)?;
    matches!(source, Source::Folder(_) | Source::Zip(_)).then_some(source)
}

/// Judges the pictures of `source`, prints a table, and writes `scores.json` and `report.html`.
pub fn run(args: &JudgeArgs, source: &Source) -> Result<()> {
    let Some(real) = &args.data else {
        return Err(Error::input(format!("{source} holds no trained model")).hint(
            "give a run directory (see `maliang runs`), or name real pictures with --data to judge those of a folder",
        ));
    };
    let features = args.features.as_deref().unwrap_or(FEATURES);
    let extractor = judge::extractor(features, &weights_store())?;
    let (made, real_scan) = (Made::open(source)?, data::scan(&Source::parse(real)?)?);
    let checked = data::check(&real_scan, &|_, _| ())?;
    let (fit, background) = fit_of(&checked);
    let grey = is_grey(&made.checked) && is_grey(&checked);
    let config =
        DataConfig { channels: if grey { 1 } else { 3 }, fit, background, source: real.clone(), ..made.size() };
    config.validate()?;
    let data = Dataset::open(&config, &real_scan, &cache_dir(), &|_, _| ())?;
    let count = args.number.unwrap_or(PICTURES).min(made.items.len());
    if args.number.is_some_and(|number| number > count) {
        eprintln!("note: {source} has {count} pictures that can be used");
    }
    let directory = args.output.clone().unwrap_or_else(|| ".".into());
    std::fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, &e))?;

    let items = made.some(count);
    let unreadable = RefCell::new(None);
    let make = |range: Range<usize>| {
        read_pictures(&made.scan, &items[range.clone()], &config).unwrap_or_else(|error| {
            unreadable.replace(Some(error));
            vec![vec![0; config.row_bytes()]; range.len()]
        })
    };
    let clock = Clock::start();
    let options = Options { n: count, seed: args.seed };
    let stage = |what: &str, done: usize, all: usize| clock.at(what, done, all);
    let judgement = judge::judge(&make, &data, &*extractor, &options, &cache_dir(), &stage);
    let times = clock.stop();
    if let Some(error) = unreadable.take() {
        return Err(error);
    }
    let mut judgement = Judgement { pictures: Some(train::source_name(&source.to_string())), ..judgement? };
    for pair in &mut judgement.copying.pairs {
        pair.generated_name = Some(items[pair.generated].name.clone());
    }
    let encode = |pixels: Vec<u8>| {
        let DataConfig { width, height, channels, .. } = config;
        encode_real_png(&Picture { width, height, channels, pixels })
    };
    let pairs = judgement.copying.pairs.iter().map(|pair| {
        let made = make(pair.generated..pair.generated + 1).remove(0);
        Ok([encode(made)?, encode(data.train(pair.training).to_vec())?])
    });
    let judged = Judged { pairs: pairs.collect::<Result<_>>()?, judgement, record: None };
    judged.save(&directory)?;
    report::write(&directory.join("report.html"), &report::compose(&directory, None)?)?;
    let title = format!("{source}: {count} pictures of {}x{}", config.width, config.height);
    conclude(args, &times, &judged.judgement, &title, &directory, &["scores.json", "report.html"])
}

fn is_grey(checked: &CheckReport) -> bool {
    checked.grey == checked.usable
}

/// The pictures to judge.
struct Made {
    scan: Scan,
    checked: CheckReport,
    /// Those that can be used, by name. What is there twice stays there twice.
    items: Vec<Item>,
}

impl Made {
    fn open(source: &Source) -> Result<Self> {
        let scan = data::scan(source)?;
        let checked = data::check(&scan, &|_, _| ())?;
        let unusable: HashSet<&str> = checked.rejects.iter().map(|reject| reject.name.as_str()).collect();
        let items: Vec<Item> =
            scan.items.iter().filter(|item| !unusable.contains(item.name.as_str())).cloned().collect();
        if items.is_empty() {
            return Err(scan.nothing_usable(&checked.rejects));
        }
        if !unusable.is_empty() {
            let files = if unusable.len() == 1 { "file" } else { "files" };
            eprintln!("note: {} {files} of {source} cannot be used; `maliang data check` names them", unusable.len());
        }
        Ok(Self { scan, checked, items })
    }

    /// `count` of them, evenly spaced, because their names may stand in the order of classes.
    fn some(&self, count: usize) -> Vec<&Item> {
        (0..count).map(|i| &self.items[i * self.items.len() / count]).collect()
    }

    /// The size that they have, or the middle one.
    fn size(&self) -> DataConfig {
        let (width, height) = (self.checked.width, self.checked.height);
        let sizes = width.zip(height).expect("a usable picture has a size");
        let (width, height) = (sizes.0.median, sizes.1.median);
        if [sizes.0, sizes.1].iter().any(|size| size.min != size.max) {
            eprintln!("note: not all have the same size; all are judged at {width}x{height}, the middle one");
        }
        DataConfig { width, height, ..DataConfig::default() }
    }
}
