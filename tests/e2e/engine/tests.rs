//! What `engine.rs` promises, tried.

use super::*;
use crate::http;
use crate::viewer::Viewer;

#[test]
fn session_lives_from_start_to_stop() {
    let engine = Engine::live(Source::new(1, 1_000));
    let id = "0123456789abcdef0123456789abcdef01234567";
    let reply = http::get(
        engine.double.address(),
        &format!("/ace/getstream?content_id={id}&format=json&pid=a1"),
    );
    let answer: serde_json::Value = serde_json::from_str(reply.text()).unwrap();
    let of = |name: &str| {
        answer["response"][name]
            .as_str()
            .unwrap()
            .replace("http://127.0.0.1:6878", "")
    };
    assert_eq!(answer["response"]["infohash"], infohash_of(id));
    let viewer = Viewer::of(engine.double.address(), &of("playback_url"));
    viewer.wait("media", |state| state.seen().packets > 50);
    assert_eq!(
        (engine.open_sessions(), engine.readers(), engine.playbacks()),
        (1, 1, 1)
    );
    let status: serde_json::Value =
        serde_json::from_str(http::get(engine.double.address(), &of("stat_url")).text()).unwrap();
    assert_eq!(status["response"]["status"], "dl");
    drop(viewer);
    let stop = format!("{}?method=stop", of("command_url"));
    assert!(
        http::get(engine.double.address(), &stop)
            .text()
            .contains("ok")
    );
    assert!(
        http::get(engine.double.address(), &stop)
            .text()
            .contains("unknown")
    );
    engine.wait_idle(2_000);
    assert_eq!((engine.stops(), engine.starts().len()), (1, 1));
    assert_eq!(
        http::get(engine.double.address(), &of("playback_url")).status(),
        403
    );
}

#[test]
fn second_reader_and_repeated_player_id_are_complaints() {
    let engine = Engine::live(Source::new(1, 1_000));
    let start = |pid: &str| {
        let reply = http::get(
            engine.double.address(),
            &format!("/ace/getstream?infohash=aa&format=json&pid={pid}"),
        );
        let answer: serde_json::Value = serde_json::from_str(reply.text()).unwrap();
        answer["response"]["playback_url"]
            .as_str()
            .unwrap()
            .replace("http://127.0.0.1:6878", "")
    };
    let viewers = [start("p1"), start("p1")].map(|path| Viewer::of(engine.double.address(), &path));
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 5));
    let complaints = std::mem::take(&mut engine.shared.book.lock().unwrap().complaints);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
}
