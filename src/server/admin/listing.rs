//! Lists as RabbitMQ's management API gives them: filtered by name, sorted, one page at a time,
//! with the columns asked for.
//!
//! A long list is written beside the threads that serve clients, a few at once, and what was written
//! and has not been read by its client is bounded.

use super::api_error::ApiError;
use super::context::Admin;
use super::extract::Query;
use super::listing_turns::ListingTurns;
use crate::limits::{ADMIN_ANSWERS_KIB_MAX, ADMIN_PAGE_ITEMS_DEFAULT, ADMIN_PAGE_ITEMS_MAX};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use forebay_engine::model::NamePattern;
use forebay_wire::ShortStr;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use tokio::sync::OwnedSemaphorePermit;

/// A list that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    query: ListingQuery,
    turns: ListingTurns,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ListingQuery {
    page: Option<usize>,
    page_size: Option<usize>,
    name: Option<String>,
    use_regex: Option<String>,
    sort: Option<String>,
    sort_reverse: Option<String>,
    columns: Option<String>,
}

impl FromRequestParts<Admin> for Listing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let Query(query) = Query::from_request_parts(parts, admin).await?;
        Ok(Self { query, turns: admin.inner.lists.clone() })
    }
}

/// What is known of the items of a list without describing them, which costs more than anything else
/// where there are many.
pub(super) trait Shortcuts<T> {
    /// The name.
    fn name(&self, _item: &T) -> Option<String> {
        None
    }

    /// The order by a column; nothing for a column of which nothing is known.
    fn compare(&self, _column: &str, _left: &T, _right: &T) -> Option<Ordering> {
        None
    }
}

/// Nothing is known.
struct NoShortcuts;

impl<T> Shortcuts<T> for NoShortcuts {}

/// An answer that was written, and its share of what may wait for clients.
struct Answer {
    text: Vec<u8>,
    _unsent: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Listing {
    /// The reply for these items: a page when one was asked for, or else all of them.
    ///
    /// # Errors
    /// 400 for a page that can't be, or a pattern that is none.
    pub(super) async fn reply<T: Send + 'static>(
        self,
        items: Vec<T>,
        describe: impl Fn(&T) -> Value + Send + 'static,
    ) -> Result<Response, ApiError> {
        self.reply_knowing(items, NoShortcuts, describe).await
    }

    /// The same of items that may be many.
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub(super) async fn reply_knowing<T: Send + 'static>(
        self,
        items: Vec<T>,
        shortcuts: impl Shortcuts<T> + Send + 'static,
        describe: impl Fn(&T) -> Value + Send + 'static,
    ) -> Result<Response, ApiError> {
        let Self { query, turns } = self;
        let unavailable = |_| ApiError::Unavailable("the broker is stopping".to_owned());
        let text = if items.len() <= ADMIN_PAGE_ITEMS_MAX {
            query.write(items, &shortcuts, describe)?
        } else {
            let turn = turns.writing.acquire_owned().await.map_err(unavailable)?;
            let written = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                query.write(items, &shortcuts, describe)
            });
            written.await.map_err(|error| ApiError::Unavailable(error.to_string()))??
        };
        let kib = u32::try_from(text.len() / 1024 + 1).unwrap_or(u32::MAX);
        let share = turns.unsent.acquire_many_owned(kib.min(ADMIN_ANSWERS_KIB_MAX)).await;
        let answer = Answer { text, _unsent: share.map_err(unavailable)? };
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(([json], Bytes::from_owner(answer)).into_response())
    }
}

impl ListingQuery {
    fn write<T>(
        &self,
        mut items: Vec<T>,
        shortcuts: &impl Shortcuts<T>,
        describe: impl Fn(&T) -> Value,
    ) -> Result<Vec<u8>, ApiError> {
        let total = items.len();
        if let Some(column) = &self.sort {
            let pair = (items.first(), items.last());
            if let (Some(first), Some(last)) = pair
                && shortcuts.compare(column, first, last).is_some()
            {
                items.sort_by(|left, right| {
                    shortcuts.compare(column, left, right).unwrap_or(Ordering::Equal)
                });
            } else {
                let key = |item: T| (field(&describe(&item), column).cloned(), item);
                let mut keyed: Vec<_> = items.into_iter().map(key).collect();
                keyed
                    .sort_by(|(left, _), (right, _)| compare_values(left.as_ref(), right.as_ref()));
                items = keyed.into_iter().map(|(_, item)| item).collect();
            }
            if is_true(self.sort_reverse.as_deref()) {
                items.reverse();
            }
        }
        let Some(page) = self.page else { return Ok(self.write_items(&items, &describe)) };
        let size = self.page_size.unwrap_or(ADMIN_PAGE_ITEMS_DEFAULT);
        if page == 0 || size == 0 || size > ADMIN_PAGE_ITEMS_MAX {
            return Err(ApiError::bad(format!(
                "page={page}, page_size={size}: expected a page from 1 and a page_size from 1 to \
                 {ADMIN_PAGE_ITEMS_MAX}"
            )));
        }
        self.keep_named(&mut items, shortcuts, &describe)?;
        let filtered = items.len();
        let pages = filtered.div_ceil(size).max(1);
        if page > pages {
            return Err(ApiError::bad(format!("page={page}: there are {pages}")));
        }
        let items: Vec<_> = items.into_iter().skip((page - 1) * size).take(size).collect();
        let items: Vec<_> = items.iter().map(|item| self.with_columns(describe(item))).collect();
        let page = json!({
            "filtered_count": filtered,
            "item_count": items.len(),
            "items": items,
            "page": page,
            "page_count": pages,
            "page_size": size,
            "total_count": total,
        });
        Ok(page.to_string().into_bytes())
    }

    /// One after the other, so that the items are never all there as values.
    fn write_items<T>(&self, items: &[T], describe: &impl Fn(&T) -> Value) -> Vec<u8> {
        let mut text = vec![b'['];
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            text.extend_from_slice(self.with_columns(describe(item)).to_string().as_bytes());
        }
        text.push(b']');
        text
    }

    fn keep_named<T>(
        &self,
        items: &mut Vec<T>,
        shortcuts: &impl Shortcuts<T>,
        describe: &impl Fn(&T) -> Value,
    ) -> Result<(), ApiError> {
        let Some(name) = self.name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let described = |item: &T| describe(item).get("name")?.as_str().map(str::to_owned);
        let name_of = |item: &T| shortcuts.name(item).or_else(|| described(item));
        if is_true(self.use_regex.as_deref()) {
            let pattern =
                NamePattern::new(name).map_err(|error| ApiError::bad(format!("name: {error}")))?;
            items.retain(|item| {
                let name = name_of(item).and_then(|name| ShortStr::try_from(name).ok());
                name.is_some_and(|name| pattern.matches(&name))
            });
        } else {
            let name = name.to_lowercase();
            items.retain(|item| name_of(item).is_some_and(|it| it.to_lowercase().contains(&name)));
        }
        Ok(())
    }

    fn with_columns(&self, item: Value) -> Value {
        let Some(columns) = self.columns.as_deref().filter(|columns| !columns.is_empty()) else {
            return item;
        };
        let columns: Vec<&str> = columns.split(',').collect();
        chosen(&item, &columns)
    }
}

/// The columns of an item; `a.b` is `b` within `a`.
fn chosen(item: &Value, columns: &[&str]) -> Value {
    let mut result = Value::Object(Map::new());
    for column in columns {
        if let Some(value) = field(item, column) {
            put(&mut result, column, value.clone());
        }
    }
    result
}

fn put(place: &mut Value, column: &str, value: Value) {
    if !place.is_object() {
        *place = json!({});
    }
    let Some(object) = place.as_object_mut() else { return };
    match column.split_once('.') {
        None => drop(object.insert(column.to_owned(), value)),
        Some((first, rest)) => put(object.entry(first).or_insert(Value::Null), rest, value),
    }
}

fn field<'a>(item: &'a Value, column: &str) -> Option<&'a Value> {
    column.split('.').try_fold(item, |value, part| value.get(part))
}

fn compare_values(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            let (left, right) = (left.as_f64(), right.as_f64());
            left.partial_cmp(&right).unwrap_or(Ordering::Equal)
        }
        (Some(Value::String(left)), Some(Value::String(right))) => left.cmp(right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

fn is_true(text: Option<&str>) -> bool {
    text == Some("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("q{number}")).collect()
    }

    fn write(query: &ListingQuery, items: Vec<String>) -> Result<Value, ApiError> {
        let text = query.write(
            items,
            &NoShortcuts,
            |name| json!({ "name": name, "length": name.len() }),
        )?;
        Ok(serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn columns_may_stand_in_one_another() {
        let item = json!({"a": {"b": 1, "c": 2}, "d": 3, "e": 4});
        assert_eq!(chosen(&item, &["a.b", "d", "x.y"]), json!({"a": {"b": 1}, "d": 3}));
    }

    #[test]
    fn all_items_come_as_they_are_sorted_and_cut() {
        assert_eq!(write(&ListingQuery::default(), Vec::new()).unwrap(), json!([]));
        let query = ListingQuery {
            sort: Some("name".to_owned()),
            sort_reverse: Some("true".to_owned()),
            columns: Some("name".to_owned()),
            ..ListingQuery::default()
        };
        let expected = json!([{ "name": "q2" }, { "name": "q1" }, { "name": "q0" }]);
        assert_eq!(write(&query, names(3)).unwrap(), expected);
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for (page, page_size) in [(0, 1), (1, 0), (1, ADMIN_PAGE_ITEMS_MAX + 1), (4, 1)] {
            let (page, page_size) = (Some(page), Some(page_size));
            write(&ListingQuery { page, page_size, ..<_>::default() }, names(3)).unwrap_err();
        }
        let (page, page_size) = (Some(3), Some(1));
        write(&ListingQuery { page, page_size, ..<_>::default() }, names(3)).unwrap();
    }
}
