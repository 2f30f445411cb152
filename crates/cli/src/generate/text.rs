//! `maliang generate` with a model of text: pieces on the terminal as they are written, labelled files, music to listen to.

use super::flags::MOST;
use super::job::default_directory;
use crate::args::{Format, GenerateArgs, TextFlags};
use crate::terminal::{print, stream};
use maliang::data::text::cleaned;
use maliang::files::write_bytes;
use maliang::generate::writer::Author;
use maliang::music::{Tune, abc, midi, synth};
use maliang::provenance::label::{Label, Provenance};
use maliang::provenance::recipe::Request;
use maliang::provenance::recipe::Sampling;
use maliang::provenance::recipe::TextRecipe;
use maliang::provenance::text;
use maliang::{Error, Result};
use std::path::PathBuf;

/// Tokens of a piece where --max-tokens does not say: a page; a tune, which ends by itself.
const TOKENS: usize = 300;
const TOKENS_OF_TUNE: usize = 2000;
/// What every tune in ABC notation begins with, and what ends it.
const TUNE: (&str, &str) = ("X:", "\n\n");
/// Problems of a tune that are shown, at most.
const TOLD: usize = 5;

/// Writes what the arguments ask for: text to stdout, or files, whose names it prints.
pub fn run(args: &GenerateArgs) -> Result<()> {
    refuse_picture_flags(args)?;
    let number = args.number.unwrap_or(1);
    if !(1..=MOST).contains(&number) {
        return Err(Error::input(format!("-n {number} is out of range: 1 to {MOST}")));
    }
    let label = args.producer.label()?;
    let author = open(&args.model)?;
    let format = args.format.unwrap_or(Format::Text);
    let request = request(&args.text, args.seed, is_music(format).then_some(&author));
    let to_stdout = args.output.is_none() && matches!(format, Format::Text | Format::Json);
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&args.model));
    let job = Job { author, label, request, format, directory };
    // A prompt that cannot be used makes no directory.
    job.author.begin(&job.request, 0)?;
    if to_stdout { job.show(number) } else { job.files(number) }
}

/// The model of text, and a note for each damaged checkpoint that was passed over.
pub fn open(model: &std::path::Path) -> Result<Author> {
    let (author, warnings) = Author::open(model)?;
    for warning in warnings {
        tell!("note: {warning}; using another checkpoint");
    }
    Ok(author)
}

/// What the flags ask for. A tune begins and ends as tunes do, where the flags do not say otherwise and the model, given for
/// music, knows the characters.
pub fn request(flags: &TextFlags, seed: u64, music: Option<&Author>) -> Request {
    let plain = Sampling::default();
    let sampling = Sampling {
        temperature: flags.temperature.unwrap_or(plain.temperature),
        top_k: flags.top_k.unwrap_or(plain.top_k),
        top_p: flags.top_p.unwrap_or(plain.top_p),
        min_p: flags.min_p.unwrap_or(plain.min_p),
        repetition_penalty: flags.repetition_penalty.unwrap_or(plain.repetition_penalty),
    };
    let (beginning, end) = TUNE;
    let knows = |author: &Author| author.tokenizer().unknown(beginning).is_empty();
    let beginning = if music.is_some_and(knows) { beginning } else { "" };
    let stop = match (&flags.stop[..], music) {
        ([], Some(_)) => vec![end.to_owned()],
        (stop, _) => stop.iter().map(|stop| unescape(stop)).collect(),
    };
    Request {
        prompt: cleaned(&flags.prompt.as_deref().map_or_else(|| beginning.to_owned(), unescape)),
        sampling,
        max_tokens: flags.max_tokens.unwrap_or(if music.is_some() { TOKENS_OF_TUNE } else { TOKENS }),
        stop,
        seed,
    }
}

/// `\n`, `\t` and `\\` as people type them.
pub fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let meant = match (c, characters.peek()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('\\')) => '\\',
            _ => {
                out.push(c);
                continue;
            }
        };
        characters.next();
        out.push(meant);
    }
    out
}

fn is_music(format: Format) -> bool {
    matches!(format, Format::Abc | Format::Midi | Format::Wav)
}

/// Flags that would do nothing here.
fn refuse_picture_flags(args: &GenerateArgs) -> Result<()> {
    let given = [
        (args.class.is_some(), "--class"),
        (args.truncation.is_some(), "--truncation"),
        (args.interpolate.is_some(), "--interpolate"),
        (!args.from.is_empty(), "--from"),
        (args.mix, "--mix"),
        (args.neighbours.is_some(), "--neighbours"),
        (args.direction.is_some(), "--direction"),
        (args.strength.is_some(), "--strength"),
        (args.visible_label, "--visible-label"),
        (args.format == Some(Format::Png), "--format png"),
        (args.format == Some(Format::Gif), "--format gif"),
    ];
    refuse(&given, args, "text", "pictures", "--prompt, --temperature, --max-tokens and --stop shape a text")
}

/// Flags that would do nothing with a model of pictures.
pub fn refuse_flags(args: &GenerateArgs) -> Result<()> {
    let TextFlags { prompt, max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, stop } = &args.text;
    let picture = matches!(args.format, None | Some(Format::Png | Format::Gif));
    let given = [
        (prompt.is_some(), "--prompt"),
        (max_tokens.is_some(), "--max-tokens"),
        (temperature.is_some(), "--temperature"),
        (top_k.is_some(), "--top-k"),
        (top_p.is_some(), "--top-p"),
        (min_p.is_some(), "--min-p"),
        (repetition_penalty.is_some(), "--repetition-penalty"),
        (!stop.is_empty(), "--stop"),
        (!picture, "this --format"),
    ];
    refuse(&given, args, "pictures", "text", "-n, --seed, --class, --truncation and --interpolate shape pictures")
}

fn refuse(given: &[(bool, &str)], args: &GenerateArgs, makes: &str, belongs: &str, hint: &str) -> Result<()> {
    match given.iter().find(|(given, _)| *given) {
        Some((_, flag)) => {
            let model = args.model.display();
            Err(Error::input(format!("{model} makes {makes}, and {flag} is for {belongs}")).hint(hint))
        }
        None => Ok(()),
    }
}

struct Job {
    author: Author,
    label: Label,
    request: Request,
    format: Format,
    directory: PathBuf,
}

impl Job {
    fn provenance(&self, index: u64) -> Provenance<TextRecipe> {
        self.author.provenance(&self.label, &self.request, index)
    }

    /// Pieces on stdout. The sentence of the label comes first, so that a text that is cut short has it.
    fn show(&self, number: usize) -> Result<()> {
        for index in 0..number as u64 {
            let provenance = self.provenance(index);
            let mut piece = self.author.begin(&self.request, index)?;
            let mut all = self.request.prompt.clone();
            if self.format == Format::Json {
                all += &piece.rest()?;
                let finish = piece.finish().map_or("", |finish| finish.name());
                print(text::json(&all, finish, piece.tokens(), &provenance)?)?;
                continue;
            }
            let blank = if index > 0 { "\n" } else { "" };
            if !stream(&format!("{blank}{}\n\n{all}", text::sentence(&provenance)))? {
                return Ok(());
            }
            while let Some(part) = piece.next()? {
                all += &part;
                if !stream(&part)? {
                    return Ok(());
                }
            }
            if !all.ends_with('\n') {
                stream("\n")?;
            }
        }
        Ok(())
    }

    /// One file a piece; of music one a tune.
    fn files(&self, number: usize) -> Result<()> {
        std::fs::create_dir_all(&self.directory).map_err(|e| Error::io("create", &self.directory, &e))?;
        let mut written = 0;
        for index in 0..number as u64 {
            let provenance = self.provenance(index);
            let mut piece = self.author.begin(&self.request, index)?;
            let all = format!("{}{}", self.request.prompt, piece.rest()?);
            let name = format!("{}-{index:04}", self.prefix());
            let book = is_music(self.format).then(|| abc::read(&all));
            if let Some(book) = &book {
                tell(&name, book);
            }
            let tunes = book.map_or_else(Vec::new, |book| book.tunes);
            let finish = piece.finish().map_or("", |finish| finish.name());
            written += match self.format {
                Format::Markdown => self.write(&name, "md", text::markdown(&all, &provenance)?.as_bytes())?,
                Format::Json => {
                    let json = text::json(&all, finish, piece.tokens(), &provenance)?;
                    self.write(&name, "json", format!("{json}\n").as_bytes())?
                }
                Format::Abc => self.write(&name, "abc", text::abc(&all, &provenance)?.as_bytes())?,
                Format::Midi => self.tunes(&name, "mid", &tunes, |tune| midi::encode(tune, &provenance))?,
                Format::Wav => self.tunes(&name, "wav", &tunes, |tune| synth::encode(tune, &provenance))?,
                _ => self.write(&name, "txt", text::plain(&all, &provenance)?.as_bytes())?,
            };
        }
        if written == 0 {
            let message = format!("no piece of seed {} is music that can be played", self.request.seed);
            return Err(Error::input(message).hint("see what the model writes with --format abc, or use another seed"));
        }
        Ok(())
    }

    /// Files of the tunes that have notes; the first one has the name of the piece.
    fn tunes(
        &self,
        name: &str,
        extension: &str,
        tunes: &[Tune],
        encode: impl Fn(&Tune) -> Result<Vec<u8>>,
    ) -> Result<usize> {
        let mut written = 0;
        for tune in tunes.iter().filter(|tune| !tune.notes.is_empty()) {
            let name = if written == 0 { name.to_owned() } else { format!("{name}-{}", written + 1) };
            written += self.write(&name, extension, &encode(tune)?)?;
        }
        Ok(written)
    }

    fn write(&self, name: &str, extension: &str, bytes: &[u8]) -> Result<usize> {
        let path = self.directory.join(format!("{name}.{extension}"));
        write_bytes(&path, bytes)?;
        print(path.display().to_string())?;
        Ok(1)
    }

    /// The beginning of every file name: what was asked for, so that different requests do not overwrite each other.
    fn prefix(&self) -> String {
        let clean: String =
            self.request.prompt.chars().take(16).map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let prompt = clean.trim_matches('-');
        let prompt = if prompt.is_empty() { String::new() } else { format!("-{prompt}") };
        let s = &self.request.sampling;
        let d = Sampling::default();
        let settings: String = [
            (s.temperature != d.temperature, format!("-t{}", s.temperature)),
            (s.top_k != d.top_k, format!("-k{}", s.top_k)),
            (s.top_p != d.top_p, format!("-p{}", s.top_p)),
            (s.min_p != d.min_p, format!("-m{}", s.min_p)),
            (s.repetition_penalty != d.repetition_penalty, format!("-r{}", s.repetition_penalty)),
        ]
        .into_iter()
        .filter_map(|(given, part)| given.then_some(part))
        .collect();
        format!("seed{}{prompt}{settings}", self.request.seed)
    }
}

/// What of a piece is not music, on stderr.
fn tell(name: &str, book: &abc::Book) {
    let problems: Vec<_> = book.problems.iter().chain(book.tunes.iter().flat_map(|tune| &tune.problems)).collect();
    for problem in problems.iter().take(TOLD) {
        tell!("note: {name}: {problem}");
    }
    if problems.len() > TOLD {
        tell!("note: {name}: and {} more problems", problems.len() - TOLD);
    }
    for tune in book.tunes.iter().filter(|tune| tune.uneven > 0) {
        tell!("note: {name}: {} of {} bars do not fill the metre", tune.uneven, tune.bars);
    }
    if book.tunes.is_empty() {
        tell!("note: {name}: it contains no tune");
    }
}
