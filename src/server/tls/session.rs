//! The bytes of a TLS session over a socket that nobody waits for: read and written as far as can
//! be, in the manner of a socket.

use super::details::TlsDetails;
use crate::limits::{READ_BYTES_MAX, WRITE_SEGMENTS_MAX};
use crate::net::read_buffer;
use bytes::{Buf, BytesMut};
use rustls::ServerConnection;
use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use tokio::net::TcpStream;

thread_local! {
    static CIPHERTEXT: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A session with a client. Every call is given the socket that it belongs to.
#[derive(Debug)]
pub struct TlsSession {
    session: ServerConnection,
    /// There is something to read, or the end, that the socket will not tell of.
    is_ahead: bool,
}

impl TlsSession {
    /// A session that has yet to shake hands.
    pub(super) fn new(session: ServerConnection) -> Self {
        Self { session, is_ahead: false }
    }

    pub(super) fn session(&self) -> &ServerConnection {
        &self.session
    }

    /// What was agreed.
    #[must_use]
    pub fn details(&self) -> TlsDetails {
        TlsDetails::of(&self.session)
    }

    /// Whether [`Self::read`] has something whatever the socket says.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Whether something waits for the socket to take it.
    #[must_use]
    pub fn holds_output(&self) -> bool {
        self.session.wants_write()
    }

    /// One step of the handshake: what is there is read, what is due is written.
    ///
    /// # Errors
    /// What the socket says, `WouldBlock` included, and what is wrong with what the client sent; it
    /// has been sent an alert then.
    pub(super) fn shake_hands(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.session.wants_write() {
            self.write_ciphertext(stream)?;
        }
        if !self.session.is_handshaking() {
            return Ok(());
        }
        if self.session.read_tls(&mut Wire(stream))? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let state = self.process(stream)?;
        self.is_ahead = state.plaintext_bytes_to_read() > 0 || state.peer_has_closed();
        Ok(())
    }

    /// Reads once, and adds to `input` what came. Returns how many bytes came; 0 is the end.
    ///
    /// # Errors
    /// What the socket says, `WouldBlock` included: also when what came is not a whole record.
    pub fn read(&mut self, stream: &TcpStream, input: &mut BytesMut) -> io::Result<usize> {
        CIPHERTEXT.with_borrow_mut(|ciphertext| {
            ciphertext.clear();
            if !std::mem::take(&mut self.is_ahead) {
                ciphertext.reserve(READ_BYTES_MAX);
                if stream.try_read_buf(ciphertext)? == 0 {
                    return Ok(0);
                }
            }
            read_buffer::read_with(input, |plaintext| self.decrypt(stream, ciphertext, plaintext))
        })
    }

    fn decrypt(
        &mut self,
        stream: &TcpStream,
        mut ciphertext: &[u8],
        plaintext: &mut BytesMut,
    ) -> io::Result<usize> {
        loop {
            let state = self.process(stream)?;
            let mut due = state.plaintext_bytes_to_read();
            let mut reader = self.session.reader();
            while due > 0 {
                let chunk = reader.fill_buf()?;
                let size = chunk.len();
                plaintext.extend_from_slice(chunk);
                reader.consume(size);
                due = due.saturating_sub(size);
            }
            if state.peer_has_closed() {
                // The end is told when nothing else is left to tell.
                self.is_ahead = !plaintext.is_empty();
                return Ok(plaintext.len());
            }
            if ciphertext.is_empty() {
                break;
            }
            self.session.read_tls(&mut ciphertext)?;
        }
        match plaintext.len() {
            0 => Err(ErrorKind::WouldBlock.into()),
            size => Ok(size),
        }
    }

    /// Takes what there is room for, and hands on to the socket what it takes.
    ///
    /// # Errors
    /// What the socket says, `WouldBlock` included.
    pub fn write_once(&mut self, stream: &TcpStream, output: &mut impl Buf) -> io::Result<()> {
        if output.has_remaining() {
            let mut segments = [IoSlice::new(&[]); WRITE_SEGMENTS_MAX];
            let count = output.chunks_vectored(&mut segments);
            let segments = segments.get(..count).unwrap_or_default();
            let taken = self.session.writer().write_vectored(segments)?;
            output.advance(taken);
        }
        if self.session.wants_write() { self.write_ciphertext(stream) } else { Ok(()) }
    }

    /// Says that nothing else will come; it leaves with the next write.
    pub fn close(&mut self) {
        self.session.send_close_notify();
    }

    fn process(&mut self, stream: &TcpStream) -> io::Result<rustls::IoState> {
        self.session.process_new_packets().map_err(|error| {
            // The alert that says so; a client that does not take it does without.
            let _ = self.write_ciphertext(stream);
            io::Error::new(ErrorKind::InvalidData, error)
        })
    }

    fn write_ciphertext(&mut self, stream: &TcpStream) -> io::Result<()> {
        match self.session.write_tls(&mut Wire(stream))? {
            0 => Err(ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }
}

/// A socket for those who know only the standard library.
struct Wire<'a>(&'a TcpStream);

impl io::Read for Wire<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, segments: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(segments)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
