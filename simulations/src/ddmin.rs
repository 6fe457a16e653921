//! Makes what fails small: delta debugging (Zeller, Hildebrandt: Simplifying and Isolating
//! Failure-Inducing Input, 2002), of which only the complements are tried.
//!
//! Ever smaller pieces are left out for as long as the rest fails. At the end every single item is
//! needed. What fails need not be monotone: a smaller part may fail for another combination.

/// Leaves out of `items` what is not needed for a failure.
///
/// `first` is given a number of candidates and a function that makes them, and returns the first of
/// them that fails. When it has no more time it says that none does: what was found so far is returned.
///
/// # Errors
/// Those of `first`.
pub(crate) fn minimize<T: Clone, E>(
    mut items: Vec<T>,
    mut first: impl FnMut(usize, &dyn Fn(usize) -> Vec<T>) -> Result<Option<usize>, E>,
) -> Result<Vec<T>, E> {
    let mut piece = items.len();
    while !items.is_empty() {
        let before = items.len();
        let mut from = 0;
        while from < items.len() {
            let without = |candidate: usize| {
                let begin = from + candidate * piece;
                let end = items.len().min(begin + piece);
                [&items[..begin], &items[end..]].concat()
            };
            let candidates = (items.len() - from).div_ceil(piece);
            let Some(failing) = first(candidates, &without)? else { break };
            (from, items) = (from + failing * piece, without(failing));
        }
        if piece == 1 && items.len() == before {
            break;
        }
        piece = piece.div_ceil(2).min(items.len().max(1));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What is left of `0..items`, and how many tries it took.
    fn minimized(items: u32, fails: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let mut tries = 0;
        let left = minimize((0..items).collect(), |count, candidate| {
            let found = (0..count).find(|at| {
                tries += 1;
                fails(&candidate(*at))
            });
            Ok::<_, Infallible>(found)
        });
        let Ok(left) = left;
        (left, tries)
    }

    #[test]
    fn what_is_needed_is_found_in_few_tries() {
        let needed = [3, 570, 571, 999];
        let (left, tries) = minimized(1_000, |items| needed.iter().all(|item| items.contains(item)));
        assert_eq!(left, needed);
        assert!(tries < 120, "{tries} tries");
    }

    #[test]
    fn nothing_is_left_if_nothing_is_needed() {
        assert_eq!(minimized(1_000, |_| true), (Vec::new(), 1));
        assert_eq!(minimized(0, |_| true), (Vec::new(), 0));
    }

    #[test]
    fn everything_is_left_if_everything_is_needed() {
        assert_eq!(minimized(9, |items| items.len() == 9).0, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn no_single_item_can_be_left_out_of_the_rest_whatever_fails() {
        // Not monotone: an even number of items with one of some pairs.
        let fails = |items: &[u32]| {
            let has = |item: u32| items.contains(&item);
            items.len().is_multiple_of(2) && (has(7) && has(40) || has(3) && has(59))
        };
        let (left, _) = minimized(64, fails);
        assert!(fails(&left));
        for at in 0..left.len() {
            let mut fewer = left.clone();
            fewer.remove(at);
            assert!(!fails(&fewer), "{left:?} without {}", left[at]);
        }
    }

    #[test]
    fn without_time_everything_stays() {
        let left = minimize(vec![1, 2, 3], |_, _| Ok::<_, Infallible>(None));
        assert_eq!(left, Ok(vec![1, 2, 3]));
    }
}
