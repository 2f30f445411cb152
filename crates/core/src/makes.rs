//! What a model makes, and what a source or a run is of: the one list of modalities.

/// A modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Pictures.
    Pictures,
    /// Text.
    Text,
}

impl Makes {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Text => "text",
        }
    }
}
