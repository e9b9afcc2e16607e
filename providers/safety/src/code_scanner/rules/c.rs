//! Rules for C and C++.

use super::{Rule, block, warn};

pub(super) const RULES: &[Rule] = &[
    block(
        "c-gets",
        242,
        "`gets` writes beyond its buffer; use `fgets`",
        r"(?:^|[^\w.>])gets\s*\(",
        ("gets(buffer);", "fgets(buffer, sizeof buffer, stdin);"),
    ),
    block(
        "c-unbounded-copy",
        120,
        "the copy does not know the size of its target; use `snprintf` or `strlcpy`",
        r"(?:^|[^\w.>])(?:strcpy|strcat|stpcpy|wcscpy|wcscat|lstrcpy[AW]?)\s*\(\s*[^,]+,\s*[^\x22\s]",
        ("strcpy(target, argv[1]);", "strcpy(target, \"fixed\");"),
    ),
    block(
        "c-sprintf-text",
        120,
        "`sprintf` does not know the size of its target; use `snprintf`",
        r"(?:^|[^\w.>])v?sprintf\s*\([^,]+,\s*[^)]*%s",
        ("sprintf(line, \"name %s\", name);", "snprintf(line, sizeof line, \"%s\", name);"),
    ),
    block(
        "c-scanf-text",
        120,
        "`%s` without a width writes beyond its target; give a width",
        r"\b[fs]?scanf\s*\([^)]*%s",
        ("scanf(\"%s\", name);", "scanf(\"%31s\", name);"),
    ),
    block(
        "c-format-string",
        134,
        "a text that somebody else writes is the format; use `\"%s\"`",
        r"(?:^|[^\w.>])(?:printf|vprintf)\s*\(\s*[A-Za-z_][\w.>\[\]-]*\s*\)|(?:^|[^\w.>])(?:fprintf|syslog)\s*\(\s*[^,()]+,\s*[a-z_][\w.>\[\]-]*\s*\)",
        ("printf(message);", "printf(\"%s\", message);"),
    ),
    block(
        "c-system",
        78,
        "a command goes through a shell; use `execve` with a list of arguments",
        r"(?:^|[^\w.>])(?:system|popen)\s*\(\s*[^\x22)\s]",
        ("system(command);", "system(\"clear\");"),
    ),
    warn(
        "c-tmpnam",
        377,
        "another program can take the name first; use `mkstemp`",
        r"(?:^|[^\w.>])(?:tmpnam|tempnam|mktemp)\s*\(",
        ("char *n = tmpnam(NULL);", "int fd = mkstemp(template);"),
    ),
    warn(
        "c-rand",
        338,
        "`rand` can be foretold; use `getrandom` for keys and tokens",
        r"(?i)\b\w*(?:token|key|secret|nonce|salt|password)\w*(?:\[[^\]]*\])?\s*=.*\b(?:rand|random|drand48)\s*\(\s*\)",
        ("key[i] = rand() % 256;", "int roll = rand() % 6;"),
    ),
    warn(
        "c-weak-hash",
        328,
        "MD5 and SHA-1 are broken; use SHA-256",
        r"\b(?:MD5|SHA1|MD4)(?:_Init|_Update|_Final)?\s*\(|\bEVP_(?:md5|sha1|md4)\s*\(",
        ("MD5_Init(&context);", "EVP_sha256();"),
    ),
    block(
        "c-weak-cipher",
        327,
        "DES and RC4 are broken, and ECB shows patterns; use AES-GCM",
        r"\bEVP_(?:des|rc4|rc2|bf)_?\w*\s*\(|\bEVP_aes_\d+_ecb\s*\(|\bDES_(?:set_key|ecb_encrypt|ncbc_encrypt)\w*\s*\(",
        ("EVP_des_cbc()", "EVP_aes_256_gcm()"),
    ),
    block(
        "c-no-certificate-check",
        295,
        "certificates are not checked; use `SSL_VERIFY_PEER`",
        r"\bSSL_VERIFY_NONE\b|CURLOPT_SSL_VERIFY(?:PEER|HOST)\s*,\s*(?:0|false)",
        (
            "curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);",
            "SSL_CTX_set_verify(c, SSL_VERIFY_PEER, 0);",
        ),
    ),
    warn(
        "c-alloca",
        770,
        "a size from outside fills the stack; use `malloc` and check the size",
        r"(?:^|[^\w.>])alloca\s*\(\s*[a-z_]",
        ("char *p = alloca(length);", "char *p = malloc(length);"),
    ),
    warn(
        "c-open-modes",
        732,
        "everybody may write the file; give only the rights that are needed",
        r"\b(?:chmod|mkdir|creat|open)\s*\([^;]*,\s*0[0-7]?[0-7][0-7][2367]\s*\)|\bumask\s*\(\s*0+\s*\)",
        ("chmod(path, 0777);", "chmod(path, 0640);"),
    ),
    warn(
        "c-size-overflow",
        131,
        "a product of sizes can overflow; use `calloc` or check it",
        r"\bmalloc\s*\(\s*[a-z_]\w*\s*\*\s*[a-z_]\w*\s*\)",
        ("p = malloc(count * size);", "p = malloc(sizeof(struct item));"),
    ),
];
