//! The names that tests and server share: metrics and the values of their labels. (pure)
//!
//! A test never spells one of them itself, so that a renamed reason is changed in one line.

/// `viewer_ends_total{reason}`.
pub(crate) mod ends {
    pub(crate) const ALL: &[&str] = &[
        AT_LIMIT,
        BITRATE,
        BY_OPERATOR,
        CHANNEL_REMOVED,
        VIEWER_CLOSED,
        DRAIN,
        "fault",
        "flood",
        PEER_LOST,
        REPLACED,
        REVOKED,
        STALLED,
        TOO_SLOW,
        UPSTREAM_LOST,
    ];
    pub(crate) const AT_LIMIT: &str = "at_limit";
    pub(crate) const BITRATE: &str = "bitrate";
    pub(crate) const BY_OPERATOR: &str = "by_operator";
    pub(crate) const CHANNEL_REMOVED: &str = "channel_removed";
    pub(crate) const VIEWER_CLOSED: &str = "viewer_closed";
    pub(crate) const DRAIN: &str = "drain";
    pub(crate) const PEER_LOST: &str = "peer_lost";
    pub(crate) const REPLACED: &str = "replaced";
    pub(crate) const REVOKED: &str = "revoked";
    pub(crate) const STALLED: &str = "stalled";
    pub(crate) const TOO_SLOW: &str = "too_slow";
    pub(crate) const UPSTREAM_LOST: &str = "upstream_lost";
}

/// `viewer_rejects_total{reason}`.
pub(crate) mod rejects {
    pub(crate) const AT_LIMIT: &str = "at_limit";
    pub(crate) const BAD_CREDENTIALS: &str = "bad_credentials";
    pub(crate) const BUSY: &str = "busy";
    pub(crate) const DRAINING: &str = "draining";
    pub(crate) const FORBIDDEN: &str = "forbidden";
    pub(crate) const FULL: &str = "full";
    pub(crate) const NO_MEDIA: &str = "no_media";
    pub(crate) const PROXY_HEADER: &str = "proxy_header";
    pub(crate) const THROTTLED: &str = "throttled";
    pub(crate) const TOO_SLOW: &str = "too_slow";
    pub(crate) const UPSTREAM_REFUSED: &str = "upstream_refused";
}

/// Names without the prefix.
pub(crate) mod metric {
    pub(crate) const ACCEPT_ERRORS: &str = "accept_errors_total";
    pub(crate) const CONNECTS: &str = "upstream_connects_total";
    pub(crate) const CONTINUITY_ERRORS: &str = "ts_continuity_errors_total";
    pub(crate) const CONTINUITY_ERRORS_OUT: &str = "ts_continuity_errors_out_total";
    pub(crate) const ENDS: &str = "viewer_ends_total";
    pub(crate) const ENGINE_SESSIONS: &str = "engine_sessions";
    pub(crate) const GUIDE_PROGRAMMES: &str = "guide_programmes";
    pub(crate) const GUIDE_REFRESHES: &str = "guide_refreshes_total";
    pub(crate) const MEDIA_INFO: &str = "media_info";
    pub(crate) const PLAYLIST_CHANNELS: &str = "playlist_channels";
    pub(crate) const PLAYLIST_REFRESHES: &str = "playlist_refreshes_total";
    pub(crate) const PROVIDER_CONNECTIONS: &str = "provider_connections";
    pub(crate) const PROVIDER_CONNECTIONS_MAX: &str = "provider_connections_max";
    pub(crate) const REJECTS: &str = "viewer_rejects_total";
    pub(crate) const RELOADS: &str = "config_reloads_total";
    pub(crate) const RESYNCS: &str = "ts_resyncs_total";
    pub(crate) const RING_MEDIA: &str = "ring_media_seconds";
    pub(crate) const SEND_CALLS: &str = "send_calls_total";
    pub(crate) const SENT_BYTES: &str = "viewer_sent_bytes_total";
    pub(crate) const SESSIONS: &str = "viewer_sessions_total";
    pub(crate) const SKIPPED_BYTES: &str = "viewer_skipped_bytes_total";
    pub(crate) const SKIPS: &str = "viewer_skips_total";
    pub(crate) const STALLS: &str = "upstream_stalls_total";
    pub(crate) const SWITCHES: &str = "upstream_switches_total";
    pub(crate) const UPSTREAM_IN_USE: &str = "upstream_in_use";
    pub(crate) const VIDEO_HEIGHT: &str = "video_height_pixels";
    pub(crate) const VIDEO_WIDTH: &str = "video_width_pixels";
    pub(crate) const VIEWERS: &str = "viewers";
}
