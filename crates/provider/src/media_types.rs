//! Media types of files, and the endings of names by which programs know what a file is.

/// Media types and endings. Of several lines with one media type or one ending, the first counts.
const KNOWN: &[(&str, &str)] = &[
    ("application/epub+zip", "epub"),
    ("application/gzip", "gz"),
    ("application/json", "json"),
    ("application/jsonl", "jsonl"),
    ("application/msword", "doc"),
    ("application/pdf", "pdf"),
    ("application/sql", "sql"),
    ("application/toml", "toml"),
    ("application/vnd.apache.parquet", "parquet"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.sqlite3", "sqlite"),
    ("application/x-tar", "tar"),
    ("application/zip", "zip"),
    ("audio/flac", "flac"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/wav", "wav"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/jpeg", "jpeg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tiff"),
    ("image/webp", "webp"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/html", "htm"),
    ("text/javascript", "js"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
    ("text/plain", "log"),
    ("text/tab-separated-values", "tsv"),
    ("text/x-python", "py"),
    ("text/xml", "xml"),
    ("text/yaml", "yaml"),
    ("text/yaml", "yml"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    // Other names of the same.
    ("application/csv", "csv"),
    ("application/javascript", "js"),
    ("application/x-gzip", "gz"),
    ("application/x-ndjson", "jsonl"),
    ("application/x-parquet", "parquet"),
    ("application/x-sqlite3", "sqlite"),
    ("application/x-yaml", "yaml"),
    ("application/x-zip-compressed", "zip"),
    ("application/xml", "xml"),
    ("application/yaml", "yaml"),
    ("audio/x-wav", "wav"),
];

/// The ending of names of files of a media type, without the dot; its parameters do not count.
/// Nothing where it is not known.
pub fn file_ending(media_type: &str) -> Option<&'static str> {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let known = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(bare));
    known.map(|(_, ending)| *ending)
}

/// The media type that the ending of a file's name means. Nothing where it is not known.
pub fn media_type(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let known = KNOWN.iter().find(|(_, known)| known.eq_ignore_ascii_case(ending));
    known.map(|(media_type, _)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_have_endings() {
        for (media_type, wanted) in [
            ("text/csv", Some("csv")),
            ("Text/CSV; charset=utf-8", Some("csv")),
            ("application/csv", Some("csv")),
            ("image/jpeg", Some("jpg")),
            ("../../etc", None),
            ("", None),
        ] {
            assert_eq!(file_ending(media_type), wanted, "{media_type}");
        }
    }

    #[test]
    fn names_tell_media_types() {
        for (name, wanted) in [
            ("out/table.csv", Some("text/csv")),
            ("PHOTO.JPEG", Some("image/jpeg")),
            ("archive.tar.gz", Some("application/gzip")),
            ("csv", None),
            ("a.", None),
            ("", None),
        ] {
            assert_eq!(media_type(name), wanted, "{name}");
        }
    }
}
