//! From JSON to definitions.

use super::flaws::{DefinitionFlaws, Flaw};
use super::node::{Node, Read, wrong};
use super::{schedule_json, user_tags};
use crate::auth::password;
use crate::auth::user::hash_password;
use forebay_engine::access::{Limit, PasswordHash, Permission, User};
use forebay_engine::definition::{DefinedObject, Definition, DefinitionError};
use forebay_engine::model::{
    Binding, Destination, ExchangeDeclaration, NamePattern, QueueDeclaration, TopologyRequest,
};
use forebay_engine::topology::{
    ExchangeKind, Policy, PolicyOwner, PolicyRequest, QueueKind, QueueSettings, VhostUpdate,
};
use forebay_wire::{FieldValue, ShortStr};
use serde_json::Value;
use std::collections::BTreeSet;

/// How a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions<'v> {
    /// The objects are those of this virtual host and don't name it themselves; users, permissions
    /// and virtual hosts don't stand in such a file.
    pub vhost: Option<&'v ShortStr>,
    /// What there is in RabbitMQ and not here is passed over, not refused.
    pub skip_unsupported: bool,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// In the order in which they can be made.
    pub definitions: Vec<Definition>,
    /// What means nothing to us and is passed over, for people: `parameter 'move' of 'shovel' in
    /// vhost '/'`.
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

/// What [`Reader::read_all`] reads beside.
const READ: [&str; 9] = [
    "global_parameters",
    "parameters",
    "permissions",
    "policies",
    "product",
    "schedules",
    "topic_permissions",
    "users",
    "vhosts",
];

/// What RabbitMQ keeps among the global parameters for itself.
const OWN_PARAMETERS: [&str; 3] =
    ["cluster_name", "imported_definition_hash_value", "internal_cluster_id"];

const QUEUE_TYPE: &str = "x-queue-type";
const STREAM: &str = "stream";

/// Reads a file.
///
/// # Errors
/// Every object that is wrong, with its path.
pub fn parse(bytes: &[u8], options: ReadOptions<'_>) -> Result<Definitions, DefinitionFlaws> {
    let value: Value = serde_json::from_slice(bytes)
        .or_else(|error| wrong("$", format!("is no JSON: {error}")))?;
    let root = Node::root(&value)?;
    let mut reader = Reader {
        options,
        read: Definitions::default(),
        flaws: Vec::new(),
        passed_over: BTreeSet::new(),
    };
    reader.read_all(&root);
    match DefinitionFlaws::of(reader.flaws) {
        None => Ok(reader.read),
        Some(flaws) => Err(flaws),
    }
}

struct Reader<'v> {
    options: ReadOptions<'v>,
    read: Definitions,
    flaws: Vec<DefinitionError>,
    /// Ends of bindings that were passed over, by virtual host.
    passed_over: BTreeSet<(ShortStr, Destination)>,
}

type Outcome = Result<(), Flaw>;

impl Reader<'_> {
    fn read_all(&mut self, root: &Node<'_>) {
        for key in root.keys() {
            let is_known = DESCRIPTIVE.contains(&key.as_str()) || READ.contains(&key.as_str());
            if !is_known && !root.is_empty(key) {
                self.read.ignored.push(format!("'{key}'"));
            }
        }
        if self.options.vhost.is_none() {
            if let Some(error) = of_one_vhost(root) {
                return self.flaws.push(error);
            }
            self.read_each(root, "vhosts", Self::vhost);
            self.read_each(root, "users", Self::user);
            self.read_each(root, "permissions", Self::permission);
            self.read_each(root, "global_parameters", Self::global_parameter);
        }
        self.read_each(root, "policies", Self::policy);
        self.read_each(root, "parameters", Self::parameter);
        self.read_each(root, "exchanges", Self::exchange);
        self.read_each(root, "queues", Self::queue);
        self.read_each(root, "bindings", Self::binding);
        self.read_each(root, "schedules", Self::schedule);
        self.read_each(root, "topic_permissions", Self::topic_permission);
    }

    fn read_each(&mut self, root: &Node<'_>, key: &str, read: fn(&mut Self, &Node<'_>) -> Outcome) {
        let nodes = match root.list(key) {
            Ok(nodes) => nodes,
            Err(error) => return self.flaws.push(error),
        };
        for node in nodes {
            let outcome = node
                .map_err(Flaw::from)
                .and_then(|node| read(self, &node).map_err(|flaw| flaw.of(&node)));
            match outcome {
                Ok(()) => {}
                Err(Flaw::Wrong(error)) => self.flaws.push(error),
                Err(Flaw::Unsupported { thing, .. }) if self.options.skip_unsupported => {
                    self.read.ignored.push(thing);
                }
                Err(Flaw::Unsupported { error, .. }) => self.flaws.push(error),
            }
        }
    }

    fn add(&mut self, node: &Node<'_>, object: DefinedObject) {
        self.read.definitions.push(Definition { path: node.path().to_owned(), object });
    }

    fn vhost_of(&self, node: &Node<'_>) -> Read<ShortStr> {
        match self.options.vhost {
            Some(vhost) => Ok(vhost.clone()),
            None => node.name("vhost"),
        }
    }

    /// RabbitMQ writes what is said of a virtual host beside its name, among its metadata, or both.
    fn vhost(&mut self, node: &Node<'_>) -> Outcome {
        let name = node.name("name")?;
        let metadata = node.object("metadata")?;
        let places = || std::iter::once(node).chain(&metadata);
        let mut update = VhostUpdate::default();
        for place in places() {
            if let Some(description) = place.optional("description")? {
                update.description = Some(description.to_owned());
            }
            if let Some(tags) = place.get("tags") {
                let tags = user_tags(tags);
                update.tags = Some(tags.or_else(|reason| wrong(&place.at("tags"), reason))?);
            }
            match place.optional("default_queue_type")? {
                None | Some("undefined" | "") => {}
                Some(STREAM) if self.options.skip_unsupported => {
                    let thing = format!("default queue type 'stream' of vhost '{name}'");
                    self.read.ignored.push(thing);
                }
                Some(kind) => {
                    let known = QueueKind::from_name(kind);
                    let reason = || format!("'{kind}', expected 'classic' or 'quorum'");
                    let at = place.at("default_queue_type");
                    let kind = known.map_or_else(|| wrong(&at, reason()), Ok)?;
                    update.default_queue_type = Some(kind);
                }
            }
        }
        self.add(node, DefinedObject::Vhost(name.clone(), update));
        match node.get("limits") {
            Some(Value::Object(_)) => self.limits(node, "limits", Limit::OF_VHOST, &name),
            _ => Ok(()),
        }
    }

    fn user(&mut self, node: &Node<'_>) -> Outcome {
        let name = node.name("name")?;
        let tags = node.get("tags").map_or_else(|| Ok(Vec::new()), user_tags);
        let tags = tags.or_else(|reason| wrong(&node.at("tags"), reason))?;
        let password = match (node.optional("password_hash")?, node.optional("password")?) {
            (Some(hash), _) => {
                let algorithm = node.optional("hashing_algorithm")?;
                let algorithm = algorithm.unwrap_or(password::RABBITMQ_SHA256);
                let read = password::imported(algorithm, hash)
                    .or_else(|reason| wrong(&node.at("password_hash"), reason));
                match read {
                    Err(error) if !password::is_known(algorithm) => {
                        let thing =
                            format!("user '{name}', whose password is hashed by {algorithm}");
                        return Err(Flaw::Unsupported { error, thing });
                    }
                    read => read?,
                }
            }
            (None, Some(text)) => match hash_password(text.as_bytes()) {
                Ok(hash) => PasswordHash::Argon2id(hash),
                Err(error) => return Ok(wrong(&node.at("password"), error.to_string())?),
            },
            (None, None) => PasswordHash::Disabled,
        };
        self.add(node, DefinedObject::User(name.clone(), User { password, tags }));
        self.limits(node, "limits", Limit::OF_USER, &name)
    }

    fn permission(&mut self, node: &Node<'_>) -> Outcome {
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

    fn topic_permission(&mut self, node: &Node<'_>) -> Outcome {
        let name = |key| node.optional(key).ok().flatten().unwrap_or_default();
        let thing = format!(
            "topic permission of user '{}' for exchange '{}' in vhost '{}', who can use all routing \
             keys without it",
            name("user"),
            name("exchange"),
            name("vhost")
        );
        let reason =
            "there are no topic permissions: without them users could do more than they may";
        let error = DefinitionError { path: node.path().to_owned(), reason: reason.to_owned() };
        Err(Flaw::Unsupported { error, thing })
    }

    fn global_parameter(&mut self, node: &Node<'_>) -> Outcome {
        let name = node.text("name")?;
        if !OWN_PARAMETERS.contains(&name) {
            self.read.ignored.push(format!("global parameter '{name}'"));
        }
        Ok(())
    }

    fn policy(&mut self, node: &Node<'_>) -> Outcome {
        let (name, vhost) = (node.name("name")?, self.vhost_of(node)?);
        self.add_policy(PolicyOwner::User, node, node, &name, vhost)
    }

    /// Operators' policies and limits of virtual hosts stand among the parameters; the others are
    /// plugins'.
    fn parameter(&mut self, node: &Node<'_>) -> Outcome {
        let component = node.text("component")?;
        let vhost = self.vhost_of(node)?;
        if component != "operator_policy" && component != "vhost-limits" {
            let name = node.text("name")?;
            let thing = format!("parameter '{name}' of '{component}' in vhost '{vhost}'");
            self.read.ignored.push(thing);
            return Ok(());
        }
        let Some(value) = node.object("value")? else {
            return Ok(wrong(&node.at("value"), "missing, expected an object")?);
        };
        if component == "vhost-limits" {
            return self.limits(node, "value", Limit::OF_VHOST, &vhost);
        }
        self.add_policy(PolicyOwner::Operator, node, &value, &node.name("name")?, vhost)
    }

    /// Of a policy with settings of plugins the others hold.
    fn add_policy(
        &mut self,
        owner: PolicyOwner,
        node: &Node<'_>,
        value: &Node<'_>,
        name: &ShortStr,
        vhost: ShortStr,
    ) -> Outcome {
        let mut definition = value.table("definition")?;
        let unknown = Policy::unknown_settings(owner, &definition);
        if let Some(first) = unknown.first() {
            let names: Vec<String> = unknown.iter().map(ToString::to_string).collect();
            let thing = format!("{} of policy '{name}' in vhost '{vhost}'", names.join(", "));
            unknown.iter().for_each(|name| drop(definition.remove(name)));
            if !self.options.skip_unsupported || definition.is_empty() {
                let reason = "is no setting of policies here".to_owned();
                let path = value.at(&format!("definition.{first}"));
                return Err(Flaw::Unsupported { error: DefinitionError { path, reason }, thing });
            }
            self.read.ignored.push(thing);
        }
        let request = PolicyRequest {
            name,
            pattern: value.text("pattern")?,
            apply_to: value.optional("apply-to")?.unwrap_or_default(),
            definition: &definition,
            priority: value.integer("priority", 0)?,
        };
        let policy = Policy::new(owner, request)
            .or_else(|error| wrong(&value.at(&error.field), error.reason))?;
        self.add(node, DefinedObject::Policy(vhost, Box::new(policy)));
        Ok(())
    }

    /// Limits by name; a negative one is none.
    fn limits(
        &mut self,
        node: &Node<'_>,
        key: &str,
        among: [Limit; 3],
        owner: &ShortStr,
    ) -> Outcome {
        let Some(limits) = node.object(key)? else { return Ok(()) };
        for name in limits.keys() {
            let Some(limit) = Limit::named(name, among) else {
                if self.options.skip_unsupported {
                    self.read.ignored.push(format!("limit '{name}' of '{owner}'"));
                    continue;
                }
                let names = among.map(Limit::name).join(", ");
                let reason = format!("is no limit, expected one of {names}");
                return Ok(wrong(&limits.at(name), reason)?);
            };
            let most = u64::try_from(limits.integer(name, -1)?).ok();
            self.add(node, DefinedObject::Limit { limit, owner: owner.clone(), most });
        }
        Ok(())
    }

    fn exchange(&mut self, node: &Node<'_>) -> Outcome {
        let (name, kind) = (node.object_name("name")?, node.name("type")?);
        if ExchangeKind::from_name(kind.as_bytes()).is_none() {
            let vhost = self.vhost_of(node)?;
            let known = ExchangeKind::ALL.map(ExchangeKind::name).join(", ");
            let reason = format!("unknown exchange type '{kind}', expected one of {known}");
            let thing = format!("exchange '{name}' of type '{kind}' in vhost '{vhost}'");
            let error = DefinitionError { path: node.path().to_owned(), reason };
            self.passed_over.insert((vhost, Destination::Exchange(name)));
            return Err(Flaw::Unsupported { error, thing });
        }
        let request = TopologyRequest::DeclareExchange(ExchangeDeclaration {
            name,
            kind,
            durable: node.flag("durable", true)?,
            auto_delete: node.flag("auto_delete", false)?,
            internal: node.flag("internal", false)?,
            arguments: node.table("arguments")?,
            ..ExchangeDeclaration::default()
        });
        self.topology(node, request)
    }

    fn queue(&mut self, node: &Node<'_>) -> Outcome {
        let name = node.object_name("name")?;
        if name.is_empty() {
            return Ok(wrong(&node.at("name"), "empty, expected a name of 1 to 255 bytes")?);
        }
        let mut arguments = node.table("arguments")?;
        // Newer files say it beside the arguments.
        match node.optional("type")? {
            Some(kind) if kind != "classic" && arguments.get(QUEUE_TYPE).is_none() => {
                arguments.insert(ShortStr::from_static(QUEUE_TYPE), FieldValue::from(kind));
            }
            _ => {}
        }
        let kind = arguments.get(QUEUE_TYPE).and_then(FieldValue::as_long_str);
        let is_stream = kind.is_some_and(|kind| kind == STREAM);
        let checked = QueueSettings::check(&arguments);
        let checked = checked
            .or_else(|error| wrong(&node.at(&format!("arguments.{}", error.field)), error.reason));
        match checked {
            Err(error) if is_stream => {
                let vhost = self.vhost_of(node)?;
                let thing = format!("stream '{name}' in vhost '{vhost}'");
                self.passed_over.insert((vhost, Destination::Queue(name)));
                return Err(Flaw::Unsupported { error, thing });
            }
            checked => checked?,
        }
        let request = TopologyRequest::DeclareQueue(QueueDeclaration {
            name,
            // A broker may have chosen it once.
            is_generated: true,
            durable: node.flag("durable", true)?,
            auto_delete: node.flag("auto_delete", false)?,
            arguments,
            ..QueueDeclaration::default()
        });
        self.topology(node, request)
    }

    fn binding(&mut self, node: &Node<'_>) -> Outcome {
        let destination = node.object_name("destination")?;
        let destination = match node.text("destination_type")? {
            "queue" => Destination::Queue(destination),
            "exchange" => Destination::Exchange(destination),
            other => {
                let reason = format!("'{other}', expected 'queue' or 'exchange'");
                return Ok(wrong(&node.at("destination_type"), reason)?);
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
        let vhost = self.vhost_of(node)?;
        let from = Destination::Exchange(source.clone());
        let ends = [(vhost.clone(), from), (vhost, destination.clone())];
        if ends.iter().any(|end| self.passed_over.contains(end)) {
            if self.options.skip_unsupported {
                let to = node.text("destination")?;
                let vhost = self.vhost_of(node)?;
                let thing = format!("binding from '{source}' to '{to}' in vhost '{vhost}'");
                self.read.ignored.push(thing);
            }
            return Ok(());
        }
        let arguments = node.table("arguments")?;
        let binding = Binding { source, destination, routing_key, arguments };
        self.topology(node, TopologyRequest::Bind(binding))
    }

    fn schedule(&mut self, node: &Node<'_>) -> Outcome {
        let (name, vhost) = (node.name("name")?, self.vhost_of(node)?);
        let schedule = schedule_json::read(&name, node, false)?;
        let (schedule, says_paused) = (Box::new(schedule), node.get("paused").is_some());
        self.add(node, DefinedObject::Schedule { vhost, schedule, says_paused });
        Ok(())
    }

    fn topology(&mut self, node: &Node<'_>, request: TopologyRequest) -> Outcome {
        let vhost = self.vhost_of(node)?;
        self.add(node, DefinedObject::Topology(vhost, request));
        Ok(())
    }
}

/// A file whose objects name no virtual host is the export of one: said once, not of each object.
fn of_one_vhost(root: &Node<'_>) -> Option<DefinitionError> {
    if root.get("vhosts").is_some() {
        return None;
    }
    let lists = ["policies", "parameters", "exchanges", "queues", "bindings", "schedules"];
    let nodes = lists.iter().filter_map(|key| root.list(key).ok()).flatten().flatten();
    let mut objects = nodes.peekable();
    objects.peek()?;
    objects.all(|node| node.get("vhost").is_none()).then(|| DefinitionError {
        path: "$".to_owned(),
        reason: "its objects name no virtual host, as in an export of one: say which it is for \
                 (--vhost NAME, or POST to /api/definitions/NAME)"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests;
