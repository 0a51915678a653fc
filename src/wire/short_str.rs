//! Short strings (AMQP 0-9-1, 4.2.5.3): a length byte and up to 255 bytes. Usually names, which
//! live as slices of the bytes they were received in.

use crate::limits::SHORT_STR_LENGTH_MAX;
use bytes::Bytes;
use std::borrow::Borrow;
use std::fmt;

/// Up to 255 bytes, mostly UTF-8 but not bound to it. A clone copies nothing.
#[derive(Clone, Default, Eq, PartialOrd, Ord)]
pub struct ShortStr(Bytes);

/// A text has more than the 255 bytes that a short string holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a short string holds at most {SHORT_STR_LENGTH_MAX} bytes, not {length}")]
pub struct ShortStrTooLong {
    /// Bytes of the text that is too long.
    pub length: usize,
}

impl ShortStr {
    /// The empty string.
    pub const EMPTY: Self = Self(Bytes::new());

    /// From a literal, without a copy. What passes 255 bytes is refused when it is evaluated:
    /// at compile time in a constant.
    ///
    /// # Panics
    /// When `text` passes 255 bytes: a slip of the programmer, not of a peer.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.len() <= SHORT_STR_LENGTH_MAX, "a short string holds at most 255 bytes");
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// What the length byte has already bounded.
    pub(crate) fn from_bounded(bytes: Bytes) -> Self {
        debug_assert!(bytes.len() <= SHORT_STR_LENGTH_MAX);
        Self(bytes)
    }

    /// The bytes of the string.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes, still shared with where they came from.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The number of bytes, 255 at most.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the string is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy with memory of its own. A decoded string keeps the whole read buffer alive that it
    /// came in; whatever is kept for long should be detached from it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl TryFrom<Bytes> for ShortStr {
    type Error = ShortStrTooLong;

    fn try_from(bytes: Bytes) -> Result<Self, ShortStrTooLong> {
        if bytes.len() <= SHORT_STR_LENGTH_MAX {
            Ok(Self(bytes))
        } else {
            Err(ShortStrTooLong { length: bytes.len() })
        }
    }
}

impl TryFrom<String> for ShortStr {
    type Error = ShortStrTooLong;

    fn try_from(text: String) -> Result<Self, ShortStrTooLong> {
        Self::try_from(Bytes::from(text))
    }
}

impl TryFrom<&str> for ShortStr {
    type Error = ShortStrTooLong;

    fn try_from(text: &str) -> Result<Self, ShortStrTooLong> {
        Self::try_from(text.as_bytes())
    }
}

impl TryFrom<&[u8]> for ShortStr {
    type Error = ShortStrTooLong;

    fn try_from(bytes: &[u8]) -> Result<Self, ShortStrTooLong> {
        if bytes.len() <= SHORT_STR_LENGTH_MAX {
            Ok(Self(Bytes::copy_from_slice(bytes)))
        } else {
            Err(ShortStrTooLong { length: bytes.len() })
        }
    }
}

impl AsRef<[u8]> for ShortStr {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for ShortStr {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

// As derived, but for nothing with nothing: the address of no bytes is no address, and glibc's
// `memcmp` (AVX-512, masked loads) took 500 ns in place of 1 to find that it need not read there.
// The default exchange's name is empty, and is compared with each publish.
impl PartialEq for ShortStr {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (self.is_empty() || self.0 == other.0)
    }
}

// Must agree with `[u8]`, because of `Borrow`.
impl std::hash::Hash for ShortStr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_ref().hash(state);
    }
}

impl PartialEq<str> for ShortStr {
    fn eq(&self, other: &str) -> bool {
        self.0.as_ref() == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr {
    fn eq(&self, other: &&str) -> bool {
        self.0.as_ref() == other.as_bytes()
    }
}

impl fmt::Display for ShortStr {
    /// What is not UTF-8 shows as U+FFFD.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&String::from_utf8_lossy(&self.0), formatter)
    }
}

impl fmt::Debug for ShortStr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), formatter)
    }
}
