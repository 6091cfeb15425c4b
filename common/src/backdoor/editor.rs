//! A line that is being edited, the lines before it, and how the client's screen comes to show
//! it. Pure: keys go in, bytes for the screen come out.

use std::collections::VecDeque;

use unicode_width::UnicodeWidthChar;

use super::keys::Key;

/// The longest line, in characters.
const LONGEST: usize = 16 * 1024;

/// So many lines are remembered.
const MOST_REMEMBERED: usize = 200;

/// Columns, until the client tells how many there are.
const USUAL_WIDTH: usize = 80;

/// What a key has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// A line is complete.
    Line(String),
    /// The line, and those before it that belong to it, are dropped.
    Interrupt,
    /// The operator wants to leave.
    Leave,
}

/// The line.
#[derive(Debug)]
pub(super) struct Editor {
    line: Vec<char>,
    /// Where the next character goes.
    cursor: usize,
    prompt: String,
    width: usize,
    /// True iff the screen is ours to draw.
    echoes: bool,
    /// True from a prompt to the end of its line.
    open: bool,
    history: VecDeque<String>,
    /// Which line of the history is shown, and the line that was there before.
    recalled: Option<(usize, Vec<char>)>,
    /// What the screen shows of the line, and in which column its cursor is.
    drawn: String,
    drawn_column: usize,
    output: String,
}

impl Editor {
    pub(super) fn new() -> Editor {
        Editor {
            line: Vec::new(),
            cursor: 0,
            prompt: String::new(),
            width: USUAL_WIDTH,
            echoes: false,
            open: false,
            history: VecDeque::new(),
            recalled: None,
            drawn: String::new(),
            drawn_column: 0,
            output: String::new(),
        }
    }

    pub(super) fn set_echo(&mut self, echoes: bool) {
        self.echoes = echoes;
    }

    pub(super) fn set_width(&mut self, columns: u16) {
        self.width = usize::from(columns);
    }

    /// Begins a new line behind this prompt.
    pub(super) fn prompt(&mut self, prompt: &str) {
        prompt.clone_into(&mut self.prompt);
        self.line.clear();
        self.cursor = 0;
        self.recalled = None;
        self.open = true;
        self.drawn.clear();
        self.output.push_str(prompt);
        self.drawn_column = self.start();
    }

    /// Shows prompt and line again on a new line of the screen.
    pub(super) fn show_again(&mut self) {
        self.output.push_str(&self.prompt);
        self.drawn.clear();
        self.drawn_column = self.start();
        self.draw();
    }

    /// Bytes for the screen, so that it shows what there is.
    pub(super) fn take_output(&mut self) -> String {
        self.draw();
        std::mem::take(&mut self.output)
    }

    /// Takes a key.
    pub(super) fn press(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Char(character) => self.insert(character),
            Key::Enter => return Some(self.enter()),
            Key::Backspace => self.delete(self.cursor.saturating_sub(1), self.cursor),
            Key::Delete => self.delete(self.cursor, self.cursor + 1),
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.line.len()),
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Up => self.recall(true),
            Key::Down => self.recall(false),
            Key::KillToEnd => self.delete(self.cursor, self.line.len()),
            Key::KillToStart => self.delete(0, self.cursor),
            Key::KillWord => self.delete(self.word_left(), self.cursor),
            Key::Clear => {
                if self.echoes {
                    self.output.push_str("\x1b[H\x1b[2J");
                    self.show_again();
                }
            }
            Key::Interrupt => {
                self.finish("^C");
                return Some(Action::Interrupt);
            }
            Key::EndOfFile if self.line.is_empty() => {
                self.finish("");
                return Some(Action::Leave);
            }
            Key::EndOfFile => self.delete(self.cursor, self.cursor + 1),
        }
        None
    }

    fn insert(&mut self, character: char) {
        if self.line.len() < LONGEST {
            self.line.insert(self.cursor, character);
            self.cursor += 1;
        }
    }

    fn delete(&mut self, from: usize, to: usize) {
        let to = to.min(self.line.len());
        if from < to {
            self.line.drain(from..to);
            self.cursor = from;
        }
    }

    fn enter(&mut self) -> Action {
        self.cursor = self.line.len();
        self.finish("");
        let line: String = std::mem::take(&mut self.line).into_iter().collect();
        self.cursor = 0;
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            if self.history.len() == MOST_REMEMBERED {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        Action::Line(line)
    }

    /// Leaves the line as it is on the screen and goes to the next one.
    fn finish(&mut self, mark: &str) {
        self.draw();
        if self.echoes {
            self.output.push_str(mark);
            self.output.push('\n');
        }
        self.open = false;
    }

    fn recall(&mut self, earlier: bool) {
        let shown = self.recalled.as_ref().map(|(index, _)| *index);
        let next = match (shown, earlier) {
            (None, true) => self.history.len().checked_sub(1),
            (None, false) => return,
            (Some(index), true) => index.checked_sub(1),
            (Some(index), false) => Some(index + 1),
        };
        let Some(next) = next else { return };
        match self.history.get(next) {
            Some(line) => {
                let line: Vec<char> = line.chars().collect();
                let before = std::mem::replace(&mut self.line, line);
                let first = self.recalled.take().map_or(before, |(_, first)| first);
                self.recalled = Some((next, first));
            }
            // Past the last one is the line that was begun.
            None => {
                if let Some((_, first)) = self.recalled.take() {
                    self.line = first;
                }
            }
        }
        self.cursor = self.line.len();
    }

    fn word_left(&self) -> usize {
        let is_word = |index: usize| self.line[index].is_alphanumeric() || self.line[index] == '_';
        let mut at = self.cursor;
        while at > 0 && !is_word(at - 1) {
            at -= 1;
        }
        while at > 0 && is_word(at - 1) {
            at -= 1;
        }
        at
    }

    fn word_right(&self) -> usize {
        let is_word = |index: usize| self.line[index].is_alphanumeric() || self.line[index] == '_';
        let mut at = self.cursor;
        while at < self.line.len() && !is_word(at) {
            at += 1;
        }
        while at < self.line.len() && is_word(at) {
            at += 1;
        }
        at
    }

    /// The column in which the line begins.
    fn start(&self) -> usize {
        self.prompt.chars().map(columns).sum()
    }

    /// Has the screen show the line, or, where there is no room for all of it, what is around
    /// the cursor. One column is left free: a full line would wrap.
    fn draw(&mut self) {
        if !self.echoes || !self.open {
            return;
        }
        let start = self.start();
        let room = self.width.saturating_sub(start + 1).max(1);
        let mut first = self.cursor;
        let mut before = 0;
        while first > 0 && before + columns(self.line[first - 1]) <= room {
            first -= 1;
            before += columns(self.line[first]);
        }
        let mut shown: String = self.line[first..self.cursor].iter().collect();
        let mut used = before;
        for &character in &self.line[self.cursor..] {
            used += columns(character);
            if used > room {
                break;
            }
            shown.push(character);
        }
        let column = start + before;
        if shown == self.drawn && column == self.drawn_column {
            return;
        }
        let drawn_end = start + self.drawn.chars().map(columns).sum::<usize>();
        match shown.strip_prefix(&self.drawn) {
            // Typed at the end: the screen needs nothing but that.
            Some(new) if self.drawn_column == drawn_end && self.cursor == self.line.len() => {
                self.output.push_str(new);
            }
            _ => {
                self.output.push('\r');
                self.output.push_str(&self.prompt);
                self.output.push_str(&shown);
                self.output.push_str("\x1b[K\r");
                if column > 0 {
                    self.output.push_str(&format!("\x1b[{column}C"));
                }
            }
        }
        self.drawn = shown;
        self.drawn_column = column;
    }
}

/// How many columns a character takes.
fn columns(character: char) -> usize {
    character.width().unwrap_or(0)
}

#[cfg(test)]
#[path = "editor/tests.rs"]
mod tests;
