//! Colours: from the space that an ICC profile (ISO 15076-1) describes to sRGB.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, ParsingOptions, TransformOptions};

/// The largest profile that is read. Those of cameras and screens have a few kilobytes, those with tables up to a megabyte.
pub const PROFILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many numbers a table in it may have: 65 steps for each of three colours.
const TABLE_MAX: usize = 65 * 65 * 65 * 3;
/// How many points a curve in it may have.
const CURVE_MAX: usize = 4_096;

/// The picture in sRGB; as it is when the profile cannot be used. A profile of grey is used for pixels that were grey.
pub fn to_srgb(picture: DynamicImage, profile: &[u8], is_grey: bool) -> DynamicImage {
    // A profile is a stranger's bytes, too.
    let converted = catch_unwind(AssertUnwindSafe(|| converted(&picture, profile, is_grey)));
    converted.unwrap_or_default().unwrap_or(picture)
}

/// The picture in sRGB, if the profile can be used.
fn converted(picture: &DynamicImage, profile: &[u8], is_grey: bool) -> Option<DynamicImage> {
    let bounds = ParsingOptions {
        max_profile_size: PROFILE_BYTES_MAX,
        max_allowed_clut_size: TABLE_MAX,
        max_allowed_trc_size: CURVE_MAX,
    };
    let profile = ColorProfile::new_from_slice_with_options(profile, bounds).ok()?;
    let (layout, channels) = match profile.color_space {
        DataColorSpace::Rgb => (Layout::Rgb, 3),
        DataColorSpace::Gray if is_grey => (Layout::Gray, 1),
        _ => return None,
    };
    let options = TransformOptions { rendering_intent: profile.rendering_intent, ..Default::default() };
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, options).ok()?;
    // Pixels that are grey have the same value three times.
    let with_alpha = picture.to_rgba8();
    let from: Vec<u8> = with_alpha.pixels().flat_map(|pixel| pixel.0.into_iter().take(channels)).collect();
    let mut to = vec![0; from.len() / channels * 3];
    transform.transform(&from, &mut to).ok()?;
    let mut picture = picture.clone();
    match &mut picture {
        DynamicImage::ImageRgb8(pixels) => pixels.copy_from_slice(&to),
        DynamicImage::ImageRgba8(pixels) => {
            for (pixel, colour) in pixels.pixels_mut().zip(to.chunks_exact(3)) {
                pixel.0[..3].copy_from_slice(colour);
            }
        }
        _ => return None,
    }
    Some(picture)
}
