//! How far down each box of a layer is, when their order stands.

use crate::layered::Unit;

const SWEEPS: usize = 8;

/// Another vertex's place on its side, one's own, and how much it matters.
type Pull = (usize, f64, f64, f64);

/// The upper side of each vertex. `gap` is what must be between two neighbours of a layer.
pub(crate) fn tops(layers: &[Vec<usize>], heights: &[f64], units: &[Unit], gap: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut before: Vec<Vec<Pull>> = vec![Vec::new(); heights.len()];
    let mut after = before.clone();
    for unit in units {
        before[unit.to].push((unit.from, unit.from_below, unit.to_below, unit.weight));
        after[unit.from].push((unit.to, unit.to_below, unit.from_below, unit.weight));
    }
    let mut tops = vec![0.0; heights.len()];
    for layer in layers {
        let mut at = 0.0;
        for (n, vertex) in layer.iter().enumerate() {
            if n > 0 {
                at += gap(layer[n - 1], *vertex);
            }
            tops[*vertex] = at;
            at += heights[*vertex];
        }
        // The middles of all layers are level at first.
        for vertex in layer {
            tops[*vertex] -= at / 2.0;
        }
    }
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        // The last two look at both sides.
        let both = sweep + 2 >= SWEEPS;
        for step in 0..layers.len() {
            let layer = &layers[if forward { step } else { layers.len() - 1 - step }];
            let wanted: Vec<(f64, f64)> = layer
                .iter()
                .map(|vertex| {
                    let sides: [&[Pull]; 2] = match (both, forward) {
                        (true, _) => [&before[*vertex], &after[*vertex]],
                        (false, true) => [&before[*vertex], &[]],
                        (false, false) => [&after[*vertex], &[]],
                    };
                    wish(sides, &tops).unwrap_or((tops[*vertex], 0.1))
                })
                .collect();
            settle(layer, heights, &wanted, &gap, &mut tops);
        }
    }
    // Vertices of no layer stand elsewhere.
    let least = layers.iter().flatten().map(|vertex| tops[*vertex]).fold(f64::INFINITY, f64::min);
    tops.iter().map(|top| if least.is_finite() { (top - least).round() } else { 0.0 }).collect()
}

/// Where the median of the neighbours would have it, and how strongly: a median makes one straight line where a mean makes two bent ones.
fn wish(sides: [&[Pull]; 2], tops: &[f64]) -> Option<(f64, f64)> {
    let mut all: Vec<(f64, f64)> =
        sides.into_iter().flatten().map(|(other, below, own, weight)| (tops[*other] + below - own, *weight)).collect();
    if all.is_empty() {
        return None;
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let sum: f64 = all.iter().map(|(_, weight)| weight).sum();
    let mut seen = 0.0;
    for (n, (at, weight)) in all.iter().enumerate() {
        seen += weight;
        if (seen - sum / 2.0).abs() < 1e-9 {
            // Between two middles.
            let next = all.get(n + 1).map_or(*at, |(next, _)| *next);
            return Some(((at + next) / 2.0, sum));
        }
        if seen > sum / 2.0 {
            return Some((*at, sum));
        }
    }
    all.last().map(|(at, _)| (*at, sum))
}

/// Moves a layer as near to what is wanted as its order and its gaps allow: pools adjacent violators.
fn settle(layer: &[usize], heights: &[f64], wanted: &[(f64, f64)], gap: &impl Fn(usize, usize) -> f64, tops: &mut [f64]) {
    // Without the room that those above it take, the order is all that is asked of a place.
    let mut room = 0.0;
    let mut rooms = Vec::with_capacity(layer.len());
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(layer.len());
    for (n, vertex) in layer.iter().enumerate() {
        if n > 0 {
            room += heights[layer[n - 1]] + gap(layer[n - 1], *vertex);
        }
        rooms.push(room);
        let (at, weight) = wanted[n];
        let mut block = ((at - room) * weight, weight, 1);
        while let Some(above) = blocks.last().copied().filter(|above| above.0 / above.1 > block.0 / block.1) {
            blocks.pop();
            block = (block.0 + above.0, block.1 + above.1, block.2 + above.2);
        }
        blocks.push(block);
    }
    let mut n = 0;
    for (sum, weight, count) in blocks {
        for _ in 0..count {
            tops[layer[n]] = sum / weight + rooms[n];
            n += 1;
        }
    }
}
