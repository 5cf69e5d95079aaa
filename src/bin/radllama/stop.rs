//! Being asked to stop: Ctrl-C, or SIGTERM as Slurm and others send it before a job's time is over.

use std::sync::atomic::{AtomicBool, Ordering};

use radllama::{Error, Result};

use super::output;

/// What a program ends with that was asked to stop: as shells say it of Ctrl-C.
pub(crate) const CODE: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on a first request is only noted, `told` on stderr; a second one ends the program at once.
pub(crate) fn listen(told: &'static str) -> Result<()> {
    let heard = move || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(CODE));
        }
        output::note(told);
    };
    ctrlc::set_handler(heard).map_err(|error| Error::Internal(error.to_string()))
}

/// Whether it was asked for.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
