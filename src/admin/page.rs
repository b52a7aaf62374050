//! The operator's page: its files, and the page itself with the state of the moment in it.
//!
//! What the page shows comes from the API; what is written into it for readers without a script is `snapshot`'s. The
//! rules: nothing is fetched from anywhere else, nothing but the files here runs, and a file is sent again only when it
//! has changed.

pub mod snapshot;

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::admin::page::snapshot::Seen;
use crate::admin::route;
use crate::channel::id::ChannelId;
use crate::http::response::{Answer, Status};

/// A path of the page. What it names may not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagePath {
    /// One of its files.
    File(&'static File),
    /// The licences of what is built in.
    Licences,
    /// The page.
    Page,
    /// A channel's media.
    Preview(Option<ChannelId>),
}

impl PagePath {
    /// Finds the path; all of them have GET and HEAD.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        match path {
            "/" => return Some(Self::Page),
            "/licences" => return Some(Self::Licences),
            _ => {}
        }
        if let Some(id) = path
            .strip_prefix("/preview/")
            .and_then(|it| it.strip_suffix(".ts"))
        {
            let id = percent_decode_str(id).decode_utf8();
            return Some(Self::Preview(id.ok().and_then(|id| route::channel(&id))));
        }
        File::at(path).map(Self::File)
    }
}

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path on the operator's listener.
    pub path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

impl File {
    /// The file at a path; the player only if it is built in.
    #[must_use]
    pub fn at(path: &str) -> Option<&'static Self> {
        let mut found = FILES.iter().filter(|file| file.path == path);
        found.next().filter(|file| !file.body.is_empty())
    }

    /// The answer to who has the version that `known` names, or none.
    #[must_use]
    pub fn answer(&self, known: Option<&str>) -> Answer {
        let tag = tag(self.body);
        let is_known = known.is_some_and(|known| versions(known).any(|it| it == tag));
        let status = match is_known {
            true => Status::NOT_MODIFIED,
            false => Status::OK,
        };
        let body = Bytes::from_static(self.body);
        guarded(Answer::new(status, self.content_type, body))
            .with("Cache-Control", "no-cache")
            .with("ETag", tag)
    }
}

/// The page, with what is seen of the server; nothing is seen by who gave no token.
#[must_use]
pub fn answer(seen: Option<&Seen>) -> Answer {
    let page = snapshot::page(include_str!("page/index.html"), seen);
    let answer = Answer::new(Status::OK, "text/html; charset=utf-8", page);
    guarded(answer).with("Cache-Control", "no-store")
}

/// What others have written that is built in, with its licences.
#[must_use]
pub fn licences() -> Answer {
    let text = match LICENCES.is_empty() {
        true => "The page of this build has no code of others in it.\n".to_owned(),
        false => LICENCES.to_owned(),
    };
    let answer = Answer::new(Status::OK, "text/plain; charset=utf-8", text);
    guarded(answer).with("Cache-Control", "no-cache")
}

/// Adds the headers that keep a browser to this page's own files.
fn guarded(answer: Answer) -> Answer {
    answer
        .with("Content-Security-Policy", POLICY)
        .with("Cross-Origin-Opener-Policy", "same-origin")
        .with("Cross-Origin-Resource-Policy", "same-origin")
        .with("Referrer-Policy", "no-referrer")
}

/// The versions in an If-None-Match header; a front that packs files calls them weak.
fn versions(header: &str) -> impl Iterator<Item = &str> {
    let listed = header.split(',').map(str::trim);
    listed.map(|it| it.strip_prefix("W/").unwrap_or(it))
}

/// Names a version of a file.
fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Everything from this server; media is what the page itself puts together; no frames, no forms that go anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const LICENCES: &str = include_str!(concat!(env!("OUT_DIR"), "/licences.txt"));

const SCRIPT: &str = "text/javascript; charset=utf-8";

const fn file(path: &'static str, content_type: &'static str, body: &'static [u8]) -> File {
    File {
        path,
        content_type,
        body,
    }
}

/// Every file.
pub const FILES: &[File] = &[
    file("/page/api.js", SCRIPT, include_bytes!("page/api.js")),
    file(
        "/page/channels.js",
        SCRIPT,
        include_bytes!("page/channels.js"),
    ),
    file("/page/format.js", SCRIPT, include_bytes!("page/format.js")),
    file(
        "/page/icon.svg",
        "image/svg+xml",
        include_bytes!("page/icon.svg"),
    ),
    file("/page/lines.js", SCRIPT, include_bytes!("page/lines.js")),
    file("/page/lists.js", SCRIPT, include_bytes!("page/lists.js")),
    file(
        "/page/mpegts.js",
        SCRIPT,
        include_bytes!(concat!(env!("OUT_DIR"), "/mpegts.js")),
    ),
    file(
        "/page/page.css",
        "text/css; charset=utf-8",
        include_bytes!("page/page.css"),
    ),
    file("/page/page.js", SCRIPT, include_bytes!("page/page.js")),
    file(
        "/page/preview.js",
        SCRIPT,
        include_bytes!("page/preview.js"),
    ),
    file("/page/shards.js", SCRIPT, include_bytes!("page/shards.js")),
    file("/page/table.js", SCRIPT, include_bytes!("page/table.js")),
    file(
        "/page/verdict.js",
        SCRIPT,
        include_bytes!("page/verdict.js"),
    ),
    file(
        "/page/viewers.js",
        SCRIPT,
        include_bytes!("page/viewers.js"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_page_one_of_its_files_a_preview_or_nothing() {
        assert_eq!(PagePath::find("/"), Some(PagePath::Page));
        assert_eq!(PagePath::find("/licences"), Some(PagePath::Licences));
        let style = File::at("/page/page.css").unwrap();
        assert_eq!(
            PagePath::find("/page/page.css"),
            Some(PagePath::File(style))
        );
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let content = route::channel(&format!("infohash:{hash}"));
        let previews = [
            ("7".to_owned(), Some(ChannelId::Configured(7))),
            (format!("infohash%3A{hash}"), content),
            (format!("infohash:{hash}"), content),
            ("x".to_owned(), None),
            ("%ff".to_owned(), None),
        ];
        for (id, channel) in previews {
            let path = format!("/preview/{id}.ts");
            assert_eq!(
                PagePath::find(&path),
                Some(PagePath::Preview(channel)),
                "{path}"
            );
        }
        for path in [
            "",
            "/page",
            "/page/",
            "/page/index.html",
            "//",
            "/preview/7",
            "/Licences",
        ] {
            assert_eq!(PagePath::find(path), None, "{path}");
        }
    }

    #[test]
    fn every_file_that_a_file_names_is_there() {
        let page = include_str!("page/index.html");
        for attribute in ["src=\"", "href=\"page"] {
            for named in page.split(attribute).skip(1) {
                let path = named.split('"').next().unwrap();
                let path = path.trim_start_matches("page").trim_start_matches('/');
                let path = format!("/page/{path}");
                assert!(File::at(&path).is_some(), "{path}");
            }
        }
        for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            let text = String::from_utf8_lossy(file.body);
            for named in text.split(" from \"./").skip(1) {
                let path = format!("/page/{}", named.split('"').next().unwrap());
                assert!(File::at(&path).is_some(), "{} imports {path}", file.path);
            }
        }
    }

    #[test]
    fn no_file_of_ours_names_another_server() {
        for file in FILES.iter().filter(|file| file.path != "/page/mpegts.js") {
            let text = String::from_utf8_lossy(file.body);
            let elsewhere = text.matches("https://").count() + text.matches("//cdn").count();
            assert_eq!(elsewhere, 0, "{}", file.path);
        }
    }

    #[test]
    fn a_file_is_sent_to_who_does_not_have_it() {
        let file = File::at("/page/page.css").unwrap();
        let whole = file.answer(None);
        let head = whole.head(0);
        let (_, tag) = head.split_once("ETag: ").unwrap();
        let tag = tag.split("\r\n").next().unwrap();
        assert_eq!(file.answer(Some(tag)).status().code, 304);
        assert_eq!(file.answer(Some("\"other\"")).status().code, 200);
        let several = format!("\"other\", W/{tag}");
        assert_eq!(file.answer(Some(&several)).status().code, 304);
        assert_eq!(File::at("/page/index.html"), None);
    }

    #[test]
    fn the_player_comes_with_its_licences_or_not_at_all() {
        assert_eq!(File::at("/page/mpegts.js").is_some(), !LICENCES.is_empty());
        if !LICENCES.is_empty() {
            for named in [
                "==== mpegts.js ====",
                "==== es6-promise ====",
                "Apache License",
                "Permission is hereby granted",
            ] {
                assert!(LICENCES.contains(named), "{named}");
            }
        }
    }
}
