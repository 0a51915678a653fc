//! A client's socket, with TLS or without: read and written without waiting, with what is known of
//! its two ends.

use crate::limits::{
    END_OF_OUTPUT_AFTER, LAST_WRITE_DURATION_MAX, LINGER_DURATION_MAX, WRITE_SEGMENTS_MAX,
};
use crate::net::read_buffer;
use crate::tls::{TlsDetails, TlsSession};
use bytes::{Buf, BytesMut};
use std::future::pending;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A socket and its two ends.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// The client has closed its side, or the socket failed.
    input_ended: bool,
    /// What is written goes nowhere.
    output_failed: bool,
    traffic: SocketTraffic,
}

/// What has passed through a socket; with TLS, before it is encrypted and after it is decrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketTraffic {
    /// Bytes that came.
    pub received: u64,
    /// Reads that found some.
    pub reads: u64,
    /// Bytes that were handed to the system.
    pub sent: u64,
    /// Writes that it took some of.
    pub writes: u64,
}

/// What came of a read.
#[derive(Debug)]
pub enum Read {
    /// Nothing is there now.
    Nothing,
    /// Something was added to the input.
    Some,
    /// Nothing will come any more, and why. Told once.
    End(String),
}

/// What came of a write.
#[derive(Debug)]
pub enum Written {
    /// Nothing was to be written.
    Nothing,
    /// The client must read first.
    Part,
    /// Everything.
    All,
    /// The socket failed: the output was thrown away.
    Failed(io::Error),
}

impl Socket {
    /// A socket that was just accepted.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            tls: None,
            input_ended: false,
            output_failed: false,
            traffic: SocketTraffic::default(),
        }
    }

    /// One with TLS, after the handshake.
    #[must_use]
    pub fn with_tls(stream: TcpStream, session: TlsSession) -> Self {
        Self { tls: Some(Box::new(session)), ..Self::new(stream) }
    }

    /// What has passed through it.
    #[must_use]
    pub fn traffic(&self) -> SocketTraffic {
        self.traffic
    }

    /// Our end of it.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// What was agreed in the TLS handshake; nothing without TLS.
    #[must_use]
    pub fn tls_details(&self) -> Option<TlsDetails> {
        self.tls.as_ref().map(|tls| tls.details())
    }

    /// Whether nothing will come from the client any more.
    #[must_use]
    pub fn input_ended(&self) -> bool {
        self.input_ended
    }

    /// Whether bytes of the client wait in the system, seen by the runtime or not: a process that
    /// stood still learns of its timers before it learns of its sockets.
    #[must_use]
    pub fn holds_input(&self) -> bool {
        // A socket that cannot be asked has failed, which the next read tells.
        rustix::io::ioctl_fionread(&self.stream).is_ok_and(|bytes| bytes > 0)
    }

    /// Reads once.
    pub fn read(&mut self, input: &mut BytesMut) -> Read {
        if self.input_ended {
            return Read::Nothing;
        }
        let read = match &mut self.tls {
            None => read_buffer::read(&mut self.stream, input),
            Some(tls) => tls.read(&self.stream, input),
        };
        let reason = match read {
            Ok(0) => "the client closed its side".to_owned(),
            Ok(bytes) => {
                self.traffic.received += bytes as u64;
                self.traffic.reads += 1;
                return Read::Some;
            }
            Err(error) if is_passing(&error) => return Read::Nothing,
            Err(error) => error.to_string(),
        };
        self.input_ended = true;
        Read::End(reason)
    }

    /// Whether something that was written waits for the socket to take it.
    #[must_use]
    pub fn holds_output(&self) -> bool {
        !self.output_failed && self.tls.as_ref().is_some_and(|tls| tls.holds_output())
    }

    /// Writes as much as the socket takes.
    pub fn write(&mut self, output: &mut impl Buf) -> Written {
        if !output.has_remaining() && !self.holds_output() {
            return Written::Nothing;
        }
        while !self.output_failed && (output.has_remaining() || self.holds_output()) {
            let before = output.remaining();
            let written = match &mut self.tls {
                None => write_once(&self.stream, output),
                Some(tls) => tls.write_once(&self.stream, output),
            };
            let sent = before - output.remaining();
            self.traffic.sent += sent as u64;
            self.traffic.writes += u64::from(sent > 0);
            match written {
                Ok(()) => {}
                Err(error) if is_passing(&error) => return Written::Part,
                Err(error) => {
                    self.output_failed = true;
                    self.input_ended = true;
                    output.advance(output.remaining());
                    return Written::Failed(error);
                }
            }
        }
        // A socket that failed before takes everything in silence.
        output.advance(output.remaining());
        Written::All
    }

    /// Waits until there is something to read or room to write, as far as that is wanted.
    pub async fn ready(&self, reads: bool, writes: bool) {
        let interest = match (reads && !self.input_ended, writes && !self.output_failed) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return pending().await,
        };
        if interest.is_readable() && self.tls.as_ref().is_some_and(|tls| tls.is_ahead()) {
            return;
        }
        if self.stream.ready(interest).await.is_err() {
            // The runtime is going down.
            pending().await
        }
    }

    /// Writes the last bytes, and leaves it to the client to close, for a while: what it still
    /// sends is read, since unread input would make the kernel throw away our last words on their
    /// way. A client that closes at once finds no end of file before it has; one that waits for it
    /// gets it soon.
    pub async fn finish(&mut self, output: &mut impl Buf) {
        // A client that does not take them in time does without.
        let _ = timeout(LAST_WRITE_DURATION_MAX, self.write_last(output)).await;
        if let Some(tls) = &mut self.tls {
            tls.close();
            let _ = tls.write_once(&self.stream, output);
        }
        if timeout(END_OF_OUTPUT_AFTER, self.read_to_end()).await.is_err() {
            let _ = self.stream.shutdown().await;
            let _ = timeout(LINGER_DURATION_MAX, self.read_to_end()).await;
        }
    }

    async fn write_last(&mut self, output: &mut impl Buf) {
        while let Written::Part = self.write(output) {
            self.ready(false, true).await;
        }
    }

    async fn read_to_end(&mut self) {
        let mut unheard = BytesMut::new();
        while !self.input_ended {
            if let Read::Nothing = self.read(&mut unheard) {
                self.ready(true, false).await;
            }
            unheard.clear();
        }
    }
}

fn write_once(stream: &TcpStream, output: &mut impl Buf) -> io::Result<()> {
    let mut segments = [IoSlice::new(&[]); WRITE_SEGMENTS_MAX];
    let count = output.chunks_vectored(&mut segments);
    let written = stream.try_write_vectored(segments.get(..count).unwrap_or_default())?;
    output.advance(written);
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn what_the_client_sends_is_read_and_its_end_is_told_once() {
        let (mut socket, mut client) = pair().await;
        client.write_all(b"bytes").await.unwrap();
        client.shutdown().await.unwrap();
        let mut input = BytesMut::new();
        while !socket.input_ended() {
            socket.ready(true, false).await;
            socket.read(&mut input);
        }
        assert_eq!(input.as_ref(), b"bytes");
        assert!(matches!(socket.read(&mut input), Read::Nothing));
    }

    #[tokio::test]
    async fn what_waits_in_the_system_is_known_before_the_runtime_has_seen_it() {
        use std::io::Write;
        let (mut socket, client) = pair().await;
        let mut client = client.into_std().unwrap();
        let mut input = BytesMut::new();
        // The runtime knows from here on that nothing is there.
        assert!(matches!(socket.read(&mut input), Read::Nothing));
        assert!(!socket.holds_input());
        client.write_all(b"bytes").unwrap();
        assert!(matches!(socket.read(&mut input), Read::Nothing));
        assert!(socket.holds_input());
        socket.ready(true, false).await;
        assert!(matches!(socket.read(&mut input), Read::Some));
        assert!(!socket.holds_input());
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_stops_the_writing_and_not_the_task() {
        let (mut socket, mut client) = pair().await;
        let mut output = BytesMut::from(vec![7; 64 * 1024 * 1024].as_slice());
        assert!(matches!(socket.write(&mut output), Written::Part));
        let size = output.len();
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            received.len()
        });
        socket.finish(&mut output).await;
        assert!(size > 0 && output.is_empty());
        assert_eq!(reader.await.unwrap(), 64 * 1024 * 1024);
    }

    #[tokio::test]
    async fn a_client_that_waits_for_the_end_finds_it_before_it_closes() {
        let (mut socket, mut client) = pair().await;
        let finished = tokio::spawn(async move { socket.finish(&mut &b"close"[..]).await });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"close");
        // Not yet gone: what comes late is read.
        client.write_all(b"close-ok").await.unwrap();
        drop(client);
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn the_last_words_arrive_although_input_was_not_read() {
        let (mut socket, mut client) = pair().await;
        client.write_all(&[1; 100_000]).await.unwrap();
        let mut output = BytesMut::from(&b"close"[..]);
        assert!(matches!(socket.write(&mut output), Written::All));
        let finished = tokio::spawn(async move { socket.finish(&mut output).await });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"close");
        drop(client);
        finished.await.unwrap();
    }
}
