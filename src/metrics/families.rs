//! Every metric's name, type and help text. (pure)

/// A metric: all samples of one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name without the prefix `corecast_`.
    pub name: &'static str,
    /// Prometheus type.
    pub kind: Kind,
    /// Help text, one line.
    pub help: &'static str,
    /// Name of the label that carries a sample's cause, for those that have one.
    pub cause: &'static str,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times by bucket.
    Histogram,
}

/// Declares the metrics, and [`ALL`] in the same order.
macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal $(by $cause:literal)?: $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                cause: concat!($($cause)?),
            };
        )*

        /// Every metric, in the order it is written.
        pub static ALL: &[&Family] = &[$(&$constant,)*];
    };
}

families! {
    ACCEPT_ERRORS = Counter "accept_errors_total": "Errors of accept; none of them ends a listener.";
    BUILD_INFO = Gauge "build_info" by "version": "Always 1; the version is the label.";
    CHUNKS = Counter "chunks_total": "Chunks published; the null packets of a silence are none.";
    CONFIG_LAST_RELOAD = Gauge "config_last_reload_seconds": "When the configuration in use was read, in seconds since 1970.";
    CONFIG_RELOADS = Counter "config_reloads_total" by "result": "Times that the configuration was read again.";
    ENGINE_SESSIONS = Gauge "engine_sessions": "Playback sessions open on the AceStream engine.";
    FANOUT_DELAY = Histogram "fanout_delay_seconds": "Time from a chunk's completion to its last byte being handed to the kernel for a viewer.";
    FEED_LOST_CHUNKS = Counter "feed_lost_chunks_total": "Chunks that left the ring before a shard was told of them.";
    GUIDE_PROGRAMMES = Gauge "guide_programmes": "Programmes in the guide that is served.";
    GUIDE_REFRESHES = Counter "guide_refreshes_total" by "result": "Looks at program guides.";
    JOIN_INTERVAL = Gauge "join_interval_seconds": "Media time between the last two join points of a configured channel's video.";
    LOG_DROPPED_LINES = Counter "log_dropped_lines_total": "Log lines lost because the log could not take them.";
    MEDIA_INFO = Gauge "media_info": "Always 1; how a configured channel's media is coded stands in the labels.";
    PLAYLIST_CHANNELS = Gauge "playlist_channels": "Channels that come from playlists.";
    PLAYLIST_REFRESHES = Counter "playlist_refreshes_total" by "result": "Looks at playlists.";
    PLAIN_SEGMENTS = Counter "plain_segments_total": "Segments of memory for which the system gave no file, so that their bytes are copied when they are sent.";
    PROVIDER_CONNECTIONS = Gauge "provider_connections": "Connections, or engine sessions, that count against a provider's limit now.";
    PROVIDER_CONNECTIONS_MAX = Gauge "provider_connections_max": "How many the provider allows; only those with a limit are told of.";
    RING_BYTES = Gauge "ring_bytes": "Bytes of history that the rings hold.";
    RING_MEDIA = Gauge "ring_media_seconds": "Media of history that the home shard holds.";
    SEND_CALLS = Counter "send_calls_total": "Calls that handed viewers bytes.";
    SHARD_BUSY = Counter "shard_busy_seconds_total": "CPU time that the shard's thread has used.";
    SHARD_STALE = Gauge "shard_stale": "1 when the shard did not answer the scrape in time and its last answer is shown.";
    START_TIME = Gauge "start_time_seconds": "When the process started, in seconds since 1970.";
    TS_BITRATE = Gauge "ts_bitrate_bits_per_second": "Bit rate of the media by its own clock.";
    TS_CONTINUITY_ERRORS = Counter "ts_continuity_errors_total": "Continuity jumps in what upstreams sent.";
    TS_CONTINUITY_ERRORS_OUT = Counter "ts_continuity_errors_out_total": "Continuity jumps in what was published that were not announced to viewers.";
    TS_RESYNCS = Counter "ts_resyncs_total": "Times that packet boundaries were lost and found again.";
    UPSTREAM_CONNECTS = Counter "upstream_connects_total" by "result": "Tries to reach an upstream.";
    UPSTREAM_IN_USE = Gauge "upstream_in_use": "Which upstream of a configured channel's list delivers now, counted from 1; 0 while none does.";
    UPSTREAM_RECEIVED_BYTES = Counter "upstream_received_bytes_total": "Bytes that upstreams sent.";
    UPSTREAM_STALLS = Counter "upstream_stalls_total": "Times that an upstream fell silent or its media stood still.";
    UPSTREAM_SWITCHES = Counter "upstream_switches_total": "Changes to another upstream, or to a new fetch of the same.";
    UPSTREAM_UP = Gauge "upstream_up": "Channels whose upstream delivers now.";
    VIDEO_FRAME_RATE = Gauge "video_frames_per_second": "Frames of a configured channel's video in a second, where its parameter set tells.";
    VIDEO_HEIGHT = Gauge "video_height_pixels": "Height of a configured channel's video.";
    VIDEO_WIDTH = Gauge "video_width_pixels": "Width of a configured channel's video.";
    VIEWER_ENDS = Counter "viewer_ends_total" by "reason": "Viewer sessions that ended.";
    VIEWER_FIRST_BYTE = Histogram "viewer_first_byte_seconds": "Time from a request's arrival to its first media byte being handed to the kernel.";
    VIEWER_LAG = Histogram "viewer_lag_seconds": "Media time between what a viewer is about to be sent and the newest chunk.";
    VIEWER_REJECTS = Counter "viewer_rejects_total" by "reason": "Requests that were not given a stream.";
    VIEWER_SENT_BYTES = Counter "viewer_sent_bytes_total": "Bytes handed to the kernel for viewers.";
    VIEWER_SESSIONS = Counter "viewer_sessions_total": "Viewer sessions begun.";
    VIEWER_SKIPPED_BYTES = Counter "viewer_skipped_bytes_total": "Bytes that viewers were not sent because they skipped.";
    VIEWER_SKIPS = Counter "viewer_skips_total": "Skips of viewers that had left the ring.";
    VIEWERS = Gauge "viewers": "Viewers now.";
}
