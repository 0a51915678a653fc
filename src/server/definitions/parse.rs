//! From JSON to definitions.

use super::node::{Node, Read, wrong};
use crate::admin::user_tags;
use crate::password;
use crate::user::hash_password;
use forebay_engine::access::{Limit, PasswordHash, Permission, User};
use forebay_engine::command::{Binding, Destination, TopologyRequest};
use forebay_engine::definition::{DefinedObject, Definition};
use forebay_engine::name_pattern::NamePattern;
use forebay_engine::topology::{Policy, PolicyOwner, PolicyRequest, QueueSettings};
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use serde_json::Value;

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// In the order in which they can be made.
    pub definitions: Vec<Definition>,
    /// Paths of what means nothing to us, such as the parameters of plugins.
    pub ignored: Vec<String>,
}

/// What every file may say beside objects.
const DESCRIPTIVE: [&str; 12] = [
    "bindings",
    "exchanges",
    "explanation",
    "metadata",
    "original_cluster_name",
    "original_vhost_name",
    "product_name",
    "product_version",
    "queues",
    "rabbit_version",
    "rabbitmq_definition_format",
    "rabbitmq_version",
];

/// What [`read_all`] reads beside.
const READ: [&str; 7] =
    ["parameters", "permissions", "policies", "product", "topic_permissions", "users", "vhosts"];

const QUEUE_TYPE: &str = "x-queue-type";

/// Reads a file. `vhost`: the objects are those of this virtual host and don't name it themselves;
/// users, permissions and virtual hosts don't stand in such a file.
///
/// # Errors
/// The path of the first field that is wrong.
pub fn parse(octets: &[u8], vhost: Option<&ShortStr>) -> Read<Definitions> {
    let value: Value = serde_json::from_slice(octets)
        .or_else(|error| wrong("$", format!("is no JSON: {error}")))?;
    let root = Node::root(&value)?;
    let mut reader = Reader { vhost, read: Definitions::default() };
    reader.read_all(&root)?;
    Ok(reader.read)
}

struct Reader<'v> {
    vhost: Option<&'v ShortStr>,
    read: Definitions,
}

impl Reader<'_> {
    fn read_all(&mut self, root: &Node<'_>) -> Read<()> {
        for key in root.keys() {
            if !DESCRIPTIVE.contains(&key.as_str()) && !READ.contains(&key.as_str()) {
                self.read.ignored.push(key.clone());
            }
        }
        if self.vhost.is_none() {
            self.read_each(root, "vhosts", Self::vhost)?;
            self.read_each(root, "users", Self::user)?;
            self.read_each(root, "permissions", Self::permission)?;
        }
        self.read_each(root, "policies", Self::policy)?;
        self.read_each(root, "parameters", Self::parameter)?;
        self.read_each(root, "exchanges", Self::exchange)?;
        self.read_each(root, "queues", Self::queue)?;
        self.read_each(root, "bindings", Self::binding)?;
        match root.list("topic_permissions")?.first() {
            None => Ok(()),
            Some(node) => wrong(
                node.path(),
                "there are no topic permissions: without them users could do more than they may",
            ),
        }
    }

    fn read_each(
        &mut self,
        root: &Node<'_>,
        key: &str,
        read: fn(&mut Self, &Node<'_>) -> Read<()>,
    ) -> Read<()> {
        root.list(key)?.iter().try_for_each(|node| read(self, node))
    }

    fn add(&mut self, node: &Node<'_>, object: DefinedObject) {
        self.read.definitions.push(Definition { path: node.path().to_owned(), object });
    }

    fn vhost_of(&self, node: &Node<'_>) -> Read<ShortStr> {
        match self.vhost {
            Some(vhost) => Ok(vhost.clone()),
            None => node.name("vhost"),
        }
    }

    fn vhost(&mut self, node: &Node<'_>) -> Read<()> {
        self.add(node, DefinedObject::Vhost(node.name("name")?));
        Ok(())
    }

    fn user(&mut self, node: &Node<'_>) -> Read<()> {
        let name = node.name("name")?;
        let tags = user_tags(node.get("tags"))
            .or_else(|reason| wrong(&node.at("tags"), reason.trim_start_matches("tags: ")))?;
        let password = match (node.optional("password_hash")?, node.optional("password")?) {
            (Some(hash), _) => {
                let algorithm = node.optional("hashing_algorithm")?;
                let algorithm = algorithm.unwrap_or(password::RABBITMQ_SHA256);
                password::imported(algorithm, hash)
                    .or_else(|reason| wrong(&node.at("password_hash"), reason))?
            }
            (None, Some(text)) => match hash_password(text.as_bytes()) {
                Ok(hash) => PasswordHash::Argon2id(hash),
                Err(error) => return wrong(&node.at("password"), error.to_string()),
            },
            (None, None) => PasswordHash::Disabled,
        };
        self.add(node, DefinedObject::User(name.clone(), User { password, tags }));
        match node.object("limits")? {
            Some(limits) => self.limits(&limits, Limit::OF_USER, &name),
            None => Ok(()),
        }
    }

    fn permission(&mut self, node: &Node<'_>) -> Read<()> {
        let (user, vhost) = (node.name("user")?, node.name("vhost")?);
        let pattern = |key| -> Read<&str> {
            let text = node.text(key)?;
            match NamePattern::new(text) {
                Ok(_) => Ok(text),
                Err(error) => wrong(&node.at(key), error.to_string()),
            }
        };
        let (configure, write, read) = (pattern("configure")?, pattern("write")?, pattern("read")?);
        let permission = Permission::new(configure, write, read)
            .or_else(|error| wrong(node.path(), error.to_string()))?;
        self.add(node, DefinedObject::Permission { user, vhost, permission });
        Ok(())
    }

    fn policy(&mut self, node: &Node<'_>) -> Read<()> {
        let policy = read_policy(PolicyOwner::User, node, &node.name("name")?)?;
        let vhost = self.vhost_of(node)?;
        self.add(node, DefinedObject::Policy(vhost, Box::new(policy)));
        Ok(())
    }

    /// Operators' policies and limits of virtual hosts stand among the parameters; the others are
    /// plugins'.
    fn parameter(&mut self, node: &Node<'_>) -> Read<()> {
        let component = node.text("component")?;
        if component != "operator_policy" && component != "vhost-limits" {
            self.read.ignored.push(node.path().to_owned());
            return Ok(());
        }
        let Some(value) = node.object("value")? else {
            return wrong(&node.at("value"), "missing, expected an object");
        };
        if component == "vhost-limits" {
            let vhost = self.vhost_of(node)?;
            return self.limits(&value, Limit::OF_VHOST, &vhost);
        }
        let policy = read_policy(PolicyOwner::Operator, &value, &node.name("name")?)?;
        let vhost = self.vhost_of(node)?;
        self.add(node, DefinedObject::Policy(vhost, Box::new(policy)));
        Ok(())
    }

    /// Limits by name; a negative one is none.
    fn limits(&mut self, node: &Node<'_>, among: [Limit; 3], owner: &ShortStr) -> Read<()> {
        for name in node.keys() {
            let Some(limit) = Limit::named(name, among) else {
                let names = among.map(Limit::name).join(", ");
                let reason = format!("is no limit, expected one of {names}");
                return wrong(&node.at(name), reason);
            };
            let most = u64::try_from(node.integer(name, -1)?).ok();
            self.add(node, DefinedObject::Limit { limit, owner: owner.clone(), most });
        }
        Ok(())
    }

    fn exchange(&mut self, node: &Node<'_>) -> Read<()> {
        let request = TopologyRequest::DeclareExchange {
            name: node.object_name("name")?,
            kind: node.name("type")?,
            passive: false,
            durable: node.flag("durable", true)?,
            auto_delete: node.flag("auto_delete", false)?,
            internal: node.flag("internal", false)?,
            arguments: node.table("arguments")?,
        };
        self.topology(node, request)
    }

    fn queue(&mut self, node: &Node<'_>) -> Read<()> {
        let mut arguments = node.table("arguments")?;
        // Newer files say it beside the arguments.
        match node.optional("type")? {
            Some(kind) if kind != "classic" && arguments.get(QUEUE_TYPE).is_none() => {
                arguments.insert(ShortStr::from_static(QUEUE_TYPE), FieldValue::from(kind));
            }
            _ => {}
        }
        check_queue_arguments(node, &arguments)?;
        let name = node.object_name("name")?;
        if name.is_empty() {
            return wrong(&node.at("name"), "empty, expected a name of 1 to 255 octets");
        }
        let request = TopologyRequest::DeclareQueue {
            name,
            // A broker may have chosen it once.
            is_generated: true,
            passive: false,
            durable: node.flag("durable", true)?,
            exclusive: false,
            auto_delete: node.flag("auto_delete", false)?,
            arguments,
        };
        self.topology(node, request)
    }

    fn binding(&mut self, node: &Node<'_>) -> Read<()> {
        let destination = node.object_name("destination")?;
        let destination = match node.text("destination_type")? {
            "queue" => Destination::Queue(destination),
            "exchange" => Destination::Exchange(destination),
            other => {
                let reason = format!("'{other}', expected 'queue' or 'exchange'");
                return wrong(&node.at("destination_type"), reason);
            }
        };
        let source = node.object_name("source")?;
        // Every queue is bound to the default exchange anyway.
        if source.is_empty() {
            return Ok(());
        }
        let routing_key = match node.get("routing_key") {
            None => ShortStr::default(),
            Some(_) => node.name("routing_key")?,
        };
        let arguments = node.table("arguments")?;
        let binding = Binding { source, destination, routing_key, arguments };
        self.topology(node, TopologyRequest::Bind(binding))
    }

    fn topology(&mut self, node: &Node<'_>, request: TopologyRequest) -> Read<()> {
        let vhost = self.vhost_of(node)?;
        self.add(node, DefinedObject::Topology(vhost, request));
        Ok(())
    }
}

fn read_policy(owner: PolicyOwner, node: &Node<'_>, name: &ShortStr) -> Read<Policy> {
    let request = PolicyRequest {
        name,
        pattern: node.text("pattern")?,
        apply_to: node.optional("apply-to")?.unwrap_or_default(),
        definition: &node.table("definition")?,
        priority: node.integer("priority", 0)?,
    };
    Policy::new(owner, request).or_else(|error| wrong(&node.at(&error.field), error.reason))
}

fn check_queue_arguments(node: &Node<'_>, arguments: &FieldTable) -> Read<()> {
    let checked = QueueSettings::check(arguments);
    checked.or_else(|error| wrong(&node.at(&format!("arguments.{}", error.field)), error.reason))
}

#[cfg(test)]
mod tests;
