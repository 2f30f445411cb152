//! The studio: a page of plain files, embedded as they are.

use crate::problem::Problem;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};

/// Only what this server sends may run, and nothing of it elsewhere.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// The files of the page by name.
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../studio/", $name)))),*];
    };
}

files!(
    "index.html",
    "style.css",
    "app.js",
    "api.js",
    "chart.js",
    "create.js",
    "docs.html",
    "docs.js",
    "dom.js",
    "judge.js",
    "lab.js",
    "models.js",
    "new.js",
    "png.js",
    "runs.js",
    "scores.js",
    "toy.js",
    "words.js",
    "write.js",
    "zip.js",
);

/// The page.
pub async fn page() -> Response {
    file(Path("index.html".into())).await
}

/// The API as people read it.
pub async fn docs() -> Response {
    file(Path("docs.html".into())).await
}

/// The page under the name that people guess.
pub async fn redirect() -> Redirect {
    Redirect::permanent("/")
}

/// A file of the page.
pub async fn file(Path(name): Path<String>) -> Response {
    let Some((_, text)) = FILES.iter().find(|(own, _)| *own == name) else {
        return Problem::nothing_here().into_response();
    };
    let kind = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "text/html; charset=utf-8",
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        // Another version of the program has other files under the same names.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        let size: usize = FILES.iter().map(|(_, text)| text.len()).sum();
        assert!(size < 300_000, "{size} bytes");
        for (name, text) in FILES {
            let foreign = text.lines().find(|line| line.contains("://") && !line.contains("www.w3.org"));
            assert_eq!(foreign, None, "{name}");
        }
    }

    #[test]
    fn every_family_has_chinese_words() {
        let (_, words) = FILES.iter().find(|(name, _)| *name == "words.js").unwrap();
        let (_, chinese) = words.split_once("  zh: {").unwrap();
        for about in maliang::families::all() {
            assert!(chinese.contains(&format!("\"family-{}\": ", about.name)), "{}", about.name);
        }
    }
}
