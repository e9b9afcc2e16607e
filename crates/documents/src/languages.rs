//! The languages of source code, by the ends of names.

/// The end of a name after the last dot, and the language.
const ENDINGS: &[(&str, &str)] = &[
    ("adb", "ada"),
    ("ads", "ada"),
    ("asm", "assembly"),
    ("awk", "awk"),
    ("bash", "bash"),
    ("bat", "batch"),
    ("bzl", "starlark"),
    ("c", "c"),
    ("cc", "cpp"),
    ("clj", "clojure"),
    ("cljs", "clojure"),
    ("cmake", "cmake"),
    ("cmd", "batch"),
    ("cpp", "cpp"),
    ("cr", "crystal"),
    ("cs", "csharp"),
    ("css", "css"),
    ("cu", "cuda"),
    ("cxx", "cpp"),
    ("d", "d"),
    ("dart", "dart"),
    ("diff", "diff"),
    ("el", "elisp"),
    ("elm", "elm"),
    ("erl", "erlang"),
    ("ex", "elixir"),
    ("exs", "elixir"),
    ("f90", "fortran"),
    ("fs", "fsharp"),
    ("gd", "gdscript"),
    ("go", "go"),
    ("gradle", "groovy"),
    ("graphql", "graphql"),
    ("groovy", "groovy"),
    ("h", "c"),
    ("hcl", "hcl"),
    ("hh", "cpp"),
    ("hpp", "cpp"),
    ("hs", "haskell"),
    ("ini", "ini"),
    ("java", "java"),
    ("jl", "julia"),
    ("js", "javascript"),
    ("jsx", "jsx"),
    ("kt", "kotlin"),
    ("kts", "kotlin"),
    ("less", "less"),
    ("lisp", "lisp"),
    ("lua", "lua"),
    ("m", "objective-c"),
    ("mjs", "javascript"),
    ("ml", "ocaml"),
    ("mli", "ocaml"),
    ("mm", "objective-c"),
    ("nim", "nim"),
    ("nix", "nix"),
    ("pas", "pascal"),
    ("patch", "diff"),
    ("php", "php"),
    ("pl", "perl"),
    ("pm", "perl"),
    ("proto", "protobuf"),
    ("ps1", "powershell"),
    ("py", "python"),
    ("pyi", "python"),
    ("pyx", "cython"),
    ("r", "r"),
    ("rb", "ruby"),
    ("rs", "rust"),
    ("sass", "sass"),
    ("scala", "scala"),
    ("scm", "scheme"),
    ("scss", "scss"),
    ("sh", "bash"),
    ("sol", "solidity"),
    ("sql", "sql"),
    ("sv", "systemverilog"),
    ("svelte", "svelte"),
    ("swift", "swift"),
    ("tcl", "tcl"),
    ("tex", "latex"),
    ("tf", "hcl"),
    ("thrift", "thrift"),
    ("toml", "toml"),
    ("ts", "typescript"),
    ("tsx", "tsx"),
    ("v", "verilog"),
    ("vb", "vb"),
    ("vhd", "vhdl"),
    ("vhdl", "vhdl"),
    ("vim", "vim"),
    ("vue", "vue"),
    ("xml", "xml"),
    ("xsd", "xml"),
    ("xsl", "xml"),
    ("yaml", "yaml"),
    ("yml", "yaml"),
    ("zig", "zig"),
    ("zsh", "bash"),
];

/// Whole names of files, in small letters, and the language.
const NAMES: &[(&str, &str)] = &[
    ("cmakelists.txt", "cmake"),
    ("containerfile", "dockerfile"),
    ("dockerfile", "dockerfile"),
    ("gemfile", "ruby"),
    ("gnumakefile", "makefile"),
    ("jenkinsfile", "groovy"),
    ("justfile", "just"),
    ("makefile", "makefile"),
    ("rakefile", "ruby"),
];

/// Media types of source code, beside `text/x-LANGUAGE`, and the language.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("application/ecmascript", "javascript"),
    ("application/javascript", "javascript"),
    ("application/sql", "sql"),
    ("application/toml", "toml"),
    ("application/typescript", "typescript"),
    ("application/x-httpd-php", "php"),
    ("application/x-javascript", "javascript"),
    ("application/x-python", "python"),
    ("application/x-sh", "bash"),
    ("application/x-yaml", "yaml"),
    ("application/xml", "xml"),
    ("application/yaml", "yaml"),
    ("text/css", "css"),
    ("text/javascript", "javascript"),
    ("text/x-c", "c"),
    ("text/x-c++", "cpp"),
    ("text/x-csharp", "csharp"),
    ("text/x-golang", "go"),
    ("text/x-java", "java"),
    ("text/x-php", "php"),
    ("text/x-python", "python"),
    ("text/x-ruby", "ruby"),
    ("text/x-rust", "rust"),
    ("text/x-script.python", "python"),
    ("text/x-sh", "bash"),
    ("text/x-tex", "latex"),
    ("text/x-typescript", "typescript"),
    ("text/xml", "xml"),
    ("text/yaml", "yaml"),
];

fn lookup(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.binary_search_by(|(entry, _)| (*entry).cmp(key)).ok().map(|at| table[at].1)
}

/// The language of a file by its name, which is in small letters and without folders.
pub(crate) fn by_name(name: &str) -> Option<&'static str> {
    lookup(NAMES, name).or_else(|| lookup(ENDINGS, name.rsplit_once('.')?.1))
}

/// The language of a file by its media type, in small letters and without parameters.
pub(crate) fn by_media_type(media_type: &str) -> Option<&'static str> {
    lookup(MEDIA_TYPES, media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        for table in [ENDINGS, NAMES, MEDIA_TYPES] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn languages_are_found() {
        assert_eq!(by_name("main.rs"), Some("rust"));
        assert_eq!(by_name("dockerfile"), Some("dockerfile"));
        assert_eq!(by_name("notes.txt"), None);
        assert_eq!(by_media_type("text/x-python"), Some("python"));
    }
}
