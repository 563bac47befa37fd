//! The report in a browser: headless Chromium, 400 and 1,400 pixels wide, light and dark.
//!
//! The page itself holds no script and forbids every request. A harness page puts it into a frame of the wanted width and
//! looks at it from outside: how wide it is, how large and how distinct its text, which figures are seen. Without Chromium
//! the test prints that it was skipped; `C10K_REQUIRE=all` makes that a failure.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use c10k_testkit::required::is_required;
use serde_json::Value;

const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Examines the framed page and puts what it finds into the harness page as one JSON object.
const PROBE: &str = r#"
const frame = document.querySelector('iframe');
const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const channels = text => (text.match(/[\d.]+/g) || []).map(Number);
frame.onload = () => {
  const view = frame.contentWindow, page = frame.contentDocument;
  const seen = element => element.getClientRects().length > 0;
  const background = element => {
    for (let at = element; at; at = at.parentElement) {
      const c = channels(view.getComputedStyle(at).backgroundColor);
      if (c.length && (c.length < 4 || c[3] > 0)) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const small = [], pale = [];
  let texts = 0;
  for (const element of page.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !seen(element)) continue;
    texts++;
    const style = view.getComputedStyle(element), svg = element.ownerSVGElement;
    const scale = svg ? svg.getScreenCTM().a : 1;
    const size = parseFloat(style.fontSize) * scale;
    const ink = luminance(channels(svg ? style.fill : style.color)), paper = luminance(background(element));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    const name = element.textContent.trim().slice(0, 30);
    if (size < 11) small.push(name + ': ' + size.toFixed(1));
    if (contrast < 4.5) pale.push(name + ': ' + contrast.toFixed(2));
  }
  const overlap = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const overlapping = [], clipped = [];
  for (const svg of [...page.querySelectorAll('figure svg')].filter(seen)) {
    const all = svg.getBoundingClientRect();
    const labels = [...svg.querySelectorAll('text')].map(t => [t.textContent.trim(), t.getBoundingClientRect()]);
    labels.forEach(([name, box], index) => {
      const inside = box.left > all.left - 1 && box.right < all.right + 1 && box.top > all.top - 1 && box.bottom < all.bottom + 1;
      if (!inside) clipped.push(name);
      for (const [other, its] of labels.slice(index + 1)) if (overlap(box, its)) overlapping.push(name + ' / ' + other);
    });
  }
  const figures = [...page.querySelectorAll('figure')];
  document.querySelector('pre').textContent = JSON.stringify({
    width: view.innerWidth,
    dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    page: page.documentElement.scrollWidth,
    sideways: [...page.querySelectorAll('.claim .scroll')].filter(e => e.scrollWidth > e.clientWidth).length,
    texts, small, pale, overlapping, clipped,
    figures: figures.length,
    drawn: figures.filter(f => [...f.querySelectorAll('svg')].filter(seen)
      .filter(s => s.getBoundingClientRect().height > 100 && s.querySelectorAll('text').length > 4).length === 1).length,
    height: page.documentElement.scrollHeight,
  });
};
"#;

fn browser() -> Option<&'static str> {
    let there = |name: &&&str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let found = BROWSERS.iter().find(there).copied();
    if found.is_none() {
        assert!(
            !is_required(&["chromium"]),
            "a browser is required (C10K_REQUIRE): install chromium"
        );
        eprintln!("skipped: no browser ({})", BROWSERS.join(", "));
    }
    found
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/a")
}

/// The manifest of the recorded study, of which a claim also names cells of the guest's tables.
fn manifest() -> String {
    let text = fs::read_to_string(recorded().join("manifest.json")).expect("the recorded study is whole");
    let mut manifest: Value = serde_json::from_str(&text).expect("it is JSON");
    let experiment = manifest["experiment"].as_str().expect("the experiment is a text");
    let claim = experiment.find("id = \"scanning-grows\"").expect("the claim is there");
    let end = claim + experiment[claim..].find("\n\n").expect("something follows") + 1;
    let cells = |name: &str| {
        let cell = |idle| format!("\"event-loop/{name} idle={idle} connection=new\"");
        format!("cells.{name} = [[{}, {}]]\n", cell(0), cell(2000))
    };
    let exact = format!(
        "[claim.exact]\ntable = \"vm/request-cost\"\n{}{}why = \"A request on a connection of its own.\"\n",
        cells("select"),
        cells("poll")
    );
    manifest["experiment"] = format!("{}{exact}{}", &experiment[..end], &experiment[end..]).into();
    manifest.to_string()
}

/// Draws the report of the recorded study into a folder of its own.
fn drawn(folder: &Path) -> String {
    fs::write(folder.join("manifest.json"), manifest()).expect("it can be written");
    for name in ["records.ndjson", "calls.ndjson"] {
        fs::copy(recorded().join(name), folder.join(name)).expect("the recorded study is whole");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_c10k"))
        .arg("report")
        .arg(folder)
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(folder.join("report.html")).expect("the page is there")
}

/// Shows a page in a frame of `width` pixels and returns what the probe found and the lines of the browser's console.
fn look(browser: &str, folder: &Path, page: &str, width: u32, scheme: &str) -> (Value, Vec<String>) {
    let mut harness = String::from("<!doctype html><meta charset=utf-8><body style=\"margin:0\"><pre></pre>");
    let _ = write!(
        harness,
        "<iframe style=\"width:{width}px;height:2000px;border:0\"></iframe><script>{PROBE}\nframe.srcdoc = {};</script>",
        // In a script, JSON is a string literal, and `</script` must not end it.
        serde_json::to_string(page)
            .expect("a string is JSON")
            .replace("</", "<\\/")
    );
    let file = folder.join(format!("harness-{width}-{scheme}.html"));
    fs::write(&file, harness).expect("it can be written");
    let profile = folder.join(format!("profile-{width}-{scheme}"));
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"])
        // Every network request goes to a port on which nothing listens.
        .args([
            "--proxy-server=127.0.0.1:9",
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .arg(match scheme {
            "dark" => "--blink-settings=preferredColorScheme=0",
            _ => "--blink-settings=preferredColorScheme=1",
        })
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = dom
        .split_once("<pre>")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(found, _)| found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .unwrap_or_default();
    let found =
        serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: the probe found '{found}'; {printed}"));
    let console = printed
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .map(str::to_owned);
    (found, console.collect())
}

#[test]
fn the_report_is_readable_on_a_phone_and_on_a_desk_in_light_and_dark_and_asks_nobody() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let page = drawn(folder.path());
    assert!(page.contains("default-src 'none'"), "the page forbids every request");
    assert_eq!(
        page.matches(">exact, instructions</th>").count(),
        1,
        "one claim has cells of the guest"
    );
    let figures = page.matches("<figure>").count();
    assert!(figures >= 3, "the recorded study has its figures");
    for (width, scheme) in [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")] {
        let (found, console) = look(browser, folder.path(), &page, width, scheme);
        let context = format!("{width} px, {scheme}: {found}");
        assert!(console.is_empty(), "{context}: {console:?}");
        assert_eq!(found["width"], width, "{context}");
        assert_eq!(found["dark"], scheme == "dark", "{context}");
        assert!(
            found["page"].as_u64() <= Some(u64::from(width)),
            "wider than its frame: {context}"
        );
        assert_eq!(found["sideways"], 0, "a verdict table has to be scrolled: {context}");
        assert!(found["texts"].as_u64() > Some(100), "{context}");
        assert_eq!(found["small"], serde_json::json!([]), "text below 11 px: {context}");
        assert_eq!(found["pale"], serde_json::json!([]), "contrast below 4.5: {context}");
        assert_eq!(found["overlapping"], serde_json::json!([]), "labels overlap: {context}");
        assert_eq!(found["clipped"], serde_json::json!([]), "labels are cut off: {context}");
        assert_eq!(found["figures"], figures, "{context}");
        assert_eq!(found["drawn"], figures, "a figure is missing or empty: {context}");
    }
}

/// Checks that the probe of the test above finds a network request and a page that is too wide.
#[test]
fn the_probe_sees_a_request_a_wide_page_pale_text_and_labels_that_overlap_or_are_cut_off() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let page = "<!doctype html><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
                'unsafe-inline'\"><style>p { width: 900px; color: #ccc; font-size: 8px }</style><p>pale \
                <img src=\"http://127.0.0.1:9/x.png\"><figure><svg width=100 height=50><text x=10 y=20>one</text>\
                <text x=12 y=22>two</text><text x=80 y=45>outside</text></svg></figure>";
    let (found, console) = look(browser, folder.path(), page, 400, "light");
    assert!(console.iter().any(|line| line.contains("x.png")), "{console:?}");
    assert!(found["page"].as_u64() > Some(400), "{found}");
    assert_eq!(found["small"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["pale"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["overlapping"], serde_json::json!(["one / two"]), "{found}");
    assert_eq!(found["clipped"], serde_json::json!(["outside"]), "{found}");
}
