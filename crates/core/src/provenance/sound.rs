//! The label of generated sound: WAV and MIDI files.
//!
//! WAV: the RIFF chunk `AIGC` with the JSON of GB 45438-2025, and the chunk `_PMX` with an XMP packet (XMP part 3) that holds
//! the label, the IPTC source type and the recipe. MIDI: three text meta events (`FF 01`) at the beginning of the first track;
//! there is no standard for labels in MIDI files, so the events are named after the keys of the others.

use super::label::{Provenance, ReadLabel, TRAINED_ALGORITHMIC_MEDIA};
use super::recipe::TextRecipe;
use super::xmp;
use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;

/// The chunk of GB 45438-2025, and that of XMP.
const AIGC: &[u8; 4] = b"AIGC";
const XMP: &[u8; 4] = b"_PMX";
/// What the text events of a MIDI file begin with.
const EVENTS: [&str; 3] = ["AIGC: ", "DigitalSourceType: ", "recipe: "];

/// Adds the label to the bytes of a WAV file, behind all that is there; reads it back.
///
/// # Errors
/// It is no WAV file, is damaged, grows past 4 GiB or already carries a label.
pub fn label_wav(mut wav: Vec<u8>, provenance: &Provenance<TextRecipe>) -> Result<Vec<u8>> {
    if chunks(&wav)?.iter().any(|(id, _)| id == AIGC || id == XMP) {
        return Err(Error::input("the sound already carries a label").hint("an existing label is never replaced"));
    }
    for (id, data) in [(AIGC, provenance.aigc_json()), (XMP, xmp::merge(None, provenance)?)] {
        wav.extend(id);
        wav.extend((data.len() as u32).to_le_bytes()); // labels are kilobytes
        wav.extend(data.as_bytes());
        wav.extend((data.len() % 2 == 1).then_some(0)); // chunks begin at even places
    }
    let size = u32::try_from(wav.len() - 8).map_err(|_| Error::input("the sound is too long for a WAV file"))?;
    wav[4..8].copy_from_slice(&size.to_le_bytes());
    match read_wav(&wav)? {
        Some(label) if label.matches(provenance) => Ok(wav),
        _ => Err(unreadable()),
    }
}

/// The label of the bytes of a WAV file, or `None` where it carries none.
///
/// # Errors
/// It is no WAV file, or it or its label is damaged.
pub fn read_wav(wav: &[u8]) -> Result<Option<ReadLabel<TextRecipe>>> {
    let chunks = chunks(wav)?;
    let text = |id: &[u8; 4]| {
        let Some((_, range)) = chunks.iter().find(|(found, _)| found == id) else { return Ok(None) };
        std::str::from_utf8(&wav[range.clone()]).map(Some).map_err(|_| damaged("its label is not UTF-8"))
    };
    let packet = text(XMP)?.map(xmp::read::<TextRecipe>).transpose()?.flatten();
    let Some(aigc) = text(AIGC)? else { return Ok(packet) };
    let label = ReadLabel::of(Some(aigc), None, None)?;
    Ok(label.map(|label| match packet {
        Some(packet) => ReadLabel { digital_source_type: packet.digital_source_type, recipe: packet.recipe, ..label },
        None => label,
    }))
}

/// The chunks of a WAV file: their names, and where their data lie.
fn chunks(wav: &[u8]) -> Result<Vec<([u8; 4], Range<usize>)>> {
    let word = |at: usize| wav.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    if word(0) != Some(*b"RIFF") || word(8) != Some(*b"WAVE") {
        return Err(damaged("it is not a WAV file"));
    }
    let (mut found, mut at) = (Vec::new(), 12);
    while at < wav.len() {
        let (Some(id), Some(length)) = (word(at), word(at + 4)) else { return Err(damaged("it is cut off")) };
        let data = at + 8..(at + 8).saturating_add(u32::from_le_bytes(length) as usize);
        if data.end > wav.len() {
            return Err(damaged("it is cut off"));
        }
        at = data.end + data.len() % 2;
        found.push((id, data));
    }
    Ok(found)
}

/// The texts of the meta events that label a MIDI file.
pub(crate) fn midi_events(provenance: &Provenance<TextRecipe>) -> [String; 3] {
    let values = [provenance.aigc_json(), TRAINED_ALGORITHMIC_MEDIA.to_owned(), provenance.recipe_json()];
    std::array::from_fn(|i| format!("{}{}", EVENTS[i], values[i]))
}

/// The bytes of a MIDI file as they are, once their label has been read back.
///
/// # Errors
/// The label is not there.
pub(crate) fn checked_midi(midi: Vec<u8>, provenance: &Provenance<TextRecipe>) -> Result<Vec<u8>> {
    match read_midi(&midi)? {
        Some(label) if label.matches(provenance) => Ok(midi),
        _ => Err(unreadable()),
    }
}

/// The label of the bytes of a MIDI file, or `None` where it carries none.
///
/// # Errors
/// It is no MIDI file, or it or its label is damaged.
pub fn read_midi(midi: &[u8]) -> Result<Option<ReadLabel<TextRecipe>>> {
    let (_, tracks) = midly::parse(midi).map_err(|error| damaged(&error.to_string()))?;
    let Some(first) = tracks.into_iter().next() else { return Ok(None) };
    let first = first.map_err(|error| damaged(&error.to_string()))?;
    let mut values: [Option<String>; 3] = [None, None, None];
    for event in first {
        let event = event.map_err(|error| damaged(&error.to_string()))?;
        let midly::TrackEventKind::Meta(midly::MetaMessage::Text(text)) = event.kind else { continue };
        let Ok(text) = std::str::from_utf8(text) else { continue };
        for (name, value) in EVENTS.iter().zip(&mut values) {
            if let (Some(text), None) = (text.strip_prefix(name), &value) {
                *value = Some(text.to_owned());
            }
        }
    }
    let [aigc, source, recipe] = values;
    ReadLabel::of(aigc.as_deref(), source, recipe.as_deref())
}

fn damaged(reason: &str) -> Error {
    Error::corrupt(format!("cannot read the label of the sound: {reason}"))
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Internal, "the label could not be read back, so no file was written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::label::sample_text;
    use std::io::Cursor;

    /// As hound writes it: three samples, so that the data end at an even place.
    fn wav() -> Vec<u8> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 44_100,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        [1i16, -2, 3].iter().for_each(|&sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_labelled_wav_is_a_wav() {
        let bytes = label_wav(wav(), &sample_text()).unwrap();
        assert!(read_wav(&bytes).unwrap().unwrap().matches(&sample_text()));
        let samples: Vec<i16> =
            hound::WavReader::new(Cursor::new(&bytes)).unwrap().samples().map(|sample| sample.unwrap()).collect();
        assert_eq!(samples, [1, -2, 3]);
        // By hand: the first chunk behind the 3 samples is AIGC, and its text is the JSON.
        let at = 12 + 24 + 8 + 6;
        assert_eq!(&bytes[at..at + 4], b"AIGC");
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        assert_eq!(&bytes[at + 8..at + 8 + length], sample_text().aigc_json().as_bytes());
        assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize, bytes.len() - 8);
        assert_eq!(bytes.len() % 2, 0);

        assert_eq!(read_wav(&wav()).unwrap(), None);
        assert!(label_wav(bytes, &sample_text()).is_err(), "an existing label is never replaced");
    }

    #[test]
    fn damaged_sounds_are_errors() {
        let bytes = label_wav(wav(), &sample_text()).unwrap();
        for length in 0..bytes.len() {
            if let Ok(label) = read_wav(&bytes[..length]) {
                assert!(!label.is_some_and(|label| label.matches(&sample_text())), "cut to {length}");
            }
        }
        let mut long = bytes.clone();
        long[40..44].copy_from_slice(&u32::MAX.to_le_bytes()); // the length of the data
        assert!(read_wav(&long).is_err());
        assert!(read_midi(b"MThd").is_err());
        assert!(read_midi(&bytes).is_err());
    }
}
