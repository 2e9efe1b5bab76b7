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

    /// A truth.
    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    /// A list of strings.
    pub fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        self.list(name, values, write_text)
    }

    /// A list of objects.
    pub fn objects(&mut self, name: &str, values: Vec<Self>) -> &mut Self {
        let values: Vec<_> = values.into_iter().map(Self::finish).collect();
        self.list(name, &values, |out, value| out.push_str(value))
    }

    fn list(&mut self, name: &str, values: &[String], write: impl Fn(&mut String, &str)) -> &mut Self {
        self.name(name);
        self.text.push('[');
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            write(&mut self.text, value);
        }
        self.text.push(']');
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
        let mut one = Object::new();
        one.flag("yes", true);
        object.texts("t", &["x".to_owned(), "\"".to_owned()]).objects("o", vec![one, Object::new()]);
        object.texts("none", &[]);
        let text = object.finish();
        assert!(!text.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"], 7);
        assert_eq!(value["b\""], "x\n\\\u{1}é");
        assert_eq!((&value["c"]["rate"], &value["c"]["none"]), (&1.5.into(), &0.0.into()));
        assert_eq!(value["t"], serde_json::json!(["x", "\""]));
        assert_eq!(value["o"], serde_json::json!([{ "yes": true }, {}]));
        assert_eq!(value["none"], serde_json::json!([]));
    }
}
