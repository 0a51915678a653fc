//! Handlers of a [`crate::Worker`] that are made from something else than a function of a message.

#[cfg(any(feature = "json", feature = "tower"))]
use crate::{Failure, Incoming};
#[cfg(any(feature = "json", feature = "tower"))]
use std::{future::Future, pin::Pin};

/// What [`json`](crate::json), [`json_with`](crate::json_with) and [`service`](crate::service) make of a message.
#[cfg(any(feature = "json", feature = "tower"))]
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A handler of values that stand in JSON in the bodies. A body that is no such value is dead-lettered at once,
/// with what serde says of it in the log: it would be none the next time either.
///
/// ```no_run
/// # use forebay_client::{Connection, CancellationToken, Worker, json};
/// # async fn example(connection: Connection, stop: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
/// #[derive(serde::Deserialize)]
/// struct Order {
///     number: u64,
/// }
///
/// Worker::new(connection.consume("orders"))
///     .run(stop, json(|order: Order| async move {
///         println!("order {}", order.number);
///         Ok(())
///     }))
///     .await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "json")]
pub fn json<T, H, F>(handler: H) -> impl Fn(Incoming) -> HandlerFuture + Send + Sync + 'static
where
    T: serde::de::DeserializeOwned,
    H: Fn(T) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    json_with(move |value, _| handler(value))
}

/// As [`json`], for a handler that needs the message as well: its headers, its routing key, how often it failed.
#[cfg(feature = "json")]
pub fn json_with<T, H, F>(handler: H) -> impl Fn(Incoming) -> HandlerFuture + Send + Sync + 'static
where
    T: serde::de::DeserializeOwned,
    H: Fn(T, Incoming) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    move |message| match message.json() {
        Ok(value) => Box::pin(handler(value, message)),
        Err(error) => {
            let failure =
                Failure::dead_letter(format!("the body is not what is expected: {error}"));
            Box::pin(std::future::ready(Err(failure)))
        }
    }
}

/// A handler that asks a clone of a tower service for each message, once that is ready: layers for time-outs,
/// limits and the like work as they do around any other service.
#[cfg(feature = "tower")]
pub fn service<S>(service: S) -> impl Fn(Incoming) -> HandlerFuture + Send + Sync + 'static
where
    S: tower_service::Service<Incoming, Response = ()> + Clone + Send + 'static,
    S::Error: Into<Failure>,
    S::Future: Send,
{
    // A service need not be shareable between threads: it is cloned by one at a time.
    let service = std::sync::Mutex::new(service);
    move |message| {
        let mut own = service.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Box::pin(async move {
            std::future::poll_fn(|context| own.poll_ready(context)).await.map_err(Into::into)?;
            own.call(message).await.map_err(Into::into)
        })
    }
}
