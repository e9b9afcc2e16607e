//! Rules for PHP.

use super::{Rule, block, warn};

pub(super) const RULES: &[Rule] = &[
    block(
        "php-eval",
        95,
        "the text is run as code; parse it",
        r"(?:^|[^\w>:.])(?:eval|assert|create_function)\s*\(\s*[^)]*\$",
        ("eval($code);", "$x = json_decode($text);"),
    ),
    block(
        "php-command",
        78,
        "a command is put together from text; use `escapeshellarg`, or a list with `proc_open`",
        r"(?:^|[^\w>:.])(?:system|exec|shell_exec|passthru|popen|proc_open)\s*\(\s*(?:[\x22'][^;]*)?\$|`[^`]*\$_(?:GET|POST|REQUEST)",
        ("system(\"ls \" . $dir);", "system(\"uptime\");"),
    ),
    block(
        "php-sql-injection",
        89,
        "a statement is put together from text; use prepared statements",
        r"(?i)\b(?:mysql_query|mysqli_query|pg_query|->query|->exec)\s*\([^;]*\b(?:select|insert|update|delete)\b[^;]*(?:\$|\.\s*\$)|(?i)[\x22']\s*(?:select\s|insert\s+into|update\s|delete\s+from)[^;]*(?:\$_(?:GET|POST|REQUEST|COOKIE)|[\x22']\s*\.\s*\$)",
        (
            "mysqli_query($db, \"SELECT * FROM u WHERE id = $id\");",
            "$db->prepare(\"SELECT * FROM u WHERE id = ?\");",
        ),
    ),
    block(
        "php-unserialize",
        502,
        "reading such text makes any object; use `json_decode`",
        r"(?:^|[^\w>:.])unserialize\s*\(\s*\$",
        ("$o = unserialize($_COOKIE['c']);", "$o = json_decode($_COOKIE['c']);"),
    ),
    block(
        "php-include",
        98,
        "the file that is run has a name of a visitor; choose it from a list",
        r"\b(?:include|require)(?:_once)?\s*\(?\s*[^;]*\$_(?:GET|POST|REQUEST|COOKIE)",
        ("include($_GET['page'] . '.php');", "include 'header.php';"),
    ),
    block(
        "php-echo-request",
        79,
        "text of a visitor becomes part of the page; use `htmlspecialchars`",
        r"\b(?:echo|print)\b[^;()]*\$_(?:GET|POST|REQUEST|COOKIE)\b",
        ("echo \"Hello \" . $_GET['name'];", "echo htmlspecialchars($_GET['name']);"),
    ),
    warn(
        "php-weak-hash",
        328,
        "MD5 and SHA-1 are broken; use `password_hash`, or `hash('sha256', ...)`",
        r"(?:^|[^\w>:.])(?:md5|sha1)\s*\(|\bhash\s*\(\s*[\x22'](?:md5|sha1)",
        ("$h = md5($password);", "$h = password_hash($password, PASSWORD_DEFAULT);"),
    ),
    block(
        "php-no-certificate-check",
        295,
        "certificates are not checked; leave the check on",
        r"CURLOPT_SSL_VERIFY(?:PEER|HOST)\s*(?:,|=>)\s*(?:0|false)|[\x22']verify_peer(?:_name)?[\x22']\s*=>\s*false",
        (
            "curl_setopt($c, CURLOPT_SSL_VERIFYPEER, false);",
            "curl_setopt($c, CURLOPT_SSL_VERIFYPEER, true);",
        ),
    ),
    warn(
        "php-weak-random",
        338,
        "these numbers can be foretold; use `random_bytes` or `random_int`",
        r"(?i)\$\w*(?:token|password|secret|nonce|salt|otp)\w*\s*=[^;]*\b(?:rand|mt_rand|uniqid|lcg_value)\s*\(",
        ("$token = md5(uniqid());", "$token = bin2hex(random_bytes(16));"),
    ),
    warn(
        "php-upload-name",
        434,
        "the file gets the name that its sender gave; make a name of your own",
        r"\bmove_uploaded_file\s*\([^;]*\$_FILES[^;]*\[\s*[\x22']name[\x22']\s*\]",
        ("move_uploaded_file($t, $d . $_FILES['f']['name']);", "move_uploaded_file($t, $d . $id);"),
    ),
];
