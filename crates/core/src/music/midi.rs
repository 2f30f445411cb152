//! A tune as a Standard MIDI File, labelled.
//!
//! Format 1 with 480 ticks a quarter note: first a track with the label, title, metre, key and tempo, then the melody as a flute,
//! then the chord symbols as a soft guitar, where there are any.

use super::{Note, Ticks, Tune, WHOLE};
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::label::Provenance;
use crate::provenance::recipe::TextRecipe;
use crate::provenance::sound::{checked_midi, midi_events};
use midly::num::{u4, u7, u15, u24, u28};
use midly::{Format, Header, MetaMessage, MidiMessage, Smf, Timing, Track, TrackEvent, TrackEventKind};

/// Ticks of the file in a quarter note.
const QUARTER: u16 = 480;
/// Ours in one of the file.
const RATIO: Ticks = WHOLE / 4 / QUARTER as Ticks;
/// Channel, General MIDI program (from 0) and velocity: a flute, and a nylon-string guitar.
const MELODY: (u8, u8, u8) = (0, 73, 90);
const CHORDS: (u8, u8, u8) = (1, 24, 45);

/// The bytes of a MIDI file of `tune`. Equal input gives equal bytes.
///
/// # Errors
/// The tune has no notes, is longer than a MIDI file can be, or the label could not be read back.
pub fn encode(tune: &Tune, provenance: &Provenance<TextRecipe>) -> Result<Vec<u8>> {
    if tune.notes.is_empty() {
        return Err(Error::input("the tune has no notes to play").hint("check the text"));
    }
    if tune.length / RATIO >= Ticks::from(u28::max_value().as_int()) {
        return Err(Error::input("the tune is too long for a MIDI file"));
    }
    let label = midi_events(provenance);
    let timing = Timing::Metrical(u15::new(QUARTER));
    let mut smf = Smf::new(Header::new(Format::Parallel, timing));
    smf.tracks.push(conductor(tune, &label));
    smf.tracks.push(track(&tune.notes, MELODY));
    if !tune.chords.is_empty() {
        smf.tracks.push(track(&tune.chords, CHORDS));
    }
    let mut bytes = Vec::new();
    smf.write_std(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot encode a MIDI file: {error}")))?;
    checked_midi(bytes, provenance)
}

/// What holds for all tracks.
fn conductor<'a>(tune: &'a Tune, label: &'a [String]) -> Track<'a> {
    let mut events: Vec<(u32, MetaMessage)> =
        label.iter().map(|text| (0, MetaMessage::Text(text.as_bytes()))).collect();
    events.push((0, MetaMessage::TrackName(tune.title.as_bytes())));
    if let Some((beats, unit)) = tune.meter {
        // 24 MIDI clocks a click of the metronome, 8 thirty-seconds a quarter: the usual values.
        events.push((0, MetaMessage::TimeSignature(beats as u8, unit.trailing_zeros() as u8, 24, 8)));
    }
    events.push((0, MetaMessage::KeySignature(tune.sharps, tune.minor)));
    events.extend(tune.tempo.iter().map(|&(at, quarters)| {
        let microseconds = (60e6 / quarters).round() as u32;
        (place(at), MetaMessage::Tempo(u24::new(microseconds.min(u24::max_value().as_int()))))
    }));
    timed(events.into_iter().map(|(at, message)| (at, TrackEventKind::Meta(message))))
}

/// Notes on a channel of their own.
fn track(notes: &[Note], (channel, program, velocity): (u8, u8, u8)) -> Track<'static> {
    let message = |message| TrackEventKind::Midi { channel: u4::new(channel), message };
    let mut events = Vec::new();
    for note in notes {
        let (start, key) = (place(note.start), u7::new(note.pitch));
        let end = place(note.start + note.length).max(start + 1);
        // What ends at a place comes before what begins there.
        events.push((start, 1, key, message(MidiMessage::NoteOn { key, vel: u7::new(velocity) })));
        events.push((end, 0, key, message(MidiMessage::NoteOff { key, vel: u7::new(0) })));
    }
    events.sort_by_key(|&(at, order, key, _)| (at, order, key));
    let instrument = (0, message(MidiMessage::ProgramChange { program: u7::new(program) }));
    timed(std::iter::once(instrument).chain(events.into_iter().map(|(at, _, _, event)| (at, event))))
}

/// Places become distances from one event to the next; the end of the track is added.
fn timed<'a>(events: impl Iterator<Item = (u32, TrackEventKind<'a>)>) -> Track<'a> {
    let mut now = 0;
    let mut track: Track<'a> = events
        .map(|(at, kind)| {
            let delta = u28::new(at - now);
            now = at;
            TrackEvent { delta, kind }
        })
        .collect();
    track.push(TrackEvent { delta: u28::new(0), kind: TrackEventKind::Meta(MetaMessage::EndOfTrack) });
    track
}

/// A place in ticks of the file; the length of the tune has been checked.
fn place(time: Ticks) -> u32 {
    ((time + RATIO / 2) / RATIO) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::abc;
    use crate::provenance::label::sample_text;
    use crate::provenance::sound::read_midi;

    const TUNE: &str = "X:1\nT:Twinkle\nM:2/4\nL:1/4\nQ:1/4=90\nK:G\n\"G\"GG|\"D7\"d>^c-|\n";

    /// By hand after the Standard MIDI File 1.0: every chunk, delta and message of a small tune.
    #[test]
    fn a_small_tune_byte_by_byte() {
        let tune = abc::read(TUNE).tunes.remove(0);
        let provenance = sample_text();
        let bytes = encode(&tune, &provenance).unwrap();

        let mut expected = b"MThd\0\0\0\x06\0\x01\0\x03\x01\xe0".to_vec(); // format 1, 3 tracks, 480
        let text = |text: &str| {
            let length = text.len();
            let quantity =
                if length < 128 { vec![length as u8] } else { vec![0x80 | (length >> 7) as u8, (length & 127) as u8] };
            [&[0, 0xff, 1][..], &quantity, text.as_bytes()].concat()
        };
        let mut conductor: Vec<u8> = [
            format!("AIGC: {}", provenance.aigc_json()),
            "DigitalSourceType: http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia".into(),
            format!("recipe: {}", provenance.recipe_json()),
        ]
        .iter()
        .flat_map(|line| text(line))
        .collect();
        conductor.extend(b"\0\xff\x03\x07Twinkle");
        conductor.extend(b"\0\xff\x58\x04\x02\x02\x18\x08"); // 2/4
        conductor.extend(b"\0\xff\x59\x02\x01\0"); // one sharp, major
        conductor.extend(b"\0\xff\x51\x03\x0a\x2c\x2b"); // 666,667 µs a quarter
        conductor.extend(b"\0\xff\x2f\0");
        let melody = [
            &b"\0\xc0\x49"[..], // a flute
            b"\0\x90\x43\x5a",
            b"\x83\x60\x80\x43\0", // G for 480
            b"\0\x90\x43\x5a",
            b"\x83\x60\x80\x43\0", // again
            b"\0\x90\x4a\x5a",
            b"\x85\x50\x80\x4a\0", // d for 720
            b"\0\x90\x49\x5a",
            b"\x81\x70\x80\x49\0", // c sharp for 240
            b"\0\xff\x2f\0",
        ]
        .concat();
        // A status that is that of the event before is left out (running status).
        let chord = |delta: &[u8], status: u8, keys: &[u8], velocity: u8| {
            let (first, rest) = keys.split_first().unwrap();
            let mut bytes = [delta, &[status, *first, velocity]].concat();
            rest.iter().for_each(|&key| bytes.extend([0, key, velocity]));
            bytes
        };
        let on = |keys: &[u8]| chord(&[0], 0x91, keys, 45);
        let off = |keys: &[u8]| chord(&[0x87, 0x40], 0x81, keys, 0); // after 960
        let (g, d7) = ([43, 55, 59, 62], [38, 50, 54, 57, 60]);
        let chords = [&b"\0\xc1\x18"[..], &on(&g), &off(&g), &on(&d7), &off(&d7), b"\0\xff\x2f\0"].concat();
        for track in [&conductor, &melody, &chords] {
            expected.extend(b"MTrk");
            expected.extend((track.len() as u32).to_be_bytes());
            expected.extend(track);
        }
        assert_eq!(bytes, expected);
        assert!(read_midi(&bytes).unwrap().unwrap().matches(&provenance));
    }

    #[test]
    fn silence_is_no_tune() {
        let tune = abc::read("X:1\nK:C\nz4|").tunes.remove(0);
        assert!(encode(&tune, &sample_text()).is_err());
    }
}
