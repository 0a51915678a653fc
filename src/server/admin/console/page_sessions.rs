//! The page's sessions and who may open it: cookies, the second secret, the names that browsers call the
//! broker by.

use super::super::api_error::ApiError;
use super::recent_figures::RecentFigures;
use super::trails::Trails;
use crate::limits::CONSOLE_STREAMS_MAX;
use crate::shard::shard_link::{SessionError, ShardLink};
use crate::system::node_name::node_name;
use axum::http::header;
use axum::http::{HeaderMap, HeaderName, Method};
use forebay_console::hosts::{self, Hosts};
use forebay_console::sessions::{Session, Sessions};
use forebay_engine::access::PasswordHash;
use forebay_engine::shard::ShardStatistics;
use forebay_wire::ShortStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// What the page sends along with every request: the session's second secret, or before there is a
/// session any value. A page from elsewhere can't send it.
pub(super) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-forebay-csrf");

/// The page's state.
pub(in super::super) struct Console {
    hosts: Hosts,
    /// Whether browsers come over TLS.
    pub(super) is_tls: bool,
    sessions: Mutex<Sessions<PageUser>>,
    /// Places for what is shown live.
    pub(super) streams: Arc<Semaphore>,
    figures: RecentFigures,
    trails: Mutex<Trails>,
}

/// Who logged in on the page.
#[derive(Clone, Debug)]
pub(in super::super) struct PageUser {
    pub(in super::super) name: ShortStr,
    /// The session ends when the user has another password.
    pub(in super::super) password: PasswordHash,
}

impl Console {
    /// May be opened under these names, addresses, and the machine's name.
    pub(in super::super) fn new(names: &[String], is_tls: bool) -> Self {
        let machine = node_name().split_once('@').map(|(_, machine)| machine.to_owned());
        Self {
            hosts: Hosts::new(names.iter().cloned().chain(machine)),
            is_tls,
            sessions: Mutex::default(),
            streams: Arc::new(Semaphore::new(CONSOLE_STREAMS_MAX)),
            figures: RecentFigures::default(),
            trails: Mutex::default(),
        }
    }

    /// Who asks by the cookie of a session.
    ///
    /// # Errors
    /// 401 without one, 403 when the request may come from a page of somebody else.
    pub(in super::super) fn identify(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<PageUser, ApiError> {
        let refused = || ApiError::NotAuthorised("Login failed".to_owned());
        let session = self.session(headers).ok_or_else(refused)?;
        self.check_host(headers)?;
        let secret = headers.get(CSRF_HEADER).map(|value| value.as_bytes());
        if !only_looks(method) && secret != Some(session.csrf.as_bytes()) {
            let text = format!("{CSRF_HEADER}: missing or of another session; load the page again");
            return Err(ApiError::Forbidden(text));
        }
        Ok(session.user)
    }

    /// How all queues stand, not older than a round.
    ///
    /// # Errors
    /// When the broker stops.
    pub(in super::super) async fn recent_figures(
        &self,
        link: &ShardLink,
    ) -> Result<Arc<ShardStatistics>, SessionError> {
        self.figures.get(link).await
    }

    pub(super) fn trails(&self) -> MutexGuard<'_, Trails> {
        self.trails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions<PageUser>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session that a request's cookie names.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<Session<PageUser>> {
        self.sessions().find(self.token(headers)?, Instant::now())
    }

    pub(super) fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.cookie_name(headers);
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).map(str::trim);
        pairs.find_map(|pair| pair.strip_prefix(&*name)?.strip_prefix('='))
    }

    /// Cookies are shared by all ports of a host, so that the name has the port.
    pub(super) fn cookie_name(&self, headers: &HeaderMap) -> String {
        let port = host(headers).and_then(hosts::port).map(|port| format!("-{port}"));
        let prefix = if self.is_tls { "__Host-" } else { "" };
        format!("{prefix}forebay{}", port.unwrap_or_default())
    }

    /// # Errors
    /// 403 when the browser calls the broker by a name that may be somebody else's.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let name = host(headers).unwrap_or_default();
        if self.hosts.lets_in(name) {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "the page is not served under the name '{}': open it by the broker's address, or list the \
             name in admin_hosts",
            name.escape_debug()
        )))
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Whether a request of this method changes nothing.
pub(super) fn only_looks(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
