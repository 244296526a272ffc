//! The order of what is in a layer: few crossings.

use crate::layered::Unit;

/// Sweeps, there and back counted as two.
const SWEEPS: usize = 16;

/// Neighbours of each vertex: who, and where on its side, from -0.5 at its upper end to 0.5.
pub(crate) struct Neighbours {
    pub(crate) before: Vec<Vec<(usize, f64)>>,
    pub(crate) after: Vec<Vec<(usize, f64)>>,
}

impl Neighbours {
    pub(crate) fn of(count: usize, units: &[Unit], heights: &[f64]) -> Self {
        let mut found = Self { before: vec![Vec::new(); count], after: vec![Vec::new(); count] };
        let share = |vertex: usize, below: f64| if heights[vertex] > 0.0 { below / heights[vertex] - 0.5 } else { 0.0 };
        for unit in units {
            found.before[unit.to].push((unit.from, share(unit.from, unit.from_below)));
            found.after[unit.from].push((unit.to, share(unit.to, unit.to_below)));
        }
        found
    }
}

/// Orders each layer. The order that is there decides between equals.
pub(crate) fn reduce_crossings(layers: &mut Vec<Vec<usize>>, neighbours: &Neighbours) {
    let count = neighbours.before.len();
    let mut rank = vec![0; count];
    let number = |layers: &[Vec<usize>], rank: &mut [usize]| {
        for layer in layers {
            for (at, vertex) in layer.iter().enumerate() {
                rank[*vertex] = at;
            }
        }
    };
    number(layers, &mut rank);
    let mut best = layers.clone();
    let mut fewest = crossings(layers, neighbours, &rank);
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        let forward = sweep % 2 == 0;
        for step in 1..layers.len() {
            let at = if forward { step } else { layers.len() - 1 - step };
            let sides = if forward { &neighbours.before } else { &neighbours.after };
            sort(&mut layers[at], sides, &mut rank);
        }
        let now = crossings(layers, neighbours, &rank);
        if now < fewest {
            fewest = now;
            best.clone_from(layers);
        }
    }
    *layers = best;
}

/// By the mean place of its neighbours; what has none keeps its place among the others.
fn sort(layer: &mut [usize], sides: &[Vec<(usize, f64)>], rank: &mut [usize]) {
    #[expect(clippy::cast_precision_loss, reason = "no layer has 2^52 vertices")]
    let centre = |vertex: usize| {
        let all = &sides[vertex];
        if all.is_empty() {
            rank[vertex] as f64
        } else {
            all.iter().map(|(other, share)| rank[*other] as f64 + share * 0.9).sum::<f64>() / all.len() as f64
        }
    };
    let mut keyed: Vec<(f64, usize)> = layer.iter().map(|vertex| (centre(*vertex), *vertex)).collect();
    // Stable: equals stay as they are.
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (at, (_, vertex)) in keyed.into_iter().enumerate() {
        layer[at] = vertex;
        rank[vertex] = at;
    }
}

/// How many pairs of lines cross, in all gaps: inversions, counted with a tree of sums.
pub(crate) fn crossings(layers: &[Vec<usize>], neighbours: &Neighbours, rank: &[usize]) -> u64 {
    let mut sum = 0;
    for pair in layers.windows(2) {
        let [left, right] = pair else { continue };
        let size = right.len().next_power_of_two().max(1);
        let mut tree = vec![0u64; size * 2];
        let mut ends = Vec::new();
        for vertex in left {
            ends.clear();
            ends.extend(neighbours.after[*vertex].iter().map(|(other, _)| rank[*other]));
            ends.sort_unstable();
            // Of lines from one vertex none crosses another: all are counted before any is added.
            for end in &ends {
                let mut node = end + size;
                while node > 1 {
                    if node % 2 == 0 {
                        sum += tree[node + 1];
                    }
                    node /= 2;
                }
            }
            for end in &ends {
                let mut node = end + size;
                while node >= 1 {
                    tree[node] += 1;
                    node /= 2;
                }
            }
        }
    }
    sum
}
