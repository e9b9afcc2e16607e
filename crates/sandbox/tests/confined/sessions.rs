//! Sessions keep their variables and files, for nobody else and not for ever.

use super::{call, interpreter, limits, with};
use chaski_sandbox::{InterpreterOptions, Job, Limits, Status};
use std::{sync::atomic::AtomicBool, thread, time::Duration};

#[test]
fn a_session_keeps_what_it_defines() {
    let interpreter = with(limits());
    call(&interpreter, Some("a"), "x = 5\ndef f(): return x\nimport math");
    assert_eq!(
        call(&interpreter, Some("a"), "x += 1\nprint(f(), math.pi > 3)").stdout.text,
        "6 True\n"
    );
    assert!(call(&interpreter, Some("b"), "x").stderr.text.contains("NameError"));
    assert!(call(&interpreter, None, "x").stderr.text.contains("NameError"));
    let error = call(&interpreter, Some("a"), "y = 2\n1 / 0");
    assert!(error.stderr.text.contains("ZeroDivisionError"));
    assert_eq!(call(&interpreter, Some("a"), "y").stdout.text, "2\n");
}

#[test]
fn a_session_that_took_too_long_has_lost_its_state_and_says_so() {
    let limits = Limits { time: Duration::from_secs(2), ..limits() };
    let interpreter = with(limits);
    call(&interpreter, Some("a"), "x = 5");
    let outcome = call(&interpreter, Some("a"), "while True: pass");
    assert_eq!(outcome.status, Status::Timeout);
    assert_eq!(outcome.notes[1], "the variables and files of this session are lost");
    assert!(call(&interpreter, Some("a"), "x").stderr.text.contains("NameError"));
}

#[test]
fn files_go_in_and_come_out() {
    let interpreter = with(limits());
    let run = |code: &str, files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        let job = Job { code: code.to_owned(), files: files.collect() };
        interpreter.run(Some("s"), &job, &AtomicBool::new(false))
    };
    let data = [("data.csv", "a,b\n1,2\n")];
    let code = "import os\nos.mkdir('out')\nopen('out/b.txt', 'w').write(open('data.csv').read().upper())\n\
                open('big', 'wb').write(bytes(2 << 20))\nprint(os.listdir())";
    let outcome = run(code, &data).unwrap();
    assert_eq!(outcome.status, Status::Completed, "{outcome:?}");
    let files: Vec<_> = outcome.files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
    assert_eq!(files, [("big", 2 << 20), ("out/b.txt", 8)]);
    assert!(outcome.files[0].content == Some(vec![0; 2 << 20]), "it comes back whole");
    assert_eq!(outcome.files[1].content.as_deref(), Some(&b"A,B\n1,2\n"[..]));
    // Placed again, it stays as the code left it; and nothing is told twice.
    let outcome = run("open('data.csv', 'a').write('3,4')", &data).unwrap();
    assert_eq!(outcome.files.len(), 1);
    assert_eq!(
        run("print(open('data.csv').read())", &data).unwrap().stdout.text,
        "a,b\n1,2\n3,4\n"
    );
    let error = run("1", &[("../x", "y")]).unwrap_err();
    assert!(error.message.contains("`../x` in `files`"), "{}", error.message);
    assert_eq!(run("print(os.listdir())", &[]).unwrap().status, Status::Completed);
}

#[test]
fn the_session_that_waited_longest_makes_way() {
    let interpreter = interpreter(InterpreterOptions {
        sessions: 2,
        limits: limits(),
        ..InterpreterOptions::default()
    });
    for key in ["a", "b", "a", "c"] {
        call(&interpreter, Some(key), &format!("x = '{key}'"));
    }
    assert_eq!(interpreter.kept(), 2);
    assert_eq!(call(&interpreter, Some("a"), "print(x)").stdout.text, "a\n");
    let outcome = call(&interpreter, Some("b"), "print(x)");
    assert!(outcome.stderr.text.contains("NameError"));
    assert!(outcome.notes[0].contains("too many other sessions"), "{outcome:?}");
    assert_eq!(call(&interpreter, Some("b"), "print(1)").notes, Vec::<String>::new());
}

#[test]
fn a_session_is_ended_when_it_is_idle() {
    let interpreter = interpreter(InterpreterOptions {
        idle: Duration::ZERO,
        limits: limits(),
        ..InterpreterOptions::default()
    });
    call(&interpreter, Some("a"), "x = 1");
    assert_eq!(interpreter.kept(), 1);
    interpreter.sweep();
    assert_eq!(interpreter.kept(), 0);
    let outcome = call(&interpreter, Some("a"), "x");
    assert!(outcome.notes[0].contains("no code was run for 0 seconds"), "{outcome:?}");
    assert!(outcome.stderr.text.contains("NameError"));
}

#[test]
fn users_side_by_side_see_only_what_is_theirs() {
    let interpreter = interpreter(InterpreterOptions {
        sessions: 4,
        limits: limits(),
        ..InterpreterOptions::default()
    });
    thread::scope(|scope| {
        for user in 0..6 {
            let interpreter = &interpreter;
            scope.spawn(move || {
                let key = format!("user-{user}");
                for round in 0..8 {
                    let code = format!(
                        "import os\nmine = globals().get('mine', set()) | {{'{key}'}}\n\
                         open('{key}', 'a').write('x')\nprint(sorted(mine), sorted(os.listdir()), {round})"
                    );
                    let outcome = call(interpreter, Some(&key), &code);
                    let expected = format!("['{key}'] ['{key}'] {round}\n");
                    assert_eq!(outcome.stdout.text, expected, "{outcome:?}");
                }
            });
        }
    });
    assert!(interpreter.kept() <= 4);
}

#[test]
fn code_that_is_too_long_is_refused() {
    let interpreter = with(limits());
    let job = Job { code: "x".repeat(chaski_sandbox::CODE_BYTES + 1), files: Vec::new() };
    let error = interpreter.run(None, &job, &AtomicBool::new(false)).unwrap_err();
    assert!(error.message.contains("at most 1048576 bytes"), "{}", error.message);
}

#[test]
fn files_go_in_and_come_back_byte_for_byte() {
    let interpreter = with(limits());
    let table = "1,2\n".repeat(300_000).into_bytes();
    let image: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let files = vec![("in.csv".to_owned(), table.clone()), ("in.png".to_owned(), image.clone())];
    let code = "for end in ['csv', 'png']:\n    \
                open('out.' + end, 'wb').write(open('in.' + end, 'rb').read())"
        .to_owned();
    let job = Job { code, files };
    let outcome = interpreter.run(None, &job, &AtomicBool::new(false)).unwrap();
    let names: Vec<&str> = outcome.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["out.csv", "out.png"]);
    for (file, content) in outcome.files.iter().zip([table, image]) {
        assert!(file.content.as_ref() == Some(&content), "`{}` is another file", file.name);
    }
}
