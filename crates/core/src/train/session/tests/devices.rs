//! The same training on the kernels, on the default bodies and on a GPU.

use super::*;
use crate::device::ComputeDevice;
use crate::families::gan::settings::GanConfig;
use maliang_kernels::with_default_bodies;

/// The losses of the first steps of a run on `device`, and a look.
fn losses(family: &str, device: ComputeDevice, steps: usize) -> Vec<f32> {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let (mut config, data) = config_and_data(family, directory.path());
    config.train.device = device;
    config.tables.change(|gan: &mut GanConfig| gan.augment = GanConfig::default().augment).unwrap();
    let run = Run::create(RunDir::new(directory.path().join("run")), config, data).unwrap();
    let mut session = Session::of_pictures(run.looking_through(eyes(family)), &mut ear).unwrap();
    let losses =
        (0..steps).flat_map(|_| session.step()).filter(|(name, _)| *name != ACCURACY).map(|(_, loss)| loss).collect();
    assert_eq!(session.look(&mut ear).unwrap(), None, "{family}: nothing wrong with the model");
    newest_is_good(directory.path());
    losses
}

/// Sums in another order differ in their last bits, which is about 1e-6 of a loss; but Adam's first steps, `m/√v`, can turn
/// the last bits of a gradient near zero into a whole step, so the paths part over time.
#[track_caller]
fn assert_close(what: &str, one: &[f32], other: &[f32]) {
    assert_eq!(one.len(), other.len());
    let apart = one.iter().zip(other).map(|(a, b)| (a - b).abs() / (1.0 + a.abs())).fold(0.0, f32::max);
    println!("{what}: losses are {apart:e} apart");
    assert!(apart <= 1e-4, "{what}: losses are {apart:e} apart: {one:?}, {other:?}");
}

#[test]
fn default_bodies_train_like_the_kernels() {
    for family in FAMILIES {
        let kernels = losses(family, ComputeDevice::Cpu, 3);
        let plain = with_default_bodies(|| losses(family, ComputeDevice::Cpu, 3));
        assert_ne!(kernels, plain, "{family}: two paths");
        assert_close(family, &kernels, &plain);
    }
}

/// Needs a Vulkan driver; Debian's and Ubuntu's `mesa-vulkan-drivers` has one in software:
///
/// ```text
/// cargo test --workspace --features vulkan -- --ignored vulkan
/// ```
#[cfg(feature = "vulkan")]
#[test]
#[ignore = "needs a Vulkan driver"]
fn vulkan_trains_like_the_processor() {
    for family in FAMILIES {
        let (cpu, vulkan) = (losses(family, ComputeDevice::Cpu, 3), losses(family, ComputeDevice::Vulkan, 3));
        assert_close(family, &cpu, &vulkan);
    }
}

#[cfg(not(feature = "vulkan"))]
#[test]
fn a_gpu_is_refused_by_builds_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let (mut config, _) = config_and_data("vae", directory.path());
    config.train.device = ComputeDevice::Vulkan;
    let error = config.validate().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.message.contains("no GPU support") && error.hint.unwrap().contains("--features vulkan"));
}
