//! Encoding: what a JSON body is written in, by its first bytes.

/// A body by its encoding, without its byte order mark.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoded<'b> {
    /// UTF-8, valid or not.
    Utf8(&'b [u8]),
    /// Another one.
    Wide(Wide<'b>),
}

/// A body in UTF-16 or UTF-32, valid or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide<'b> {
    bytes: &'b [u8],
    is_utf_32: bool,
    is_big_endian: bool,
}

impl<'b> Encoded<'b> {
    /// Tells the encoding by a mark, or by where the first characters have zeros: JSON begins with ASCII. This is what CPython's
    /// `json.detect_encoding` finds.
    pub(super) fn of(body: &'b [u8]) -> Self {
        let (mark, is_utf_32, is_big_endian) = match body {
            [0, 0, 0xfe, 0xff, ..] => (4, true, true),
            [0xff, 0xfe, 0, 0, ..] => (4, true, false),
            [0xfe, 0xff, ..] => (2, false, true),
            [0xff, 0xfe, ..] => (2, false, false),
            [0, 0, _, _, ..] => (0, true, true),
            [0, _, _, _, ..] | [0, _] => (0, false, true),
            [_, 0, 0, 0, ..] => (0, true, false),
            [_, 0, _, _, ..] | [_, 0] => (0, false, false),
            _ => return Self::Utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)),
        };
        Self::Wide(Wide { bytes: &body[mark..], is_utf_32, is_big_endian })
    }
}

impl Wide<'_> {
    /// How many bytes the text has in UTF-8.
    ///
    /// # Errors
    /// How many characters come before what is none: half a pair of surrogates, a number that no character has, half a unit.
    pub(super) fn utf8_len(self) -> Result<usize, usize> {
        let mut len = 0;
        self.each(|character| len += character.len_utf8())?;
        Ok(len)
    }

    /// The text, which has so many bytes in UTF-8.
    ///
    /// # Errors
    /// Those of [`Wide::utf8_len`].
    pub(super) fn to_utf8(self, len: usize) -> Result<String, usize> {
        let mut text = String::with_capacity(len);
        self.each(|character| text.push(character))?;
        Ok(text)
    }

    /// What is wrong with a text that cannot be read.
    pub(super) fn fault(self) -> &'static str {
        if self.is_utf_32 { "Invalid UTF-32" } else { "Invalid UTF-16" }
    }

    fn each(self, mut take: impl FnMut(char)) -> Result<(), usize> {
        let mut count = 0_usize;
        let mut next = |character: Option<char>| -> Result<(), usize> {
            take(character.ok_or(count)?);
            count += 1;
            Ok(())
        };
        if self.is_utf_32 {
            let number = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            let units = self.bytes.chunks(4).map(|unit| unit.try_into().map(number));
            for unit in units {
                next(unit.ok().and_then(char::from_u32))?;
            }
        } else {
            let number = if self.is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
            let units = self.bytes.chunks_exact(2);
            let has_half = !units.remainder().is_empty();
            let units = units.map(|unit| number([unit[0], unit[1]]));
            for character in char::decode_utf16(units) {
                next(character.ok())?;
            }
            if has_half {
                next(None)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<String, usize> {
        match Encoded::of(body) {
            Encoded::Utf8(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Encoded::Wide(wide) => {
                let text = wide.to_utf8(wide.utf8_len()?)?;
                assert_eq!(text.capacity(), text.len());
                Ok(text)
            }
        }
    }

    /// A text in this encoding: bytes of a unit, and whether the highest comes first.
    fn written(text: &str, unit_bytes: usize, is_big_endian: bool) -> Vec<u8> {
        let units: Vec<u32> = match unit_bytes {
            2 => text.encode_utf16().map(u32::from).collect(),
            _ => text.chars().map(u32::from).collect(),
        };
        let bytes = |unit: &u32| {
            let mut bytes = unit.to_be_bytes()[4 - unit_bytes..].to_vec();
            if !is_big_endian {
                bytes.reverse();
            }
            bytes
        };
        units.iter().flat_map(bytes).collect()
    }

    #[test]
    fn a_body_is_read_in_the_encoding_of_its_mark_or_of_its_zeros() {
        for text in ["{\"title\": \"Dürrenmatt 𝄞\"}", "{}", "7", "12", "\"\u{feff}\""] {
            assert_eq!(read(text.as_bytes()).as_deref(), Ok(text));
            assert_eq!(read(format!("\u{feff}{text}").as_bytes()).as_deref(), Ok(text));
            for (unit_bytes, is_big_endian) in [(2, true), (2, false), (4, true), (4, false)] {
                let marked = written(&format!("\u{feff}{text}"), unit_bytes, is_big_endian);
                assert_eq!(read(&marked).as_deref(), Ok(text), "{marked:x?}");
                let plain = written(text, unit_bytes, is_big_endian);
                assert_eq!(read(&plain).as_deref(), Ok(text), "{plain:x?}");
            }
        }
    }

    #[test]
    fn what_is_too_short_to_tell_is_utf_8() {
        for body in [b"".as_slice(), b"7", b"\0", b"\0\x007", b"\xff", b"\xef\xbb", b"1\0\0"] {
            assert!(matches!(Encoded::of(body), Encoded::Utf8(bytes) if bytes == body), "{body:x?}");
        }
    }

    #[test]
    fn what_is_no_character_is_told_by_the_characters_before_it() {
        for (body, before) in [
            (b"\xfe\xff\0{\0\"\xd8\x00\0\"".as_slice(), 2),
            (b"\xfe\xff\0{\xdc\x00", 1),
            (b"\xff\xfe{\0\x34\xd8\x1e\xdd\"", 2),
            (b"\0\0\0{\0\x11\0\0", 1),
            (b"\0\0\0{\0\0\xd8\0", 1),
            (b"{\0\0\0\"\0\0", 1),
        ] {
            assert_eq!(read(body), Err(before), "{body:x?}");
        }
    }
}
