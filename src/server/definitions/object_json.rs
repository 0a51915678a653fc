//! Users, permissions, limits and policies as JSON, in files of definitions and in replies of the
//! management API.

use super::table_json;
use forebay_engine::access::{Access, Limit, Limits, Permission};
use forebay_engine::topology::Policy;
use forebay_wire::ShortStr;
use serde_json::{Map, Value, json};

pub(crate) fn user(
    name: &ShortStr,
    tags: &[String],
    (algorithm, hash): (&str, &str),
    limits: &Limits,
) -> Value {
    json!({
        "hashing_algorithm": algorithm,
        "limits": limits_of(limits, Limit::OF_USER, name),
        "name": name.to_string(),
        "password_hash": hash,
        "tags": tags,
    })
}

pub(crate) fn permission(user: &ShortStr, vhost: &ShortStr, permission: &Permission) -> Value {
    json!({
        "configure": permission.text(Access::Configure),
        "read": permission.text(Access::Read),
        "user": user.to_string(),
        "vhost": vhost.to_string(),
        "write": permission.text(Access::Write),
    })
}

/// The limits of one virtual host or user by name, as files of definitions have them, too.
pub(crate) fn limits_of(
    limits: &Limits,
    among: [Limit; 3],
    owner: &ShortStr,
) -> Map<String, Value> {
    let set = among.into_iter().filter_map(|limit| Some((limit, limits.get(limit, owner)?)));
    set.map(|(limit, most)| (limit.name().to_owned(), json!(most))).collect()
}

pub(crate) fn policy(vhost: &ShortStr, policy: &Policy) -> Value {
    json!({
        "apply-to": policy.applies_to().name(),
        "definition": table_json::to_json(policy.definition()),
        "name": policy.name().to_string(),
        "pattern": policy.pattern().as_str(),
        "priority": policy.priority(),
        "vhost": vhost.to_string(),
    })
}
