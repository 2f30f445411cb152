//! `/v1/completions` and `/v1/chat/completions`.

use crate::support::{Place, post};
use maliang::generate::writer::Author;
use maliang::provenance::recipe::{self, Sampling};
use serde_json::{Value, json};

const COMPLETE: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";

/// What the model itself writes.
fn expected(place: &Place, prompt: &str, index: u64) -> String {
    let (author, _) = Author::open(&place.model("text")).unwrap();
    let sampling = Sampling { temperature: 0.8, ..Default::default() };
    let request = recipe::Request { prompt: prompt.into(), sampling, max_tokens: 40, stop: Vec::new(), seed: 5 };
    author.begin(&request, index).unwrap().rest().unwrap()
}

#[tokio::test]
async fn a_text_is_that_of_the_command_line_and_labelled() {
    let place = Place::new();
    let server = place.server();
    let body = json!({"model": "text", "prompt": "abc", "n": 2, "seed": 5, "temperature": 0.8, "max_tokens": 40, "echo": true});
    let answer = post(&server, COMPLETE, &body).await.json();
    for (index, choice) in answer["choices"].as_array().unwrap().iter().enumerate() {
        assert_eq!(choice["text"], format!("abc{}", expected(&place, "abc", index as u64)));
        assert_eq!(choice["label"]["recipe"]["index"], index);
        assert_eq!(choice["label"]["aigc"]["Label"], "1", "{choice}");
        assert!(choice["label"]["digital_source_type"].as_str().unwrap().ends_with("trainedAlgorithmicMedia"));
        assert!(["stop", "length"].contains(&choice["finish_reason"].as_str().unwrap()));
    }
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
    let total = answer["usage"]["completion_tokens"].as_u64().unwrap() + 3;
    assert_eq!(answer["usage"]["total_tokens"], total);
}

#[tokio::test]
async fn a_stream_gives_the_same_text_in_pieces() {
    let place = Place::new();
    let server = place.server();
    let body = json!({
        "model": "text", "prompt": "abc", "n": 2, "seed": 5, "temperature": 0.8, "max_tokens": 40,
        "stream": true, "stream_options": {"include_usage": true},
    });
    let events = post(&server, COMPLETE, &body).await.events();
    let mut texts = [String::new(), String::new()];
    for choice in events.iter().filter_map(|event| event["choices"].get(0)) {
        texts[choice["index"].as_u64().unwrap() as usize] += choice["text"].as_str().unwrap();
    }
    assert_eq!(texts, [expected(&place, "abc", 0), expected(&place, "abc", 1)]);
    assert!(events[0]["choices"][0]["label"]["recipe"]["request"]["seed"] == 5, "the label comes first: {}", events[0]);
    let usage = &events.last().unwrap()["usage"];
    assert!(usage["completion_tokens"].as_u64().unwrap() > 0);
    let reasons = events.iter().filter(|event| event["choices"][0]["finish_reason"].is_string()).count();
    assert_eq!(reasons, 2);
}

/// Texts that are written at the same time are those that are written alone; one whose reader leaves holds nobody up.
#[tokio::test]
async fn many_texts_at_once_are_each_as_if_alone() {
    let place = Place::new();
    let server = place.server();
    let body = |prompt: &str, n: u64| json!({"model": "text", "prompt": prompt, "n": n, "seed": 5, "temperature": 0.8, "max_tokens": 40, "echo": true});
    let leaver = tokio::spawn({
        let (server, body) = (server.clone(), json!({"model": "text", "prompt": "a", "max_tokens": 30_000, "n": 8}));
        async move { post(&server, COMPLETE, &body).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let prompts = ["abc", "a", "", "hgfedcb a", "b"];
    let all: Vec<_> = prompts
        .iter()
        .map(|prompt| {
            let (server, body) = (server.clone(), body(prompt, 3));
            tokio::spawn(async move { post(&server, COMPLETE, &body).await.json() })
        })
        .collect();
    leaver.abort();
    for (prompt, answer) in prompts.iter().zip(all) {
        for (index, choice) in answer.await.unwrap()["choices"].as_array().unwrap().iter().enumerate() {
            assert_eq!(
                choice["text"],
                format!("{prompt}{}", expected(&place, prompt, index as u64)),
                "{prompt} {index}"
            );
        }
    }
    // Nobody writes any more, and the next one is served as the first.
    let answer = post(&server, COMPLETE, &body("abc", 1)).await.json();
    assert_eq!(answer["choices"][0]["text"], format!("abc{}", expected(&place, "abc", 0)));
}

#[tokio::test]
async fn chat_is_a_plain_continuation() {
    let place = Place::new();
    let server = place.server();
    let messages = json!([
        {"role": "system", "content": "abc"},
        {"role": "user", "content": [{"type": "text", "text": "de"}, {"type": "text", "text": "f"}]},
    ]);
    let mut body = json!({
        "model": "text", "messages": messages, "seed": 5, "temperature": 0.8, "max_completion_tokens": 40,
    });
    let answer = post(&server, CHAT, &body).await.json();
    let text = expected(&place, "abc\ndef", 0);
    assert_eq!(answer["choices"][0]["message"], json!({"role": "assistant", "content": text}));
    assert_eq!(answer["template"], "plain");
    body["stream"] = json!(true);
    let events = post(&server, CHAT, &body).await.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
    assert_eq!(deltas.collect::<String>(), text);
}

#[tokio::test]
async fn prompts_are_cleaned_and_neutral_fields_change_nothing() {
    let place = Place::new();
    let server = place.server();
    let text = |answer: Value| answer["choices"][0]["text"].clone();
    let plain = json!({"model": "text", "prompt": "a\nb", "seed": 3, "max_tokens": 9});
    let wanted = text(post(&server, COMPLETE, &plain).await.json());
    let with = |field: &str, value: Value| {
        let mut body = plain.clone();
        body[field] = value;
        body
    };
    for body in [
        with("prompt", json!("a\r\nb")),
        with("prompt", json!("a\u{0}\nb")),
        with("stream", json!(null)),
        with("logprobs", json!(false)),
        with("best_of", json!(1)),
        with("top_k", json!(-1)),
        with("stop", json!("")),
        with("max_tokens", json!(9.0)),
    ] {
        assert_eq!(text(post(&server, COMPLETE, &body).await.json()), wanted, "{body}");
    }
    let chat = json!({"model": "text", "max_tokens": 3, "seed": 1, "tools": [], "response_format": {"type": "text"}, "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": null}, {"role": "user", "content": "b"}
    ]});
    assert_eq!(post(&server, CHAT, &chat).await.status, 200);
    let unseen = json!({"model": "text", "messages": [{"role": "user", "content": "\u{1f409}"}]});
    assert_eq!(post(&server, CHAT, &unseen).await.problem(400)["param"], "messages");
    assert_eq!(
        post(&server, CHAT, &json!({"model": "text", "tools": [{}], "messages": [{"role": "user", "content": "a"}]}))
            .await
            .problem(400)["param"],
        "tools"
    );
}

#[tokio::test]
async fn what_cannot_be_done_names_its_field() {
    let place = Place::new();
    let server = place.server();
    let base = json!({"model": "text", "prompt": "abc"});
    for (field, value, param) in [
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!(1e9), "max_tokens"),
        ("n", json!(9), "n"),
        ("temperature", json!(-1), "temperature"),
        ("top_p", json!(0), "top_p"),
        ("stop", json!([""]), "stop"),
        ("stop", json!(3), "stop"),
        ("frequency_penalty", json!(0.5), "frequency_penalty"),
        ("prompt", json!("日本"), "prompt"),
        ("prompt", json!(["a", "b"]), "prompt"),
        ("prompt", json!("a".repeat(20_000)), "prompt"),
        ("tools", json!([{}]), "tools"),
        ("model", json!("pictures"), "model"),
    ] {
        let mut body = base.clone();
        body[field] = value;
        let error = post(&server, COMPLETE, &body).await.problem(400);
        assert_eq!(error["param"], param, "{error}");
    }
    let body: Value = json!({"model": "text", "messages": []});
    assert_eq!(post(&server, CHAT, &body).await.problem(400)["param"], "messages");
}
