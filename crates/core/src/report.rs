//! The report of a run: one HTML page that stands alone. Pictures are embedded, curves are drawn as SVG, nothing is
//! fetched from anywhere, and it can be printed.
//!
//! Whoever writes it last, it shows all that lies in the directory: see [`compose`].

pub mod card;
mod chart;
mod compose;
mod embed;
pub mod explained;
mod judged;
mod run;
mod sheets;
mod text;

pub use compose::{compose, of_run};
pub use judged::{JudgementFiles, Record, TextJudgementFiles, TextRecord};

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files::write_bytes;

const STYLE: &str = include_str!("report/style.css");
const SCRIPT: &str = include_str!("report/film.js");
/// The page may show what it contains and nothing else.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// What a report shows. Empty parts are left out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// A line under the heading.
    pub subtitle: String,
    /// The numbers that matter, as name and value.
    pub summary: Vec<(String, String)>,
    /// What the reader must know before anything else, one paragraph each.
    pub notices: Vec<String>,
    /// What was judged: below the pictures.
    pub scores: Vec<Table>,
    /// Generated pictures beside the real ones that they resemble.
    pub pairs: Vec<Pair>,
    /// Measurements over time.
    pub curves: Vec<Curve>,
    /// Sample grids in the order of time, as caption and file (PNG, GIF, JPEG or WebP). The page holds at most 24 of them,
    /// spread evenly, and large ones as JPEG.
    pub grids: Vec<(String, PathBuf)>,
    /// Generated texts in the order of time, as caption and text with its label.
    pub texts: Vec<(String, String)>,
    /// A sheet of real pictures to compare them with.
    pub reals: Option<PathBuf>,
    /// An animation to show below them.
    pub animation: Option<PathBuf>,
    /// What else lies in the run directory, as name and meaning.
    pub files: Vec<(String, String)>,
    /// Remarks and warnings, one paragraph each.
    pub notes: Vec<String>,
    /// Data, settings, machine: what belongs to the record.
    pub sheets: Vec<Table>,
    /// What was explained, as HTML: see [`explained::sections`].
    pub explained: String,
}

/// A section with a few paragraphs and a table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Heading.
    pub name: String,
    /// Paragraphs above the table.
    pub text: Vec<String>,
    /// Heads of the columns; none for a table of names and values.
    pub head: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
    /// Smaller paragraphs below it.
    pub notes: Vec<String>,
}

/// A generated picture beside a real one.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// The generated picture, PNG.
    pub generated: Vec<u8>,
    /// The real picture, PNG.
    pub real: Vec<u8>,
    /// What is to be seen.
    pub caption: String,
}

/// One diagram.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    /// Heading.
    pub name: String,
    /// Unit of the values; may be empty.
    pub unit: String,
    /// What the horizontal axis counts: "step", "image", …
    pub x: String,
    /// Whether the vertical axis is logarithmic. Values that are not positive are then left out, and counted.
    pub log: bool,
    /// The lines.
    pub series: Vec<Series>,
    /// How to read it; may be empty.
    pub note: String,
}

/// One line of a diagram.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// `(x, y)` in the order of x. A y that is not finite interrupts the line.
    pub points: Vec<(f64, f64)>,
}

/// Writes the page to `path`, atomically.
pub fn write(path: &Path, report: &Report) -> Result<()> {
    write_bytes(path, html(report)?.as_bytes())
}

/// The page as HTML.
///
/// # Errors
/// A picture of a pair is not one. A sample that cannot be shown is left out, and a notice names it.
pub fn html(report: &Report) -> Result<String> {
    let (mut film, mut notices) = (String::new(), report.notices.clone());
    pictures(&mut film, report, &mut notices);
    let mut body = String::new();
    header(&mut body, report, &notices);
    body += &film;
    texts(&mut body, &report.texts);
    report.scores.iter().for_each(|table| draw_table(&mut body, table));
    pairs(&mut body, &report.pairs)?;
    section(&mut body, "Curves", !report.curves.is_empty(), |body| {
        body.push_str("<div class=\"charts\">\n");
        report.curves.iter().for_each(|curve| chart::draw(body, curve));
        body.push_str("</div>\n");
    });
    section(&mut body, "Notes", !report.notes.is_empty(), |body| {
        report.notes.iter().for_each(|note| put(body, format_args!("<p>{}</p>\n", escape(note))));
    });
    body += &report.explained;
    report.sheets.iter().for_each(|table| draw_table(&mut body, table));
    section(&mut body, "Files", !report.files.is_empty(), |body| {
        body.push_str("<table>\n");
        for (name, meaning) in &report.files {
            put(body, format_args!("<tr><td><code>{}</code><td>{}\n", escape(name), escape(meaning)));
        }
        body.push_str("</table>\n");
    });
    Ok(page(&report.title, &body))
}

/// A whole page with this content of `<main>`, which is HTML already.
fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n<footer>The samples on this page are AI-generated. \
         <span lang=\"zh\">本页的样例由人工智能生成。</span></footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn header(body: &mut String, report: &Report, notices: &[String]) {
    let (title, subtitle) = (escape(&report.title), escape(&report.subtitle));
    put(body, format_args!("<header>\n<h1>{title}</h1>\n"));
    if !subtitle.is_empty() {
        put(body, format_args!("<p class=\"subtitle\">{subtitle}</p>\n"));
    }
    body.push_str("<p class=\"label\">AI-generated · <span lang=\"zh\">AI生成</span></p>\n</header>\n");
    if !report.summary.is_empty() {
        body.push_str("<dl class=\"summary\">\n");
        for (name, value) in &report.summary {
            put(body, format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)));
        }
        body.push_str("</dl>\n");
    }
    notices.iter().for_each(|text| put(body, format_args!("<p class=\"notice\">{}</p>\n", escape(text))));
}

/// The grids, one visible at a time where scripts run and all of them on paper, beside real pictures; then the animation.
fn pictures(body: &mut String, report: &Report, notices: &mut Vec<String>) {
    let mut shown = |path: &Path, uri: Result<Option<String>>| match uri {
        Ok(uri) => uri,
        Err(error) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            notices.push(format!("{name} is left out: {}", error.message.replace(&*path.display().to_string(), "it")));
            None
        }
    };
    let film: String = embed::film(&report.grids)
        .into_iter()
        .filter_map(|(caption, path, uri)| Some(figure(&shown(path, uri.map(Some))?, caption)))
        .collect();
    let reals = report.reals.as_deref().and_then(|path| shown(path, embed::file_uri(path).map(Some)));
    let heading = if report.grids.len() > 1 { "Pictures over time" } else { "Pictures" };
    section(body, heading, !film.is_empty() || reals.is_some(), |body| {
        let reals = reals.map(|uri| figure(&uri, "real pictures, as the model sees them")).unwrap_or_default();
        put(body, format_args!("<div class=\"beside\">\n<div class=\"film\">\n{film}</div>\n{reals}</div>\n"));
    });
    let animation = report.animation.as_deref().and_then(|path| shown(path, embed::moderate_uri(path)));
    section(body, "Animation", animation.is_some(), |body| {
        body.push_str(&figure(&animation.unwrap_or_default(), "generated pictures, moving"));
    });
}

/// The texts, the last one open.
fn texts(body: &mut String, texts: &[(String, String)]) {
    section(body, if texts.len() > 1 { "Texts over time" } else { "Text" }, !texts.is_empty(), |body| {
        for (i, (caption, text)) in texts.iter().enumerate() {
            let open = if i + 1 == texts.len() { " open" } else { "" };
            let (caption, text) = (escape(caption), escape(text));
            put(body, format_args!("<details{open}><summary>{caption}</summary>\n<pre>{text}</pre></details>\n"));
        }
    });
}

fn figure(uri: &str, caption: &str) -> String {
    let caption = escape(caption);
    format!("<figure><img src=\"{uri}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>\n")
}

fn draw_table(body: &mut String, table: &Table) {
    section(body, &escape(&table.name), true, |body| {
        table.text.iter().for_each(|text| put(body, format_args!("<p>{}</p>\n", escape(text))));
        if !table.rows.is_empty() {
            let class = if table.head.is_empty() { "" } else { " class=\"measured\"" };
            put(body, format_args!("<div class=\"wide\"><table{class}>\n"));
            let cells = |tag: &str, cells: &[String]| {
                cells.iter().map(|cell| format!("<{tag}>{}", escape(cell))).collect::<String>()
            };
            if !table.head.is_empty() {
                put(body, format_args!("<tr>{}\n", cells("th", &table.head)));
            }
            table.rows.iter().for_each(|row| put(body, format_args!("<tr>{}\n", cells("td", row))));
            body.push_str("</table></div>\n");
        }
        table.notes.iter().for_each(|text| put(body, format_args!("<p class=\"small\">{}</p>\n", escape(text))));
    });
}

/// Both pictures of each pair, so that nobody can mistake one for the other.
fn pairs(body: &mut String, pairs: &[Pair]) -> Result<()> {
    let mut figures = String::new();
    for Pair { generated, real, caption } in pairs {
        let generated = embed::uri(generated.clone(), "a generated picture")?;
        let real = embed::uri(real.clone(), "a real picture")?;
        let caption = escape(caption);
        let figure = format_args!(
            "<figure><div><span><img src=\"{generated}\" alt=\"Generated\"><b>generated <span lang=\"zh\">AI生成</span></b></span>\
             <span><img src=\"{real}\" alt=\"Real\"><b>real</b></span></div><figcaption>{caption}</figcaption></figure>\n"
        );
        put(&mut figures, figure);
    }
    section(body, "Nearest pairs", !pairs.is_empty(), |body| {
        body.push_str(
            "<p>The generated pictures that come nearest to a training picture, the worst first: similar, which is not \
             proof of copying.</p>\n",
        );
        put(body, format_args!("<div class=\"pairs\">\n{figures}</div>\n"));
    });
    Ok(())
}

fn section(body: &mut String, heading: &str, wanted: bool, content: impl FnOnce(&mut String)) {
    if wanted {
        put(body, format_args!("<section>\n<h2>{heading}</h2>\n"));
        content(body);
        body.push_str("</section>\n");
    }
}

fn put(out: &mut String, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

/// `text` for HTML text and quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::grid::grid;
    use crate::generate::picture::{encode_png, encode_real_png, read_label, write_png};
    use crate::picture::Picture;
    use crate::provenance::label::sample;

    fn report(directory: &Path) -> Report {
        let path = directory.join("00000500.png");
        write_png(&path, &grid(&[Picture::filled(16, 16, 3, 200)], 1, None), &sample()).unwrap();
        let points = (0..2000).map(|i| (f64::from(i), 2.0 / (1.0 + f64::from(i)))).collect();
        Report {
            title: "Run <em>\"1\"</em> & 马良".into(),
            subtitle: "a'b".into(),
            summary: vec![("KID".into(), "<0.01".into())],
            curves: vec![Curve {
                name: "</svg><script>".into(),
                series: vec![Series { name: "<i>".into(), points }],
                ..Default::default()
            }],
            grids: vec![("step 500".into(), path.clone()), ("step <1000>".into(), path.clone())],
            texts: vec![("step <1>".into(), "AI生成 <dfn>\n\nmoon".into())],
            reals: Some(path),
            notices: vec!["<var>".into()],
            files: vec![("best".into(), "the best <checkpoint>".into())],
            notes: vec!["a < b".into()],
            scores: vec![Table {
                name: "<b>Scores</b>".into(),
                text: vec!["<u>".into()],
                head: vec!["<th>".into()],
                rows: vec![vec!["<tt>".into()]],
                notes: vec!["<q>".into()],
            }],
            pairs: vec![Pair {
                generated: encode_png(&Picture::filled(16, 16, 3, 90), &sample()).unwrap(),
                real: encode_real_png(&Picture::filled(16, 16, 1, 80)).unwrap(),
                caption: "<s>.png".into(),
            }],
            ..Default::default()
        }
    }

    #[test]
    fn the_page_stands_alone_and_is_escaped() {
        let directory = tempfile::tempdir().unwrap();
        let report = report(directory.path());
        let page = html(&report).unwrap();
        assert_eq!(page, html(&report).unwrap());
        for markup in [
            "<b>Scores",
            "<u>",
            "<th><th>",
            "<tt>",
            "<q>",
            "<s>",
            "<var>",
            "step <1>",
            "<dfn>",
            "<em>",
            "</svg><script>",
            "<i>",
            "<0.01",
            "a < b",
            "<checkpoint>",
            "<1000>",
        ] {
            assert!(!page.contains(markup), "{markup} is not escaped");
        }
        assert!(page.contains("AI生成") && page.contains("AI-generated"));
        assert!(page.contains("<b>generated ") && page.contains("<b>real</b>"), "pairs say which is which");
        for address in ["http:", "https:", "url(", "@import", "src=\"/", "href="] {
            assert!(!page.contains(address), "{address} would be fetched");
        }
        assert!(!page.contains(directory.path().to_str().unwrap()), "paths of this machine stay out");
    }

    #[test]
    fn embedded_pictures_keep_their_label() {
        let directory = tempfile::tempdir().unwrap();
        let report = report(directory.path());
        let path = &report.grids[0].1;
        assert!(read_label(path).unwrap().unwrap().matches(&sample()));
        assert!(html(&report).unwrap().contains(&embed::base64(&std::fs::read(path).unwrap())));
    }

    #[test]
    fn missing_and_wrong_pictures_are_named_and_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let mut report = report(directory.path());
        report.grids[0].1 = directory.path().join("none.png");
        let page = html(&report).unwrap();
        assert!(page.contains("none.png is left out") && !page.contains(directory.path().to_str().unwrap()));
        std::fs::write(&report.grids[0].1, "text").unwrap();
        assert!(html(&report).unwrap().contains("none.png is left out"));
    }

    #[test]
    fn an_empty_report_is_a_page() {
        let page = html(&Report::default()).unwrap();
        assert!(page.ends_with("</html>\n") && !page.contains("<section>"));
    }
}
