//! The two SASL mechanisms that clients use, PLAIN (RFC 4616) and RabbitMQ's AMQPLAIN: octets of
//! a `connection.start-ok` response to a user and a password. Whether they are right is checked
//! by the server, off the threads that serve sockets.

use crate::fault::Fault;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};

/// The mechanisms offered, as in `connection.start`.
pub(crate) const MECHANISMS: &str = "PLAIN AMQPLAIN";

/// Who somebody claims to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: ShortStr,
    /// The password, any octets.
    pub password: Bytes,
}

impl std::fmt::Debug for Credentials {
    /// Without the password: this may end in a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A mechanism that we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    AmqPlain,
}

impl Mechanism {
    /// Finds it by name.
    ///
    /// # Errors
    /// 403 names the mechanism and what is offered.
    pub(crate) fn parse(name: &ShortStr) -> Result<Self, Fault> {
        match name.as_bytes() {
            b"PLAIN" => Ok(Self::Plain),
            b"AMQPLAIN" => Ok(Self::AmqPlain),
            _ => Err(refusal(format!(
                "authentication mechanism '{name}' is not offered, expected one of {MECHANISMS}"
            ))),
        }
    }

    /// As in `connection.start-ok`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
        }
    }

    /// Reads a response.
    ///
    /// # Errors
    /// 403 says what the mechanism expects; it never repeats the response.
    pub(crate) fn credentials(self, response: &Bytes) -> Result<Credentials, Fault> {
        let found = match self {
            Self::Plain => plain(response),
            Self::AmqPlain => amqplain(response),
        };
        let expected = match self {
            Self::Plain => "authorization identity, NUL, user of at most 255 octets, NUL, password",
            Self::AmqPlain => "a table of LOGIN and PASSWORD, both long strings",
        };
        found.ok_or_else(|| {
            refusal(format!("malformed {} response, expected {expected}", self.name()))
        })
    }
}

fn refusal(text: String) -> Fault {
    Fault::connection(ReplyCode::AccessRefused, text)
}

fn plain(response: &Bytes) -> Option<Credentials> {
    let mut parts = response.splitn(3, |octet| *octet == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if password.contains(&0) {
        return None;
    }
    credentials(Bytes::copy_from_slice(user), Bytes::copy_from_slice(password))
}

fn amqplain(response: &Bytes) -> Option<Credentials> {
    let table = FieldTable::decode_fields(response).ok()?;
    match (table.get("LOGIN")?, table.get("PASSWORD")?) {
        (FieldValue::LongStr(user), FieldValue::LongStr(password)) => {
            credentials(Bytes::copy_from_slice(user), Bytes::copy_from_slice(password))
        }
        _ => None,
    }
}

fn credentials(user: Bytes, password: Bytes) -> Option<Credentials> {
    Some(Credentials { user: ShortStr::try_from(user).ok()?, password })
}
