//! The SASL mechanisms that clients use, PLAIN (RFC 4616), RabbitMQ's AMQPLAIN and EXTERNAL (RFC
//! 4422, appendix A): bytes of a `connection.start-ok` response to a user and what proves it.
//! Whether that is right is checked by the server, off the threads that serve sockets.

use super::settings::Peer;
use crate::model::Fault;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};

/// The mechanisms offered to this peer, as in `connection.start`: EXTERNAL to those who have shown
/// a certificate.
pub(crate) fn mechanisms(peer: &Peer) -> &'static str {
    match peer.certificate_user {
        None => "PLAIN AMQPLAIN",
        Some(_) => "PLAIN AMQPLAIN EXTERNAL",
    }
}

/// Who somebody claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: ShortStr,
    /// What proves it.
    pub proof: Proof,
}

/// What proves who somebody is.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The password, any bytes; still to be checked.
    Password(Bytes),
    /// A certificate, which TLS has checked: only whether there is such a user is open.
    Certificate,
}

impl std::fmt::Debug for Proof {
    /// Without the password: this may end in a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::Certificate => "Certificate",
        })
    }
}

/// A mechanism that we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    AmqPlain,
    External,
}

impl Mechanism {
    /// Finds it by name.
    ///
    /// # Errors
    /// 403 names the mechanism and what is offered.
    pub(crate) fn parse(name: &ShortStr, peer: &Peer) -> Result<Self, Fault> {
        match name.as_bytes() {
            b"PLAIN" => Ok(Self::Plain),
            b"AMQPLAIN" => Ok(Self::AmqPlain),
            b"EXTERNAL" if peer.certificate_user.is_some() => Ok(Self::External),
            _ => Err(refusal(format!(
                "authentication mechanism '{name}' is not offered, expected one of {}",
                mechanisms(peer)
            ))),
        }
    }

    /// As in `connection.start-ok`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
        }
    }

    /// Reads a response.
    ///
    /// # Errors
    /// 403 says what the mechanism expects; it never repeats the response.
    pub(crate) fn credentials(self, response: &Bytes, peer: &Peer) -> Result<Credentials, Fault> {
        let found = match self {
            Self::Plain => plain(response),
            Self::AmqPlain => amqplain(response),
            // Whatever name the response asks for: the certificate says who it is.
            Self::External => peer
                .certificate_user
                .clone()
                .map(|user| Credentials { user, proof: Proof::Certificate }),
        };
        let expected = match self {
            Self::Plain => "authorization identity, NUL, user of at most 255 bytes, NUL, password",
            Self::AmqPlain => "a table of LOGIN and PASSWORD, both long strings",
            Self::External => "a certificate that names a user",
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
    let mut parts = response.splitn(3, |byte| *byte == 0);
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
    let user = ShortStr::try_from(user).ok()?;
    Some(Credentials { user, proof: Proof::Password(password) })
}
