//! `/api/forebay/access`: what the caller may do with a queue or an exchange, so that the page offers
//! nothing else.

use super::super::api_error::ApiError;
use super::super::caller::VhostAccess;
use super::super::context::Admin;
use super::super::extract::Path;
use super::super::names::{exchange_name, object_name};
use super::super::reply::json_reply;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::model::ObjectName;
use serde_json::json;

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    Path((_, kind, name)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let (queue, exchange);
    let object = match &*kind {
        "queue" => {
            queue = object_name("queue", &name)?;
            Object::Queue(&queue)
        }
        "exchange" => {
            exchange = exchange_name("exchange", &name)?;
            Object::Exchange(&exchange)
        }
        other => {
            return Err(ApiError::bad(format!("'{other}', expected 'queue' or 'exchange'")));
        }
    };
    let default_exchange = ObjectName::EMPTY;
    let may = |access, object| caller.check_access(&admin, &vhost, access, object).is_ok();
    Ok(json_reply(&json!({
        "configure": may(Access::Configure, object),
        // To a queue by its name, and back to it from its dead letters.
        "publish_to_queues": may(Access::Write, Object::Exchange(&default_exchange)),
        "read": may(Access::Read, object),
        "write": may(Access::Write, object),
    })))
}
