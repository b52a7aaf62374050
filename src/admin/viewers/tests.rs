//! Ids, orders, pages, and what is shown of a viewer.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::*;

fn row(shard: usize, number: u64) -> Row {
    Row {
        id: ViewerId { shard, number },
        address: Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        account: None,
        user_agent: Some("VLC/3.0".into()),
        channel: ChannelId::Configured(7),
        figures: Figures {
            started_us: number * 1_000,
            sent_bytes: 100 * number,
            bytes_per_second: 10,
            behind_us: 2_500_999,
            skips: number % 3,
            skipped_bytes: 0,
        },
        tcp: None,
    }
}

fn place(sort: Sort, row: &Row) -> Place {
    Place::of(sort, row.id, &row.figures)
}

fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.id.number).collect()
}

fn wanted(sort: Sort, most: usize) -> Wanted {
    Wanted {
        channel: None,
        search: None,
        sort,
        after: None,
        most,
    }
}

/// The numbers of a list, page by page.
fn paged(sort: Sort, most: usize, rows: &[Row]) -> Vec<Vec<u64>> {
    let mut wanted = wanted(sort, most);
    let mut pages = Vec::new();
    loop {
        let mut page = Page::new(&wanted);
        for row in rows {
            page.offer(place(sort, row), row.clone());
        }
        let (shown, next) = page.cut();
        pages.push(numbers(&shown));
        let Some(next) = next else {
            return pages;
        };
        let text = next.to_string();
        assert_eq!(text.parse(), Ok(next), "{text}");
        wanted.after = Some(next);
    }
}

#[test]
fn a_viewer_is_named_by_its_shard_and_its_number_in_one_way() {
    let id = ViewerId {
        shard: 12,
        number: 0xa1b2,
    };
    assert_eq!(id.to_string(), "12-a1b2");
    assert_eq!("12-a1b2".parse(), Ok(id));
    let refused = [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-g",
        "1-A",
        "+1-1",
        "1-+1",
        "1-1-1",
        "999999-1",
        "1-11111111111111111",
        " 1-1",
    ];
    for text in refused {
        assert_eq!(text.parse::<ViewerId>(), Err(NoViewerId), "{text}");
    }
}

#[test]
fn a_place_that_is_none_is_refused() {
    for text in [
        "",
        "5",
        "5-",
        "5-1",
        "x-1-1",
        "-1-1",
        "111111111111111111111-1-1",
    ] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
    let beyond: Place = "99999999999999999999-1-1".parse().unwrap();
    assert_eq!(beyond.key, u64::MAX);
}

#[test]
fn each_viewer_stands_on_one_page_whatever_the_order_and_the_size() {
    let rows: Vec<Row> = (1..=7).map(|number| row(0, number)).collect();
    assert_eq!(
        paged(Sort::Started, 3, &rows),
        [vec![7, 6, 5], vec![4, 3, 2], vec![1]]
    );
    assert_eq!(paged(Sort::Sent, 7, &rows), [vec![7, 6, 5, 4, 3, 2, 1]]);
    // Equals stand by id.
    assert_eq!(
        paged(Sort::Skips, 4, &rows),
        [vec![2, 5, 1, 4], vec![7, 3, 6]]
    );
    assert_eq!(paged(Sort::Rate, 1, &rows).concat(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(paged(Sort::Behind, 9, &[]), [Vec::<u64>::new()]);
}

#[test]
fn what_shards_found_is_merged_in_order_and_a_shard_hands_out_one_row_too_many() {
    let (sort, wanted) = (Sort::Started, wanted(Sort::Started, 2));
    let mut all = Page::new(&wanted);
    for shard in 0..2 {
        let mut page = Page::new(&wanted);
        for number in 1..=4 {
            let row = row(shard, 2 * number + shard as u64);
            page.offer(place(sort, &row), row);
        }
        let rows = page.with_next();
        assert_eq!(rows.len(), 3);
        for row in rows {
            all.offer(place(sort, &row), row);
        }
    }
    let (shown, next) = all.cut();
    assert_eq!(numbers(&shown), [9, 8]);
    assert_eq!(next, Some(place(sort, &row(0, 8))));
}

#[test]
fn a_search_looks_into_every_text_without_regard_to_case() {
    let mut wanted = wanted(Sort::Started, 9);
    assert!(wanted.finds([].into_iter()));
    wanted.search = Some("vlc".into());
    assert!(wanted.finds(["127.0.0.1", "VLC/3.0"].into_iter()));
    assert!(!wanted.finds(["127.0.0.1", "mpv"].into_iter()));
}

#[test]
fn every_order_has_a_name() {
    for name in ["behind", "rate", "sent", "skips", "started"] {
        assert!(Sort::named(name).is_some(), "{name}");
    }
    assert_eq!(Sort::named("Behind"), None);
}

#[test]
fn a_viewer_is_shown_in_the_units_that_its_fields_name() {
    let calendar = Calendar { started_ms: 1_000 };
    let shown =
        |row: &Row| serde_json::to_value(Viewer::of(row, "Seven".into(), calendar)).unwrap();
    let mut row = row(1, 31);
    let told = shown(&row);
    let expected = [
        ("id", json!("1-1f")),
        ("address", json!("127.0.0.1")),
        ("account", Value::Null),
        ("user_agent", json!("VLC/3.0")),
        ("channel", json!("7")),
        ("channel_name", json!("Seven")),
        ("started_ms", json!(1_031)),
        ("out_bits_per_second", json!(80)),
        ("behind_live_ms", json!(2_500)),
        ("rtt_us", Value::Null),
    ];
    for (field, value) in expected {
        assert_eq!(told[field], value, "{field}");
    }
    row.tcp = Some(Tcp {
        rtt_us: 40,
        retransmits: 1,
        unsent_bytes: 2,
    });
    assert_eq!(shown(&row)["rtt_us"], json!(40));
}
