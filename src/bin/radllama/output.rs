//! Everything that reaches stdout and stderr. Results go to stdout; remarks, progress and errors to
//! stderr.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use radllama::{Error, Result};
use serde_json::json;

/// Writes to stdout at once, as it is.
pub(crate) fn text(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::Io { path: "stdout".into(), reason: error.to_string() })
}

/// A line on stdout.
pub(crate) fn line(line: &str) -> Result<()> {
    text(&format!("{line}\n"))
}

/// A JSON value on a line of its own on stdout.
pub(crate) fn object(value: &serde_json::Value) -> Result<()> {
    line(&value.to_string())
}

/// A remark on stderr. That nobody may read it is no error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// An error: one line on stderr and, with `json`, an object on stdout.
pub(crate) fn error(error: &Error, json: bool) {
    let message = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    note(&format!("error: {message}"));
    if json {
        // A stdout that takes nothing may be the very error.
        let _ = object(&json!({ "error": { "code": error.code(), "message": message } }));
    }
}

/// A progress bar on stderr; invisible where stderr is no terminal. `template` as indicatif has it.
fn progress(bar: ProgressBar, template: &str) -> ProgressBar {
    let visible = std::io::stderr().is_terminal();
    bar.set_draw_target(if visible {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A bar over bytes.
pub(crate) fn bytes_bar(what: &str, total: u64) -> ProgressBar {
    progress(ProgressBar::new(total), "{msg} {wide_bar} {bytes}/{total_bytes}")
        .with_message(what.to_owned())
}

/// A bar over steps.
pub(crate) fn steps_bar(what: &str, total: u64) -> ProgressBar {
    progress(ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len}").with_message(what.to_owned())
}

/// A bar over steps that take seconds each, with the time that is left.
pub(crate) fn slow_bar(what: &str, total: u64) -> ProgressBar {
    progress(ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len}, {eta} left")
        .with_message(what.to_owned())
}

/// A sign of life where the amount of work is not known.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let bar = progress(ProgressBar::no_length(), "{spinner} {msg}").with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!("{:.1} KB", bytes as f64 / 1e3)
    } else {
        format!("{:.1} MB", bytes as f64 / 1e6)
    }
}
