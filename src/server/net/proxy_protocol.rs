//! The PROXY protocol, version 2: how a balancer says whose connection it hands on. Read only where the
//! configuration says that a balancer is there; from anybody else it would be a lie.
//!
//! ```text
//! 0      12           13            14         16
//! +------+------------+-------------+----------+-----------+--------------------+
//! | mark | version:4  | transport:8 | length:u16 | addresses | more (passed over) |
//! |      | command:4  |             |          |           |                    |
//! +------+------------+-------------+----------+-----------+--------------------+
//! mark       0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a; integers big endian
//! version    2
//! command    0 LOCAL: the balancer's own connection, a health check; 1 PROXY: a client's
//! transport  11 TCP over IPv4, 21 TCP over IPv6; others name no address
//! addresses  source, destination, source port, destination port
//! ```

use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_HEADER_DURATION_MAX};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

const MARK: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_2: u8 = 2;
const COMMAND_LOCAL: u8 = 0;
const COMMAND_PROXY: u8 = 1;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Why a connection did not begin as it must.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    /// What came is no header.
    #[error(
        "it does not begin with a header of the PROXY protocol, version 2, which this listener expects \
         from its balancer"
    )]
    Missing,
    /// A header, but of another kind.
    #[error(
        "its PROXY header has version {version} and command {command}; expected version 2 and command 0 or 1"
    )]
    Unknown {
        /// The version.
        version: u8,
        /// The command.
        command: u8,
    },
    /// A header that is too long, or too short for its addresses.
    #[error(
        "its PROXY header has a length of {length}; expected at most {PROXY_HEADER_BYTES_MAX}, and room for the addresses"
    )]
    Length {
        /// What follows the first 16 bytes.
        length: u16,
    },
    /// The socket failed or ended.
    #[error("its PROXY header did not come: {0}")]
    Read(#[from] io::Error),
    /// It took too long.
    #[error("its PROXY header did not come within {} s", PROXY_HEADER_DURATION_MAX.as_secs())]
    Overdue,
}

/// Takes the header off the front of a connection. The client's address, or nothing when the
/// connection is the balancer's own.
pub(crate) async fn read_client_address(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let header = timeout(PROXY_HEADER_DURATION_MAX, read_header(stream)).await;
    header.map_err(|_| ProxyHeaderError::Overdue)?
}

async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut mark = [0; MARK.len()];
    // Byte by byte: what speaks something else is told apart at the first difference.
    for (byte, expected) in mark.iter_mut().zip(MARK) {
        *byte = stream.read_u8().await?;
        if *byte != expected {
            return Err(ProxyHeaderError::Missing);
        }
    }
    let kind = stream.read_u8().await?;
    let transport = stream.read_u8().await?;
    let length = stream.read_u16().await?;
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::Length { length });
    }
    let mut rest = vec![0; length.into()];
    stream.read_exact(&mut rest).await?;
    match (kind >> 4, kind & 0x0f) {
        (VERSION_2, COMMAND_LOCAL) => Ok(None),
        (VERSION_2, COMMAND_PROXY) => {
            source(transport, &rest).ok_or(ProxyHeaderError::Length { length })
        }
        (version, command) => Err(ProxyHeaderError::Unknown { version, command }),
    }
}

/// The first of the addresses; nothing in it when the transport has none, nothing when they are cut off.
fn source(transport: u8, addresses: &[u8]) -> Option<Option<SocketAddr>> {
    let port = |at: usize| {
        let bytes = addresses.get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    match transport {
        TCP_OVER_IPV4 => {
            let (ip, port) = (addresses.first_chunk::<4>()?, port(8)?);
            Some(Some((Ipv4Addr::from(*ip), port).into()))
        }
        TCP_OVER_IPV6 => {
            let (ip, port) = (addresses.first_chunk::<16>()?, port(32)?);
            Some(Some((Ipv6Addr::from(*ip), port).into()))
        }
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, transport: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&MARK[..], &[kind, transport], &length, rest].concat()
    }

    /// The address, and what is left for the protocol behind it.
    async fn read(bytes: &[u8]) -> Result<(Option<SocketAddr>, Vec<u8>), ProxyHeaderError> {
        let mut stream = bytes;
        let address = read_client_address(&mut stream).await?;
        Ok((address, stream.to_vec()))
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x9c, 0x40, 0x16, 0x28];

    #[tokio::test]
    async fn the_client_is_named_and_what_follows_is_left() {
        let bytes = [&header(0x21, 0x11, &IPV4)[..], b"AMQP"].concat();
        let (address, rest) = read(&bytes).await.unwrap();
        assert_eq!((address, &*rest), (Some("192.0.2.1:40000".parse().unwrap()), &b"AMQP"[..]));
        let mut ipv6 = [0; 36];
        ipv6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        ipv6[32..34].copy_from_slice(&40_000_u16.to_be_bytes());
        let with_more = [&ipv6[..], b"\x04\0\x01x"].concat();
        let (address, _) = read(&header(0x21, 0x21, &with_more)).await.unwrap();
        assert_eq!(address, Some("[2001:db8::1]:40000".parse().unwrap()));
        for (kind, transport) in [(0x20, 0x00), (0x20, 0x11), (0x21, 0x00), (0x21, 0x31)] {
            assert_eq!(read(&header(kind, transport, &IPV4)).await.unwrap().0, None);
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let whole = header(0x21, 0x11, &IPV4);
        for length in 0..whole.len() {
            let error = read(&whole[..length]).await.unwrap_err();
            assert!(matches!(error, ProxyHeaderError::Read(_)), "{length}: {error}");
        }
        for bytes in
            [&b"AMQP\0\0\x09\x01"[..], b"PROXY TCP4 ", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
        {
            let error = read(bytes).await.unwrap_err();
            assert!(matches!(error, ProxyHeaderError::Missing), "{error}");
        }
        for (kind, transport, rest) in
            [(0x11, 0x11, 12), (0x22, 0x11, 12), (0x21, 0x11, 9), (0x21, 0x21, 33)]
        {
            assert!(read(&header(kind, transport, &vec![0; rest])).await.is_err(), "{kind}");
        }
        let long = header(0x21, 0x11, &vec![0; usize::from(PROXY_HEADER_BYTES_MAX) + 1]);
        assert!(matches!(read(&long).await, Err(ProxyHeaderError::Length { .. })));
    }
}
