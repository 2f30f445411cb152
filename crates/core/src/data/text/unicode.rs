//! A file that begins with the mark of UTF-16 or UTF-32, as UTF-8; every other file as it is.

use std::io::Read;

use crate::data::encoding::Mark;

/// Bytes read at one time.
const CHUNK: usize = 1 << 16;

/// Reads what `reader` gives as UTF-8 where its mark says that it is other Unicode. Memory is bounded.
pub(super) struct Unicode<R> {
    reader: R,
    /// The encoding to read from; nothing where the bytes are passed on. Unknown until the first bytes have come.
    mark: Option<Option<Mark>>,
    /// Read, and not yet decoded: the beginning of a character whose rest comes later.
    raw: Vec<u8>,
    /// Decoded, and given out up to `given`.
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Unicode<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, mark: None, raw: Vec::new(), text: Vec::new(), given: 0, ended: false }
    }

    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Reads more bytes into `raw`; at the end there are none.
    fn more(&mut self) -> std::io::Result<()> {
        let old = self.raw.len();
        self.raw.resize(old + CHUNK, 0);
        let got = loop {
            match self.reader.read(&mut self.raw[old..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        self.raw.truncate(old + *got.as_ref().unwrap_or(&0));
        self.ended = got? == 0;
        Ok(())
    }

    /// Decodes another piece into `text`.
    fn fill(&mut self) -> std::io::Result<()> {
        while self.mark.is_none() {
            self.more()?;
            if self.raw.len() >= 4 || self.ended {
                let found = Mark::of(&self.raw).filter(|(mark, _)| *mark != Mark::Utf8);
                self.raw.drain(..found.map_or(0, |(_, length)| length));
                self.mark = Some(found.map(|(mark, _)| mark));
            }
        }
        if self.raw.is_empty() {
            self.more()?;
        }
        let whole = match self.mark.flatten() {
            _ if self.ended => self.raw.len(),
            None => self.raw.len(),
            Some(Mark::Utf32Le | Mark::Utf32Be) => self.raw.len() / 4 * 4,
            Some(mark) => {
                let whole = self.raw.len() / 2 * 2;
                // The first half of a pair waits for the second.
                let last = self.raw[..whole].last_chunk::<2>().map_or(0, |&unit| match mark {
                    Mark::Utf16Be => u16::from_be_bytes(unit),
                    _ => u16::from_le_bytes(unit),
                });
                if (0xd800..0xdc00).contains(&last) { whole - 2 } else { whole }
            }
        };
        let rest = self.raw.split_off(whole);
        let raw = std::mem::replace(&mut self.raw, rest);
        self.given = 0;
        self.text = match self.mark.flatten() {
            None => raw,
            Some(mark) => mark.decode(&raw).into_owned().into_bytes(),
        };
        if whole == 0 && !self.ended {
            self.more()?;
        }
        Ok(())
    }
}

impl<R: Read> Read for Unicode<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.given == self.text.len() {
            if self.ended && self.raw.is_empty() {
                return Ok(0);
            }
            self.fill()?;
        }
        let got = buffer.len().min(self.text.len() - self.given);
        buffer[..got].copy_from_slice(&self.text[self.given..][..got]);
        self.given += got;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most so many bytes at one time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    fn read(bytes: &[u8], slowly: usize) -> Vec<u8> {
        let mut out = Vec::new();
        Unicode::new(Slowly(bytes, slowly)).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn marked_text_is_utf_8_however_it_comes() {
        let text = "床前明月光,𝄞 Größe\n".repeat(9);
        let little: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide: Vec<u8> = format!("\u{feff}{text}").chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for slowly in [1, 2, 3, 5, 1000] {
            for bytes in [&little, &big, &wide] {
                assert_eq!(String::from_utf8(read(bytes, slowly)).unwrap(), text);
            }
            let odd = read(&little[..little.len() - 1], slowly);
            assert!(String::from_utf8(odd).unwrap().ends_with('\u{fffd}'));
            // Everything else is passed on byte by byte, its mark with it.
            for bytes in [&b"\xef\xbb\xbfplain"[..], b"\xb4\xba\xff", b"\xff", b""] {
                assert_eq!(read(bytes, slowly), bytes);
            }
        }
    }
}
