//! Images as callers send them, and their pixels.

use crate::{Error, Result, gguf::MOST_RATIO};
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage,
    metadata::Orientation,
};
use std::io::Cursor;

/// The most pixels of an image. Each takes ten bytes while it is prepared.
const MOST_PIXELS: u64 = 24_000_000;
/// The most bytes that a decoder may take.
const MOST_BYTES: u64 = 256 << 20;

/// Decodes an image: PNG, JPEG, GIF (its first picture) or WebP, turned as its camera says, and on
/// white where it is transparent.
///
/// # Errors
/// When it is none of these, is broken, or has too many pixels.
pub(crate) fn pixels(bytes: &[u8]) -> Result<RgbImage> {
    let wrong = |why: String| Error::invalid("messages", why);
    let broken = |error: image::ImageError| wrong(format!("an image cannot be read: {error}"));
    let format = image::guess_format(bytes).ok().filter(|format| {
        use ImageFormat::{Gif, Jpeg, Png, WebP};
        [Gif, Jpeg, Png, WebP].contains(format)
    });
    let format = format.ok_or_else(|| {
        wrong("an image is of a kind that cannot be read; use PNG, JPEG, GIF or WebP".to_owned())
    })?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let count = u64::from(width) * u64::from(height);
    if count > MOST_PIXELS {
        return Err(wrong(format!(
            "an image has {width} times {height} pixels, and {MOST_PIXELS} are allowed; send a \
             smaller one"
        )));
    }
    let (shorter, longer) = (u64::from(width.min(height)), u64::from(width.max(height)));
    if shorter == 0 || longer > shorter * MOST_RATIO {
        return Err(wrong(format!(
            "an image has {width} times {height} pixels; the longer side may have {MOST_RATIO} \
             times as many as the shorter one"
        )));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8());
    }
    let image = image.into_rgba8();
    Ok(RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        let mixed = |colour: u32| {
            u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        Rgb([mixed(red), mixed(green), mixed(blue)])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgba, RgbaImage};

    fn written(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        image.into().write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    fn refused(bytes: &[u8]) -> String {
        pixels(bytes).unwrap_err().to_string()
    }

    #[test]
    fn all_kinds_are_read_to_the_same_pixels() {
        let image = RgbImage::from_pixel(6, 4, Rgb([255, 0, 0]));
        for format in [ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Jpeg] {
            let read = pixels(&written(image.clone(), format)).unwrap();
            assert_eq!(read.dimensions(), (6, 4), "{format:?}");
            let near = |pixel: &Rgb<u8>| pixel[0] > 250 && pixel[1] < 5 && pixel[2] < 5;
            assert!(read.pixels().all(near), "{format:?}: {:?}", read.get_pixel(0, 0));
        }
        let grey = image::ImageBuffer::from_pixel(3, 3, Luma([77_u8]));
        let read = pixels(&written(DynamicImage::ImageLuma8(grey), ImageFormat::Png)).unwrap();
        assert_eq!(read.get_pixel(1, 1), &Rgb([77, 77, 77]));
    }

    #[test]
    fn what_is_transparent_is_white() {
        let image = RgbaImage::from_pixel(2, 2, Rgba([0, 100, 0, 0]));
        let read = pixels(&written(image, ImageFormat::Png)).unwrap();
        assert_eq!(read.get_pixel(0, 0), &Rgb([255, 255, 255]));
        let image = RgbaImage::from_pixel(2, 2, Rgba([0, 100, 0, 255]));
        let read = pixels(&written(image, ImageFormat::Png)).unwrap();
        assert_eq!(read.get_pixel(0, 0), &Rgb([0, 100, 0]));
    }

    #[test]
    fn broken_and_unknown_images_are_refused_with_the_reason() {
        let whole = written(RgbImage::new(40, 40), ImageFormat::Png);
        for end in [8, 20, 40, whole.len() / 2] {
            let why = refused(&whole[..end]);
            assert!(why.starts_with("an image cannot be read: "), "{end}: {why}");
        }
        for unknown in [&b""[..], b"hello", b"BM\x00\x00\x00\x00\x00\x00"] {
            assert!(refused(unknown).ends_with("use PNG, JPEG, GIF or WebP"));
        }
    }

    /// The header says it before any pixel is decoded.
    #[test]
    fn images_with_too_many_pixels_or_of_one_line_are_refused_by_their_header() {
        let mut huge = written(RgbImage::new(1, 1), ImageFormat::Png);
        huge[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        let checked = crc(&huge[12..29]).to_be_bytes();
        huge[29..33].copy_from_slice(&checked);
        let why = refused(&huge);
        assert!(why.contains("30000 times 30000 pixels, and 24000000 are allowed"), "{why}");
        let line = written(RgbImage::new(1000, 10), ImageFormat::Png);
        assert!(refused(&line).contains("1000 times 10 pixels; the longer side may have 32 times"));
    }

    /// The checksum of a PNG chunk, bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 }
            })
        })
    }
}
