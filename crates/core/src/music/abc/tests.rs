use super::super::{Note, Ticks};
use super::*;
use crate::data::tests::lookup::real;
use proptest::prelude::*;

fn only(text: &str) -> Tune {
    let mut book = read(text);
    assert_eq!((book.tunes.len(), book.problems.len()), (1, 0), "{book:?}");
    book.tunes.remove(0)
}

/// The music `body` in C, 4/4 and eighths, without problems.
#[track_caller]
fn music(body: &str) -> Tune {
    let tune = only(&format!("X:1\nM:4/4\nL:1/8\nK:C\n{body}"));
    assert_eq!(tune.problems, [], "{body}");
    tune
}

/// Pitches in the order of playing, with lengths in eighths.
fn played(tune: &Tune) -> Vec<(u8, f64)> {
    tune.notes.iter().map(|note| (note.pitch, note.length as f64 / 5040.0)).collect()
}

fn pitches(body: &str) -> Vec<u8> {
    music(body).notes.iter().map(|note| note.pitch).collect()
}

#[test]
fn headers() {
    let tune =
        only("% a comment\nX: 7\nT: The Old Man\nT: Another name\nC: Trad.\nM: 6/8\nL: 1/8\nQ: 3/8=100\nK: Ador\nA3|");
    assert_eq!(
        (&*tune.number, &*tune.title, tune.meter, tune.sharps, tune.minor),
        ("7", "The Old Man", Some((6, 8)), 1, true)
    );
    assert_eq!(tune.tempo, [(0, 150.0)]);
    assert_eq!(tune.notes, [Note { start: 0, pitch: 69, length: 15_120 }]);
    assert!((tune.seconds(tune.length) - 0.6).abs() < 1e-9, "three eighths at 100 of them in threes a minute");
    let tunes = read("X:1\nK:C\nC|\nX:2\nK:C\nD|\n\n\nX:3\nK:C\nE|").tunes;
    assert_eq!(tunes.iter().map(|tune| &*tune.number).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn octaves_accidentals_and_keys() {
    assert_eq!(pitches("C,CEGcegc'"), [48, 60, 64, 67, 72, 76, 79, 84]);
    assert_eq!(pitches("^F F f | F"), [66, 66, 78, 65], "to the end of the bar, in all octaves");
    assert_eq!(pitches("^^F __B =F _E"), [67, 69, 65, 63]);
    assert_eq!(pitches("[K:D] F C =F F | F [K:F] B F"), [66, 61, 65, 65, 66, 70, 65]);
    assert_eq!(pitches("^F4-|F4 F"), [66, 65], "a tie carries the accidental over the bar, and no further");
    assert_eq!(pitches("^F4- F4 | F"), [66, 65]);
}

#[test]
fn lengths_ties_and_broken_rhythm() {
    assert_eq!(
        played(&music("C2 D/ E/2 F3/2 G// A/4 B2/3")),
        [(60, 2.0), (62, 0.5), (64, 0.5), (65, 1.5), (67, 0.25), (69, 0.25), (71, 2.0 / 3.0)]
    );
    assert_eq!(
        played(&music("C>D E<F G>>A B2>c2")).iter().map(|p| p.1).collect::<Vec<_>>(),
        [1.5, 0.5, 0.5, 1.5, 1.75, 0.25, 3.0, 1.0]
    );
    assert_eq!(played(&music("C2-C2 D2-|D2 E-F")), [(60, 4.0), (62, 4.0), (64, 1.0), (65, 1.0)], "E-F is an old slur");
    assert_eq!(played(&music("C z2 D")), [(60, 1.0), (62, 1.0)]);
    assert_eq!(music("Z2|C").notes[0].start, 2 * WHOLE);
}

#[test]
fn tuplets_chords_and_graces() {
    let lengths = |body| played(&music(body)).into_iter().map(|(_, length)| length).collect::<Vec<_>>();
    assert_eq!(lengths("(3CDE F"), [2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
    assert_eq!(lengths("(3:2:2C2D2 E")[..2], [4.0 / 3.0, 4.0 / 3.0]);
    assert_eq!(lengths("(5CDEFG")[0], 0.4);
    assert_eq!(lengths("(3(C2D2E2)")[2], 4.0 / 3.0, "a slur within");
    let six_eight = only("X:1\nM:6/8\nL:1/8\nK:C\n(5CDEFG|");
    assert_eq!(played(&six_eight)[0].1, 0.6, "five in the time of three in a compound metre");

    let tune = music("[CEG]2 [c2e]/");
    assert_eq!(played(&tune), [(60, 2.0), (64, 2.0), (67, 2.0), (72, 1.0), (76, 1.0)]);
    assert_eq!(played(&music("[CE]2-[CG]2")), [(60, 4.0), (64, 2.0), (67, 2.0)], "what is in both is tied");
    assert_eq!(
        played(&music("{d}c2 {ef}g2")),
        [(74, 1.0 / 6.0 * 1.0), (72, 2.0 - 1.0 / 6.0), (76, 1.0 / 6.0), (77, 1.0 / 6.0), (79, 2.0 - 1.0 / 3.0)]
    );
}

/// C, D, E, … as letters, in the order of playing.
fn order(body: &str) -> String {
    music(body).notes.iter().map(|note| b"CxDxEFxGxAxB"[usize::from(note.pitch % 12)] as char).collect()
}

#[test]
fn repeats_and_endings() {
    assert_eq!(order("C|D|"), "CD");
    assert_eq!(order("C|D:|E"), "CDCDE");
    assert_eq!(order("C|:D:|E"), "CDDE");
    assert_eq!(order("|:C::D:|E|"), "CCDDE");
    assert_eq!(order("C||D:|E:|"), "CDDEE", "back to the double bar, then to the end of the repeat");
    assert_eq!(order("|:C||D:|E"), "CDCDE", "a double bar within a repeat is not its beginning");
    assert_eq!(order("|:C|1 D:|2 E|]F"), "CDCEF");
    assert_eq!(order("|:C|[1 D:|[2 E:|F"), "CDCEF");
    assert_eq!(order("C|1D:|2E||F|1G:|2A||"), "CDCEFGFA");
    assert_eq!(order("|:C|1,3 D:|2 E:|F"), "CDCECDF");
    assert_eq!(order("|:C|1-3 D:|4 E|]F"), "CDCDCDCEF");
    assert_eq!(order("|:C|1 D:|E|]"), "CDCE", "without a second ending, none is played");
    assert_eq!(order("|:C|1 D:|2 E|:F:|"), "CDCEFF");
    assert_eq!(order("C:|:D:|"), "CCDD");
}

#[test]
fn parts_are_played_in_the_order_of_the_header() {
    let order = |header: &str, body: &str| {
        let tune = only(&format!("X:1\nL:1/8\nP:{header}\nK:C\n{body}"));
        let letters: String =
            tune.notes.iter().map(|note| b"CxDxEFxGxAxB"[usize::from(note.pitch % 12)] as char).collect();
        (letters, tune.problems.len())
    };
    let body = "P:A\nC|D:|\nP:B\nE|F||\n";
    assert_eq!(order("ABA", body), ("CDCDEFCDCD".into(), 0));
    assert_eq!(order("A.B2", body), ("CDCDEFEF".into(), 0));
    assert_eq!(order("A", body), ("CDCDEF".into(), 0), "the name of a part is no order");
    assert_eq!(order("AC", body), ("CDCDEF".into(), 1), "there is no part C");
    assert_eq!(order("(AB)2", body), ("CDCDEF".into(), 1));
}

#[test]
fn voices_sound_together() {
    let tune = only("X:1\nL:1/4\nM:4/4\nV:1\nV:2 bass\nK:G\n[V:1] G4|F4|\n[V:2] z2 B,2|D,4|\nV:1\nc4|");
    let notes: Vec<(Ticks, u8)> =
        tune.notes.iter().map(|note| (note.start / WHOLE * 10 + note.start % WHOLE * 10 / WHOLE, note.pitch)).collect();
    assert_eq!(notes, [(0, 67), (5, 59), (10, 50), (10, 66), (20, 72)]);
    assert_eq!((tune.problems.len(), tune.length), (0, 3 * WHOLE));
}

#[test]
fn chord_symbols_are_struck_in_every_bar() {
    let tune = music("\"C\"C4 \"^slowly\"C4|C8|\"G7\"B,8|\"N.C.\"C8|");
    let roots: Vec<(Ticks, u8, Ticks)> =
        tune.chords.iter().filter(|note| note.pitch < 48).map(|note| (note.start, note.pitch, note.length)).collect();
    assert_eq!(roots, [(0, 36, WHOLE), (WHOLE, 36, WHOLE), (2 * WHOLE, 43, WHOLE)]);
}

#[test]
fn tempo_and_metre_may_change() {
    let tune = music("C8|[Q:1/4=60]D8|[M:2/4]E4|F4|G4|");
    assert_eq!(tune.tempo, [(0, 120.0), (WHOLE, 60.0)]);
    assert_eq!(tune.seconds(2 * WHOLE), 2.0 + 4.0);
    assert_eq!((tune.bars, tune.uneven), (5, 0));
    let tune = music("G|C8|C7|C9|C7|]");
    assert_eq!((tune.bars, tune.uneven), (5, 2), "an upbeat and the bar at the end may be short");
}

#[test]
fn jumps_are_said_not_to_be_played() {
    let tune = only("X:1\nK:C\n!segno!CDEF|!trill!GABc!fine!|!D.S.alfine!|]");
    let problems: Vec<String> = tune.problems.iter().map(Problem::to_string).collect();
    assert_eq!(problems, ["line 3, character 31: the jump !D.S.alfine! is not played"]);
}

#[test]
fn what_is_wrong_is_listed_with_its_place() {
    let text = "X:1\nM:7/9\nL:1/8\nK:Hmaj\nCDE ### F|G9999 \"unfinished\n[CE|{fg|^|c,,,,,,,,,|>C|[9 C|A & B|?:C";
    let tune = only(text);
    let problems: Vec<String> = tune.problems.iter().map(Problem::to_string).collect();
    let expected = [
        "line 2, character 1: the metre \"7/9\" is not known",
        "line 4, character 1: the key \"Hmaj\" is not known",
        "line 5, character 5: \"###\" has no meaning here",
        "line 5, character 11: a note of impossible length",
        "line 5, character 17: a quotation without its end",
        "line 6, character 1: a chord without its closing bracket",
        "line 6, character 5: grace notes without their end",
    ];
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem} / {expected}");
    }
    for word in [
        "an accidental without a note",
        "too high or too low",
        "broken rhythm",
        "ending must be",
        "second line",
        "\"?\"",
        "\":\" is not a bar line",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word} in {problems:#?}");
    }
    assert!(tune.notes.len() >= 5, "what can be played is played: {:?}", tune.notes);
}

#[test]
fn texts_that_are_no_tunes() {
    let book = read("Once upon a time\nthere was\n\n% only a comment\n\nX:1\nT:Empty\n");
    assert_eq!(book.problems.len(), 1);
    assert!(
        book.problems[0].to_string().starts_with("line 1, character 1: text that belongs to no tune, from \"Once upon")
    );
    assert_eq!((book.tunes.len(), book.tunes[0].problems.len(), book.tunes[0].notes.len()), (1, 1, 0));
    let stray = only("X:1\nN a note without its colon\nK:G\nF|");
    assert!(stray.problems.len() == 1 && stray.notes[0].pitch == 66, "{:?}", stray.problems);
    let keyless = only("X:1\nCDEF|");
    assert!(keyless.problems[0].what.contains("before the key") && keyless.notes.len() == 4);
    assert_eq!(read(""), Book::default());
}

/// Every tune of the real collection. What does not parse wholly is known, and does not become more.
#[test]
fn a_collection_of_folk_tunes() {
    let Some(path) = real("text/folk_abc.txt") else { return };
    let book = read(&std::fs::read_to_string(path).unwrap());
    let count = |what: fn(&&Tune) -> bool| book.tunes.iter().filter(what).count();
    let whole = count(|tune| tune.problems.is_empty());
    let even = count(|tune| tune.uneven == 0);
    let silent = count(|tune| tune.notes.is_empty());
    for tune in book.tunes.iter().filter(|tune| !tune.problems.is_empty()) {
        println!("{} {}: {}", tune.number, tune.title, tune.problems[0]);
    }
    println!("{} tunes, {whole} wholly, {even} with even bars, {silent} silent", book.tunes.len());
    // The others have misprints: signs that mean nothing, brackets that are not closed, accidentals without a note.
    assert_eq!((book.tunes.len(), silent, book.problems.len()), (4248, 0, 1));
    assert!(whole >= 4180 && even >= 4000, "{whole} wholly, {even} even");
}

proptest! {
    #[test]
    fn nothing_panics_and_lengths_stay_bounded(text in "X:1\n(K:[A-G]m?\n)?([A-Gaz0-9|:/()<>{}^_=,'\" &!\\[\\]-]{0,60}\n){0,5}") {
        let book = read(&text);
        for tune in &book.tunes {
            prop_assert!(tune.notes.len() <= 16 * text.len());
            prop_assert!(tune.notes.iter().all(|note| note.length > 0 && note.pitch < 128));
        }
    }

    #[test]
    fn any_text_is_read(text in any::<String>(), tail in any::<String>()) {
        read(&text);
        read(&format!("X:1\nK:G\n{tail}"));
    }
}
