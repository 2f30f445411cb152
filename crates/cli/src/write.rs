//! `maliang write`: a beginning is typed, its continuation appears as it is made.

use crate::args::WriteArgs;
use crate::generate::text::{open, request, unescape};
use crate::terminal::{self, catch_interrupts_of_pieces, error_text, interrupted, print, stream, while_writing};
use maliang::data::text::cleaned;
use maliang::generate::text::Finish;
use maliang::generate::writer::{Author, Piece};
use maliang::provenance::label::Label;
use maliang::provenance::recipe::Request;
use maliang::provenance::text;
use maliang::{Error, ErrorKind, Result};
use std::io::{BufRead, IsTerminal};
use std::str::FromStr;

const HELP: &str = "\
Type a beginning and press Enter; an empty line begins from nothing. \\n is a line break.
  /more [TOKENS]        continue the latest text, if it ended at its greatest length
  /again                another text with the same beginning
  /temperature T        below 1 more typical, above 1 more surprising, 0 always the likeliest
  /top-k K   /top-p P   /min-p P   /repetition-penalty R
  /tokens N             greatest length of a text
  /stop TEXT            end before this text appears; without TEXT nothing ends a text
  /seed N               use another seed, beginning with its first text
  /settings             show the settings
  /help   /quit         Ctrl-C ends the text that is being written, otherwise the program";

/// Reads beginnings and commands from stdin until it ends. The texts go to stdout, everything else to stderr.
pub fn run(args: &WriteArgs) -> Result<()> {
    let label = args.producer.label()?;
    let author = open(&args.model)?;
    let request = request(&args.text, args.seed, None);
    request.check()?;
    tell!("{} is ready to write. /help lists the commands, /quit ends.", author.info.name);
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        catch_interrupts_of_pieces()?;
    }
    let begins = args.text.prompt.is_some();
    let mut desk = Desk { author: &author, label, request, piece: None, number: 0 };
    if begins && !settled(desk.begin())? {
        return Ok(());
    }
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if interactive {
            terminal::prompt();
        }
        let Some(line) = lines.next() else { return Ok(()) };
        let line = line.map_err(|e| Error::io("read", "standard input", &e))?;
        if matches!(line.trim(), "/quit" | "/q" | "/exit") || !settled(desk.line(&line))? {
            return Ok(());
        }
    }
}

/// Whether to go on: wrong input is reported and the dialogue goes on; it ends when nobody reads stdout any more.
fn settled(outcome: Result<bool>) -> Result<bool> {
    match outcome {
        Err(error) if error.kind == ErrorKind::Input => {
            tell!("{}", error_text(&error));
            Ok(true)
        }
        outcome => outcome,
    }
}

/// What lies on it: the model, what is asked of it, and the latest piece.
struct Desk<'a> {
    author: &'a Author,
    label: Label,
    request: Request,
    piece: Option<Piece<'a>>,
    /// Number of the next piece under its seed.
    number: u64,
}

impl Desk<'_> {
    /// A beginning or a command. Returns whether anybody still reads.
    fn line(&mut self, line: &str) -> Result<bool> {
        let Some(command) = line.strip_prefix('/') else {
            let before = std::mem::replace(&mut self.request.prompt, cleaned(&unescape(line)));
            return self.begin().inspect_err(|_| self.request.prompt = before);
        };
        let (name, value) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let value = value.trim();
        let mut wanted = self.request.clone();
        match name {
            "more" => return self.more(value),
            "again" => return self.begin(),
            "help" => {
                tell!("{HELP}");
                return Ok(true);
            }
            "settings" => {
                let Request { max_tokens, seed, stop, sampling, .. } = &self.request;
                tell!("--seed {seed} --max-tokens {max_tokens} {} stop {stop:?}", sampling.flags());
                return Ok(true);
            }
            "temperature" => wanted.sampling.temperature = number(name, value)?,
            "top-k" => wanted.sampling.top_k = number(name, value)?,
            "top-p" => wanted.sampling.top_p = number(name, value)?,
            "min-p" => wanted.sampling.min_p = number(name, value)?,
            "repetition-penalty" => wanted.sampling.repetition_penalty = number(name, value)?,
            "tokens" => wanted.max_tokens = number(name, value)?,
            "stop" => wanted.stop = Some(unescape(value)).filter(|stop| !stop.is_empty()).into_iter().collect(),
            "seed" => {
                wanted.seed = number(name, value)?;
                self.number = 0;
            }
            _ => return Err(Error::input(format!("there is no command /{name}")).hint("/help lists them")),
        }
        wanted.check()?;
        self.request = wanted;
        Ok(true)
    }

    /// Writes a new piece, the label before it and its beginning with it.
    fn begin(&mut self) -> Result<bool> {
        let piece = self.author.begin(&self.request, self.number)?;
        let provenance = self.author.provenance(&self.label, &self.request, self.number);
        self.number += 1;
        self.piece = Some(piece);
        let head = format!("{}\n\n{}", text::sentence(&provenance), self.request.prompt);
        self.go_on(&head)
    }

    fn more(&mut self, value: &str) -> Result<bool> {
        let tokens = if value.is_empty() { self.request.max_tokens } else { number("more", value)? };
        let Some(piece) = &mut self.piece else {
            return Err(Error::input("there is no text yet").hint("type a beginning"));
        };
        if piece.extend(tokens) {
            self.go_on("")
        } else {
            Err(Error::input("the text has ended").hint("/again begins another one"))
        }
    }

    /// Shows `head` and then the piece as it is made. From the first letter of it on Ctrl-C ends the piece and not the program.
    fn go_on(&mut self, head: &str) -> Result<bool> {
        let Some(piece) = &mut self.piece else { return Ok(true) };
        let read = while_writing(|| -> Result<bool> {
            if !stream(head)? {
                return Ok(false);
            }
            while let Some(part) = piece.next()? {
                if !stream(&part)? {
                    return Ok(false);
                }
                if interrupted() {
                    break;
                }
            }
            Ok(true)
        })?;
        if !read {
            return Ok(false);
        }
        print("\n")?;
        if matches!(piece.finish(), None | Some(Finish::Length)) {
            tell!("(/more continues it)");
        }
        Ok(true)
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::input(format!("/{name} needs a number, not \"{value}\"")).hint("/help says which"))
}
