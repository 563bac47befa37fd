//! The viewer's output as a table on the terminal, which is left as it was.

use std::io::stdout;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};

use super::Until;
use super::client::Watcher;
use super::host::{Host, Link};
use super::table;
use crate::{MonitorError, Stop};

/// The longest time from a key to its effect, and from one drawing to the next.
const REFRESH: Duration = Duration::from_millis(100);

/// Shows the table until the stop is requested, enough samples have come, or `q` or Ctrl-C is pressed.
///
/// # Errors
/// [`MonitorError::Terminal`] if standard output is no terminal that can be used, [`MonitorError::Wait`] if epoll fails.
pub fn screen(watcher: &mut Watcher, until: Until, stop: &Stop) -> Result<(), MonitorError> {
    let failed = |cause| MonitorError::Terminal { cause };
    let mut terminal = ratatui::try_init().map_err(failed)?;
    show_cursor_in_panics();
    let _restored = Restored;
    let mut first = 0;
    let mut drawn: Option<Instant> = None;
    while !stop.is_requested() && !until.is_over(watcher.samples()) {
        let mut is_due = drawn.is_none_or(|drawn| drawn.elapsed() >= REFRESH);
        while event::poll(Duration::ZERO).map_err(failed)? {
            match command(&event::read().map_err(failed)?) {
                Command::End => return Ok(()),
                Command::Scroll(by) => first = scrolled(first, by, watcher.hosts().len()),
                Command::Draw => {}
                Command::None => continue,
            }
            is_due = true;
        }
        if is_due {
            let now = Instant::now();
            terminal
                .draw(|frame| draw(frame, watcher.hosts(), first, now))
                .map_err(failed)?;
            drawn = Some(now);
        }
        watcher.turn(REFRESH)?;
    }
    Ok(())
}

/// The hook that ratatui has installed restores modes and screen before a panic is reported, but not the cursor, which is shown only
/// when the terminal is dropped.
fn show_cursor_in_panics() {
    let restore = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = execute!(stdout(), Show);
        restore(panic);
    }));
}

/// Restores the terminal when it is dropped.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = ratatui::try_restore();
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    End,
    /// So many hosts down, or up if negative.
    Scroll(isize),
    Draw,
    None,
}

fn command(event: &Event) -> Command {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => Command::None,
        Event::Key(KeyEvent { code, modifiers, .. }) => match code {
            KeyCode::Char('q') | KeyCode::Esc => Command::End,
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Command::End,
            KeyCode::Down => Command::Scroll(1),
            KeyCode::Up => Command::Scroll(-1),
            KeyCode::PageDown => Command::Scroll(10),
            KeyCode::PageUp => Command::Scroll(-10),
            _ => Command::None,
        },
        Event::Resize(..) => Command::Draw,
        _ => Command::None,
    }
}

fn scrolled(first: usize, by: isize, hosts: usize) -> usize {
    first.saturating_add_signed(by).min(hosts.saturating_sub(1))
}

fn draw(frame: &mut Frame<'_>, hosts: &[Host], first: usize, now: Instant) {
    let [summary, body, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Line::from(summary_of(hosts)), summary);
    let heading = Line::styled(table::heading_line(), Style::new().add_modifier(Modifier::REVERSED));
    let rows = hosts.iter().skip(first).map(|host| {
        let style = match host.link {
            Link::Connected => Style::new(),
            Link::Connecting | Link::Lost(_) => Style::new().add_modifier(Modifier::DIM),
        };
        Line::styled(table::screen_line(host, now), style)
    });
    // No more than fit, however many there are.
    let lines: Vec<Line<'_>> = std::iter::once(heading).chain(rows).take(body.height.into()).collect();
    frame.render_widget(Text::from(lines), body);
    frame.render_widget(Line::from("q ends, arrows scroll; rates are bytes a second"), keys);
}

fn summary_of(hosts: &[Host]) -> String {
    let connected = hosts.iter().filter(|host| host.link == Link::Connected).count();
    format!("c10k monitor: {connected} of {} hosts connected", hosts.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::{MonitorLoad, MonitorSample};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(hosts: &[Host], first: usize, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
        terminal
            .draw(|frame| draw(frame, hosts, first, Instant::now()))
            .expect("memory");
        let buffer = terminal.backend().buffer();
        let text = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| text(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_host_is_a_row_and_a_reason_has_the_rest_of_it() {
        let now = Instant::now();
        let mut one = Host::new("one", ([127, 0, 0, 1], 1).into(), now);
        one.connecting(now);
        one.connected(now);
        let load = Some(MonitorLoad {
            load_1: 0.25,
            ..MonitorLoad::default()
        });
        one.sampled(
            MonitorSample {
                load,
                ..MonitorSample::default()
            },
            now,
        );
        let mut two = Host::new("two", ([127, 0, 0, 1], 2).into(), now);
        two.lost("connection refused".to_owned(), now);
        let lines = drawn(&[one, two], 0, 80, 6);
        assert_eq!(lines[0], "c10k monitor: 1 of 2 hosts connected");
        assert!(lines[1].starts_with("HOST ") && lines[1].contains("STATE"), "{lines:?}");
        assert!(lines[2].starts_with("one ") && lines[2].contains(" 0.25 ") && lines[2].ends_with("connected"));
        assert!(
            lines[3].starts_with("two ") && lines[3].ends_with("lost: connection refused"),
            "{lines:?}"
        );
        assert!(lines[5].starts_with("q ends"));
    }

    #[test]
    fn hosts_that_do_not_fit_are_reached_by_scrolling() {
        let now = Instant::now();
        let host = |number: u16| Host::new(&format!("h{number:03}"), ([127, 0, 0, 1], number).into(), now);
        let hosts: Vec<Host> = (0..100).map(host).collect();
        assert!(drawn(&hosts, 0, 80, 24)[2].starts_with("h000"));
        let first = scrolled(0, 40, hosts.len());
        assert!(drawn(&hosts, first, 80, 24)[2].starts_with("h040"));
        assert_eq!(
            (scrolled(95, 10, 100), scrolled(3, -10, 100), scrolled(0, 1, 0)),
            (99, 0, 0)
        );
        // A terminal without room for anything is no reason to panic.
        drop(drawn(&hosts, 0, 1, 1));
    }

    #[test]
    fn q_and_control_c_end_the_viewer() {
        let key = |code, modifiers| command(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Command::End);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Command::End);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Command::None);
        assert_eq!(key(KeyCode::Down, KeyModifiers::NONE), Command::Scroll(1));
        assert_eq!(command(&Event::Resize(80, 24)), Command::Draw);
    }
}
