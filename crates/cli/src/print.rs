//! Printing that survives a reader who has left.
//!
//! `println!` and `eprintln!` panic if they cannot write. If the reader has closed the pipe (`c10k compare … | head`), there
//! is nobody to report that to: the command goes on and ends with its own exit code. If standard output cannot be
//! written for another reason, such as a full disk, the command ends with one line and exit code 2.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// Prints a line on standard output, as `println!` does.
macro_rules! outln {
    () => { $crate::print::out(format_args!("")) };
    ($($text:tt)*) => { $crate::print::out(format_args!($($text)*)) };
}

/// Prints a line on standard error, as `eprintln!` does.
macro_rules! errln {
    ($($text:tt)*) => { $crate::print::err(format_args!($($text)*)) };
}

pub(crate) use {errln, outln};

/// Prints a line on standard output.
pub(crate) fn out(text: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    if let Err(error) = unless_closed(written) {
        err(format_args!(
            "c10k: writing standard output: {error}: free some space, or print elsewhere"
        ));
        std::process::exit(2);
    }
}

/// Prints a line on standard error. A closed standard error is no reason to end.
pub(crate) fn err(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The result of a write, of which a closed pipe is no error.
pub(crate) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
