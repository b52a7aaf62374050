//! Why a guide could not be taken. (pure)

use std::io;

use thiserror::Error;

use crate::upstream::error::FetchError;

/// Why a guide was not taken; the last good one goes on being served.
#[derive(Debug, Error)]
pub enum GuideError {
    /// It is no XML from some place on, or could not be read or unpacked any further.
    #[error("the document is broken after {at_bytes} bytes: {reason}")]
    Broken {
        /// How far it could be read, unpacked.
        at_bytes: u64,
        /// What is wrong there. Its text has its own causes in it.
        reason: quick_xml::Error,
    },
    /// Elements within elements without end.
    #[error("the document has more than {limit} elements within each other after {at_bytes} bytes")]
    Deep {
        /// Where the one too many is.
        at_bytes: u64,
        /// How many are allowed.
        limit: usize,
    },
    /// It ends before it is over.
    #[error("the document ends within its elements after {at_bytes} bytes")]
    Ended {
        /// How long it is.
        at_bytes: u64,
    },
    /// It could not be fetched.
    #[error("the document could not be fetched")]
    Fetch(#[from] FetchError),
    /// The file cannot be opened.
    #[error("the file could not be opened")]
    File(#[source] io::Error),
    /// There is nothing in it.
    #[error("the document has no programmes")]
    NoProgrammes,
    /// There is something in it, and nothing that is wanted.
    #[error(
        "the document has {programmes} programmes, and none of them is of a configured channel and of the time that is kept"
    )]
    NoneWanted {
        /// How many there are.
        programmes: u64,
    },
    /// It is something else than a guide.
    #[error("the document is no XMLTV: it begins with {beginning:?}")]
    NotAGuide {
        /// Its first element or text, cut short.
        beginning: String,
    },
    /// A thread or a socket for reading could not be had.
    #[error("the document could not be read beside the shards")]
    Resources(#[source] io::Error),
    /// It was not there in time.
    #[error("{what} took longer than {limit_ms} ms")]
    Slow {
        /// What took so long.
        what: &'static str,
        /// How long it may take.
        limit_ms: u128,
    },
    /// It, or one piece of it, is longer than anything that is a guide.
    #[error("{what} is longer than {limit_bytes} bytes")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it may be.
        limit_bytes: u64,
    },
    /// Letters that are not known here.
    #[error(
        "the document is in {encoding:?}; UTF-8, ISO-8859-1, ISO-8859-15 and windows-1252 are read"
    )]
    UnknownEncoding {
        /// What it says of itself.
        encoding: String,
    },
}
