//! What happens when: a queue by time, and by the order of arrival among what happens at one moment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::id::Micros;

/// A slice of time, as a power of two of microseconds.
const SLICE: u32 = 10;

/// Events to come. Those of the slice of time that has begun are in order; later ones lie in heaps of their slices until
/// then, so that what is put in order stays small. The events themselves, which are large, stay where they are.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    soon: BinaryHeap<Reverse<Key>>,
    /// The slice that has begun.
    slice: u64,
    later: BTreeMap<u64, Vec<Reverse<Key>>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    entered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: Micros,
    number: u64,
    place: u32,
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Self {
        Self {
            soon: BinaryHeap::new(),
            slice: 0,
            later: BTreeMap::new(),
            events: Vec::new(),
            free: Vec::new(),
            entered: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Micros, event: E) {
        self.entered += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            u32::try_from(self.events.len() - 1).expect("fewer than four billion events at once")
        });
        self.events[place as usize] = Some(event);
        let key = Reverse(Key { at, number: self.entered, place });
        let slice = at.0 >> SLICE;
        if slice <= self.slice {
            self.soon.push(key);
        } else {
            self.later.entry(slice).or_default().push(key);
        }
    }

    /// When the next event is.
    pub(crate) fn next(&mut self) -> Option<Micros> {
        if self.soon.is_empty() {
            let (slice, keys) = self.later.pop_first()?;
            self.slice = slice;
            self.soon = keys.into();
        }
        self.soon.peek().map(|Reverse(key)| key.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Micros, E)> {
        self.next()?;
        let Reverse(Key { at, place, .. }) = self.soon.pop()?;
        self.free.push(place);
        Some((at, self.events[place as usize].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_earlier_comes_first_and_at_one_moment_what_was_entered_first() {
        let mut agenda = Agenda::new();
        for (at, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            agenda.push(Micros(at), name);
        }
        assert_eq!(agenda.next(), Some(Micros(1)));
        let order: String = std::iter::from_fn(|| agenda.pop()).map(|(_, name)| name).collect();
        assert_eq!(order, "abcd");
    }

    #[test]
    fn slices_of_time_follow_each_other() {
        let mut agenda = Agenda::new();
        let times = [3_000_000, 1_500, 1_023, 1_024, 0, 2_048, 1_023, 900_000];
        for (name, at) in times.into_iter().enumerate() {
            agenda.push(Micros(at), name);
        }
        let mut order = Vec::new();
        while let Some((at, name)) = agenda.pop() {
            if name == 0 {
                agenda.push(at, 100);
                // The slice of what is put in late has begun already.
                agenda.push(Micros(5), 101);
            }
            order.push(name);
        }
        assert_eq!(order, [4, 2, 6, 3, 1, 5, 7, 0, 101, 100]);
        assert_eq!(agenda.next(), None);
    }
}
