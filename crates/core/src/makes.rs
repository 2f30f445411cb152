//! What a model makes, and what a source or a run is of: the one list of modalities.

/// A modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Makes {
    /// Pictures.
    Pictures,
    /// Text.
    Text,
}
