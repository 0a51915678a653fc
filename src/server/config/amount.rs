//! Amounts of memory and disk as people write them: `50MB`, `1.5GiB`, `0.6` of what is there.

/// Units as RabbitMQ takes them: `k`, `M`, `G` and `T` alone are powers of 1024, with `B` of 1000.
const UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// Some of a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many bytes.
    Bytes(u64),
    /// Such a part of all, from 0 to 1.
    Share(f64),
}

impl Amount {
    /// A number of bytes with an optional unit.
    #[must_use]
    pub fn parse_bytes(text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end)?;
        let number: f64 = number.parse().ok()?;
        let unit = unit.trim().to_ascii_lowercase();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let bytes = number * *factor as f64;
        (bytes < u64::MAX as f64).then_some(bytes as u64)
    }

    /// Reads bytes, or a share: a number up to 1 without a unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Some(Self::Share(share)),
            _ => Self::parse_bytes(text).map(Self::Bytes),
        }
    }

    /// In bytes, where so many are there in all.
    #[must_use]
    pub fn of(self, all: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => (all as f64 * share) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_rabbitmq() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("50MB", 50_000_000),
            ("50 mb", 50_000_000),
            ("50M", 50 << 20),
            ("50MiB", 50 << 20),
            ("1.5GiB", 3 << 29),
            ("2k", 2048),
            ("2kB", 2000),
        ] {
            assert_eq!(Amount::parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MB", "-1", "1.2.3", "5 apples", "1e3", "99999999TB"] {
            assert_eq!(Amount::parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_up_to_one_is_a_share() {
        assert_eq!(Amount::parse("0.6"), Some(Amount::Share(0.6)));
        assert_eq!(Amount::parse("0.6").unwrap().of(1000), 600);
        assert_eq!(Amount::parse("2GB"), Some(Amount::Bytes(2_000_000_000)));
        assert_eq!(Amount::parse("1.5"), Some(Amount::Bytes(1)));
        assert_eq!(Amount::parse("much"), None);
    }
}
