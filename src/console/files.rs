//! The files that the page consists of. They are a part of the program: the page works without any
//! other machine, and what is shown fits the broker that shows it.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;

/// What the page may load and do, and who may show it in a frame: itself only, and nobody.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Debug)]
pub struct PageFile {
    /// Its path in URLs.
    pub path: &'static str,
    /// As in `Content-Type`.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
    /// As in `ETag`: another one for another content.
    pub etag: String,
}

/// The file at a path.
#[must_use]
pub fn find(path: &str) -> Option<&'static PageFile> {
    FILES.iter().find(|file| file.path == path)
}

/// All files.
#[must_use]
pub fn all() -> &'static [PageFile] {
    &FILES
}

static FILES: LazyLock<Vec<PageFile>> =
    LazyLock::new(|| SOURCES.iter().map(|&(path, bytes)| page_file(path, bytes)).collect());

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        &[
            ("/", include_bytes!("page/index.html")),
            $((concat!("/console/", $name), include_bytes!(concat!("page/", $name)))),*
        ]
    };
}

static SOURCES: &[(&str, &[u8])] = sources![
    "api.js",
    "app.css",
    "app.js",
    "attention.js",
    "chart.js",
    "connections.js",
    "dead-letters.js",
    "definitions.js",
    "dom.js",
    "exchanges.js",
    "format.js",
    "icon.svg",
    "lag-chart.js",
    "listing.js",
    "lives.js",
    "message.js",
    "operators.js",
    "overview.js",
    "queue.js",
    "queues.js",
    "schedules.js",
    "trail.js",
    "ui.js",
    "waiting.js",
];

fn page_file(path: &'static str, bytes: &'static [u8]) -> PageFile {
    let digest = Sha256::digest(bytes);
    let mut etag = String::from("\"");
    for byte in digest.iter().take(16) {
        // A String takes all that is written.
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    PageFile { path, content_type: content_type(path), bytes, etag }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let there = std::fs::read_dir(folder).unwrap();
        let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<String> = there.collect();
        let name = |file: &PageFile| match file.path.strip_prefix("/console/") {
            Some(name) => name.to_owned(),
            None => "index.html".to_owned(),
        };
        assert_eq!(all().iter().map(name).collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn files_name_only_files_that_are_there_and_no_other_machine() {
        for file in all() {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for (at, _) in text.match_indices("://") {
                let before = text.get(..at).unwrap();
                let scheme = before.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap();
                let rest = text.get(at..).unwrap();
                // Names of XML, not places.
                let is_name = rest.starts_with("://www.w3.org/");
                assert!(is_name || !scheme.starts_with("http"), "{}: {scheme}", file.path);
            }
            for import in text.split("from \"./").skip(1) {
                let name = import.split('"').next().unwrap();
                assert!(find(&format!("/console/{name}")).is_some(), "{}: {name}", file.path);
            }
        }
    }

    #[test]
    fn an_etag_is_of_the_content() {
        let etags: BTreeSet<&String> = all().iter().map(|file| &file.etag).collect();
        assert_eq!(etags.len(), all().len());
        assert_eq!(page_file("/a.js", b"x").etag, page_file("/b.css", b"x").etag);
        assert_ne!(page_file("/a.js", b"x").etag, page_file("/a.js", b"y").etag);
    }
}
