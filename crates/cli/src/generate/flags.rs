//! Flags of `maliang generate` for pictures: ranges, and which go together.

use crate::args::{Format, GenerateArgs};
use maliang::families::names_where;
use maliang::{Error, Result};

/// More pictures than this in one call are a typing error.
pub const MOST: usize = 100_000;
/// Frames of an animation, at most: it is held in memory.
const MOST_FRAMES: usize = 5_000;
/// Frames from one picture to the next where --interpolate does not say.
const BETWEEN: usize = 12;
/// Farther than this no model was ever trained.
const FARTHEST: f32 = 20.0;

/// Refuses what is out of range or does not go together.
pub fn check(args: &GenerateArgs) -> Result<()> {
    let number = args.number.unwrap_or(1);
    if !(1..=MOST).contains(&number) {
        return Err(Error::input(format!("-n {number} is out of range: 1 to {MOST}")));
    }
    let truncation = args.truncation.unwrap_or(1.0);
    if !(0.0..=4.0).contains(&truncation) {
        return Err(
            Error::input(format!("--truncation {truncation} is out of range: 0 to 4")).hint("0.7 is a good start")
        );
    }
    combinations(args)?;
    if args.interpolate == Some(0) {
        return Err(
            Error::input("--interpolate 0 has no frames").hint("8 to 16 frames between two pictures look smooth")
        );
    }
    if args.interpolate.is_some() || args.format == Some(Format::Gif) {
        let frames = stations(args).saturating_mul(args.interpolate.unwrap_or(BETWEEN));
        if frames > MOST_FRAMES {
            return Err(Error::input(format!("an animation of {frames} frames is too long: at most {MOST_FRAMES}"))
                .hint("ask for fewer pictures with -n, or fewer frames between them with --interpolate"));
        }
    }
    Ok(())
}

/// Refuses flags that contradict each other, and those that would do nothing.
fn combinations(args: &GenerateArgs) -> Result<()> {
    let moving = between(args).is_some();
    let ways: Vec<&str> = [
        (!args.from.is_empty(), "--from"),
        (args.mix, "--mix"),
        (args.neighbours.is_some(), "--neighbours"),
        (args.direction.is_some(), "--direction"),
    ]
    .into_iter()
    .filter_map(|(given, name)| given.then_some(name))
    .collect();
    if let [one, another, ..] = ways[..] {
        return Err(Error::input(format!("{one} and {another} cannot be combined")).hint("ask for one at a time"));
    }
    let refuse = |what: &str, hint: &str| Err(Error::input(what).hint(hint));
    match ways.first() {
        Some(&"--from") if moving && args.from.len() < 2 => {
            refuse("a walk between given pictures needs another one", "give --from twice or more")
        }
        Some(&"--from") if moving && args.format == Some(Format::Png) => {
            refuse("a walk between given pictures is an animation", "leave --format out")
        }
        Some(&"--from") if moving && (args.number.is_some() || args.strength.is_some()) => {
            refuse("a walk between given pictures visits only these", "leave -n and --strength out")
        }
        Some(&"--from") if args.truncation.is_some_and(|truncation| truncation != 1.0) => {
            refuse("--truncation does not change a given picture", "--strength says how far its variations go")
        }
        Some(&way) if moving && way != "--from" => {
            Err(Error::input(format!("{way} makes no animation")).hint("leave --interpolate and --format gif out"))
        }
        Some(&("--from" | "--direction")) => match args.strength {
            Some(strength) if strength.is_nan() || strength.abs() > FARTHEST => {
                Err(Error::input(format!("--strength {strength} is out of range: -{FARTHEST} to {FARTHEST}"))
                    .hint("0.3 to 1 varies a given picture, 1 to 3 moves along a direction"))
            }
            _ => Ok(()),
        },
        _ if args.strength.is_some() => {
            refuse("--strength needs --from or --direction", "it sets how far pictures are varied or moved")
        }
        _ => Ok(()),
    }
}

/// What a model can do besides making pictures.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// Has it a latent space?
    pub latent: bool,
    /// Has it styles that mix?
    pub styles: bool,
}

impl Abilities {
    /// Refuses flags that a model of `family` with these abilities cannot do.
    pub fn check(self, args: &GenerateArgs, family: &str) -> Result<()> {
        if args.mix && !self.styles {
            return Err(Error::input(format!("{family} has no styles to mix"))
                .hint(format!("train with --model {}", names_where(|about| about.has_styles))));
        }
        let in_latent_space = [
            (args.interpolate.is_some(), "--interpolate"),
            (args.format == Some(Format::Gif), "--format gif"),
            (!args.from.is_empty(), "--from"),
            (args.direction.is_some(), "--direction"),
        ];
        match in_latent_space.into_iter().find(|(given, _)| *given && !self.latent) {
            Some((_, flag)) => Err(Error::input(format!("{family} has no latent space, which {flag} needs"))
                .hint("leave it out: -n, --seed and --class choose the pictures")),
            None => Ok(()),
        }
    }
}

/// Frames from one picture of a walk to the next, where a walk is asked for.
pub fn between(args: &GenerateArgs) -> Option<usize> {
    args.interpolate.or_else(|| (args.format == Some(Format::Gif)).then_some(BETWEEN))
}

/// How many pictures a walk visits.
pub fn stations(args: &GenerateArgs) -> usize {
    if args.from.is_empty() { args.number.unwrap_or(8).max(2) } else { args.from.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Verb};
    use clap::Parser;

    fn parsed(flags: &str) -> GenerateArgs {
        let line = format!("maliang generate model {flags}");
        let Verb::Generate(args) = Args::parse_from(line.split_whitespace()).verb else { panic!("{line}") };
        args
    }

    #[test]
    fn what_a_model_cannot_do_is_refused_by_its_name() {
        let plain = Abilities { latent: false, styles: false };
        for flags in ["--interpolate 4", "--format gif", "--from a.png", "--direction 2"] {
            let args = parsed(flags);
            let error = plain.check(&args, "family").unwrap_err();
            let flag = flags.split_once(' ').unwrap().0;
            assert!(error.message.contains("family has no latent space") && error.message.contains(flag), "{error}");
            Abilities { latent: true, ..plain }.check(&args, "family").unwrap();
        }
        let error = plain.check(&parsed("--mix"), "family").unwrap_err();
        assert!(error.message.contains("no styles") && error.hint.unwrap().contains("fastgan"));
        Abilities { styles: true, ..plain }.check(&parsed("--mix"), "family").unwrap();
        plain.check(&parsed("-n 4 --neighbours --class cats"), "family").unwrap();
    }
}
