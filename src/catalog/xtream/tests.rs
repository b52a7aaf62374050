//! What `xtream.rs` promises, tried field by field and type by type.

use serde_json::{Value, json};

use super::*;
use crate::catalog::Standing;
use crate::catalog::base::Base;
use crate::catalog::tests::{asker, channels, written};
use crate::guide::tests::{guide_of, programme};

const NOW_S: u64 = 1_700_000_000;

fn ask(action: &str, category_id: &str) -> Value {
    ask_of(
        &Guide::default(),
        &[("action", action), ("category_id", category_id)],
    )
}

fn ask_of(programmes: &Guide, form: &[(&str, &str)]) -> Value {
    let channels = channels();
    let action = Action::read(|name| {
        let mut named = form.iter().filter(|(it, _)| *it == name);
        let value = named.next().map_or("", |(_, value)| *value);
        Cow::Owned(value.to_owned())
    });
    let listing = player(&channels, action, &asker(), programmes, NOW_S);
    assert_eq!(listing.content_type, "application/json; charset=utf-8");
    serde_json::from_str(&written(&listing)).unwrap()
}

#[test]
fn a_login_has_every_field_in_the_type_of_a_panel() {
    assert_eq!(
        ask("", ""),
        json!({
            "user_info": {
                "username": "anna",
                "password": "a+b:c",
                "message": "",
                "auth": 1,
                "status": "Active",
                "exp_date": "2147483647",
                "is_trial": "0",
                "active_cons": "0",
                "created_at": "1577836800",
                "max_connections": "5",
                "allowed_output_formats": ["ts"],
            },
            "server_info": {
                "url": "tv.example",
                "port": "8000",
                "https_port": "443",
                "server_protocol": "http",
                "rtmp_port": "1935",
                "timezone": "UTC",
                "timestamp_now": 1_700_000_000,
                "time_now": "2023-11-14 22:13:20",
                "process": true,
            },
        })
    );
}

#[test]
fn a_login_over_tls_names_the_port_of_tls() {
    let base = Base::new(true, "tv.example:8443");
    let asker = Asker::new(base, None, Standing::unlimited(1));
    let login: Value = serde_json::to_value(Login::new(&asker, NOW_S)).unwrap();
    let server = &login["server_info"];
    assert_eq!(
        (
            &server["server_protocol"],
            &server["port"],
            &server["https_port"]
        ),
        (&json!("https"), &json!("80"), &json!("8443"))
    );
}

#[test]
fn an_unknown_action_is_a_login() {
    for action in ["get_profile", "get_server_info", "nonsense"] {
        assert_eq!(ask(action, ""), ask("", ""), "{action}");
    }
}

#[test]
fn categories_have_their_number_as_text() {
    assert_eq!(
        ask("get_live_categories", ""),
        json!([
            {"category_id": "1", "category_name": "World; News", "parent_id": 0},
            {"category_id": "2", "category_name": "Channels", "parent_id": 0},
        ])
    );
}

#[test]
fn a_channel_has_every_field_in_the_type_of_a_panel() {
    let channels = ask("get_live_streams", "");
    assert_eq!(
        channels[0],
        json!({
            "num": 7,
            "name": "News, \"24\" & more",
            "stream_type": "live",
            "stream_id": 1,
            "stream_icon": "http://192.0.2.1/n.png?a=1&b=2",
            "epg_channel_id": "news.example",
            "added": "1577836800",
            "is_adult": "0",
            "category_id": "1",
            "category_ids": [1],
            "custom_sid": "",
            "tv_archive": 0,
            "direct_source": "",
            "tv_archive_duration": 0,
            "thumbnail": "",
        })
    );
    assert_eq!(channels[1]["stream_icon"], "");
    assert_eq!(channels[1]["epg_channel_id"], "2");
    assert_eq!(channels.as_array().unwrap().len(), 3);
}

#[test]
fn a_category_lists_its_own_channels() {
    let ids = |category: &str| -> Vec<u64> {
        let listed = ask("get_live_streams", category);
        let listed = listed.as_array().unwrap();
        listed
            .iter()
            .map(|it| it["stream_id"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ids("1"), [1, 3]);
    assert_eq!(ids("2"), [2]);
    for category in ["0", "3", "-1", "1.0", "all"] {
        assert_eq!(ids(category), [0; 0], "{category}");
    }
}

#[test]
fn there_are_no_programmes_films_and_series() {
    for action in ["get_short_epg", "get_simple_data_table"] {
        assert_eq!(ask(action, ""), json!({"epg_listings": []}));
    }
    for action in [
        "get_vod_categories",
        "get_vod_streams",
        "get_series_categories",
        "get_series",
    ] {
        assert_eq!(ask(action, ""), json!([]), "{action}");
    }
    assert_eq!(
        ask("get_vod_info", ""),
        json!({"info": [], "movie_data": []})
    );
    assert_eq!(
        ask("get_series_info", ""),
        json!({"seasons": [], "info": [], "episodes": []})
    );
}

#[test]
fn a_panel_answers_with_everything_at_once() {
    let channels = channels();
    let panel: Value = serde_json::from_str(&written(&panel(&channels, &asker(), NOW_S))).unwrap();
    assert_eq!(panel["user_info"], ask("", "")["user_info"]);
    assert_eq!(panel["server_info"], ask("", "")["server_info"]);
    assert_eq!(
        panel["categories"],
        json!({"movie": [], "live": ask("get_live_categories", "")})
    );
    let available = panel["available_channels"].as_object().unwrap();
    let mut ids: Vec<_> = available.keys().collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3"]);
    let mut expected = ask("get_live_streams", "")[2].clone();
    expected["category_name"] = json!("World; News");
    expected["series_no"] = Value::Null;
    expected["container_extension"] = Value::Null;
    assert_eq!(available["3"], expected);
}

#[test]
fn a_panel_without_channels_is_still_an_object() {
    let panel: Value = serde_json::from_str(&written(&panel(&[], &asker(), NOW_S))).unwrap();
    assert_eq!(panel["available_channels"], json!({}));
}

#[test]
fn a_wrong_login_says_so_in_the_body() {
    assert_eq!(written(&wrong_login()), r#"{"user_info":{"auth":0}}"#);
}

#[test]
fn a_time_is_a_date_of_the_calendar() {
    for (now_s, text) in [
        (0, "1970-01-01 00:00:00"),
        (951_782_399, "2000-02-28 23:59:59"),
        (951_782_400, "2000-02-29 00:00:00"),
        (1_704_067_199, "2023-12-31 23:59:59"),
        (4_107_542_399, "2100-02-28 23:59:59"),
        (4_107_542_400, "2100-03-01 00:00:00"),
        (u64::MAX, "9999-12-31 23:59:59"),
    ] {
        assert_eq!(date_and_time(now_s), text);
    }
}

#[test]
fn login_tells_how_the_account_stands() {
    let standing = Standing {
        is_expired: true,
        expires_s: Some(1_700_000_000),
        viewers: 2,
        viewers_max: 3,
    };
    let asker = Asker::new(Base::new(false, "tv.example"), None, standing);
    let login = player(&[], Action::Login, &asker, &Guide::default(), 0);
    let login: Value = serde_json::from_str(&written(&login)).unwrap();
    let user = &login["user_info"];
    assert_eq!(user["status"], "Expired");
    assert_eq!(user["exp_date"], "1700000000");
    assert_eq!(user["active_cons"], "2");
    assert_eq!(user["max_connections"], "3");
}

#[test]
fn programmes_are_those_of_the_channel_that_is_asked_for() {
    let content = |title: &str| format!("<title>{title}</title>");
    let elements = [
        "<channel id=\"2.x\"><display-name>two</display-name></channel>".to_owned(),
        programme("news.example", NOW_S - 60, 120, &content("A")),
        programme("2.x", NOW_S - 60, 120, &content("B")),
    ];
    let elements: Vec<&str> = elements.iter().map(|it| &**it).collect();
    let programmes = guide_of(&channels(), &elements);
    let titles = |action: &str, stream_id: &str| -> Vec<Value> {
        let told = ask_of(&programmes, &[("action", action), ("stream_id", stream_id)]);
        let listed = told["epg_listings"].as_array().unwrap();
        listed.iter().map(|it| it["title"].clone()).collect()
    };
    for action in ["get_short_epg", "get_simple_data_table"] {
        assert_eq!(titles(action, "1"), ["QQ=="]);
        assert_eq!(titles(action, "2"), ["Qg=="]);
        for other in ["3", "4", "", "x", "-1"] {
            assert_eq!(titles(action, other), [""; 0], "{other}");
        }
    }
}
