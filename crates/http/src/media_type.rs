//! Media types by the ending of a file's name.

/// Endings and types, the common ones of web sites (IANA media types registry).
const TYPES: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The type of a file with that path; bytes of no known kind where its ending says nothing.
pub(crate) fn of(path: &[u8]) -> &'static str {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let dot = memchr::memrchr(b'.', name).filter(|dot| *dot > 0);
    let ending = dot.map_or(b"".as_slice(), |dot| &name[dot + 1..]);
    TYPES
        .iter()
        .find(|(known, _)| ending.eq_ignore_ascii_case(known.as_bytes()))
        .map_or("application/octet-stream", |(_, media_type)| media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ending_decides_whatever_its_case() {
        assert_eq!(of(b"a/b.tar.GZ"), "application/gzip");
        assert_eq!(of(b"index.html"), "text/html; charset=utf-8");
        for plain in ["a.d/b", ".html", "a.", "a", "a.unknown"] {
            assert_eq!(of(plain.as_bytes()), "application/octet-stream", "{plain}");
        }
    }
}
