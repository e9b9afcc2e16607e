//! Programs of the configuration that are MCP servers, spoken to through their standard input and
//! output.

use super::{config::ConfiguredServer, failure::upstream, http::MESSAGE_BYTES};
use chaski_api::Result;
use rmcp::{RoleClient, transport::async_rw::AsyncRwTransport};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

/// Where programs are looked for unless the configuration says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of a line of the program's error output is logged.
const LINE_BYTES: u64 = 4096;

pub(super) type Pipes = AsyncRwTransport<RoleClient, ChildStdout, ChildStdin>;

/// Starts the program `command`. It ends when the child is dropped.
///
/// # Errors
/// `Upstream` if it cannot be started.
pub(super) fn start(
    name: &str,
    command: &str,
    server: &ConfiguredServer,
) -> Result<(Child, Pipes)> {
    let mut program = Command::new(command);
    // What this server is configured with is none of the program's business.
    program.args(&server.args).env_clear().env("PATH", PATH);
    for (variable, value) in &server.env {
        program.env(variable, value.expose());
    }
    if let Some(folder) = &server.cwd {
        program.current_dir(folder);
    }
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let started = program.spawn();
    let mut child = started.map_err(|error| {
        upstream(format!("`{command}` cannot be started: {error}; give its whole path"))
    })?;
    if let Some(errors) = child.stderr.take() {
        tokio::spawn(logged(name.to_owned(), errors));
    }
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(upstream(format!("`{command}` has no standard input and output")));
    };
    let pipes = AsyncRwTransport::new(output, input).with_max_line_length(MESSAGE_BYTES);
    Ok((child, pipes))
}

/// Logs what the program says about its troubles, until it ends.
async fn logged(server: String, errors: ChildStderr) {
    let mut errors = BufReader::new(errors);
    loop {
        let mut line = Vec::new();
        match (&mut errors).take(LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let line = String::from_utf8_lossy(&line);
                tracing::debug!(target: "tools", %server, "{}", line.trim_end().escape_debug());
            }
        }
    }
}
