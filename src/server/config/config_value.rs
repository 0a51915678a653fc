//! Values of settings as people write them: the same in the configuration file, in the environment and
//! in a flag. `60` and `"60s"`, `16777216` and `"16MiB"`, one address and a list of them.

use crate::config::amount::Amount;
use crate::config::product::Product;
use crate::limits::MEMORY_HIGH_WATERMARK_UNITLESS_BYTES_MIN;
use forebay_engine::limits::LAG_LINE_PERCENT;
use forebay_lag::limits::{HISTORY_DAYS, HISTORY_DAYS_MIN};
use forebay_wire::limits::MESSAGE_SIZE_MAX;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

/// Why a text is no value of a setting: what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct ValueError(pub(super) &'static str);

/// A value that is read from a text, or from a list of texts.
pub(super) trait Value: Sized {
    /// In words of the configuration.
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    fn from_list(_items: Vec<String>) -> Option<Self> {
        None
    }
}

/// Reads a value from a TOML value of whatever type.
pub(super) struct ValueVisitor<T>(pub(super) PhantomData<T>);

impl<T: Value> ValueVisitor<T> {
    fn text<E: serde::de::Error>(text: &str) -> Result<T, E> {
        let refused =
            || E::custom(format_args!("{text:?} can't be used here; expected {}", T::EXPECTED));
        T::from_text(text.trim()).ok_or_else(refused)
    }
}

impl<'de, T: Value> Visitor<'de> for ValueVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T, E> {
        Self::text(if value { "true" } else { "false" })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<T, E> {
        Self::text(&value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<T, E> {
        Self::text(&value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<T, E> {
        Self::text(&value.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<T, E> {
        Self::text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut items = Vec::new();
        while let Some(Text(item)) = list.next_element()? {
            items.push(item);
        }
        let refused = || {
            A::Error::custom(format_args!("a list can't be used here; expected {}", T::EXPECTED))
        };
        T::from_list(items).ok_or_else(refused)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Err(A::Error::custom(format_args!("a table can't be used here; expected {}", T::EXPECTED)))
    }
}

/// Lets types be read from the file, and from flags and the environment.
macro_rules! read_everywhere {
    ($($name:ty),* $(,)?) => {$(
        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                Self::from_text(text.trim()).ok_or(ValueError(Self::EXPECTED))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ValueVisitor(PhantomData))
            }
        }
    )*};
}

pub(super) use read_everywhere;

read_everywhere!(
    Text,
    Product,
    FilePath,
    Address,
    Addresses,
    Names,
    LoopbackUsers,
    Flag,
    Count,
    ConnectionCount,
    Size,
    MessageSize,
    MemoryWatermark,
    DeliveryLimit,
    LinePercent,
    LearnDays,
    HistoryDays,
);

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl Value for Text {
    const EXPECTED: &'static str = "a text in quotes";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl Value for Product {
    const EXPECTED: &'static str =
        "a name, or a name and a version of dotted numbers, as \"RabbitMQ 3.13.0\"";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// The path of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl Value for FilePath {
    const EXPECTED: &'static str = "a path in quotes";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(PathBuf::from(text)))
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub String);

impl Value for Address {
    const EXPECTED: &'static str = "HOST:PORT, as 127.0.0.1:15672";

    fn from_text(text: &str) -> Option<Self> {
        text.contains(':').then(|| Self(text.to_owned()))
    }
}

/// Addresses to listen on; may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

impl Value for Addresses {
    const EXPECTED: &'static str =
        "HOST:PORT, as 127.0.0.1:5672, or several of them, separated by commas or as a list";

    fn from_text(text: &str) -> Option<Self> {
        let listed = text.split(',').map(str::trim).filter(|address| !address.is_empty());
        Self::from_list(listed.map(str::to_owned).collect())
    }

    fn from_list(items: Vec<String>) -> Option<Self> {
        items.iter().all(|address| address.contains(':')).then_some(Self(items))
    }
}

/// Names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Value for Names {
    const EXPECTED: &'static str = "names, separated by commas or as a list";

    fn from_text(text: &str) -> Option<Self> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Some(Self(names.map(str::to_owned).collect()))
    }

    fn from_list(items: Vec<String>) -> Option<Self> {
        Some(Self(items))
    }
}

/// Names of users; `none` as in RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackUsers(pub Vec<String>);

impl Value for LoopbackUsers {
    const EXPECTED: &'static str = "names, separated by commas or as a list, or none";

    fn from_text(text: &str) -> Option<Self> {
        let names = if text == "none" { "" } else { text };
        Names::from_text(names).map(|Names(names)| Self(names))
    }

    fn from_list(items: Vec<String>) -> Option<Self> {
        Some(Self(items))
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

impl Value for Flag {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(Self(true)),
            "false" | "no" | "off" | "0" => Some(Self(false)),
            _ => None,
        }
    }
}

/// A number of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize);

impl Value for Count {
    const EXPECTED: &'static str = "a whole number from 0 on";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// A number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCount(pub usize);

impl Value for ConnectionCount {
    const EXPECTED: &'static str = "a whole number from 1 on; with 0 nobody could connect";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|count| *count > 0).map(Self)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Value for Size {
    const EXPECTED: &'static str = "bytes, with or without a unit, as 50MB or 1GiB; 0 turns it off";

    fn from_text(text: &str) -> Option<Self> {
        Amount::parse_bytes(text).map(Self)
    }
}

/// Bytes of a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSize(pub u64);

impl Value for MessageSize {
    const EXPECTED: &'static str = "bytes from 1 to 134217728, with or without a unit, as 16MiB";

    fn from_text(text: &str) -> Option<Self> {
        let size = Amount::parse_bytes(text)?;
        (1..=MESSAGE_SIZE_MAX).contains(&size).then_some(Self(size))
    }
}

/// Memory above which publishers wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryWatermark(pub Amount);

impl Value for MemoryWatermark {
    const EXPECTED: &'static str = "a share of the memory that may be used, above 0 and up to 1, as \
                                    0.6, or an amount with a unit, as 2GB";

    fn from_text(text: &str) -> Option<Self> {
        let amount = Amount::parse(text)?;
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        let makes_sense = match amount {
            Amount::Share(share) => share > 0.0,
            // 60 was meant in percent, 512 in megabytes: as bytes they block publishers for ever.
            Amount::Bytes(bytes) => {
                bytes >= MEMORY_HIGH_WATERMARK_UNITLESS_BYTES_MIN || (has_unit && bytes > 0)
            }
        };
        makes_sense.then_some(Self(amount))
    }
}

/// The alert line of a queue's lag, in hundredths of its normal peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePercent(pub u32);

impl Value for LinePercent {
    const EXPECTED: &'static str =
        "hundredths of the normal peak from 100 to 100000, as 200 for twice as much";

    fn from_text(text: &str) -> Option<Self> {
        let percent: u32 = text.parse().ok()?;
        LAG_LINE_PERCENT.contains(&percent.into()).then_some(Self(percent))
    }
}

/// Days that a new level of lag must hold until it is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnDays(pub u16);

impl Value for LearnDays {
    const EXPECTED: &'static str = "days from 1 to 35";

    fn from_text(text: &str) -> Option<Self> {
        days(text, 1).map(Self)
    }
}

/// Days of history that are kept of each queue's lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryDays(pub u16);

impl Value for HistoryDays {
    const EXPECTED: &'static str = "days from 7 to 35";

    fn from_text(text: &str) -> Option<Self> {
        days(text, HISTORY_DAYS_MIN).map(Self)
    }
}

fn days(text: &str, min: usize) -> Option<u16> {
    text.parse().ok().filter(|days| (min..=HISTORY_DAYS).contains(&usize::from(*days)))
}

/// A number of failures, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryLimit(pub Option<u32>);

impl Value for DeliveryLimit {
    const EXPECTED: &'static str = "a number of failures from 1 on, or -1 for no limit";

    fn from_text(text: &str) -> Option<Self> {
        if text == "-1" {
            return Some(Self(None));
        }
        text.parse().ok().filter(|limit| *limit > 0).map(|limit| Self(Some(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::config_log::LogFilter;
    use crate::config::config_time::{HeartbeatSeconds, Milliseconds, Seconds};

    #[derive(Debug, Deserialize)]
    struct Line<T> {
        value: T,
    }

    fn read<T: for<'de> Deserialize<'de>>(value: &str) -> Result<T, String> {
        let line = toml::from_str::<Line<T>>(&format!("value = {value}"));
        line.map(|line| line.value).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_everybody_writes_first_is_taken() {
        let one = Addresses(vec!["127.0.0.1:5672".to_owned()]);
        assert_eq!(read::<Addresses>("\"127.0.0.1:5672\""), Ok(one.clone()));
        assert_eq!(read::<Addresses>("[\"127.0.0.1:5672\"]"), Ok(one));
        assert_eq!(read::<Addresses>("\"[::1]:1, a:2\"").unwrap().0.len(), 2);
        assert_eq!(read::<Addresses>("[]").unwrap().0.len(), 0);
        for size in ["16777216", "\"16MiB\"", "\"16777216\""] {
            assert_eq!(read(size), Ok(MessageSize(16 << 20)), "{size}");
        }
        for time in ["60", "\"60s\"", "\"1m\"", "\"60000ms\"", "\"60\""] {
            assert_eq!(read(time), Ok(HeartbeatSeconds(60)), "{time}");
            assert_eq!(read(time), Ok(Seconds(60)), "{time}");
        }
        assert_eq!(read("\"30m\""), Ok(Milliseconds(Some(1_800_000))));
        assert_eq!(read("-1"), Ok(Milliseconds(None)));
        for yes in ["true", "\"yes\"", "\"on\"", "1"] {
            assert_eq!(read(yes), Ok(Flag(true)), "{yes}");
        }
        assert_eq!(read("\"none\""), Ok(LoopbackUsers(Vec::new())));
        assert_eq!(read("\"warning\""), Ok(LogFilter("warn".to_owned())));
        let filter = LogFilter("info,forebay_server=debug".to_owned());
        assert_eq!(read("\"INFO, forebay_server=debug\""), Ok(filter));
    }

    #[test]
    fn errors_are_in_words_of_the_configuration() {
        let errors = [
            read::<HeartbeatSeconds>("\"60 apples\"").unwrap_err(),
            read::<HeartbeatSeconds>("70000").unwrap_err(),
            read::<HeartbeatSeconds>("-1").unwrap_err(),
            read::<HeartbeatSeconds>("[60]").unwrap_err(),
            read::<HeartbeatSeconds>("{ s = 60 }").unwrap_err(),
        ];
        for error in errors {
            assert!(error.contains("expected seconds from 0"), "{error}");
            assert!(!error.contains("u16") && !error.contains("invalid type"), "{error}");
        }
        let error = read::<Addresses>("5672").unwrap_err();
        assert!(error.contains("\"5672\" can't be used here; expected HOST:PORT"), "{error}");
    }

    #[test]
    fn settings_that_can_only_do_harm_are_refused() {
        for watermark in ["0", "0.0", "1.5", "60", "\"60%\"", "\"0MB\"", "-0.1", "\"much\"", "true"]
        {
            assert!(read::<MemoryWatermark>(watermark).is_err(), "{watermark}");
        }
        for watermark in ["0.6", "1", "\"0.4\"", "\"2GB\"", "\"512MiB\"", "2000000000"] {
            assert!(read::<MemoryWatermark>(watermark).is_ok(), "{watermark}");
        }
        for filter in ["verbose", "noisy", "bogus==", "info,loud", "x=verbose", "", "3", "=info"] {
            assert!(filter.parse::<LogFilter>().is_err(), "{filter}");
        }
        assert!(read::<ConnectionCount>("0").is_err());
        for size in ["0", "134217729", "\"1GiB\""] {
            assert!(read::<MessageSize>(size).is_err(), "{size}");
        }
        assert!(read::<DeliveryLimit>("0").is_err() && read::<DeliveryLimit>("-2").is_err());
        assert!(read::<Milliseconds>("0").is_err() && read::<Milliseconds>("-2").is_err());
    }
}
