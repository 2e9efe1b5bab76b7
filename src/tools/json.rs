//! JSON as the tools write it. Owns: the text under way. Takes: names and values. Gives: one object on one line.
//! Never: reads JSON.

use std::fmt::Write as _;

/// An object under way.
#[derive(Debug)]
pub struct Object {
    text: String,
}

impl Default for Object {
    fn default() -> Self {
        Self { text: "{".to_owned() }
    }
}

/// Appends a string with its quotes.
pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            control if control < ' ' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

impl Object {
    /// An object without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        write_text(&mut self.text, name);
        self.text.push(':');
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        self.text.push_str(&value.to_string());
        self
    }

    /// A number with three places.
    pub fn decimal(&mut self, name: &str, value: f64) -> &mut Self {
        self.name(name);
        let value = if value.is_finite() { value } else { 0.0 };
        self.text.push_str(&format!("{value:.3}"));
        self
    }

    /// A string.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        write_text(&mut self.text, value);
        self
    }

    /// An object within.
    pub fn object(&mut self, name: &str, value: Self) -> &mut Self {
        self.name(name);
        self.text.push_str(&value.finish());
        self
    }

    /// The whole object, without a line end.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_stays_one_valid_line() {
        let mut inner = Object::new();
        inner.decimal("rate", 1.5).decimal("none", f64::NAN);
        let mut object = Object::new();
        object.number("a", 7).text("b\"", "x\n\\\u{1}é").object("c", inner).object("d", Object::new());
        let text = object.finish();
        assert!(!text.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"], 7);
        assert_eq!(value["b\""], "x\n\\\u{1}é");
        assert_eq!((&value["c"]["rate"], &value["c"]["none"]), (&1.5.into(), &0.0.into()));
    }
}
