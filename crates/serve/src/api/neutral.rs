//! What clients send although it means nothing here: fields that are not set, and values that ask for what happens anyway.
//! `docs/serve.md` lists them.

use std::collections::HashSet;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// The fields of a body but for those that say nothing. Numbers without a fraction become whole ones: clients whose language has one
/// kind of number send `1.0`.
#[derive(Debug, PartialEq)]
pub(super) struct Said(pub Value);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Said;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let (mut fields, mut names) = (Map::new(), HashSet::new());
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    if !value.is_null() && !is_neutral(&name, &value) {
                        fields.insert(name, whole(value));
                    }
                }
                Ok(Said(Value::Object(fields)))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn whole(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 9e15 => json!(number as i64),
        _ => value,
    }
}

/// Does the field ask for what happens anyway?
fn is_neutral(name: &str, value: &Value) -> bool {
    let one_of = |values: &[Value]| values.contains(value);
    match name {
        // Of chats and texts.
        "tools" | "functions" => one_of(&[json!([])]),
        "tool_choice" | "function_call" => one_of(&[json!("none"), json!("auto")]),
        "response_format" => one_of(&[json!({"type": "text"})]),
        "modalities" => one_of(&[json!(["text"])]),
        "logprobs" => one_of(&[json!(false), json!(0)]),
        "top_logprobs" => one_of(&[json!(0)]),
        "logit_bias" => one_of(&[json!({})]),
        "best_of" => one_of(&[json!(1), json!(1.0)]),
        "suffix" | "stop" => one_of(&[json!("")]),
        "parallel_tool_calls" | "store" => value.is_boolean(),
        "metadata" => value.is_object(),
        "service_tier" | "reasoning_effort" | "safety_identifier" | "prompt_cache_key" => value.is_string(),
        // Of pictures: these models have one of each.
        "quality" => one_of(&["auto", "standard", "hd", "low", "medium", "high"].map(Value::from)),
        "style" => one_of(&["vivid", "natural"].map(Value::from)),
        "background" => one_of(&["auto", "opaque"].map(Value::from)),
        "moderation" => one_of(&["auto", "low"].map(Value::from)),
        // "Choose yourself", in the words of other programs.
        "seed" | "top_k" | "max_tokens" | "max_completion_tokens" => one_of(&[json!(-1), json!(-1.0)]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_left_out_and_the_rest_is_not() {
        let body = json!({
            "n": 1.0, "temperature": 0.5, "seed": -1, "tools": [], "stream": null, "quality": "hd", "stop": ["a"],
            "logprobs": true, "latent": [[1.0, 0.5]]
        });
        let left = json!({"n": 1, "temperature": 0.5, "stop": ["a"], "logprobs": true, "latent": [[1.0, 0.5]]});
        assert_eq!(serde_json::from_value::<Said>(body).unwrap(), Said(left));
        assert!(serde_json::from_value::<Said>(json!([1])).is_err());
        assert!(serde_json::from_str::<Said>(r#"{"n": 1, "n": null}"#).unwrap_err().to_string().contains("`n`"));
    }
}
