//! From an open stream to an open AMQP connection (AMQP 0-9-1, 2.2.4).
//!
//! ```text
//! client: "AMQP" 0 0 9 1    start-ok            tune-ok, open
//! server:               start          tune               open-ok
//! ```
//!
//! Called by the supervisor for each attempt, under its time limit.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay_wire::{
    FieldTable, FieldValue, Frame, FrameDecoder, Method, PROTOCOL_HEADER, SendBuffer, ShortStr,
    method::{
        ConnectionOpen, ConnectionStart, ConnectionStartOk, ConnectionTune, ConnectionTuneOk,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    ConnectError, ConnectOptions, Fault, connect::transport::Transport, connect::uri::Address,
    session::Tuning,
};

/// An open connection, before the driver takes it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) address: Address,
    pub(crate) decoder: FrameDecoder,
    /// Bytes read beyond the handshake.
    pub(crate) input: BytesMut,
    pub(crate) tuning: Tuning,
    /// Zero: none.
    pub(crate) heartbeat: Duration,
}

struct Handshake<'a> {
    opened: Opened,
    options: &'a ConnectOptions,
    /// How far it came: decides what an early end means.
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Start,
    Login,
    Open,
}

pub(crate) async fn open(
    transport: Transport,
    address: &Address,
    options: &ConnectOptions,
) -> Result<Opened, ConnectError> {
    let opened = Opened {
        transport,
        address: address.clone(),
        decoder: FrameDecoder::new(options.frame_size_max),
        input: BytesMut::new(),
        tuning: Tuning {
            channels_max: options.channels_max,
            frame_size_max: options.frame_size_max,
            takes_instructions: false,
        },
        heartbeat: options.heartbeat,
    };
    let mut handshake = Handshake { opened, options, step: Step::Start };
    handshake.run().await?;
    Ok(handshake.opened)
}

/// The capability of a broker that takes settlement instructions.
const INSTRUCTIONS: &str = "settlement_instructions";

fn has_capability(start: &ConnectionStart, name: &str) -> bool {
    match start.server_properties.get("capabilities") {
        Some(FieldValue::Table(capabilities)) => {
            capabilities.get(name) == Some(&FieldValue::Bool(true))
        }
        _ => false,
    }
}

impl Handshake<'_> {
    async fn run(&mut self) -> Result<(), ConnectError> {
        let mut output = SendBuffer::new();
        output.put_protocol_header();
        self.write(output).await?;
        match self.read().await? {
            Method::ConnectionStart(start) => self.start(&start).await?,
            other => return Err(self.foreign(other.name())),
        }
        self.step = Step::Login;
        match self.read().await? {
            Method::ConnectionTune(tune) => self.tune(&tune).await?,
            other => return Err(self.foreign(other.name())),
        }
        self.step = Step::Open;
        match self.read().await? {
            Method::ConnectionOpenOk(_) => Ok(()),
            other => Err(self.foreign(other.name())),
        }
    }

    async fn start(&mut self, start: &ConnectionStart) -> Result<(), ConnectError> {
        self.opened.tuning.takes_instructions = has_capability(start, INSTRUCTIONS);
        let offered = String::from_utf8_lossy(&start.mechanisms).into_owned();
        let is_external = self.options.is_external;
        let needed = if is_external { "EXTERNAL" } else { "PLAIN" };
        if !offered.split(' ').any(|mechanism| mechanism == needed) {
            let address = self.opened.address.clone();
            return Err(ConnectError::NoMechanism { address, offered, needed });
        }
        let response = match is_external {
            true => String::new(),
            false => format!("\0{}\0{}", self.options.user, self.options.password),
        };
        let start_ok = ConnectionStartOk {
            client_properties: client_properties(self.options.name.as_deref()),
            mechanism: ShortStr::from_static(needed),
            response: Bytes::from(response),
            locale: ShortStr::from_static("en_US"),
        };
        let mut output = SendBuffer::new();
        output.put_method(0, &start_ok);
        self.write(output).await
    }

    async fn tune(&mut self, tune: &ConnectionTune) -> Result<(), ConnectError> {
        let lower = |ours: u32, theirs: u32| match (ours, theirs) {
            (0, other) | (other, 0) => other,
            (ours, theirs) => ours.min(theirs),
        };
        let channels_max = lower(self.options.channels_max.into(), tune.channel_max.into());
        let channels_max = u16::try_from(channels_max).unwrap_or(u16::MAX);
        let frame_size_max = lower(self.options.frame_size_max, tune.frame_max);
        let ours = match self.options.heartbeat {
            Duration::ZERO => 0,
            interval => u32::try_from(interval.as_secs().max(1)).unwrap_or(u32::MAX),
        };
        let heartbeat = if ours == 0 { 0 } else { lower(ours, tune.heartbeat.into()) };
        let heartbeat = u16::try_from(heartbeat).unwrap_or(u16::MAX);
        self.opened.tuning = Tuning { channels_max, frame_size_max, ..self.opened.tuning };
        self.opened.heartbeat = Duration::from_secs(heartbeat.into());
        self.opened.decoder.set_frame_size_max(frame_size_max);
        let virtual_host = ShortStr::try_from(self.options.vhost.as_str())
            .map_err(|_| self.vhost_refused("the name is longer than 255 bytes".into()))?;
        let mut output = SendBuffer::new();
        output.put_method(
            0,
            &ConnectionTuneOk { channel_max: channels_max, frame_max: frame_size_max, heartbeat },
        );
        output.put_method(0, &ConnectionOpen { virtual_host });
        self.write(output).await
    }

    async fn write(&mut self, mut output: SendBuffer) -> Result<(), ConnectError> {
        let transport = &mut self.opened.transport;
        let written = match transport.write_all_buf(&mut output).await {
            Ok(()) => transport.flush().await,
            failed => failed,
        };
        // A broker that refuses may have said why before it closed the socket: read that first.
        match written {
            Err(error) if self.step == Step::Start => Err(self.unreachable(error)),
            _ => Ok(()),
        }
    }

    async fn read(&mut self) -> Result<Method, ConnectError> {
        loop {
            if self.step == Step::Start && is_foreign(&self.opened.input) {
                let found = describe(&self.opened.input);
                return Err(self.foreign(&found));
            }
            match self.opened.decoder.decode(&mut self.opened.input) {
                Ok(Some(Frame::Method { channel: 0, method: Method::ConnectionClose(close) })) => {
                    return Err(self.refused(Fault::from(&close)));
                }
                Ok(Some(Frame::Method { channel: 0, method })) => return Ok(method),
                Ok(Some(Frame::Heartbeat)) => continue,
                Ok(Some(_)) => return Err(self.foreign("a frame out of place")),
                Err(error) => return Err(self.foreign(&error.to_string())),
                Ok(None) => {}
            }
            let opened = &mut self.opened;
            match opened.transport.read_buf(&mut opened.input).await {
                Ok(0) => return Err(self.early_end(None)),
                Ok(_) => {}
                Err(error) => return Err(self.early_end(Some(error))),
            }
        }
    }

    fn refused(&self, fault: Fault) -> ConnectError {
        match (fault.code, self.step) {
            (403, Step::Start | Step::Login) => self.credentials_refused(fault.text),
            (_, Step::Open) if matches!(fault.code, 402 | 403 | 404 | 530) => {
                self.vhost_refused(fault.text)
            }
            _ => ConnectError::Refused { address: self.opened.address.clone(), fault },
        }
    }

    /// Brokers of old close the socket without a word instead of refusing (AMQP 0-9-1, 2.2.4).
    fn early_end(&self, error: Option<std::io::Error>) -> ConnectError {
        let text = || "the socket was closed without an explanation".to_owned();
        match (self.step, error) {
            (Step::Start, Some(error)) => self.unreachable(error),
            (Step::Start, None) => {
                self.foreign("it closed the socket at our protocol header (does it expect TLS?)")
            }
            (Step::Login, _) => self.credentials_refused(text()),
            (Step::Open, _) => self.vhost_refused(text()),
        }
    }

    fn unreachable(&self, error: std::io::Error) -> ConnectError {
        #[cfg(feature = "tls")]
        if crate::connect::tls::is_tls_error(&error) {
            return crate::connect::tls::refused(&self.opened.address, error);
        }
        ConnectError::Unreachable { address: self.opened.address.clone(), source: error.into() }
    }

    fn foreign(&self, found: &str) -> ConnectError {
        ConnectError::NotAmqp { address: self.opened.address.clone(), found: found.to_owned() }
    }

    fn credentials_refused(&self, text: String) -> ConnectError {
        ConnectError::CredentialsRefused {
            address: self.opened.address.clone(),
            user: match self.options.is_external {
                true => "of the client certificate".into(),
                false => self.options.user.clone(),
            },
            text,
        }
    }

    fn vhost_refused(&self, text: String) -> ConnectError {
        ConnectError::VhostRefused {
            address: self.opened.address.clone(),
            vhost: self.options.vhost.clone(),
            text,
        }
    }
}

/// A method frame on channel 0 is all that may come first.
fn is_foreign(input: &[u8]) -> bool {
    !input.is_empty() && !input.iter().zip([1, 0, 0]).all(|(found, expected)| *found == expected)
}

fn describe(input: &[u8]) -> String {
    if input.starts_with(b"AMQP") {
        let version: Vec<String> = input.iter().skip(4).take(4).map(ToString::to_string).collect();
        let ours: Vec<String> = PROTOCOL_HEADER.iter().skip(4).map(ToString::to_string).collect();
        return format!(
            "it speaks AMQP {} where {} was asked for",
            version.join("."),
            ours.join(".")
        );
    }
    if input.starts_with(&[0x15, 0x03]) {
        return "it answered with a TLS alert, so it expects amqps://".into();
    }
    let text: String =
        String::from_utf8_lossy(input).chars().take_while(|c| !c.is_control()).take(40).collect();
    format!("it answered `{text}`")
}

fn client_properties(name: Option<&str>) -> FieldTable {
    let capabilities: FieldTable = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ]
    .into_iter()
    .map(|capability| (ShortStr::from_static(capability), FieldValue::Bool(true)))
    .collect();
    let mut properties = FieldTable::new();
    properties.insert(ShortStr::from_static("product"), "forebay-client");
    properties.insert(ShortStr::from_static("version"), env!("CARGO_PKG_VERSION"));
    properties.insert(ShortStr::from_static("platform"), "Rust");
    properties.insert(ShortStr::from_static("capabilities"), capabilities);
    if let Some(name) = name {
        properties.insert(ShortStr::from_static("connection_name"), name);
    }
    properties
}
