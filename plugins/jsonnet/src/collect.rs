//! Finds the objects in a value: one object, a list of objects, or a map of objects by any names, in any depth.

use plumbline_plugin::{Error, Errors, Object};
use serde_json::Value;

/// All objects, in the order of lists and of the names in maps. `null` is nothing.
///
/// # Errors
///
/// Everything in the value that is no object, with the way to it.
pub fn objects(value: Value) -> Result<Vec<Object>, Errors> {
    let mut found = Found::default();
    found.take(value, "$");
    found.errors.or(found.objects)
}

#[derive(Default)]
struct Found {
    objects: Vec<Object>,
    errors: Errors,
}

impl Found {
    fn take(&mut self, value: Value, at: &str) {
        match value {
            Value::Null => {}
            Value::Array(items) => self.take_all(items, at),
            Value::Object(mut fields) if fields.contains_key("apiVersion") && fields.contains_key("kind") => {
                let is_list = fields["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
                match fields.remove("items") {
                    Some(Value::Array(items)) if is_list => self.take_all(items, &format!("{at}.items")),
                    Some(items) => {
                        fields.insert("items".to_owned(), items);
                        self.object(Value::Object(fields), at);
                    }
                    None => self.object(Value::Object(fields), at),
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.take(value, &format!("{at}.{name}"));
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.errors.push(
                Error::invalid(format!("{at} is neither an object of Kubernetes nor a list or map of them"))
                    .hint("Hide fields that are no objects with `::`."),
            ),
        }
    }

    fn take_all(&mut self, items: Vec<Value>, at: &str) {
        for (index, item) in items.into_iter().enumerate() {
            self.take(item, &format!("{at}[{index}]"));
        }
    }

    fn object(&mut self, value: Value, at: &str) {
        match Object::new(value) {
            Ok(object) => self.objects.push(object),
            Err(error) => self.errors.push(Error::invalid(format!("{at}: {error}"))),
        }
    }
}
