//! Reading a socket without a buffer per connection: every worker thread has one receive buffer,
//! and a connection keeps only what it has not yet understood. An idle connection keeps nothing.

use crate::limits::{READ_BYTES_MAX, READ_COPY_BYTES_MAX};
use bytes::BytesMut;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

thread_local! {
    static RECEIVED: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Reads once, without waiting, and adds what came to `input`. Returns how many bytes came; 0 is
/// the end of the stream.
///
/// # Errors
/// What the socket says, `WouldBlock` included.
pub fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    // Polled rather than tried: tokio then knows that a read which did not fill its buffer has
    // emptied the socket, and spares the second one that would find nothing.
    let mut context = Context::from_waker(Waker::noop());
    read_with(input, |received| match poll_read_buf(Pin::new(stream), &mut context, received) {
        Poll::Ready(read) => read,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    })
}

/// Reads with whatever puts bytes into a buffer, which has room for at least half of
/// [`READ_BYTES_MAX`] behind what it holds.
///
/// # Errors
/// What `read` says.
pub fn read_with(
    input: &mut BytesMut,
    read: impl FnOnce(&mut BytesMut) -> io::Result<usize>,
) -> io::Result<usize> {
    if input.len() > READ_BYTES_MAX / 2 {
        // The rest of a large frame: it is nearly as large as all that can come.
        input.reserve(READ_BYTES_MAX);
        return read(input);
    }
    RECEIVED.with_borrow_mut(|received| {
        received.clear();
        received.reserve(READ_BYTES_MAX);
        // In front of what comes, so that only this little is copied.
        received.extend_from_slice(input);
        let count = read(received)?;
        if received.len() > READ_COPY_BYTES_MAX {
            *input = std::mem::take(received);
        } else {
            *input = BytesMut::from(received.as_ref());
        }
        Ok(count)
    })
}

/// Gives back the memory of an input that was wholly understood.
pub fn release(input: &mut BytesMut) {
    if input.is_empty() {
        *input = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` as if a socket had them.
    fn receive(input: &mut BytesMut, bytes: &[u8]) {
        let count = read_with(input, |buffer| {
            assert!(buffer.capacity() - buffer.len() >= READ_BYTES_MAX / 2);
            buffer.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        assert_eq!(count.unwrap(), bytes.len());
    }

    #[test]
    fn a_small_read_costs_its_own_size_and_a_large_one_no_copy() {
        let mut input = BytesMut::new();
        receive(&mut input, b"abc");
        assert_eq!((input.as_ref(), input.capacity()), (b"abc".as_ref(), 3));

        input.clear();
        let mut address = std::ptr::null();
        read_with(&mut input, |buffer| {
            buffer.resize(READ_COPY_BYTES_MAX + 1, b'x');
            address = buffer.as_ptr();
            Ok(buffer.len())
        })
        .unwrap();
        assert_eq!(input.as_ptr(), address);
    }

    #[test]
    fn what_was_not_understood_stays_in_front() {
        for (rest, more) in [(2, 2), (100, READ_BYTES_MAX / 2), (READ_BYTES_MAX, 100)] {
            let mut input = BytesMut::from(vec![b'r'; rest].as_slice());
            receive(&mut input, &vec![b'm'; more]);
            assert_eq!(input.len(), rest + more);
            assert!(input[..rest].iter().all(|byte| *byte == b'r'));
            assert!(input[rest..].iter().all(|byte| *byte == b'm'));
        }
    }

    #[test]
    fn a_read_that_brings_nothing_changes_nothing() {
        let mut input = BytesMut::from(&b"ab"[..]);
        let error = read_with(&mut input, |_| Err(ErrorKind::WouldBlock.into()));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(input.as_ref(), b"ab");
    }
}
