//! Frames (AMQP 0-9-1, 2.3 and 4.2.3): how methods and content lie in the stream.
//!
//! ```text
//! frame:   type:u8 channel:u16 size:u32 payload:size*u8 end:u8 (0xCE)
//! type 1:  method
//! type 2:  content header: class:u16 weight:u16 (0) body_size:u64 properties
//! type 3:  a part of the body, as it is
//! type 8:  heartbeat: channel 0, no payload
//! ```
//!
//! Decoding has two stages: the seven bytes of the header, judged as soon as they are there, and
//! the payload, parsed when it is there in full. A body is split off and never walked.

use crate::error::{TableFlaw, WireError, WireErrorKind};
use crate::limits::{
    CONTENT_HEADER_FIXED_SIZE, FRAME_ENVELOPE_SIZE, FRAME_HEADER_SIZE, FRAME_SIZE_SLACK,
};
use crate::method::Method;
use crate::raw_properties::RawProperties;
use bytes::{Buf, Bytes, BytesMut};
use nom::Parser;
use nom::number::streaming::{be_u8, be_u16, be_u32};

/// The first eight bytes of a connection (AMQP 0-9-1, 4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// How AMQP 0-9 wrote it. Some clients (AnyEvent::RabbitMQ) still begin so and speak 0-9-1.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

pub(crate) const FRAME_METHOD: u8 = 1;
pub(crate) const FRAME_HEADER: u8 = 2;
pub(crate) const FRAME_BODY: u8 = 3;
pub(crate) const FRAME_HEARTBEAT: u8 = 8;
pub(crate) const FRAME_END: u8 = 0xCE;
pub(crate) const CLASS_BASIC: u16 = 60;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// The beginning of ours: more must come.
    Incomplete,
    /// All of [`PROTOCOL_HEADER`], or that of AMQP 0-9; whatever follows is frames.
    Ours,
    /// Something else, to be answered with [`PROTOCOL_HEADER`] and the end of the connection.
    Foreign,
}

impl ProtocolHeader {
    /// Judges as soon as it can; takes nothing away.
    #[must_use]
    pub fn parse(input: &[u8]) -> Self {
        const OURS: [[u8; 8]; 2] = [PROTOCOL_HEADER, PROTOCOL_HEADER_0_9];
        match input.first_chunk() {
            Some(header) if OURS.contains(header) => Self::Ours,
            None if OURS.iter().any(|ours| ours.starts_with(input)) => Self::Incomplete,
            _ => Self::Foreign,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A method.
    Method {
        /// The channel.
        channel: u16,
        /// The method.
        method: Method,
    },
    /// A content header.
    Header {
        /// The channel, not 0.
        channel: u16,
        /// What it says.
        header: ContentHeader,
    },
    /// A part of a body.
    Body {
        /// The channel, not 0.
        channel: u16,
        /// The bytes, sharing the memory they were received in.
        body: Bytes,
    },
    /// A sign of life.
    Heartbeat,
}

/// What stands in front of a body (AMQP 0-9-1, 2.3.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHeader {
    /// The class of the method it belongs to: always 60, basic.
    pub class_id: u16,
    /// Bytes of all body frames together; not bounded here.
    pub body_size: u64,
    /// The properties.
    pub properties: RawProperties,
}

impl ContentHeader {
    /// Decodes the payload of a header frame.
    ///
    /// # Errors
    /// 501 when it is too short, 505 when it is not of class basic or has a weight, 502 when a
    /// property is malformed.
    pub fn decode(payload: Bytes) -> Result<Self, WireError> {
        use nom::number::complete::{be_u16, be_u64};
        let parsed: nom::IResult<&[u8], _, TableFlaw> = (be_u16, be_u16, be_u64).parse(&payload);
        let Ok((_properties @ [_, _, ..], (class_id, weight, body_size))) = parsed else {
            return Err(WireErrorKind::ContentHeaderTooShort { size: payload.len() }.into());
        };
        if class_id != CLASS_BASIC {
            return Err(WireErrorKind::ContentClass { class_id }.into());
        }
        if weight != 0 {
            let kind = WireErrorKind::ContentWeight { weight };
            return Err(WireError::of_method(kind, class_id, 0));
        }
        let properties = RawProperties::parse(payload.slice(CONTENT_HEADER_FIXED_SIZE..))?;
        Ok(Self { class_id, body_size, properties })
    }
}

/// Takes frames off the front of what was received.
#[derive(Clone, Copy, Debug)]
pub struct FrameDecoder {
    frame_size_max: u32,
}

#[derive(Clone, Copy)]
struct FrameHeader {
    frame_type: u8,
    channel: u16,
    size: u32,
}

impl FrameDecoder {
    /// With a limit on whole frames, in bytes, envelope included. Frames up to
    /// `FRAME_SIZE_SLACK` bytes larger are let through.
    #[must_use]
    pub const fn new(frame_size_max: u32) -> Self {
        Self { frame_size_max }
    }

    /// Changes the limit: after negotiation.
    pub const fn set_frame_size_max(&mut self, frame_size_max: u32) {
        self.frame_size_max = frame_size_max;
    }

    /// Takes one frame, or nothing while it is not there in full. After an error the stream can't
    /// be read on; `input` is then in no particular state.
    ///
    /// # Errors
    /// As soon as a frame's header shows it: 501 for an unknown type or a size above the limit,
    /// 505 for content or heartbeats on the wrong channel. Then whatever its end or payload have
    /// wrong.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        let Some(header) = parse_header(input) else {
            return Ok(None);
        };
        self.judge(header)?;
        let size = header.size as usize;
        let Some((payload, &[end, ..])) =
            input.get(FRAME_HEADER_SIZE..).and_then(|rest| rest.split_at_checked(size))
        else {
            input.reserve((size + FRAME_ENVELOPE_SIZE).saturating_sub(input.len()));
            return Ok(None);
        };
        if end != FRAME_END {
            return Err(WireErrorKind::FrameEnd { found: end }.into());
        }
        match header.frame_type {
            FRAME_METHOD if Method::is_plain(payload) => decode_plain_method(header, input),
            FRAME_METHOD => decode_method(header.channel, &take_payload(size, input)),
            FRAME_HEADER => decode_content_header(header.channel, take_payload(size, input)),
            FRAME_BODY => {
                let body = take_payload(size, input);
                Ok(Some(Frame::Body { channel: header.channel, body }))
            }
            _ => {
                input.advance(FRAME_ENVELOPE_SIZE);
                Ok(Some(Frame::Heartbeat))
            }
        }
    }

    fn judge(self, header: FrameHeader) -> Result<(), WireErrorKind> {
        let FrameHeader { frame_type, channel, size } = header;
        let limit = self.frame_size_max;
        match frame_type {
            FRAME_METHOD => {}
            FRAME_HEADER | FRAME_BODY if channel == 0 => {
                return Err(WireErrorKind::ContentOnChannelZero);
            }
            FRAME_HEADER | FRAME_BODY => {}
            FRAME_HEARTBEAT if channel != 0 => {
                return Err(WireErrorKind::HeartbeatChannel { channel });
            }
            FRAME_HEARTBEAT if size != 0 => return Err(WireErrorKind::HeartbeatPayload { size }),
            FRAME_HEARTBEAT => {}
            _ => return Err(WireErrorKind::FrameType { frame_type }),
        }
        let allowed = u64::from(limit) + u64::from(FRAME_SIZE_SLACK);
        if u64::from(size) + FRAME_ENVELOPE_SIZE as u64 > allowed {
            return Err(WireErrorKind::FrameTooLarge { size, limit });
        }
        Ok(())
    }
}

/// The first stage: nothing until all seven bytes are there.
fn parse_header(input: &[u8]) -> Option<FrameHeader> {
    let parsed: nom::IResult<&[u8], _, TableFlaw> = (be_u8, be_u16, be_u32).parse(input);
    let (_payload, (frame_type, channel, size)) = parsed.ok()?;
    Some(FrameHeader { frame_type, channel, size })
}

// The functions below return what `decode` returns, so that a frame is made in its caller's place:
// it is large, and moving it costs more than making it.

/// Acks and their like are read where they lie: a share in the read buffer would cost more than
/// they do.
fn decode_plain_method(
    header: FrameHeader,
    input: &mut BytesMut,
) -> Result<Option<Frame>, WireError> {
    let (channel, end) = (header.channel, FRAME_HEADER_SIZE + header.size as usize);
    let payload = input.get(FRAME_HEADER_SIZE..end).unwrap_or_default();
    let frame = Method::decode_with(payload, &Bytes::new(), |method| {
        Some(Frame::Method { channel, method })
    });
    input.advance(end + 1);
    frame
}

fn decode_method(channel: u16, payload: &Bytes) -> Result<Option<Frame>, WireError> {
    Method::decode_with(payload, payload, |method| Some(Frame::Method { channel, method }))
}

fn decode_content_header(channel: u16, payload: Bytes) -> Result<Option<Frame>, WireError> {
    let header = ContentHeader::decode(payload)?;
    Ok(Some(Frame::Header { channel, header }))
}

/// Splits the payload off, and drops the bytes around it.
fn take_payload(size: usize, input: &mut BytesMut) -> Bytes {
    input.advance(FRAME_HEADER_SIZE);
    let payload = input.split_to(size).freeze();
    input.advance(1);
    payload
}
