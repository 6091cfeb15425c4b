//! The line editor against tables, and against a screen that does what terminals do.

use super::*;
use crate::backdoor::keys::Keys;
use proptest::prelude::*;

fn editor() -> Editor {
    let mut editor = Editor::new();
    editor.set_echo(true);
    editor.prompt("> ");
    editor
}

/// Types bytes; gives the actions and what the screen gets.
fn type_in(editor: &mut Editor, bytes: &[u8]) -> (Vec<Action>, String) {
    let mut keys = Keys::new();
    let (mut actions, mut output) = (Vec::new(), String::new());
    for &byte in bytes {
        if let Some(key) = keys.take(byte) {
            actions.extend(editor.press(key));
            output.push_str(&editor.take_output());
        }
    }
    (actions, output)
}

#[test]
fn keys_edit_the_line() {
    let table: &[(&str, &str)] = &[
        ("abc", "abc"),
        ("abc\x7f\x08d", "ad"),
        ("abc\x1b[D\x1b[DX", "aXbc"),
        ("abc\x1b[DX\x1b[C\x1b[C\x1b[CY", "abXcY"),
        ("abc\x01X\x05Y", "XabcY"),
        ("abc\x1b[HX\x1b[FY", "XabcY"),
        ("abc\x1b[H\x1b[3~\x1b[3~", "c"),
        ("abc\x1b[H\x04", "bc"),
        ("abc\x1b[D\x0b", "ab"),
        ("abc\x1b[D\x15", "c"),
        ("let a = 3\x17", "let a = "),
        ("let a = \x17x", "let x"),
        ("one two three\x1b[1;5D\x1b[1;5DX", "one Xtwo three"),
        ("one two\x01\x1b[1;5CX", "oneX two"),
        ("ä€😀\x7f\x1b[D\x7f", "€"),
        ("\x7f\x1b[D\x1b[3~\x15\x0b\x17a", "a"),
        ("a\x0cb", "ab"),
    ];
    for (typed, line) in table {
        let typed = format!("{typed}\n");
        let (actions, _) = type_in(&mut editor(), typed.as_bytes());
        assert_eq!(actions, [Action::Line((*line).to_owned())], "{typed:?}");
    }
}

#[test]
fn the_history_goes_up_and_down_and_the_begun_line_is_kept() {
    let (up, down) = ("\x1b[A", "\x1b[B");
    let table = [
        (up.to_owned(), "two"),
        (format!("{up}{up}"), "one"),
        (format!("{up}{up}{up}{up}"), "one"),
        (format!("{up}{up}{down}"), "two"),
        (format!("begun{up}{up}{down}{down}{down}"), "begun"),
        (format!("{up}{up}X"), "oneX"),
        (format!("{down}a"), "a"),
    ];
    for (typed, line) in table {
        let mut editor = editor();
        // What is empty or the same again is not remembered.
        type_in(&mut editor, b"one\n\n  \none\ntwo\ntwo\n");
        let (actions, _) = type_in(&mut editor, format!("{typed}\n").as_bytes());
        assert_eq!(actions, [Action::Line(line.to_owned())], "{typed:?}");
    }
}

#[test]
fn control_c_drops_the_line_and_control_d_leaves_an_empty_one() {
    let mut editor = editor();
    let (actions, output) = type_in(&mut editor, b"ab\x03");
    assert_eq!(actions, [Action::Interrupt]);
    assert!(output.ends_with("ab^C\n"), "{output:?}");
    editor.prompt("> ");
    let (actions, _) = type_in(&mut editor, b"a\x04\x7f\x04");
    assert_eq!(actions, [Action::Leave]);
}

#[test]
fn what_is_typed_at_the_end_costs_no_more_than_itself() {
    let mut editor = editor();
    assert_eq!(editor.take_output(), "> ");
    let (_, output) = type_in(&mut editor, "aä\n".as_bytes());
    assert_eq!(output, "aä\n");
}

#[test]
fn without_echo_nothing_is_shown_but_the_prompt() {
    let mut editor = Editor::new();
    editor.prompt("> ");
    let (actions, output) = type_in(&mut editor, b"abc\x1b[D\x0cX\n");
    assert_eq!(actions, [Action::Line("abXc".to_owned())]);
    assert_eq!(output, "> ");
}

#[test]
fn a_line_has_an_end() {
    let mut editor = editor();
    let typed = vec![b'a'; LONGEST + 100];
    type_in(&mut editor, &typed);
    assert_eq!(editor.line.len(), LONGEST);
}

/// One row of a terminal.
#[derive(Default)]
struct Screen {
    row: Vec<char>,
    column: usize,
}

impl Screen {
    fn show(&mut self, output: &str) {
        let mut characters = output.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => *self = Screen::default(),
                '\x1b' => {
                    let sequence: String = characters
                        .by_ref()
                        .take_while(|c| !c.is_ascii_alphabetic())
                        .collect();
                    // `take_while` has eaten the letter: K has no number, C has.
                    match sequence.trim_start_matches('[').parse::<usize>() {
                        Ok(columns) => self.column += columns,
                        Err(_) => self.row.truncate(self.column),
                    }
                }
                character => {
                    self.row.resize(self.row.len().max(self.column + 1), ' ');
                    self.row[self.column] = character;
                    self.column += 1;
                }
            }
        }
    }

    fn text(&self) -> String {
        self.row.iter().collect()
    }
}

#[test]
fn a_long_line_is_shown_around_the_cursor() {
    let (mut editor, mut screen) = (editor(), Screen::default());
    editor.set_width(10);
    screen.show(&editor.take_output());
    // (typed, what is on the screen, the cursor's column)
    let table = [
        ("abcdefg", "> abcdefg", 9),
        ("hij", "> defghij", 9),
        ("\x1b[D\x1b[D", "> bcdefgh", 9),
        ("\x01", "> abcdefg", 2),
        ("X", "> Xabcdef", 3),
        ("\x05\x7f", "> cdefghi", 9),
        ("\x15", "> ", 2),
    ];
    for (typed, shown, column) in table {
        let (_, output) = type_in(&mut editor, typed.as_bytes());
        screen.show(&output);
        assert_eq!(screen.text(), shown, "{typed:?}");
        assert_eq!(screen.column, column, "{typed:?}");
    }
}

proptest! {
    #[test]
    fn the_screen_shows_the_line_whatever_is_typed(
        typed in prop::collection::vec(
            prop_oneof![
                4 => "[ -~]".prop_map(String::into_bytes),
                3 => prop::sample::select(vec![
                    "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f",
                    "\x01", "\x05", "\x0b", "\x15", "\x17", "\x1bb", "\x1bf",
                ]).prop_map(|text| text.as_bytes().to_vec()),
                1 => prop::collection::vec(any::<u8>().prop_filter("a screen's row", |byte| {
                    !matches!(byte, b'\n' | b'\r' | 0x03 | 0x04 | 0x0c) && *byte < 0x80
                }), 1..4),
            ],
            0..60,
        ),
        width in 1_u16..40,
    ) {
        let (mut editor, mut screen) = (editor(), Screen::default());
        editor.set_width(width);
        screen.show(&editor.take_output());
        for bytes in typed {
            let (_, output) = type_in(&mut editor, &bytes);
            screen.show(&output);
            let shown = screen.text();
            prop_assert!(shown.starts_with("> "));
            let shown = shown[2..].trim_end();
            let line: String = editor.line.iter().collect();
            prop_assert!(line.contains(shown), "{:?} {:?}", line, shown);
            prop_assert!(editor.cursor <= editor.line.len());
            if usize::from(width) > line.len() + 3 {
                prop_assert_eq!(shown, line.trim_end());
                prop_assert_eq!(screen.column, 2 + editor.cursor);
            }
        }
    }
}
