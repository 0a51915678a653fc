//! A connection that says exactly what it is told to say, right or wrong.

use super::must;
use bytes::{Bytes, BytesMut};
use forebay_wire::method::{
    BasicQos, ChannelClose, ChannelCloseOk, ChannelOpen, ConnectionClose, ConnectionCloseOk,
    ConnectionOpen, ConnectionStartOk, ConnectionTune, ConnectionTuneOk, QueueDeclare,
};
use forebay_wire::{EncodeMethod, Frame, FrameDecoder, Method, PROTOCOL_HEADER};
use forebay_wire::{RawProperties, SendBuffer, ShortStr};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The largest frame that the broker proposes and these connections take.
pub(crate) const FRAME_SIZE_MAX: u32 = 131_072;

pub(crate) struct Raw {
    stream: TcpStream,
    decoder: FrameDecoder,
    input: BytesMut,
}

impl Raw {
    /// A TCP connection, nothing said yet.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = must("connect", TcpStream::connect(address)).await.unwrap();
        Self::on(stream)
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, decoder: FrameDecoder::new(FRAME_SIZE_MAX), input: BytesMut::new() }
    }

    /// Up to and with `connection.start`.
    pub(crate) async fn greet(address: SocketAddr) -> Self {
        Self::connect(address).await.greeted().await
    }

    /// The same from an address of this machine that is not the usual one.
    pub(crate) async fn greet_from(from: SocketAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from).unwrap();
        let stream = must("connect", socket.connect(address)).await.unwrap();
        Self::on(stream).greeted().await
    }

    async fn greeted(mut self) -> Self {
        self.send_bytes(&PROTOCOL_HEADER).await;
        assert!(matches!(self.method().await, Method::ConnectionStart(_)));
        self
    }

    /// Up to and with `connection.tune`.
    pub(crate) async fn log_in(address: SocketAddr) -> (Self, ConnectionTune) {
        let mut raw = Self::greet(address).await;
        raw.send(0, &plain("guest", "guest")).await;
        let Method::ConnectionTune(tune) = raw.method().await else { panic!("no tune") };
        (raw, tune)
    }

    /// Open on the default virtual host, without heartbeats.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, 0).await
    }

    /// Open, with this heartbeat interval in seconds.
    pub(crate) async fn open_with(address: SocketAddr, heartbeat: u16) -> Self {
        let (mut raw, tune) = Self::log_in(address).await;
        let ConnectionTune { channel_max, .. } = tune;
        raw.send(0, &ConnectionTuneOk { channel_max, frame_max: FRAME_SIZE_MAX, heartbeat }).await;
        raw.send(0, &ConnectionOpen { virtual_host: short("/") }).await;
        assert!(matches!(raw.method().await, Method::ConnectionOpenOk(_)));
        raw
    }

    /// Open as this user on this virtual host, with channel 1.
    pub(crate) async fn open_as(
        address: SocketAddr,
        user: &str,
        password: &str,
        vhost: &str,
    ) -> Self {
        let mut raw = Self::greet(address).await;
        raw.send(0, &plain(user, password)).await;
        let Method::ConnectionTune(tune) = raw.method().await else { panic!("no tune") };
        let ConnectionTune { channel_max, .. } = tune;
        let frame_max = FRAME_SIZE_MAX;
        raw.send(0, &ConnectionTuneOk { channel_max, frame_max, heartbeat: 0 }).await;
        raw.send(0, &ConnectionOpen { virtual_host: short(vhost) }).await;
        assert!(matches!(raw.method().await, Method::ConnectionOpenOk(_)));
        raw.send(1, &ChannelOpen {}).await;
        assert!(matches!(raw.method().await, Method::ChannelOpenOk(_)));
        raw
    }

    /// Sends bytes on channel 1 and returns how the broker closes the channel; nothing when it
    /// does not: then it answers what is asked next.
    pub(crate) async fn channel_close(&mut self, bytes: &[u8]) -> Option<ChannelClose> {
        self.send_bytes(bytes).await;
        self.send(1, &BasicQos::default()).await;
        loop {
            match self.frame().await.expect("the broker closed the socket") {
                Frame::Method { method: Method::BasicQosOk(_), .. } => return None,
                Frame::Method { method: Method::ChannelClose(close), .. } => {
                    self.send(1, &ChannelCloseOk {}).await;
                    return Some(close);
                }
                Frame::Method { method: Method::ConnectionClose(close), .. } => {
                    panic!("the connection was closed: {close:?}")
                }
                _ => {}
            }
        }
    }

    /// Channel 1 again, after it was closed.
    pub(crate) async fn open_again(&mut self) {
        self.send(1, &ChannelOpen {}).await;
        assert!(matches!(self.method().await, Method::ChannelOpenOk(_)));
    }

    /// Open, with channel 1.
    pub(crate) async fn open_channel(address: SocketAddr) -> Self {
        let mut raw = Self::open(address).await;
        raw.send(1, &ChannelOpen {}).await;
        assert!(matches!(raw.method().await, Method::ChannelOpenOk(_)));
        raw
    }

    /// Declares a queue on channel 1.
    pub(crate) async fn declare(&mut self, declare: QueueDeclare) -> ShortStr {
        self.send(1, &declare).await;
        let Method::QueueDeclareOk(declared) = self.method().await else { panic!("not declared") };
        declared.queue
    }

    pub(crate) async fn send(&mut self, channel: u16, method: &impl EncodeMethod) {
        let mut buffer = SendBuffer::new();
        buffer.put_method(channel, method);
        self.send_buffer(buffer).await;
    }

    /// A message to the default exchange.
    pub(crate) async fn publish(&mut self, channel: u16, queue: &ShortStr, mode: u8, body: &Bytes) {
        let properties = forebay_wire::Properties {
            delivery_mode: Some(mode),
            ..forebay_wire::Properties::default()
        };
        self.publish_with(channel, queue, &properties, body).await;
    }

    /// The same with properties.
    pub(crate) async fn publish_with(
        &mut self,
        channel: u16,
        queue: &ShortStr,
        properties: &forebay_wire::Properties,
        body: &Bytes,
    ) {
        let properties: RawProperties = properties.encode();
        let mut buffer = SendBuffer::new();
        let bytes = properties.as_bytes();
        buffer.put_publish(channel, b"", queue.as_bytes(), false, bytes, body, FRAME_SIZE_MAX);
        self.send_buffer(buffer).await;
    }

    async fn send_buffer(&mut self, mut buffer: SendBuffer) {
        must("sending", self.stream.write_all_buf(&mut buffer)).await.unwrap();
    }

    /// Bytes as they are. That the broker has gone already is no failure: it says why first.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = must("sending", self.stream.write_all(bytes)).await;
    }

    /// The next frame; nothing when the broker has closed the socket.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(frame);
            }
            match must("bytes", self.stream.read_buf(&mut self.input)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next method, heartbeats passed over.
    pub(crate) async fn method(&mut self) -> Method {
        loop {
            match self.frame().await.expect("the broker closed the socket") {
                Frame::Method { method, .. } => return method,
                Frame::Heartbeat => {}
                other => panic!("no method: {other:?}"),
            }
        }
    }

    /// The `connection.close` that must come, whatever comes before; answered.
    pub(crate) async fn connection_close(&mut self) -> ConnectionClose {
        loop {
            let frame = self.frame().await.expect("the broker closed the socket without a word");
            if let Frame::Method { method: Method::ConnectionClose(close), .. } = frame {
                self.send(0, &ConnectionCloseOk {}).await;
                return close;
            }
        }
    }

    /// Reads until the broker closes the socket, and returns the bytes that were not frames yet.
    pub(crate) async fn rest(mut self) -> BytesMut {
        while let Ok(1..) = must("the end", self.stream.read_buf(&mut self.input)).await {}
        self.input
    }

    /// Closes without a word, like a process that was killed.
    pub(crate) fn abort(self) {
        drop(self.stream);
    }
}

/// The answer of a client that logs in with PLAIN.
pub(crate) fn plain(user: &str, password: &str) -> ConnectionStartOk {
    ConnectionStartOk {
        mechanism: short("PLAIN"),
        response: Bytes::from(format!("\0{user}\0{password}")),
        locale: short("en_US"),
        client_properties: capabilities(),
    }
}

/// Client properties that ask for a word before the broker closes on a failed login, and when it
/// holds publishers.
fn capabilities() -> forebay_wire::FieldTable {
    let mut capabilities = forebay_wire::FieldTable::default();
    for name in ["authentication_failure_close", "connection.blocked"] {
        capabilities.insert(short(name), forebay_wire::FieldValue::Bool(true));
    }
    let mut properties = forebay_wire::FieldTable::default();
    properties.insert(short("capabilities"), forebay_wire::FieldValue::Table(capabilities));
    properties
}

pub(crate) fn short(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

/// A frame as bytes.
pub(crate) fn frame_bytes(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes.push(0xce);
    bytes
}

/// A method on channel 1 as bytes.
pub(crate) fn method_bytes(method: &impl EncodeMethod) -> Vec<u8> {
    frame_bytes(1, 1, &payload(method))
}

/// The payload of a method frame.
pub(crate) fn payload(method: &impl EncodeMethod) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    method.encode(&mut bytes);
    bytes.to_vec()
}
