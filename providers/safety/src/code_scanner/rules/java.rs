//! Rules for Java and Kotlin.

use super::{Rule, block, warn};

pub(super) const RULES: &[Rule] = &[
    block(
        "java-exec",
        78,
        "a command is put together from text; use `ProcessBuilder` with a list",
        r#"\.exec\s*\(\s*(?:"[^"]*"\s*\+|[a-z]\w*\s*\+)"#,
        ("Runtime.getRuntime().exec(\"ls \" + dir);", "new ProcessBuilder(\"ls\", dir).start();"),
    ),
    block(
        "java-sql-injection",
        89,
        "a statement is put together from text; use a `PreparedStatement` with parameters",
        r#"(?i)\b(?:executeQuery|executeUpdate|execute|prepareStatement|createQuery|createNativeQuery)\s*\(\s*"[^"]*\b(?:select|insert|update|delete)\b[^"]*"\s*\+|(?i)\bString\s+\w+\s*=\s*"\s*(?:select\s|insert\s+into|update\s|delete\s+from)[^"]*"\s*\+"#,
        (
            "stmt.executeQuery(\"SELECT * FROM u WHERE id = \" + id);",
            "connection.prepareStatement(\"SELECT * FROM u WHERE id = ?\");",
        ),
    ),
    block(
        "java-deserialize",
        502,
        "reading such objects runs what their author wants; use JSON, or a filter of classes",
        r"\bnew\s+(?:ObjectInputStream|XMLDecoder)\s*\(|\.enableDefaultTyping\s*\(|\bnew\s+Yaml\s*\(\s*\)",
        (
            "Object o = new ObjectInputStream(in).readObject();",
            "T o = mapper.readValue(in, T.class);",
        ),
    ),
    warn(
        "java-weak-hash",
        328,
        "MD5 and SHA-1 are broken; use SHA-256, and for passwords PBKDF2 or Argon2",
        r#"\bMessageDigest\.getInstance\s*\(\s*"(?i:MD5|SHA-?1|MD2|MD4)"|\bDigestUtils\.(?:md5|sha1)\w*\s*\("#,
        ("MessageDigest.getInstance(\"MD5\")", "MessageDigest.getInstance(\"SHA-256\")"),
    ),
    block(
        "java-weak-cipher",
        327,
        "DES and RC4 are broken, and ECB shows patterns; use `AES/GCM/NoPadding`",
        r#"\bCipher\.getInstance\s*\(\s*"(?:(?i:DES|DESede|RC4|RC2|Blowfish)\b|AES"|[^"]*/ECB/)"#,
        (
            "Cipher.getInstance(\"AES/ECB/PKCS5Padding\")",
            "Cipher.getInstance(\"AES/GCM/NoPadding\")",
        ),
    ),
    block(
        "java-no-certificate-check",
        295,
        "certificates are not checked; use the trust manager of the system",
        r"\b(?:ALLOW_ALL_HOSTNAME_VERIFIER|NoopHostnameVerifier|TrustAllStrategy|InsecureTrustManagerFactory)\b|void\s+checkServerTrusted\s*\([^)]*\)\s*(?:throws\s+\w+\s*)?\{\s*\}",
        (".setSSLHostnameVerifier(NoopHostnameVerifier.INSTANCE)", "HttpClient.newHttpClient()"),
    ),
    warn(
        "java-weak-random",
        338,
        "`Random` can be foretold; use `SecureRandom`",
        r"(?i)\b\w*(?:token|password|secret|nonce|salt|key|otp)\w*\s*=.*(?:\bnew\s+Random\s*\(|\bMath\.random\s*\()",
        ("String token = \"\" + new Random().nextLong();", "int roll = new Random().nextInt(6);"),
    ),
    warn(
        "java-xml-entities",
        611,
        "the parser follows entities of the document; set `disallow-doctype-decl`",
        r"\b(?:DocumentBuilderFactory|SAXParserFactory|XMLInputFactory)\.new(?:Instance|Factory|DefaultInstance)\s*\(\s*\)\s*\.\s*new",
        (
            "DocumentBuilderFactory.newInstance().newDocumentBuilder()",
            "factory.setFeature(FEATURE, true);",
        ),
    ),
    warn(
        "java-script-engine",
        95,
        "the text is run as code; parse it",
        r#"\bengine\.eval\s*\(\s*[^")\s]|\bSpelExpressionParser\s*\(\s*\)\s*\.parseExpression\s*\(\s*[^")\s]"#,
        ("engine.eval(input);", "engine.eval(\"1 + 1\");"),
    ),
    warn(
        "java-csrf-off",
        352,
        "pages of others can act for the visitor; leave the protection on",
        r"\.csrf\s*\(\s*\)\s*\.disable\s*\(|\.csrf\s*\([^)]*disable",
        ("http.csrf().disable();", "http.csrf(withDefaults());"),
    ),
];
