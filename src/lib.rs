//! corecast: one fetch of each live-TV channel, any number of viewers.
//!
//! This crate is the server behind the `corecast` command. The modules stand in the order in which a byte travels:
//!
//! 1. [`upstream`]: one task per channel, on the channel's home shard, reads an AceStream engine, an HTTP server or the
//!    built-in test pattern.
//! 2. [`ts`]: finds packets in the bytes, cuts them into chunks of at most 174 packets, knows where a decoder can start.
//! 3. [`segment`]: the memory that chunks lie in: written once, never changed, read from every shard.
//! 4. [`channel`]: numbers the chunks, keeps the newest in rings, knows who follows and when a channel ends.
//! 5. [`shard`]: one pinned executor per CPU; chunks reach the other shards as descriptors over a feed.
//! 6. [`viewer`]: a cursor and a socket: sends everything between the two, skips or drops who cannot keep up.
//!
//! Around that path: [`http`] turns a connection into a viewer, [`account`] says who may watch, [`catalog`] tells
//! apps what there is and [`guide`] what is on, [`playlist`] makes channels of providers' lists, [`admin`] shows [`metrics`],
//! [`config`] and [`cli`] say what to do, [`preflight`] asks the system for what it takes, [`supervisor`] tells who started
//! the process how it stands, [`calendar`], [`clock`] and [`log`] serve all.
//!
//! # What holds everywhere
//!
//! A shard shares nothing with another but messages. Nobody waits for a viewer. Every queue is bounded and says what
//! happens when it is full. Only published bytes are sent, and published bytes never change. `unsafe` stands in
//! `segment` and `shard::fd` alone.

pub mod upstream;

pub mod ts;

pub mod segment;

pub mod channel;

pub mod shard;

pub mod viewer;

pub mod http;

pub mod account;

pub mod catalog;

pub mod guide;

pub mod playlist;

pub mod admin;

pub mod metrics;

pub mod config;

pub mod cli;

pub mod preflight;

pub mod supervisor;

pub mod calendar;
pub mod clock;
pub mod log;
