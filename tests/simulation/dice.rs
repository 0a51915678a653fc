//! Decisions drawn from the seed.

use crate::random::Random;

/// True once in `n` times.
pub(crate) fn one_in(random: &mut Random, n: u64) -> bool {
    random.below(n) == 0
}

/// One of them.
pub(crate) fn pick<'a, T>(random: &mut Random, of: &'a [T]) -> &'a T {
    &of[random.below(of.len() as u64) as usize]
}

/// One of them, if there is any.
pub(crate) fn any<T: Copy>(random: &mut Random, of: impl IntoIterator<Item = T>) -> Option<T> {
    let all: Vec<T> = of.into_iter().collect();
    (!all.is_empty()).then(|| *pick(random, &all))
}

/// The place of a drawn weight.
pub(crate) fn weighted(random: &mut Random, weights: &[u64]) -> usize {
    let mut left = random.below(weights.iter().sum());
    for (place, weight) in weights.iter().enumerate() {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => return place,
        }
    }
    unreachable!("the number is below the sum")
}
