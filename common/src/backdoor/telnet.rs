//! The telnet protocol (RFC 854, 855, 857, 858, 1073, 1143), our side of it: what comes in turns
//! into characters and signals, and into answers that never lead to a loop. Pure.
//!
//! A client that answers nothing (`nc`) sends lines and shows them itself: until it has agreed
//! that we do, nothing is echoed.

use std::collections::HashSet;
use std::mem::{replace, take};

/// Begins a command.
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
/// Begins and ends a negotiation about details.
const SB: u8 = 250;
const SE: u8 = 240;
const ERASE_LINE: u8 = 248;
const ERASE_CHARACTER: u8 = 247;
const ARE_YOU_THERE: u8 = 246;
const ABORT_OUTPUT: u8 = 245;
const INTERRUPT_PROCESS: u8 = 244;
const BREAK: u8 = 243;
const ABORT: u8 = 238;
const END_OF_FILE: u8 = 236;

/// Options: we show what is typed, nobody says whose turn it is, the size of the window.
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const WINDOW_SIZE: u8 = 31;

/// "Say when you have come to this": every time it has to be answered anew (RFC 860).
const TIMING_MARK: u8 = 6;

/// So much of a negotiation about details is kept: a window's size has five bytes.
const MOST_DETAILS: usize = 16;

/// What is said first: we echo, character by character, and would like to know the width.
pub(super) const GREETING: [u8; 9] = [
    IAC,
    WILL,
    ECHO,
    IAC,
    WILL,
    SUPPRESS_GO_AHEAD,
    IAC,
    DO,
    WINDOW_SIZE,
];

/// What a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A byte of text. Enter is a `\n`, whatever the client sends for it.
    Byte(u8),
    /// Stop what is running, drop the line.
    Interrupt,
    /// Show no more of what is running.
    AbortOutput,
    /// Say that you are alive.
    AreYouThere,
    /// The window has so many columns now.
    Width(u16),
}

/// Where we are in what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After a carriage return, which may have a companion.
    Return,
    Command,
    /// After WILL, WONT, DO or DONT.
    Option(u8),
    Details,
    /// After an IAC among details.
    DetailsCommand,
}

/// One client's side of the protocol.
#[derive(Debug)]
pub(super) struct Telnet {
    state: State,
    details: Vec<u8>,
    answers: Vec<u8>,
    /// True iff the client has agreed that we show what is typed.
    echoes: bool,
    /// True iff the client has agreed to send characters as they are typed.
    by_character: bool,
    /// True iff the client tells the size of its window.
    tells_size: bool,
    /// True iff the client does not say either whose turn it is.
    suppresses: bool,
    /// What we do not have, and have said so, by the client's verb and the option.
    refused: HashSet<(u8, u8)>,
    /// True iff it has sent any command: it is no plain connection.
    speaks: bool,
}

impl Telnet {
    pub(super) fn new() -> Telnet {
        Telnet {
            state: State::Text,
            details: Vec::new(),
            answers: Vec::new(),
            echoes: false,
            by_character: false,
            tells_size: false,
            suppresses: false,
            refused: HashSet::new(),
            speaks: false,
        }
    }

    /// True iff what is typed has to be shown by us.
    pub(super) fn echoes(&self) -> bool {
        self.echoes
    }

    /// True iff the client speaks telnet: lines end with CR LF, and it never closes half of the
    /// connection.
    pub(super) fn speaks(&self) -> bool {
        self.speaks
    }

    /// What is to be sent to the client because of what it has sent.
    pub(super) fn take_answers(&mut self) -> Vec<u8> {
        take(&mut self.answers)
    }

    /// Takes a byte.
    pub(super) fn take(&mut self, byte: u8) -> Option<Event> {
        match (self.state, byte) {
            // CR LF, CR NUL and CR alone are all Enter.
            (State::Return, b'\n' | 0) => {
                self.state = State::Text;
                None
            }
            (State::Text | State::Return, IAC) => {
                self.state = State::Command;
                None
            }
            (State::Text | State::Return, b'\r') => {
                self.state = State::Return;
                Some(Event::Byte(b'\n'))
            }
            (State::Text | State::Return, byte) => {
                self.state = State::Text;
                Some(Event::Byte(byte))
            }
            (State::Command, command) => self.command(command),
            (State::Option(verb), option) => {
                self.state = State::Text;
                self.negotiate(verb, option);
                None
            }
            (State::Details, IAC) => {
                self.state = State::DetailsCommand;
                None
            }
            (State::Details, byte) => {
                self.detail(byte);
                None
            }
            (State::DetailsCommand, IAC) => {
                self.state = State::Details;
                self.detail(IAC);
                None
            }
            (State::DetailsCommand, SE) => {
                self.state = State::Text;
                self.details_end()
            }
            // Its end is missing: what follows is a command of its own.
            (State::DetailsCommand, command) => self.command(command),
        }
    }

    fn command(&mut self, command: u8) -> Option<Event> {
        self.state = State::Text;
        self.speaks |= command != IAC;
        match command {
            IAC => Some(Event::Byte(IAC)),
            WILL | WONT | DO | DONT => {
                self.state = State::Option(command);
                None
            }
            SB => {
                self.details.clear();
                self.state = State::Details;
                None
            }
            INTERRUPT_PROCESS | BREAK | ABORT => Some(Event::Interrupt),
            ABORT_OUTPUT => Some(Event::AbortOutput),
            ARE_YOU_THERE => Some(Event::AreYouThere),
            ERASE_CHARACTER => Some(Event::Byte(0x7f)),
            ERASE_LINE => Some(Event::Byte(0x15)),
            END_OF_FILE => Some(Event::Byte(0x04)),
            // No operation, go ahead, data mark, and what nobody has defined.
            _ => None,
        }
    }

    /// Answers only what changes something (RFC 1143): two that confirm each other's
    /// confirmations would never end.
    fn negotiate(&mut self, verb: u8, option: u8) {
        let answer = match (verb, option) {
            (DO, ECHO) => {
                self.echoes = true;
                None
            }
            // We have said that we will; that it does not want it has to be confirmed once.
            (DONT, ECHO) => take(&mut self.echoes).then_some(WONT),
            (DO, SUPPRESS_GO_AHEAD) => {
                self.by_character = true;
                None
            }
            (DONT, SUPPRESS_GO_AHEAD) => take(&mut self.by_character).then_some(WONT),
            (WILL, SUPPRESS_GO_AHEAD) => (!replace(&mut self.suppresses, true)).then_some(DO),
            (WONT, SUPPRESS_GO_AHEAD) => take(&mut self.suppresses).then_some(DONT),
            (WILL, WINDOW_SIZE) => {
                self.tells_size = true;
                None
            }
            (WONT, WINDOW_SIZE) => take(&mut self.tells_size).then_some(DONT),
            (DO, TIMING_MARK) => Some(WONT),
            // Whatever else it offers or wants, neither of us has it.
            (WILL, _) => self.refused.insert((WILL, option)).then_some(DONT),
            (DO, _) => self.refused.insert((DO, option)).then_some(WONT),
            (verb, _) => {
                let refused = if verb == WONT { WILL } else { DO };
                self.refused.remove(&(refused, option));
                None
            }
        };
        if let Some(verb) = answer {
            self.answers.extend([IAC, verb, option]);
        }
    }

    fn detail(&mut self, byte: u8) {
        if self.details.len() < MOST_DETAILS {
            self.details.push(byte);
        }
    }

    fn details_end(&mut self) -> Option<Event> {
        match self.details[..] {
            [WINDOW_SIZE, high, low, _, _] => {
                let width = u16::from_be_bytes([high, low]);
                (width > 0).then_some(Event::Width(width))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(telnet: &mut Telnet, bytes: &[u8]) -> Vec<Event> {
        bytes.iter().filter_map(|&byte| telnet.take(byte)).collect()
    }

    fn text(events: &[Event]) -> Vec<u8> {
        let bytes = events.iter().map(|event| match event {
            Event::Byte(byte) => *byte,
            other => panic!("{other:?}"),
        });
        bytes.collect()
    }

    #[test]
    fn what_comes_in_is_text_or_a_signal() {
        use Event::{AbortOutput, AreYouThere, Byte, Interrupt, Width};
        let a = Byte(b'a');
        let enter = Byte(b'\n');
        let table: &[(&[u8], &[Event])] = &[
            (b"a\r\na", &[a, enter, a]),
            (b"a\r\0a", &[a, enter, a]),
            (b"\ra", &[enter, a]),
            (b"\r\r\n\n", &[enter, enter, enter]),
            (b"a\na", &[a, enter, a]),
            (&[IAC, IAC, b'a'], &[Byte(255), a]),
            (&[b'\r', IAC, DO, ECHO, b'a'], &[enter, a]),
            (&[IAC, INTERRUPT_PROCESS, IAC, BREAK], &[Interrupt; 2]),
            (&[IAC, ABORT_OUTPUT], &[AbortOutput]),
            (&[IAC, ARE_YOU_THERE], &[AreYouThere]),
            (
                &[IAC, ERASE_CHARACTER, IAC, ERASE_LINE],
                &[Byte(0x7f), Byte(0x15)],
            ),
            (&[IAC, END_OF_FILE], &[Byte(4)]),
            (&[IAC, 241, IAC, 249, IAC, 242, IAC, 7, b'a'], &[a]),
            (
                &[IAC, SB, 31, 0, 100, 0, 50, IAC, SE, b'a'],
                &[Width(100), a],
            ),
            (&[IAC, SB, 31, 1, IAC, IAC, 0, 50, IAC, SE], &[Width(511)]),
            (&[IAC, SB, 31, 0, 0, 0, 0, IAC, SE, b'a'], &[a]),
            (&[IAC, SB, 24, 0, b'x', b't', IAC, SE, b'a'], &[a]),
            // Never ended, but for another command.
            (
                &[IAC, SB, 31, 0, IAC, ARE_YOU_THERE, b'a'],
                &[AreYouThere, a],
            ),
        ];
        for (bytes, events) in table {
            assert_eq!(run(&mut Telnet::new(), bytes), *events, "{bytes:?}");
        }
    }

    #[test]
    fn requests_are_answered_and_confirmations_are_not() {
        // (what comes, what is answered)
        let table: &[(&[u8], &[u8])] = &[
            (&[IAC, DO, ECHO, IAC, DO, SUPPRESS_GO_AHEAD], &[]),
            (&[IAC, WILL, WINDOW_SIZE], &[]),
            (&[IAC, DONT, ECHO, IAC, DONT, ECHO], &[]),
            (
                &[IAC, DO, ECHO, IAC, DONT, ECHO, IAC, DONT, ECHO],
                &[IAC, WONT, ECHO],
            ),
            (&[IAC, WILL, 24, IAC, DO, 6], &[IAC, DONT, 24, IAC, WONT, 6]),
            (&[IAC, WONT, 24, IAC, DONT, 6], &[]),
            (&[IAC, WILL, 24, IAC, WILL, 24], &[IAC, DONT, 24]),
            (&[IAC, DO, 6, IAC, DO, 6], &[IAC, WONT, 6, IAC, WONT, 6]),
            (
                &[IAC, WILL, SUPPRESS_GO_AHEAD, IAC, WILL, SUPPRESS_GO_AHEAD],
                &[IAC, DO, SUPPRESS_GO_AHEAD],
            ),
            (
                &[
                    IAC,
                    WILL,
                    WINDOW_SIZE,
                    IAC,
                    WONT,
                    WINDOW_SIZE,
                    IAC,
                    WONT,
                    WINDOW_SIZE,
                ],
                &[IAC, DONT, WINDOW_SIZE],
            ),
        ];
        for (bytes, answers) in table {
            let mut telnet = Telnet::new();
            assert_eq!(run(&mut telnet, bytes), []);
            assert_eq!(telnet.take_answers(), *answers, "{bytes:?}");
        }
    }

    #[test]
    fn nobody_leads_us_into_a_loop() {
        // Clients that answer each of our words as though it were a request: one refuses all,
        // one grants all.
        let refuses = |verb| match verb {
            WONT | WILL => DONT,
            _ => WONT,
        };
        let grants = |verb| match verb {
            WONT | WILL => DO,
            _ => WILL,
        };
        for client in [refuses, grants] {
            let mut telnet = Telnet::new();
            let mut sent: Vec<u8> = [DO, DONT, WILL, WONT]
                .into_iter()
                .flat_map(|verb| {
                    (0..=255)
                        .filter(|o| *o != TIMING_MARK)
                        .map(move |o| (verb, o))
                })
                .flat_map(|(verb, option)| [IAC, verb, option])
                .collect();
            for _ in 0..4 {
                run(&mut telnet, &sent);
                let answers = telnet.take_answers();
                sent = answers
                    .chunks(3)
                    .flat_map(|answer| [IAC, client(answer[1]), answer[2]])
                    .collect();
            }
            assert!(sent.is_empty(), "{sent:?}");
        }
    }

    #[test]
    fn a_plain_connection_is_known_by_its_silence() {
        let mut telnet = Telnet::new();
        assert_eq!(text(&run(&mut telnet, b"help()\n")), b"help()\n");
        assert!(!telnet.speaks() && !telnet.echoes());
        run(&mut telnet, &[IAC, DO, ECHO]);
        assert!(telnet.speaks() && telnet.echoes());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut telnet = Telnet::new();
            let events = run(&mut telnet, &bytes);
            prop_assert!(events.len() <= bytes.len());
            prop_assert!(telnet.take_answers().len() <= bytes.len());
            prop_assert!(telnet.details.len() <= MOST_DETAILS);
        }
    }
}
