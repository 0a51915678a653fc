//! A blocking connection with one channel, as thin as it can be: what is measured is the broker.

use bytes::{Bytes, BytesMut};
use forebay_wire::method::{
    BasicConsume, BasicQos, ChannelOpen, ConfirmSelect, ConnectionClose, ConnectionOpen,
    ConnectionStartOk, ConnectionTuneOk, QueueDeclare,
};
use forebay_wire::{
    EncodeMethod, Frame, FrameDecoder, Method, PROTOCOL_HEADER, SendBuffer, ShortStr,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The largest frame, as RabbitMQ proposes it.
pub(crate) const FRAME_SIZE_MAX: u32 = 131_072;

/// Bytes asked for in one read.
const READ_SIZE: usize = 256 * 1024;

pub(crate) const CHANNEL: u16 = 1;

pub(crate) struct Wire {
    stream: TcpStream,
    decoder: FrameDecoder,
    input: BytesMut,
    scratch: Vec<u8>,
}

impl Wire {
    /// Connects as guest and opens a channel.
    pub(crate) fn open(address: SocketAddr) -> std::io::Result<Self> {
        let mut wire = Self::connect(address)?;
        wire.call(&ChannelOpen {})?;
        Ok(wire)
    }

    /// Connects as guest, without a channel.
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let decoder = FrameDecoder::new(FRAME_SIZE_MAX);
        let mut wire =
            Self { stream, decoder, input: BytesMut::new(), scratch: vec![0; READ_SIZE] };
        wire.stream.write_all(&PROTOCOL_HEADER)?;
        wire.method()?;
        let start_ok = ConnectionStartOk {
            mechanism: short("PLAIN"),
            response: Bytes::from_static(b"\0guest\0guest"),
            locale: short("en_US"),
            ..ConnectionStartOk::default()
        };
        wire.send(0, &start_ok)?;
        wire.method()?;
        let tune_ok = ConnectionTuneOk { channel_max: 10, frame_max: FRAME_SIZE_MAX, heartbeat: 0 };
        wire.send(0, &tune_ok)?;
        wire.send(0, &ConnectionOpen { virtual_host: short("/") })?;
        wire.method()?;
        Ok(wire)
    }

    pub(crate) fn declare(&mut self, queue: &str) {
        let declare = QueueDeclare { queue: short(queue), durable: true, ..<_>::default() };
        self.call(&declare).unwrap();
    }

    pub(crate) fn select_confirms(&mut self) {
        self.call(&ConfirmSelect { no_wait: false }).unwrap();
    }

    /// Consumes with acknowledgements and no limit on what is unacknowledged.
    pub(crate) fn consume(&mut self, queue: &str) {
        self.call(&BasicQos::default()).unwrap();
        self.call(&BasicConsume { queue: short(queue), ..<_>::default() }).unwrap();
    }

    /// Closes in order: when this returns, the broker has taken all that was sent.
    pub(crate) fn close(mut self) {
        let close = ConnectionClose { reply_code: 200, reply_text: short("bye"), ..<_>::default() };
        self.send(0, &close).unwrap();
        while !matches!(
            self.frame().unwrap(),
            Frame::Method { method: Method::ConnectionCloseOk(_), .. }
        ) {}
    }

    pub(crate) fn send(&mut self, channel: u16, method: &impl EncodeMethod) -> std::io::Result<()> {
        let mut buffer = SendBuffer::new();
        buffer.put_method(channel, method);
        self.write(&mut buffer)
    }

    pub(crate) fn write(&mut self, buffer: &mut SendBuffer) -> std::io::Result<()> {
        use bytes::Buf;
        while buffer.has_remaining() {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let filled = buffer.chunks_vectored(&mut slices);
            let written = self.stream.write_vectored(&slices[..filled])?;
            buffer.advance(written);
        }
        Ok(())
    }

    /// A frame that has been received already.
    pub(crate) fn received(&mut self) -> Option<Frame> {
        self.decoder.decode(&mut self.input).unwrap()
    }

    /// Waits for a frame.
    pub(crate) fn frame(&mut self) -> std::io::Result<Frame> {
        loop {
            if let Some(frame) = self.received() {
                return Ok(frame);
            }
            let count = self.stream.read(&mut self.scratch)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&self.scratch[..count]);
        }
    }

    /// Sends a method on the channel and waits for its answer.
    pub(crate) fn call(&mut self, method: &impl EncodeMethod) -> std::io::Result<Method> {
        self.send(CHANNEL, method)?;
        self.method()
    }

    fn method(&mut self) -> std::io::Result<Method> {
        match self.frame()? {
            Frame::Method { method: Method::ConnectionClose(close), .. } => {
                panic!("refused: {} {}", close.reply_code, close.reply_text)
            }
            Frame::Method { method, .. } => Ok(method),
            other => panic!("no method: {other:?}"),
        }
    }
}

pub(crate) fn short(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}
