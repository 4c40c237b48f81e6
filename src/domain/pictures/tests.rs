//! Pictures, tried: what is one, what only says so, and what of an upload is left in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::gif::GifEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, Frame, GrayImage, ImageEncoder, Rgb, RgbImage, Rgba};
use proptest::prelude::*;

use super::*;

mod colours;

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255, 255, 255];

/// One pixel each, made by the format's own tools: lossy, lossy with alpha, animated.
const WEBP_LOSSY: &str = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA";
const WEBP_ALPHA: &str = "UklGRkoAAABXRUJQVlA4WAoAAAAQAAAAAAAAAAAAQUxQSAwAAAARBxAR/Q9ERP8DAABWUDggGAAAABQBAJ0BKgEAAQAAAP4AAA3AAP7mtQAAAA==";
const WEBP_ANIMATED: &str = "UklGRlIAAABXRUJQVlA4WAoAAAASAAAAAAAAAAAAQU5JTQYAAAD/////AABBTk1GJgAAAAAAAAAAAAAAAAAAAGQAAABWUDhMDQAAAC8AAAAQBxAREYiI/gcA";

/// In four colours like [`quarters`], progressive. Another program made it.
const JPEG_PROGRESSIVE: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwgIyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCj/wgARCAAgACADASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAAAAYHCP/EABgBAAIDAAAAAAAAAAAAAAAAAAUHBAYI/9oADAMBAAIQAxAAAAGcAZkWIEZ6y8Pi49LBbzP/xAAUEAEAAAAAAAAAAAAAAAAAAABA/9oACAEBAAEFAgf/xAAUEQEAAAAAAAAAAAAAAAAAAAAg/9oACAEDAQE/AR//xAAUEQEAAAAAAAAAAAAAAAAAAAAg/9oACAECAQE/AR//xAAUEAEAAAAAAAAAAAAAAAAAAABA/9oACAEBAAY/Agf/xAAUEAEAAAAAAAAAAAAAAAAAAABA/9oACAEBAAE/IQf/2gAMAwEAAgADAAAAEP8AwLz/xAAUEQEAAAAAAAAAAAAAAAAAAAAg/9oACAEDAQE/EB//xAAUEQEAAAAAAAAAAAAAAAAAAAAg/9oACAECAQE/EB//xAAUEAEAAAAAAAAAAAAAAAAAAABA/9oACAEBAAE/EAf/2Q==";

/// What stands in an upload and must not stand in a picture.
const SECRET: &[u8] = b"a secret place";

/// A picture in four colours: red, green; blue, white.
fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    })
}

fn file(pixels: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pixels.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(pixels: impl Into<DynamicImage>) -> Vec<u8> {
    file(&pixels.into(), ImageFormat::Png)
}

/// A file of each format, in four colours.
fn files() -> [(&'static str, Vec<u8>); 4] {
    let pixels = quarters(32, 32).into();
    [
        ("png", file(&pixels, ImageFormat::Png)),
        ("jpeg", file(&pixels, ImageFormat::Jpeg)),
        ("gif", file(&pixels, ImageFormat::Gif)),
        ("webp", file(&pixels, ImageFormat::WebP)),
    ]
}

/// An EXIF block that says how to turn the picture, and something that is nobody's business.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    block.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    block.extend([0x01, 0x0E, 0, 2, 0, 0, 0, SECRET.len() as u8, 0, 0, 0, 38]);
    block.extend([0, 0, 0, 0]);
    block.extend(SECRET);
    block
}

/// A file with metadata of every kind that its encoder writes.
fn laden(format: ImageFormat, orientation: u8) -> Vec<u8> {
    fn write(mut encoder: impl ImageEncoder, orientation: u8) {
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.set_icc_profile(SECRET.to_vec()).unwrap();
        encoder.write_image(&quarters(64, 64), 64, 64, ExtendedColorType::Rgb8).unwrap();
    }
    let mut bytes = Vec::new();
    match format {
        ImageFormat::Png => write(PngEncoder::new(&mut bytes), orientation),
        ImageFormat::WebP => write(WebPEncoder::new_lossless(&mut bytes), orientation),
        _ => write(JpegEncoder::new_with_quality(&mut bytes, 95), orientation),
    }
    bytes
}

/// A chunk of a PNG file.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(data);
    let mut sum = u32::MAX;
    for byte in &bytes[4..] {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xEDB8_8320 * (sum & 1));
        }
    }
    bytes.extend((!sum).to_be_bytes());
    bytes
}

/// The same PNG file with another size in its header.
fn resized(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut header = png[16..29].to_vec();
    header[..4].copy_from_slice(&width.to_be_bytes());
    header[4..8].copy_from_slice(&height.to_be_bytes());
    [&png[..8], &chunk(b"IHDR", &header), &png[33..]].concat()
}

/// A chunk of a WebP file.
fn riff(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = vec![0; data.len() % 2];
    [name.as_slice(), &(data.len() as u32).to_le_bytes(), data, &padding].concat()
}

/// A WebP file of these chunks behind a header that promises one pixel.
fn webp(flags: u8, chunks: &[u8]) -> Vec<u8> {
    let header = riff(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    riff(b"RIFF", &[b"WEBP".as_slice(), &header, chunks].concat())
}

/// The beginning of a lossy frame of 16,383 × 16,383 pixels.
fn huge_frame() -> Vec<u8> {
    [&[0x10, 0x02, 0, 0x9d, 0x01, 0x2a, 0xFF, 0x3F, 0xFF, 0x3F][..], &[0; 64]].concat()
}

#[track_caller]
fn drawn(upload: &[u8]) -> DynamicImage {
    let picture = make(upload).unwrap();
    let format = image::guess_format(&picture.bytes).unwrap();
    assert_eq!(format.to_mime_type(), picture.media_type.as_str());
    let pixels = image::load_from_memory(&picture.bytes).unwrap();
    assert_eq!(pixels.dimensions(), (SIDE, SIDE));
    pixels
}

#[track_caller]
fn refusal(upload: &[u8]) -> Refusal {
    match make(upload) {
        Err(Error::Refusal(refusal)) => refusal,
        other => panic!("{:?}", other.map(|picture| picture.media_type)),
    }
}

/// The colours of the four corners: above left, above right, below left, below right.
fn corners(pixels: &DynamicImage) -> [[u8; 3]; 4] {
    let (near, far) = (20, SIDE - 20);
    [(near, near), (far, near), (near, far), (far, far)].map(|(x, y)| {
        // JPEG is never quite white.
        let channels = pixels.get_pixel(x, y).0;
        [0, 1, 2].map(|channel| if channels[channel] > 127 { 255 } else { 0 })
    })
}

#[test]
fn each_of_the_four_formats_becomes_a_square_of_its_colours() {
    for (name, upload) in files() {
        let pixels = drawn(&upload);
        assert_eq!(corners(&pixels), [RED, GREEN, BLUE, WHITE], "{name}");
        assert_eq!(make(&upload).unwrap().media_type, MediaType::Jpeg, "{name} shows nothing through");
    }
    for upload in [WEBP_LOSSY, WEBP_ALPHA, WEBP_ANIMATED] {
        drawn(&STANDARD.decode(upload).unwrap());
    }
}

#[test]
fn a_picture_is_turned_upright_however_it_was_taken() {
    for (orientation, expected) in [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
        (9, [RED, GREEN, BLUE, WHITE]),
    ] {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let pixels = drawn(&laden(format, orientation));
            assert_eq!(corners(&pixels), expected, "{format:?}, {orientation}");
        }
    }
}

#[test]
fn nothing_of_an_upload_but_its_pixels_is_left() {
    let text = chunk(b"tEXt", &[b"Comment\0".as_slice(), SECRET].concat());
    let mut png = laden(ImageFormat::Png, 1);
    png.splice(33..33, text);
    let page = [b"<script>".as_slice(), SECRET].concat();
    for upload in [
        png,
        laden(ImageFormat::Jpeg, 1),
        laden(ImageFormat::WebP, 1),
        [files()[0].1.as_slice(), &page].concat(),
        [files()[1].1.as_slice(), &page].concat(),
        [files()[2].1.as_slice(), &page].concat(),
    ] {
        assert!(upload.windows(SECRET.len()).any(|window| window == SECRET) || upload[1] == b'P');
        let bytes = make(&upload).unwrap().bytes;
        for trace in [SECRET, b"Exif", b"eXIf", b"ICC_PROFILE", b"iCCP", b"tEXt", b"<script>"] {
            assert!(!bytes.windows(trace.len()).any(|window| window == trace), "{trace:?}");
        }
    }
}

#[test]
fn the_middle_of_a_long_picture_is_taken() {
    let stripes = |long: u32, x: u32| match x * 3 / long {
        0 => RED,
        1 => GREEN,
        _ => BLUE,
    };
    let wide = RgbImage::from_fn(300, 100, |x, _| Rgb(stripes(300, x)));
    let high = RgbImage::from_fn(100, 300, |_, y| Rgb(stripes(300, y)));
    for pixels in [wide, high] {
        assert_eq!(corners(&drawn(&png(pixels))), [GREEN; 4]);
    }
    // The longest and thinnest there may be.
    drawn(&png(GrayImage::new(UPLOAD_SIDE_MAX, 1)));
    drawn(&png(GrayImage::new(1, UPLOAD_SIDE_MAX)));
}

#[test]
fn transparency_is_kept_and_colours_nothing() {
    // Green, and beside it a black that cannot be seen.
    let pixels = RgbaImage::from_fn(20, 20, |x, _| {
        Rgba([0, if x < 10 { 255 } else { 0 }, 0, if x < 10 { 255 } else { 0 }])
    });
    for upload in [png(pixels.clone()), file(&pixels.into(), ImageFormat::WebP)] {
        let picture = make(&upload).unwrap();
        assert_eq!(picture.media_type, MediaType::Png);
        let pixels = drawn(&upload).into_rgba8();
        assert_eq!(pixels.get_pixel(20, 125).0, [0, 255, 0, 255]);
        assert_eq!(pixels.get_pixel(230, 125).0[3], 0);
        for x in 0..SIDE {
            let [red, green, blue, alpha] = pixels.get_pixel(x, 125).0;
            assert!(
                alpha < 16 || (red, blue) == (0, 0) && green > 239,
                "at {x}: {:?}",
                pixels.get_pixel(x, 125)
            );
        }
    }
    let opaque = RgbaImage::from_pixel(20, 20, Rgba([0, 255, 0, 255]));
    assert_eq!(make(&png(opaque)).unwrap().media_type, MediaType::Jpeg);
}

#[test]
fn the_first_frame_of_an_animation_is_taken() {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for colour in [RED, BLUE] {
        let [red, green, blue] = colour;
        encoder.encode_frame(Frame::new(RgbaImage::from_pixel(9, 9, Rgba([red, green, blue, 255])))).unwrap();
    }
    drop(encoder);
    assert_eq!(corners(&drawn(&bytes)), [RED; 4]);
}

#[test]
fn sides_from_1_to_4096_pixels_are_taken_at_every_depth() {
    drawn(&png(RgbImage::new(1, 1)));
    let side = UPLOAD_SIDE_MAX;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        drawn(&file(&RgbImage::new(side, 16).into(), format));
        for (width, height) in [(side + 1, 1), (1, side + 1)] {
            let pixels = RgbImage::new(width, height).into();
            assert_eq!(refusal(&file(&pixels, format)), Refusal::UnsupportedImage, "{format:?}");
        }
    }
    // What takes most memory.
    drawn(&png(DynamicImage::new_rgba16(side, side)));
}

#[test]
fn a_picture_fits_into_its_table_whatever_it_shows() {
    let mut state = 1_u32;
    let mut noise = |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()
    };
    let veiled = RgbaImage::from_fn(SIDE, SIDE, |x, y| Rgba(noise(x, y)));
    let plain = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb(noise(x, y)[..3].try_into().unwrap()));
    for upload in [png(veiled), png(plain)] {
        let bytes = make(&upload).unwrap().bytes.len();
        assert!(bytes <= 262_144, "{bytes}");
    }
}

#[test]
fn a_bomb_is_refused_or_goes_off_within_the_bound() {
    let small = png(RgbImage::new(8, 8));
    for (width, height) in [(65_535, 65_535), (u32::MAX >> 1, 1), (u32::MAX >> 1, u32::MAX >> 1), (4_097, 8)]
    {
        assert_eq!(refusal(&resized(&small, width, height)), Refusal::UnsupportedImage);
    }
    // Promises much and holds little; holds much and promises little.
    assert_eq!(refusal(&resized(&small, 4_096, 4_096)), Refusal::UnsupportedImage);
    let much = png(GrayImage::new(4_096, 4_096));
    let _ = make(&resized(&much, 1, 1));
    // A GIF frame outside its screen.
    let mut gif = file(&quarters(8, 8).into(), ImageFormat::Gif);
    let frame = gif.iter().rposition(|byte| *byte == b',').unwrap();
    gif[frame + 5..frame + 9].fill(0xFF);
    assert_eq!(refusal(&gif), Refusal::UnsupportedImage);
}

#[test]
fn a_profile_that_is_too_large_is_not_kept_and_the_picture_is_taken() {
    for megabytes in [3, 40] {
        let mut upload = Vec::new();
        let mut encoder = PngEncoder::new(&mut upload);
        encoder.set_icc_profile(vec![0; megabytes << 20]).unwrap();
        quarters(8, 8).write_with_encoder(encoder).unwrap();
        assert!(upload.len() < 100_000, "it is packed");
        assert!(decode(&upload).unwrap().unwrap().profile.is_none(), "{megabytes} MiB");
        make(&upload).unwrap();
    }
}

#[test]
fn a_webp_file_whose_parts_are_larger_than_it_says_is_refused() {
    let huge = riff(b"VP8 ", &huge_frame());
    let frame_header = [0; 16];
    let animated = |parts: &[u8]| {
        let frame = riff(b"ANMF", &[&frame_header, parts].concat());
        webp(0b10, &[riff(b"ANIM", &[0; 6]), frame].concat())
    };
    let alpha = riff(b"ALPH", &[0, 0]);
    let mut too_long = riff(b"EXIF", &exif(1));
    too_long[4..8].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    let lossless = file(&quarters(8, 8).into(), ImageFormat::WebP)[12..].to_vec();
    let mut nested = riff(b"ANMF", &frame_header);
    for _ in 0..1_000 {
        nested = riff(b"ANMF", &[&frame_header, nested.as_slice()].concat());
    }
    for (what, upload) in [
        ("a frame", webp(0, &huge)),
        ("a frame of an animation", animated(&huge)),
        ("a frame with alpha", animated(&[alpha.as_slice(), &huge].concat())),
        ("a frame by another name", animated(&[alpha.as_slice(), &riff(b"WHAT", &huge_frame())].concat())),
        ("metadata", webp(0b1000, &[lossless, too_long].concat())),
        ("frames in frames", animated(&nested)),
    ] {
        assert!(!webp_is_honest(&upload), "{what}");
        assert_eq!(refusal(&upload), Refusal::UnsupportedImage, "{what}");
    }
}

/// A JPEG file with more in it than areas of one colour.
fn photograph() -> Vec<u8> {
    let wave = |n: u32, length: u32| ((n * 255 / length) % 256) as u8;
    let pixels = RgbImage::from_fn(160, 120, |x, y| Rgb([wave(x, 37), wave(y, 23), wave(x * y, 1_999)]));
    file(&pixels.into(), ImageFormat::Jpeg)
}

/// The same PNG file with its data in two chunks, and what it is up to the end of the first.
fn split(png: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let at = png.windows(4).position(|window| window == b"IDAT").unwrap();
    let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
    let (data, rest) = png[at + 4..].split_at(length);
    let (one, other) = data.split_at(length / 2);
    let before = [&png[..at - 4], &chunk(b"IDAT", one)].concat();
    let whole = [&before, &chunk(b"IDAT", other), &rest[4..]].concat();
    (before, whole)
}

#[test]
fn a_picture_that_lacks_only_the_mark_of_its_end_is_drawn() {
    let [png, jpeg, gif, _] = files().map(|(_, file)| file);
    let (before, in_pieces) = split(&png);
    assert_eq!(refusal(&before), Refusal::UnsupportedImage, "the first piece alone");
    let progressive = STANDARD.decode(JPEG_PROGRESSIVE).unwrap();
    for (what, upload, mark) in [
        ("png", &png, 12),
        ("half of a png's mark", &png, 5),
        ("a png in pieces", &in_pieces, 12),
        ("jpeg", &jpeg, 2),
        ("half of a jpeg's mark", &jpeg, 1),
        ("a progressive jpeg", &progressive, 2),
        ("gif", &gif, 1),
    ] {
        let cut = &upload[..upload.len() - mark];
        assert!(make(cut).is_ok(), "{what}");
        assert_eq!(corners(&drawn(cut)), [RED, GREEN, BLUE, WHITE], "{what}");
        assert_eq!(make(cut).unwrap(), make(upload).unwrap(), "{what}");
    }
    let photograph = photograph();
    let cut = &photograph[..photograph.len() - 2];
    assert_eq!(make(cut).unwrap(), make(&photograph).unwrap());
    // A small picture in its head has an end of its own.
    let small = [b"\xFF\xE2\x00\x06".as_slice(), b"\xFF\xD8\xFF\xD9"].concat();
    let with_small = [&cut[..2], &small, &cut[2..]].concat();
    drawn(&with_small);
    assert_eq!(refusal(&with_small[..with_small.len() / 2]), Refusal::UnsupportedImage);
}

#[test]
fn what_only_looks_like_a_picture_is_refused() {
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    let mut bmp = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
    bmp.extend([0; 32]);
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a byte", vec![0x89]),
        ("a text", b"Dear diary".to_vec()),
        ("a page", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("a page that calls itself a GIF", b"GIF89a/*<script>alert(1)</script>*/=1".to_vec()),
        ("a page that calls itself a JPEG", b"\xFF\xD8\xFF\xE0<script>alert(1)</script>".to_vec()),
        ("svg", svg.to_vec()),
        ("bmp", bmp),
        ("tiff", b"II\x2a\0\x08\0\0\0\0\0\0\0\0\0".to_vec()),
        ("ico", b"\0\0\x01\0\x01\0\x01\x01\0\0\x01\0\x20\0\x30\0\0\0\x16\0\0\0".to_vec()),
        ("pnm", b"P6 1 1 255 abc".to_vec()),
        ("qoi", b"qoif\0\0\0\x01\0\0\0\x01\x03\0\0\0\0\0\0\0\0\x01".to_vec()),
        ("avif", b"\0\0\0\x1cftypavif\0\0\0\0".to_vec()),
        ("a signature alone", b"\x89PNG\r\n\x1a\n".to_vec()),
    ];
    let files = files();
    for (name, upload) in &files {
        cases.push((name, upload[..24].to_vec()));
        cases.push((name, upload[1..].to_vec()));
    }
    // The picture breaks off in the middle.
    let progressive = STANDARD.decode(JPEG_PROGRESSIVE).unwrap();
    for (name, upload) in
        files.iter().map(|(name, upload)| (*name, upload)).chain([("progressive", &progressive)])
    {
        cases.push((name, upload[..upload.len() / 2].to_vec()));
    }
    let photograph = photograph();
    for kept in [1, 10, 50, 90, 99] {
        let length = photograph.len() * kept / 100;
        cases.push(("a photograph", photograph[..length].to_vec()));
    }
    cases.push(("a photograph", photograph[..photograph.len() - 3].to_vec()));
    for (what, upload) in cases {
        assert_eq!(refusal(&upload), Refusal::UnsupportedImage, "{what}, {} bytes", upload.len());
    }
}

#[test]
fn an_upload_above_5_mib_is_too_large_and_one_below_is_not() {
    let mut upload = files()[0].1.clone();
    upload.resize(UPLOAD_BYTES_MAX, 0);
    drawn(&upload);
    upload.push(0);
    assert_eq!(refusal(&upload), Refusal::BodyTooLarge);
}

#[tokio::test]
async fn the_studio_draws_what_it_is_given_and_refuses_the_rest() {
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let studio = Studio::new().unwrap();
    let (_, upload) = files().into_iter().next().unwrap();
    assert_eq!(studio.make(HERE, upload.clone()).await.unwrap(), make(&upload).unwrap());
    for (upload, expected) in
        [(vec![0; 9], Refusal::UnsupportedImage), (vec![0; UPLOAD_BYTES_MAX + 1], Refusal::BodyTooLarge)]
    {
        match studio.make(HERE, upload).await {
            Err(Error::Refusal(refusal)) => assert_eq!(refusal, expected),
            other => panic!("{other:?}"),
        }
    }
}

/// Draws it, or refuses it.
fn ends_well(upload: &[u8]) -> bool {
    matches!(make(upload), Ok(_) | Err(Error::Refusal(Refusal::UnsupportedImage)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_bytes_they_are_drawn_or_refused(
        begin in 0_usize..4,
        kept in 0_usize..40,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let (_, file) = &files()[begin];
        prop_assert!(ends_well(&bytes));
        prop_assert!(ends_well(&[&file[..kept], &bytes].concat()));
    }

    #[test]
    fn a_damaged_picture_is_drawn_or_refused(
        which in 0_usize..7,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let webp = |text| STANDARD.decode(text).unwrap();
        let mut files = files().map(|(_, file)| file).to_vec();
        files.extend([webp(WEBP_LOSSY), webp(WEBP_ALPHA), webp(WEBP_ANIMATED)]);
        let mut file = files.swap_remove(which);
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if cut {
            file.truncate(length.index(file.len()));
        }
        prop_assert!(ends_well(&file));
    }
}
