//! Puts a `basic.publish`, its header and its body frames together (AMQP 0-9-1, 4.2.6).

use crate::model::{Fault, ObjectName};
use crate::session::limits::{BODY_COPIED_OUT_SIZE_MAX, UNFINISHED_PUBLISH_OVERHEAD};
use bytes::{Bytes, BytesMut};
use forebay_wire::frame::ContentHeader;
use forebay_wire::method::BasicPublish;
use forebay_wire::{RawProperties, ReplyCode, ShortStr};

/// Where a publish goes, as its method says.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) exchange: ObjectName,
    pub(crate) routing_key: ShortStr,
    pub(crate) is_mandatory: bool,
}

/// A publish that is all there.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) address: Address,
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
    Header(Address),
    /// The header came: bytes of the body are due.
    Body(PartialContent),
}

/// A publish whose body is not all there.
#[derive(Debug)]
pub(crate) struct PartialContent {
    address: Address,
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

impl From<BasicPublish> for Address {
    fn from(publish: BasicPublish) -> Self {
        Self {
            exchange: publish.exchange.into(),
            routing_key: publish.routing_key,
            is_mandatory: publish.mandatory,
        }
    }
}

impl Address {
    fn size(&self) -> usize {
        self.exchange.len() + self.routing_key.len()
    }

    fn detach(&mut self) {
        self.exchange = self.exchange.detached();
        self.routing_key = self.routing_key.detached();
    }
}

impl Content {
    /// Bytes that it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let bytes = self.body.len() + self.properties.as_bytes().len();
        self.address.size() + bytes + UNFINISHED_PUBLISH_OVERHEAD
    }

    /// The content in memory of its own, for one that stays longer than the receive buffer it came
    /// in should. A body that fills most of such a buffer stays where it is.
    pub(crate) fn copied_out(mut self) -> Self {
        self.address.detach();
        self.properties = self.properties.detached();
        if self.body.len() < BODY_COPIED_OUT_SIZE_MAX {
            self.body = Bytes::copy_from_slice(&self.body);
        }
        self
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
        *self = Self::Header(publish.into());
    }

    /// The rest of the content is not in the receive buffer: what has come is copied out of it,
    /// otherwise a few bytes would keep the whole buffer alive.
    pub(crate) fn copy_out(&mut self) {
        match self {
            Self::Idle => {}
            Self::Header(address) => address.detach(),
            Self::Body(partial) => {
                partial.address.detach();
                partial.properties = partial.properties.detached();
                partial.body.copy_out(partial.size);
            }
        }
    }

    /// The content header. Gives the content when it has no body.
    ///
    /// # Errors
    /// 505 when none was due; 406 when it announces a body of more than `size_max` bytes.
    pub(crate) fn header(
        &mut self,
        header: ContentHeader,
        size_max: u64,
    ) -> Result<Option<Content>, Fault> {
        let address = match std::mem::take(self) {
            Self::Header(address) => address,
            Self::Idle => return Err(method_expected("a content header")),
            Self::Body(_) => return Err(body_expected("a content header")),
        };
        let properties = header.properties;
        match body_size(header.body_size, size_max)? {
            0 => Ok(Some(Content { address, properties, body: Bytes::new() })),
            size => {
                let body = PartialBody::Piece(Bytes::new());
                *self = Self::Body(PartialContent { address, properties, size, body });
                Ok(None)
            }
        }
    }

    /// A body frame. Gives the content when it was the last.
    ///
    /// # Errors
    /// 505 when none was due; 501 when the body is longer than announced.
    pub(crate) fn body(&mut self, bytes: Bytes) -> Result<Option<Content>, Fault> {
        let mut partial = match std::mem::take(self) {
            Self::Body(partial) => partial,
            Self::Idle => return Err(method_expected("a content body")),
            Self::Header(_) => return Err(header_expected("a content body")),
        };
        let length = partial.body.len() + bytes.len();
        if length > partial.size {
            return Err(Fault::connection(
                ReplyCode::FrameError,
                format!(
                    "content body of {length} bytes is longer than the {} announced",
                    partial.size
                ),
            ));
        }
        partial.body.append(bytes, partial.size);
        if length < partial.size {
            *self = Self::Body(partial);
            return Ok(None);
        }
        let PartialContent { address, properties, body, .. } = partial;
        Ok(Some(Content { address, properties, body: body.finish() }))
    }

    /// Bytes that the open content takes in memory, about; 0 when none is open.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Idle => 0,
            Self::Header(address) => address.size() + UNFINISHED_PUBLISH_OVERHEAD,
            Self::Body(PartialContent { address, properties, body, .. }) => {
                let bytes = properties.as_bytes().len() + body.len();
                address.size() + bytes + UNFINISHED_PUBLISH_OVERHEAD
            }
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

    fn append(&mut self, bytes: Bytes, announced: usize) {
        match self {
            Self::Piece(piece) if piece.is_empty() => *piece = bytes,
            Self::Piece(piece) => {
                let mut pieces = copied(piece, bytes.len(), announced);
                pieces.extend_from_slice(&bytes);
                *self = Self::Pieces(pieces);
            }
            Self::Pieces(pieces) => {
                let length = pieces.len() + bytes.len();
                if length > pieces.capacity() {
                    pieces.reserve(room(length, announced) - pieces.len());
                }
                pieces.extend_from_slice(&bytes);
            }
        }
    }

    fn copy_out(&mut self, announced: usize) {
        if let Self::Piece(piece) = self
            && !piece.is_empty()
        {
            *self = Self::Pieces(copied(piece, 0, announced));
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Piece(piece) => piece,
            Self::Pieces(pieces) => pieces.freeze(),
        }
    }
}

/// A copy with room for `more` at least.
fn copied(piece: &Bytes, more: usize, announced: usize) -> BytesMut {
    let mut pieces = BytesMut::with_capacity(room(piece.len() + more, announced));
    pieces.extend_from_slice(piece);
    pieces
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
