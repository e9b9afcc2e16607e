//! Rules for Rust.

use super::{Rule, block, warn};

pub(super) const RULES: &[Rule] = &[
    block(
        "rust-shell",
        78,
        "a command that is put together goes through a shell; give the arguments one by one",
        r#"\.arg\s*\(\s*"-c"\s*\)\s*\.arg\s*\(\s*&?format!"#,
        (
            "Command::new(\"sh\").arg(\"-c\").arg(format!(\"ls {dir}\"))",
            "Command::new(\"ls\").arg(dir)",
        ),
    ),
    block(
        "rust-sql-injection",
        89,
        "a statement is put together from text; bind the values as parameters",
        r#"(?i)\b(?:query|execute|prepare|sql_query|query_as|query_row|batch_execute)(?:::<[^>]*>)?\s*\(\s*&?format!\s*\(\s*r?#*"[^"]*\b(?:select|insert|update|delete)\b"#,
        (
            "sqlx::query(&format!(\"SELECT * FROM u WHERE id = {id}\"))",
            "sqlx::query(\"SELECT * FROM u WHERE id = $1\").bind(id)",
        ),
    ),
    block(
        "rust-no-certificate-check",
        295,
        "certificates are not checked; leave the check on",
        r"\bdanger_accept_invalid_(?:certs|hostnames)\s*\(\s*true|\bSslVerifyMode::NONE\b",
        (".danger_accept_invalid_certs(true)", ".danger_accept_invalid_certs(false)"),
    ),
    warn(
        "rust-weak-hash",
        328,
        "MD5 and SHA-1 are broken; use SHA-256, and for passwords Argon2",
        r"\b(?:Md5|Sha1|Md4)::(?:new|digest)\b|\bmd5::compute\s*\(",
        ("let h = md5::compute(data);", "let h = Sha256::digest(data);"),
    ),
    warn(
        "rust-transmute",
        843,
        "the bytes are read as another type; use a conversion that is checked",
        r"\bmem::transmute(?:::<[^>]*>)?\s*\(|(?:^|[^\w.])transmute(?:::<[^>]*>)?\s*\(",
        ("let x = mem::transmute(y);", "let x = u32::from_ne_bytes(y);"),
    ),
    warn(
        "rust-unchecked",
        125,
        "the bounds are not checked; use `get`, or slices",
        r"\.(?:get_unchecked(?:_mut)?|offset)\s*\(|\bfrom_utf8_unchecked\s*\(|\bslice::from_raw_parts(?:_mut)?\s*\(",
        ("let b = data.get_unchecked(i);", "let b = data.get(i);"),
    ),
    warn(
        "rust-uninitialised",
        908,
        "the memory has no value yet; use `MaybeUninit`",
        r"\bmem::(?:uninitialized|zeroed)(?:::<[^>]*>)?\s*\(",
        ("let x: T = mem::uninitialized();", "let x = MaybeUninit::<T>::uninit();"),
    ),
    warn(
        "rust-static-mut",
        362,
        "threads change it at the same time; use an atomic or a lock",
        r"\bstatic\s+mut\s+\w+",
        ("static mut COUNT: u32 = 0;", "static COUNT: AtomicU32 = AtomicU32::new(0);"),
    ),
];
