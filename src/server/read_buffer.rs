//! Reading a socket without a buffer per connection: every worker thread has one receive buffer,
//! and a connection keeps only what it has not yet understood. An idle connection keeps nothing.

use crate::limits::{READ_COPY_OCTETS_MAX, READ_OCTETS_MAX};
use bytes::BytesMut;
use std::cell::RefCell;
use std::io;
use tokio::net::TcpStream;

thread_local! {
    static RECEIVED: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Reads once, without waiting, and adds what came to `input`. Returns how many octets came; 0 is
/// the end of the stream.
///
/// # Errors
/// What the socket says, `WouldBlock` included.
pub fn read(stream: &TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    read_with(input, |received| stream.try_read_buf(received))
}

/// The same with whatever puts octets into the receive buffer; it is empty and has room for
/// [`READ_OCTETS_MAX`].
///
/// # Errors
/// What `read` says.
pub fn read_with(
    input: &mut BytesMut,
    read: impl FnOnce(&mut BytesMut) -> io::Result<usize>,
) -> io::Result<usize> {
    RECEIVED.with_borrow_mut(|received| {
        received.clear();
        received.reserve(READ_OCTETS_MAX);
        let count = read(received)?;
        add(received, input);
        Ok(count)
    })
}

/// Gives back the memory of an input that was wholly understood.
pub fn release(input: &mut BytesMut) {
    if input.is_empty() {
        *input = BytesMut::new();
    }
}

fn add(received: &mut BytesMut, input: &mut BytesMut) {
    if !input.is_empty() {
        input.extend_from_slice(received);
    } else if received.len() > READ_COPY_OCTETS_MAX {
        *input = std::mem::take(received);
    } else {
        *input = BytesMut::from(received.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_read_costs_its_own_size_and_a_large_one_no_copy() {
        let mut received = BytesMut::with_capacity(READ_OCTETS_MAX);
        received.extend_from_slice(b"abc");
        let mut input = BytesMut::new();
        add(&mut received, &mut input);
        assert_eq!((input.as_ref(), input.capacity()), (b"abc".as_ref(), 3));

        received.clear();
        received.resize(READ_COPY_OCTETS_MAX + 1, b'x');
        let address = received.as_ptr();
        input.clear();
        add(&mut received, &mut input);
        assert_eq!(input.as_ptr(), address);
        assert_eq!(received.capacity(), 0);
    }

    #[test]
    fn what_was_not_understood_stays_in_front() {
        let mut input = BytesMut::from(&b"ab"[..]);
        add(&mut BytesMut::from(&b"cd"[..]), &mut input);
        assert_eq!(input.as_ref(), b"abcd");
    }
}
