//! `/api/forebay/live`: what the page shows, again and again, as server-sent events.
//!
//! The page names the paths of the API that its view is made of; each is asked as if the page asked, so
//! that permissions and the session's end count at each round. What did not change is not sent. The
//! shard is asked for its figures once a round, whoever looks: all streams share them.

use super::super::api_error::ApiError;
use super::super::caller::Caller;
use super::super::context::Admin;
use super::super::extract::Query;
use super::recent_figures::Watched;
use crate::limits::{
    ADMIN_ANSWERS_KIB_MAX, CONSOLE_ROUND_INTERVAL, CONSOLE_ROUND_SHARE, CONSOLE_STREAM_SILENCE_MAX,
    CONSOLE_WATCHED_MAX,
};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct LiveQuery {
    /// A JSON list of paths.
    watch: String,
}

pub(super) async fn stream(
    State(admin): State<Admin>,
    _caller: Caller,
    Query(query): Query<LiveQuery>,
    request: Request,
    router: Router,
) -> Result<Response, ApiError> {
    let watched = watched(&query.watch)?;
    let place = Arc::clone(&admin.inner.console.streams).try_acquire_owned();
    let busy = |_| ApiError::Unavailable("as many pages are open as may be".to_owned());
    let rounds = Rounds {
        _place: place.map_err(busy)?,
        address: request.extensions().get::<ConnectInfo<SocketAddr>>().copied(),
        head: request.headers().clone(),
        watched: watched.into_iter().map(|uri| (uri, Bytes::new())).collect(),
        router,
        pause: None,
        spoke: Instant::now(),
    };
    let events = unfold(rounds, async |mut rounds| {
        let text = rounds.next().await;
        Some((Ok::<_, Infallible>(text), rounds))
    });
    let stream = (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(([stream], Body::from_stream(events)).into_response())
}

/// # Errors
/// 400 for what is no list of a few paths of the API.
fn watched(text: &str) -> Result<Vec<Uri>, ApiError> {
    let wrong = || {
        ApiError::bad(format!(
            "watch: expected a JSON list of 1 to {CONSOLE_WATCHED_MAX} paths that begin with /api/"
        ))
    };
    let paths: Vec<String> = serde_json::from_str(text).map_err(|_| wrong())?;
    if !(1..=CONSOLE_WATCHED_MAX).contains(&paths.len()) {
        return Err(wrong());
    }
    let uri = |path: &String| {
        let is_own = path.starts_with("/api/") && !path.starts_with("/api/forebay/live");
        path.parse::<Uri>().ok().filter(|_| is_own).ok_or_else(wrong)
    };
    paths.iter().map(uri).collect()
}

/// A stream: what it watches, with what was sent last of each.
struct Rounds {
    _place: OwnedSemaphorePermit,
    address: Option<ConnectInfo<SocketAddr>>,
    head: axum::http::HeaderMap,
    watched: Vec<(Uri, Bytes)>,
    router: Router,
    /// Before the next round; the first one comes at once.
    pause: Option<std::time::Duration>,
    spoke: Instant,
}

impl Rounds {
    /// What changed since the last round.
    async fn next(&mut self) -> Bytes {
        loop {
            if let Some(pause) = self.pause {
                sleep(pause).await;
            }
            let begin = Instant::now();
            let mut text = String::new();
            for at in 0..self.watched.len() {
                if let Some(event) = self.look(at).await {
                    text.push_str(&event);
                }
            }
            // What costs more than usual comes less often.
            self.pause = Some((begin.elapsed() * CONSOLE_ROUND_SHARE).max(CONSOLE_ROUND_INTERVAL));
            if text.is_empty() && self.spoke.elapsed() >= CONSOLE_STREAM_SILENCE_MAX {
                // A comment: the page knows that the broker is there, the broker that the page is.
                text.push_str(":\n\n");
            }
            if !text.is_empty() {
                self.spoke = Instant::now();
                return Bytes::from(text);
            }
        }
    }

    async fn look(&mut self, at: usize) -> Option<String> {
        let (uri, last) = self.watched.get_mut(at)?;
        let mut request = Request::get(uri.clone()).body(Body::empty()).ok()?;
        *request.headers_mut() = self.head.clone();
        request.extensions_mut().insert(Watched);
        if let Some(address) = self.address {
            request.extensions_mut().insert(address);
        }
        let Ok(response) = TowerToHyperService::new(self.router.clone()).call(request).await;
        let status = response.status().as_u16();
        let most = ADMIN_ANSWERS_KIB_MAX as usize * 1024;
        let body = to_bytes(response.into_body(), most).await.unwrap_or_default();
        if *last == body {
            return None;
        }
        let json =
            std::str::from_utf8(&body).ok().filter(|text| !text.is_empty()).unwrap_or("null");
        let event = format!("data: {{\"at\":{at},\"status\":{status},\"body\":{json}}}\n\n");
        *last = body;
        Some(event)
    }
}
