//! The page as it is without a script: the state of one moment, written into the page's own tables. (pure)
//!
//! What is shown comes in the forms of the API; the page's script shows the same and more in the same places. The rule:
//! whatever came from outside is written as text and never as markup.

use serde_json::Value;

/// What is known of the server at one moment, each in the API's form.
pub struct Seen {
    status: Value,
    channels: Value,
    viewers: Value,
    events: Value,
}

impl Seen {
    /// Reads answers of the API; what cannot be read is shown as not known.
    #[must_use]
    pub fn read(status: &[u8], channels: &[u8], viewers: &[u8], events: &[u8]) -> Self {
        let list = |bytes, name| {
            read(bytes)
                .get_mut(name)
                .map(Value::take)
                .unwrap_or_default()
        };
        Self {
            status: read(status),
            channels: list(channels, "channels"),
            viewers: list(viewers, "viewers"),
            events: list(events, "events"),
        }
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Writes the state into the page; without a state, because it takes a token to see it, says so.
#[must_use]
pub fn page(template: &str, seen: Option<&Seen>) -> String {
    let mut page = String::with_capacity(2 * template.len());
    for piece in template.split_inclusive(['{', '}']) {
        match piece.strip_suffix('}') {
            Some(name) => page.push_str(&place(name, seen)),
            None => page.push_str(piece.strip_suffix('{').unwrap_or(piece)),
        }
    }
    page
}

/// What belongs into a place of the template.
fn place(name: &str, seen: Option<&Seen>) -> String {
    let Some(seen) = seen else {
        return match name {
            "verdict" => "This page asks for the token, which takes JavaScript".to_owned(),
            "version" => env!("CARGO_PKG_VERSION").to_owned(),
            _ => String::new(),
        };
    };
    let status = &seen.status;
    let viewers = list(&seen.viewers);
    match name {
        "version" | "state" => text(&status[name]),
        "verdict" => verdict(status),
        "as_of" => format!("as of {} UTC", clock(&status["time_ms"])),
        "viewers" => text(&status["viewers"]),
        "viewers_note" => format!("of {}", text(&status["viewers_max"])),
        "out" => rate(&status["out_bits_per_second"]),
        "out_note" => format!("{} in all", size(&status["sent_bytes"])),
        "in" => rate(&status["in_bits_per_second"]),
        "in_note" => format!("{} in all", size(&status["received_bytes"])),
        "ratio" => figure(&status["fan_out_ratio"], |ratio| format!("× {ratio:.1}")),
        "uptime" => format!("up {}", span_ms(&status["uptime_ms"])),
        "shards" => rows(list(&status["shards"]), shard),
        "events" => events(list(&seen.events)),
        "channels_count" => format!("{} open", text(&status["channels_open"])),
        "channels" => rows(list(&seen.channels), |it| channel(it, status)),
        "viewers_count" => format!(
            "{} of {}, newest first",
            viewers.len(),
            text(&status["viewers"])
        ),
        "viewer_rows" => rows(viewers, |it| viewer(it, status)),
        _ => String::new(),
    }
}

fn verdict(status: &Value) -> String {
    let (live, open) = (&status["channels_live"], &status["channels_open"]);
    format!("{} of {} open channels are live", text(live), text(open))
}

fn shard(shard: &Value) -> Vec<String> {
    vec![
        text(&shard["shard"]),
        figure(&shard["busy_ratio"], |busy| {
            format!("{:.0} %", busy * 100.0)
        }),
        figure(&shard["fanout_delay_p99_ms"], |delay| {
            format!("≤ {delay:.0} ms")
        }),
        text(&shard["viewers"]),
        String::new(),
        rate(&shard["out_bits_per_second"]),
    ]
}

fn channel(channel: &Value, status: &Value) -> Vec<String> {
    let media = &channel["media"];
    vec![
        match channel["since_ms"].is_null() {
            true => text(&channel["state"]),
            false => format!(
                "{} for {}",
                text(&channel["state"]),
                since(&channel["since_ms"], status)
            ),
        },
        format!("{} ({})", text(&channel["name"]), text(&channel["id"])),
        [
            text(&channel["source"]),
            text(&media["video"]),
            size_of(media),
            sound(media),
        ]
        .iter()
        .filter(|it| !it.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(" · "),
        rate(&media["bits_per_second"]),
        text(&channel["continuity_errors"]),
        figure(&channel["ring_ms"], |ms| format!("{:.1} s", ms / 1e3)),
        text(&channel["viewers"]),
        text(&channel["last_error"]["text"]),
        String::new(),
    ]
}

fn viewer(viewer: &Value, status: &Value) -> Vec<String> {
    vec![
        text(&viewer["address"]),
        text(&viewer["user_agent"]),
        text(&viewer["channel_name"]),
        text(&viewer["shard"]),
        since(&viewer["started_ms"], status),
        rate(&viewer["out_bits_per_second"]),
        figure(&viewer["behind_live_ms"], |ms| format!("{:.1} s", ms / 1e3)),
        text(&viewer["skips"]),
        figure(&viewer["rtt_us"], |us| format!("{:.1} ms", us / 1e3)),
        text(&viewer["retransmits"]),
        String::new(),
    ]
}

/// Events as a list, the newest first.
fn events(events: &[Value]) -> String {
    let newest = events.iter().rev();
    newest
        .map(|event| {
            format!(
                "<li><time>{}</time><span class=\"what\">{}</span></li>",
                clock(&event["time_ms"]),
                match event["channel"].is_null() {
                    true => text(&event["text"]),
                    false => format!("{}: {}", text(&event["channel"]), text(&event["text"])),
                }
            )
        })
        .collect()
}

fn rows(values: &[Value], cells: impl Fn(&Value) -> Vec<String>) -> String {
    let row = |value| format!("<tr><td>{}</td></tr>", cells(value).join("</td><td>"));
    values.iter().map(row).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as text that is no markup; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

fn figure(value: &Value, shown: impl Fn(f64) -> String) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), shown)
}

fn rate(bits_per_second: &Value) -> String {
    figure(bits_per_second, |bits| format!("{:.2} Mbit/s", bits / 1e6))
}

fn size(bytes: &Value) -> String {
    figure(bytes, |bytes| format!("{:.1} GB", bytes / 1e9))
}

/// Width, height and frames a second, as far as they are known.
fn size_of(media: &Value) -> String {
    let (width, height) = (text(&media["width"]), text(&media["height"]));
    match (width.is_empty(), media["frames_per_second"].as_f64()) {
        (true, _) => String::new(),
        (false, None) => format!("{width}×{height}"),
        (false, Some(frames)) => format!("{width}×{height} {frames:.0} fps"),
    }
}

fn sound(media: &Value) -> String {
    let codecs: Vec<String> = list(&media["audio"]).iter().map(text).collect();
    codecs.join(", ")
}

/// The time from a moment to that of the status.
fn since(moment_ms: &Value, status: &Value) -> String {
    let (Some(from), Some(to)) = (moment_ms.as_u64(), status["time_ms"].as_u64()) else {
        return "–".to_owned();
    };
    span(to.saturating_sub(from) / 1_000)
}

fn span_ms(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(|| "–".to_owned(), |ms| span(ms / 1_000))
}

/// A time in hours, minutes and seconds.
fn span(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours}:{minutes:02}:{:02}", seconds % 60)
}

/// The time of day of a moment in milliseconds since 1970, in UTC.
fn clock(moment_ms: &Value) -> String {
    span(moment_ms.as_u64().unwrap_or(0) / 1_000 % 86_400)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEMPLATE: &str =
        "<b>{viewers}</b><table>{viewer_rows}</table><table>{channels}</table>{events}|{verdict}";

    fn shown(viewers: Vec<Value>, channels: Vec<Value>, events: Vec<Value>) -> String {
        let status = json!({
            "viewers": 7, "time_ms": 90_000, "channels_live": 1, "channels_open": 2, "shards": [],
        });
        let seen = Seen {
            status,
            channels: channels.into(),
            viewers: viewers.into(),
            events: events.into(),
        };
        page(TEMPLATE, Some(&seen))
    }

    #[test]
    fn figures_and_rows_stand_in_their_places() {
        let viewer = json!({"address": "10.0.0.1", "behind_live_ms": 1_500, "started_ms": 25_000});
        let page = shown(vec![viewer], vec![], vec![]);
        assert!(
            page.starts_with("<b>7</b><table><tr><td>10.0.0.1</td>"),
            "{page}"
        );
        assert!(page.contains("<td>1.5 s</td>"), "{page}");
        assert!(page.contains("<td>0:01:05</td>"), "{page}");
        assert!(page.ends_with("|1 of 2 open channels are live"), "{page}");
    }

    #[test]
    fn what_came_from_outside_is_text() {
        let evil = "<script>alert('\"&')</script>{version}";
        let viewer = json!({"address": "::1", "user_agent": evil, "channel_name": evil});
        let channel = json!({"name": evil, "last_error": {"text": evil}});
        let event = json!({"text": evil, "time_ms": 0});
        let page = shown(vec![viewer], vec![channel], vec![event]);
        assert!(!page.contains("<script"), "{page}");
        let safe = "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;{version}";
        assert_eq!(page.matches(safe).count(), 5, "{page}");
    }

    #[test]
    fn what_is_not_known_is_left_blank_and_nothing_is_invented() {
        let page = shown(
            vec![json!({})],
            vec![json!({"id": "7", "state": "idle"})],
            vec![],
        );
        assert!(
            page.contains("<td>idle</td><td> (7)</td><td></td><td>–</td>"),
            "{page}"
        );
        assert!(!page.contains("null"), "{page}");
    }

    #[test]
    fn without_a_state_the_page_says_what_it_takes() {
        let page = page(TEMPLATE, None);
        assert_eq!(
            page,
            "<b></b><table></table><table></table>|This page asks for the token, which takes JavaScript"
        );
    }

    #[test]
    fn template_has_no_other_braces_and_every_place_is_known() {
        let template = include_str!("index.html");
        let names: Vec<&str> = template
            .split('{')
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap())
            .collect();
        assert_eq!(template.matches('}').count(), names.len());
        let status = json!({"version": "1", "state": "ready", "viewers": 1, "shards": [{}]});
        let one = || json!([{"text": "a"}]);
        let seen = Seen {
            status,
            channels: one(),
            viewers: one(),
            events: one(),
        };
        for name in names {
            assert_ne!(place(name, Some(&seen)), "", "{name}");
        }
    }
}
