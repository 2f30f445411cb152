//! Finding the XMP packet in a PNG, GIF, JPEG or WebP file without decoding the picture: the independent reader that checks what
//! the encoders wrote. Memory is bounded, and damaged files are errors.

use std::io::{self, BufRead, Read, Seek};

use super::xmp::MAX_PACKET;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Keyword of the iTXt chunk that carries XMP (XMP part 3, PNG), with the byte that ends it.
const PNG_KEYWORD: &[u8] = b"XML:com.adobe.xmp\0";
/// Application identifier of the GIF extension that carries XMP (XMP part 3, GIF).
pub(crate) const GIF_IDENTIFIER: &[u8; 11] = b"XMP DataXMP";

/// What XMP in the APP1 segment of a JPEG begins with (XMP part 3, JPEG).
pub(crate) const JPEG_NAMESPACE: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The magic trailer behind XMP in GIF, 258 bytes: wherever a reader of length-prefixed blocks leaves the packet, it
/// lands in this ramp, which leads it to the final zero.
pub(crate) fn gif_trailer() -> Vec<u8> {
    let mut trailer = vec![1];
    trailer.extend((0..=255).rev());
    trailer.push(0);
    trailer
}

/// The XMP packet of the PNG, GIF, JPEG or WebP that `file` holds, if it has one.
///
/// # Errors
/// `InvalidData` or `UnexpectedEof` where the file is damaged or of another kind, else what the system says.
pub(crate) fn xmp(file: &mut (impl BufRead + Seek)) -> io::Result<Option<String>> {
    let start = array::<6>(file)?;
    let packet = match &start {
        b"GIF87a" | b"GIF89a" => gif(file)?,
        [0xff, 0xd8, 0xff, ..] => {
            file.seek_relative(2 - start.len() as i64)?; // back to the first marker
            jpeg(file)?
        }
        [b'R', b'I', b'F', b'F', ..] => webp(file)?,
        _ if start == PNG_SIGNATURE[..6] && array::<2>(file)? == PNG_SIGNATURE[6..] => png(file)?,
        _ => return Err(damaged("it is neither PNG nor GIF nor JPEG nor WebP")),
    };
    packet.map(|bytes| String::from_utf8(bytes).map_err(|_| damaged("its XMP is not UTF-8"))).transpose()
}

fn damaged(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

fn array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Walks the chunks `length, type, data, CRC` up to IEND.
fn png(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Vec<u8>>> {
    let mut packet = None;
    let mut first = true;
    loop {
        let length = u32::from_be_bytes(array(file)?);
        let kind = array::<4>(file)?;
        if length > i32::MAX as u32 || first != (&kind == b"IHDR") {
            return Err(damaged("its PNG chunks are damaged"));
        }
        first = false;
        if &kind == b"iTXt" && packet.is_none() {
            let limit = (MAX_PACKET + 1024) as u64; // keyword, language and flags
            let mut data = vec![];
            Read::by_ref(file).take(u64::from(length).min(limit)).read_to_end(&mut data)?;
            if data.starts_with(PNG_KEYWORD) {
                if data.len() < length as usize {
                    return Err(damaged("its XMP is cut off or too long"));
                }
                let mut crc = flate2::Crc::new();
                crc.update(&kind);
                crc.update(&data);
                if crc.sum().to_be_bytes() != array::<4>(file)? {
                    return Err(damaged("its XMP has a wrong checksum"));
                }
                packet = Some(itxt_text(&data[PNG_KEYWORD.len()..])?);
                continue;
            }
            skip(file, i64::from(length) - data.len() as i64)?;
        } else {
            skip(file, i64::from(length))?;
        }
        array::<4>(file)?; // the CRC; also where a skip past the end shows
        if &kind == b"IEND" {
            return Ok(packet);
        }
    }
}

/// Walks the chunks `type, length, data` of a WebP, of even length each, behind the first six bytes.
fn webp(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Vec<u8>>> {
    let [_, _, kind @ ..] = array::<6>(file)?; // the rest of the length
    if &kind != b"WEBP" {
        return Err(damaged("it is neither PNG nor GIF nor JPEG nor WebP"));
    }
    while !file.fill_buf()?.is_empty() {
        let (kind, length) = (array::<4>(file)?, u32::from_le_bytes(array(file)?));
        if &kind != b"XMP " {
            skip(file, i64::from(length) + i64::from(length % 2))?;
        } else if length as usize > MAX_PACKET {
            return Err(damaged("its XMP is too long"));
        } else {
            let mut packet = vec![0; length as usize];
            file.read_exact(&mut packet)?;
            return Ok(Some(packet));
        }
    }
    Ok(None)
}

fn skip(file: &mut impl Seek, bytes: i64) -> io::Result<()> {
    if bytes > 0 { file.seek_relative(bytes) } else { Ok(()) }
}

/// The text of an iTXt chunk whose keyword is already taken off: flag, method, language, translated keyword, text.
fn itxt_text(data: &[u8]) -> io::Result<Vec<u8>> {
    let malformed = || damaged("its iTXt chunk is damaged");
    let [compressed, method, rest @ ..] = data else { return Err(malformed()) };
    let mut parts = rest.splitn(3, |&byte| byte == 0);
    let (Some(_language), Some(_translated), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    match (compressed, method) {
        (0, _) => Ok(text.to_vec()),
        (1, 0) => {
            let mut bytes = vec![];
            flate2::read::ZlibDecoder::new(text).take(MAX_PACKET as u64 + 1).read_to_end(&mut bytes)?;
            if bytes.len() > MAX_PACKET { Err(damaged("its XMP is too long")) } else { Ok(bytes) }
        }
        _ => Err(malformed()),
    }
}

/// Walks the blocks of a GIF up to its trailer, behind the signature.
fn gif(file: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let [_, _, _, _, flags, _, _] = array::<7>(file)?; // width, height, flags, background, aspect
    color_table(file, flags)?;
    let mut packet = None;
    loop {
        match array::<1>(file)? {
            [0x3b] => return Ok(packet),
            [0x2c] => {
                let descriptor = array::<9>(file)?; // left, top, width, height, flags
                color_table(file, descriptor[8])?;
                array::<1>(file)?; // LZW code size
                while sub_block(file)?.is_some() {}
            }
            [0x21] => {
                let [label] = array::<1>(file)?;
                let identifier = sub_block(file)?;
                let is_xmp = label == 0xff && identifier.as_deref() == Some(GIF_IDENTIFIER);
                if is_xmp && packet.is_none() {
                    packet = Some(gif_packet(file)?);
                } else if identifier.is_some() {
                    while sub_block(file)?.is_some() {}
                }
            }
            _ => return Err(damaged("its GIF blocks are damaged")),
        }
    }
}

/// XMP stands in GIF as plain text, not in blocks: the length bytes of the blocks belong to it.
fn gif_packet(file: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut packet = vec![];
    while let Some(block) = sub_block(file)? {
        packet.push(block.len() as u8);
        packet.extend(block);
        if packet.len() > MAX_PACKET + 512 {
            return Err(damaged("its XMP is too long"));
        }
    }
    packet.push(0); // the ramp's own zero is the length that ended the loop
    let ramp = gif_trailer();
    packet.strip_suffix(&ramp[..]).map(<[u8]>::to_vec).ok_or_else(|| damaged("its XMP has no magic trailer"))
}

/// The next data sub-block, or `None` at the terminator.
fn sub_block(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let [length] = array::<1>(file)?;
    let mut data = vec![0; length.into()];
    file.read_exact(&mut data)?;
    Ok((length > 0).then_some(data))
}

/// Skips the colour table that `flags` announces: bit 7, and 3·2^(n+1) bytes.
fn color_table(file: &mut impl Read, flags: u8) -> io::Result<()> {
    if flags & 0x80 != 0 {
        let mut table = [0; 768];
        file.read_exact(&mut table[..3 << ((flags & 7) + 1)])?;
    }
    Ok(())
}

/// Walks the segments `marker, length, data` of a JPEG up to its end, behind the first marker.
fn jpeg(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Vec<u8>>> {
    let mut packet = None;
    loop {
        match marker(file)? {
            0xd9 => return Ok(packet),
            0x01 | 0xd0..=0xd7 => {} // these have no data
            kind => {
                let length = u16::from_be_bytes(array(file)?).checked_sub(2);
                let length = length.ok_or_else(|| damaged("its JPEG segments are damaged"))?;
                if kind != 0xe1 || packet.is_some() {
                    skip(file, length.into())?;
                    continue;
                }
                let mut data = vec![0; length.into()];
                file.read_exact(&mut data)?;
                packet = data.strip_prefix(JPEG_NAMESPACE).map(<[u8]>::to_vec);
            }
        }
    }
}

/// The kind of the next marker, behind what entropy-coded data there is: in that, 0xff is followed by 0.
fn marker(file: &mut impl BufRead) -> io::Result<u8> {
    loop {
        file.skip_until(0xff)?;
        let mut kind = 0xff;
        while kind == 0xff {
            [kind] = array(file)?;
        }
        if kind != 0 {
            return Ok(kind);
        }
    }
}
