//! Rules for JavaScript and TypeScript.

use super::{Rule, block, warn};

pub(super) const RULES: &[Rule] = &[
    block(
        "javascript-eval",
        95,
        "the text is run as code; parse it, for example by `JSON.parse`",
        r#"(?:^|[^\w.])eval\s*\(\s*[^)"'\s]|\bnew\s+Function\s*\("#,
        ("const x = eval(input);", "const x = JSON.parse(input);"),
    ),
    block(
        "javascript-exec",
        78,
        "a command that is put together goes through a shell; use `execFile` with a list",
        r#"\b(?:child_process\.|cp\.|^|\s)?exec(?:Sync)?\s*\(\s*(?:`[^`]*\$\{|["'][^"']*["']\s*\+)"#,
        ("exec(`ls ${dir}`, done);", "execFile('ls', [dir], done);"),
    ),
    block(
        "javascript-sql-injection",
        89,
        "a statement is put together from text; pass the values as parameters",
        r#"(?i)\.(?:query|execute|raw)\s*\(\s*(?:`[^`]*\b(?:select|insert|update|delete)\b[^`]*\$\{|["'][^"']*\b(?:select|insert|update|delete)\b.*["']\s*\+)"#,
        (
            "db.query(`SELECT * FROM u WHERE id = ${id}`);",
            "db.query('SELECT * FROM u WHERE id = ?', [id]);",
        ),
    ),
    warn(
        "javascript-inner-html",
        79,
        "text becomes part of the page as it is; use `textContent`",
        r#"\.(?:innerHTML|outerHTML)\s*\+?=\s*[^"'\s;=]|\bdocument\.write(?:ln)?\s*\(\s*[^"')]|\binsertAdjacentHTML\s*\(|dangerouslySetInnerHTML"#,
        ("box.innerHTML = comment;", "box.textContent = comment;"),
    ),
    block(
        "javascript-no-certificate-check",
        295,
        "certificates are not checked; leave the check on",
        r#"\brejectUnauthorized\s*:\s*false|NODE_TLS_REJECT_UNAUTHORIZED["']?\]?\s*=\s*["']?0"#,
        ("https.request({ rejectUnauthorized: false });", "https.request({ ca });"),
    ),
    warn(
        "javascript-weak-hash",
        328,
        "MD5 and SHA-1 are broken; use SHA-256, and for passwords scrypt",
        r#"\bcreateHash\s*\(\s*["'](?i:md5|sha1|md4)["']|\bCryptoJS\.(?:MD5|SHA1)\s*\("#,
        ("crypto.createHash('md5')", "crypto.createHash('sha256')"),
    ),
    block(
        "javascript-weak-cipher",
        327,
        "this cipher is broken or has no vector; use `createCipheriv` with AES-GCM",
        r#"\bcreateCipher\s*\(|\bcreateCipheriv\s*\(\s*["'](?i:des|rc4|bf|aes-\d+-ecb)|\bCryptoJS\.(?:DES|TripleDES|RC4)\b"#,
        ("crypto.createCipher('aes192', pw)", "crypto.createCipheriv('aes-256-gcm', key, iv)"),
    ),
    warn(
        "javascript-weak-random",
        338,
        "`Math.random` can be foretold; use `crypto.randomBytes` or `getRandomValues`",
        r"(?i)\b\w*(?:token|password|secret|nonce|salt|otp|session_?id)\w*\s*[=:].*\bMath\.random\s*\(",
        ("const token = Math.random().toString(36);", "const x = Math.random() * width;"),
    ),
    block(
        "javascript-unserialize",
        502,
        "reading such text runs what its author wants; use JSON",
        r"\b(?:node-)?serialize\.unserialize\s*\(|\bserialize-to-js\b|\byaml\.load\s*\([^)]*DEFAULT_FULL_SCHEMA",
        ("const o = serialize.unserialize(cookie);", "const o = JSON.parse(cookie);"),
    ),
    warn(
        "javascript-any-origin",
        942,
        "every page may ask in the name of its visitor; name the origins",
        r#"Access-Control-Allow-Origin["']\s*,\s*["']\*|\borigin\s*:\s*["']\*["']"#,
        (
            "res.setHeader('Access-Control-Allow-Origin', '*');",
            "app.use(cors({ origin: 'https://a.example' }));",
        ),
    ),
    warn(
        "javascript-jwt-none",
        347,
        "tokens without a signature are believed; name the algorithms that are used",
        r#"algorithms?\s*:\s*\[?\s*["']none["']|ignoreExpiration\s*:\s*true"#,
        (
            "jwt.verify(t, k, { algorithms: ['none'] })",
            "jwt.verify(t, k, { algorithms: ['RS256'] })",
        ),
    ),
    warn(
        "javascript-path",
        22,
        "a name of a visitor is part of a path; resolve it and check that it stays in the folder",
        r"\b(?:readFile|readFileSync|createReadStream|sendFile|unlink|writeFile|writeFileSync)\s*\([^)]*\breq\.(?:params|query|body)\b",
        ("res.sendFile(dir + req.params.name);", "res.sendFile(known[name]);"),
    ),
];
