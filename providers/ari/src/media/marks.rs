//! Names of marks on their way to Asterisk and back.
//!
//! A text message has at most 128 bytes, the plain dialect loses spaces at the ends, and JSON would need escapes. A name
//! that all of this leaves alone travels as it is; any other gets a short one.

use std::collections::VecDeque;

/// `{"command":"MARK_MEDIA","correlation_id":"…"}` has 44 bytes beside the name.
const VERBATIM_BYTES_MAX: usize = 84;

/// More marks do not wait: the runtime keeps as many.
const SHORTENED_MAX: usize = 256;

/// Begins a short name, and therefore no other.
const SHORT: char = '~';

#[derive(Debug, Default)]
pub(super) struct Marks {
    shortened: VecDeque<(u64, String)>,
    last: u64,
}

impl Marks {
    /// What Asterisk gets for a name.
    pub(super) fn id(&mut self, name: String) -> String {
        if travels(&name) {
            return name;
        }
        if self.shortened.len() == SHORTENED_MAX {
            self.shortened.pop_front();
        }
        self.last += 1;
        self.shortened.push_back((self.last, name));
        format!("{SHORT}{}", self.last)
    }

    /// The name behind what Asterisk echoed; `None` for one that was dropped meanwhile.
    pub(super) fn name(&mut self, id: String) -> Option<String> {
        let Some(number) = id.strip_prefix(SHORT) else {
            return Some(id).filter(|id| !id.is_empty());
        };
        let number: u64 = number.parse().ok()?;
        let place = self.shortened.iter().position(|(known, _)| *known == number)?;
        self.shortened.remove(place).map(|(_, name)| name)
    }

    pub(super) fn clear(&mut self) {
        self.shortened.clear();
    }
}

fn travels(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    (1..=VERBATIM_BYTES_MAX).contains(&name.len()) && !name.starts_with(SHORT) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        let mut marks = Marks::default();
        let names = [
            "turn-1",
            "",
            " a ",
            "a b",
            "~1",
            "\"",
            "é",
            "a\nb",
            &"x".repeat(84),
            &"x".repeat(85),
            &"é".repeat(64),
        ];
        let ids: Vec<String> = names.iter().map(|name| marks.id((*name).to_owned())).collect();
        assert_eq!((ids[0].as_str(), ids[1].as_str()), ("turn-1", "~1"));
        for (name, id) in names.iter().zip(ids) {
            assert!(id.len() <= VERBATIM_BYTES_MAX && id.bytes().all(|b| b.is_ascii_graphic()));
            assert_eq!(marks.name(id).as_deref(), Some(*name));
        }
        assert_eq!(marks.name("~1".to_owned()), None);
        assert_eq!(marks.name("~x".to_owned()), None);
        assert_eq!(marks.name(String::new()), None);
    }

    #[test]
    fn marks_that_nobody_echoes_do_not_pile_up() {
        let mut marks = Marks::default();
        let first = marks.id("a b".to_owned());
        for _ in 0..SHORTENED_MAX {
            marks.id("a b".to_owned());
        }
        assert_eq!((marks.shortened.len(), marks.name(first)), (SHORTENED_MAX, None));
        marks.clear();
        assert!(marks.shortened.is_empty());
    }
}
