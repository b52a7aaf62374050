//! What `document.rs` promises, tried against files and a server that says what it is told to.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use flate2::Compression;
use flate2::write::GzEncoder;
use glommio::LocalExecutor;

use super::*;
use crate::clock::Epoch;

/// Answers each connection with the next of these and hands back the heads of all requests.
fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let answered = answers.into_iter().map(|answer| {
            let (socket, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&socket).lines().map(Result::unwrap);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            (&socket).write_all(&answer).unwrap();
            head.join("\n")
        });
        answered.collect()
    });
    (address, served)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn at(address: SocketAddr, headers: &[(&str, &str)]) -> Place {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Place::Url {
        url: Url::parse(&format!("http://anna:secret@{address}/list?token=secret")).unwrap(),
        user_agent: None,
        headers: headers.iter().map(own).collect(),
    }
}

const LIMITS: Limits = Limits {
    bytes_max: 1000,
    time_max: Duration::from_secs(20),
};

fn look(document: &mut Document) -> Result<Option<Found>, DocumentError> {
    let clock = Clock::new(Epoch::begin());
    LocalExecutor::default().run(async {
        let connector = Connector::new();
        let driver = glommio::spawn_local(clock.clone().drive());
        let found = document.look(&connector, &clock).await;
        driver.cancel().await;
        found
    })
}

/// Looks, accepts, and says what was found.
fn take(document: &mut Document) -> Option<String> {
    let found = look(document).unwrap()?;
    let text = String::from_utf8(found.bytes.to_vec()).unwrap();
    LocalExecutor::default()
        .run(async { document.accept(found).await })
        .unwrap();
    Some(text)
}

fn folder(name: &str) -> PathBuf {
    let name = format!("corecast-document-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_file_is_read_again_only_when_it_has_changed() {
    let folder = folder("file");
    let path = folder.join("list");
    let mut document = Document::new(Place::File(path.clone()), LIMITS, None);
    let missing = look(&mut document).map(|found| found.is_some());
    assert!(matches!(missing, Err(DocumentError::File { .. })));
    fs::write(&path, "one").unwrap();
    assert_eq!(take(&mut document).unwrap(), "one");
    assert_eq!(take(&mut document), None);
    fs::write(&path, "three").unwrap();
    assert_eq!(take(&mut document).unwrap(), "three");
    fs::write(&path, "x".repeat(1001)).unwrap();
    let long = look(&mut document).map(|found| found.is_some());
    assert!(matches!(long, Err(DocumentError::TooLong { .. })));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_was_found_is_found_again_until_it_is_accepted() {
    let folder = folder("again");
    let path = folder.join("list");
    fs::write(&path, "one").unwrap();
    let mut document = Document::new(Place::File(path), LIMITS, None);
    assert!(look(&mut document).unwrap().is_some());
    assert!(look(&mut document).unwrap().is_some());
    assert!(take(&mut document).is_some());
    assert!(look(&mut document).unwrap().is_none());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_is_no_document() {
    let mut document = Document::new(Place::File(std::env::temp_dir()), LIMITS, None);
    let refused = look(&mut document).map(|found| found.is_some());
    assert!(matches!(refused, Err(DocumentError::File { .. })));
}

#[test]
fn a_server_is_asked_whether_there_is_a_newer_one() {
    let (address, served) = serve(vec![
        answer("200 OK\r\nETag: \"7\"\r\nLast-Modified: yesterday", b"list"),
        answer("304 Not Modified", b""),
        answer("200 OK\r\nETag: \"8\"", b"list"),
        answer("304 Not Modified", b""),
    ]);
    let place = at(address, &[("Referer", "http://page/")]);
    let mut document = Document::new(place, LIMITS, None);
    let found: Vec<_> = (0..4).map(|_| take(&mut document)).collect();
    assert_eq!(found, [Some("list".to_owned()), None, None, None]);
    let heads = served.join().unwrap();
    let first = &heads[0];
    assert!(first.starts_with("GET /list?token=secret HTTP/1.1"));
    for line in ["Referer: http://page/", "Accept-Encoding: gzip"] {
        assert!(heads.iter().all(|head| head.contains(line)), "{heads:?}");
    }
    assert!(!first.contains("If-"), "{first}");
    assert!(heads[1].contains("If-None-Match: \"7\"\nIf-Modified-Since: yesterday"));
    assert!(heads[3].contains("If-None-Match: \"8\""), "{}", heads[3]);
    assert!(!heads[3].contains("If-Modified-Since"));
}

#[test]
fn compression_is_taken_off_whatever_the_head_says() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"packed").unwrap();
    let packed = gzip.finish().unwrap();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&[0; 1001]).unwrap();
    let cut = packed.get(..packed.len() - 9).unwrap();
    let (address, served) = serve(vec![
        answer("200 OK", &packed),
        answer("200 OK\r\nContent-Encoding: gzip", &bomb.finish().unwrap()),
        answer("200 OK", cut),
    ]);
    let mut document = Document::new(at(address, &[]), LIMITS, None);
    assert_eq!(take(&mut document).unwrap(), "packed");
    let bomb = look(&mut document).map(|found| found.is_some());
    assert!(matches!(
        bomb,
        Err(DocumentError::TooLong { limit_bytes: 1000 })
    ));
    let cut = look(&mut document).map(|found| found.is_some());
    assert!(matches!(cut, Err(DocumentError::Gzip(_))), "{cut:?}");
    served.join().unwrap();
}

#[test]
fn what_is_no_whole_answer_is_an_error_that_shows_no_secret() {
    let (address, served) = serve(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_vec(),
        answer("403 Forbidden", b"no"),
        answer("304 Not Modified", b""),
        answer("200 OK", &[b'x'; 1001]),
    ]);
    let mut document = Document::new(at(address, &[]), LIMITS, None);
    let mut refusal = || look(&mut document).err().unwrap().to_string();
    assert_eq!(
        refusal(),
        format!("{address} ended the stream after 5 bytes")
    );
    assert_eq!(refusal(), format!("{address} answered with status 403"));
    assert_eq!(refusal(), format!("{address} answered with status 304"));
    assert_eq!(refusal(), "the document has more than 1000 bytes");
    served.join().unwrap();
}

#[test]
fn the_last_good_one_is_there_in_the_next_process() {
    let folder = folder("kept");
    let copy = folder.join("inner").join("list.kept");
    let (address, served) = serve(vec![
        answer("200 OK\r\nETag: \"7\"", b"#EXTM3U\nlist"),
        answer("304 Not Modified", b""),
    ]);
    let fresh = || Document::new(at(address, &[]), LIMITS, Some(copy.clone()));
    assert_eq!(fresh().recall().unwrap(), None);
    assert!(take(&mut fresh()).is_some());
    let mut next = fresh();
    assert_eq!(next.recall().unwrap().unwrap(), "#EXTM3U\nlist");
    assert_eq!(take(&mut next), None);
    assert!(served.join().unwrap()[1].contains("If-None-Match: \"7\""));

    let elsewhere = Place::File(folder.join("list"));
    let mut other = Document::new(elsewhere, LIMITS, Some(copy.clone()));
    assert_eq!(other.recall().unwrap(), None, "it is of another place");

    let mut bytes = fs::read(&copy).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    bytes.truncate(bytes.len() - 1);
    fs::write(&copy, &bytes).unwrap();
    assert!(matches!(fresh().recall(), Err(DocumentError::Kept { .. })));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_be_kept_is_accepted_all_the_same() {
    let folder = folder("full");
    let (list, copy) = (folder.join("list"), folder.join("copy"));
    fs::write(&list, "one").unwrap();
    fs::create_dir(&copy).unwrap();
    let mut document = Document::new(Place::File(list), LIMITS, Some(copy));
    let found = look(&mut document).unwrap().unwrap();
    let kept = LocalExecutor::default().run(async { document.accept(found).await });
    assert!(matches!(kept, Err(DocumentError::Kept { .. })));
    assert!(look(&mut document).unwrap().is_none());
    fs::remove_dir_all(&folder).unwrap();
}
