//! What an upstream may be asked to do wrong, as it is written on the command line or in a request. (pure)
//!
//! Doing it belongs in `flow.rs`. The rule: every fault names its kind and its amounts with units; what is not understood
//! is refused, never ignored.

use std::str::FromStr;
use std::time::Duration;

/// One thing that goes wrong with the media of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `burst:media_ms=60000`: that much media at once, then silence until the broadcast has caught up.
    Burst { ahead: Duration },
    /// `cut:after_ms=5000`: the connection is closed within a packet.
    Cut { after: Duration },
    /// `junk:every_packets=1000`: bytes that are no packet, again and again.
    Junk { every: u64 },
    /// `omit:every_packets=1000`: a packet is left out, again and again.
    Omit { every: u64 },
    /// `overlap:media_ms=3000`: connections after the first of a channel begin with media that was on air before.
    Overlap { behind: Duration },
    /// `reset:after_ms=5000`: the connection is reset within a packet.
    Reset { after: Duration },
    /// `stall:after_ms=5000,for_ms=3000`: silence, then everything withheld at once; without `for_ms` for ever.
    Stall {
        after: Duration,
        length: Option<Duration>,
    },
}

impl FromStr for Fault {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        let (kind, amounts) = text.split_once(':').unwrap_or((text, ""));
        let mut amounts = Amounts::read(amounts)?;
        let fault = match kind {
            "burst" => Self::Burst {
                ahead: amounts.time("media_ms")?,
            },
            "cut" => Self::Cut {
                after: amounts.time("after_ms")?,
            },
            "junk" => Self::Junk {
                every: amounts.count("every_packets")?,
            },
            "omit" => Self::Omit {
                every: amounts.count("every_packets")?,
            },
            "overlap" => Self::Overlap {
                behind: amounts.time("media_ms")?,
            },
            "reset" => Self::Reset {
                after: amounts.time("after_ms")?,
            },
            "stall" => Self::Stall {
                after: amounts.time("after_ms")?,
                length: amounts.take("for_ms").map(Duration::from_millis),
            },
            _ => return Err(NotAFault::Kind(kind.to_owned())),
        };
        match amounts.0.pop() {
            Some((name, _)) => Err(NotAFault::Unknown(name)),
            None => Ok(fault),
        }
    }
}

/// Why a text is no fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAFault {
    #[error("amount {0:?} is not name=number, with a number from 0 to 18446744073709551615")]
    Amount(String),
    #[error("fault {0:?} is unknown, allowed are burst cut junk omit overlap reset stall")]
    Kind(String),
    #[error("amount {0} is missing")]
    Missing(&'static str),
    #[error("amount {0} does not belong to this fault")]
    Unknown(String),
    #[error("amount {0} is 0, at least 1 is wanted")]
    Zero(&'static str),
}

/// The `name=number` pairs behind a kind.
struct Amounts(Vec<(String, u64)>);

impl Amounts {
    fn read(text: &str) -> Result<Self, NotAFault> {
        let pairs = text.split(',').filter(|pair| !pair.is_empty());
        let amounts = pairs.map(|pair| {
            let (name, number) = pair
                .split_once('=')
                .ok_or_else(|| NotAFault::Amount(pair.to_owned()))?;
            match number.parse() {
                Ok(number) => Ok((name.to_owned(), number)),
                Err(_) => Err(NotAFault::Amount(pair.to_owned())),
            }
        });
        Ok(Self(amounts.collect::<Result<_, _>>()?))
    }

    fn take(&mut self, name: &str) -> Option<u64> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn time(&mut self, name: &'static str) -> Result<Duration, NotAFault> {
        let amount = self.take(name).ok_or(NotAFault::Missing(name))?;
        Ok(Duration::from_millis(amount))
    }

    fn count(&mut self, name: &'static str) -> Result<u64, NotAFault> {
        match self.take(name).ok_or(NotAFault::Missing(name))? {
            0 => Err(NotAFault::Zero(name)),
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_with_its_amounts() {
        let second = Duration::from_secs(1);
        let cases = [
            ("burst:media_ms=1000", Fault::Burst { ahead: second }),
            ("cut:after_ms=1000", Fault::Cut { after: second }),
            ("junk:every_packets=7", Fault::Junk { every: 7 }),
            ("omit:every_packets=7", Fault::Omit { every: 7 }),
            ("overlap:media_ms=1000", Fault::Overlap { behind: second }),
            ("reset:after_ms=1000", Fault::Reset { after: second }),
            (
                "stall:for_ms=1000,after_ms=0",
                Fault::Stall {
                    after: Duration::ZERO,
                    length: Some(second),
                },
            ),
            (
                "stall:after_ms=1000",
                Fault::Stall {
                    after: second,
                    length: None,
                },
            ),
        ];
        for (text, fault) in cases {
            assert_eq!(text.parse(), Ok(fault), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let cases = [
            ("explode", NotAFault::Kind("explode".into())),
            ("cut", NotAFault::Missing("after_ms")),
            (
                "cut:after_ms=soon",
                NotAFault::Amount("after_ms=soon".into()),
            ),
            ("cut:after_ms", NotAFault::Amount("after_ms".into())),
            (
                "cut:after_ms=1,for_ms=2",
                NotAFault::Unknown("for_ms".into()),
            ),
            ("junk:every_packets=0", NotAFault::Zero("every_packets")),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Fault>(), Err(error), "{text}");
        }
    }
}
