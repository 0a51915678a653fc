//! A virtual client: writes bytes, reads bytes, and knows of its channels what a client can know.

use crate::channel::{Asked, Channel};
use crate::history::History;
use bytes::{Buf, Bytes, BytesMut};
use forebay_wire::method::*;
use forebay_wire::{
    EncodeMethod, FieldTable, FieldValue, Frame, FrameDecoder, Method, PROTOCOL_HEADER, Properties,
    SendBuffer, ShortStr,
};
use std::collections::BTreeMap;

const FRAME_SIZE_MAX: u32 = 131_072;

/// How large a message's body is is told by its number.
pub(crate) fn body(id: u64) -> Bytes {
    let size = match id % 64 {
        0 => 9_000,
        1 if id & LARGE != 0 => 700_000,
        _ => 8 + (id % 50) as usize,
    };
    let mut body = id.to_be_bytes().to_vec();
    body.resize(size, id as u8);
    Bytes::from(body)
}

/// Set in the numbers of runs with large messages.
pub(crate) const LARGE: u64 = 1 << 40;

/// What a client asks for with `basic.consume`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Consumer<'a> {
    pub(crate) queue: &'a str,
    pub(crate) no_ack: bool,
    pub(crate) priority: i32,
    /// The queue takes its messages back soon.
    pub(crate) is_hasty: bool,
    /// For how long it may hold a message, in ms.
    pub(crate) lease: Option<i32>,
}

#[derive(Debug)]
pub(crate) struct Client {
    decoder: FrameDecoder,
    input: BytesMut,
    output: SendBuffer,
    frame_size_max: u32,
    pub(crate) is_open: bool,
    /// It has said goodbye.
    pub(crate) is_closing: bool,
    pub(crate) is_closed: bool,
    pub(crate) channels: BTreeMap<u16, Channel>,
    last_consumer: u64,
}

impl Client {
    /// A client that has sent all that a handshake takes, without waiting for answers.
    pub(crate) fn connect(frame_size_max: u32) -> Self {
        let mut output = SendBuffer::new();
        output.put_protocol_header();
        debug_assert_eq!(output.chunk(), PROTOCOL_HEADER);
        let capabilities = ["authentication_failure_close", "consumer_cancel_notify", "basic.nack"];
        let capabilities: FieldTable = capabilities
            .into_iter()
            .map(|name| (ShortStr::from_static(name), FieldValue::Bool(true)))
            .collect();
        let mut client_properties = FieldTable::new();
        client_properties.insert(ShortStr::from_static("capabilities"), capabilities);
        let start_ok = ConnectionStartOk {
            client_properties,
            mechanism: ShortStr::from_static("PLAIN"),
            response: Bytes::from_static(b"\0guest\0guest"),
            locale: ShortStr::from_static("en_US"),
        };
        output.put_method(0, &start_ok);
        let tune = ConnectionTuneOk { channel_max: 16, frame_max: frame_size_max, heartbeat: 0 };
        output.put_method(0, &tune);
        output.put_method(0, &ConnectionOpen { virtual_host: ShortStr::from_static("/") });
        Self {
            decoder: FrameDecoder::new(FRAME_SIZE_MAX),
            input: BytesMut::new(),
            output,
            frame_size_max,
            is_open: false,
            is_closing: false,
            is_closed: false,
            channels: BTreeMap::new(),
            last_consumer: 0,
        }
    }

    pub(crate) fn take_written(&mut self) -> Bytes {
        self.output.copy_to_bytes(self.output.remaining())
    }

    /// Sends a method to which an answer is due.
    pub(crate) fn ask(&mut self, channel: u16, method: &impl EncodeMethod, asked: Asked) {
        self.channels.get_mut(&channel).unwrap().asked.push_back(asked);
        self.output.put_method(channel, method);
    }

    /// Sends a method that is not answered.
    pub(crate) fn tell(&mut self, channel: u16, method: &impl EncodeMethod) {
        self.output.put_method(channel, method);
    }

    pub(crate) fn open_channel(&mut self, number: u16) {
        self.channels.insert(number, Channel::default());
        self.ask(number, &ChannelOpen {}, Asked::Anything);
    }

    pub(crate) fn close_channel(&mut self, number: u16) {
        let close = ChannelClose { reply_code: 200, ..ChannelClose::default() };
        self.ask(number, &close, Asked::Close);
        self.channels.get_mut(&number).unwrap().is_closing = true;
    }

    pub(crate) fn publish(
        &mut self,
        channel: u16,
        publish: &BasicPublish,
        properties: &Properties,
        id: u64,
    ) {
        self.channels.get_mut(&channel).unwrap().publish(id);
        let properties = properties.encode();
        self.output.put_content(channel, publish, &properties, &body(id), self.frame_size_max);
    }

    /// Says of a delivery what no method says.
    pub(crate) fn instruct(&mut self, channel: u16, key: &'static str, headers: FieldTable) {
        self.channels.get_mut(&channel).unwrap().instruct();
        let publish =
            BasicPublish { routing_key: ShortStr::from_static(key), ..BasicPublish::default() };
        let properties = Properties { headers: Some(headers), ..Properties::default() }.encode();
        self.output.put_content(channel, &publish, &properties, &Bytes::new(), self.frame_size_max);
    }

    pub(crate) fn consume(&mut self, channel: u16, consumer: Consumer<'_>) {
        let Consumer { queue, no_ack, priority, is_hasty, lease } = consumer;
        self.last_consumer += 1;
        let tag = ShortStr::try_from(format!("consumer-{}", self.last_consumer)).unwrap();
        let state = self.channels.get_mut(&channel).unwrap();
        state.subscribe(tag.clone(), queue.to_owned(), no_ack, is_hasty);
        let mut arguments = FieldTable::new();
        arguments.insert(ShortStr::from_static("x-priority"), FieldValue::I32(priority));
        if let Some(lease) = lease {
            arguments.insert(ShortStr::from_static("x-lease"), FieldValue::I32(lease));
        }
        let queue = ShortStr::try_from(queue).unwrap();
        let consumer_tag = tag;
        let consume =
            BasicConsume { queue, consumer_tag, no_ack, arguments, ..BasicConsume::default() };
        self.ask(channel, &consume, Asked::Anything);
    }

    pub(crate) fn close(&mut self) {
        self.output.put_method(0, &ConnectionClose { reply_code: 200, ..<_>::default() });
        self.is_closing = true;
    }

    /// Bytes from the broker.
    pub(crate) fn read(&mut self, bytes: BytesMut, history: &mut History) {
        self.input.extend_from_slice(&bytes);
        while let Some(frame) = self.decoder.decode(&mut self.input).expect("frames") {
            self.handle(frame, history);
        }
    }

    fn handle(&mut self, frame: Frame, history: &mut History) {
        match frame {
            Frame::Heartbeat => {}
            Frame::Method { channel: 0, method } => match method {
                Method::ConnectionStart(_) | Method::ConnectionTune(_) => {}
                Method::ConnectionOpenOk(_) => self.is_open = true,
                Method::ConnectionCloseOk(_) => self.is_closed = true,
                other => panic!("on channel 0: {other:?}"),
            },
            Frame::Method { channel, method: Method::ChannelClose(close) } => {
                let state = self.channels.get(&channel).expect("a channel that is open");
                let text = &close.reply_text;
                assert!(state.may_fail, "the broker closes a channel: {text}");
                self.output.put_method(channel, &ChannelCloseOk {});
                // Where both sides close at once, the broker answers too.
                if !state.is_closing {
                    self.channels.remove(&channel);
                }
            }
            Frame::Method { channel, method: Method::ChannelCloseOk(_) } => {
                let state = self.channels.remove(&channel).expect("a channel that is open");
                assert!(state.is_closing);
            }
            frame => self.handle_on_channel(frame, history),
        }
    }

    fn handle_on_channel(&mut self, frame: Frame, history: &mut History) {
        let number = match &frame {
            Frame::Method { channel, .. }
            | Frame::Header { channel, .. }
            | Frame::Body { channel, .. } => *channel,
            Frame::Heartbeat => return,
        };
        let Some(state) = self.channels.get_mut(&number) else { panic!("{number} is not open") };
        match frame {
            Frame::Method { method, .. } => state.handle(method, history),
            Frame::Header { header, .. } => state.handle_header(header),
            Frame::Body { body, .. } => state.handle_body(&body),
            Frame::Heartbeat => {}
        }
    }
}
