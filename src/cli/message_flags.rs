//! Properties of a message as flags of `publish` and `request`.

use super::argument::{self, Argument};
use super::duration::duration;
use clap::Args;
use forebay_client::{Properties, ShortStr};
use std::time::Duration;

/// The properties that a command gives to each of its messages.
#[derive(Clone, Debug, Args)]
pub(crate) struct MessageFlags {
    /// A header, NAME=VALUE; may be repeated
    #[arg(long, short = 'H')]
    header: Vec<Argument>,
    /// MIME type of the body
    #[arg(long)]
    content_type: Option<ShortStrArgument>,
    /// How the body is packed, for example gzip
    #[arg(long)]
    content_encoding: Option<ShortStrArgument>,
    /// Name of the message
    #[arg(long)]
    message_id: Option<ShortStrArgument>,
    /// The application's type of the message
    #[arg(long = "type")]
    kind: Option<ShortStrArgument>,
    /// Name of the publishing application
    #[arg(long)]
    app_id: Option<ShortStrArgument>,
    /// Name of the user; the broker checks that it is the one who is logged in
    #[arg(long)]
    user_id: Option<ShortStrArgument>,
    /// Priority
    #[arg(long)]
    priority: Option<u8>,
    /// Time to live in the queue, for example 30s
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Transient (delivery mode 1) instead of persistent
    #[arg(long)]
    transient: bool,
}

/// A short string as an argument.
#[derive(Clone, Debug)]
pub(crate) struct ShortStrArgument(pub(crate) ShortStr);

impl std::str::FromStr for ShortStrArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ShortStr::try_from(text).map(Self).map_err(|error| error.to_string())
    }
}

impl MessageFlags {
    /// Properties that a message has already, with those in their place that flags give. A message is persistent
    /// unless something says otherwise.
    pub(crate) fn over(&self, mut properties: Properties) -> Properties {
        for header in argument::table(&self.header) {
            properties.headers.get_or_insert_default().insert(header.0, header.1);
        }
        for (property, flag) in [
            (&mut properties.content_type, &self.content_type),
            (&mut properties.content_encoding, &self.content_encoding),
            (&mut properties.message_id, &self.message_id),
            (&mut properties.kind, &self.kind),
            (&mut properties.app_id, &self.app_id),
            (&mut properties.user_id, &self.user_id),
        ] {
            put(property, flag);
        }
        properties.priority = self.priority.or(properties.priority);
        if let Some(expires) = self.expires {
            properties.expiration = ShortStr::try_from(expires.as_millis().to_string()).ok();
        }
        if self.transient {
            properties.delivery_mode = Some(1);
        }
        properties.delivery_mode.get_or_insert(2);
        properties
    }
}

/// A flag goes before what is there.
pub(crate) fn put(property: &mut Option<ShortStr>, flag: &Option<ShortStrArgument>) {
    if let Some(ShortStrArgument(text)) = flag {
        *property = Some(text.clone());
    }
}
