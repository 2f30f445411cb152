"""Writes jpegs.gz: JPEGs in all samplings and scans, each with the pixels that libjpeg makes of it.

Needs Pillow, numpy, and cjpeg and jpegtran of libjpeg-turbo: python jpegs.py

The file is gzip of records: length of the name (u8), name, length of the JPEG (u32, little-endian), JPEG, 24 x 20 pixels RGB.
"""

import gzip
import io
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 24, 20
SAMPLINGS = ["1x1,1x1,1x1", "2x1,1x1,1x1", "1x2,1x1,1x1", "2x2,1x1,1x1", "1x1,2x2,2x2", "1x1,2x1,2x1", "1x2,2x1,1x1", "2x2,1x2,2x1"]
SAMPLINGS += ["4x1,1x1,1x1", "1x4,1x1,1x1", "4x2,2x1,1x2"]
DC = "".join(f"{i}: 0-0, 0, 0;\n" for i in range(3))
SCANS = {"whole": "0 1 2;\n", "apart": "0;\n1;\n2;\n", "pair": "0;\n1 2;\n"}
SCANS["progressive"] = DC + "".join(f"{i}: 1-63, 0, 0;\n" for i in range(3))

pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
pixels[:, :12], pixels[:, 12:], pixels[:8, :8] = (200, 60, 40), (40, 70, 210), (250, 240, 60)
records = io.BytesIO()


def run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def record(name, jpeg):
    try:
        picture = Image.open(io.BytesIO(jpeg))
        picture.load()
    except Exception:  # what libjpeg refuses is no question for us
        return
    if picture.mode == "CMYK":
        ink = 255 - np.asarray(picture).astype(int)
        rgb = ((ink[..., :3] * ink[..., 3:] + 127) // 255).astype(np.uint8).tobytes()
    else:
        rgb = picture.convert("RGB").tobytes()
    records.write(bytes([len(name)]) + name.encode() + struct.pack("<I", len(jpeg)) + jpeg + rgb)


with tempfile.TemporaryDirectory() as folder:
    source, script = Path(folder, "in"), Path(folder, "scans")
    for sampling in SAMPLINGS:
        for kind, scans in SCANS.items():
            Image.fromarray(pixels).save(source, "PPM")
            script.write_text(scans)
            jpeg = run("cjpeg", "-quality", "92", "-sample", sampling, "-scans", str(script), str(source))
            if jpeg:
                record(f"{sampling} {kind}", jpeg)
    for subsampling in (0, 1, 2):
        Image.fromarray(pixels).convert("CMYK").save(source, "JPEG", quality=92, subsampling=subsampling)
        for kind, scans in {"whole": "0 1 2 3;\n", "apart": "0;\n1;\n2;\n3;\n"}.items():
            script.write_text(scans)
            record(f"CMYK {subsampling} {kind}", run("jpegtran", "-scans", str(script), str(source)))
    Image.fromarray(pixels[..., 0]).save(source, "PPM")
    record("grey 2x2", run("cjpeg", "-grayscale", "-sample", "2x2", str(source)))

Path(__file__).with_name("jpegs.gz").write_bytes(gzip.compress(records.getvalue(), mtime=0))
