//! Class channel (AMQP 0-9-1, 1.5).

use crate::method::definition::methods;
use crate::short_str::ShortStr;
use bytes::Bytes;

methods! { class 20 {
    /// The client opens a channel.
    ChannelOpen = 10 "channel.open" [] {} [ShortStr];
    /// The channel is open.
    ChannelOpenOk = 11 "channel.open-ok" [] {} [Bytes];
    /// Stops or restarts the flow of content.
    ChannelFlow = 20 "channel.flow" [] {
        /// Whether content may flow.
        active: bool,
    } [];
    /// Confirms `channel.flow`.
    ChannelFlowOk = 21 "channel.flow-ok" [] {
        /// As asked for.
        active: bool,
    } [];
    /// Either side ends the channel.
    ChannelClose = 40 "channel.close" [] {
        /// Why, as a number; see [`crate::ReplyCode`].
        reply_code: u16,
        /// Why, for people.
        reply_text: ShortStr,
        /// The class of the method that was at fault; 0: none.
        class_id: u16,
        /// The method that was at fault; 0: none.
        method_id: u16,
    } [];
    /// The other side agrees to the end.
    ChannelCloseOk = 41 "channel.close-ok" [] {} [];
} }
