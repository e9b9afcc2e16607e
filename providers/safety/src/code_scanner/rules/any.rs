//! Secrets, which are the same in every language.

use super::{Rule, block, warn};

pub(super) const RULES: &[Rule] = &[
    block(
        "private-key",
        321,
        "a private key is part of the code; read it from a file or a store of secrets",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
        ("-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PUBLIC KEY-----"),
    ),
    block(
        "aws-access-key",
        798,
        "an access key of AWS is part of the code; read it from the environment or a role",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        ("key = 'AKIAABCDEFGHIJKLMNOP'", "key = 'AKIA_YOUR_KEY'"),
    ),
    block(
        "service-token",
        798,
        "a token of a service is part of the code; read it from the environment",
        r"\b(?:ghp|gho|ghs|ghu|xoxb|xoxp|sk_live|rk_live|glpat)[_-][0-9A-Za-z-]{20,}",
        ("t = 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'", "t = 'ghp_TOKEN'"),
    ),
    warn(
        "hard-coded-secret",
        798,
        "a secret is written into the code; read it from the environment or a store of secrets",
        r#"(?i)\b\w*(?:password|passwd|secret|api_?key|auth_?token|access_?token)\w*["']?\s*(?::=|=>|[:=])\s*["'][^"'\s$<>{}]{8,}["']"#,
        ("db_password = \"hunter2hunter2\"", "db_password = os.environ[\"DB_PASSWORD\"]"),
    ),
    warn(
        "password-in-address",
        522,
        "an address carries a password; read it from the environment",
        r"\b[a-z][a-z0-9+.-]*://[^\s:/@$<>{}]+:[^\s:/@$<>{}]{4,}@",
        ("url = 'postgres://app:s3cr3tpw@db/x'", "url = 'postgres://app:${PASSWORD}@db/x'"),
    ),
];
