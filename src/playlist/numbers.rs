//! Which entry of a list has which number, for good. (pure)
//!
//! By what an entry is known again is said in `identity.rs`. The rules: whatever order a list comes in, an entry that is
//! known again keeps its number; a number that was given away is not given to another while its entry is remembered, for
//! the entry may come back; and of equally good matches the outcome does not depend on the list's order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// The numbers of one list.
///
/// Bound: [`KNOWN_MAX`] entries that are gone are remembered; those gone for longest are forgotten first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    from: u32,
    known: BTreeMap<u32, Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    identity: Identity,
    /// Since when it is not in the list. Unit: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone_s: Option<u64>,
}

/// Which numbers an entry may not have.
pub struct Taken<'a> {
    /// Whether a number belongs to something that goes before this list.
    pub for_good: &'a dyn Fn(u32) -> bool,
    /// Whether a number is another's, whoever that is.
    pub by_others: &'a dyn Fn(u32) -> bool,
}

impl Numbers {
    /// None is given yet; the first will be `from`.
    #[must_use]
    pub fn new(from: u32) -> Self {
        Self {
            from,
            known: BTreeMap::new(),
        }
    }

    /// Reads what [`Numbers::to_json`] wrote; if the numbers began elsewhere, none is given yet.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn from_json(bytes: &[u8], from: u32) -> serde_json::Result<Self> {
        let read: Self = serde_json::from_slice(bytes)?;
        let is_same = read.from == from;
        Ok(if is_same { read } else { Self::new(from) })
    }

    /// All of it, for a file.
    ///
    /// # Errors
    /// None is known; were there one, nothing would be lost but what is to be kept.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Whether a number is an entry's, also of one that is gone.
    #[must_use]
    pub fn has(&self, number: u32) -> bool {
        self.known.contains_key(&number)
    }

    /// Whether none was ever given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Says the number of each entry of a list; `None` if there is none left. `now_s` are seconds since 1970.
    pub fn assign(
        &mut self,
        list: &[&Identity],
        taken: &Taken<'_>,
        now_s: u64,
    ) -> Vec<Option<u32>> {
        self.known.retain(|number, _| !(taken.for_good)(*number));
        let mut numbers = vec![None; list.len()];
        let mut left: BTreeSet<u32> = self.known.keys().copied().collect();
        for tier in TIERS {
            self.pair(tier, list, &mut numbers, &mut left);
        }
        for number in left {
            if let Some(known) = self.known.get_mut(&number) {
                known.gone_s.get_or_insert(now_s);
            }
        }
        let mut next = Some(self.from);
        for (identity, number) in list.iter().zip(&mut numbers) {
            if number.is_none() {
                while let Some(tried) = next
                    && (self.has(tried) || (taken.by_others)(tried))
                {
                    next = tried.checked_add(1);
                }
                *number = next;
            }
            if let Some(number) = *number {
                let known = Known {
                    identity: (*identity).clone(),
                    gone_s: None,
                };
                self.known.insert(number, known);
            }
        }
        self.forget();
        numbers
    }

    /// Gives entries without a number those of known entries that are the same by this tier.
    fn pair(
        &self,
        tier: Tier,
        list: &[&Identity],
        numbers: &mut [Option<u32>],
        left: &mut BTreeSet<u32>,
    ) {
        let mut matches: HashMap<Key<'_>, (Vec<usize>, Vec<u32>)> = HashMap::new();
        for (index, identity) in list.iter().enumerate() {
            let is_open = numbers.get(index) == Some(&None);
            if let (true, Some(key)) = (is_open, tier.key(identity)) {
                matches.entry(key).or_default().0.push(index);
            }
        }
        for number in left.iter() {
            let known = self.known.get(number);
            let key = known.and_then(|known| tier.key(&known.identity));
            if let Some((_, known)) = key.and_then(|key| matches.get_mut(&key)) {
                known.push(*number);
            }
        }
        for (mut entries, known) in matches.into_values() {
            if tier.is_doubtful() && (entries.len() > 1 || known.len() > 1) {
                continue;
            }
            entries.sort_by_key(|index| list.get(*index));
            for (index, number) in entries.into_iter().zip(known) {
                if let Some(slot) = numbers.get_mut(index) {
                    *slot = Some(number);
                    left.remove(&number);
                }
            }
        }
    }

    fn forget(&mut self) {
        let mut gone: Vec<(u64, u32)> = self
            .known
            .iter()
            .filter_map(|(number, known)| Some((known.gone_s?, *number)))
            .collect();
        let too_many = gone.len().saturating_sub(KNOWN_MAX);
        gone.sort_unstable();
        for (_, number) in gone.into_iter().take(too_many) {
            self.known.remove(&number);
        }
    }
}

/// By how much an entry is known again; the surest first.
#[derive(Clone, Copy)]
enum Tier {
    All,
    Place,
    Names,
    Name,
}

/// What must be equal: name, guide id, place; empty where it does not matter.
type Key<'i> = (&'i str, &'i str, u64);

impl Tier {
    fn key(self, identity: &Identity) -> Option<Key<'_>> {
        let Identity {
            name,
            tvg_id,
            place,
        } = identity;
        match self {
            Self::All => Some((name, tvg_id, *place)),
            Self::Place => (*place != 0).then_some(("", "", *place)),
            Self::Names => Some((name, tvg_id, 0)),
            Self::Name => Some((name, "", 0)),
        }
    }

    /// Whether it counts only where it names one entry and one number.
    fn is_doubtful(self) -> bool {
        matches!(self, Self::Place | Self::Name)
    }
}

const TIERS: [Tier; 4] = [Tier::All, Tier::Place, Tier::Names, Tier::Name];

/// Most entries that are gone and remembered.
pub const KNOWN_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Taken<'_> = Taken {
        for_good: &|_| false,
        by_others: &|_| false,
    };

    fn entry(name: &str, place: u64) -> Identity {
        Identity {
            name: name.into(),
            tvg_id: format!("{name}.id"),
            place,
        }
    }

    fn assign(numbers: &mut Numbers, list: &[Identity]) -> Vec<u32> {
        let list: Vec<&Identity> = list.iter().collect();
        let given = numbers.assign(&list, &FREE, 1);
        given.into_iter().map(Option::unwrap).collect()
    }

    fn shuffle(list: &mut [Identity], seed: &mut u64) {
        for index in (1..list.len()).rev() {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from(*seed >> 33).unwrap() % (index + 1);
            list.swap(index, other);
        }
    }

    #[test]
    fn the_first_numbers_follow_the_list() {
        let mut numbers = Numbers::new(100);
        let list = [entry("b", 2), entry("a", 1)];
        assert_eq!(assign(&mut numbers, &list), [100, 101]);
    }

    #[test]
    fn no_order_additions_or_removals_change_the_number_of_an_entry() {
        let mut seed = 7;
        let mut numbers = Numbers::new(1000);
        // Forty of them share names, and some of those places.
        let mut all: Vec<Identity> = (0..60)
            .map(|number| entry(&format!("n{}", number % 40), number % 50 + 1))
            .collect();
        let mut first: HashMap<Identity, u32> = HashMap::new();
        for round in 0..200 {
            let mut list = all.clone();
            shuffle(&mut list, &mut seed);
            if round > 0 {
                list.truncate(10 + round % 50);
                let added = entry(&format!("added{round}"), 1000 + round as u64);
                list.push(added.clone());
                all.push(added);
            }
            let given = assign(&mut numbers, &list);
            let kept = Numbers::from_json(&numbers.to_json().unwrap(), 1000).unwrap();
            assert_eq!(kept, numbers);
            let mut seen = BTreeSet::new();
            for (identity, number) in list.iter().zip(given) {
                assert!(seen.insert(number), "{number} twice");
                let first = *first.entry(identity.clone()).or_insert(number);
                assert_eq!(first, number, "{identity:?} in round {round}");
            }
        }
        assert_eq!(first.len(), 259);
    }

    #[test]
    fn an_entry_that_changes_in_one_way_keeps_its_number() {
        let mut numbers = Numbers::new(1);
        let list = [entry("news", 1), entry("sport", 2), entry("film", 3)];
        assert_eq!(assign(&mut numbers, &list), [1, 2, 3]);
        // A new name, a new place, a new guide id.
        let renamed = Identity {
            tvg_id: "film.id".into(),
            ..entry("film hd", 3)
        };
        let joined = Identity {
            tvg_id: "x".into(),
            ..entry("news", 9)
        };
        let changed = [entry("sport", 8), renamed, joined, entry("kids", 4)];
        assert_eq!(assign(&mut numbers, &changed), [2, 3, 1, 4]);
    }

    #[test]
    fn entries_of_one_name_move_to_a_new_host_in_an_order_of_their_own() {
        let mut numbers = Numbers::new(1);
        let old = [entry("news", 5), entry("news", 6)];
        assert_eq!(assign(&mut numbers, &old), [1, 2]);
        let mut other = numbers.clone();
        let moved = [entry("news", 7), entry("news", 8)];
        let turned = [entry("news", 8), entry("news", 7)];
        assert_eq!(assign(&mut numbers, &moved), [1, 2]);
        assert_eq!(assign(&mut other, &turned), [2, 1]);
    }

    #[test]
    fn a_number_waits_for_its_entry_to_come_back() {
        let mut numbers = Numbers::new(1);
        assign(&mut numbers, &[entry("a", 1), entry("b", 2)]);
        assert_eq!(assign(&mut numbers, &[entry("c", 3)]), [3]);
        assert_eq!(
            assign(&mut numbers, &[entry("b", 2), entry("c", 3)]),
            [2, 3]
        );
    }

    #[test]
    fn what_is_taken_is_given_to_nobody() {
        let mut numbers = Numbers::new(1);
        let list = [entry("a", 1), entry("b", 2)];
        assign(&mut numbers, &list);
        let list: Vec<&Identity> = list.iter().collect();
        let taken = Taken {
            for_good: &|number| number == 1,
            by_others: &|number| number <= 3,
        };
        assert_eq!(numbers.assign(&list, &taken, 1), [Some(4), Some(2)]);
        assert!(!numbers.has(1));
    }

    #[test]
    fn a_list_that_begins_elsewhere_is_numbered_anew() {
        let mut numbers = Numbers::new(1);
        assign(&mut numbers, &[entry("a", 1)]);
        let json = numbers.to_json().unwrap();
        assert_eq!(Numbers::from_json(&json, 1).unwrap(), numbers);
        assert_eq!(Numbers::from_json(&json, 5).unwrap(), Numbers::new(5));
        for broken in [&json[..json.len() - 1], b"", b"[]", b"{\"from\":1}"] {
            assert!(Numbers::from_json(broken, 1).is_err());
        }
    }

    #[test]
    fn there_is_no_number_after_the_last() {
        let mut numbers = Numbers::new(u32::MAX);
        let (one, two) = (entry("a", 1), entry("b", 2));
        let given = numbers.assign(&[&one, &two], &FREE, 1);
        assert_eq!(given, [Some(u32::MAX), None]);
    }

    #[test]
    fn only_so_many_that_are_gone_are_remembered() {
        let mut numbers = Numbers::new(1);
        let early = [entry("early", 1)];
        assign(&mut numbers, &early);
        let list: Vec<Identity> = (0..KNOWN_MAX as u64)
            .map(|number| entry(&number.to_string(), number + 2))
            .collect();
        let list: Vec<&Identity> = list.iter().collect();
        numbers.assign(&list, &FREE, 2);
        numbers.assign(&[], &FREE, 3);
        assert_eq!(numbers.known.len(), KNOWN_MAX);
        assert!(!numbers.has(1), "what is gone for longest is forgotten");
    }
}
