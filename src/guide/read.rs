//! An XMLTV document to the programmes that are wanted of it, however long it is. (pure)
//!
//! Where its bytes come from is the caller's, who must be no shard: reading blocks. The rule: what is not wanted is never
//! kept, and every length that the document decides is bounded, so that a document of any size and malice costs the time of
//! reading it and no more memory than its guide may have. Entities of its own are not looked up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use super::Shelves;
use super::cut::{Cut, id_as_compared};
use super::draft::Draft;
use super::error::GuideError;
use super::letters::Letters;
use super::shelve::{Read, UNKNOWN_S, shelve};
use super::stamp;

/// What is wanted of a document.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// The channels.
    pub cut: &'t Cut,
    /// Programmes that are over by then are not kept. Unit: seconds since 1970.
    pub from_s: u64,
    /// Programmes that begin later are not kept. Unit: seconds since 1970.
    pub until_s: u64,
    /// By how much all its times are too early.
    pub shift_s: i64,
    /// How many bytes of programmes are kept.
    pub bytes_max: usize,
    /// Which guide of the configuration it is, counted from 1.
    pub number: usize,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The programmes that are wanted.
    pub shelves: Shelves,
    /// How long the document is, unpacked.
    pub bytes: u64,
    /// How many programmes there are in it.
    pub programmes: u64,
    /// How many are wanted and could not be kept because there is no room for them.
    pub left_out: u64,
    /// How many are of wanted channels and have no time or no title.
    pub malformed: u64,
}

/// Reads a document, packed by gzip or not.
///
/// Bound: it takes up to three times [`Terms::bytes_max`] while it reads, and the most of it holds that and what gzip makes
/// of it.
///
/// # Errors
/// [`GuideError`] if it is no whole guide, or has nothing that is wanted.
pub fn read(mut document: impl BufRead, terms: &Terms<'_>) -> Result<Part, GuideError> {
    let first = document.fill_buf().map(|bytes| bytes.first().copied());
    let first = first.map_err(|error| GuideError::Broken {
        at_bytes: 0,
        reason: error.into(),
    })?;
    // No text begins with the byte that a gzip file begins with.
    if first != Some(0x1f) {
        return scan(document, terms);
    }
    let unpacked = MultiGzDecoder::new(document);
    scan(BufReader::with_capacity(READ_BYTES, unpacked), terms)
}

fn scan(document: impl BufRead, terms: &Terms<'_>) -> Result<Part, GuideError> {
    let mut reader = Reader::from_reader(Metered {
        document,
        whole_left: DOCUMENT_BYTES_MAX,
        piece_left: 0,
    });
    reader.config_mut().allow_dangling_amp = true;
    let mut scanner = Scanner::new(*terms);
    let mut buffer = Vec::new();
    while !scanner.is_over {
        buffer.clear();
        reader.get_mut().piece_left = PIECE_BYTES_MAX;
        scanner.at_bytes = reader.buffer_position();
        match reader.read_event_into(&mut buffer) {
            Ok(event) => scanner.take(&event)?,
            Err(error) => return Err(reader.get_ref().why(error, reader.error_position())),
        }
    }
    scanner.finish()
}

/// Takes events, one after the other.
struct Scanner<'t> {
    terms: Terms<'t>,
    letters: Letters,
    /// Where the event begins.
    at_bytes: u64,
    depth: usize,
    inside: Inside,
    /// The name of a channel, or its beginning.
    name: String,
    draft: Draft,
    /// The programme whose elements are read; its channels are `wanted_by`.
    start_s: u64,
    stop_s: Option<u64>,
    wanted_by: Vec<usize>,
    /// Channels that were found by name, by the id that the document gives them.
    named: HashMap<Box<str>, Vec<usize>>,
    is_named: Vec<bool>,
    text: String,
    kept: Vec<Read>,
    kept_bytes: usize,
    part: Part,
    is_over: bool,
}

/// Which element of the document is open.
enum Inside {
    Channel { id: Box<str>, is_name: bool },
    Nothing,
    Programme,
}

impl<'t> Scanner<'t> {
    fn new(terms: Terms<'t>) -> Self {
        Self {
            letters: Letters::default(),
            at_bytes: 0,
            depth: 0,
            inside: Inside::Nothing,
            name: String::new(),
            draft: Draft::default(),
            start_s: 0,
            stop_s: None,
            wanted_by: Vec::new(),
            named: HashMap::new(),
            is_named: vec![false; terms.cut.keys().len()],
            text: String::new(),
            kept: Vec::new(),
            kept_bytes: 0,
            part: Part::default(),
            is_over: false,
            terms,
        }
    }

    fn take(&mut self, event: &Event<'_>) -> Result<(), GuideError> {
        match event {
            Event::Start(tag) => self.open(tag),
            Event::Empty(tag) => {
                self.open(tag)?;
                self.close(tag.name().as_ref());
                Ok(())
            }
            Event::End(tag) => {
                self.close(tag.name().as_ref());
                Ok(())
            }
            Event::Text(text) => self.text(&self.letters.decode(text)),
            Event::CData(text) => self.text(&self.letters.decode(text)),
            Event::GeneralRef(reference) => self.reference(reference),
            Event::Decl(declaration) => self.declare(declaration),
            Event::Eof if self.depth > 0 => Err(GuideError::Ended {
                at_bytes: self.at_bytes,
            }),
            Event::Eof => Err(GuideError::NoProgrammes),
            Event::Comment(_) | Event::DocType(_) | Event::PI(_) => Ok(()),
        }
    }

    fn declare(&mut self, declaration: &BytesDecl<'_>) -> Result<(), GuideError> {
        let Some(Ok(encoding)) = declaration.encoding() else {
            return Ok(());
        };
        let encoding = String::from_utf8_lossy(&encoding);
        let known = Letters::named(&encoding);
        self.letters = known.ok_or_else(|| GuideError::UnknownEncoding {
            encoding: beginning(&encoding),
        })?;
        Ok(())
    }

    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), GuideError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(GuideError::Deep {
                at_bytes: self.at_bytes,
                limit: DEPTH_MAX,
            });
        }
        let name = tag.name();
        match (self.depth, name.as_ref(), &mut self.inside) {
            (1, b"tv", _) => {}
            (1, other, _) => {
                let beginning = beginning(&self.letters.decode(other));
                return Err(GuideError::NotAGuide { beginning });
            }
            (2, b"channel", _) => {
                let id = self.attribute(tag, b"id").unwrap_or_default();
                let id = id_as_compared(&id);
                self.inside = Inside::Channel { id, is_name: false };
            }
            (2, b"programme", _) => self.begin_programme(tag),
            (3, b"display-name", Inside::Channel { is_name, .. }) => {
                *is_name = true;
                self.name.clear();
            }
            (3.., name, Inside::Programme) => {
                let letters = self.letters;
                let mut attributes = tag.attributes();
                let attributes = attributes.with_checks(false).flatten();
                let attributes = attributes.map(|it| {
                    let key = letters.decode(it.key.as_ref()).into_owned();
                    (key, value(letters, &it.value))
                });
                self.draft.open(&letters.decode(name), attributes);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &[u8]) {
        match (self.depth, &mut self.inside) {
            (1, _) => self.is_over = true,
            (2, inside) => {
                if matches!(inside, Inside::Programme) {
                    self.keep();
                }
                self.inside = Inside::Nothing;
            }
            (3, Inside::Channel { .. }) => self.note_name(),
            (3.., Inside::Programme) => self.draft.close(&self.letters.decode(name)),
            _ => {}
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// Text without escapes.
    fn text(&mut self, text: &str) -> Result<(), GuideError> {
        match &self.inside {
            Inside::Channel { is_name: true, .. } if self.name.len() < NAME_BYTES_MAX => {
                self.name.push_str(text);
            }
            Inside::Programme => self.draft.text(text),
            _ if self.depth == 0 => {
                let text = text.trim_matches(|it: char| it.is_whitespace() || it == '\u{feff}');
                if !text.is_empty() {
                    let beginning = beginning(text);
                    return Err(GuideError::NotAGuide { beginning });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `&amp;` and the like; what is not known stands for itself.
    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), GuideError> {
        if let Ok(Some(letter)) = reference.resolve_char_ref() {
            return self.text(letter.encode_utf8(&mut [0; 4]));
        }
        let name = self.letters.decode(reference);
        match resolve_xml_entity(&name) {
            Some(text) => self.text(text),
            None => self.text(&format!("&{name};")),
        }
    }

    fn begin_programme(&mut self, tag: &BytesStart<'_>) {
        self.part.programmes += 1;
        let id = self.attribute(tag, b"channel").unwrap_or_default();
        let id = id_as_compared(&id);
        self.wanted_by.clear();
        self.wanted_by.extend(self.terms.cut.of_id(&id));
        if let Some(named) = self.named.get(&id) {
            let others = named.iter().filter(|it| !self.wanted_by.contains(it));
            let others: Vec<usize> = others.copied().collect();
            self.wanted_by.extend(others);
        }
        if self.wanted_by.is_empty() {
            return;
        }
        let time = |name: &[u8]| {
            let at_s = stamp::read(&self.attribute(tag, name)?)?;
            let at_s = u64::try_from(at_s.checked_add(self.terms.shift_s)?).ok()?;
            (at_s < YEAR_9999_S).then_some(at_s)
        };
        let Some(start_s) = time(b"start") else {
            self.part.malformed += 1;
            return;
        };
        let stop_s = time(b"stop").filter(|stop_s| *stop_s > start_s);
        let over_s = stop_s.unwrap_or(start_s + UNKNOWN_S);
        if over_s > self.terms.from_s && start_s < self.terms.until_s {
            (self.start_s, self.stop_s) = (start_s, stop_s);
            self.draft.begin();
            self.inside = Inside::Programme;
        }
    }

    /// The programme has been read: keeps it for everybody who wants it.
    fn keep(&mut self) {
        let Some(content) = self.draft.finish() else {
            self.part.malformed += 1;
            return;
        };
        let bytes = content.text.len() + AROUND_BYTES;
        let at = self.text.len();
        for (nth, channel) in self.wanted_by.iter().enumerate() {
            if self.kept_bytes + bytes > self.terms.bytes_max {
                self.part.left_out += 1;
                continue;
            }
            self.kept_bytes += bytes;
            if nth == 0 {
                self.text.push_str(content.text);
            }
            self.kept.push(Read {
                channel: *channel,
                start_s: self.start_s,
                stop_s: self.stop_s,
                content: at..at + content.text.len(),
                title: content.title.clone(),
                description: content.description.clone(),
                language: content.language.clone(),
            });
        }
    }

    /// An element of a channel ends: if it was a name, the channel has it.
    fn note_name(&mut self) {
        let Inside::Channel { id, is_name } = &mut self.inside else {
            return;
        };
        if !std::mem::take(is_name) {
            return;
        }
        for channel in self.terms.cut.of_name(&self.name) {
            // Of several with one name the first counts.
            let Some(is_named) = self.is_named.get_mut(*channel) else {
                continue;
            };
            if !std::mem::replace(is_named, true) {
                let named = self.named.entry(id.clone()).or_default();
                named.push(*channel);
            }
        }
    }

    fn finish(self) -> Result<Part, GuideError> {
        let programmes = self.part.programmes;
        if programmes == 0 {
            return Err(GuideError::NoProgrammes);
        }
        if self.kept.is_empty() {
            return Err(GuideError::NoneWanted { programmes });
        }
        Ok(Part {
            shelves: shelve(self.kept, &self.text, self.terms.cut, self.terms.number),
            bytes: self.at_bytes,
            ..self.part
        })
    }

    fn attribute(&self, tag: &BytesStart<'_>, name: &[u8]) -> Option<String> {
        let mut attributes = tag.attributes();
        let mut named = attributes
            .with_checks(false)
            .flatten()
            .filter(|it| it.key.as_ref() == name);
        named.next().map(|it| value(self.letters, &it.value))
    }
}

/// The value of an attribute without escapes; one with escapes that are none is taken as it is.
fn value(letters: Letters, raw: &[u8]) -> String {
    let text = letters.decode(raw);
    let plain = unescape(&text).map(Cow::into_owned);
    plain.unwrap_or_else(|_no_escape| text.into_owned())
}

/// What a message shows of a text.
fn beginning(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// A document of which no more is read than is allowed.
struct Metered<D> {
    document: D,
    whole_left: u64,
    piece_left: u64,
}

impl<D> Metered<D> {
    /// What an error of the reader means.
    fn why(&self, error: quick_xml::Error, at_bytes: u64) -> GuideError {
        let is_too_long = matches!(&error, quick_xml::Error::Io(error) if error.kind() == TOO_LONG);
        match (is_too_long, self.whole_left) {
            (true, 0) => GuideError::TooLong {
                what: "the document",
                limit_bytes: DOCUMENT_BYTES_MAX,
            },
            (true, _) => GuideError::TooLong {
                what: "one piece of the document",
                limit_bytes: PIECE_BYTES_MAX,
            },
            (false, _) => GuideError::Broken {
                at_bytes,
                reason: error,
            },
        }
    }
}

impl<D: BufRead> io::Read for Metered<D> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let bytes = available.read(into)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

impl<D: BufRead> BufRead for Metered<D> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.whole_left.min(self.piece_left) {
            0 => Err(TOO_LONG.into()),
            _ => self.document.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.document.consume(bytes);
        self.whole_left = self.whole_left.saturating_sub(bytes as u64);
        self.piece_left = self.piece_left.saturating_sub(bytes as u64);
    }
}

/// How [`Metered`] says that it is enough.
const TOO_LONG: io::ErrorKind = io::ErrorKind::FileTooLarge;

/// Programmes that begin or end later cannot be written. Unit: seconds since 1970.
const YEAR_9999_S: u64 = 253_370_764_800;

/// The longest document, unpacked.
pub const DOCUMENT_BYTES_MAX: u64 = 2 * 1_024 * 1_024 * 1_024;

/// The longest tag, text or comment.
pub const PIECE_BYTES_MAX: u64 = 256 * 1_024;

/// How much is read, or unpacked, at a time.
pub const READ_BYTES: usize = 64 * 1_024;

/// The most elements within each other; guides have five.
const DEPTH_MAX: usize = 32;

/// What is looked at of a channel's name.
const NAME_BYTES_MAX: usize = 1_024;

/// What a programme takes beside its elements: the element around them, and its place among the others.
const AROUND_BYTES: usize = 256;

/// What a message shows of a document.
const SHOWN_CHARS_MAX: usize = 32;
