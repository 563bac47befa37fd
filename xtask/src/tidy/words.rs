//! Documents, messages and comments use the field's words.
//!
//! The list holds words and phrases that the project once used in a sense of its own, or that read as translated. A Rust
//! file is read whole: an identifier counts as its words (`see_off`, `SeeOff`).

use std::path::Path;

use super::tree::File;

/// A word or phrase in lower case, and what to write in its place.
const AVOIDED: &[(&str, &str)] = &[
    ("as always", "say what happens"),
    ("beside", "next to, background, as well as"),
    ("clerk", "blocking worker"),
    ("contestant", "competitor, implementation"),
    ("contestants", "competitors, implementations"),
    ("go on with", "resume, continue"),
    ("goes on with", "resumes, continues"),
    ("going on with", "resuming, continuing"),
    ("gone on with", "resumed, continued"),
    ("inbox", "hand-off queue"),
    ("knock", "connect, signal"),
    ("knocked", "connected, signalled"),
    ("knocks", "connects, signals"),
    ("ledger", "shared statistics"),
    ("look in", "drain"),
    ("reception", "accept sink"),
    ("restless", "needs polling"),
    ("rival", "competitor"),
    ("rivals", "competitors"),
    ("roster", "list of threads"),
    ("see off", "interrupt"),
    ("servant", "server process"),
    ("soaker", "idle counter"),
    ("tallied", "counted"),
    ("tallies", "counts"),
    ("tally", "count, worker statistics"),
    ("tell nobody", "report nothing"),
    ("tells nobody", "reports nothing"),
    ("tend", "maintain"),
    ("tended", "maintained"),
    ("told", "reported, given, asked"),
    ("whose it is", "who owns it"),
];

/// Files, or folders that end in `/`, in which a phrase stands for good: the reason.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("xtask/src/tidy/words.rs", "", "the list itself"),
    ("CHANGELOG.md", "beside", FORMER),
    ("CHANGELOG.md", "contestants", FORMER),
    ("crates/lab/src/experiment/options.rs", "beside", FORMER),
    ("docs/results/index.html", "", REPORT),
    ("docs/results/paper/", "", REPORT),
    ("docs/results/quick/", "", REPORT),
    ("docs/results/threads-events/", "", REPORT),
    ("docs/results/today/", "", REPORT),
];

/// Why a place may name what has another name today.
const FORMER: &str = "the former name of an option";

/// Why a report is exempt.
const REPORT: &str = "the report of a run, as it was drawn then";

/// Text that people read.
const READ: &[&str] = &[".rs", ".md", ".toml", ".html", ".sh", ".c", ".run"];

pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_read(&file.path)) {
        for (line, phrase, instead) in avoided(&file.text) {
            if !is_exempt(&file.path, phrase) {
                findings.push(format!("{}:{line}: \"{phrase}\"; better: {instead}", file.path));
            }
        }
    }
    Ok(findings)
}

fn is_read(path: &str) -> bool {
    path == ".ci/run" || READ.iter().any(|end| path.ends_with(end))
}

fn is_exempt(path: &str, phrase: &str) -> bool {
    EXEMPT.iter().any(|(place, exempt, _)| {
        let inside = *place == path || (place.ends_with('/') && path.starts_with(place));
        inside && (exempt.is_empty() || *exempt == phrase)
    })
}

/// The line, the phrase and what to write instead, for each that the text holds.
fn avoided(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let words = words(text);
    let mut found = Vec::new();
    for start in 0..words.len() {
        for (phrase, instead) in AVOIDED {
            let mut rest = words[start..].iter();
            if phrase
                .split(' ')
                .all(|word| rest.next().is_some_and(|(_, next)| next == word))
            {
                found.push((words[start].0, *phrase, *instead));
            }
        }
    }
    found
}

/// The words in lower case with their lines; `seeOff`, `see_off` and `see off` are two words each.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut word = String::new();
        let mut close = |word: &mut String| {
            if !word.is_empty() {
                words.push((number + 1, std::mem::take(word)));
            }
        };
        let mut before = ' ';
        for letter in line.chars() {
            if !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase()) {
                close(&mut word);
            }
            if letter.is_alphanumeric() {
                word.extend(letter.to_lowercase());
            }
            before = letter;
        }
        close(&mut word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        find(Path::new("."), &[file(path, text)]).expect("runs")
    }

    #[test]
    fn a_word_of_the_list_is_found_in_prose_messages_and_names() {
        for text in [
            "// The server was Told.",
            "fn told() {}",
            "struct WasTold;",
            "let text = \"(told)\";",
        ] {
            let expected = ["a.rs:2: \"told\"; better: reported, given, asked"];
            assert_eq!(found("a.rs", &format!("\n{text}\n")), expected, "{text}");
        }
    }

    #[test]
    fn a_phrase_is_found_across_the_end_of_a_line() {
        assert_eq!(found("a.md", "It goes on\nwith the next.").len(), 1);
    }

    #[test]
    fn words_that_hold_one_of_the_list_are_free() {
        assert!(found("a.md", "besides, untold, attend, tendency: it goes on without").is_empty());
    }

    #[test]
    fn data_and_exempt_places_are_not_read() {
        assert!(found("a.json", "told").is_empty());
        assert!(found("xtask/src/tidy/words.rs", "told").is_empty());
    }
}
