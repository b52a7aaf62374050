//! Finds the file, reads everything, and puts what is wrong in order.
//!
//! What a key may be belongs in `sections.rs` and `entries.rs`. The rule: files are read here and in `secret_file.rs`, and
//! nowhere else in the configuration.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, ConfigErrors, Fault, Origin};
use super::overlay::{self, Flags};
use super::read::{Provenance, Reader, Report};
use super::tree::{self, Entries, Node, Value};
use super::{
    Channel, Config, Listen, Stream, accounts as of_accounts, entries, guides as of_guides,
    playlists as of_playlists, providers as of_providers, secret_file, sections,
};

/// What a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file that `--config` names; without it the usual places are searched.
    pub file: Option<PathBuf>,
    /// What the command line says.
    pub flags: Flags,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
}

impl Inputs {
    /// What a configuration is read from again that came from there. A file that was found once is not done without.
    #[must_use]
    pub fn again(self, provenance: &Provenance) -> Self {
        let found = provenance.file().map(Path::to_path_buf);
        Self {
            file: self.file.or(found),
            ..self
        }
    }
}

impl Config {
    /// Reads the configuration: file, then variables on top, then flags on top.
    ///
    /// Blocks on the file system: for start-up, not for a shard.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong.
    pub fn load(inputs: &Inputs) -> Result<(Self, Provenance), ConfigErrors> {
        match find(inputs.file.as_deref(), &SEARCHED) {
            None => Self::read(None, inputs),
            Some(path) => match secret_file::read_bytes(&path, FILE_BYTES_MAX) {
                Ok(bytes) => Self::read(Some((text_of(&bytes, &path)?, &path)), inputs),
                Err(reason) => Err(unreadable(&path, reason)),
            },
        }
    }

    /// Reads the text of a configuration file, or none, with the overlays of `inputs`.
    pub(super) fn read(
        file: Option<(&str, &Arc<Path>)>,
        inputs: &Inputs,
    ) -> Result<(Self, Provenance), ConfigErrors> {
        let mut report = Report::default();
        let mut root = Entries::new();
        if let Some((text, path)) = file {
            root = tree::parse(text, path, &mut report.errors);
            report.provenance.file = Some(Arc::clone(path));
        }
        let broken_lines: BTreeSet<_> = report
            .errors
            .iter()
            .map(|error| tree::line_of(&error.origin))
            .collect();
        overlay::lay_variables(&inputs.variables, &mut root, &mut report.errors);
        overlay::lay_flags(&inputs.flags, &mut root);
        let folder = file
            .and_then(|(_, path)| path.parent())
            .unwrap_or_else(|| Path::new(""));
        let mut config = Self::of_tree(root, folder, &mut report);
        if file.is_none() {
            config.channels.push(Channel::demo(&config.stream));
        }
        let Report {
            mut errors,
            provenance,
        } = report;
        if !broken_lines.is_empty() {
            // What is left of a broken file says little: keep what holds for itself, on lines that could be read.
            errors.retain(|error| match (&error.fault, tree::line_of(&error.origin)) {
                (Fault::Syntax { .. }, _) => true,
                (fault, line) => {
                    fault.is_local() && (line.is_none() || !broken_lines.contains(&line))
                }
            });
        }
        if errors.is_empty() {
            return Ok((config, provenance));
        }
        errors.sort_by(|a, b| {
            (order(&a.origin), &a.origin, &a.key).cmp(&(order(&b.origin), &b.origin, &b.key))
        });
        Err(ConfigErrors(errors))
    }

    fn of_tree(root: Entries, folder: &Path, report: &mut Report) -> Self {
        let origin = report
            .provenance
            .file
            .clone()
            .map_or(Origin::Default, Origin::WholeFile);
        let whole = Node {
            origin: origin.clone(),
            value: Value::Table(root),
        };
        let mut reader = Reader::new(report, String::new(), whole);
        let [server, admin, stream, engine] = ["server", "admin", "stream", "engine"].map(|name| {
            reader.take(name).unwrap_or_else(|| Node {
                origin: origin.clone(),
                value: Value::Table(Entries::new()),
            })
        });
        let providers = reader.tables("provider");
        let channels = reader.tables("channel");
        let playlists = reader.tables("playlist");
        let accounts = reader.tables("account");
        let guides = reader.tables("guide");
        reader.finish();
        let account_count = accounts.len();

        let (server, places) =
            sections::server(Reader::new(report, "server".into(), server), folder);
        let admin = sections::admin(
            Reader::new(report, "admin".into(), admin),
            &server.listen,
            folder,
        );
        let mut reader = Reader::new(report, "stream".into(), stream);
        let stream = sections::stream(&mut reader, &Stream::default());
        reader.finish();
        let engine = sections::engine(Reader::new(report, "engine".into(), engine));
        let providers = of_providers::providers(providers, report);
        let channels = entries::channels(channels, &stream, report);
        let playlists = of_playlists::playlists(playlists, folder, report);
        let known = of_accounts::Known::of(&channels, &playlists);
        let accounts = of_accounts::accounts(accounts, &known, folder, report);
        let guides = of_guides::guides(guides, folder, report);
        if account_count == 0 && !server.open {
            let fault = |address| Fault::OpenToAll { address };
            refuse_remote(&server.listen, &places, fault, report);
        }
        if server.front.proxy_protocol && server.front.trusted.is_empty() {
            let fault = |address| Fault::BelievesAll { address };
            refuse_remote(&server.listen, &places, fault, report);
        }
        Self {
            server,
            admin,
            stream,
            engine,
            providers,
            channels,
            playlists,
            lists: Arc::default(),
            accounts,
            guides,
        }
    }
}

/// The file to read: the one that was named, else the first that exists.
pub(super) fn find(named: Option<&Path>, searched: &[&str]) -> Option<Arc<Path>> {
    let exists = |path: &&Path| !matches!(path.try_exists(), Ok(false));
    named
        .or_else(|| searched.iter().map(Path::new).find(exists))
        .map(Arc::from)
}

fn unreadable(path: &Arc<Path>, reason: io::Error) -> ConfigErrors {
    let file = Arc::clone(path);
    ConfigErrors(vec![ConfigError {
        origin: Origin::WholeFile(Arc::clone(path)),
        key: "file".into(),
        fault: Fault::Unreadable { file, reason },
    }])
}

/// The text of a file, or the place of the first byte that is none.
pub(super) fn text_of<'b>(bytes: &'b [u8], path: &Arc<Path>) -> Result<&'b str, ConfigErrors> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at(error.valid_up_to());
        let good = String::from_utf8_lossy(good);
        let origin = tree::end_of(&good, path);
        ConfigErrors(vec![ConfigError {
            origin,
            key: "syntax".into(),
            fault: Fault::Character {
                allowed: "UTF-8 is allowed",
            },
        }])
    })
}

/// Reports each listener that others than this host can reach.
fn refuse_remote(
    listen: &[Listen],
    places: &[Origin],
    fault: fn(String) -> Fault,
    report: &mut Report,
) {
    for (address, origin) in listen.iter().zip(places) {
        if !address.is_local() {
            report.errors.push(ConfigError {
                origin: origin.clone(),
                key: "server.listen".into(),
                fault: fault(address.to_string()),
            });
        }
    }
}

/// Errors of the file first, then flags, then variables.
fn order(origin: &Origin) -> u8 {
    match origin {
        Origin::Default | Origin::File { .. } | Origin::WholeFile(_) => 0,
        Origin::Flag(_) => 1,
        Origin::Variable(_) => 2,
    }
}

/// Where a configuration is looked for unless one is named.
const SEARCHED: [&str; 2] = ["/etc/corecast/corecast.toml", "corecast.toml"];

/// No configuration file is longer. Unit: bytes.
const FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
