//! Any bytes where frames are expected: how they are cut makes no difference, and a method that was
//! read is read again from what is written.
#![cfg_attr(fuzzing, no_main)]

use bytes::{Buf, BytesMut};
use forebay_wire::{Frame, FrameDecoder, ProtocolHeader, SendBuffer};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

const FRAME_SIZE_MAX: u32 = 8192;

/// # Panics
/// When a promise is broken.
pub fn run(bytes: &[u8]) {
    let _ = ProtocolHeader::parse(bytes);
    let whole = decode(bytes.chunks(bytes.len().max(1)));
    let cut = decode(bytes.chunks(3));
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
    for frame in &whole.0 {
        if let Frame::Method { channel, method } = frame {
            let mut output = SendBuffer::new();
            output.put_method(*channel, method);
            let written = output.copy_to_bytes(output.remaining());
            let (frames, error) = decode(written.chunks(written.len()));
            assert_eq!(error, None, "{method:?}");
            let [Frame::Method { method: again, .. }] = &frames[..] else { panic!("{frames:?}") };
            assert_eq!(format!("{again:?}"), format!("{method:?}"));
        }
    }
}

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<String>) {
    let mut decoder = FrameDecoder::new(FRAME_SIZE_MAX);
    let (mut input, mut frames) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}
