//! Faults 11 and 12: a full disk, and a place that cannot be written to. Needs the right to mount.

use crate::lookup::skip;
use crate::support::{Place, TINY};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Without the right to mount, the test is skipped.
    #[track_caller]
    fn new(path: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mut command = Command::new("mount");
        command.env("LC_ALL", "C").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path);
        let Ok(output) = command.output() else {
            skip("the program mount", "install it (Debian's package mount)");
            return None;
        };
        if output.status.success() {
            return Some(Self(path));
        }
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        let refusals = ["permission denied", "not permitted", "must be superuser"];
        assert!(refusals.iter().any(|words| said.contains(words)), "mount: {said}");
        skip("the right to mount a file system", "run the tests as root");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills the file system until only about `room` bytes are left.
fn fill(path: &Path, room: usize) {
    let piece = vec![1u8; 4096];
    let mut file = std::fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &piece).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size - room as u64).unwrap();
}

#[test]
fn a_full_disk_keeps_what_was_saved() {
    let place = Place::new();
    let Some(_mount) = Mount::new(place.path("disk"), "size=16m") else { return };
    place.train("disk/r", 12, "");
    place.twin("disk/r", 20, "");
    let before = place.weights("disk/r");
    for room in [0, 16 << 10, 200 << 10] {
        fill(&place.path("disk/filler"), room);
        place.refused(1, "train disk/r --steps 20", &["disk/r", "disk is full"]);
        assert!(place.weights("disk/r") == before, "the last checkpoint is as it was");
        std::fs::remove_file(place.path("disk/filler")).unwrap();
        place.no_leftovers("disk/r");
        place.ok("generate disk/r -n 1 -o out");
    }
    place.ok("train disk/r --steps 20");
    assert!(place.weights("disk/r") == place.weights("twin"));
}

/// The last bytes of an upload are the ones whose failure nobody sees but who asks.
#[test]
fn a_full_disk_refuses_an_upload() {
    let place = Place::new();
    let Some(_mount) = Mount::new(place.path("runs"), "size=1m") else { return };
    let served = crate::serve::Served::at(place, "--log off");
    let uploads = served.place.path("runs/uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    for (i, room) in [0, 1, 4096, 9000].into_iter().enumerate() {
        fill(&served.place.path("runs/filler"), room);
        let (status, answer) = served.ask("POST", &format!("/v1/data/{i}.txt"), "", &"x".repeat(20_000));
        assert_eq!(status, 507, "{room}: {answer}");
        assert_eq!(std::fs::read_dir(&uploads).unwrap().count(), 0, "nothing is left");
        std::fs::remove_file(served.place.path("runs/filler")).unwrap();
    }
    assert_eq!(served.ask("POST", "/v1/data/5.txt", "", &"x".repeat(20_000)).0, 201);
    assert_eq!(std::fs::metadata(uploads.join("5.txt")).unwrap().len(), 20_000);
}

#[test]
fn a_full_disk_while_generating_leaves_no_part_of_a_picture() {
    let place = Place::new();
    place.train("r", 1, "");
    let Some(_mount) = Mount::new(place.path("disk"), "size=128k") else { return };
    place.run("generate r -n 500 -o disk").refused(1, &["disk/", "disk is full"], "generate");
    place.no_leftovers("disk");
    for bytes in place.files("disk").values() {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        reader.finish().unwrap();
    }
}

#[test]
fn a_place_that_cannot_be_written_to_is_refused_before_training() {
    let place = Place::new();
    std::fs::write(place.path("file"), "x").unwrap();
    let train = format!("train emoji:food {TINY} --steps {}", u32::MAX);
    place.refused(1, &format!("{train} --out file/r"), &["file/r"]);
    place.refused(1, &format!("{train} --out file"), &["file"]);
    if let Some(mount) = Mount::new(place.path("disk"), "size=1m,ro") {
        place.refused(1, &format!("{train} --out disk/r"), &["disk/r", "may write to"]);
        place.train("r", 1, "");
        place.refused(1, "generate r -o disk/out", &["disk/out", "may write to"]);
        drop(mount);
    }
}
