//! Writes what each target begins with: `corpus/TARGET/…`, small inputs that are right.

use std::io::Write;
use std::path::Path;

use maliang::families::ModelConfig;
use zip::write::SimpleFileOptions;

const PNG: &[u8] = include_bytes!("../../docs/demo-grid.png");
const LEGACY: &[u8] = include_bytes!("../../crates/core/tests/golden/torch_legacy.pth");
const ZIPPED: &[u8] = include_bytes!("../../crates/core/tests/golden/torch_zip.pth");
const TUNE: &str =
    "X:1\nT:A tune\nM:6/8\nL:1/8\nQ:3/8=100\nK:Dmix\nV:1\n|:A>B [ce]2 {g}z|1 (3def !trill!^c,2 :|2 \"Am\" d4 |]\n";
const XMP: &str = "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
    <rdf:Description xmlns:a=\"http://www.tc260.org.cn/ns/AIGC/1.0/\" a:AIGC='{\"Label\":\"1\"}'/></rdf:RDF></x:xmpmeta>";
const CSV: &str = "file_name,label,text\na.png,cat,\"a cat, grey\"\ndir/b.png,dog,\n";
const JSONL: &str =
    "{\"file_name\": \"a.png\", \"label\": \"cat\", \"text\": \"a cat\"}\n{\"file_name\": \"dir/b.png\"}\n";

fn main() {
    seed("zip", "stored", &zip(zip::CompressionMethod::Stored));
    seed("zip", "deflated", &zip(zip::CompressionMethod::Deflated));
    seed("idx", "labelled", &idx());
    for (name, bytes) in pictures() {
        seed("picture", name, &bytes);
    }
    seed("metadata", "csv", format!("\0{CSV}").as_bytes());
    seed("metadata", "csv-of-excel", format!("\0\u{feff}{}", CSV.replace(',', ";")).as_bytes());
    seed("metadata", "jsonl", format!("\x01{JSONL}").as_bytes());
    seed("text", "plain", "It was a dark and stormy night.\n\n床前明月光\n疑是地上霜\n".as_bytes());
    seed("text", "json", b"{\"text\": \"one\"}\n{\"text\": \"two\\n\\u4e00\"}\n");
    seed("text", "utf-16", &"\u{feff}Caf\u{e9}\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    seed("text", "gbk", b"\xb4\xb2\xc7\xb0\xc3\xf7\xd4\xc2\xb9\xe2\n");
    let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    seed("safetensors", "one", &[&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat());
    seed("pickle", "legacy", LEGACY);
    seed("pickle", "zip", ZIPPED);
    seed("xmp", "labelled", XMP.as_bytes());
    seed("abc", "tune", TUNE.as_bytes());
    for family in ["dcgan", "fastgan", "vae", "projected"] {
        let json = format!("{{\"family\":\"{family}\"}}");
        let whole = serde_json::from_str::<ModelConfig>(&json).ok().and_then(|model| serde_json::to_vec(&model).ok());
        seed("model", family, whole.as_deref().unwrap_or(json.as_bytes()));
        let run = format!(
            "seed = 7\n[data]\nsource = \"emoji:faces\"\nwidth = 32\nheight = 32\n[model]\nfamily = \"{family}\"\n[train]\nsteps = 9\n"
        );
        seed("settings", family, run.as_bytes());
    }
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder).expect("a writable directory");
    std::fs::write(folder.join(name), bytes).expect("a writable file");
}

fn zip(method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in
        [("cat/a.pgm", &b"P5 1 1 255\n\x80"[..]), ("dog/b.pgm", b"P5 1 1 255\n\x20"), ("metadata.csv", CSV.as_bytes())]
    {
        archive.start_file(name, options).expect("a new entry");
        archive.write_all(bytes).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}

/// The length of the file of labels, that file, the file of pictures.
fn idx() -> Vec<u8> {
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[3, 7]].concat();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[9; 8]].concat();
    [&(labels.len() as u16).to_le_bytes()[..], &labels, &images].concat()
}

fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let picture = image::load_from_memory(PNG).expect("a picture of the project").crop_imm(0, 0, 17, 9);
    let formats = [
        ("png", image::ImageFormat::Png),
        ("jpeg", image::ImageFormat::Jpeg),
        ("gif", image::ImageFormat::Gif),
        ("bmp", image::ImageFormat::Bmp),
        ("tiff", image::ImageFormat::Tiff),
        ("webp", image::ImageFormat::WebP),
        ("qoi", image::ImageFormat::Qoi),
        ("tga", image::ImageFormat::Tga),
    ];
    let encode = |(name, format)| {
        let mut bytes = std::io::Cursor::new(vec![]);
        picture.to_rgb8().write_to(&mut bytes, format).expect("memory");
        (name, bytes.into_inner())
    };
    formats.into_iter().map(encode).collect()
}
