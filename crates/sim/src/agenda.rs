//! What happens when: a queue by time, and by the order of arrival among what happens at one moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::id::Micros;

/// Events to come. The heap orders small keys; the events themselves, which are large, stay where they are.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Key>>,
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
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), entered: 0 }
    }

    pub(crate) fn push(&mut self, at: Micros, event: E) {
        self.entered += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            u32::try_from(self.events.len() - 1).expect("fewer than four billion events at once")
        });
        self.events[place as usize] = Some(event);
        self.heap.push(Reverse(Key { at, number: self.entered, place }));
    }

    /// When the next event is.
    pub(crate) fn next(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse(key)| key.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Micros, E)> {
        let Reverse(Key { at, place, .. }) = self.heap.pop()?;
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
}
