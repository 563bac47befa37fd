//! The command that resumes a study, as a shell takes it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The command that resumes `studies` in `folder`: the program as it was called, the studies, the folder, `--resume` and
/// `more`.
pub(crate) fn command(program: &OsStr, studies: &[String], folder: &Path, more: &[&OsStr]) -> String {
    let mut words: Vec<OsString> = vec![program.to_owned(), "study".into()];
    words.extend(studies.iter().map(OsString::from));
    words.extend(["--out".into(), folder.into(), "--resume".into()]);
    words.extend(more.iter().map(OsString::from));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it: in quotes where it has a character that means something to a shell.
fn quoted(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(byte);
    let Some(text) = word.to_str() else {
        // Bytes that are no UTF-8: in the quotes for escapes of POSIX.1-2024, which bash, zsh and ksh have as well.
        let bytes = word.as_bytes().iter().map(|byte| format!("\\{byte:03o}"));
        return format!("$'{}'", bytes.collect::<String>());
    };
    if !text.is_empty() && text.bytes().all(|byte| plain(&byte)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_plain_command_needs_no_quotes() {
        let studies = ["paper/idle-connections".to_owned()];
        let command = command(OsStr::new("c10k"), &studies, Path::new("c10k-results/a-2"), &[]);
        assert_eq!(
            command,
            "c10k study paper/idle-connections --out c10k-results/a-2 --resume"
        );
    }

    #[test]
    fn what_is_given_in_addition_comes_last() {
        let studies = ["threads-events/disk".to_owned()];
        let more = ["--disk", "/mnt/a disk"].map(OsStr::new);
        let command = command(OsStr::new("c10k"), &studies, Path::new("out"), &more);
        assert_eq!(
            command,
            "c10k study threads-events/disk --out out --resume --disk '/mnt/a disk'"
        );
    }

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        let words = [
            "it's here",
            "a b",
            "$HOME",
            "`id`",
            "*",
            "",
            "a\nb",
            "\\",
            "~",
            "\"",
            "ü",
            "a&b;c",
            "!x",
        ];
        let mut words: Vec<OsString> = words.map(OsString::from).into();
        words.push(OsStr::from_bytes(b"a\xff'b").to_owned());
        for word in words {
            // bash, as `$'…'` is newer than many a `sh`.
            let script = format!("printf %s {}", quoted(&word));
            let output = Command::new("bash")
                .args(["-c", &script])
                .output()
                .expect("there is bash");
            assert_eq!(OsStr::from_bytes(&output.stdout), word, "{script}");
        }
    }
}
