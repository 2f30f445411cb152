//! `maliang judge` of pictures that another program has made: the same scores and report, and no card, since nothing is known of
//! the model.

use super::clock::Clock;
use super::found::Found;
use super::model::PICTURES;
use super::place::{directory, output};
use crate::args::JudgeArgs;
use crate::terminal::{cache_dir, weights_store};
use crate::train::begin::{checked, scan_and_check};
use crate::units::counted;
use maliang::data::{self, source_name};
use maliang::data::{CheckReport, DataConfig, Dataset, Item, KEPT_BYTES, Scan, Source, read_packet, read_pictures};
use maliang::families::family::SIDES;
use maliang::generate::locate;
use maliang::generate::picture::{encode_given_png, encode_real_png};
use maliang::judge::{self, Given, Judgement, Options, permutation};
use maliang::picture::Picture;
use maliang::report::{self, JudgementFiles};
use maliang::run::dir::RunDir;
use maliang::train::Race;
use maliang::{Error, Result};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

/// The pictures where a model was expected: a folder or a .zip that holds neither a model nor runs.
pub fn instead_of_a_model(path: &Path) -> Option<Source> {
    let source = Source::parse(path.to_str()?).ok()?;
    match &source {
        Source::Folder(_) => {
            let runs =
                || std::fs::read_dir(path).is_ok_and(|mut all| all.any(|one| one.is_ok_and(|one| is_run(&one.path()))));
            (!is_run(path) && locate::file(path).is_err() && !runs()).then_some(source)
        }
        Source::Zip(_) => Some(source),
        Source::Idx { .. } | Source::Emoji(_) => None,
    }
}

fn is_run(path: &Path) -> bool {
    RunDir::is_run(path) || Race::is_race(path)
}

/// Judges the pictures of `source`, and writes `scores.json` and `report.html`.
pub fn judge(source: &Source, features: &str, args: &JudgeArgs) -> Result<Found> {
    let Some(named) = &args.data else {
        return Err(Error::input(format!("{source} holds no trained model")).hint(
            "give a run directory (see `maliang runs`), or name real pictures with --data to judge those of a folder",
        ));
    };
    let real = Source::parse(named)?;
    let extractor = judge::extractor(features, &weights_store())?;
    outside(output(&args.model, args.output.as_deref()), [source, &real])?;
    let (made, (real_scan, checked)) = (Made::open(source)?, scan_and_check(&real, KEPT_BYTES)?);
    let grey = made.checked.is_grey() && checked.is_grey();
    let config = DataConfig {
        channels: if grey { 1 } else { 3 },
        fit: checked.suggested_fit,
        background: checked.suggested_background,
        source: named.clone(),
        ..made.size()
    };
    config.validate()?;
    // In an order that has nothing to do with their names: the scores may be those of the first of them only.
    let mut order = permutation(made.items.len(), args.seed, "judge-given");
    order.truncate(args.number.unwrap_or(PICTURES));
    let items: Vec<&Item> = order.into_iter().map(|i| &made.items[i]).collect();
    let count = items.len();
    if count < judge::FEWEST {
        let few = format!("{count} pictures of {source} are too few to judge: at least {}", judge::FEWEST);
        return Err(Error::input(few));
    }
    if args.number.is_some_and(|number| number > count) {
        tell!("note: {source} has {count} pictures that can be used");
    }
    let data = Dataset::open(&config, &real_scan, &cache_dir(), &|_, _| ())?;
    let directory = directory(&args.model, args.output.as_deref())?;

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
    let given = Given { pictures: source_name(&source.to_string()), real: source_name(named) };
    let mut judgement = Judgement { given: Some(given), ..judgement? }.of_other_data();
    for pair in &mut judgement.copying.pairs {
        pair.generated_name = Some(items[pair.generated].name.clone());
    }
    let DataConfig { width, height, channels, .. } = config;
    let picture = |pixels: Vec<u8>| Picture { width, height, channels, pixels };
    let pairs = judgement.copying.pairs.iter().map(|pair| {
        let item = items[pair.generated];
        let pixels = read_pictures(&made.scan, &[item], &config)?.remove(0);
        let generated = encode_given_png(&picture(pixels), read_packet(&made.scan, item))?;
        Ok([generated, encode_real_png(&picture(data.train(pair.training).to_vec()))?])
    });
    let judged = JudgementFiles { pairs: pairs.collect::<Result<_>>()?, judgement, record: None };
    judged.save(&directory)?;
    report::write(&directory.join("report.html"), &report::compose(&directory, None)?)?;
    let title = format!("{source}: {count} pictures of {width}x{height}");
    Ok(Found { judgement: judged.judgement, title, times, directory, files: &["scores.json", "report.html"] })
}

/// Refuses to write among the pictures, which would be judged the next time, and into a run, whose scores are its own.
fn outside(output: &Path, sources: [&Source; 2]) -> Result<()> {
    let real_path = |path: &Path| path.canonicalize().map_err(|e| Error::io("find", path, &e));
    // It need not be there yet.
    let absolute = std::path::absolute(output).map_err(|e| Error::io("find", output, &e))?;
    let there = absolute.ancestors().find(|path| path.exists()).map_or_else(|| Ok(absolute.clone()), real_path)?;
    for source in sources {
        if let Source::Folder(folder) = source
            && there.starts_with(real_path(folder)?)
        {
            return Err(Error::input(format!("the report would be written among the pictures of {source}"))
                .hint("name another directory with -o, for example -o judged"));
        }
    }
    if is_run(output) {
        return Err(Error::input(format!("{} is a run, and holds the scores of its own model", output.display()))
            .hint("name another directory with -o"));
    }
    Ok(())
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
        // No data set is opened of them, so there is nothing to keep them for.
        let (scan, checked) = checked(data::scan(source)?.with_generated())?;
        let unusable: HashSet<&str> = checked.rejects.iter().map(|reject| reject.name.as_str()).collect();
        let items: Vec<Item> =
            scan.items.iter().filter(|item| !unusable.contains(item.name.as_str())).cloned().collect();
        if !unusable.is_empty() {
            let files = counted(unusable.len(), "file");
            tell!("note: {files} of {source} cannot be used; `maliang data check` names them");
        }
        Ok(Self { scan, checked, items })
    }

    /// The size that they have, or the middle one; at most that of the largest model's, which is what extractors are made for.
    fn size(&self) -> DataConfig {
        let (width, height) = (self.checked.width, self.checked.height);
        let sizes = width.zip(height).expect("a usable picture has a size");
        let (width, height) = (sizes.0.median, sizes.1.median);
        let (longest, most) = (width.max(height), *SIDES.end());
        let scaled = |side: usize| if longest > most { (side * most / longest).max(1) } else { side };
        let differ = [sizes.0, sizes.1].iter().any(|size| size.min != size.max);
        let (width, height) = (scaled(width), scaled(height));
        match (differ, longest > most) {
            (true, false) => {
                tell!("note: the pictures differ in size; all are judged at {width}x{height}, the median")
            }
            (_, true) => {
                tell!("note: scores use at most {most} pixels a side; all pictures are judged at {width}x{height}")
            }
            (false, false) => {}
        }
        DataConfig { width, height, ..DataConfig::default() }
    }
}
