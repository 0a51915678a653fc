//! Numbers in one or two bytes, on a logarithmic scale: what a history needs is the ratio of two levels.

/// A level of lag: exact to a thousandth up to 2³⁰.
///
/// The top bit tells that the quarter belongs to an excursion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peak(u16);

const NOT_SEEN: u16 = u16::MAX;
const EXCURSION: u16 = 1 << 15;
const CODE_MAX: u16 = EXCURSION - 2;
/// Steps of a doubling.
const STEPS: f64 = 1000.0;

impl Peak {
    /// Of a quarter that nobody watched.
    pub(crate) const UNKNOWN: Self = Self(NOT_SEEN);

    pub(crate) fn of(messages: f64) -> Self {
        let code = (STEPS * (1.0 + messages.max(0.0)).log2()).round();
        Self((code as u16).min(CODE_MAX))
    }

    pub(crate) fn messages(self) -> Option<f64> {
        (self.0 != NOT_SEEN).then(|| {
            let exact = (f64::from(self.0 & !EXCURSION) / STEPS).exp2() - 1.0;
            // Small numbers are whole ones.
            if exact < 500.0 { exact.round() } else { exact }
        })
    }

    pub(crate) fn is_excursion(self) -> bool {
        self.0 != NOT_SEEN && self.0 & EXCURSION != 0
    }

    #[must_use]
    pub(crate) fn with_excursion(self, is: bool) -> Self {
        match self.0 {
            NOT_SEEN => self,
            code if is => Self(code | EXCURSION),
            code => Self(code & !EXCURSION),
        }
    }

    /// The higher of two, an excursion if one of them is.
    #[must_use]
    pub(crate) fn max(self, other: Self) -> Self {
        match (self.0, other.0) {
            (NOT_SEEN, _) => other,
            (_, NOT_SEEN) => self,
            (a, b) => Self((a & !EXCURSION).max(b & !EXCURSION) | (a | b) & EXCURSION),
        }
    }

    /// The lower of two; neither is an excursion.
    #[must_use]
    pub(crate) fn min(self, other: Self) -> Self {
        // What is unknown is the largest code.
        Self(self.0.min(other.0))
    }

    pub(crate) fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }
}

/// A coarse level, exact to 6 %, up to 2³¹: rates and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coarse(u8);

impl Coarse {
    pub(crate) const UNKNOWN: Self = Self(u8::MAX);
    /// Steps of a doubling.
    const STEPS: f64 = 8.0;

    pub(crate) fn of(value: f64) -> Self {
        let code = (Self::STEPS * (1.0 + value.max(0.0)).log2()).round();
        Self((code as u8).min(u8::MAX - 1))
    }

    pub(crate) fn value(self) -> Option<f64> {
        (self != Self::UNKNOWN).then(|| (f64::from(self.0) / Self::STEPS).exp2() - 1.0)
    }

    #[must_use]
    pub(crate) fn max(self, other: Self) -> Self {
        match (self, other) {
            (Self::UNKNOWN, known) | (known, Self::UNKNOWN) => known,
            (Self(a), Self(b)) => Self(a.max(b)),
        }
    }

    pub(crate) fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_keep_their_ratio() {
        for value in [0.0, 1.0, 2.0, 19.0, 20.0, 499.0] {
            assert_eq!(Peak::of(value).messages(), Some(value));
        }
        for value in [1234.0, 50_000.0, 1e6, 1e9] {
            let kept = Peak::of(value).messages().unwrap();
            assert!((kept / value - 1.0).abs() < 0.001, "{value}: {kept}");
            let coarse = Coarse::of(value).value().unwrap();
            assert!((coarse / value - 1.0).abs() < 0.06, "{value}: {coarse}");
        }
        assert!(Peak::of(1e30).messages().unwrap() > 1e9);
    }

    #[test]
    fn an_excursion_is_no_other_level() {
        let peak = Peak::of(77.0).with_excursion(true);
        assert_eq!((peak.messages(), peak.is_excursion()), (Some(77.0), true));
        assert_eq!(peak.with_excursion(false), Peak::of(77.0));
        assert_eq!(Peak::of(99.0).max(peak), Peak::of(99.0).with_excursion(true));
        assert_eq!(Peak::UNKNOWN.with_excursion(true), Peak::UNKNOWN);
        assert!(!Peak::UNKNOWN.is_excursion());
        assert_eq!(Peak::UNKNOWN.max(peak), peak);
    }
}
