//! corecast: one fetch of each live-TV channel, any number of viewers.
//!
//! The modules stand in the order in which a byte travels.

pub mod ts;
