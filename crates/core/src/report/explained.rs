//! What `maliang explain` found, as sections of a page.

use super::embed::file_uri;
use super::{Report, escape, header, page, put, section};
use crate::{Error, Result, files};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Where the sections lie, beside their figures.
const FILE: &str = "explained.json";

/// A section: a few paragraphs, then pictures one below the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Heading.
    pub name: String,
    /// What is to be seen, in words for everyone; a paragraph each.
    pub text: Vec<String>,
    /// The pictures, as caption and name of the file (PNG).
    pub figures: Vec<(String, String)>,
}

/// Keeps the sections in `directory`, where their figures are.
///
/// # Errors
/// The place cannot be written to.
pub fn save(explained: &[Section], directory: &Path) -> Result<()> {
    let text = serde_json::to_vec_pretty(explained).expect("sections are plain data");
    files::write_bytes(&directory.join(FILE), &text)
}

/// What [`save`] kept in `directory`; nothing where nothing was explained.
///
/// # Errors
/// The file is damaged.
pub fn read(directory: &Path) -> Result<Vec<Section>> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
    serde_json::from_slice(&text).map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", path.display())))
}

/// The sections as HTML, for a place inside a page of ours, with the figures of `directory`.
///
/// # Errors
/// A figure is not a picture.
pub fn sections(explained: &[Section], directory: &Path) -> Result<String> {
    let mut body = String::new();
    for Section { name, text, figures } in explained {
        let mut drawn = String::new();
        for (caption, file) in figures {
            let (caption, uri) = (escape(caption), file_uri(&directory.join(file))?);
            put(
                &mut drawn,
                format_args!(
                    "<figure><img src=\"{uri}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>\n"
                ),
            );
        }
        section(&mut body, &escape(name), true, |body| {
            text.iter().for_each(|text| put(body, format_args!("<p>{}</p>\n", escape(text))));
            body.push_str(&drawn);
        });
    }
    Ok(body)
}

/// A page that stands alone.
///
/// # Errors
/// As [`sections`].
pub fn html(title: &str, subtitle: &str, explained: &[Section], directory: &Path) -> Result<String> {
    let mut body = String::new();
    header(&mut body, &Report { title: title.into(), subtitle: subtitle.into(), ..Report::default() }, &[]);
    body += &sections(explained, directory)?;
    Ok(page(title, &body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::picture::encode_png;
    use crate::picture::Picture;
    use crate::provenance::label::sample;

    #[test]
    fn the_page_stands_alone_and_is_escaped() {
        let place = tempfile::tempdir().unwrap();
        let png = encode_png(&Picture::filled(16, 16, 3, 90), &sample()).unwrap();
        std::fs::write(place.path().join("a.png"), png).unwrap();
        std::fs::write(place.path().join("b.png"), "text").unwrap();
        let figures = vec![("<s>".into(), "a.png".into())];
        let part = [Section { name: "<b>".into(), text: vec!["<u>".into()], figures }];
        let page = html("<em>", "<tt>", &part, place.path()).unwrap();
        for markup in ["<b>", "<u>", "<s>", "<em>", "<tt>", "http:", "https:", "href="] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("AI生成") && page.matches("data:image/png;base64,").count() == 1);
        assert!(page.contains(&sections(&part, place.path()).unwrap()));
        let broken = Section { figures: vec![("x".into(), "b.png".into())], ..part[0].clone() };
        assert!(html("a", "b", &[broken], place.path()).is_err());
    }

    #[test]
    fn sections_are_kept_beside_their_figures() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(read(place.path()).unwrap(), []);
        let part = Section { name: "a".into(), text: vec!["b".into()], figures: vec![("c".into(), "d.png".into())] };
        save(std::slice::from_ref(&part), place.path()).unwrap();
        assert_eq!(read(place.path()).unwrap(), [part]);
        std::fs::write(place.path().join(FILE), "{").unwrap();
        assert!(read(place.path()).unwrap_err().message.contains(FILE));
    }
}
