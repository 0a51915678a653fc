//! `/api/queues/VHOST/QUEUE/pause` and `…/resume`: whether a queue delivers.

use super::api_error::ApiError;
use super::audit;
use super::caller::{Caller, Vhost};
use super::context::Admin;
use super::extract::Path;
use super::names::object_name;
use super::reply::no_content;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::administration::Administration;
use forebay_engine::topology::Pause;

type Named = Path<(String, String)>;

pub(super) async fn pause(
    State(admin): State<Admin>,
    caller: Caller,
    vhost: Vhost,
    name: Named,
) -> Result<Response, ApiError> {
    let (since, by) = (admin.inner.clock.now().wall, caller.name.clone());
    set(&admin, &caller, vhost, name, Some(Pause { since, by })).await
}

pub(super) async fn resume(
    State(admin): State<Admin>,
    caller: Caller,
    vhost: Vhost,
    name: Named,
) -> Result<Response, ApiError> {
    set(&admin, &caller, vhost, name, None).await
}

async fn set(
    admin: &Admin,
    caller: &Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Named,
    pause: Option<Pause>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    caller.check_access(admin, &vhost, Access::Configure, Object::Queue(&name))?;
    let act = if pause.is_some() { "pause" } else { "resume" };
    let (in_vhost, queue) = (vhost.clone(), name.clone().into_short());
    let request = Administration::SetPause { vhost: in_vhost, queue, pause };
    caller.administer(admin, request).await?;
    audit::tell_of_queue(caller, act, &vhost, &name, None);
    Ok(no_content())
}
