//! From the items of the voices to notes with beginnings and lengths.

use super::super::{DEFAULT_TEMPO, Note, Ticks, WHOLE};
use super::SHORTEST;
use super::body::Item;
use super::fields;
use super::repeats::unroll;
use std::borrow::Cow;

/// A grace note's length, at most; together they take at most half of their note.
const GRACE: Ticks = WHOLE / 48;
/// Lengths that do not divide a whole note evenly are rounded; a bar of them may be off by this much.
const ROUNDING: Ticks = 16;

/// All voices of a tune as they sound together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Played {
    pub notes: Vec<Note>,
    pub chords: Vec<Note>,
    pub tempo: Vec<(Ticks, f64)>,
    pub length: Ticks,
    pub bars: usize,
    pub uneven: usize,
}

/// Plays the voices from the beginning, all at once: their parts in the order of `parts`, or as they stand where that is empty.
/// `meter` and `tempo` are those of the header.
pub(super) fn perform(voices: &[Vec<Item>], parts: &[char], meter: Option<(u32, u32)>, tempo: Option<f64>) -> Played {
    let mut played = Played { tempo: vec![(0, tempo.unwrap_or(DEFAULT_TEMPO))], ..Played::default() };
    for items in voices {
        voice(&arranged(items, parts), &mut played);
        let (bars, uneven) = count_bars(items, meter);
        played.bars += bars;
        played.uneven += uneven;
    }
    played.notes.sort_unstable();
    played.chords.sort_unstable();
    // Of several tempos at one place the last one holds.
    played.tempo.sort_by_key(|(at, _)| *at);
    played.tempo.reverse();
    played.tempo.dedup_by_key(|(at, _)| *at);
    played.tempo.reverse();
    played
}

/// The parts of a voice in the order of playing, behind what stands before the first of them.
fn arranged<'a>(items: &'a [Item], parts: &[char]) -> Cow<'a, [Item]> {
    let begins = |item: &Item| matches!(item, Item::Part(_));
    if parts.is_empty() {
        return items.into();
    }
    let first = items.iter().position(begins).unwrap_or(items.len());
    let mut all = items[..first].to_vec();
    for part in parts {
        // A part that is interrupted by another goes on where its letter stands again.
        let mut playing = false;
        for item in &items[first..] {
            if begins(item) {
                playing = *item == Item::Part(*part);
            }
            if playing {
                all.push(item.clone());
            }
        }
    }
    all.into()
}

fn voice(items: &[Item], played: &mut Played) {
    let mut time = 0;
    let mut held: Vec<usize> = Vec::new(); // notes that a tie makes longer
    let (mut harmony, mut struck): (&[u8], Ticks) = (&[], 0);
    for at in unroll(items) {
        match &items[at] {
            Item::Sound(sound) => {
                let mut start = time;
                if !sound.pitches.is_empty() && held.is_empty() && !sound.graces.is_empty() {
                    let grace = GRACE.min(sound.length / 2 / sound.graces.len() as Ticks).max(1);
                    for &pitch in &sound.graces {
                        played.notes.push(Note { start, pitch, length: grace });
                        start += grace;
                    }
                }
                let end = (time + sound.length).max(start + SHORTEST);
                let mut sounding = Vec::new();
                for &pitch in &sound.pitches {
                    match held.iter().find(|&&i| played.notes[i].pitch == pitch) {
                        Some(&i) => {
                            played.notes[i].length = end - played.notes[i].start;
                            sounding.push(i);
                        }
                        None => {
                            sounding.push(played.notes.len());
                            played.notes.push(Note { start, pitch, length: end - start });
                        }
                    }
                }
                held = if sound.tie { sounding } else { Vec::new() };
                time += sound.length;
            }
            Item::Harmony(pitches) => {
                strike(harmony, struck, time, played);
                (harmony, struck) = (pitches, time);
            }
            // A chord is struck anew in every bar.
            Item::Bar(_) => {
                strike(harmony, struck, time, played);
                struck = time;
            }
            Item::Tempo(tempo) => played.tempo.push((time, *tempo)),
            Item::Meter(_) | Item::Ending(_) | Item::Part(_) => {}
        }
    }
    strike(harmony, struck, time, played);
    played.length = played.length.max(time);
}

/// The notes of a chord from `start` to `end`.
fn strike(pitches: &[u8], start: Ticks, end: Ticks, played: &mut Played) {
    if end > start {
        played.chords.extend(pitches.iter().map(|&pitch| Note { start, pitch, length: end - start }));
    }
}

/// How many bars a voice has as written, and how many of those within a section are not as long as the metre wants.
fn count_bars(items: &[Item], mut meter: Option<(u32, u32)>) -> (usize, usize) {
    let (mut bars, mut uneven) = (0, 0);
    let (mut length, mut sounds, mut edge) = (0, false, true);
    for (i, item) in items.iter().enumerate() {
        match item {
            Item::Sound(sound) => (length, sounds) = (length + sound.length, true),
            Item::Meter(new) => meter = *new,
            Item::Bar(bar) if sounds => {
                let ending = matches!(items.get(i + 1), Some(Item::Ending(_)));
                let last = !items[i..].iter().any(|item| matches!(item, Item::Sound(_)));
                let border = bar.end || bar.start || bar.double || ending || last;
                bars += 1;
                let off = meter.is_some_and(|meter| length.abs_diff(fields::bar(meter)) > ROUNDING);
                uneven += usize::from(off && !edge && !border);
                (length, sounds, edge) = (0, false, border);
            }
            Item::Bar(bar) => edge |= bar.end || bar.start || bar.double,
            _ => {}
        }
    }
    (bars + usize::from(sounds), uneven)
}
