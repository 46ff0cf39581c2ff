//! Disjoint sets: connected components from pairs.

/// Disjoint sets of the numbers below `n`, with path halving and union by size.
#[derive(Debug, Clone)]
pub struct DisjointSets {
    parent: Vec<usize>,
    size: Vec<usize>,
}

impl DisjointSets {
    /// `n` sets of one member.
    pub fn new(n: usize) -> Self {
        Self { parent: (0..n).collect(), size: vec![1; n] }
    }

    /// Representative of the set of `x`, equal for all members of a set.
    pub fn find(&mut self, mut x: usize) -> usize {
        while self.parent[x] != x {
            self.parent[x] = self.parent[self.parent[x]];
            x = self.parent[x];
        }
        x
    }

    /// Merges the sets of `a` and `b`.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            let (small, large) = if self.size[a] < self.size[b] { (a, b) } else { (b, a) };
            self.parent[small] = large;
            self.size[large] += self.size[small];
        }
    }

    /// Set number of each member, counted from 0 in order of appearance.
    pub fn numbers(mut self) -> Vec<i32> {
        let mut number = vec![-1; self.parent.len()];
        let mut next = 0;
        (0..self.parent.len())
            .map(|x| {
                let root = self.find(x);
                if number[root] < 0 {
                    number[root] = next;
                    next += 1;
                }
                number[root]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_joined_through_others_share_a_set() {
        let mut sets = DisjointSets::new(7);
        for [a, b] in [[5, 1], [1, 3], [6, 0]] {
            sets.join(a, b);
        }
        assert_eq!(sets.find(5), sets.find(3));
        assert_eq!(sets.numbers(), [0, 1, 2, 1, 3, 1, 0]);
        assert_eq!(DisjointSets::new(2).numbers(), [0, 1]);
        assert!(DisjointSets::new(0).numbers().is_empty());
    }
}
