//! Pictures: from the bytes of an upload to a small square that is safe to keep and to show.
//!
//! What comes in is judged by its bytes alone: a declared type or name counts for nothing. What goes out was drawn
//! anew from pixels, so nothing of the upload's own bytes (place, camera, comments, a second file behind the first)
//! is left in it. Its colours are sRGB, whatever profile the upload came with.

mod colours;
mod endings;

use std::io::Cursor;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{PngDecoder, PngEncoder};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits, RgbaImage,
};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest, Sha256};

use super::pool::{Pool, Rank};
use crate::error::{Context, Error, Refusal, Result};

/// The largest upload, in bytes.
pub const UPLOAD_BYTES_MAX: usize = 5 * 1024 * 1024;
/// The longest side of an upload, in pixels.
pub const UPLOAD_SIDE_MAX: u32 = 4_096;
/// The side of a picture, in pixels.
pub const SIDE: u32 = 250;

/// What one decoder may ask for: the pixels of the largest upload at 16 bits a channel take 128 MiB.
const DECODER_BYTES_MAX: u64 = 144 * 1024 * 1024;
/// What a decoder of PNG may ask for besides the pixels.
const PNG_CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Good for photographs of this size: less shows, more only weighs.
const JPEG_QUALITY: u8 = 85;
/// One picture is drawn at a time: the largest one needs 192 MiB while it is.
const THREADS: usize = 1;
/// So many uploads may wait, each with its body of 5 MiB at most.
const QUEUE: usize = 8;

/// What a picture is encoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// A picture without transparency.
    Jpeg,
    /// A picture with transparency.
    Png,
}

impl MediaType {
    /// As `Content-Type` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

impl ToSql for MediaType {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for MediaType {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        let known = [Self::Jpeg, Self::Png].into_iter().find(|known| known.as_str() == name);
        known.ok_or(FromSqlError::InvalidType)
    }
}

/// A square of 250 × 250 pixels, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What the bytes are.
    pub media_type: MediaType,
    /// The file: 1–30 KB as a rule, 251 KB at most.
    pub bytes: Vec<u8>,
}

/// Draws pictures on a thread of its own, one at a time, so that memory stays bounded. Clones share it.
#[derive(Clone, Debug)]
pub struct Studio(Pool<()>);

impl Studio {
    /// Starts the thread.
    ///
    /// # Errors
    /// A fault when the system gives none.
    pub fn new() -> Result<Self> {
        Ok(Self(Pool::new("pictures", THREADS, QUEUE)?))
    }

    /// Does what [`make`] does, for a client at `address`. An upload whose caller goes away while it waits is forgotten.
    ///
    /// # Errors
    /// Those of [`make`], and `Refusal::Busy` when too many wait, or it waited for 5 s.
    pub async fn make(&self, address: IpAddr, upload: impl AsRef<[u8]> + Send + 'static) -> Result<Picture> {
        // Before it takes a place in the queue.
        refuse_large(upload.as_ref())?;
        self.0.run(Rank::First, Some(address.into()), move |()| make(upload.as_ref())).await
    }
}

/// Makes a picture of an upload: turned upright, cut to the square in its middle, scaled, and encoded anew as
/// JPEG, or as PNG if anything shows through. Of an animation it takes the first frame. It takes up to a second.
///
/// Colours become sRGB by the upload's ICC profile, when that is one of RGB or, for a picture in grey, of grey. Without
/// one, or with one that cannot be read, they are taken to be sRGB, as browsers take them; those of a JPEG in CMYK
/// are the decoder's approximation, since its profile has no meaning for what comes out.
///
/// # Errors
/// `Refusal::BodyTooLarge` above 5 MiB; `Refusal::UnsupportedImage` when the bytes are no PNG, JPEG, GIF or WebP,
/// have more than 4,096 pixels on a side (the header is asked before anything is decoded), end before the picture
/// does, or cannot be decoded within the bound on memory.
pub fn make(upload: &[u8]) -> Result<Picture> {
    refuse_large(upload)?;
    // A decoder that panics at hostile bytes has refused them.
    let pixels = catch_unwind(AssertUnwindSafe(|| decode(upload))).unwrap_or_else(|_| {
        tracing::warn!("a decoder of pictures panicked");
        Ok(None)
    });
    let Ok(Some(Decoded { pixels, orientation, profile, is_grey })) = pixels else {
        return Err(Refusal::UnsupportedImage.into());
    };
    let mut square = scale(centre(pixels));
    if let Some(profile) = profile {
        // The scaled ones: what a profile can cost is bounded by the size of a picture, not of an upload.
        square = colours::to_srgb(square, &profile, is_grey);
    }
    square.apply_orientation(orientation);
    encode(square)
}

fn refuse_large(upload: &[u8]) -> Result<()> {
    if upload.len() > UPLOAD_BYTES_MAX { Err(Refusal::BodyTooLarge.into()) } else { Ok(()) }
}

/// What is in an upload.
struct Decoded {
    /// 8-bit RGB or RGBA.
    pixels: DynamicImage,
    /// How they are to be turned.
    orientation: Orientation,
    /// The ICC profile, as it came.
    profile: Option<Vec<u8>>,
    /// Whether the upload has one channel for all colours.
    is_grey: bool,
}

/// Decodes an upload; `None` for what is none of the four formats, or ends too early.
fn decode(upload: &[u8]) -> ImageResult<Option<Decoded>> {
    match image::guess_format(upload)? {
        ImageFormat::Jpeg => match endings::jpeg(upload) {
            None => decode_as(ImageFormat::Jpeg, upload),
            Some([one, other]) => {
                // The decoder makes up what is missing, from what follows: a whole picture does not depend on that.
                let digest = |pixels: &DynamicImage| Sha256::digest(pixels.as_bytes());
                let expected = decode_as(ImageFormat::Jpeg, &other)?.map(|decoded| digest(&decoded.pixels));
                let decoded = decode_as(ImageFormat::Jpeg, &one)?;
                Ok(decoded.filter(|decoded| Some(digest(&decoded.pixels)) == expected))
            }
        },
        ImageFormat::Png => match endings::png(upload) {
            None => decode_as(ImageFormat::Png, upload),
            Some(whole) => decode_as(ImageFormat::Png, &whole),
        },
        ImageFormat::Gif => decode_as(ImageFormat::Gif, upload),
        ImageFormat::WebP if webp_is_honest(upload) => decode_as(ImageFormat::WebP, upload),
        _ => Ok(None),
    }
}

fn decode_as(format: ImageFormat, upload: &[u8]) -> ImageResult<Option<Decoded>> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(UPLOAD_SIDE_MAX);
    limits.max_image_height = Some(UPLOAD_SIDE_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    let mut decoder: Box<dyn ImageDecoder> = match format {
        ImageFormat::Png => {
            // It draws into the memory that it is given: what it asks for itself are chunks, among them the profile.
            limits.max_alloc = Some(PNG_CHUNK_BYTES_MAX);
            Box::new(PngDecoder::with_limits(Cursor::new(upload), limits)?)
        }
        _ => {
            let mut reader = ImageReader::with_format(Cursor::new(upload), format);
            reader.limits(limits);
            Box::new(reader.into_decoder()?)
        }
    };
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 || decoder.total_bytes() > DECODER_BYTES_MAX {
        return Ok(None);
    }
    // Broken metadata is no reason to refuse a picture that can be seen.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder
        .icc_profile()
        .unwrap_or_default()
        .filter(|profile| profile.len() <= colours::PROFILE_BYTES_MAX);
    let is_grey = !decoder.color_type().has_color();
    let pixels = DynamicImage::from_decoder(decoder)?;
    let pixels = match pixels.color().has_alpha() {
        true => pixels.into_rgba8().into(),
        false => pixels.into_rgb8().into(),
    };
    Ok(Some(Decoded { pixels, orientation, profile, is_grey }))
}

/// Whether the chunks of a WebP file (RFC 9649 §2) keep what its header promises. Its decoder believes every chunk
/// the length that it claims and every frame its size, and reserves memory for them before it compares.
fn webp_is_honest(upload: &[u8]) -> bool {
    upload.get(12..).is_some_and(|chunks| chunks_are_honest(chunks, false))
}

fn chunks_are_honest(mut rest: &[u8], in_frame: bool) -> bool {
    let mut after_alpha = false;
    while let Some((header, after)) = rest.split_at_checked(8) {
        let (name, size) = header.split_at(4);
        let size = u32::from_le_bytes(size.try_into().expect("four of the eight are left")) as usize;
        let Some(chunk) = after.get(..size) else { return false };
        let honest = match name {
            b"VP8 " => vp8_fits(chunk),
            b"ANMF" if !in_frame => chunk.get(16..).is_some_and(|frame| chunks_are_honest(frame, true)),
            b"ANMF" => false,
            // In a frame the decoder takes whatever follows the alpha channel for the picture.
            _ => !(in_frame && after_alpha),
        };
        if !honest {
            return false;
        }
        after_alpha = name == b"ALPH";
        // Chunks are padded to an even length.
        rest = after.get(size + size % 2..).unwrap_or_default();
    }
    true
}

/// Whether a lossy frame (RFC 6386 §9.1) has a bearable size.
fn vp8_fits(frame: &[u8]) -> bool {
    let side = |at: usize| frame.get(at..at + 2).map(|side| u16::from_le_bytes([side[0], side[1]]) & 0x3FFF);
    let fits = |side: u16| u32::from(side) <= UPLOAD_SIDE_MAX;
    side(6).is_some_and(fits) && side(8).is_some_and(fits)
}

/// The largest square in the middle.
fn centre(pixels: DynamicImage) -> DynamicImage {
    let (width, height) = pixels.dimensions();
    if width == height {
        return pixels;
    }
    let side = width.min(height);
    pixels.crop_imm((width - side) / 2, (height - side) / 2, side, side)
}

/// Scales a square to a picture's size.
fn scale(square: DynamicImage) -> DynamicImage {
    const FILTER: FilterType = FilterType::CatmullRom;
    match square {
        DynamicImage::ImageRgba8(mut pixels) => {
            // What cannot be seen must not colour what it is mixed with.
            premultiply(&mut pixels);
            let scaled = DynamicImage::from(pixels).resize_exact(SIDE, SIDE, FILTER);
            let mut pixels = scaled.into_rgba8();
            divide(&mut pixels);
            pixels.into()
        }
        opaque => opaque.resize_exact(SIDE, SIDE, FILTER),
    }
}

fn premultiply(pixels: &mut RgbaImage) {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u16::from(pixel[3]);
        if alpha < 255 {
            for channel in &mut pixel[..3] {
                *channel = ((u16::from(*channel) * alpha + 127) / 255) as u8;
            }
        }
    }
}

/// Undoes [`premultiply`].
fn divide(pixels: &mut RgbaImage) {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u16::from(pixel[3]);
        if (1..255).contains(&alpha) {
            for channel in &mut pixel[..3] {
                *channel = ((u16::from(*channel) * 255 + alpha / 2) / alpha).min(255) as u8;
            }
        }
    }
}

/// PNG keeps transparency; everything else is JPEG, which takes a fifth of the room.
fn encode(square: DynamicImage) -> Result<Picture> {
    let shows_through = square.as_rgba8().is_some_and(|pixels| pixels.pixels().any(|pixel| pixel.0[3] < 255));
    let mut bytes = Vec::new();
    let (media_type, encoded) = if shows_through {
        (MediaType::Png, square.write_with_encoder(PngEncoder::new(&mut bytes)))
    } else {
        let pixels = square.into_rgb8();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        (MediaType::Jpeg, pixels.write_with_encoder(encoder))
    };
    encoded.map_err(|error| Error::Fault(error.into())).context("encoding a picture")?;
    Ok(Picture { media_type, bytes })
}

#[cfg(test)]
mod tests;
