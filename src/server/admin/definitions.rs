//! `/api/definitions`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost};
use super::{Admin, json_reply, no_content};
use crate::definitions::{self, Definitions};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::administration::Administration;
use forebay_engine::definition::DefinitionError;
use forebay_wire::ShortStr;

pub(super) async fn export(
    State(admin): State<Admin>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let file = admin.link().look(|shard| definitions::export(shard.topology(), shard.access()));
    Ok(json_reply(&file.await?))
}

pub(super) async fn export_vhost(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    caller.check_vhost(&admin, &vhost)?;
    let file = admin
        .link()
        .look(move |shard| definitions::export_vhost(shard.topology(), shard.access(), &vhost));
    Ok(json_reply(&file.await?))
}

pub(super) async fn import(
    State(admin): State<Admin>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    take(&admin, &caller, body, None).await
}

pub(super) async fn import_vhost(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    body: Bytes,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    caller.check_vhost(&admin, &vhost)?;
    take(&admin, &caller, body, Some(vhost)).await
}

async fn take(
    admin: &Admin,
    caller: &Caller,
    body: Bytes,
    vhost: Option<ShortStr>,
) -> Result<Response, ApiError> {
    // Reading a file may hash passwords, and takes its time when it is large.
    let configured = admin.authenticator().configured();
    let read = tokio::task::spawn_blocking(move || {
        let parsed = definitions::parse(&body, vhost.as_ref())?;
        let configured: Vec<_> = configured.iter().map(|(name, _)| name).collect();
        let warnings = definitions::warnings_of_users(&parsed.definitions, &configured);
        Ok::<_, DefinitionError>((parsed, warnings))
    });
    let parsed = read.await.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    let (Definitions { definitions, ignored }, warnings) =
        parsed.map_err(|error| ApiError::bad(error.to_string()))?;
    for warning in &warnings {
        tracing::warn!("definitions: {warning}");
    }
    for path in &ignored {
        tracing::warn!("definitions: {path} has no meaning here and is passed over");
    }
    admin.administer(caller, Administration::Import(definitions)).await?;
    Ok(no_content())
}
