//! A client with TLS that says exactly what it is told to say.

use crate::authority::{Authority, Issued};
use crate::harness::PATIENCE;
use bytes::{Bytes, BytesMut};
use forebay_wire::method::ConnectionStartOk;
use forebay_wire::{EncodeMethod, FieldTable, FieldValue, FrameDecoder, Method, PROTOCOL_HEADER};
use forebay_wire::{Frame, SendBuffer, ShortStr};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

pub(crate) struct TlsClient {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    decoder: FrameDecoder,
    input: BytesMut,
}

/// What a client trusts and shows.
pub(crate) struct Wallet<'a> {
    pub(crate) trusts: &'a Authority,
    pub(crate) shows: Option<&'a Issued>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
}

impl<'a> Wallet<'a> {
    pub(crate) fn trusting(authority: &'a Authority) -> Self {
        Self { trusts: authority, shows: None, versions: rustls::DEFAULT_VERSIONS }
    }

    pub(crate) fn showing(authority: &'a Authority, shown: &'a Issued) -> Self {
        Self { shows: Some(shown), ..Self::trusting(authority) }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusts.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        match self.shows {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let (certificate, key) = issued.der();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        }
    }

    /// A session that has yet to shake hands.
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(StreamOwned::new(session, socket))
    }

    /// Up to and with `connection.start`, and the mechanisms in it.
    pub(crate) fn greet(&self, address: SocketAddr) -> io::Result<(TlsClient, String)> {
        let mut client = TlsClient {
            stream: self.connect(address)?,
            decoder: FrameDecoder::new(131_072),
            input: BytesMut::new(),
        };
        client.stream.write_all(&PROTOCOL_HEADER)?;
        match client.method()? {
            Method::ConnectionStart(start) => {
                let mechanisms = String::from_utf8_lossy(&start.mechanisms).into_owned();
                Ok((client, mechanisms))
            }
            other => panic!("no start: {other:?}"),
        }
    }
}

impl TlsClient {
    /// What is answered to a login: `connection.tune`, or `connection.close` with its text.
    pub(crate) fn log_in(&mut self, mechanism: &'static str, response: &[u8]) -> Method {
        let mut capabilities = FieldTable::new();
        let name = ShortStr::from_static("authentication_failure_close");
        capabilities.insert(name, FieldValue::Bool(true));
        let mut client_properties = FieldTable::new();
        let name = ShortStr::from_static("capabilities");
        client_properties.insert(name, FieldValue::Table(capabilities));
        self.send(&ConnectionStartOk {
            client_properties,
            mechanism: ShortStr::from_static(mechanism),
            response: Bytes::copy_from_slice(response),
            locale: ShortStr::from_static("en_US"),
        });
        self.method().unwrap()
    }

    fn send(&mut self, method: &impl EncodeMethod) {
        let mut buffer = SendBuffer::new();
        buffer.put_method(0, method);
        let mut bytes = Vec::new();
        while bytes::Buf::has_remaining(&buffer) {
            let chunk = bytes::Buf::chunk(&buffer).to_vec();
            bytes::Buf::advance(&mut buffer, chunk.len());
            bytes.extend(chunk);
        }
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn method(&mut self) -> io::Result<Method> {
        loop {
            match self.decoder.decode(&mut self.input).unwrap() {
                Some(Frame::Method { method, .. }) => return Ok(method),
                Some(_) => continue,
                None => {}
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&bytes[..count]),
            }
        }
    }
}
