//! Pictures side by side, and the band that carries the visible label.

use super::font;
use crate::picture::Picture;
use crate::provenance::label::VISIBLE_LABEL;

/// Pixels between and around the pictures of a grid.
const GUTTER: usize = 2;
/// Pictures of a grid are enlarged to at least this side, by a whole factor.
const VISIBLE_SIDE: usize = 64;
/// Grey level of gutters and bands: dark enough for light text, lighter than a black picture.
const BACKGROUND: u8 = 40;
/// Grey level of text.
const TEXT: u8 = 235;

/// `pictures` in rows of `columns` (0: as square as it gets), with a footer that says that they are AI-generated and,
/// if given, `footer` (ASCII) beside it. Small pictures are enlarged, smaller ones among them centred in their cell.
///
/// # Panics
/// A picture has fewer pixels than its size says.
pub fn grid(pictures: &[Picture], columns: usize, footer: Option<&str>) -> Picture {
    band(&sheet(pictures, columns), VISIBLE_LABEL, footer.unwrap_or_default())
}

/// Grids one below the other, each under a line of text (ASCII), and the footer of a [`grid`].
///
/// # Panics
/// As [`grid`].
pub fn sections(sections: &[(&str, Vec<Picture>)], columns: usize, footer: &str) -> Picture {
    let parts: Vec<Picture> = sections.iter().map(|(text, pictures)| headed(&sheet(pictures, columns), text)).collect();
    let width = parts.iter().map(|part| part.width).max().unwrap_or(1);
    let channels = parts.iter().map(|part| part.channels).max().unwrap_or(1);
    let height = parts.iter().map(|part| part.height).sum();
    let mut all = Picture::filled(width, height, channels, BACKGROUND);
    let mut y = 0;
    for part in &parts {
        paste(&mut all, part, 0, y, 1);
        y += part.height;
    }
    band(&all, VISIBLE_LABEL, footer)
}

/// `picture` under a line of text.
fn headed(picture: &Picture, text: &str) -> Picture {
    let (height, width) = (font::HEIGHT + 2 * GUTTER, font::width(text, 1) + 4 * GUTTER);
    let mut all = Picture::filled(picture.width.max(width), picture.height + height, picture.channels, BACKGROUND);
    font::draw(&mut all, 2 * GUTTER, GUTTER, text, 1, TEXT);
    paste(&mut all, picture, 0, height, 1);
    all
}

/// Real pictures in rows of `columns` like a [`grid`], with a footer that says so.
pub fn real_sheet(pictures: &[Picture], columns: usize) -> Picture {
    band(&sheet(pictures, columns), "real pictures", "")
}

/// An empty cell for a grid of pictures like this one.
pub fn blank(picture: &Picture) -> Picture {
    Picture::filled(picture.width, picture.height, picture.channels, BACKGROUND)
}

/// `picture` enlarged by the smallest whole factor that makes its shorter side at least `side`: pixels stay squares.
pub fn enlarge(picture: &Picture, side: usize) -> Picture {
    let factor = side.div_ceil(picture.width.min(picture.height).max(1)).max(1);
    let mut large = Picture::filled(picture.width * factor, picture.height * factor, picture.channels, 0);
    paste(&mut large, picture, 0, 0, factor);
    large
}

/// The pictures alone.
fn sheet(pictures: &[Picture], columns: usize) -> Picture {
    let columns = if columns == 0 { (pictures.len() as f64).sqrt().ceil() as usize } else { columns };
    let columns = columns.clamp(1, pictures.len().max(1));
    let rows = pictures.len().div_ceil(columns);
    let (width, height) = pictures.iter().fold((1, 1), |(w, h), p| (w.max(p.width), h.max(p.height)));
    let factor = VISIBLE_SIDE.div_ceil(width.min(height));
    let (cell_width, cell_height) = (width * factor + GUTTER, height * factor + GUTTER);

    let (width, height) = (columns * cell_width + GUTTER, rows * cell_height + GUTTER);
    let channels = if pictures.iter().any(|picture| picture.channels == 3) { 3 } else { 1 };
    let mut sheet = Picture::filled(width, height, channels, BACKGROUND);
    for (i, picture) in pictures.iter().enumerate() {
        let x = GUTTER + i % columns * cell_width + (cell_width - GUTTER - picture.width * factor) / 2;
        let y = GUTTER + i / columns * cell_height + (cell_height - GUTTER - picture.height * factor) / 2;
        paste(&mut sheet, picture, x, y, factor);
    }
    sheet
}

/// `picture` with a band below it that carries `text`: the visible label of a picture too small to bear it inside.
/// The pixels of the picture stay as they are. Beyond ASCII the font has only `生成`.
pub fn caption(picture: &Picture, text: &str) -> Picture {
    band(picture, text, "")
}

/// `picture` with `left`, the label, and `right`, smaller, in a band below: on one line if they fit, else wrapped. A word
/// wider than the picture widens it.
fn band(picture: &Picture, left: &str, right: &str) -> Picture {
    // GB 45438-2025: the text is at least 5 % of the shortest side high. The band adds to the height: hence 6 %.
    let shortest = picture.width.min(picture.height);
    let scale = (shortest * 6).div_ceil(100 * font::HEIGHT).max(1);
    let small = scale.div_ceil(2);
    let margin = 4 * scale;
    let room = picture.width.saturating_sub(2 * margin);
    let one_line = font::width(left, scale) + font::width(right, small) + 4 * margin <= room;
    let wrapped = |text, scale| font::wrap(text, room, scale).into_iter().map(move |line| (line, scale));
    let lines: Vec<(String, usize)> = match one_line {
        true => vec![(left.to_owned(), scale)],
        false => wrapped(left, scale).chain(wrapped(right, small)).collect(),
    };
    let text_width = lines.iter().map(|(line, scale)| font::width(line, *scale)).max().unwrap_or(0);
    let text_height: usize = lines.iter().map(|(_, scale)| font::HEIGHT * scale + margin).sum();
    let width = picture.width.max(text_width + 2 * margin);

    let mut sheet = Picture::filled(width, picture.height + text_height + margin, picture.channels, BACKGROUND);
    paste(&mut sheet, picture, (width - picture.width) / 2, 0, 1);
    let mut y = picture.height + margin;
    if one_line {
        let x = width - margin - font::width(right, small);
        font::draw(&mut sheet, x, y + font::HEIGHT * (scale - small), right, small, TEXT);
    }
    for (line, scale) in lines {
        font::draw(&mut sheet, margin, y, &line, scale, TEXT);
        y += font::HEIGHT * scale + margin;
    }
    sheet
}

/// Copies `picture`, enlarged `factor` times (nearest), to `(x, y)` of `sheet`, which has room for it. Grey becomes RGB
/// where the sheet is.
fn paste(sheet: &mut Picture, picture: &Picture, x: usize, y: usize, factor: usize) {
    let (from, to) = (picture.channels, sheet.channels);
    for row in 0..picture.height * factor {
        for column in 0..picture.width * factor {
            let source = (row / factor * picture.width + column / factor) * from;
            let target = ((y + row) * sheet.width + x + column) * to;
            for channel in 0..to {
                sheet.pixels[target + channel] = picture.pixels[source + channel.min(from - 1)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(picture: &Picture, x: usize, y: usize) -> &[u8] {
        &picture.pixels[(y * picture.width + x) * picture.channels..][..picture.channels]
    }

    #[test]
    fn pictures_stand_in_their_cells() {
        let pictures: Vec<Picture> = (0..5).map(|i| Picture::filled(64, 64, 3, 100 + i)).collect();
        let sheet = grid(&pictures, 3, Some("step 500"));
        assert_eq!(sheet.width, 3 * 66 + 2);
        assert_eq!(at(&sheet, 2, 2), [100; 3]);
        assert_eq!(at(&sheet, 2 + 66 + 63, 2 + 66 + 63), [104; 3]);
        assert_eq!(at(&sheet, 66, 2), [BACKGROUND; 3], "gutter");
        assert_eq!(at(&sheet, 2 + 2 * 66, 2 + 66), [BACKGROUND; 3], "the last cell is empty");
    }

    #[test]
    fn small_pictures_are_enlarged_by_a_whole_factor() {
        let tiny = Picture { width: 16, height: 16, channels: 1, pixels: (0..=255).collect() };
        let sheet = grid(&[tiny.clone(), tiny], 0, None);
        assert_eq!((sheet.channels, sheet.width), (1, (2 * 66 + 2).max(sheet.width)));
        let x = (sheet.width - (2 * 66 + 2)) / 2;
        for (column, row) in [(0, 0), (63, 63), (5, 9)] {
            assert_eq!(at(&sheet, x + 2 + column, 2 + row), [(row / 4 * 16 + column / 4) as u8]);
        }
    }

    #[test]
    fn grey_and_rgb_and_sizes_mix() {
        let pictures = [Picture::filled(64, 64, 1, 9), Picture::filled(96, 32, 3, 8)];
        let sheet = grid(&pictures, 2, None);
        assert_eq!(sheet.channels, 3);
        assert!(sheet.pixels.len() == sheet.width * sheet.height * 3);
        assert!(grid(&[], 0, None).pixels.contains(&TEXT));
    }

    #[test]
    fn sections_stand_below_each_other() {
        let row = |level: u8, count: usize| vec![Picture::filled(64, 64, 1, level); count];
        let all = sections(&[("made", row(100, 4)), ("real", row(150, 3))], 4, "step 3");
        let head = font::HEIGHT + 2 * GUTTER;
        assert_eq!((all.width, all.channels), (4 * 66 + 2, 1));
        assert_eq!(at(&all, 2, head + 2), [100]);
        assert_eq!(at(&all, 2, head + 68 + head + 2), [150]);
        assert_eq!(at(&all, 2 + 3 * 66, head + 68 + head + 2), [BACKGROUND], "the last cell is empty");
        let text = |rows: std::ops::Range<usize>| {
            rows.flat_map(|y| (0..all.width).map(move |x| (x, y))).any(|(x, y)| at(&all, x, y) == [TEXT])
        };
        assert!(text(0..head) && text(head + 68..head + 68 + head) && text(2 * (head + 68)..all.height));
    }

    /// GB 45438-2025, on the whole picture that is written, band included.
    #[test]
    fn the_label_is_high_enough() {
        for (columns, side) in [(1, 64), (4, 64), (8, 128), (16, 256), (3, 1024), (1, 4000)] {
            let pictures = vec![Picture::filled(side, side, 1, 0); columns];
            let sheet = grid(&pictures, columns, None);
            let text: Vec<usize> =
                (0..sheet.height).filter(|&y| (0..sheet.width).any(|x| at(&sheet, x, y) == [TEXT])).collect();
            let lines = text.chunk_by(|a, b| b - a <= 2 * (side / 256 + 1)).map(<[usize]>::len).max().unwrap();
            assert!(lines * 100 >= 5 * sheet.width.min(sheet.height), "{columns}x{side}: {lines} of {}", sheet.height);
        }
    }

    #[test]
    fn a_caption_keeps_the_picture() {
        let picture =
            Picture { width: 64, height: 64, channels: 3, pixels: (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect() };
        let captioned = caption(&picture, VISIBLE_LABEL);
        let x = (captioned.width - 64) / 2;
        for row in 0..64 {
            let start = (row * captioned.width + x) * 3;
            assert_eq!(captioned.pixels[start..start + 64 * 3], picture.pixels[row * 64 * 3..(row + 1) * 64 * 3]);
        }
    }
}
