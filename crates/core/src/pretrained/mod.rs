//! Networks that others have trained, as judges and as eyes of a discriminator: frozen, and loaded from files that the user
//! has installed.

mod efficientnet;

pub use efficientnet::EfficientNetLite0;
