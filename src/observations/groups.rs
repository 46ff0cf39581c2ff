//! Prompt groups where a file has none: rows that pairs connect, directly or through others.

/// Group numbers of `rows` rows, counted in order of first appearance: rows joined by pairs share
/// a group, a row in no pair is alone in its own.
pub(super) fn connected(rows: usize, pairs: impl Iterator<Item = [usize; 2]>) -> Vec<i32> {
    let mut parent: Vec<usize> = (0..rows).collect();
    for [a, b] in pairs {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    }
    let mut number = vec![-1; rows];
    let mut next = 0;
    (0..rows)
        .map(|row| {
            // A group's root is its smallest row, so the number exists when the others ask for it.
            let top = root(&mut parent, row);
            if number[top] < 0 {
                number[top] = next;
                next += 1;
            }
            number[top]
        })
        .collect()
}

fn root(parent: &mut [usize], mut row: usize) -> usize {
    while parent[row] != row {
        parent[row] = parent[parent[row]];
        row = parent[row];
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_joined_through_others_share_a_group() {
        let groups = connected(7, [[5, 1], [1, 3], [6, 0]].into_iter());
        assert_eq!(groups, [0, 1, 2, 1, 3, 1, 0]);
        assert_eq!(connected(2, std::iter::empty()), [0, 1]);
    }
}
