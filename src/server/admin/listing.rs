//! Lists as RabbitMQ's management API gives them: filtered by name, sorted, one page at a time,
//! with the columns asked for.

use super::api_error::ApiError;
use super::json_reply;
use crate::limits::{ADMIN_PAGE_ITEMS_DEFAULT, ADMIN_PAGE_ITEMS_MAX};
use axum::response::Response;
use forebay_engine::name_pattern::NamePattern;
use forebay_wire::ShortStr;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// The query of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing {
    page: Option<usize>,
    page_size: Option<usize>,
    name: Option<String>,
    use_regex: Option<String>,
    sort: Option<String>,
    sort_reverse: Option<String>,
    columns: Option<String>,
}

impl Listing {
    /// The reply for these items: a page when one was asked for, or else all of them.
    ///
    /// # Errors
    /// 400 for a page that can't be, or a pattern that is none.
    pub(super) fn reply(&self, mut items: Vec<Value>) -> Result<Response, ApiError> {
        let total = items.len();
        if let Some(column) = &self.sort {
            items.sort_by(|left, right| compare(field(left, column), field(right, column)));
            if is_true(self.sort_reverse.as_deref()) {
                items.reverse();
            }
        }
        let Some(page) = self.page else {
            return Ok(json_reply(&Value::Array(self.with_columns(items))));
        };
        let size = self.page_size.unwrap_or(ADMIN_PAGE_ITEMS_DEFAULT);
        if page == 0 || size == 0 || size > ADMIN_PAGE_ITEMS_MAX {
            return Err(ApiError::bad(format!(
                "page={page}, page_size={size}: expected a page from 1 and a page_size from 1 to \
                 {ADMIN_PAGE_ITEMS_MAX}"
            )));
        }
        self.keep_named(&mut items)?;
        let filtered = items.len();
        let pages = filtered.div_ceil(size).max(1);
        if page > pages {
            return Err(ApiError::bad(format!("page={page}: there are {pages}")));
        }
        let items: Vec<_> = items.into_iter().skip((page - 1) * size).take(size).collect();
        Ok(json_reply(&json!({
            "filtered_count": filtered,
            "item_count": items.len(),
            "items": self.with_columns(items),
            "page": page,
            "page_count": pages,
            "page_size": size,
            "total_count": total,
        })))
    }

    fn keep_named(&self, items: &mut Vec<Value>) -> Result<(), ApiError> {
        let Some(name) = self.name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let name_of = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
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

    fn with_columns(&self, items: Vec<Value>) -> Vec<Value> {
        let Some(columns) = self.columns.as_deref().filter(|columns| !columns.is_empty()) else {
            return items;
        };
        let columns: Vec<&str> = columns.split(',').collect();
        items.iter().map(|item| chosen(item, &columns)).collect()
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

fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
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

    #[test]
    fn columns_may_stand_in_one_another() {
        let item = json!({"a": {"b": 1, "c": 2}, "d": 3, "e": 4});
        assert_eq!(chosen(&item, &["a.b", "d", "x.y"]), json!({"a": {"b": 1}, "d": 3}));
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        let items = || (0..3).map(|n| json!({ "name": format!("q{n}") })).collect();
        for (page, page_size) in [(0, 1), (1, 0), (1, ADMIN_PAGE_ITEMS_MAX + 1), (4, 1)] {
            let listing =
                Listing { page: Some(page), page_size: Some(page_size), ..Listing::default() };
            listing.reply(items()).unwrap_err();
        }
        let listing = Listing { page: Some(3), page_size: Some(1), ..Listing::default() };
        listing.reply(items()).unwrap();
    }
}
