//! Class connection (AMQP 0-9-1, 1.4) with RabbitMQ's `blocked`, `unblocked` and `update-secret`.

use crate::field_table::FieldTable;
use crate::method::definition::methods;
use crate::short_str::ShortStr;
use bytes::Bytes;

methods! { class 10 {
    /// The server opens the negotiation.
    ConnectionStart = 10 "connection.start" [] {
        /// 0.
        version_major: u8,
        /// 9.
        version_minor: u8,
        /// Product, version, capabilities and more.
        server_properties: FieldTable,
        /// SASL mechanisms, separated by spaces.
        mechanisms: Bytes,
        /// Locales, separated by spaces.
        locales: Bytes,
    } [];
    /// The client chooses a mechanism and answers for itself.
    ConnectionStartOk = 11 "connection.start-ok" [] {
        /// Product, version, capabilities and more.
        client_properties: FieldTable,
        /// The SASL mechanism chosen.
        mechanism: ShortStr,
        /// The initial SASL response.
        response: Bytes,
        /// The locale chosen.
        locale: ShortStr,
    } [];
    /// A further SASL challenge.
    ConnectionSecure = 20 "connection.secure" [] {
        /// The challenge.
        challenge: Bytes,
    } [];
    /// The answer to a challenge.
    ConnectionSecureOk = 21 "connection.secure-ok" [] {
        /// The response.
        response: Bytes,
    } [];
    /// The server proposes limits.
    ConnectionTune = 30 "connection.tune" [] {
        /// The highest channel number; 0: no limit.
        channel_max: u16,
        /// The largest frame in bytes, envelope included; 0: no limit.
        frame_max: u32,
        /// Seconds between heartbeats; 0: none.
        heartbeat: u16,
    } [];
    /// The client settles limits, none above those proposed.
    ConnectionTuneOk = 31 "connection.tune-ok" [] {
        /// The highest channel number; 0: no limit of the client's.
        channel_max: u16,
        /// The largest frame in bytes, envelope included; 0: no limit of the client's.
        frame_max: u32,
        /// Seconds between heartbeats; 0: none.
        heartbeat: u16,
    } [];
    /// The client asks for a virtual host.
    ConnectionOpen = 40 "connection.open" [] {
        /// Its name.
        virtual_host: ShortStr,
    } [ShortStr, bool];
    /// The connection is open.
    ConnectionOpenOk = 41 "connection.open-ok" [] {} [ShortStr];
    /// Either side ends the connection.
    ConnectionClose = 50 "connection.close" [] {
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
    ConnectionCloseOk = 51 "connection.close-ok" [] {} [];
    /// Publishers must wait: the server is short of resources (RabbitMQ's extension).
    ConnectionBlocked = 60 "connection.blocked" [] {
        /// Why, for people.
        reason: ShortStr,
    } [];
    /// Publishers may go on (RabbitMQ's extension).
    ConnectionUnblocked = 61 "connection.unblocked" [] {} [];
    /// The client renews its credentials (RabbitMQ's extension).
    ConnectionUpdateSecret = 70 "connection.update-secret" [] {
        /// The new secret.
        new_secret: Bytes,
        /// Why, for people.
        reason: ShortStr,
    } [];
    /// The new credentials are taken (RabbitMQ's extension).
    ConnectionUpdateSecretOk = 71 "connection.update-secret-ok" [] {} [];
} }
