//! The choices, and steps without a run.

mod choices;
mod trial;
