//! Requests that somebody else's page makes a browser send.
//!
//! A browser that was once logged in sends name and password with every request, also with those
//! that a page from elsewhere causes. It says so: in `Sec-Fetch-Site`, or else in `Origin`. Programs
//! send neither.

use super::api_error::ApiError;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses what would change something on behalf of a page from elsewhere.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    let only_looks = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if only_looks || !is_foreign(request.headers()) {
        return next.run(request).await;
    }
    let text = "the request comes from a page of another origin, which may change nothing here";
    ApiError::Forbidden(text.to_owned()).into_response()
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(SEC_FETCH_SITE), text(header::ORIGIN.as_str())) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host != text(header::HOST.as_str())
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[test]
    fn what_a_page_from_elsewhere_causes_is_told_by_the_browser() {
        let cases: [(&[(&'static str, &'static str)], bool); 8] = [
            (&[("host", "mq:15672")], false),
            (&[("host", "mq:15672"), ("sec-fetch-site", "same-origin")], false),
            (&[("host", "mq:15672"), ("sec-fetch-site", "none")], false),
            (&[("host", "mq:15672"), ("sec-fetch-site", "cross-site")], true),
            (&[("host", "mq:15672"), ("sec-fetch-site", "same-site")], true),
            (&[("host", "mq:15672"), ("origin", "http://mq:15672")], false),
            (&[("host", "mq:15672"), ("origin", "https://else.where")], true),
            (&[("host", "mq:15672"), ("origin", "null")], true),
        ];
        for (headers, is_wrong) in cases {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect();
            assert_eq!(is_foreign(&map), is_wrong, "{headers:?}");
        }
    }
}
