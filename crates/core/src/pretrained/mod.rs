//! Networks that others have trained, as judges and as eyes of a discriminator: frozen, and loaded from files that the user
//! has installed.

mod efficientnet;
mod foreign;
mod pickle;
mod store;
mod torch_file;

pub use efficientnet::EfficientNetLite0;
#[cfg(test)]
pub(crate) use efficientnet::tests::random_network;
pub use foreign::read_weights;
pub use store::{EFFICIENTNET_LITE0, Installed, Store};
