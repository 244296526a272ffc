//! One picture without groups: layers from left to right, waypoints for long arrows, coordinates.

use std::collections::{BTreeMap, BTreeSet};

use crate::order::{Neighbours, reduce_crossings};
use crate::{Size, place};

/// Between two boxes of a layer, and beside a line.
const GAP: f64 = 18.0;
const LINE_GAP: f64 = 10.0;
/// Between two layers: at least, and at most, where many lines have to turn.
const LAYER_GAP: f64 = 44.0;
const WIDEST_LAYER_GAP: f64 = 110.0;
const PORT_GAP: f64 = 18.0;
/// How many times wider than high those without an arrow stand.
const LONER_SHAPE: f64 = 1.8;
/// A line between waypoints is straightened first.
const WAYPOINT_WEIGHT: f64 = 6.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Box,
    /// Before every box, at the left border.
    Entry,
    /// Behind every box, at the right border.
    Exit,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Vertex {
    pub(crate) size: Size,
    pub(crate) kind: Kind,
}

/// An arrow, and how far below the upper sides of both it begins and ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arc {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) from_below: f64,
    pub(crate) to_below: f64,
}

/// A piece of an arrow from one layer to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) from_below: f64,
    pub(crate) to_below: f64,
    pub(crate) weight: f64,
}

pub(crate) struct Path {
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) is_back: bool,
}

pub(crate) struct Drawn {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// The upper left corner of each vertex.
    pub(crate) at: Vec<(f64, f64)>,
    /// One for each arrow.
    pub(crate) paths: Vec<Path>,
}

pub(crate) fn draw(vertices: &[Vertex], arcs: &[Arc]) -> Drawn {
    let is_back = back_arcs(vertices.len(), arcs);
    let mut touched = vec![false; vertices.len()];
    for arc in arcs {
        touched[arc.from] = true;
        touched[arc.to] = true;
    }
    let layer_of = layers_of(vertices, arcs, &is_back);
    let mut chains = Chains::new(vertices, &layer_of, &touched);
    let ways: Vec<Vec<usize>> =
        arcs.iter().zip(&is_back).map(|(arc, back)| if *back { Vec::new() } else { chains.way(arc, &layer_of) }).collect();
    let Chains { mut layers, units, heights, layer, .. } = chains;
    let neighbours = Neighbours::of(heights.len(), &units, &heights);
    first_order(&mut layers, &neighbours);
    reduce_crossings(&mut layers, &neighbours);
    let count = vertices.len();
    let gap = |a: usize, b: usize| if a < count && b < count && heights[a] > 0.0 && heights[b] > 0.0 { GAP } else { LINE_GAP };
    let mut tops = place::tops(&layers, &heights, &units, gap);

    // From left to right; a layer is as wide as the widest box in it.
    let mut turns = vec![0u32; layers.len()];
    for unit in &units {
        turns[layer[unit.from]] += 1;
    }
    let mut edges = Vec::with_capacity(layers.len());
    let mut x = 0.0;
    let widths: Vec<f64> =
        layers.iter().map(|layer| layer.iter().filter(|v| **v < count).map(|v| vertices[*v].size.width).fold(0.0, f64::max)).collect();
    for (at, width) in widths.iter().enumerate() {
        edges.push((x, x + width));
        // A layer without a width is the border of a group, which has room of its own.
        let least = if *width == 0.0 || widths.get(at + 1) == Some(&0.0) { PORT_GAP } else { LAYER_GAP };
        x += width + (least + f64::from(turns[at])).min(WIDEST_LAYER_GAP);
    }
    let mut width = edges.last().map_or(0.0, |(_, right)| *right);
    let bottoms = layers.iter().flatten().map(|v| tops[*v] + heights[*v]);
    let mut height = bottoms.fold(0.0, f64::max);

    let mut at: Vec<(f64, f64)> = (0..count).map(|v| (edges.get(layer_of[v]).map_or(0.0, |(left, _)| *left), tops[v])).collect();
    let loners: Vec<usize> = (0..count).filter(|v| !touched[*v]).collect();
    let below = if height > 0.0 && !loners.is_empty() { height + GAP * 2.0 } else { height };
    let rows = rows_of(vertices, &loners, width, below, &mut at);
    (width, height) = (width.max(rows.0), height.max(rows.1));
    for v in &loners {
        tops[*v] = at[*v].1;
    }

    let level = |arc: &Arc| (at[arc.from].1 + arc.from_below, at[arc.to].1 + arc.to_below);
    let paths = arcs.iter().zip(&ways).zip(&is_back).map(|((arc, way), back)| {
        let (begin, end) = level(arc);
        let right = at[arc.from].0 + vertices[arc.from].size.width;
        let mut points = vec![(right, begin)];
        if !back {
            points.push((edges[layer_of[arc.from]].1, begin));
            for (n, waypoint) in way.iter().enumerate() {
                let (left, right) = edges[layer_of[arc.from] + n + 1];
                points.extend([(left, tops[*waypoint]), (right, tops[*waypoint])]);
            }
        }
        points.push((at[arc.to].0, end));
        Path { points: without_idle(points), is_back: *back }
    });
    Drawn { width, height, paths: paths.collect(), at }
}

/// Without points that change nothing.
pub(crate) fn without_idle(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::with_capacity(points.len());
    for point in points {
        if kept.last() == Some(&point) {
            continue;
        }
        if let [.., a, b] = kept[..]
            && a.1 == b.1
            && b.1 == point.1
        {
            kept.pop();
        }
        kept.push(point);
    }
    kept
}

/// Which arrows close a cycle: those to what a walk from the first vertices on is still in the middle of.
fn back_arcs(count: usize, arcs: &[Arc]) -> Vec<bool> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (n, arc) in arcs.iter().enumerate() {
        out[arc.from].push(n);
    }
    let mut is_back = vec![false; arcs.len()];
    // 0: not seen, 1: in the middle, 2: done.
    let mut state = vec![0u8; count];
    for start in 0..count {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut open = vec![(start, 0)];
        while let Some((vertex, next)) = open.pop() {
            let Some(arc) = out[vertex].get(next) else {
                state[vertex] = 2;
                continue;
            };
            open.push((vertex, next + 1));
            let to = arcs[*arc].to;
            match state[to] {
                0 => {
                    state[to] = 1;
                    open.push((to, 0));
                }
                1 => is_back[*arc] = true,
                _ => {}
            }
        }
    }
    is_back
}

fn layers_of(vertices: &[Vertex], arcs: &[Arc], is_back: &[bool]) -> Vec<usize> {
    let count = vertices.len();
    let mut before = vec![Vec::new(); count];
    let mut after = vec![Vec::new(); count];
    for (arc, _) in arcs.iter().zip(is_back).filter(|(_, back)| !**back) {
        before[arc.to].push(arc.from);
        after[arc.from].push(arc.to);
    }
    let first = usize::from(vertices.iter().any(|v| v.kind == Kind::Entry));
    let mut layer: Vec<usize> = vertices.iter().map(|v| if v.kind == Kind::Entry { 0 } else { first }).collect();
    let mut waits: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..count).filter(|v| waits[*v] == 0).collect();
    let mut at = 0;
    while let Some(vertex) = order.get(at).copied() {
        at += 1;
        for next in &after[vertex] {
            layer[*next] = layer[*next].max(layer[vertex] + 1);
            waits[*next] -= 1;
            if waits[*next] == 0 {
                order.push(*next);
            }
        }
    }
    // What leads to more than it waits for stands right before that: its lines are the shorter for it.
    for vertex in order.iter().rev() {
        if vertices[*vertex].kind == Kind::Box && after[*vertex].len() > before[*vertex].len() {
            let next = after[*vertex].iter().filter(|v| vertices[**v].kind == Kind::Box).map(|v| layer[*v]).min();
            layer[*vertex] = next.map_or(layer[*vertex], |next| layer[*vertex].max(next - 1));
        }
    }
    let last = (0..count).filter(|v| vertices[*v].kind == Kind::Box).map(|v| layer[v] + 1).max().unwrap_or(first);
    for (vertex, own) in vertices.iter().zip(&mut layer) {
        if vertex.kind == Kind::Exit {
            *own = last;
        }
    }
    layer
}

/// The waypoints of long arrows: one chain for each place that arrows begin at.
struct Chains {
    layers: Vec<Vec<usize>>,
    heights: Vec<f64>,
    units: Vec<Unit>,
    /// The layer of each vertex, waypoints included.
    layer: Vec<usize>,
    known: BTreeMap<(usize, u64), Vec<usize>>,
    joined: BTreeSet<(usize, usize, u64, u64)>,
}

impl Chains {
    fn new(vertices: &[Vertex], layer_of: &[usize], touched: &[bool]) -> Self {
        let count = vertices.iter().zip(layer_of).zip(touched).filter(|(_, touched)| **touched).map(|((_, layer), _)| layer + 1).max();
        let mut layers = vec![Vec::new(); count.unwrap_or(0)];
        for (vertex, layer) in layer_of.iter().enumerate().filter(|(vertex, _)| touched[*vertex]) {
            layers[*layer].push(vertex);
        }
        let heights = vertices.iter().map(|v| v.size.height).collect();
        Self { layers, heights, units: Vec::new(), layer: layer_of.to_vec(), known: BTreeMap::new(), joined: BTreeSet::new() }
    }

    /// The waypoints of an arrow, in order.
    fn way(&mut self, arc: &Arc, layer_of: &[usize]) -> Vec<usize> {
        let (first, last) = (layer_of[arc.from], layer_of[arc.to]);
        let key = (arc.from, arc.from_below.to_bits());
        let long = last.saturating_sub(first + 1);
        let mut chain = self.known.remove(&key).unwrap_or_default();
        while chain.len() < long {
            let made = self.heights.len();
            self.heights.push(0.0);
            self.layer.push(first + 1 + chain.len());
            self.layers[first + 1 + chain.len()].push(made);
            match chain.last() {
                None => self.join(arc.from, made, arc.from_below, 0.0, 2.0),
                Some(before) => self.join(*before, made, 0.0, 0.0, WAYPOINT_WEIGHT),
            }
            chain.push(made);
        }
        let way = chain[..long].to_vec();
        self.known.insert(key, chain);
        match way.last() {
            None => self.join(arc.from, arc.to, arc.from_below, arc.to_below, 1.0),
            Some(before) => self.join(*before, arc.to, 0.0, arc.to_below, 2.0),
        }
        way
    }

    fn join(&mut self, from: usize, to: usize, from_below: f64, to_below: f64, weight: f64) {
        if self.joined.insert((from, to, from_below.to_bits(), to_below.to_bits())) {
            self.units.push(Unit { from, to, from_below, to_below, weight });
        }
    }
}

/// As a walk along the arrows meets them: what hangs together stands together.
fn first_order(layers: &mut [Vec<usize>], neighbours: &Neighbours) {
    let count = neighbours.after.len();
    let mut rank = vec![usize::MAX; count];
    let mut next = 0;
    let starts: Vec<usize> = layers.iter().flatten().copied().filter(|v| neighbours.before[*v].is_empty()).collect();
    for start in starts {
        let mut open = vec![start];
        while let Some(vertex) = open.pop() {
            if rank[vertex] != usize::MAX {
                continue;
            }
            rank[vertex] = next;
            next += 1;
            open.extend(neighbours.after[vertex].iter().rev().map(|(other, _)| *other));
        }
    }
    for layer in layers {
        layer.sort_by_key(|v| rank[*v]);
    }
}

/// Puts those without an arrow in rows below the rest. Returns how far they reach.
fn rows_of(vertices: &[Vertex], loners: &[usize], width: f64, below: f64, at: &mut [(f64, f64)]) -> (f64, f64) {
    let area: f64 = loners.iter().map(|v| (vertices[*v].size.width + GAP) * (vertices[*v].size.height + GAP)).sum();
    let wide = width.max((area * LONER_SHAPE).sqrt());
    let (mut x, mut y, mut row, mut right, mut bottom) = (0.0, below, 0.0f64, 0.0f64, 0.0f64);
    for v in loners {
        let size = vertices[*v].size;
        if x > 0.0 && x + size.width > wide {
            x = 0.0;
            y += row + GAP;
            row = 0.0;
        }
        at[*v] = (x, y);
        right = right.max(x + size.width);
        bottom = bottom.max(y + size.height);
        row = row.max(size.height);
        x += size.width + GAP;
    }
    (right, bottom)
}
