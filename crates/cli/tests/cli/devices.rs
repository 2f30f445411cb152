//! Training on the processor and on a GPU: what is refused, what is recorded.

use crate::support::{Place, TINY};

#[test]
fn the_device_is_recorded_with_the_run() {
    let place = Place::new();
    place.train("r", 2, "--device cpu");
    let settings = || String::from_utf8(place.bytes("r/run.toml")).unwrap();
    assert!(settings().contains("device = \"cpu\""));
    // Runs of versions without the setting go on.
    std::fs::write(place.path("r/run.toml"), settings().replace("device = \"cpu\"\n", "")).unwrap();
    place.ok("train r --steps 3");
    assert!(settings().contains("device = \"cpu\""));
    place.refused(2, &format!("train emoji:food {TINY} --steps 1 --out new --set train.device=abacus"), &["abacus"]);
    assert_eq!(place.run("train r --device abacus").code, Some(2));
    assert!(!place.path("new").exists());
}

/// Neither a new run, nor one that is to go on, whatever says so.
#[test]
fn a_gpu_that_is_not_there_is_refused() {
    let place = Place::new();
    place.train("r", 2, "");
    let before = place.files("r");
    let (reason, hint) = if cfg!(feature = "vulkan") {
        ("there is no Vulkan device", "driver")
    } else {
        ("this build has no GPU support", "--features vulkan")
    };
    for arguments in [
        &format!("train emoji:food {TINY} --steps 1 --out new --device vulkan")[..],
        &format!("train emoji:food {TINY} --steps 1 --out new --set train.device=vulkan"),
        "train r --steps 3 --device vulkan",
    ] {
        // Where there is a Vulkan driver, it is not found.
        let mut command = place.command(arguments);
        command.env("VK_DRIVER_FILES", "none").env("VK_ICD_FILENAMES", "none");
        crate::support::Answer::of(&mut command).refused(2, &[reason, hint, "--device cpu"], arguments);
    }
    assert!(!place.path("new").exists() && place.files("r") == before, "nothing was touched");
}
