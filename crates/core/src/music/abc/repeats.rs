//! The order in which the bars of a tune are played.

use super::body::{Item, MOST_PASSES};

/// The items of a voice in the order of playing: repeats are followed, and on each pass only the ending for it is played.
///
/// `:|` goes back to the latest `|:`, or where there is none to the latest end of a repeat, double bar, beginning of a part or the
/// beginning (ABC 2.1, 4.8). A repeat is played as often as the highest number of its endings says, else twice.
pub(super) fn unroll(items: &[Item]) -> Vec<usize> {
    let mut order = Vec::new();
    let (mut at, mut section, mut pass) = (0, 0, 1);
    let mut closed = false; // the repeat has been played out: what endings follow belong to it and are over
    let (mut opened, mut in_ending) = (false, false);
    while at < items.len() {
        match &items[at] {
            Item::Bar(bar) => {
                order.push(at);
                if bar.end && !closed && pass < passes(items, section, at) {
                    (at, pass, in_ending) = (section, pass + 1, false);
                    continue;
                }
                closed = bar.end && pass > 1;
                // A double bar within `|: … :|` is an ornament, one behind the last ending closes the repeat.
                if bar.end || bar.start || (bar.double && (!opened || in_ending)) {
                    (section, pass, opened, in_ending) = (at + 1, 1, bar.start, false);
                }
            }
            Item::Ending(numbers) if closed || !numbers.contains(&pass) => {
                let Some(next) = skip(items, at + 1, (!closed).then_some(pass)) else { break };
                at = next;
                continue;
            }
            Item::Ending(_) => in_ending = true,
            Item::Part(_) => (section, pass, opened, in_ending, closed) = (at + 1, 1, false, false, false),
            _ => {
                closed = false;
                order.push(at);
            }
        }
        at += 1;
    }
    order
}

/// How often the section from `from`, whose end bar is at `end`, is played.
fn passes(items: &[Item], from: usize, end: usize) -> u8 {
    let mut most = 2;
    for (i, item) in items.iter().enumerate().skip(from) {
        match item {
            Item::Ending(numbers) => most = most.max(numbers.iter().copied().max().unwrap_or(0)),
            Item::Part(_) if i > end => break,
            // A further ending follows its repeat sign at once.
            Item::Bar(bar) if i >= end => {
                let ending = matches!(items.get(i + 1), Some(Item::Ending(_)));
                if bar.start || bar.double || (bar.end && !ending) {
                    break;
                }
            }
            _ => {}
        }
    }
    most.min(MOST_PASSES)
}

/// From `from` on, the place of the ending for `pass`, or of the bar that ends the last of the endings.
fn skip(items: &[Item], from: usize, pass: Option<u8>) -> Option<usize> {
    (from..items.len()).find(|&i| match &items[i] {
        Item::Ending(numbers) => pass.is_some_and(|pass| numbers.contains(&pass)),
        Item::Part(_) => true,
        Item::Bar(bar) => (bar.end || bar.start || bar.double) && !matches!(items.get(i + 1), Some(Item::Ending(_))),
        _ => false,
    })
}
