//! What people are shown of a client: what it said of itself, and what was agreed with it.

use forebay_wire::FieldTable;

/// Known once the connection is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientDetails {
    /// As sent in `connection.start-ok`; a frame of the handshake bounds them.
    pub properties: FieldTable,
    /// How it logged in, as `PLAIN`.
    pub mechanism: &'static str,
    /// Channels at once.
    pub channels_max: u16,
    /// Bytes of a frame.
    pub frame_size_max: u32,
    /// The heartbeat interval in s; 0: none.
    pub heartbeat_s: u16,
}
