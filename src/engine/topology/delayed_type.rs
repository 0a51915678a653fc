//! Exchanges of type `x-delayed-message`: they route as the type that their argument `x-delayed-type` names.
//! A message waits because of its headers, whatever exchange it comes through
//! ([`crate::published_delay`]); the type is there for those who declare it.

use super::arguments::{Arguments, BadArgument};
use super::exchange_kind::ExchangeKind;

/// The argument that names the type by which it routes.
pub(crate) const DELAYED_TYPE: &str = "x-delayed-type";

/// The type by which an exchange with these arguments routes.
///
/// # Errors
/// When the argument is missing or names no type that routes by itself.
pub(super) fn delayed_type(arguments: Arguments<'_>) -> Result<ExchangeKind, BadArgument> {
    const CHOICES: [(&str, ExchangeKind); 5] = [
        ("direct", ExchangeKind::Direct),
        ("fanout", ExchangeKind::Fanout),
        ("topic", ExchangeKind::Topic),
        ("headers", ExchangeKind::Headers),
        ("x-consistent-hash", ExchangeKind::ConsistentHash),
    ];
    match arguments.choice(DELAYED_TYPE, &CHOICES)? {
        Some(kind) => Ok(kind),
        None => Err(BadArgument {
            name: DELAYED_TYPE.to_owned(),
            reason: "none; an exchange of type 'x-delayed-message' needs it, the type by which it routes: \
                     'direct', 'fanout', 'topic', 'headers' or 'x-consistent-hash'"
                .to_owned(),
        }),
    }
}
