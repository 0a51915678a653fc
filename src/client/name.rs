//! Names of queues, exchanges and the like, as callers have them.

use forebay_wire::ShortStr;

use crate::Error;

/// Anything that can be a name in AMQP: `&str`, `String`, [`ShortStr`]. At most 255 bytes, which is
/// checked when the name is used. A [`ShortStr`] that is kept and cloned saves a copy per use.
pub trait Name: private::Sealed {
    /// The name as it is written.
    ///
    /// # Errors
    /// [`Error::NameTooLong`] above 255 bytes; `what` says what it names.
    fn into_short_str(self, what: &'static str) -> Result<ShortStr, Error>;
}

mod private {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for &String {}
    impl Sealed for String {}
    impl Sealed for forebay_wire::ShortStr {}
    impl Sealed for &forebay_wire::ShortStr {}
}

impl Name for &str {
    fn into_short_str(self, what: &'static str) -> Result<ShortStr, Error> {
        ShortStr::try_from(self).map_err(|error| Error::NameTooLong { what, length: error.length })
    }
}

impl Name for &String {
    fn into_short_str(self, what: &'static str) -> Result<ShortStr, Error> {
        self.as_str().into_short_str(what)
    }
}

impl Name for String {
    fn into_short_str(self, what: &'static str) -> Result<ShortStr, Error> {
        ShortStr::try_from(self).map_err(|error| Error::NameTooLong { what, length: error.length })
    }
}

impl Name for ShortStr {
    fn into_short_str(self, _: &'static str) -> Result<ShortStr, Error> {
        Ok(self)
    }
}

impl Name for &ShortStr {
    fn into_short_str(self, _: &'static str) -> Result<ShortStr, Error> {
        Ok(self.clone())
    }
}
