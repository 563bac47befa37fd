//! `cargo xtask tables`: writes the tables of the documentation from `c10k list --json` and from committed results.
//!
//! A table stands in a Markdown file between the lines `<!-- table: NAME -->` and `<!-- end -->`. With `--check` nothing is
//! written, and a file that would change is an error. `--inventory FILE` reads the list from a file, and `--into FOLDER`
//! writes all files there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::paper;

/// One table: its name, its heading, and the cells of a row.
struct Table {
    /// The key of its rows in the list.
    name: &'static str,
    heading: &'static [&'static str],
    cells: fn(&Value) -> Vec<String>,
}

const TABLES: &[Table] = &[
    Table {
        name: "mechanisms",
        heading: &["mechanism", "what it is", "triggers", "waits with"],
        cells: |row| {
            let emulated = if row["emulated"] == true { " (emulated)" } else { "" };
            let what = format!("{}{emulated}", text(&row["summary"]));
            vec![
                code(&row["name"]),
                what,
                words(&row["trigger"]),
                codes(&row["wait_calls"]),
            ]
        },
    },
    Table {
        name: "models",
        heading: &["model", "what it is", "`--mechanism`", "idle connections"],
        cells: |row| {
            let mechanism = match (row["mechanisms"] == true, codes(&row["only_on"])) {
                (true, some) if some.is_empty() => "any".to_owned(),
                (true, some) => some,
                (false, _) => "none".to_owned(),
            };
            let idle = match row["one_connection_per_worker"] == true {
                true => "each occupies a worker; others wait",
                false => "do not delay others",
            };
            vec![code(&row["name"]), text(&row["summary"]), mechanism, idle.to_owned()]
        },
    },
    Table {
        name: "ring_options",
        heading: &["option", "what it does", "since Linux", "`io-uring-poll` has it too"],
        cells: |row| {
            let polls = if row["polls"] == true { "yes" } else { "no" };
            vec![
                code(&row["name"]),
                text(&row["summary"]),
                text(&row["since"]),
                polls.to_owned(),
            ]
        },
    },
    Table {
        name: "monitor_models",
        heading: &["model", "what it is", "`--mechanism`"],
        cells: |row| {
            let mechanism = if row["mechanisms"] == true { "any" } else { "none" };
            vec![code(&row["name"]), text(&row["summary"]), mechanism.to_owned()]
        },
    },
    Table {
        name: "probes",
        heading: &["probe", "what it measures", "options", "measures"],
        cells: |row| {
            let options = rows(&row["options"]).map(option).collect::<Vec<_>>().join(", ");
            let figures = rows(&row["figures"]).map(|figure| code(&figure["measure"]));
            let figures = figures.collect::<Vec<_>>().join(", ");
            vec![code(&row["name"]), text(&row["summary"]), options, figures]
        },
    },
    Table {
        name: "load_outputs",
        heading: &["option of `c10k load`", "what it does"],
        cells: |row| vec![format!("`--{}`", text(&row["name"])), text(&row["summary"])],
    },
    Table {
        name: "studies",
        heading: &["study", "question", "takes"],
        cells: |row| {
            vec![
                code(&row["name"]),
                text(&row["question"]),
                format!("{} s", row["seconds"]),
            ]
        },
    },
    Table {
        name: "guest_studies",
        heading: &["study", "question", "unit of work"],
        cells: |row| vec![code(&row["name"]), text(&row["question"]), text(&row["unit"])],
    },
    Table {
        name: "exact_claims",
        heading: &["about", "the paper says", "exact", "live", "exact from"],
        cells: |row| {
            vec![
                text(&row["about"]),
                text(&row["text"]),
                text(&row["exact"]),
                text(&row["live"]),
                code(&row["study"]),
            ]
        },
    },
    Table {
        name: "table_1",
        heading: &[
            "requests a second (the paper's)",
            "252 idle: the paper",
            "signals, exact",
            "signal-per-fd, exact",
            "6,000 idle: the paper",
            "signals, exact",
            "signal-per-fd, exact",
        ],
        cells: |row| {
            let counts = rows(&row["cells"]).map(text);
            std::iter::once(text(&row["rate"])).chain(counts).collect()
        },
    },
];

/// Writes or checks the tables.
///
/// # Errors
/// One line: a table is out of date, has no rows or no end, or a file cannot be read or written.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let value = |flag: &str| {
        let position = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(position + 1).map(PathBuf::from)
    };
    let mut list = list(root, value("--inventory").as_deref())?;
    list["exact_claims"] = paper::claims(root)?;
    list["table_1"] = paper::table_1(root)?;
    let into = value("--into");
    let mut outdated = Vec::new();
    for path in pages(root)? {
        let old = fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path);
        let new = filled(&old, &list).map_err(|problem| format!("{}: {problem}", name.display()))?;
        if new == old && into.is_none() {
            continue;
        }
        let target = into.as_deref().unwrap_or(root).join(name);
        match arguments.iter().any(|argument| argument == "--check") {
            true => outdated.push(name.display().to_string()),
            false => write(&target, &new)?,
        }
    }
    match outdated.as_slice() {
        [] => Ok(()),
        names => Err(format!("out of date: {}; run cargo xtask tables", names.join(", "))),
    }
}

/// What `c10k list --json` prints, or what the file has.
fn list(root: &Path, file: Option<&Path>) -> Result<Value, String> {
    let text = match file {
        Some(file) => fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))?,
        None => {
            let output = Command::new(env!("CARGO"))
                .args(["run", "--quiet", "--package", "c10k", "--", "list", "--json"])
                .current_dir(root)
                .output()
                .map_err(|error| format!("running c10k list: {error}"))?;
            output.stdout
        }
    };
    serde_json::from_slice(&text).map_err(|error| format!("the list is not JSON: {error}"))
}

/// Every Markdown file that may have a table, in order.
fn pages(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        let failed = |error| format!("reading {}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error| format!("writing {}: {error}", path.display());
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
    fs::write(path, text).map_err(failed)
}

/// The text of a page with its tables made anew.
fn filled(page: &str, list: &Value) -> Result<String, String> {
    let mut new = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- table: ") {
        let (name, after) = after
            .split_once(" -->\n")
            .ok_or("a table's name does not end with ' -->'")?;
        let (_, after) = after
            .split_once("<!-- end -->")
            .ok_or_else(|| format!("table {name} has no end"))?;
        let table = TABLES.iter().find(|table| table.name == name);
        let table = table.ok_or_else(|| format!("no table is called {name}"))?;
        let _ = write!(new, "{before}<!-- table: {name} -->\n{}<!-- end -->", table.text(list)?);
        rest = after;
    }
    Ok(new + rest)
}

impl Table {
    fn text(&self, list: &Value) -> Result<String, String> {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let heading: Vec<String> = self.heading.iter().map(|&cell| cell.to_owned()).collect();
        let mut text = line(&heading) + "|" + &"---|".repeat(heading.len()) + "\n";
        let before = text.len();
        rows(&list[self.name]).for_each(|row| text += &line(&(self.cells)(row)));
        match text.len() > before {
            true => Ok(text),
            false => Err(format!("the list has no {}", self.name)),
        }
    }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text as a cell.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('|', "\\|")
}

fn code(value: &Value) -> String {
    format!("`{}`", text(value))
}

fn codes(value: &Value) -> String {
    rows(value).map(code).collect::<Vec<_>>().join(", ")
}

fn words(value: &Value) -> String {
    rows(value).map(text).collect::<Vec<_>>().join(", ")
}

/// An option of a probe, with its words or its default.
fn option(option: &Value) -> String {
    let words = rows(&option["values"]).map(text).collect::<Vec<_>>().join("\\|");
    let default = option["default"].as_str().map(|default| format!(" ({default})"));
    let space = if words.is_empty() { "" } else { " " };
    format!(
        "`--{}{space}{words}`{}",
        text(&option["name"]),
        default.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_text_between_the_markers_is_replaced() {
        let list = json!({ "studies": [{ "name": "quick", "question": "A|B?", "seconds": 120 }] });
        let page = "before\n<!-- table: studies -->\nold\n<!-- end -->\nafter\n";
        let new = filled(page, &list).expect("the table is known");
        assert_eq!(
            new,
            "before\n<!-- table: studies -->\n| study | question | takes |\n|---|---|---|\n| `quick` | A\\|B? | 120 s |\n\
             <!-- end -->\nafter\n"
        );
        assert_eq!(filled(&new, &list).as_deref(), Ok(new.as_str()));
    }

    #[test]
    fn a_table_that_is_unknown_empty_or_without_end_is_an_error() {
        let list = json!({ "studies": [] });
        for (page, problem) in [
            ("<!-- table: naps -->\n<!-- end -->", "no table is called naps"),
            ("<!-- table: studies -->\n<!-- end -->", "the list has no studies"),
            ("<!-- table: studies -->\n", "table studies has no end"),
        ] {
            assert_eq!(filled(page, &list), Err(problem.to_owned()));
        }
    }
}
