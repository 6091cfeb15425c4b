//! The hours that a round has left: the newest ones are looked at again and again, and the
//! backlog gets its turn all the same, however bad the newest are. No I/O and no clock.

use std::collections::{BTreeSet, VecDeque};

use common::segment::Hour;

use crate::options::Order;
use crate::plan;

/// What a round does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Goes through this hour.
    Hour(Hour),
    /// Goes through this hour of the backlog, which has its turn before the newest hours are
    /// looked at again: it may take as long as they did.
    Turn(Hour),
    /// Looks at the newest hours anew.
    Look,
}

/// The hours that are left.
#[derive(Debug)]
pub struct Queue {
    left: VecDeque<Hour>,
    order: Order,
    /// What came, or was, in front when the newest hours were looked at last.
    newest: BTreeSet<Hour>,
    /// True iff they were looked at, and no other hour has had a turn since.
    owed: bool,
    /// Of which nothing could be had since then, for all the time it took.
    barren: BTreeSet<Hour>,
}

impl Queue {
    /// A queue of the hours wanted.
    #[must_use]
    pub fn new(wanted: Vec<Hour>, order: Order) -> Queue {
        Queue {
            left: wanted.into(),
            order,
            newest: BTreeSet::new(),
            owed: false,
            barren: BTreeSet::new(),
        }
    }

    /// What to do next; `late` iff it is time to look at the newest hours anew. `None`: nothing
    /// is left.
    pub fn next(&mut self, late: bool) -> Option<Next> {
        let first = *self.left.front()?;
        if !late {
            self.left.pop_front();
            self.owed &= self.newest.contains(&first);
            return Some(Next::Hour(first));
        }
        let is_backlog = |hour: &Hour| !self.newest.contains(hour);
        let turn = match self.owed {
            true => self.left.iter().position(is_backlog),
            false => None,
        };
        let Some(hour) = turn.and_then(|at| self.left.remove(at)) else {
            return Some(Next::Look);
        };
        self.owed = false;
        Some(Next::Turn(hour))
    }

    /// Adds the hours wanted now from the live edge on where the order wants them, but for those
    /// of which nothing could be had since the last time: they come with the next look.
    pub fn look_anew(&mut self, wanted: &[Hour], edge: Option<Hour>) {
        let barren = std::mem::take(&mut self.barren);
        let is_new = |hour: &Hour| edge.is_none_or(|edge| *hour >= edge);
        self.newest = wanted.iter().copied().filter(is_new).collect();
        let wanted = wanted.iter().filter(|hour| !barren.contains(hour));
        let wanted: Vec<Hour> = wanted.copied().collect();
        plan::look_anew(&mut self.left, &wanted, edge, self.order);
        self.owed = true;
    }

    /// Notes that there is more of an hour than there was time for: it is gone on with after the
    /// newest ones.
    pub fn go_on_with(&mut self, hour: Hour) {
        self.left.push_front(hour);
    }

    /// Notes that an hour took all the time, and nothing came of it.
    pub fn is_barren(&mut self, hour: Hour) {
        self.barren.insert(hour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(n: u32) -> Hour {
        format!("2026-01-02T{n:02}").parse().unwrap()
    }

    #[test]
    fn the_backlog_has_its_turn_between_two_looks_though_the_newest_take_all_the_time() {
        let wanted: Vec<Hour> = (0..10).rev().map(hour).collect();
        let edge = Some(hour(8));
        for gives in [false, true] {
            let mut queue = Queue::new(wanted.clone(), Order::Newest);
            let (mut late, mut looks, mut turns) = (false, 0, Vec::new());
            while turns.len() < 8 {
                match queue.next(late).unwrap() {
                    Next::Look => {
                        looks += 1;
                        queue.look_anew(&wanted, edge);
                        late = false;
                    }
                    Next::Hour(new) if new >= hour(8) => {
                        late = true;
                        match gives {
                            true => queue.go_on_with(new),
                            false => queue.is_barren(new),
                        }
                    }
                    Next::Hour(old) | Next::Turn(old) => {
                        turns.push(old);
                        late = true;
                    }
                }
                assert!(looks < 20, "{turns:?}");
            }
            assert_eq!(turns, wanted[2..], "{gives}");
        }
    }

    #[test]
    fn a_round_of_nothing_but_barren_hours_ends() {
        let wanted = [hour(9), hour(8)];
        for order in [Order::Newest, Order::Oldest, Order::Random] {
            let mut queue = Queue::new(wanted.into(), order);
            let (mut late, mut tried) = (false, 0);
            while let Some(next) = queue.next(late) {
                match next {
                    Next::Look => {
                        queue.look_anew(&wanted, Some(hour(8)));
                        late = false;
                    }
                    Next::Hour(hour) | Next::Turn(hour) => {
                        tried += 1;
                        late = true;
                        queue.is_barren(hour);
                    }
                }
                assert!(tried < 10, "{order:?}");
            }
            assert_eq!(tried, 2, "{order:?}");
        }
    }
}
