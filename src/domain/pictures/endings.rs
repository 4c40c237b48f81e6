//! Endings: whether a file goes on to the mark of its end. Many a program leaves that off, and the picture is there all the
//! same; where more is missing, it is not.

/// The marker that ends a JPEG file (ITU-T T.81, Annex B).
const END: [u8; 2] = [0xFF, 0xD9];
/// The chunk that ends a PNG file (ISO/IEC 15948 §11.2.5).
const IEND: &[u8; 12] = b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// The PNG file with the chunk that ends it, if it lacks that and nothing else. Whether the chunks before hold a whole picture
/// the decoder finds out.
pub fn png(file: &[u8]) -> Option<Vec<u8>> {
    let mut at = 8;
    while let Some((head, rest)) = file.get(at..).and_then(|rest| rest.split_at_checked(8))
        && rest.len() >= 4
    {
        let (length, name) = head.split_at(4);
        if name == b"IEND" {
            return None;
        }
        at = at.checked_add(12)?.checked_add(u32::from_be_bytes(length.try_into().ok()?) as usize)?;
    }
    // Within a chunk, or after the last one.
    file.get(..at).map(|whole| [whole, IEND].concat())
}

/// The JPEG file with two different endings, if it lacks the marker that ends the picture: nothing but that marker, and
/// noise before it. Of a picture that is there as a whole both show the same; where something is missing, a decoder
/// takes the noise for it.
pub fn jpeg(file: &[u8]) -> Option<[Vec<u8>; 2]> {
    if has_end(file) {
        return None;
    }
    // Half of the marker.
    let file = file.strip_suffix(&END[..1]).unwrap_or(file);
    // Without 0xFF, which would be a marker.
    let noise: Vec<u8> = (0..512_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7F).collect();
    Some([[file, &END].concat(), [file, &noise, &END].concat()])
}

/// Whether the marker that ends the picture follows, segment by segment. Those of pictures within segments (a small one in
/// EXIF) do not count.
fn has_end(file: &[u8]) -> bool {
    let mut rest = file;
    loop {
        // Up to a marker: bytes of the picture, or what should not be there.
        let Some(at) = rest.iter().position(|byte| *byte == 0xFF) else { return false };
        rest = &rest[at + 1..];
        match rest.first() {
            None => return false,
            Some(0xD9) => return true,
            // A byte of the picture, a fill byte, a marker without a segment (RST0 to RST7, SOI, TEM).
            Some(0x00 | 0xFF | 0x01 | 0xD0..=0xD8) => {}
            Some(_) => {
                let length = rest.get(1..3).map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
                let Some(after) = rest.get(1 + usize::from(length)..) else { return false };
                rest = after;
            }
        }
    }
}
