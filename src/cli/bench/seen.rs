//! Which numbers of one producer occurred: a bit each.

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    words: Vec<u64>,
}

impl Seen {
    /// False when it was there already.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1_u64 << (number % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        match self.words.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    /// Takes another one in; the number of those that were in both.
    pub(super) fn merge(&mut self, other: &Self) -> u64 {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let mut twice = 0;
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            twice += u64::from((*mine & theirs).count_ones());
            *mine |= theirs;
        }
        twice
    }

    /// How many are here and not there.
    pub(super) fn missing_in(&self, there: &Self) -> u64 {
        let theirs = there.words.iter().copied().chain(std::iter::repeat(0));
        self.words
            .iter()
            .zip(theirs)
            .map(|(mine, theirs)| u64::from((mine & !theirs).count_ones()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_and_missing_are_counted() {
        let (mut one, mut two) = (Seen::default(), Seen::default());
        assert!([0, 5, 64, 200].map(|number| one.insert(number)).iter().all(|fresh| *fresh));
        assert!(!one.insert(64));
        assert!([5, 6].map(|number| two.insert(number)).iter().all(|fresh| *fresh));
        assert_eq!(one.missing_in(&two), 3);
        assert_eq!(two.missing_in(&one), 1);
        assert_eq!(two.merge(&one), 1);
        assert_eq!(one.missing_in(&two), 0);
    }
}
