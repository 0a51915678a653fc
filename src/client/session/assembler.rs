//! From a method with content, its header and its body frames to one content.
//!
//! ```text
//! Idle --method--> Method --header--> Idle (empty body, or)
//!                                     Body --frames until body_size--> Idle
//! ```
//!
//! One per channel, inside the session. A body of one frame is not copied.

use std::mem;

use bytes::{Bytes, BytesMut};
use forebay_wire::{
    ContentHeader, RawProperties,
    method::{BasicDeliver, BasicGetOk, BasicReturn},
};

use crate::limits::{BODY_RESERVED_MAX, BODY_SIZE_MAX};

/// A method that content follows.
#[derive(Debug)]
pub(crate) enum ContentMethod {
    Deliver(BasicDeliver),
    Return(BasicReturn),
    GetOk(BasicGetOk),
}

#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) method: ContentMethod,
    pub(crate) properties: RawProperties,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
pub(crate) enum Assembler {
    #[default]
    Idle,
    Method(ContentMethod),
    Body {
        method: ContentMethod,
        properties: RawProperties,
        missing: u64,
        body: BytesMut,
    },
}

impl Assembler {
    pub(crate) fn handle_method(&mut self, method: ContentMethod) -> Result<(), &'static str> {
        match self {
            Self::Idle => {
                *self = Self::Method(method);
                Ok(())
            }
            _ => Err("a method came where content was expected"),
        }
    }

    pub(crate) fn handle_header(
        &mut self,
        header: ContentHeader,
    ) -> Result<Option<Content>, &'static str> {
        let Self::Method(method) = mem::take(self) else {
            return Err("a content header came without its method");
        };
        let properties = header.properties;
        match header.body_size {
            0 => Ok(Some(Content { method, properties, body: Bytes::new() })),
            size if size > BODY_SIZE_MAX => Err("a body larger than BODY_SIZE_MAX was announced"),
            missing => {
                *self = Self::Body { method, properties, missing, body: BytesMut::new() };
                Ok(None)
            }
        }
    }

    pub(crate) fn handle_body(&mut self, part: Bytes) -> Result<Option<Content>, &'static str> {
        let Self::Body { method, properties, missing, mut body } = mem::take(self) else {
            return Err("a body frame came without its header");
        };
        let missing = missing
            .checked_sub(part.len() as u64)
            .ok_or("a body is longer than its header says")?;
        if missing == 0 && body.is_empty() {
            return Ok(Some(Content { method, properties, body: part }));
        }
        if body.is_empty() {
            let size = usize::try_from(missing).unwrap_or(usize::MAX).saturating_add(part.len());
            body.reserve(size.min(BODY_RESERVED_MAX));
        }
        body.extend_from_slice(&part);
        if missing == 0 {
            return Ok(Some(Content { method, properties, body: body.freeze() }));
        }
        *self = Self::Body { method, properties, missing, body };
        Ok(None)
    }
}
