//! Which key was pressed: bytes of text and of escape sequences turn into keys. Pure.

/// A key, by what it does to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A character of the line.
    Char(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    /// The line before in the history.
    Up,
    /// The one after.
    Down,
    /// Deletes from here to the end.
    KillToEnd,
    /// Deletes all before here.
    KillToStart,
    /// Deletes the word before here.
    KillWord,
    /// A clean screen.
    Clear,
    /// Drops the line.
    Interrupt,
    /// Leaves, if the line is empty; else deletes.
    EndOfFile,
}

/// A longer escape sequence is nonsense.
const LONGEST_SEQUENCE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    /// After `ESC [`: numbers, then a letter.
    Sequence,
    /// After `ESC O`: a letter.
    Single,
}

/// Reads keys.
#[derive(Debug)]
pub(super) struct Keys {
    state: State,
    sequence: Vec<u8>,
    /// What has come of a character of several bytes, and how many it has.
    character: Vec<u8>,
    length: usize,
}

impl Keys {
    pub(super) fn new() -> Keys {
        Keys {
            state: State::Text,
            sequence: Vec::new(),
            character: Vec::new(),
            length: 0,
        }
    }

    /// Takes a byte.
    pub(super) fn take(&mut self, byte: u8) -> Option<Key> {
        match self.state {
            State::Text => self.text(byte),
            State::Escape => {
                self.state = State::Text;
                match byte {
                    b'[' => {
                        self.sequence.clear();
                        self.state = State::Sequence;
                        None
                    }
                    b'O' => {
                        self.state = State::Single;
                        None
                    }
                    // With Alt, as shells have it.
                    b'b' => Some(Key::WordLeft),
                    b'f' => Some(Key::WordRight),
                    0x7f | 0x08 => Some(Key::KillWord),
                    0x1b => {
                        self.state = State::Escape;
                        None
                    }
                    // A lone Escape, and then something that counts for itself.
                    b'\n' | 0x03 | 0x04 => self.text(byte),
                    _ => None,
                }
            }
            State::Single => {
                self.state = State::Text;
                letter(byte, false)
            }
            State::Sequence => match byte {
                b'0'..=b'9' | b';' | b' '..=b'/' | b':'..=b'?' => {
                    if self.sequence.len() < LONGEST_SEQUENCE {
                        self.sequence.push(byte);
                    }
                    None
                }
                b'~' => {
                    self.state = State::Text;
                    match self.sequence.split(|byte| *byte == b';').next() {
                        Some(b"1" | b"7") => Some(Key::Home),
                        Some(b"4" | b"8") => Some(Key::End),
                        Some(b"3") => Some(Key::Delete),
                        _ => None,
                    }
                }
                b'@'..=b'}' => {
                    self.state = State::Text;
                    // With Control or Alt the cursor goes by words.
                    let by_word = self.sequence.ends_with(b";5") || self.sequence.ends_with(b";3");
                    letter(byte, by_word)
                }
                // No part of a sequence: it was none.
                _ => {
                    self.state = State::Text;
                    self.text(byte)
                }
            },
        }
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        if self.length > 0 {
            if byte & 0xc0 == 0x80 {
                self.character.push(byte);
                if self.character.len() < self.length {
                    return None;
                }
                return self.character_end();
            }
            // It broke off; what comes now counts for itself.
            self.character.clear();
            self.length = 0;
        }
        Some(match byte {
            b'\n' | b'\r' => Key::Enter,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOfFile,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            0x0b => Key::KillToEnd,
            0x0c => Key::Clear,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            // Scripts that are pasted may be indented so.
            b'\t' => Key::Char(' '),
            0x00..=0x1f => return None,
            0x20..=0x7e => Key::Char(char::from(byte)),
            0xc2..=0xf4 => {
                self.length = match byte {
                    0xc2..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                self.character.clear();
                self.character.push(byte);
                return None;
            }
            // No UTF-8.
            _ => return None,
        })
    }

    fn character_end(&mut self) -> Option<Key> {
        self.length = 0;
        let text = std::str::from_utf8(&self.character).ok();
        let character = text.and_then(|text| text.chars().next());
        self.character.clear();
        character
            .filter(|character| !character.is_control())
            .map(Key::Char)
    }
}

/// The key of a sequence that ends with a letter.
fn letter(byte: u8, by_word: bool) -> Option<Key> {
    Some(match (byte, by_word) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', false) => Key::Right,
        (b'C', true) => Key::WordRight,
        (b'D', false) => Key::Left,
        (b'D', true) => Key::WordLeft,
        (b'H', _) => Key::Home,
        (b'F', _) => Key::End,
        // Enter of a keypad.
        (b'M', _) => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::new();
        bytes.iter().filter_map(|&byte| keys.take(byte)).collect()
    }

    #[test]
    fn bytes_are_keys() {
        use Key::*;
        let table: &[(&[u8], &[Key])] = &[
            (b"a~ ", &[Char('a'), Char('~'), Char(' ')]),
            ("ä€😀".as_bytes(), &[Char('ä'), Char('€'), Char('😀')]),
            (b"\x1b[A\x1b[B\x1b[C\x1b[D", &[Up, Down, Right, Left]),
            (b"\x1bOA\x1bOB\x1bOC\x1bOD", &[Up, Down, Right, Left]),
            (b"\x1b[H\x1b[F\x1bOH\x1bOF", &[Home, End, Home, End]),
            (
                b"\x1b[1~\x1b[7~\x1b[4~\x1b[8~\x1b[3~",
                &[Home, Home, End, End, Delete],
            ),
            (
                b"\x1b[1;5C\x1b[1;3D\x1bb\x1bf",
                &[WordRight, WordLeft, WordLeft, WordRight],
            ),
            (b"\x7f\x08\x1b\x7f", &[Backspace, Backspace, KillWord]),
            (
                b"\x01\x05\x0b\x15\x17\x0c",
                &[Home, End, KillToEnd, KillToStart, KillWord, Clear],
            ),
            (b"\x03\x04\n", &[Interrupt, EndOfFile, Enter]),
            // Unknown sequences, and a lone Escape, leave nothing.
            (
                b"\x1b[15~\x1b[200~a\x1b[201~\x1b[Za",
                &[Char('a'), Char('a')],
            ),
            (b"\x1b\x1b[Aa\x1bxb", &[Up, Char('a'), Char('b')]),
            (b"\x1b\x03\x1b[1\x03", &[Interrupt, Interrupt]),
            // No UTF-8: what is good is taken.
            (b"\xc3a\xff\x80b\xe2\x82\n", &[Char('a'), Char('b'), Enter]),
            (b"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80a", &[Char('a')]),
            (b"\xc2\x9b", &[]),
            (b"\0\x1ca", &[Char('a')]),
        ];
        for (bytes, expected) in table {
            assert_eq!(keys(bytes), *expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let all = keys(&bytes);
            prop_assert!(all.len() <= bytes.len());
            let no_control = |key: &Key| !matches!(key, Key::Char(c) if c.is_control());
            prop_assert!(all.iter().all(no_control));
        }

        #[test]
        fn text_is_itself(text in "\\PC{0,50}") {
            let expected: Vec<Key> = text.chars().map(Key::Char).collect();
            prop_assert_eq!(keys(text.as_bytes()), expected);
        }
    }
}
