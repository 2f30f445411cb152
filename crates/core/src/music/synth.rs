//! A tune as sound: a plucked string, added up from its partials, as a labelled WAV file.
//!
//! An ideal string plucked at the fraction p of its length swings with partials of amplitude ∝ sin(kπp) / k² (Fletcher and
//! Rossing, *The Physics of Musical Instruments*, 2.7). Each dies away exponentially, the higher the sooner. A note begins with a
//! ramp of 3 ms and ends in a fade of 80 ms, so that nothing clicks; the mix is scaled to a fixed peak.

use super::{Clock, Note, Ticks, Tune};
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::label::Provenance;
use crate::provenance::recipe::TextRecipe;
use crate::provenance::sound::label_wav;
use std::io::Cursor;

/// Samples a second.
pub const RATE: u32 = 44_100;
/// Seconds of sound, at most: it is held in memory.
const LONGEST: f64 = 600.0;
/// Seconds of all its notes together: some ten seconds of work.
const MOST_SOUNDING: f64 = 20_000.0;
/// Seconds: the beginning and the end of a note, the longest a string rings, and silence at the end.
const ATTACK: f64 = 0.003;
const FADE: f64 = 0.08;
const RING: f64 = 6.0;
const TAIL: f64 = 0.3;
/// Partials of a note, at most; those above this part of the sample rate are left out, so that none is folded back.
const PARTIALS: u32 = 12;
const HIGHEST: f64 = 0.45;
/// Where the string is plucked, as a part of its length.
const PLUCKED_AT: f64 = 0.18;
/// The loudest sample, of 1.
const PEAK: f32 = 0.8;
/// Chords, relative to the melody: a chord has several notes.
const SOFTLY: f64 = 0.22;

/// The bytes of a WAV file of `tune`: mono, 16 bit, [`RATE`]. Equal input gives equal bytes on one machine.
///
/// # Errors
/// The tune has no notes, is longer than ten minutes, or the label could not be read back.
pub fn encode(tune: &Tune, provenance: &Provenance<TextRecipe>) -> Result<Vec<u8>> {
    let failed = |error: hound::Error| Error::new(ErrorKind::Internal, format!("cannot encode a WAV file: {error}"));
    let spec =
        hound::WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let samples = samples(tune)?;
    let mut bytes = Cursor::new(Vec::with_capacity(2 * samples.len() + 8192));
    let mut writer = hound::WavWriter::new(&mut bytes, spec).map_err(failed)?;
    for sample in samples {
        writer.write_sample((sample * f32::from(i16::MAX)).round() as i16).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    label_wav(bytes.into_inner(), provenance)
}

/// The sound of `tune`, in [-1, 1].
///
/// # Errors
/// As [`encode`].
pub fn samples(tune: &Tune) -> Result<Vec<f32>> {
    if tune.notes.is_empty() {
        return Err(Error::input("the tune has no notes to play").hint("check the text"));
    }
    let clock = tune.clock();
    let seconds = clock.seconds(tune.length);
    if seconds > LONGEST {
        let message = format!("the tune lasts {seconds:.0} seconds: at most {LONGEST:.0} are turned into sound");
        return Err(Error::input(message).hint("--format midi has no such limit"));
    }
    let sounding = |note: &Note| clock.seconds(note.length).min(RING);
    let together: f64 = tune.notes.iter().chain(&tune.chords).map(sounding).sum();
    if together > MOST_SOUNDING {
        let message =
            format!("the notes sound {together:.0} seconds in all: at most {MOST_SOUNDING:.0} are turned into sound");
        return Err(Error::input(message).hint("--format midi has no such limit"));
    }
    let length = index(seconds + FADE + TAIL);
    let mut mix = vec![0.0; length];
    for (notes, loudness) in [(&tune.notes, 1.0), (&tune.chords, SOFTLY)] {
        for note in notes {
            pluck(tune, &clock, note, loudness, &mut mix);
        }
    }
    let peak = mix.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    if peak > 0.0 {
        mix.iter_mut().for_each(|sample| *sample *= PEAK / peak);
    }
    Ok(mix)
}

fn index(seconds: f64) -> usize {
    (seconds * f64::from(RATE)).round() as usize
}

/// Adds one note to the mix.
fn pluck(tune: &Tune, clock: &Clock, note: &Note, loudness: f64, mix: &mut [f32]) {
    let at = |time: Ticks| clock.seconds(time.min(tune.length));
    let start = at(note.start);
    let sounding = (at(note.start + note.length) - start).min(RING);
    let (first, count) = (index(start), index(sounding + FADE));
    let Some(mix) = mix.get_mut(first..) else { return };
    let frequency = 440.0 * 2f64.powf((f64::from(note.pitch) - 69.0) / 12.0);
    // Low strings ring longer; 1.3 s for middle C sounds like a harp.
    let ringing = 1.3 * (261.6 / frequency).sqrt();
    let mut partials: Vec<Partial> = (1..=PARTIALS)
        .map(f64::from)
        .filter(|k| k * frequency < HIGHEST * f64::from(RATE))
        .map(|k| {
            let amplitude = loudness * (k * std::f64::consts::PI * PLUCKED_AT).sin() / (k * k);
            Partial::new(k * frequency, amplitude, ringing / (1.0 + 0.6 * (k - 1.0)))
        })
        .collect();
    let (attack, fade) = (ATTACK * f64::from(RATE), FADE * f64::from(RATE));
    for (i, sample) in mix.iter_mut().take(count).enumerate() {
        let sum: f64 = partials.iter_mut().map(Partial::next).sum();
        let envelope = smooth(i as f64 / attack) * smooth((count - i) as f64 / fade);
        *sample += (sum * envelope) as f32;
    }
}

/// From 0 to 1 as half a cosine, level outside.
fn smooth(x: f64) -> f64 {
    0.5 - 0.5 * (std::f64::consts::PI * x.clamp(0.0, 1.0)).cos()
}

/// A sine that dies away, by the recurrence y[n] = 2r·cos(ω)·y[n−1] − r²·y[n−2].
struct Partial {
    a: f64,
    b: f64,
    y: [f64; 2],
}

impl Partial {
    /// Falls to 1/e in `seconds`.
    fn new(frequency: f64, amplitude: f64, seconds: f64) -> Self {
        let omega = 2.0 * std::f64::consts::PI * frequency / f64::from(RATE);
        let r = (-1.0 / (seconds * f64::from(RATE))).exp();
        // y[−1] and y[−2] of amplitude · rⁿ · sin(ωn).
        let y = [-amplitude * omega.sin() / r, -amplitude * (2.0 * omega).sin() / (r * r)];
        Self { a: 2.0 * r * omega.cos(), b: -r * r, y }
    }

    fn next(&mut self) -> f64 {
        let y = self.a * self.y[0] + self.b * self.y[1];
        self.y = [y, self.y[0]];
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::abc;
    use crate::provenance::label::sample_text;
    use crate::provenance::sound::read_wav;

    fn tune(body: &str) -> Tune {
        abc::read(&format!("X:1\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\n{body}")).tunes.remove(0)
    }

    /// How strongly a frequency is in the samples: the magnitude of their Fourier sum.
    fn strength(samples: &[f32], frequency: f64) -> f64 {
        let angle = |i: usize| std::f64::consts::TAU * frequency * i as f64 / f64::from(RATE);
        let sum = |f: fn(f64) -> f64| samples.iter().enumerate().map(|(i, s)| f64::from(*s) * f(angle(i))).sum::<f64>();
        sum(f64::cos).hypot(sum(f64::sin)) / samples.len() as f64
    }

    #[test]
    fn notes_have_their_pitch_place_and_length() {
        let samples = samples(&tune("z A z2|")).unwrap();
        assert_eq!(samples.len(), index(2.0 + FADE + TAIL));
        let part = |from: f64, to: f64| &samples[index(from)..index(to)];
        assert!(part(0.0, 0.5).iter().all(|s| *s == 0.0), "the rest is silent");
        assert!(part(1.0 + FADE, 2.3).iter().all(|s| *s == 0.0), "nothing rings on");
        let note = part(0.5, 1.0);
        for near in [415.3, 466.2, 660.0] {
            assert!(strength(note, 440.0) > 10.0 * strength(note, near), "{near}");
        }
        assert!(strength(note, 880.0) < strength(note, 440.0), "the fundamental leads");
        let energy = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>();
        assert!(energy(part(0.5, 0.6)) > 1.5 * energy(part(0.85, 0.95)), "it dies away");
    }

    #[test]
    fn nothing_clicks_and_nothing_clips() {
        let samples = samples(&tune("\"Am\"[Ace]/[Ace]/ c'>a C,,2|\"G\"G4|]")).unwrap();
        let peak = samples.iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
        assert!((peak - PEAK).abs() < 1e-6, "{peak}");
        assert_eq!((samples[0], *samples.last().unwrap()), (0.0, 0.0));
        let jump = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(jump < 0.2, "a click is a jump from one sample to the next: {jump}");
    }

    #[test]
    fn the_file_is_labelled_and_repeats() {
        let tune = tune("CDEF|");
        let bytes = encode(&tune, &sample_text()).unwrap();
        assert_eq!(bytes, encode(&tune, &sample_text()).unwrap());
        assert!(read_wav(&bytes).unwrap().unwrap().matches(&sample_text()));
        let reader = hound::WavReader::new(Cursor::new(&bytes)).unwrap();
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (44_100, 1));
        assert_eq!(reader.duration() as usize, samples(&tune).unwrap().len());
    }

    #[test]
    fn endless_tunes_are_refused() {
        let error = encode(&tune("[Q:1/4=10]C64|C64|"), &sample_text()).unwrap_err();
        assert!(error.message.contains("seconds"), "{error}");
        assert!(encode(&tune("z4|"), &sample_text()).is_err());
    }
}
