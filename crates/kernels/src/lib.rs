//! CPU kernels and the Burn backend extension of Maliang.
