//! Only the libraries of Python are read, and only the working folder is written.

use super::{call, limits, only_outside, printed, refused, run, with};
use chaski_sandbox::Status;
use rustix::fs::{Mode, OFlags};
use std::{
    fs,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    process,
};
use tempfile::NamedTempFile;

/// A file of somebody else, where everybody may read and write it.
fn planted() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), "reached").unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o666)).unwrap();
    file
}

#[test]
fn files_of_others_are_not_read() {
    let file = planted();
    let path = file.path();
    refused(&format!("print(open({path:?}).read())"), "PermissionError");
    for path in ["/etc/passwd", "/etc/hostname", "/proc/cpuinfo", "/proc/self/environ"] {
        refused(&format!("open({path:?}).read()\nprint('reached')"), "PermissionError");
    }
    // The server itself.
    let own = std::env::current_exe().unwrap();
    refused(&format!("open({own:?}, 'rb').read(4)\nprint('reached')"), "PermissionError");
    let server = process::id();
    for file in ["environ", "cmdline", "maps", "status"] {
        let path = format!("/proc/{server}/{file}");
        refused(&format!("open({path:?}, 'rb').read()\nprint('reached')"), "PermissionError");
    }
}

#[test]
fn folders_of_others_are_not_listed() {
    let here = std::env::current_dir().unwrap();
    let home = std::env::home_dir().unwrap();
    let temporary = std::env::temp_dir();
    for path in
        ["/", "/etc", "/proc", "/tmp"].map(Into::into).iter().chain([&here, &home, &temporary])
    {
        refused(&format!("import os\nos.listdir({path:?})\nprint('reached')"), "PermissionError");
    }
}

#[test]
fn nothing_is_written_outside() {
    let file = planted();
    let path = file.path();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let inside = folder.path().join("new");
    refused(&format!("open({path:?}, 'a').write('x')\nprint('reached')"), "PermissionError");
    refused(&format!("open({inside:?}, 'w').write('x')\nprint('reached')"), "PermissionError");
    fs::remove_file(&inside).unwrap();
    refused(
        &format!(
            "import os\nos.mkdir('{}/%s' % os.getpid())\nprint('reached')",
            folder.path().display()
        ),
        "PermissionError",
    );
    refused(&format!("import os\nos.truncate({path:?}, 0)\nprint('reached')"), "PermissionError");
    refused(
        &format!("import os\nos.open({path:?}, os.O_RDONLY | os.O_TRUNC)\nprint('reached')"),
        "PermissionError",
    );
    for code in [
        format!("import os\nos.rename({path:?}, {inside:?})"),
        format!("import os\nos.link({path:?}, {inside:?})"),
        format!("import os\nos.symlink('x', {inside:?})"),
        format!("import os\nos.unlink({path:?})"),
        format!("import os\nos.mkfifo({inside:?})"),
        "open('/dev/shm/x', 'w')".to_owned(),
    ] {
        assert!(run(&code).stderr.text.contains("PermissionError"), "{code}");
    }
    assert!(path.exists() && !inside.exists());
}

#[test]
fn modes_and_times_of_files_do_not_change() {
    let file = planted();
    let path = file.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(path).unwrap();
    run(&format!(
        "import os\nos.chmod({path:?}, 0o777)\nos.utime({path:?}, (1, 1))\n\
         os.chown({path:?}, 12345, 12345)"
    ));
    let after = fs::metadata(path).unwrap();
    assert_eq!(after.permissions(), before.permissions());
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    // Archives are unpacked nevertheless.
    let unpack = "import io, os, tarfile, shutil\nopen('a.txt', 'w').write('hello')\n\
                  with tarfile.open('a.tar', 'w') as t: t.add('a.txt')\nos.mkdir('out')\n\
                  tarfile.open('a.tar').extractall('out')\nshutil.copy('out/a.txt', 'b.txt')\n\
                  print(open('b.txt').read())";
    assert!(run(unpack).stdout.text.contains("hello"));
}

#[test]
fn links_do_not_lead_out_of_the_folder() {
    let file = planted();
    let path = file.path();
    refused(
        &format!(
            "import os, tempfile\nos.chdir(os.environ.get('TMPDIR') or tempfile.mkdtemp())\n\
             os.symlink({path:?}, 'link')\nprint(open('link').read())"
        ),
        "PermissionError",
    );
    only_outside(&format!(
        "import os, tempfile\nos.chdir(os.environ.get('TMPDIR') or tempfile.mkdtemp(dir='/tmp'))\n\
         os.link({path:?}, 'link')\nprint(open('link').read())"
    ));
    let outcome =
        run(&format!("open('../../../../../../{}')", path.strip_prefix("/").unwrap().display()));
    assert!(outcome.stderr.text.contains("PermissionError"), "{outcome:?}");
}

#[test]
fn other_sessions_are_not_seen() {
    let interpreter = with(limits());
    let first = call(
        &interpreter,
        Some("a"),
        "import os\nopen('mine', 'w').write('secret')\nprint(os.getcwd())",
    );
    let folder = first.stdout.text.trim();
    for code in [
        format!("print(open('{folder}/mine').read())"),
        format!("import os\nprint(os.listdir('{folder}'))"),
        format!("open('{folder}/other', 'w').write('x')"),
    ] {
        let outcome = call(&interpreter, Some("b"), &code);
        assert!(outcome.stderr.text.contains("PermissionError"), "{outcome:?}");
    }
    assert_eq!(call(&interpreter, Some("a"), "print(open('mine').read())").stdout.text, "secret\n");
}

#[test]
fn the_environment_of_the_server_is_not_there() {
    let code =
        "import os\nprint([name for name in os.environ if name.startswith('CARGO')] and 'reached')";
    only_outside(code);
    let names = printed("import os\nprint(sorted(os.environ))");
    assert!(!names.contains("USER") && !names.contains("LD_"), "{names}");
    let outcome =
        run("import os\nopen('x', 'w').close()\nprint(os.path.expanduser('~') == os.getcwd())");
    assert_eq!(outcome.stdout.text, "True\n");
}

#[test]
fn open_files_of_the_server_are_not_inherited() {
    let file = planted();
    let open = rustix::fs::open(file.path(), OFlags::RDWR, Mode::empty()).unwrap();
    let number = open.as_raw_fd();
    refused(&format!("import os\nprint(os.pread({number}, 100, 0).decode())"), "OSError");
}

#[test]
fn programs_are_not_run() {
    refused("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo reached'])", "PermissionError");
    // What the code writes itself is not run either.
    let own = "import os\nopen('x', 'w').write('#!/bin/sh\\necho reached')\nos.chmod('x', 0o700)\nos.execv('./x', ['x'])";
    let outcome = run(own);
    assert!(outcome.stderr.text.contains("PermissionError"), "{outcome:?}");
    // Python is, and is the end of the call.
    let again = "import os, sys\nos.execv(sys.executable, ['python', '-c', 'print(1)'])";
    assert_eq!(run(again).status, Status::Error);
}
