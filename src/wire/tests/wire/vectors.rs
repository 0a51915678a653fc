//! The golden vectors of `protocol-spec/vectors/`, through decoder and encoder: whole, byte by
//! byte, and cut in two at every place.

use crate::vector_file::{self, Close, Vector};
use bytes::{Buf, Bytes, BytesMut};
use forebay_wire::{Frame, FrameDecoder, Method, SendBuffer};

/// What came out of a decoder, in terms of a vector.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    frames: Vec<Frame>,
    close: Option<Close>,
}

struct Receiver {
    decoder: FrameDecoder,
    input: BytesMut,
    received: usize,
    outcome: Outcome,
}

impl Receiver {
    fn new(vector: &Vector) -> Self {
        Self {
            decoder: FrameDecoder::new(vector.frame_size_max),
            input: BytesMut::new(),
            received: 0,
            outcome: Outcome::default(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.outcome.close.is_some() {
            return;
        }
        self.input.extend_from_slice(bytes);
        self.received += bytes.len();
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(frame)) => self.outcome.frames.push(frame),
                Ok(None) => return,
                Err(error) => {
                    self.outcome.close = Some(Close {
                        reply_code: error.reply_code().code(),
                        class_id: error.class_id,
                        method_id: error.method_id,
                        after: self.received,
                    });
                    return;
                }
            }
        }
    }

    fn finish(self) -> Outcome {
        if self.outcome.close.is_none() {
            assert!(self.input.is_empty(), "bytes are left over");
        }
        self.outcome
    }
}

fn whole(vector: &Vector) -> Outcome {
    let mut receiver = Receiver::new(vector);
    receiver.receive(&vector.bytes);
    receiver.finish()
}

#[test]
fn every_vector_means_what_it_says() {
    for vector in vector_file::all() {
        let outcome = whole(&vector);
        let frames: Vec<_> = outcome.frames.iter().map(|frame| format!("{frame:?}")).collect();
        assert_eq!(frames, vector.frames, "{}", vector.name);
        let ids = |close: Close| (close.reply_code, close.class_id, close.method_id);
        assert_eq!(outcome.close.map(ids), vector.close.map(ids), "{}", vector.name);
    }
}

#[test]
fn byte_by_byte_it_means_the_same_and_faults_are_seen_at_once() {
    for vector in vector_file::all() {
        let mut receiver = Receiver::new(&vector);
        for byte in &vector.bytes {
            receiver.receive(&[*byte]);
        }
        let outcome = receiver.finish();
        assert_eq!(outcome.close, vector.close, "{}", vector.name);
        assert_eq!(outcome.frames, whole(&vector).frames, "{}", vector.name);
    }
}

#[test]
fn cut_at_every_place_it_means_the_same() {
    for vector in vector_file::all() {
        let expected = whole(&vector);
        for place in 0..vector.bytes.len() {
            let (front, back) = vector.bytes.split_at(place);
            let mut receiver = Receiver::new(&vector);
            receiver.receive(front);
            receiver.receive(back);
            let outcome = receiver.finish();
            assert_eq!(outcome.frames, expected.frames, "{} at {place}", vector.name);
            let code = |outcome: &Outcome| outcome.close.map(|close| close.reply_code);
            assert_eq!(code(&outcome), code(&expected), "{} at {place}", vector.name);
        }
    }
}

#[test]
fn all_valid_vectors_in_one_stream_are_all_their_frames() {
    let vectors = vector_file::all();
    let valid = || vectors.iter().filter(|vector| vector.close.is_none());
    let stream: BytesMut = valid().flat_map(|vector| vector.bytes.iter().copied()).collect();
    let mut receiver = Receiver::new(&Vector { frame_size_max: 131_072, ..Vector::default() });
    receiver.receive(&stream);
    let expected: Vec<Frame> = valid().flat_map(|vector| whole(vector).frames).collect();
    assert_eq!(receiver.finish(), Outcome { frames: expected, close: None });
}

#[test]
fn the_encoder_writes_every_vector_as_it_stands() {
    for vector in vector_file::all() {
        if vector.close.is_none() && !vector.is_oneway {
            let frames = whole(&vector).frames;
            let written = write(frames, vector.frame_size_max);
            assert_eq!(written, vector.bytes, "{}", vector.name);
        }
    }
}

/// Puts frames into a send buffer as a peer would: content with its method.
fn write(frames: Vec<Frame>, frame_size_max: u32) -> Bytes {
    let mut out = SendBuffer::new();
    let mut frames = frames.into_iter().peekable();
    while let Some(frame) = frames.next() {
        match frame {
            Frame::Method { channel, method } if method.carries_content() => {
                let Some(Frame::Header { header, .. }) = frames.next() else {
                    panic!("{} without a content header", method.name());
                };
                let mut body = BytesMut::new();
                while let Some(Frame::Body { body: part, .. }) =
                    frames.next_if(|frame| matches!(frame, Frame::Body { .. }))
                {
                    body.extend_from_slice(&part);
                }
                assert_eq!(body.len() as u64, header.body_size);
                let body = body.freeze();
                out.put_content(channel, &method, &header.properties, &body, frame_size_max);
            }
            Frame::Method { channel, method } => out.put_method(channel, &method),
            Frame::Heartbeat => out.put_heartbeat(),
            stray => panic!("{stray:?} without a method"),
        }
    }
    let size = out.remaining();
    out.copy_to_bytes(size)
}

#[test]
fn strings_and_bodies_are_slices_of_what_was_received() {
    for vector in vector_file::all() {
        let mut input = BytesMut::from(vector.bytes.as_slice());
        let memory = input.as_ptr_range();
        let mut decoder = FrameDecoder::new(vector.frame_size_max);
        while let Ok(Some(frame)) = decoder.decode(&mut input) {
            let parts: Vec<Bytes> = match frame {
                Frame::Body { body, .. } => vec![body],
                Frame::Method { method: Method::BasicPublish(publish), .. } => {
                    vec![publish.exchange.into_bytes(), publish.routing_key.into_bytes()]
                }
                Frame::Header { header, .. } => vec![header.properties.into_bytes()],
                _ => vec![],
            };
            for part in parts.iter().filter(|part| !part.is_empty()) {
                assert!(memory.contains(&part.as_ptr()), "{}", vector.name);
            }
        }
    }
}
