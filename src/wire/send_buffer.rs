//! What waits to be written to a socket, as frames.
//!
//! Small pieces are copied one behind the other; a large body becomes a segment of its own and is
//! written from where it lies. The whole is a [`Buf`], so that one vectored write takes many
//! frames. Nobody waits here: whoever fills it watches [`SendBuffer::len`].

use crate::frame::{
    CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD,
    PROTOCOL_HEADER,
};
use crate::limits::{
    BODY_INLINE_SIZE_MAX, CONTENT_HEADER_FIXED_SIZE, FRAME_ENVELOPE_SIZE, FRAME_HEADER_SIZE,
    FRAME_SIZE_MIN,
};
use crate::method::EncodeMethod;
use crate::raw_properties::RawProperties;
use crate::short_str::ShortStr;
use crate::writer::short;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Class and method of `basic.deliver`.
const BASIC_DELIVER: u32 = 60 << 16 | 60;
/// Class and method of `basic.publish`.
const BASIC_PUBLISH: u32 = 60 << 16 | 40;
/// Class, method, delivery tag and flag: what `basic.deliver` holds beside its strings.
const DELIVER_FIXED_SIZE: usize = 4 + 8 + 1;
/// Class, method, reserved ticket and flags: what `basic.publish` holds beside its strings.
const PUBLISH_FIXED_SIZE: usize = 4 + 2 + 1;

/// Frames on their way out, in order.
#[derive(Debug, Default)]
pub struct SendBuffer {
    /// What goes first: sealed pieces of the tail, and bodies.
    segments: VecDeque<Bytes>,
    /// Bytes of all segments.
    segments_size: usize,
    /// What goes last, still growing.
    tail: BytesMut,
}

/// What a message carries beside its method.
#[derive(Clone, Copy)]
struct Content<'a> {
    properties: &'a [u8],
    body: &'a Bytes,
    frame_size_max: u32,
}

impl SendBuffer {
    /// An empty one; it allocates with the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments_size + self.tail.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The protocol header: the first bytes of a client, or the answer to a foreign one.
    pub fn put_protocol_header(&mut self) {
        self.tail.put_slice(&PROTOCOL_HEADER);
    }

    /// A heartbeat.
    pub fn put_heartbeat(&mut self) {
        self.put_frame_header(FRAME_HEARTBEAT, 0, 0);
        self.tail.put_u8(FRAME_END);
    }

    /// A method without content. Methods can't be split: the caller keeps tables and strings
    /// within the frame size limit.
    pub fn put_method(&mut self, channel: u16, method: &impl EncodeMethod) {
        let start = self.tail.len();
        self.put_frame_header(FRAME_METHOD, channel, 0);
        method.encode(&mut self.tail);
        let size = self.tail.len() - start - FRAME_HEADER_SIZE;
        let size_place = start + FRAME_HEADER_SIZE - 4..start + FRAME_HEADER_SIZE;
        if let Some(place) = self.tail.get_mut(size_place) {
            place.copy_from_slice(&(size as u32).to_be_bytes());
        }
        self.tail.put_u8(FRAME_END);
    }

    /// A method with content: `frame_size_max` (bytes of a whole frame, 0 counts as the smallest
    /// limit) says how the body is split.
    pub fn put_content(
        &mut self,
        channel: u16,
        method: &impl EncodeMethod,
        properties: &RawProperties,
        body: &Bytes,
        frame_size_max: u32,
    ) {
        self.put_method(channel, method);
        let properties = properties.as_bytes();
        self.put_header_and_body(channel, Content { properties, body, frame_size_max });
    }

    /// `basic.deliver` with its content, from the parts of a stored message. Strings are at most
    /// 255 bytes, `properties` well-formed.
    #[allow(clippy::too_many_arguments, reason = "the fields of basic.deliver, and the content")]
    pub fn put_deliver(
        &mut self,
        channel: u16,
        consumer_tag: &ShortStr,
        delivery_tag: u64,
        redelivered: bool,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        body: &Bytes,
        frame_size_max: u32,
    ) {
        let consumer_tag = consumer_tag.as_bytes();
        let strings_size = 3 + consumer_tag.len() + exchange.len() + routing_key.len();
        self.put_content_method_header(channel, DELIVER_FIXED_SIZE + strings_size, properties);
        self.tail.put_u32(BASIC_DELIVER);
        short(&mut self.tail, consumer_tag);
        self.tail.put_u64(delivery_tag);
        self.tail.put_u8(u8::from(redelivered));
        short(&mut self.tail, exchange);
        short(&mut self.tail, routing_key);
        self.tail.put_u8(FRAME_END);
        self.put_header_and_body(channel, Content { properties, body, frame_size_max });
    }

    /// `basic.publish` with its content; the rest as [`SendBuffer::put_deliver`].
    #[allow(clippy::too_many_arguments, reason = "the fields of basic.publish, and the content")]
    pub fn put_publish(
        &mut self,
        channel: u16,
        exchange: &[u8],
        routing_key: &[u8],
        mandatory: bool,
        properties: &[u8],
        body: &Bytes,
        frame_size_max: u32,
    ) {
        let strings_size = 2 + exchange.len() + routing_key.len();
        self.put_content_method_header(channel, PUBLISH_FIXED_SIZE + strings_size, properties);
        self.tail.put_u32(BASIC_PUBLISH);
        self.tail.put_u16(0);
        short(&mut self.tail, exchange);
        short(&mut self.tail, routing_key);
        self.tail.put_u8(u8::from(mandatory));
        self.tail.put_u8(FRAME_END);
        self.put_header_and_body(channel, Content { properties, body, frame_size_max });
    }

    /// Makes room once for method and content header, and begins the method's frame.
    fn put_content_method_header(&mut self, channel: u16, size: usize, properties: &[u8]) {
        let header_size = CONTENT_HEADER_FIXED_SIZE + properties.len();
        self.tail.reserve(size + header_size + 2 * FRAME_ENVELOPE_SIZE);
        self.put_frame_header(FRAME_METHOD, channel, size);
    }

    fn put_header_and_body(&mut self, channel: u16, content: Content<'_>) {
        let Content { properties, body, frame_size_max } = content;
        self.put_frame_header(FRAME_HEADER, channel, CONTENT_HEADER_FIXED_SIZE + properties.len());
        self.tail.put_u32(u32::from(CLASS_BASIC) << 16);
        self.tail.put_u64(body.len() as u64);
        self.tail.put_slice(properties);
        self.tail.put_u8(FRAME_END);
        let part_size_max = frame_size_max.max(FRAME_SIZE_MIN) as usize - FRAME_ENVELOPE_SIZE;
        let mut start = 0;
        while start < body.len() {
            let end = body.len().min(start + part_size_max);
            self.put_frame_header(FRAME_BODY, channel, end - start);
            self.put_bytes(body, start, end);
            self.tail.put_u8(FRAME_END);
            start = end;
        }
    }

    /// A part of a body: copied when it is small, else a segment of its own.
    fn put_bytes(&mut self, body: &Bytes, start: usize, end: usize) {
        if end - start > BODY_INLINE_SIZE_MAX {
            self.seal_tail();
            self.push_segment(body.slice(start..end));
        } else {
            self.tail.put_slice(body.get(start..end).unwrap_or_default());
        }
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let sealed = self.tail.split().freeze();
            self.push_segment(sealed);
        }
    }

    fn push_segment(&mut self, segment: Bytes) {
        self.segments_size += segment.len();
        self.segments.push_back(segment);
    }

    fn put_frame_header(&mut self, frame_type: u8, channel: u16, size: usize) {
        self.tail.put_u8(frame_type);
        self.tail.put_u16(channel);
        self.tail.put_u32(size as u32);
    }
}

impl Buf for SendBuffer {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&self.tail, |segment| segment)
    }

    /// Takes what was written off the front.
    ///
    /// # Panics
    /// When more is taken than waits, as [`Buf`] demands.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "more written than was waiting");
        while count > 0 {
            let Some(front) = self.segments.front_mut() else {
                self.tail.advance(count);
                return;
            };
            let taken = count.min(front.len());
            front.advance(taken);
            if front.is_empty() {
                self.segments.pop_front();
            }
            self.segments_size -= taken;
            count -= taken;
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = Some(self.tail.as_ref()).filter(|tail| !tail.is_empty());
        let chunks = self.segments.iter().map(|segment| segment.as_ref()).chain(tail);
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }
}
