//! A channel in use: reserved, set up, and closed when its last user goes.

use std::sync::Arc;

use crate::{
    Error,
    connection::{
        channel_setup,
        shared::{Handle, Shared},
    },
    session::channel::{Channel, Role},
};

/// A channel in use.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) handle: Arc<Handle>,
    pub(crate) number: u16,
}

impl Lease {
    /// Reserves a channel and sets it up, as often as the connection is lost meanwhile; waits while
    /// it is down.
    pub(crate) async fn open(handle: &Arc<Handle>, role: Role) -> Result<Arc<Self>, Error> {
        Self::open_channel(handle, Channel::new(role)).await
    }

    /// See [`Lease::open`].
    pub(crate) async fn open_channel(
        handle: &Arc<Handle>,
        channel: Channel,
    ) -> Result<Arc<Self>, Error> {
        let shared = &handle.0;
        shared.up().await?;
        let number = shared.with(|session| session.reserve(channel))?;
        let lease = Arc::new(Self { handle: Arc::clone(handle), number });
        loop {
            match channel_setup::set_up(shared, number).await {
                Ok(()) => return Ok(lease),
                Err(Error::Lost { .. }) => shared.up().await?,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.handle.0.with(|session| session.release(self.number));
    }
}
