//! `/api/definitions`.

use super::api_error::ApiError;
use super::caller::{Administrator, Caller, Vhost};
use super::context::Admin;
use super::extract::{Query, UnreadBody};
use super::reply::{json_reply, no_content};
use crate::definitions::{self, DefinitionFlaws, Definitions, ImportError, ReadOptions};
use crate::limits::ADMIN_DEFINITIONS_BYTES_MAX;
use axum::extract::State;
use axum::response::Response;
use forebay_wire::ShortStr;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The query of an import.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ImportQuery {
    skip_unsupported: bool,
}

pub(super) async fn export(
    State(admin): State<Admin>,
    _: Administrator,
) -> Result<Response, ApiError> {
    let (catalogue, snapshot, product) = (admin.catalogue(), admin.snapshot(), admin.product());
    written(move || definitions::export(&catalogue, &snapshot.access, &product)).await
}

pub(super) async fn export_vhost(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Vhost(vhost): Vhost,
) -> Result<Response, ApiError> {
    caller.check_sees(&admin, &vhost)?;
    let (catalogue, snapshot, product) = (admin.catalogue(), admin.snapshot(), admin.product());
    written(move || definitions::export_vhost(&catalogue, &snapshot.access, &product, &vhost)).await
}

/// Beside the threads that serve clients: a large broker has much to say.
async fn written(export: impl FnOnce() -> Value + Send + 'static) -> Result<Response, ApiError> {
    let reply = tokio::task::spawn_blocking(move || json_reply(&export()));
    reply.await.map_err(|error| ApiError::Unavailable(error.to_string()))
}

pub(super) async fn import(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Query(query): Query<ImportQuery>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    take(&admin, &caller, body, None, query.skip_unsupported).await
}

pub(super) async fn import_vhost(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Vhost(vhost): Vhost,
    Query(query): Query<ImportQuery>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    caller.check_sees(&admin, &vhost)?;
    take(&admin, &caller, body, Some(vhost), query.skip_unsupported).await
}

async fn take(
    admin: &Admin,
    caller: &Caller,
    body: UnreadBody,
    vhost: Option<ShortStr>,
    skip_unsupported: bool,
) -> Result<Response, ApiError> {
    // Refused at once: whoever sends too much waits for no other import.
    body.check_size(ADMIN_DEFINITIONS_BYTES_MAX)?;
    // A large file takes much more memory while it is read: one at a time.
    let turn = Arc::clone(&admin.inner.imports).lock_owned().await;
    let body = body.bytes(ADMIN_DEFINITIONS_BYTES_MAX).await?;
    let (admin, caller) = (admin.clone(), caller.clone());
    // Goes on when nobody waits any more: half a file is worse than a whole one.
    let taken = tokio::spawn(async move {
        let _turn = turn;
        // Reading a file may hash passwords, and takes its time when it is large.
        let configured = admin.authenticator().configured();
        let read = tokio::task::spawn_blocking(move || {
            let options = ReadOptions { vhost: vhost.as_ref(), skip_unsupported };
            let parsed = definitions::parse(&body, options)?;
            let configured: Vec<_> = configured.iter().map(|(name, _)| name).collect();
            let warnings = definitions::warnings_of_users(&parsed.definitions, &configured);
            Ok::<_, DefinitionFlaws>((parsed, warnings))
        });
        let parsed = read.await.map_err(|error| ApiError::Unavailable(error.to_string()))?;
        let (Definitions { definitions, ignored }, warnings) =
            parsed.map_err(|flaws| ApiError::bad(flaws.to_string()))?;
        for warning in &warnings {
            tracing::warn!("definitions: {warning}");
        }
        for thing in &ignored {
            let thing = thing.escape_debug();
            tracing::warn!("definitions: {thing} has no meaning here and is passed over");
        }
        let catalogue = admin.catalogue().snapshot();
        let imported = definitions::import(admin.link(), catalogue, caller.name, definitions).await;
        imported.map_err(|error| match error {
            ImportError::Flaws(flaws) => ApiError::bad(flaws.to_string()),
            ImportError::Interrupted(error) => error.into(),
        })
    });
    taken.await.map_err(|error| ApiError::Unavailable(error.to_string()))??;
    Ok(no_content())
}
