//! The tool at its limit: what it takes itself to watch as many viewers as a machine can have.

use crate::tool::{Reference, Source, Viewers};

#[test]
fn two_thousand_viewers_cost_the_tool_less_than_the_server() {
    // Pieces that are exactly what the reference sends at once.
    let source = Source::start(&["--kbit-per-s", "8000", "--piece-bytes", "32712"]);
    let reference = Reference::start(source.address);
    let (pid, address) = (reference.pid().to_string(), source.address.to_string());
    let crowd = ["-n", "2000", "--ramp-per-s", "1000"];
    let times = ["--settle-ms", "1500", "--window-ms", "3000"];
    let sides = ["--server-pid", &pid, "--source", &address];
    let path = "/1.ts";
    let viewers = Viewers::of(
        reference.address,
        path,
        &[&crowd[..], &times, &sides].concat(),
    );
    viewers.assert_sound();
    let (tool_s, server_s) = (
        viewers.figure("/tool/cpu_s"),
        viewers.figure("/cpu/server_s"),
    );
    assert!(
        tool_s < server_s,
        "the tool took {tool_s:.2} s, the server {server_s:.2} s: {viewers:?}"
    );
    assert!(viewers.figure("/machine_use/busy_s") > server_s * 0.8);
    assert!(viewers.number("/bytes") > 2000 * 2_500_000, "{viewers:?}");
}
