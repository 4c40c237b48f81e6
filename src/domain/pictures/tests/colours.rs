//! Colours, tried: against values that were calculated elsewhere, and with profiles that are none.

use moxcms::ColorProfile;

use super::*;

/// Pure red in CMYK. Another program made it.
const JPEG_CMYK: &str = "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAGBAUGBQQGBgUGBwcGCAoQCgoJCQoUDg8MEBcUGBgXFBYWGh0lHxobIxwWFiAsICMmJykqKRkfLTAtKDAlKCko/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwD6pr5Ur5Ur6pr/2Q==";

/// A file of one colour with this profile.
fn tagged(format: ImageFormat, colour: &[u8], profile: &[u8]) -> Vec<u8> {
    let kind = match colour.len() {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    let pixels = colour.repeat(64 * 64);
    let mut bytes = Vec::new();
    fn write(mut encoder: impl ImageEncoder, profile: &[u8], pixels: &[u8], kind: ExtendedColorType) {
        encoder.set_icc_profile(profile.to_vec()).unwrap();
        encoder.write_image(pixels, 64, 64, kind).unwrap();
    }
    match format {
        ImageFormat::Png => write(PngEncoder::new(&mut bytes), profile, &pixels, kind),
        ImageFormat::WebP => write(WebPEncoder::new_lossless(&mut bytes), profile, &pixels, kind),
        _ => write(JpegEncoder::new_with_quality(&mut bytes, 100), profile, &pixels, kind),
    }
    bytes
}

#[track_caller]
fn shows(upload: &[u8], expected: [u8; 3], what: &str) {
    let shown = drawn(upload).get_pixel(125, 125).0;
    // Half of a value that is half seen is lost.
    let off = if shown[3] == 255 { 3 } else { 8 };
    let near = (0..3).all(|channel| shown[channel].abs_diff(expected[channel]) <= off);
    assert!(near, "{what}: {shown:?}, not {expected:?}");
}

/// The values follow from the published primaries and transfer functions (IEC 61966-2-1, SMPTE RP 431-2 with D65, Adobe RGB
/// (1998)), calculated by another program.
#[test]
fn a_colour_looks_the_same_after_it_was_taken_from_the_space_of_its_profile() {
    let (p3, adobe) = (ColorProfile::new_display_p3(), ColorProfile::new_adobe_rgb());
    for (name, profile, colours) in [
        (
            "Display P3",
            p3.encode().unwrap(),
            [
                ([234, 51, 35], [255, 0, 0]),
                ([200, 100, 50], [215, 93, 31]),
                ([64, 128, 192], [32, 130, 197]),
                ([128, 128, 128], [128, 128, 128]),
            ],
        ),
        (
            "Adobe RGB",
            adobe.encode().unwrap(),
            [
                ([219, 0, 0], [255, 0, 0]),
                ([200, 100, 50], [227, 100, 42]),
                ([64, 128, 192], [0, 129, 196]),
                ([90, 160, 70], [0, 161, 60]),
            ],
        ),
        (
            "sRGB",
            ColorProfile::new_srgb().encode().unwrap(),
            [
                ([234, 51, 35], [234, 51, 35]),
                ([200, 100, 50], [200, 100, 50]),
                ([255, 255, 255], [255, 255, 255]),
                ([0, 0, 0], [0, 0, 0]),
            ],
        ),
    ] {
        for (colour, expected) in colours {
            for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
                let upload = tagged(format, &colour, &profile);
                shows(&upload, expected, &format!("{name}, {format:?}, {colour:?}"));
                let bytes = make(&upload).unwrap().bytes;
                assert!(!bytes.windows(4).any(|window| window == b"acsp"), "{name}: the profile is left");
            }
            // What shows through keeps how much.
            let upload = tagged(ImageFormat::Png, &[&colour[..], &[128]].concat(), &profile);
            shows(&upload, expected, &format!("{name}, half transparent, {colour:?}"));
            assert_eq!(drawn(&upload).get_pixel(125, 125).0[3], 128);
        }
    }
    let grey = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    for (value, expected) in [(0, 0), (10, 56), (55, 128), (128, 188), (255, 255)] {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            shows(&tagged(format, &[value], &grey), [expected; 3], &format!("grey, {format:?}, {value}"));
        }
    }
}

#[test]
fn a_profile_that_cannot_be_used_changes_no_colour() {
    let p3 = ColorProfile::new_display_p3().encode().unwrap();
    let mut cmyk = p3.clone();
    cmyk[16..20].copy_from_slice(b"CMYK");
    let grey = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let huge = [p3.as_slice(), &vec![0; 2 * 1024 * 1024]].concat();
    for (what, profile) in [
        ("no profile", SECRET),
        ("a profile that breaks off", &p3[..p3.len() / 2]),
        ("a profile of other colours", &cmyk),
        ("a profile of grey", &grey),
        ("a profile of two megabytes", &huge),
    ] {
        shows(&tagged(ImageFormat::Png, &[200, 100, 50], profile), [200, 100, 50], what);
    }
    let red = STANDARD.decode(JPEG_CMYK).unwrap();
    shows(&red, [255, 0, 0], "red in CMYK");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_picture_with_a_damaged_profile_is_drawn(
        which in 0_usize..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let profile = [
            ColorProfile::new_display_p3(),
            ColorProfile::new_bt2020_pq(),
            ColorProfile::new_gray_with_gamma(2.2),
        ][which].encode();
        let mut profile = profile.unwrap();
        for (at, byte) in damage {
            let at = at.index(profile.len());
            profile[at] = byte;
        }
        if cut {
            profile.truncate(1 + length.index(profile.len()));
        }
        let colour: &[u8] = if which == 2 { &[90] } else { &[200, 100, 50] };
        prop_assert!(make(&tagged(ImageFormat::WebP, colour, &profile)).is_ok());
    }
}
