//! Which encoding bytes are in. A byte order mark is believed, then UTF-8; what is neither can only be guessed, and the guess is
//! said.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, KOI8_R, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1251, WINDOWS_1252,
};

/// The Unicode encoding that a byte order mark names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Utf8,
    Utf16Le,
    Utf16Be,
    Utf32Le,
    Utf32Be,
}

impl Mark {
    /// The mark at the beginning of `bytes`, and its length.
    pub fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        // That of UTF-32 begins with that of UTF-16.
        let marks: [(Self, &[u8]); 5] = [
            (Self::Utf32Le, b"\xff\xfe\0\0"),
            (Self::Utf32Be, b"\0\0\xfe\xff"),
            (Self::Utf8, b"\xef\xbb\xbf"),
            (Self::Utf16Le, b"\xff\xfe"),
            (Self::Utf16Be, b"\xfe\xff"),
        ];
        marks.into_iter().find(|(_, mark)| bytes.starts_with(mark)).map(|(encoding, mark)| (encoding, mark.len()))
    }

    /// The text of bytes without their mark; what is damaged becomes `\u{fffd}`.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        let wide = |four: &[u8; 4], read: fn([u8; 4]) -> u32| char::from_u32(read(*four)).unwrap_or('\u{fffd}');
        let wide = |read| -> Cow<'_, str> { bytes.as_chunks::<4>().0.iter().map(|four| wide(four, read)).collect() };
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes),
            Self::Utf16Le => UTF_16LE.decode_without_bom_handling(bytes).0,
            Self::Utf16Be => UTF_16BE.decode_without_bom_handling(bytes).0,
            Self::Utf32Le => wide(u32::from_le_bytes),
            Self::Utf32Be => wide(u32::from_be_bytes),
        }
    }
}

/// An encoding that is not Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legacy {
    /// One of the encodings of the web.
    Web(&'static Encoding),
    /// That of the file names that DOS wrote.
    Cp437,
}

impl Legacy {
    /// As `iconv` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cp437 => "CP437",
            Self::Web(encoding) if encoding == WINDOWS_1252 => "CP1252",
            Self::Web(encoding) if encoding == WINDOWS_1251 => "CP1251",
            // That of the web has a few signs more than the one of the standard.
            Self::Web(encoding) if encoding == SHIFT_JIS => "CP932",
            Self::Web(encoding) if encoding == encoding_rs::GBK || encoding == GB18030 => "GB18030",
            Self::Web(encoding) => encoding.name(),
        }
    }

    /// The text of `bytes`, if all of them have a meaning.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        let text = match self {
            Self::Cp437 => bytes.iter().map(|&byte| cp437(byte)).collect(),
            Self::Web(encoding) => encoding.decode_without_bom_handling_and_without_replacement(bytes)?.into_owned(),
        };
        // Single-byte encodings of the web give a meaning to every byte: that of control characters.
        let control = |c: char| ('\u{80}'..='\u{9f}').contains(&c) || ('\u{e000}'..='\u{f8ff}').contains(&c);
        (!text.contains(control)).then_some(text)
    }
}

impl Legacy {
    /// The text of `bytes`; what has no meaning becomes `\u{fffd}`.
    fn lossy(self, bytes: &[u8]) -> String {
        match self {
            Self::Web(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Cp437 => bytes.iter().map(|&byte| cp437(byte)).collect(),
        }
    }

    /// Have nearly all of `bytes` a meaning?
    fn nearly(self, bytes: &[u8]) -> bool {
        let text = self.lossy(bytes);
        let odd =
            |c: &char| *c == '\u{fffd}' || ('\u{80}'..='\u{9f}').contains(c) || ('\u{e000}'..='\u{f8ff}').contains(c);
        text.chars().filter(odd).count() * 100 <= text.chars().count()
    }

    /// The share of the characters of other than ASCII that are in everyday use, for encodings of two bytes a character, whose
    /// tables begin with these.
    fn usual(self, bytes: &[u8]) -> f64 {
        let Self::Web(encoding) = self else { return 0.0 };
        let text = self.lossy(bytes);
        let usual = |c: char| {
            let Some(&[lead, trail]) = encoding.encode(c.encode_utf8(&mut [0; 4])).0.as_array() else { return false };
            match encoding {
                _ if encoding == EUC_KR => COMMON_SYLLABLES.contains(c),
                // Kana, and the kanji of the first level.
                _ if encoding == SHIFT_JIS => {
                    (0x829f..=0x8396).contains(&u16::from_be_bytes([lead, trail]))
                        || (0x889f..=0x9872).contains(&u16::from_be_bytes([lead, trail]))
                }
                _ if encoding == EUC_JP => matches!(lead, 0xa4 | 0xa5 | 0xb0..=0xcf),
                _ if encoding == BIG5 => (0xa4..=0xc6).contains(&lead),
                _ => (0xb0..=0xd7).contains(&lead) && trail >= 0xa1,
            }
        };
        let all: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
        let count = all.iter().filter(|&&c| usual(c)).count();
        count as f64 / all.len().max(1) as f64
    }
}

/// The encodings that `bytes`, which are not UTF-8, are likely in: the likeliest first, none in which more than a hundredth of them has
/// no meaning: one damaged byte does not make a text another's.
pub(super) fn likely(bytes: &[u8]) -> Vec<Legacy> {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    let others = [GB18030, SHIFT_JIS, BIG5, EUC_JP, EUC_KR, WINDOWS_1252, KOI8_R, WINDOWS_1251];
    let same = |a: &'static Encoding, b: &'static Encoding| Legacy::Web(a).name() == Legacy::Web(b).name();
    let all = std::iter::once(guess).chain(others.into_iter().filter(|other| !same(other, guess))).map(Legacy::Web);
    let mut found: Vec<Legacy> =
        all.filter(|encoding| encoding.decode(bytes).is_some() || encoding.nearly(bytes)).collect();
    // The detector is made for pages. A few characters, or a text with an impossible byte, are told by how usual the characters are:
    // the bytes of two Chinese ones are a rare syllable in Korean, and two letters of Russian.
    let usual: Vec<f64> = found.iter().map(|encoding| encoding.usual(bytes)).collect();
    if usual.first().is_some_and(|&share| share < 0.5)
        && let Some(better) = usual.iter().position(|&share| share >= 0.9)
    {
        found[..=better].rotate_right(1);
    }
    found
}

/// In which encodings `bytes`, which are not UTF-8, are likely, how one of their lines would read, and how to convert them: the end
/// of a sentence.
pub(super) fn advice(bytes: &[u8]) -> String {
    if let Some(advice) = advice_on_utf_16(bytes) {
        return advice;
    }
    // A piece of a file may end inside a character.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(bytes, |end| &bytes[..end]);
    let likely = likely(whole);
    let Some(first) = likely.first() else { return "; it is in no encoding that is known here, or damaged".into() };
    let number = whole.split(|&byte| byte == b'\n').position(|line| !line.is_ascii()).unwrap_or(0);
    let line = whole.split(|&byte| byte == b'\n').nth(number).unwrap_or(whole);
    let reading = |encoding: &Legacy| {
        let start: String = encoding.lossy(line).trim().chars().take(24).collect();
        format!("{} \"{}\"", encoding.name(), super::display_name(&start))
    };
    let readings: Vec<String> = likely.iter().take(3).map(reading).collect();
    let name = first.name();
    format!(
        "; line {} reads as {}; convert it, if that is right: iconv -f {name} -t UTF-8",
        number + 1,
        readings.join(" or as ")
    )
}

/// The same where the bytes are UTF-16 without a byte order mark.
pub(super) fn advice_on_utf_16(bytes: &[u8]) -> Option<String> {
    let (name, text) = unmarked_utf_16(bytes)?;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let start: String = line.trim().chars().take(24).collect();
    let shown = super::display_name(&start);
    Some(format!("; it reads as {name} \"{shown}\"; convert it, if that is right: iconv -f {name} -t UTF-8"))
}

/// The text of UTF-16 without a byte order mark: its line ends have a zero byte in every other place.
fn unmarked_utf_16(bytes: &[u8]) -> Option<(&'static str, String)> {
    let units = bytes.as_chunks::<2>().0;
    [(UTF_16LE, [b'\n', 0]), (UTF_16BE, [0, b'\n'])].into_iter().find_map(|(encoding, end)| {
        let text = encoding.decode_without_bom_handling_and_without_replacement(units.as_flattened())?;
        (units.contains(&end) && !text.contains('\0')).then(|| (encoding.name(), text.into_owned()))
    })
}

/// The encodings that all file names of an archive, none of them UTF-8, may be in, the likeliest first; none where they have no
/// meaning in any.
pub(super) fn of_names(names: &[&[u8]]) -> Vec<Legacy> {
    let all = names.join(&b'\n');
    let mut likely = likely(&all);
    let Some(&best) = likely.first() else { return likely };
    // The detector knows what the web wrote. Western archives are as often in the encoding of DOS, in which the letters with
    // accents lie where the other has signs.
    let letters = |encoding: Legacy| {
        let text = encoding.decode(&all)?;
        Some(text.chars().filter(|c| ('\u{c0}'..='\u{24f}').contains(c) && c.is_alphabetic()).count())
    };
    if best == Legacy::Web(WINDOWS_1252) && letters(Legacy::Cp437) > letters(best) {
        likely.insert(0, Legacy::Cp437);
    }
    likely
}

/// The most frequent syllables of Korean, of 11,172.
const COMMON_SYLLABLES: &str = "가각간갈감갑강개거건걸검것게겨격견결경계고곡곤골공과관광교구국군권귀그극근글금급기긴길김나난날남내너널네녀년노논농누는능니다단달담당대더덕던덩데도독돈동두드득들등따때떠또라락란람랑래러럭런럼레려력련렬령례로록론료루류륙률르른를름리린림립마막만말망매맥머먼면명모목몸못무문물미민밀바박반받발밤방배백버번벌법베변별병보복본부북분불비빠사산살삼상새색생서석선설성세소속손송수숙순술스슬습승시식신실심십싸쓰아악안알암압앙애야약양어억언얼업없에여역연열염영예오옥온와완왕외요용우운울원위유육윤으은을음의이인일임입있자작잔잘잠장재저적전절점접정제조족존종좋좌주준줄중즉즐증지직진질집차착찬참창채책처천철첫청체초촌총최추축출충취치친칠침카커코콩크키타탄탈태터토통트특파판팔편평포표품풍피필하학한할함합항해했행향허험현형호혼화환활회효후훈흐희히";

/// IBM's code page 437.
fn cp437(byte: u8) -> char {
    const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    match byte.checked_sub(0x80) {
        None => byte.into(),
        Some(upper) => UPPER.chars().nth(upper.into()).expect("the table has 128 characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_believed() {
        let text = "Größe,猫,𝄞\r\n";
        let bytes = |mark: Mark| -> Vec<u8> {
            let all = || std::iter::once('\u{feff}').chain(text.chars());
            let wide = || all().map(u32::from);
            let short = || all().collect::<String>().encode_utf16().collect::<Vec<u16>>();
            match mark {
                Mark::Utf8 => all().collect::<String>().into_bytes(),
                Mark::Utf16Le => short().into_iter().flat_map(u16::to_le_bytes).collect(),
                Mark::Utf16Be => short().into_iter().flat_map(u16::to_be_bytes).collect(),
                Mark::Utf32Le => wide().flat_map(u32::to_le_bytes).collect(),
                Mark::Utf32Be => wide().flat_map(u32::to_be_bytes).collect(),
            }
        };
        for mark in [Mark::Utf8, Mark::Utf16Le, Mark::Utf16Be, Mark::Utf32Le, Mark::Utf32Be] {
            let bytes = bytes(mark);
            let (found, length) = Mark::of(&bytes).unwrap();
            assert_eq!((found, &*found.decode(&bytes[length..])), (mark, text));
            assert!(!found.decode(&bytes[length..bytes.len() - 1]).is_empty(), "a part of a character at the end");
        }
        assert_eq!(Mark::of(b"plain"), None);
    }

    #[test]
    fn names_are_recognised_whole() {
        let encoded = |encoding: &'static Encoding, name: &str| encoding.encode(name).0.into_owned();
        for (encoding, classes, called) in [
            (GB18030, ["猫", "狗"], "GB18030"),
            (SHIFT_JIS, ["犬", "表"], "CP932"),
            (SHIFT_JIS, ["表札", "表紙"], "CP932"),
            (BIG5, ["貓咪", "小狗"], "Big5"),
            (EUC_KR, ["고양이", "강아지"], "EUC-KR"),
            (WINDOWS_1252, ["Vögel", "Bären"], "CP1252"),
            (WINDOWS_1251, ["кошки", "собаки"], "CP1251"),
        ] {
            let names: Vec<Vec<u8>> =
                (0..22).flat_map(|i| classes.map(|class| encoded(encoding, &format!("{class}/{i:02}.png")))).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let found = of_names(&names)[0];
            assert_eq!((found.name(), found.decode(names[0]).unwrap()), (called, format!("{}/00.png", classes[0])));
        }
        let dos = [&b"V\x94gel/1.png"[..], b"B\x84ren/1.png"];
        let found = of_names(&dos)[0];
        assert_eq!((found, found.decode(dos[0]).unwrap().as_str()), (Legacy::Cp437, "Vögel/1.png"));
    }

    #[test]
    fn what_has_no_meaning_in_an_encoding_is_not_read_as_it() {
        assert_eq!(Legacy::Web(SHIFT_JIS).decode(b"\x81"), None);
        assert_eq!(Legacy::Web(WINDOWS_1252).decode(b"a\x81"), None);
        assert!(likely(b"\xff\xff\xff").iter().all(|encoding| encoding.decode(b"\xff\xff\xff").is_some()));
        assert_eq!((0..=255).map(cp437).collect::<std::collections::HashSet<_>>().len(), 256);
    }
}
