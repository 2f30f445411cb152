//! Files of the Hugging Face hub.

use hf_hub::Cache;
use hf_hub::api::sync::ApiBuilder;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Downloads `file` of a model's repository into `directory`, and not into the hub's own cache, where a download that was cut
/// off would count as whole for ever. HF_ENDPOINT names another server, HF_TOKEN is the user's token.
pub fn fetch(repository: &str, file: &str, directory: &Path) -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let cache = Cache::new(directory.join("hub"));
    let mut builder = ApiBuilder::from_cache(cache).with_progress(std::io::stderr().is_terminal());
    builder = builder.with_token(set("HF_TOKEN"));
    if let Some(endpoint) = set("HF_ENDPOINT") {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let found = builder.build().and_then(|api| api.model(repository.to_owned()).download(file));
    found.map_err(|error| error.to_string().replace('\n', " "))
}
