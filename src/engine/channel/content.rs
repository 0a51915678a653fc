//! Puts a `basic.publish`, its header and its body frames together (AMQP 0-9-1, 4.2.6).

use crate::connection::limits::UNFINISHED_PUBLISH_OVERHEAD;
use crate::fault::Fault;
use bytes::{Bytes, BytesMut};
use forebay_wire::frame::ContentHeader;
use forebay_wire::method::BasicPublish;
use forebay_wire::{RawProperties, ReplyCode};

/// A publish that is all there.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) publish: BasicPublish,
    pub(crate) properties: RawProperties,
    pub(crate) body: Bytes,
}

/// How far the content on one channel has come.
#[derive(Debug, Default)]
pub(crate) enum ContentAssembler {
    /// None is open: a method is due.
    #[default]
    Idle,
    /// The method came: the header is due.
    Header(BasicPublish),
    /// The header came: octets of the body are due.
    Body(PartialContent),
}

/// A publish whose body is not all there.
#[derive(Debug)]
pub(crate) struct PartialContent {
    publish: BasicPublish,
    properties: RawProperties,
    /// As the header announced; nothing is reserved for it.
    size: usize,
    body: PartialBody,
}

#[derive(Debug)]
enum PartialBody {
    /// What came is one piece of a read, not copied.
    Piece(Bytes),
    /// Pieces copied together; grows as they come.
    Pieces(BytesMut),
}

impl Content {
    /// Octets that it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let octets = self.body.len() + self.properties.as_bytes().len();
        octets + UNFINISHED_PUBLISH_OVERHEAD
    }
}

impl ContentAssembler {
    /// Whether a method may come now.
    ///
    /// # Errors
    /// 505 when a header or body is due.
    pub(crate) fn expect_method(&self) -> Result<(), Fault> {
        match self {
            Self::Idle => Ok(()),
            Self::Header(_) => Err(header_expected("a method")),
            Self::Body(_) => Err(body_expected("a method")),
        }
    }

    /// A publish begins.
    pub(crate) fn begin(&mut self, publish: BasicPublish) {
        *self = Self::Header(publish);
    }

    /// The content header. Gives the content when it has no body.
    ///
    /// # Errors
    /// 505 when none was due; 406 when it announces a body of more than `size_max` octets.
    pub(crate) fn header(
        &mut self,
        header: ContentHeader,
        size_max: u64,
    ) -> Result<Option<Content>, Fault> {
        let publish = match std::mem::take(self) {
            Self::Header(publish) => publish,
            Self::Idle => return Err(method_expected("a content header")),
            Self::Body(_) => return Err(body_expected("a content header")),
        };
        let properties = header.properties;
        match body_size(header.body_size, size_max)? {
            0 => Ok(Some(Content { publish, properties, body: Bytes::new() })),
            size => {
                let body = PartialBody::Piece(Bytes::new());
                *self = Self::Body(PartialContent { publish, properties, size, body });
                Ok(None)
            }
        }
    }

    /// A body frame. Gives the content when it was the last.
    ///
    /// # Errors
    /// 505 when none was due; 501 when the body is longer than announced.
    pub(crate) fn body(&mut self, octets: Bytes) -> Result<Option<Content>, Fault> {
        let mut partial = match std::mem::take(self) {
            Self::Body(partial) => partial,
            Self::Idle => return Err(method_expected("a content body")),
            Self::Header(_) => return Err(header_expected("a content body")),
        };
        let length = partial.body.len() + octets.len();
        if length > partial.size {
            return Err(Fault::connection(
                ReplyCode::FrameError,
                format!(
                    "content body of {length} octets is longer than the {} announced",
                    partial.size
                ),
            ));
        }
        partial.body.append(octets, partial.size);
        if length < partial.size {
            *self = Self::Body(partial);
            return Ok(None);
        }
        let PartialContent { publish, properties, body, .. } = partial;
        Ok(Some(Content { publish, properties, body: body.finish() }))
    }

    /// Octets of the body that have come.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Body(partial) => partial.body.len(),
            Self::Idle | Self::Header(_) => 0,
        }
    }

    /// Whether content is open, so that a fault belongs to `basic.publish`.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self, Self::Idle)
    }
}

impl PartialBody {
    fn len(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.len(),
            Self::Pieces(pieces) => pieces.len(),
        }
    }

    fn append(&mut self, octets: Bytes, announced: usize) {
        match self {
            Self::Piece(piece) if piece.is_empty() => *piece = octets,
            Self::Piece(piece) => {
                let length = piece.len() + octets.len();
                let mut pieces = BytesMut::with_capacity(room(length, announced));
                pieces.extend_from_slice(piece);
                pieces.extend_from_slice(&octets);
                *self = Self::Pieces(pieces);
            }
            Self::Pieces(pieces) => {
                let length = pieces.len() + octets.len();
                if length > pieces.capacity() {
                    pieces.reserve(room(length, announced) - pieces.len());
                }
                pieces.extend_from_slice(&octets);
            }
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Piece(piece) => piece,
            Self::Pieces(pieces) => pieces.freeze(),
        }
    }
}

/// Twice what came, never more than announced: the copies stay in proportion, and a peer has to
/// send half of what it makes us reserve.
fn room(length: usize, announced: usize) -> usize {
    length.saturating_mul(2).min(announced)
}

fn body_size(announced: u64, most: u64) -> Result<usize, Fault> {
    usize::try_from(announced).ok().filter(|_| announced <= most).ok_or_else(|| {
        let text = format!("message size {announced} is larger than configured max size {most}");
        Fault::channel(ReplyCode::PreconditionFailed, text)
    })
}

fn method_expected(found: &str) -> Fault {
    unexpected("a method frame", found)
}

fn header_expected(found: &str) -> Fault {
    unexpected("content header for class 60", found)
}

fn body_expected(found: &str) -> Fault {
    unexpected("content body", found)
}

fn unexpected(expected: &str, found: &str) -> Fault {
    let text = format!("expected {expected}, got {found} frame instead");
    Fault::connection(ReplyCode::UnexpectedFrame, text)
}
