//! Who asks: HTTP basic authentication by the broker's own users, and what their tags allow, as
//! RabbitMQ has it: `management` sees the virtual hosts it may enter, `policymaker` sets policies
//! in them besides, `monitoring` sees everything, `administrator` does everything.

use super::api_error::ApiError;
use super::context::Admin;
use super::names::short;
use crate::shard::shard_link::SESSION_CHANNEL;
use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams};
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forebay_engine::access::{Access, Object};
use forebay_engine::administration::Administration;
use forebay_engine::command::Command;
use forebay_engine::connection::{Credentials, Peer, Proof};
use forebay_engine::model::TopologyRequest;
use forebay_wire::ShortStr;
use std::net::SocketAddr;

/// The tags that admit to the admin listener.
const TAGS: [&str; 4] = ["administrator", "management", "monitoring", "policymaker"];

/// An authenticated user with one of those tags.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The user's name.
    pub(super) name: ShortStr,
    /// All of its tags.
    pub(super) tags: Vec<String>,
}

/// A caller that is an administrator; others are refused with 401.
#[derive(Clone, Debug)]
pub(super) struct Administrator(pub(super) Caller);

impl Caller {
    /// Somebody who shows a password.
    ///
    /// # Errors
    /// 401 when it is wrong, or the user has none of the tags.
    pub(super) async fn authenticate(
        admin: &Admin,
        credentials: Credentials,
        peer: &Peer,
    ) -> Result<Self, ApiError> {
        let name = credentials.user.clone();
        let verdict = admin.authenticator().verify(credentials, peer).await;
        admin.inner.logins.count(verdict.is_ok());
        if let Err(reason) = verdict {
            let (user, address) = (&*name.to_string(), peer.address);
            tracing::warn!(user, %address, %reason, "admin login refused");
            return Err(ApiError::NotAuthorised("Login failed".to_owned()));
        }
        let tags = admin.authenticator().tags(&name).unwrap_or_default();
        Self::with_tags(name, tags)
    }

    /// Somebody who logged in on the page.
    fn of_page(admin: &Admin, parts: &Parts) -> Result<Self, ApiError> {
        let user = admin.inner.console.identify(&parts.method, &parts.headers)?;
        let account = admin.authenticator().account(&user.name);
        let account = account.filter(|account| account.password == user.password);
        let refused = || ApiError::NotAuthorised("Login failed".to_owned());
        Self::with_tags(user.name, account.ok_or_else(refused)?.tags.clone())
    }

    /// Somebody who was found to be this user.
    ///
    /// # Errors
    /// 401 when it has none of the tags.
    fn with_tags(name: ShortStr, tags: Vec<String>) -> Result<Self, ApiError> {
        let caller = Self { name, tags };
        caller.check(TAGS.iter().any(|tag| caller.has(tag)), "Not management user")?;
        Ok(caller)
    }

    fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|there| there == tag)
    }

    /// Whether it sees all virtual hosts and connections.
    #[must_use]
    pub(super) fn sees_everything(&self) -> bool {
        self.has("administrator") || self.has("monitoring")
    }

    /// # Errors
    /// 401 unless it is an administrator.
    pub(super) fn check_administrator(&self) -> Result<(), ApiError> {
        self.check(self.has("administrator"), "Not administrator user")
    }

    /// # Errors
    /// 401 unless it may see everything.
    pub(super) fn check_monitoring(&self) -> Result<(), ApiError> {
        self.check(self.sees_everything(), "Not monitor user")
    }

    /// Whether it may set policies in the virtual host.
    ///
    /// # Errors
    /// 401 if not.
    pub(super) fn check_policymaker(
        &self,
        admin: &Admin,
        vhost: &ShortStr,
    ) -> Result<(), ApiError> {
        let may = self.has("administrator") || self.has("policymaker");
        self.check(may, "Not policymaker user")?;
        self.check_vhost(admin, vhost)
    }

    /// Whether it may work in the virtual host.
    ///
    /// # Errors
    /// 404 when that is not there, 401 when not.
    pub(super) fn check_vhost(&self, admin: &Admin, vhost: &ShortStr) -> Result<(), ApiError> {
        let snapshot = admin.snapshot();
        if !snapshot.routes.has_vhost(vhost.as_bytes()) {
            return Err(ApiError::not_found(format!("no vhost '{vhost}'")));
        }
        let may = snapshot.access.permissions().check_vhost(&self.name, vhost);
        may.map_err(|fault| ApiError::NotAuthorised(fault.text))
    }

    /// Whether it may see the virtual host.
    #[must_use]
    pub(super) fn sees(&self, admin: &Admin, vhost: &ShortStr) -> bool {
        self.sees_everything()
            || admin.snapshot().access.permissions().get(&self.name, vhost).is_some()
    }

    /// # Errors
    /// 404 when the virtual host is not there, 401 when it may not be seen.
    pub(super) fn check_sees(&self, admin: &Admin, vhost: &ShortStr) -> Result<(), ApiError> {
        if self.sees_everything() && admin.snapshot().routes.has_vhost(vhost.as_bytes()) {
            return Ok(());
        }
        self.check_vhost(admin, vhost)
    }

    /// Whether it may do this with an object of the virtual host.
    ///
    /// # Errors
    /// 404 when the virtual host is not there, 401 when not.
    pub(super) fn check_access(
        &self,
        admin: &Admin,
        vhost: &ShortStr,
        access: Access,
        object: Object<'_>,
    ) -> Result<(), ApiError> {
        self.check_vhost(admin, vhost)?;
        Ok(admin.snapshot().access.permissions().check(&self.name, vhost, access, object)?)
    }

    /// Whether it may ask this of the topology: the permissions that an AMQP client needs.
    ///
    /// # Errors
    /// 404 when the virtual host is not there, 401 when not.
    pub(super) fn check_request(
        &self,
        admin: &Admin,
        vhost: &ShortStr,
        request: &TopologyRequest,
    ) -> Result<(), ApiError> {
        self.check_vhost(admin, vhost)?;
        Ok(admin.snapshot().access.permissions().check_request(&self.name, vhost, request)?)
    }

    /// Changes something on its behalf; whether it may has been checked.
    ///
    /// # Errors
    /// When the shard refuses, or the broker stops.
    pub(super) async fn administer(
        &self,
        admin: &Admin,
        request: Administration,
    ) -> Result<(), ApiError> {
        let request = Box::new(request);
        let command = Command::Administer { channel: SESSION_CHANNEL, request };
        admin.link().ask(ShortStr::default(), self.name.clone(), command).await?;
        Ok(())
    }

    fn check(&self, may: bool, reason: &str) -> Result<(), ApiError> {
        if may { Ok(()) } else { Err(ApiError::NotAuthorised(reason.to_owned())) }
    }
}

impl FromRequestParts<Admin> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        // A program sends name and password, the page its cookie.
        let Some(credentials) = credentials(parts) else { return Self::of_page(admin, parts) };
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let refused = || ApiError::NotAuthorised("Login failed".to_owned());
        let peer = Peer::at(address.ok_or_else(refused)?);
        Self::authenticate(admin, credentials, &peer).await
    }
}

/// The virtual host that a path names, whether it is there or not.
#[derive(Clone, Debug)]
pub(super) struct Vhost(pub(super) ShortStr);

impl FromRequestParts<Admin> for Vhost {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, admin).await;
        let params = params.map_err(|error| ApiError::bad(error.to_string()))?;
        let named = params.iter().find_map(|(name, value)| (name == "vhost").then_some(value));
        let named = named.ok_or_else(|| ApiError::bad("vhost: the path names none"))?;
        Ok(Self(short("vhost", named)?))
    }
}

impl FromRequestParts<Admin> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, admin).await?;
        caller.check_administrator()?;
        Ok(Self(caller))
    }
}

/// A caller at a virtual host that is there and that the caller sees.
#[derive(Clone, Debug)]
pub(super) struct VhostAccess {
    pub(super) caller: Caller,
    pub(super) vhost: ShortStr,
}

impl FromRequestParts<Admin> for VhostAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, admin).await?;
        let Vhost(vhost) = Vhost::from_request_parts(parts, admin).await?;
        caller.check_sees(admin, &vhost)?;
        Ok(Self { caller, vhost })
    }
}

/// Name and password of the `Authorization` header.
fn credentials(parts: &Parts) -> Option<Credentials> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Bytes::from(STANDARD.decode(encoded.trim()).ok()?);
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let user = ShortStr::try_from(bytes.slice(..colon)).ok()?;
    Some(Credentials { user, proof: Proof::Password(bytes.slice(colon + 1..)) })
}
