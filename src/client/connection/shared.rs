//! What the handles of a connection and its supervisor hold in common, and the one lock in it.
//!
//! [`Handle`] is the users' side: when the last one goes, the connection closes. The supervisor holds
//! `Shared` alone, so it never keeps a connection alive.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use forebay_wire::{Method, method::ChannelOpen};
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    ConnectOptions, ConnectionState, Error, Fault, Loss,
    connection::record::Record,
    session::channel::{Answer, CONTROL, Channel, ControlPermit, NoAnswer, Role, Stage},
    session::{Link, Session},
};

#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    pub(crate) record: Mutex<Record>,
    pub(crate) options: ConnectOptions,
    /// The password of the next login.
    password: Mutex<String>,
    pub(crate) state: watch::Sender<ConnectionState>,
    pub(crate) blocked: watch::Sender<Option<String>>,
    /// The session's count of lost channels; see `Consumer`.
    pub(crate) epochs: Arc<AtomicU64>,
    /// Permits one request at a time on the control channel.
    control: Arc<Semaphore>,
    /// Tells the supervisor that the program closes the connection.
    pub(crate) closing: Notify,
}

impl Shared {
    pub(crate) fn new(options: ConnectOptions, state: ConnectionState) -> Self {
        let mut session = Session::new();
        // Number 1, for declarations; opened when it is first needed.
        session.channels.push(Some(Channel::new(Role::Control)));
        let epochs = Arc::clone(&session.epochs);
        Self {
            epochs,
            session: Mutex::new(session),
            record: Mutex::default(),
            password: Mutex::new(options.password.clone()),
            options,
            state: watch::Sender::new(state),
            blocked: watch::Sender::new(None),
            control: Arc::new(Semaphore::new(1)),
            closing: Notify::new(),
        }
    }

    /// Runs `action` under the lock, then wakes the tasks that it woke, and the driver if it has work now.
    pub(crate) fn with<T>(&self, action: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let result = action(&mut session);
        let driver = session.driver_to_wake();
        let cancelled = mem::take(&mut session.cancelled);
        if session.wakes.is_empty() {
            drop(session);
        } else {
            let mut wakes = mem::take(&mut session.wakes);
            drop(session);
            for waker in wakes.drain(..) {
                waker.wake();
            }
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            if session.wakes.capacity() == 0 {
                session.wakes = wakes;
            }
        }
        if let Some(driver) = driver {
            driver.wake();
        }
        for queue in cancelled {
            self.record().remove_queue(&queue);
        }
        result
    }

    pub(crate) fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_password(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The options of the next attempt to connect.
    pub(crate) fn present_options(&self) -> ConnectOptions {
        let password = self.password.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ConnectOptions { password, ..self.options.clone() }
    }

    /// Asks, and waits for the answer. When the future is dropped, the answer is still taken off
    /// the channel when it comes.
    pub(crate) async fn request(
        &self,
        number: u16,
        method: impl Into<Method>,
    ) -> Result<Answer, Error> {
        self.request_with_permit(number, method.into(), None).await
    }

    async fn request_with_permit(
        &self,
        number: u16,
        method: Method,
        permit: Option<ControlPermit>,
    ) -> Result<Answer, Error> {
        let request = method.name();
        let is_about = |fault: &Fault| {
            (fault.class_id, fault.method_id) == (method.class_id(), method.method_id())
        };
        let answer = self.with(|session| session.request(number, &method, permit))?;
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(NoAnswer::Refused(fault))) => Err(Error::Refused { request, fault }),
            // Some refusals end the whole connection. To ask again would end the next one.
            Ok(Err(NoAnswer::Lost(Loss::Server(fault)))) if is_about(&fault) => {
                Err(Error::Refused { request, fault })
            }
            Ok(Err(NoAnswer::Lost(loss))) => Err(Error::Lost { request, loss }),
            Err(_) => Err(Error::Lost { request, loss: Loss::EndOfStream }),
        }
    }

    /// A request on the control channel, once the requests before it are answered. The channel is opened first
    /// when it has to be.
    pub(crate) async fn control(&self, method: impl Into<Method>) -> Result<Answer, Error> {
        let permit = self.control_permit().await?;
        self.control_with_permit(method, &permit).await
    }

    pub(crate) async fn control_permit(&self) -> Result<ControlPermit, Error> {
        let permit = Arc::clone(&self.control).acquire_owned().await;
        permit.map(Arc::new).map_err(|_| Error::Closed)
    }

    pub(crate) async fn control_with_permit(
        &self,
        method: impl Into<Method>,
        permit: &ControlPermit,
    ) -> Result<Answer, Error> {
        let (epoch, stage) = self.with(|session| {
            let stage = session.channel(CONTROL).map(|channel| channel.stage.clone());
            (session.epoch(CONTROL), stage)
        });
        match stage {
            Some(Stage::Ready) => {}
            // The future that asked for it was dropped before the answer came; the permit says that it came.
            Some(Stage::Opening) => {
                self.with(|session| session.handle_ready(CONTROL, epoch));
            }
            _ => {
                let open = ChannelOpen {}.into();
                self.request_with_permit(CONTROL, open, Some(Arc::clone(permit))).await?;
                self.with(|session| session.handle_ready(CONTROL, epoch));
            }
        }
        self.request_with_permit(CONTROL, method.into(), Some(Arc::clone(permit))).await
    }

    /// Waits until the connection is up with its topology, or has ended.
    pub(crate) async fn up(&self) -> Result<(), Error> {
        let mut state = self.state.subscribe();
        loop {
            if let Some(result) = self.with(|session| match &session.link {
                Link::Up if session.is_restored => Some(Ok(())),
                Link::Up | Link::Down => None,
                Link::Closing(_) => Some(Err(Error::Closed)),
                Link::Closed(error) => Some(Err(error.clone())),
            }) {
                return result;
            }
            if state.changed().await.is_err() {
                return Err(Error::Closed);
            }
        }
    }

    pub(crate) fn begin_close(&self) {
        self.with(|session| {
            if matches!(session.link, Link::Up | Link::Down) {
                session.link = Link::Closing(false);
            }
        });
        self.closing.notify_one();
    }
}

/// The users' hold on the connection.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}
