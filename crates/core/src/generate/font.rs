//! A small bitmap font for labels inside pictures: printable ASCII and the two characters of `生成`.

use crate::picture::Picture;

/// Height of every glyph at scale 1.
pub const HEIGHT: usize = 16;

/// Empty columns between two glyphs at scale 1.
const GAP: usize = 2;

/// Columns of the characters U+0020 to U+007E in a 5x8 cell, the lowest bit on top; the eighth row is for descenders.
#[rustfmt::skip]
const ASCII: [[u8; 5]; 95] = [
    [0x00, 0x00, 0x00, 0x00, 0x00], [0x00, 0x00, 0x5f, 0x00, 0x00], [0x00, 0x07, 0x00, 0x07, 0x00], [0x14, 0x7f, 0x14, 0x7f, 0x14], //   ! " #
    [0x24, 0x2a, 0x7f, 0x2a, 0x12], [0x23, 0x13, 0x08, 0x64, 0x62], [0x36, 0x49, 0x55, 0x22, 0x50], [0x00, 0x05, 0x03, 0x00, 0x00], // $ % & '
    [0x00, 0x1c, 0x22, 0x41, 0x00], [0x00, 0x41, 0x22, 0x1c, 0x00], [0x14, 0x08, 0x3e, 0x08, 0x14], [0x08, 0x08, 0x3e, 0x08, 0x08], // ( ) * +
    [0x00, 0xa0, 0x60, 0x00, 0x00], [0x08, 0x08, 0x08, 0x08, 0x08], [0x00, 0x60, 0x60, 0x00, 0x00], [0x20, 0x10, 0x08, 0x04, 0x02], // , - . /
    [0x3e, 0x51, 0x49, 0x45, 0x3e], [0x00, 0x42, 0x7f, 0x40, 0x00], [0x42, 0x61, 0x51, 0x49, 0x46], [0x21, 0x41, 0x45, 0x4b, 0x31], // 0 1 2 3
    [0x18, 0x14, 0x12, 0x7f, 0x10], [0x27, 0x45, 0x45, 0x45, 0x39], [0x3c, 0x4a, 0x49, 0x49, 0x30], [0x01, 0x71, 0x09, 0x05, 0x03], // 4 5 6 7
    [0x36, 0x49, 0x49, 0x49, 0x36], [0x06, 0x49, 0x49, 0x29, 0x1e], [0x00, 0x36, 0x36, 0x00, 0x00], [0x00, 0x56, 0x36, 0x00, 0x00], // 8 9 : ;
    [0x08, 0x14, 0x22, 0x41, 0x00], [0x14, 0x14, 0x14, 0x14, 0x14], [0x00, 0x41, 0x22, 0x14, 0x08], [0x02, 0x01, 0x51, 0x09, 0x06], // < = > ?
    [0x32, 0x49, 0x79, 0x41, 0x3e], [0x7e, 0x11, 0x11, 0x11, 0x7e], [0x7f, 0x49, 0x49, 0x49, 0x36], [0x3e, 0x41, 0x41, 0x41, 0x22], // @ A B C
    [0x7f, 0x41, 0x41, 0x22, 0x1c], [0x7f, 0x49, 0x49, 0x49, 0x41], [0x7f, 0x09, 0x09, 0x09, 0x01], [0x3e, 0x41, 0x49, 0x49, 0x7a], // D E F G
    [0x7f, 0x08, 0x08, 0x08, 0x7f], [0x00, 0x41, 0x7f, 0x41, 0x00], [0x20, 0x40, 0x41, 0x3f, 0x01], [0x7f, 0x08, 0x14, 0x22, 0x41], // H I J K
    [0x7f, 0x40, 0x40, 0x40, 0x40], [0x7f, 0x02, 0x0c, 0x02, 0x7f], [0x7f, 0x04, 0x08, 0x10, 0x7f], [0x3e, 0x41, 0x41, 0x41, 0x3e], // L M N O
    [0x7f, 0x09, 0x09, 0x09, 0x06], [0x3e, 0x41, 0x51, 0x21, 0x5e], [0x7f, 0x09, 0x19, 0x29, 0x46], [0x46, 0x49, 0x49, 0x49, 0x31], // P Q R S
    [0x01, 0x01, 0x7f, 0x01, 0x01], [0x3f, 0x40, 0x40, 0x40, 0x3f], [0x1f, 0x20, 0x40, 0x20, 0x1f], [0x3f, 0x40, 0x38, 0x40, 0x3f], // T U V W
    [0x63, 0x14, 0x08, 0x14, 0x63], [0x07, 0x08, 0x70, 0x08, 0x07], [0x61, 0x51, 0x49, 0x45, 0x43], [0x00, 0x7f, 0x41, 0x41, 0x00], // X Y Z [
    [0x02, 0x04, 0x08, 0x10, 0x20], [0x00, 0x41, 0x41, 0x7f, 0x00], [0x04, 0x02, 0x01, 0x02, 0x04], [0x40, 0x40, 0x40, 0x40, 0x40], // \ ] ^ _
    [0x00, 0x01, 0x02, 0x04, 0x00], [0x20, 0x54, 0x54, 0x54, 0x78], [0x7f, 0x48, 0x44, 0x44, 0x38], [0x38, 0x44, 0x44, 0x44, 0x28], // ` a b c
    [0x38, 0x44, 0x44, 0x48, 0x7f], [0x38, 0x54, 0x54, 0x54, 0x18], [0x08, 0x7e, 0x09, 0x01, 0x02], [0x18, 0xa4, 0xa4, 0xa4, 0x7c], // d e f g
    [0x7f, 0x08, 0x04, 0x04, 0x78], [0x00, 0x44, 0x7d, 0x40, 0x00], [0x40, 0x80, 0x84, 0x7d, 0x00], [0x7f, 0x10, 0x28, 0x44, 0x00], // h i j k
    [0x00, 0x41, 0x7f, 0x40, 0x00], [0x7c, 0x04, 0x78, 0x04, 0x78], [0x7c, 0x08, 0x04, 0x04, 0x78], [0x38, 0x44, 0x44, 0x44, 0x38], // l m n o
    [0xfc, 0x24, 0x24, 0x24, 0x18], [0x18, 0x24, 0x24, 0x24, 0xfc], [0x7c, 0x08, 0x04, 0x04, 0x08], [0x48, 0x54, 0x54, 0x54, 0x24], // p q r s
    [0x04, 0x3f, 0x44, 0x40, 0x20], [0x3c, 0x40, 0x40, 0x20, 0x7c], [0x1c, 0x20, 0x40, 0x20, 0x1c], [0x3c, 0x40, 0x30, 0x40, 0x3c], // t u v w
    [0x44, 0x28, 0x10, 0x28, 0x44], [0x1c, 0xa0, 0xa0, 0xa0, 0x7c], [0x44, 0x64, 0x54, 0x4c, 0x44], [0x00, 0x08, 0x36, 0x41, 0x00], // x y z {
    [0x00, 0x00, 0x7f, 0x00, 0x00], [0x00, 0x41, 0x36, 0x08, 0x00], [0x08, 0x04, 0x08, 0x10, 0x08],                                 // | } ~
];

const SHENG: [&str; HEIGHT] = [
    ".......##.......",
    "..##...##.......",
    "..##...##.......",
    "..##...##.......",
    ".#############..",
    ".#############..",
    "##.....##.......",
    "#......##.......",
    ".......##.......",
    "..############..",
    "..############..",
    ".......##.......",
    ".......##.......",
    ".......##.......",
    "################",
    "################",
];

const CHENG: [&str; HEIGHT] = [
    ".........##.##..",
    ".........##..##.",
    ".........##...#.",
    ".##############.",
    ".##############.",
    ".##......##.....",
    ".##......##..##.",
    ".######..##..##.",
    ".######..##.##..",
    ".##..##..##.##..",
    ".##..##...###...",
    ".##..##...##....",
    ".##..##..###..##",
    ".##.###.##.##.##",
    "##..##.##...####",
    "#......#.....##.",
];

/// The bitmap of one character: its rows, the leftmost pixel in the highest bit of `width`.
struct Glyph {
    width: usize,
    rows: [u16; HEIGHT],
}

impl Glyph {
    /// Characters that the font lacks become a hollow box.
    fn of(character: char) -> Self {
        match character {
            '生' => Self::drawn(&SHENG),
            '成' => Self::drawn(&CHENG),
            ' '..='~' => Self::doubled(&ASCII[character as usize - 0x20]),
            _ => Self::doubled(&[0x7f, 0x41, 0x41, 0x41, 0x7f]),
        }
    }

    fn drawn(rows: &[&str; HEIGHT]) -> Self {
        let bits = |row: &str| row.bytes().fold(0, |bits, pixel| bits << 1 | u16::from(pixel == b'#'));
        Self { width: 16, rows: rows.map(bits) }
    }

    /// A 5x8 cell at twice its size, its diagonals smoothed by Scale2x (Mazzoleni 2001).
    fn doubled(columns: &[u8; 5]) -> Self {
        let at = |x: i32, y: i32| (0..5).contains(&x) && (0..8).contains(&y) && columns[x as usize] >> y & 1 == 1;
        let mut rows = [0; HEIGHT];
        for y in 0..8 {
            for x in 0..5 {
                let (up, left, right, down) = (at(x, y - 1), at(x - 1, y), at(x + 1, y), at(x, y + 1));
                let smooth = |a: bool, b: bool, not_a: bool, not_b: bool| {
                    if a == b && a != not_a && b != not_b { a } else { at(x, y) }
                };
                let quarters = [
                    (0, 0, smooth(left, up, down, right)),
                    (1, 0, smooth(up, right, left, down)),
                    (0, 1, smooth(down, left, right, up)),
                    (1, 1, smooth(right, down, up, left)),
                ];
                for (dx, dy, on) in quarters {
                    rows[(2 * y + dy) as usize] |= u16::from(on) << (9 - (2 * x + dx));
                }
            }
        }
        Self { width: 10, rows }
    }
}

/// Width of `text` at `scale`, without a gap at its end.
pub fn width(text: &str, scale: usize) -> usize {
    let widths = text.chars().map(|character| Glyph::of(character).width + GAP);
    widths.sum::<usize>().saturating_sub(GAP) * scale
}

/// Draws `text` with its top left corner at `(x, y)`, every glyph pixel a square of `scale`; what lies outside the
/// picture is cut off.
pub fn draw(picture: &mut Picture, x: usize, y: usize, text: &str, scale: usize, level: u8) {
    let mut left = x;
    for character in text.chars() {
        let glyph = Glyph::of(character);
        for (row, bits) in glyph.rows.into_iter().enumerate() {
            for column in (0..glyph.width).filter(|column| bits >> (glyph.width - 1 - column) & 1 == 1) {
                square(picture, left + column * scale, y + row * scale, scale, level);
            }
        }
        left += (glyph.width + GAP) * scale;
    }
}

fn square(picture: &mut Picture, x: usize, y: usize, side: usize, level: u8) {
    let right = (x + side).min(picture.width);
    for row in y..(y + side).min(picture.height) {
        if x < right {
            let start = row * picture.width;
            picture.pixels[(start + x) * picture.channels..(start + right) * picture.channels].fill(level);
        }
    }
}

/// Breaks `text` at its spaces so that each line is at most `limit` wide; a longer word stands alone.
pub fn wrap(text: &str, limit: usize, scale: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), scale) <= limit => *line = format!("{line} {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_differ() {
        let mut seen = std::collections::HashMap::new();
        for character in (' '..='~').chain(['生', '成', '口']) {
            if let Some(other) = seen.insert(Glyph::of(character).rows, character) {
                panic!("{character} looks like {other}");
            }
        }
    }

    #[test]
    fn drawing_stays_inside() {
        let mut picture = Picture::filled(30, 10, 3, 0);
        draw(&mut picture, 25, 4, "AI生成 wide", 3, 255);
        draw(&mut picture, 300, 400, "A", 1, 255);
        assert!(picture.pixels.contains(&255));
    }

    #[test]
    fn an_i_is_where_it_should_be() {
        let mut picture = Picture::filled(10, 16, 1, 0);
        draw(&mut picture, 0, 0, "|", 1, 9);
        let lit: Vec<usize> = (0..160).filter(|&i| picture.pixels[i] == 9).collect();
        assert!(lit.iter().all(|i| [4, 5].contains(&(i % 10)) && i / 10 < 14), "{lit:?}");
        assert_eq!(lit.len(), 28);
    }

    #[test]
    fn lines_are_wrapped_at_spaces() {
        assert_eq!(width("AI", 2), 44);
        assert_eq!(wrap("AI生成 AI-generated", 100, 1), ["AI生成", "AI-generated"]);
        assert_eq!(wrap("AI生成 AI-generated", 300, 1), ["AI生成 AI-generated"]);
        assert_eq!(wrap("", 10, 1), Vec::<String>::new());
    }
}
