//! Reply codes (AMQP 0-9-1, 1.2) with RabbitMQ's names.

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $name:literal,)*) => {
        /// Why a channel or connection was closed, or a message returned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ReplyCode {
            $($(#[$doc])* $variant = $code,)*
        }

        impl ReplyCode {
            /// Every code, ascending.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The name as it stands in reply texts: `NOT_FOUND`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The code with this number.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

reply_codes! {
    /// An orderly end.
    Success = 200 "REPLY_SUCCESS",
    /// The message is larger than allowed.
    ContentTooLarge = 311 "CONTENT_TOO_LARGE",
    /// A mandatory message that no queue takes.
    NoRoute = 312 "NO_ROUTE",
    /// An immediate message that no consumer takes.
    NoConsumers = 313 "NO_CONSUMERS",
    /// An operator or a shutdown closes the connection.
    ConnectionForced = 320 "CONNECTION_FORCED",
    /// An unknown virtual host.
    InvalidPath = 402 "INVALID_PATH",
    /// Not permitted for this user.
    AccessRefused = 403 "ACCESS_REFUSED",
    /// The object does not exist.
    NotFound = 404 "NOT_FOUND",
    /// The object belongs to another connection.
    ResourceLocked = 405 "RESOURCE_LOCKED",
    /// The object is not as the request demands.
    PreconditionFailed = 406 "PRECONDITION_FAILED",
    /// A frame that can't be decoded.
    FrameError = 501 "FRAME_ERROR",
    /// A frame whose fields hold illegal values.
    SyntaxError = 502 "SYNTAX_ERROR",
    /// A method that may not be used here.
    CommandInvalid = 503 "COMMAND_INVALID",
    /// A channel that is not open, or is open already.
    ChannelError = 504 "CHANNEL_ERROR",
    /// A frame that may not come now.
    UnexpectedFrame = 505 "UNEXPECTED_FRAME",
    /// The broker lacks resources.
    ResourceError = 506 "RESOURCE_ERROR",
    /// Forbidden by policy or by what was negotiated.
    NotAllowed = 530 "NOT_ALLOWED",
    /// The broker does not offer this.
    NotImplemented = 540 "NOT_IMPLEMENTED",
    /// The broker failed.
    InternalError = 541 "INTERNAL_ERROR",
}
