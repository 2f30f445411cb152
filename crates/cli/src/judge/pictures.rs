//! `maliang judge` of pictures that another program has made: the same scores and report, and no card, since nothing is known of
//! the model.

use super::{Clock, FEATURES, PICTURES, conclude, directory};
use crate::args::JudgeArgs;
use crate::terminal::{cache_dir, weights_store};
use crate::train::scan_and_check;
use maliang::data::{CheckReport, DataConfig, Dataset, Item, Scan, Source, read_pictures};
use maliang::generate::locate;
use maliang::generate::picture::{Picture, encode_real_png};
use maliang::judge::{self, Judgement, Options, evenly};
use maliang::report::{self, Judged};
use maliang::train::{self, RunDir, fit_of};
use maliang::{Error, Result};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

/// The pictures where a model was expected: a folder or a .zip that holds no model.
pub fn instead_of_a_model(path: &Path) -> Option<Source> {
    // Of a file only its beginning tells.
    let model = path.is_dir() && (RunDir::is_run(path) || locate::file(path).is_ok());
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
    let (made, (real_scan, checked)) = (Made::open(source)?, scan_and_check(&Source::parse(real)?)?);
    let (fit, background) = fit_of(&checked);
    let grey = made.checked.is_grey() && checked.is_grey();
    let config =
        DataConfig { channels: if grey { 1 } else { 3 }, fit, background, source: real.clone(), ..made.size() };
    config.validate()?;
    let data = Dataset::open(&config, &real_scan, &cache_dir(), &|_, _| ())?;
    let wanted = evenly(made.items.len(), args.number.unwrap_or(PICTURES));
    let items: Vec<&Item> = wanted.into_iter().map(|i| &made.items[i]).collect();
    let count = items.len();
    if args.number.is_some_and(|number| number > count) {
        eprintln!("note: {source} has {count} pictures that can be used");
    }
    let directory = directory(args)?;

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
        let made = read_pictures(&made.scan, &items[pair.generated..=pair.generated], &config)?.remove(0);
        Ok([encode(made)?, encode(data.train(pair.training).to_vec())?])
    });
    let judged = Judged { pairs: pairs.collect::<Result<_>>()?, judgement, record: None };
    judged.save(&directory)?;
    report::write(&directory.join("report.html"), &report::compose(&directory, None)?)?;
    let title = format!("{source}: {count} pictures of {}x{}", config.width, config.height);
    conclude(args, &times, &judged.judgement, &title, &directory, &["scores.json", "report.html"])
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
        let (scan, checked) = scan_and_check(source)?;
        let unusable: HashSet<&str> = checked.rejects.iter().map(|reject| reject.name.as_str()).collect();
        let items: Vec<Item> =
            scan.items.iter().filter(|item| !unusable.contains(item.name.as_str())).cloned().collect();
        if !unusable.is_empty() {
            let files = if unusable.len() == 1 { "file" } else { "files" };
            eprintln!("note: {} {files} of {source} cannot be used; `maliang data check` names them", unusable.len());
        }
        Ok(Self { scan, checked, items })
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
