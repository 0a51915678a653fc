//! Where spans of messages go, as people write it in settings, and in the variables that OpenTelemetry names.

use super::config_value::{Value, ValueError, ValueVisitor, read_everywhere};
use serde::{Deserialize, Deserializer};
use std::marker::PhantomData;
use std::str::FromStr;

read_everywhere!(OtlpEndpoint, ServiceName);

/// What the broker is called in traces when nothing is said.
pub const SERVICE_NAME_DEFAULT: &str = "forebay";

/// The base address of a collector, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint(pub String);

impl Value for OtlpEndpoint {
    const EXPECTED: &'static str =
        "the base URL of a collector that takes OTLP over HTTP, as http://127.0.0.1:4318";

    fn from_text(text: &str) -> Option<Self> {
        let place = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
        let (host, _) = place.split_once('/').unwrap_or((place, ""));
        let is_address = !host.is_empty() && !host.starts_with(':') && !host.contains('@');
        let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#'));
        (is_address && is_plain).then(|| Self(text.trim_end_matches('/').to_owned()))
    }
}

/// What the broker is called in traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName(pub String);

impl Value for ServiceName {
    const EXPECTED: &'static str = "a name, as forebay";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

/// What OpenTelemetry's variables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtelVariables {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<OtlpEndpoint>,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<ServiceName>,
}

/// A variable of OpenTelemetry's can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {found:?} can't be used here; {error}")]
pub struct OtelVariableError {
    name: &'static str,
    found: String,
    error: ValueError,
}

/// What `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_SERVICE_NAME` say; empty ones say nothing. They are for every
/// program of a machine or a pod, so that what is said to this one goes before them.
///
/// # Errors
/// When the endpoint is none.
pub fn from_otel_environment() -> Result<OtelVariables, OtelVariableError> {
    read(|name| std::env::var(name).ok())
}

fn read(variable: impl Fn(&str) -> Option<String>) -> Result<OtelVariables, OtelVariableError> {
    Ok(OtelVariables {
        endpoint: parsed("OTEL_EXPORTER_OTLP_ENDPOINT", &variable)?,
        service_name: parsed("OTEL_SERVICE_NAME", &variable)?,
    })
}

fn parsed<T: FromStr<Err = ValueError>>(
    name: &'static str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<T>, OtelVariableError> {
    let Some(found) = variable(name).filter(|found| !found.is_empty()) else { return Ok(None) };
    let value = found.parse();
    value.map(Some).map_err(|error| OtelVariableError { name, found, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_url_without_its_last_slash() {
        let read = |text: &str| text.parse::<OtlpEndpoint>().map(|endpoint| endpoint.0);
        assert_eq!(read("http://127.0.0.1:4318/"), Ok("http://127.0.0.1:4318".to_owned()));
        assert_eq!(read("https://[::1]/otlp"), Ok("https://[::1]/otlp".to_owned()));
        for bad in [
            "",
            "collector:4318",
            "grpc://c:4317",
            "http://",
            "http://:4318",
            "http:///x",
            "http://a b",
            "http://u:p@c",
            "http://c?x=1",
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:4318"), "{bad}: {error}");
        }
    }

    #[test]
    fn variables_of_opentelemetry_are_read_and_named_when_they_are_wrong() {
        let said = |endpoint: &str| {
            read(|name| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.to_owned()))
        };
        let endpoint = said("http://c:4318").unwrap().endpoint;
        assert_eq!(endpoint, Some(OtlpEndpoint("http://c:4318".to_owned())));
        assert_eq!(said("").unwrap(), OtelVariables::default());
        let error = said("c:4317").unwrap_err().to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: \"c:4317\""), "{error}");
    }
}
