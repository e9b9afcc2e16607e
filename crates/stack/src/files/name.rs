//! Names of files, as callers give them: for people to read, and never part of a path.

/// The most characters of a name.
const LONGEST: usize = 255;

/// The name without folders and without what cannot stand in a line of text.
pub(super) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let readable = last.chars().filter(|character| !character.is_control());
    let name: String = readable.take(LONGEST).collect();
    let name = name.trim();
    match name {
        "" | "." | ".." => "file".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn names_lose_folders_and_control_characters() {
        let check = |name: &str, expected: &str| assert_eq!(clean(name), expected, "{name}");
        check("report.pdf", "report.pdf");
        check("Übersicht 2026 🏃.txt", "Übersicht 2026 🏃.txt");
        check("../../etc/passwd", "passwd");
        check("C:\\Windows\\win.ini", "win.ini");
        check("..", "file");
        check("a/..", "file");
        check("", "file");
        check("a\r\nSet-Cookie: x\0.txt", "aSet-Cookie: x.txt");
        check("%2e%2e%2fx", "%2e%2e%2fx");
        assert_eq!(clean(&"é".repeat(4000)).chars().count(), 255);
    }
}
