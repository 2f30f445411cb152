//! `generate --mix`: a table of pictures, the content of each from its column, the style from its row.

use super::job::Job;
use crate::terminal::print;
use maliang::generate::grid::{blank, grid};
use maliang::generate::picture::write_png;
use maliang::{Error, Result};

/// Columns and rows where -n does not say, and at most.
const SIDE: usize = 6;
const MOST: usize = 16;

impl Job<'_> {
    /// The pictures of seed numbers 0 to n − 1 above, those of n to 2n − 1 at the left, and every mixture.
    pub fn mix(&self) -> Result<()> {
        let n = self.args.number.unwrap_or(SIDE);
        if n > MOST {
            return Err(Error::input(format!("-n {n} is too large for a table: at most {MOST} rows and columns")));
        }
        self.create_directory()?;
        let number =
            |i: usize| (self.sampler.latent(self.args.seed, i as u64, self.truncation()), self.class_of(i as u64));
        let (contents, content_classes): (Vec<_>, Vec<_>) = (0..n).map(number).unzip();
        let (styles, style_classes): (Vec<_>, Vec<_>) = (n..2 * n).map(number).unzip();
        let heads = self.sampler.pictures(&contents, &content_classes);
        let sides = self.sampler.pictures(&styles, &style_classes);
        let mut cells = vec![blank(&heads[0])];
        cells.extend(heads);
        for ((side, style), class) in sides.into_iter().zip(&styles).zip(&style_classes) {
            let mixed = self.sampler.mixed((&contents, &content_classes), (style, *class));
            cells.push(side);
            cells.extend(mixed.expect("checked before: the model mixes"));
        }
        let words = format!("style mixing: content of numbers 0 to {}, style of numbers {n} to {}", n - 1, 2 * n - 1);
        let path = self.directory.join(format!("{}-mix-grid.png", self.prefix()));
        let sheet = grid(&cells, n + 1, Some("columns: content; rows: style"));
        write_png(&path, &sheet, &self.provenance(0, self.class, &words))?;
        print(path.display().to_string())
    }
}
