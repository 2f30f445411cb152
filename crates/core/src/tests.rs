//! What holds for every family, whichever the list has: nothing here knows one by name.

mod every_family;
pub(crate) mod probe;
