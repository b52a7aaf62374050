//! What reading promises, tried on documents as they are found; beside it, the guides that the tests of answers serve.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::error::GuideError;
use super::read::{Part, Terms, read};
use super::stamp::Stamp;
use super::*;
use crate::catalog::tests::channels;
use crate::config::Channel;

/// 2026-11-23, noon.
pub(crate) const NOON_S: u64 = 1_795_435_200;

const HOUR_S: u64 = 3_600;

/// A guide of these elements, cut to these channels.
pub(crate) fn guide_of(channels: &[Channel], elements: &[&str]) -> Guide {
    let cut = Cut::to(channels);
    let part = read(document(elements).as_bytes(), &terms(&cut)).unwrap();
    Guide::merge([&part.shelves], &cut, NOON_S)
}

/// A programme as XMLTV has it.
pub(crate) fn programme(channel: &str, start_s: u64, seconds: u64, content: &str) -> String {
    let (start, stop) = (Stamp(start_s), Stamp(start_s + seconds));
    format!(
        "<programme start=\"{start}\" stop=\"{stop}\" channel=\"{channel}\">{content}</programme>"
    )
}

fn document(elements: &[&str]) -> String {
    let elements = elements.join("\n  ");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE tv SYSTEM \"xmltv.dtd\">\n\
         <tv source-info-name=\"test\">\n  {elements}\n</tv>\n"
    )
}

fn terms(cut: &Cut) -> Terms<'_> {
    Terms {
        cut,
        from_s: 0,
        until_s: u64::MAX,
        shift_s: 0,
        bytes_max: 1 << 20,
        number: 1,
    }
}

fn read_bytes(bytes: &[u8]) -> Result<Part, GuideError> {
    let cut = Cut::to(&channels());
    read(bytes, &terms(&cut))
}

fn news(start_s: u64, seconds: u64, title: &str) -> String {
    let content = format!("<title>{title}</title>");
    programme("news.example", start_s, seconds, &content)
}

/// Start, stop and title of the programmes of one channel.
fn listed(shelves: &Shelves, key: &str) -> Vec<(u64, u64, String)> {
    let shelf = &shelves[key];
    let programmes = (0..shelf.len()).map(|index| shelf.programme(index).unwrap());
    programmes
        .map(|it| (it.start_s, it.stop_s, it.title.into_owned()))
        .collect()
}

#[test]
fn a_guide_is_cut_to_the_channels_that_are_wanted() {
    let content = "<title>A</title>";
    let part = read_bytes(
        document(&[
            "<channel id=\"NEWS.example\"><display-name>Any</display-name></channel>",
            "<channel id=\"c2\"><display-name>No</display-name><display-name>TWO</display-name></channel>",
            "<channel id=\"c3\"><display-name>Two</display-name></channel>",
            &programme("news.EXAMPLE", NOON_S, 60, content),
            &programme("c2", NOON_S, 60, content),
            &programme("c3", NOON_S, 60, content),
            &programme("2", NOON_S, 60, content),
            &programme("", NOON_S, 60, content),
        ])
        .as_bytes(),
    )
    .unwrap();
    assert_eq!(part.programmes, 5);
    let mut keys: Vec<_> = part.shelves.keys().map(|it| &**it).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["2", "news.example"]);
    assert_eq!(listed(&part.shelves, "2").len(), 1, "the first of the name");
}

#[test]
fn a_programme_without_an_end_lasts_to_the_next_and_not_too_long() {
    let open = |start_s: u64, title: &str| {
        news(start_s, 0, title).replace(&format!(" stop=\"{}\"", Stamp(start_s)), "")
    };
    let late_s = NOON_S + 10 * HOUR_S;
    let part = read_bytes(
        document(&[
            &open(NOON_S, "A"),
            &open(NOON_S + HOUR_S, "B"),
            &news(late_s, 0, "C"),
        ])
        .as_bytes(),
    )
    .unwrap();
    assert_eq!(
        listed(&part.shelves, "news.example"),
        [
            (NOON_S, NOON_S + HOUR_S, "A".into()),
            (NOON_S + HOUR_S, NOON_S + 5 * HOUR_S, "B".into()),
            (late_s, late_s + 4 * HOUR_S, "C".into()),
        ]
    );
}

#[test]
fn programmes_are_sorted_and_no_two_overlap() {
    let part = read_bytes(
        document(&[
            &news(NOON_S + HOUR_S, HOUR_S, "second"),
            &news(NOON_S, 2 * HOUR_S, "first"),
            &news(NOON_S, HOUR_S, "the same time"),
            &news(NOON_S + 3 * HOUR_S, HOUR_S, "after a gap"),
        ])
        .as_bytes(),
    )
    .unwrap();
    assert_eq!(
        listed(&part.shelves, "news.example"),
        [
            (NOON_S, NOON_S + HOUR_S, "first".into()),
            (NOON_S + HOUR_S, NOON_S + 2 * HOUR_S, "second".into()),
            (
                NOON_S + 3 * HOUR_S,
                NOON_S + 4 * HOUR_S,
                "after a gap".into()
            ),
        ]
    );
}

#[test]
fn only_the_time_that_is_kept_is_kept_and_shifted_times_count() {
    let cut = Cut::to(&channels());
    let text = document(&[
        &news(NOON_S - 2 * HOUR_S, HOUR_S, "over"),
        &news(NOON_S - HOUR_S, HOUR_S + 1, "on"),
        &news(NOON_S + 2 * HOUR_S - 1, HOUR_S, "last"),
        &news(NOON_S + 3 * HOUR_S, HOUR_S, "too late"),
    ]);
    let titles = |shift_s| {
        let terms = Terms {
            from_s: NOON_S,
            until_s: NOON_S + 2 * HOUR_S,
            shift_s,
            ..terms(&cut)
        };
        let part = read(text.as_bytes(), &terms).unwrap();
        let listed = listed(&part.shelves, "news.example");
        listed
            .into_iter()
            .map(|(start_s, _, title)| (start_s, title))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        titles(0),
        [
            (NOON_S - HOUR_S, "on".into()),
            (NOON_S + 2 * HOUR_S - 1, "last".into())
        ]
    );
    assert_eq!(
        titles(7_200),
        [(NOON_S, "over".into()), (NOON_S + HOUR_S, "on".into())]
    );
    assert_eq!(
        titles(-7_200),
        [
            (NOON_S - 1, "last".into()),
            (NOON_S + HOUR_S, "too late".into())
        ]
    );
}

#[test]
fn text_is_told_as_it_was_meant() {
    let content = "<title lang=\"en\">Tom &amp; <![CDATA[<Jerry> & Co]]> &#228;&#x20AC;&nbsp;</title>\
         <title lang=\"de\">Zwei</title><desc>A & B &lt;b&gt; &unknown; C</desc>\
         <!-- left out --><?left out?><icon src=\"http://a/?b=1&amp;c=&quot;2&quot;\"/>";
    let guide = guide_of(
        &channels(),
        &[&programme("news.example", NOON_S, 60, content)],
    );
    let shelf = guide.shelf("news.example").unwrap();
    let told = shelf.programme(0).unwrap();
    assert_eq!(told.title, "Tom & <Jerry> & Co ä€&nbsp;");
    assert_eq!(told.language, "en");
    assert_eq!(told.description, "A & B <b> &unknown; C");
    assert_eq!(shelf.programme(1), None);
    let written = str::from_utf8(shelf.text()).unwrap();
    assert_eq!(
        written,
        "<programme start=\"20261123120000 +0000\" stop=\"20261123120100 +0000\" channel=\"news.example\">\
         <title lang=\"en\">Tom &amp; &lt;Jerry&gt; &amp; Co ä€&amp;nbsp;</title><title lang=\"de\">Zwei</title>\
         <desc>A &amp; B &lt;b&gt; &amp;unknown; C</desc><icon src=\"http://a/?b=1&amp;c=&quot;2&quot;\"/></programme>\n"
    );
}

#[test]
fn what_is_served_can_be_read_again_and_is_the_same() {
    let content = "<title lang=\"en\">A &amp; B</title><credits>\n<actor>C</actor></credits><new/>";
    let elements = [
        programme("news.example", NOON_S, 60, content),
        news(NOON_S + 60, 60, "&lt;i&gt;"),
    ];
    let once = guide_of(&channels(), &[&elements[0], &elements[1]]);
    let served = once.shelf("news.example").unwrap().text();
    let again = guide_of(&channels(), &[str::from_utf8(served).unwrap()]);
    let shelf = again.shelf("news.example").unwrap();
    assert_eq!(shelf.text(), served);
    assert_eq!(shelf.digest(), once.shelf("news.example").unwrap().digest());
}

#[test]
fn a_packed_guide_is_read_as_it_is_and_in_pieces_of_gzip() {
    let text = document(&[&news(NOON_S, 60, "A")]);
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (begin, rest) = text.as_bytes().split_at(150);
    for bytes in [
        packed(text.as_bytes()),
        [packed(begin), packed(rest)].concat(),
        [packed(text.as_bytes()), b"\0\0\0 padding".to_vec()].concat(),
    ] {
        let part = read_bytes(&bytes).unwrap();
        assert_eq!(part.shelves.len(), 1);
    }
    let mut broken = packed(text.as_bytes());
    broken.truncate(broken.len() / 2);
    assert!(matches!(
        read_bytes(&broken),
        Err(GuideError::Broken { .. })
    ));
}

#[test]
fn letters_are_those_that_the_document_declares() {
    let text = document(&[&news(NOON_S, 60, "Caf\u{e9}")]);
    let latin: Vec<u8> = text
        .replace("UTF-8", "ISO-8859-1")
        .chars()
        .map(|it| u8::try_from(it).unwrap())
        .collect();
    for bytes in [
        text.as_bytes(),
        &latin,
        &["\u{feff}", &text].concat().into_bytes(),
    ] {
        let part = read_bytes(bytes).unwrap();
        assert_eq!(listed(&part.shelves, "news.example")[0].2, "Café");
    }
    let other = text.replace("UTF-8", "EUC-JP");
    assert!(matches!(
        read_bytes(other.as_bytes()),
        Err(GuideError::UnknownEncoding { encoding }) if encoding == "EUC-JP"
    ));
}

#[test]
fn what_is_no_whole_guide_is_refused_with_the_reason() {
    let whole = document(&[&news(NOON_S, 60, "A")]);
    let told = |text: &str| read_bytes(text.as_bytes()).unwrap_err().to_string();
    for end in [150, 200, whole.len() - 10] {
        let said = told(&whole[..end]);
        assert!(
            said.contains("ends within") || said.contains("broken"),
            "{said}"
        );
    }
    assert_eq!(told(""), "the document has no programmes");
    assert_eq!(
        told("<?xml version=\"1.0\"?>\n"),
        "the document has no programmes"
    );
    assert_eq!(told("<tv></tv>"), "the document has no programmes");
    assert_eq!(told("<tv/>"), "the document has no programmes");
    assert!(told("<html><body>404").contains("it begins with \"html\""));
    assert!(told("Not found").contains("it begins with \"Not found\""));
    assert!(told("{\"a\": 1}").contains("it begins with"));
    assert!(told(&whole.replace("</title>", "</other>")).contains("broken after"));
    let strange = document(&[&programme("other", NOON_S, 60, "<title>A</title>")]);
    assert!(told(&strange).contains("has 1 programmes, and none of them"));
}

#[test]
fn a_malformed_programme_costs_itself_alone() {
    let part = read_bytes(
        document(&[
            &news(NOON_S, 60, "A"),
            "<programme start=\"today\" channel=\"news.example\"><title>B</title></programme>",
            "<programme channel=\"news.example\"><title>C</title></programme>",
            &news(NOON_S + 60, 60, ""),
            "<programme/>",
            "<other><programme start=\"x\"/></other>",
            &news(NOON_S + 120, 60, "D"),
        ])
        .as_bytes(),
    )
    .unwrap();
    assert_eq!((part.programmes, part.malformed), (6, 3));
    assert_eq!(listed(&part.shelves, "news.example").len(), 2);
}

#[test]
fn nothing_in_a_document_grows_without_bound() {
    let bomb = format!(
        "<!DOCTYPE tv [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><tv>{}</tv>",
        news(NOON_S, 60, "&b;")
    );
    let part = read_bytes(bomb.as_bytes()).unwrap();
    let told = &listed(&part.shelves, "news.example")[0].2;
    assert_eq!(told, "&b;", "entities of a document are not looked up");

    let deep = format!("<tv>{}", "<a>".repeat(100));
    assert!(matches!(
        read_bytes(deep.as_bytes()),
        Err(GuideError::Deep { limit: 32, .. })
    ));

    let long = "x".repeat(300_000);
    for text in [
        format!("<tv><programme channel=\"{long}"),
        format!("<tv><programme><title>{long}"),
        format!("<tv><!--{long}"),
        format!("<tv>&{long}"),
        format!("<!DOCTYPE tv [{long}"),
    ] {
        let refused = read_bytes(text.as_bytes());
        assert!(
            matches!(refused, Err(GuideError::TooLong { .. })),
            "{refused:?}"
        );
    }

    let many_attributes = format!("<tv><programme {}/></tv>", "a=\"\" ".repeat(50_000));
    assert!(matches!(
        read_bytes(many_attributes.as_bytes()),
        Err(GuideError::NoneWanted { programmes: 1 })
    ));
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let cut = Cut::to(&channels());
    let elements: Vec<String> = (0..100)
        .map(|nth| news(NOON_S + 60 * nth, 60, &"x".repeat(1_000)))
        .collect();
    let elements: Vec<&str> = elements.iter().map(|it| &**it).collect();
    let terms = Terms {
        bytes_max: 50_000,
        ..terms(&cut)
    };
    let part = read(document(&elements).as_bytes(), &terms).unwrap();
    let kept = part.shelves["news.example"].len();
    assert!((30..=50).contains(&kept), "{kept}");
    assert_eq!(part.left_out, 100 - kept as u64);
    assert!(part.shelves["news.example"].text().len() <= 50_000);
}

#[test]
fn of_several_guides_the_first_that_has_a_channel_counts() {
    let channels = channels();
    let cut = Cut::to(&channels);
    let part = |elements: &[&str]| read(document(elements).as_bytes(), &terms(&cut)).unwrap();
    let two = "<channel id=\"b\"><display-name>Two</display-name></channel>";
    let first = part(&[&news(NOON_S, 60, "first")]);
    let second = part(&[
        two,
        &news(NOON_S, 60, "second"),
        &programme("b", NOON_S, 60, "<title>B</title>"),
    ]);
    let title = |guide: &Guide, key: &str| {
        let shelf = guide.shelf(key).unwrap();
        shelf.programme(0).unwrap().title.into_owned()
    };
    let merged = Guide::merge([&first.shelves, &second.shelves], &cut, NOON_S);
    assert_eq!(title(&merged, "news.example"), "first");
    assert_eq!(title(&merged, "2"), "B");
    assert_eq!(merged.programmes(), 2);
    assert!(merged.shelf("3").is_none());
    let fewer = Cut::to(&channels[..1]);
    let merged = Guide::merge([&second.shelves, &first.shelves], &fewer, NOON_S);
    assert_eq!(title(&merged, "news.example"), "second");
    assert_eq!(
        merged.programmes(),
        1,
        "what is not configured is not served"
    );
}

#[test]
fn a_place_in_time_is_found() {
    let guide = guide_of(
        &channels(),
        &[&news(NOON_S, 60, "A"), &news(NOON_S + 120, 60, "B")],
    );
    let shelf = guide.shelf("news.example").unwrap();
    for (now_s, first) in [(0, 0), (59, 0), (60, 1), (179, 1), (180, 2), (999, 2)] {
        assert_eq!(shelf.first_not_over(NOON_S + now_s), first, "{now_s}");
    }
}

#[test]
fn whatever_is_served_is_a_guide_that_can_be_read_again() {
    let content = "<title lang=\"en\">A &amp; <![CDATA[B]]> &#65;</title>\n<desc>C & D</desc>\
         <credits>\n <actor role=\"x\">E</actor></credits><icon src=\"f\"/><new/>";
    let sample = document(&[
        "<channel id=\"2\"><display-name>Two</display-name></channel>",
        &programme("news.example", NOON_S, 60, content),
        &programme("2", NOON_S + 60, 60, content),
        &news(NOON_S + 60, 7_200, "G"),
        &news(NOON_S + 120, 60, "H"),
    ]);
    let cut = Cut::to(&channels());
    let served = cut.as_served();
    let (mut random, mut taken) = (fastrand::Rng::with_seed(11), 0);
    for _ in 0..4_000 {
        let mut bytes = sample.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = b"<>&;\"'/ \n\r\t!-[]#x0\xc2\x85\0"[random.usize(..21)],
                1 => drop(bytes.drain(at..(at + random.usize(1..9)).min(bytes.len()))),
                2 => bytes.insert(at, random.u8(..)),
                _ => {
                    let other = random.usize(..bytes.len());
                    bytes.swap(at, other);
                }
            }
        }
        let Ok(part) = read(&*bytes, &terms(&cut)) else {
            continue;
        };
        taken += 1;
        let mut texts: Vec<_> = part.shelves.iter().collect();
        texts.sort_unstable_by_key(|(key, _)| *key);
        let whole: Vec<&str> = texts
            .iter()
            .map(|(_, shelf)| str::from_utf8(shelf.text()).unwrap())
            .collect();
        let again = read(document(&whole).as_bytes(), &terms(&served)).unwrap();
        assert_eq!(again.malformed, 0);
        for (key, shelf) in texts {
            assert_eq!(again.shelves[key].text(), shelf.text());
        }
    }
    assert!(taken > 1_000, "{taken}");
}
