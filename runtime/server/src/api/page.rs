//! Lists in pages. A cursor says behind which row the next page begins, so that rows which come and go meanwhile neither hide
//! others nor show them twice. It is opaque to clients, and no secret: it leads nowhere but through the list it came from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;

use super::form::Form;
use crate::store::PAGE_ROWS_MAX;

const ROWS_DEFAULT: u64 = 50;
/// Longest cursor, in characters. The longest key is an agent's name.
const CURSOR_CHARS_MAX: usize = 1024;

/// Which part of a list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Asked::read` reads")]
pub(super) struct PageQuery {
    /// How many rows at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1024)]
    cursor: Option<String>,
}

/// A page that is asked for. `K` is what the list is ordered by.
#[derive(Debug)]
pub(super) struct Asked<K> {
    list: &'static str,
    limit: u32,
    /// The last row of the page before.
    pub(super) after: Option<K>,
}

impl<K: Serialize + DeserializeOwned> Asked<K> {
    /// Reads `limit` and `cursor`. A cursor of another list is refused.
    pub(super) fn read(form: &mut Form, list: &'static str) -> Self {
        let limit = form
            .number("limit", 1..=u64::from(PAGE_ROWS_MAX))
            .unwrap_or(ROWS_DEFAULT);
        let after = form.parsed("cursor", "the `next_cursor` of a page of this list", |text| {
            let bytes = URL_SAFE_NO_PAD
                .decode(text)
                .ok()
                .filter(|_| text.len() <= CURSOR_CHARS_MAX)?;
            let (of, key) = serde_json::from_slice::<(String, Value)>(&bytes).ok()?;
            // No text of ours has a NUL, and not every database compares with one.
            (of == list && !has_nul(&key)).then(|| serde_json::from_value(key).ok())?
        });
        Self {
            list,
            limit: u32::try_from(limit).unwrap_or(PAGE_ROWS_MAX),
            after,
        }
    }

    /// How many rows to read: one more than are shown, which tells whether there is another page.
    pub(super) fn rows(&self) -> u32 {
        self.limit + 1
    }

    /// Drops the row too many, and gives the cursor of the next page.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> K) -> Option<String> {
        let limit = self.limit as usize;
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        let last = key(rows.last()?);
        let text = serde_json::to_vec(&(self.list, last)).ok()?;
        Some(URL_SAFE_NO_PAD.encode(text))
    }
}

fn has_nul(key: &Value) -> bool {
    match key {
        Value::String(text) => text.contains('\0'),
        Value::Array(parts) => parts.iter().any(has_nul),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, list: &'static str) -> Result<Asked<(i64, String)>, ()> {
        let mut form = Form::of_query(Some(query));
        let asked = Asked::read(&mut form, list);
        form.finish().map(|()| asked).map_err(drop)
    }

    #[test]
    fn a_cursor_leads_on_in_its_own_list_only() {
        let first = asked("limit=2", "calls").unwrap();
        assert_eq!((first.rows(), &first.after), (3, &None));
        let mut rows = vec![(3, "c".to_owned()), (2, "b".to_owned()), (1, "a".to_owned())];
        let cursor = first.cut(&mut rows, Clone::clone).unwrap();
        assert_eq!(rows.len(), 2);
        let next = asked(&format!("cursor={cursor}"), "calls").unwrap();
        assert_eq!(next.after, Some((2, "b".to_owned())));
        assert_eq!(next.cut(&mut rows, Clone::clone), None, "the last page leads nowhere");

        assert!(asked(&format!("cursor={cursor}"), "agents").is_err());
        let nul = URL_SAFE_NO_PAD.encode(r#"["calls",[1,"a\u0000"]]"#);
        for wrong in ["x", "%ff", "W10", "WyJjYWxscyIsbnVsbF0", &nul, &"A".repeat(5_000)] {
            assert!(asked(&format!("cursor={wrong}"), "calls").is_err(), "{wrong:.20}");
        }
    }
}
