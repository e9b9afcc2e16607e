//! The Python of this machine, and what it reads.

use chaski_api::{Error, Result};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// The oldest version that the driver runs on.
const OLDEST: (u32, u32) = (3, 9);

/// Says its version, its program, and then each file and folder that it imports from. Isolated
/// (`-I`), so that neither the environment nor the home folder adds to them.
const QUESTION: &str = r#"
import os, sys
print(*sys.version_info[:3], sep=".")
print(sys.executable)
print(os.path.realpath(sys.executable))
prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
paths = set(sys.path)
paths.update(os.path.join(prefix, name) for prefix in prefixes for name in ("lib", "lib64"))
paths.add(os.path.join(sys.prefix, "pyvenv.cfg"))
for path in sorted(paths):
    if os.path.exists(path) and os.path.realpath(path) != "/":
        print(os.path.realpath(path))
"#;

/// A Python interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Such as `3.11.7`.
    pub version: String,
    /// The program by the name that decides which libraries it finds.
    pub program: PathBuf,
    /// The file that this name leads to.
    pub(crate) file: PathBuf,
    /// The files and folders of its libraries.
    pub(crate) libraries: Vec<PathBuf>,
}

impl Python {
    /// Asks a Python, by its path or its name in the folders of the `PATH`, where it is. Blocks
    /// while it answers.
    ///
    /// # Errors
    /// `Unavailable` if there is none, or it is too old.
    pub fn find(program: &str) -> Result<Self> {
        let failed = |why: String| {
            Error::unavailable(format!(
                "`{program}` cannot be used as Python: {why}; install Python {}.{} or newer, or \
                 say in `python` where it is",
                OLDEST.0, OLDEST.1
            ))
        };
        let output = Command::new(program)
            .args(["-I", "-c", QUESTION])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or_default();
            return Err(failed(format!("{} ({last})", output.status)));
        }
        Self::of(&String::from_utf8_lossy(&output.stdout)).map_err(failed)
    }

    fn of(answer: &str) -> Result<Self, String> {
        let mut lines = answer.lines();
        let mut next =
            || lines.next().map(str::to_owned).ok_or("it does not answer as Python does");
        let (version, program, file) = (next()?, next()?, next()?);
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        let found = numbers.next().zip(numbers.next());
        if found.is_none_or(|found| found < OLDEST) {
            return Err(format!("it is version {version}"));
        }
        let libraries = lines.map(PathBuf::from).collect();
        Ok(Self { version, program: program.into(), file: file.into(), libraries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_old_versions_refused() {
        let python = Python::of("3.12.1\n/v/bin/python\n/usr/bin/python3.12\n/usr/lib\n").unwrap();
        assert_eq!(python.version, "3.12.1");
        assert_eq!(python.program, PathBuf::from("/v/bin/python"));
        assert_eq!(python.libraries, [PathBuf::from("/usr/lib")]);
        assert_eq!(Python::of("3.8.2\na\nb\n").unwrap_err(), "it is version 3.8.2");
        assert_eq!(Python::of("2.7.18\na\nb\n").unwrap_err(), "it is version 2.7.18");
        assert!(Python::of("hello").is_err());
    }

    #[test]
    fn what_is_no_python_is_named_with_the_remedy() {
        for program in ["/nowhere/python3", "false", "true"] {
            let error = Python::find(program).unwrap_err();
            assert!(error.message.contains(program), "{}", error.message);
            assert!(error.message.contains("install Python"), "{}", error.message);
        }
    }
}
