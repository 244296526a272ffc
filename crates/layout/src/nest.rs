//! Groups: what is seen of a graph, the picture of each open group by itself, and all of them put together.

use std::collections::{BTreeMap, BTreeSet};

use crate::layered::{self, Arc, Kind, Vertex};
use crate::{End, Graph, Layout, Line, Rect, Size};

/// Between the border of a group and what is in it.
const SIDE: f64 = 18.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 16.0;
/// Around the whole picture.
const EDGE: f64 = 12.0;

/// What is seen as one box: a task, or a folded group.
struct Leaf {
    end: End,
    size: Size,
    /// The open groups around it, outermost first; the first is the picture itself.
    within: Vec<usize>,
    /// Its ports at the border of each of them.
    entries: Vec<Option<usize>>,
    exits: Vec<Option<usize>>,
}

/// An open group, or the whole picture.
#[derive(Default)]
struct Frame {
    group: Option<usize>,
    /// Leaves and frames in it, by the first task in each.
    children: Vec<(usize, Child)>,
    /// Ports in its border, and whether one leads in.
    ports: Vec<(usize, bool)>,
    arcs: BTreeSet<(Tip, Tip)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Child {
    Leaf(usize),
    Frame(usize),
}

/// An end of an arc within a frame: a leaf of it, a port of its own border, or a port in the border of a frame in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tip {
    Leaf(usize),
    Port(usize),
}

/// A frame that has been laid out, by itself.
#[derive(Default)]
struct Done {
    size: Option<Size>,
    children: Vec<(Child, (f64, f64))>,
    /// How far below its upper side each port is.
    ports: BTreeMap<usize, f64>,
    lines: Vec<Line>,
}

/// Lays a graph out. Arrows to what is not there, and from a node to itself, are left out.
pub fn layout(graph: &Graph) -> Layout {
    let mut seen = Seen::of(graph);
    seen.find_ports(graph);
    let mut done: Vec<Done> = seen.frames.iter().map(|_| Done::default()).collect();
    // A frame stands behind the one around it.
    for frame in (0..seen.frames.len()).rev() {
        done[frame] = seen.lay_out(graph, frame, &done);
    }
    seen.put_together(graph, &done)
}

struct Seen {
    frames: Vec<Frame>,
    leaves: Vec<Leaf>,
    /// The leaf that stands for each node.
    stands: Vec<usize>,
    /// The frame of each port.
    ports: Vec<usize>,
}

impl Seen {
    fn of(graph: &Graph) -> Self {
        let mut frames = vec![Frame::default()];
        let mut frame_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut leaf_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut stands = Vec::with_capacity(graph.nodes.len());
        for (at, node) in graph.nodes.iter().enumerate() {
            let mut around = Vec::new();
            let mut next = node.group;
            while let Some(group) = next.filter(|group| *group < graph.groups.len() && around.len() <= graph.groups.len()) {
                around.push(group);
                next = graph.groups[group].parent;
            }
            around.reverse();
            let folded = around.iter().position(|group| graph.groups[*group].folded.is_some());
            let mut within = vec![0];
            for group in &around[..folded.unwrap_or(around.len())] {
                let parent = within[within.len() - 1];
                let frame = *frame_of.entry(*group).or_insert_with(|| {
                    let made = frames.len();
                    frames.push(Frame { group: Some(*group), ..Frame::default() });
                    frames[parent].children.push((at, Child::Frame(made)));
                    made
                });
                within.push(frame);
            }
            let group = folded.map(|at| around[at]);
            if let Some(leaf) = group.and_then(|group| leaf_of.get(&group)) {
                stands.push(*leaf);
                continue;
            }
            let (end, size) = match group {
                None => (End::Node(at), node.size),
                Some(group) => (End::Group(group), graph.groups[group].folded.unwrap_or(node.size)),
            };
            leaf_of.extend(group.map(|group| (group, leaves.len())));
            stands.push(leaves.len());
            frames[within[within.len() - 1]].children.push((at, Child::Leaf(leaves.len())));
            let none = vec![None; within.len()];
            leaves.push(Leaf { end, size, within, entries: none.clone(), exits: none });
        }
        Self { frames, leaves, stands, ports: Vec::new() }
    }

    /// Ports, and the arcs of each frame.
    fn find_ports(&mut self, graph: &Graph) {
        let arrows: BTreeSet<(usize, usize)> = graph
            .edges
            .iter()
            .filter_map(|(from, to)| Some((*self.stands.get(*from)?, *self.stands.get(*to)?)))
            .filter(|(from, to)| from != to)
            .collect();
        let mut before = vec![Vec::new(); self.leaves.len()];
        let mut after = vec![Vec::new(); self.leaves.len()];
        for (from, to) in &arrows {
            before[*to].push(*from);
            after[*from].push(*to);
        }
        // Members with the same neighbours outside share a port.
        for (neighbours, leads_in) in [(&before, true), (&after, false)] {
            let mut known: BTreeMap<(usize, Vec<usize>), usize> = BTreeMap::new();
            for (leaf, all) in neighbours.iter().enumerate() {
                for depth in 1..self.leaves[leaf].within.len() {
                    let frame = self.leaves[leaf].within[depth];
                    let outside: Vec<usize> =
                        all.iter().copied().filter(|other| self.leaves[*other].within.get(depth) != Some(&frame)).collect();
                    if outside.is_empty() {
                        continue;
                    }
                    let port = *known.entry((frame, outside)).or_insert_with(|| {
                        self.ports.push(frame);
                        self.frames[frame].ports.push((self.ports.len() - 1, leads_in));
                        self.ports.len() - 1
                    });
                    let own = &mut self.leaves[leaf];
                    if leads_in { own.entries[depth] = Some(port) } else { own.exits[depth] = Some(port) }
                }
            }
        }
        for (from, to) in &arrows {
            let (a, b) = (&self.leaves[*from].within, &self.leaves[*to].within);
            // Both are in the picture, so this is at least one.
            let depth = a.iter().zip(b).take_while(|(a, b)| a == b).count() - 1;
            let frame = a[depth];
            self.join(frame, self.tip(*from, depth, false), self.tip(*to, depth, true));
        }
        for leaf in 0..self.leaves.len() {
            for depth in 1..self.leaves[leaf].within.len() {
                let frame = self.leaves[leaf].within[depth];
                self.join(frame, self.leaves[leaf].entries[depth].map(Tip::Port), self.tip(leaf, depth, true));
                self.join(frame, self.tip(leaf, depth, false), self.leaves[leaf].exits[depth].map(Tip::Port));
            }
        }
    }

    fn join(&mut self, frame: usize, from: Option<Tip>, to: Option<Tip>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.frames[frame].arcs.insert((from, to));
        }
    }

    /// What a leaf is in its frame of this depth: itself, or a port of the frame in there that it is in.
    fn tip(&self, leaf: usize, depth: usize, leads_in: bool) -> Option<Tip> {
        let own = &self.leaves[leaf];
        if own.within.len() == depth + 1 {
            return Some(Tip::Leaf(leaf));
        }
        let ports = if leads_in { &own.entries } else { &own.exits };
        ports.get(depth + 1).copied().flatten().map(Tip::Port)
    }

    fn lay_out(&self, graph: &Graph, at: usize, done: &[Done]) -> Done {
        let frame = &self.frames[at];
        let mut children: Vec<(usize, Child)> = frame.children.clone();
        children.sort_unstable();
        let mut vertices = Vec::with_capacity(children.len() + frame.ports.len());
        let mut place_of: BTreeMap<Tip, (usize, f64)> = BTreeMap::new();
        for (_, child) in &children {
            let size = match child {
                Child::Leaf(leaf) => {
                    let size = self.leaves[*leaf].size;
                    place_of.insert(Tip::Leaf(*leaf), (vertices.len(), size.height / 2.0));
                    size
                }
                Child::Frame(inner) => {
                    let ports = done[*inner].ports.iter().map(|(port, below)| (Tip::Port(*port), (vertices.len(), *below)));
                    place_of.extend(ports);
                    done[*inner].size.unwrap_or(Size { width: 0.0, height: 0.0 })
                }
            };
            vertices.push(Vertex { size, kind: Kind::Box });
        }
        for (port, leads_in) in &frame.ports {
            place_of.insert(Tip::Port(*port), (vertices.len(), 0.0));
            let kind = if *leads_in { Kind::Entry } else { Kind::Exit };
            vertices.push(Vertex { size: Size { width: 0.0, height: 0.0 }, kind });
        }
        let (tips, arcs): (Vec<(Tip, Tip)>, Vec<Arc>) = frame
            .arcs
            .iter()
            .filter_map(|(from, to)| {
                let (a, b) = (place_of.get(from)?, place_of.get(to)?);
                Some(((*from, *to), Arc { from: a.0, to: b.0, from_below: a.1, to_below: b.1 }))
            })
            .unzip();
        let inner = layered::draw(&vertices, &arcs);

        let is_root = frame.group.is_none();
        let least = frame.group.map_or(0.0, |group| graph.groups[group].least_width);
        let (side, top, bottom) = if is_root { (EDGE, EDGE, EDGE) } else { (SIDE, TOP, BOTTOM) };
        let width = (inner.width + 2.0 * side).max(least);
        let moved = |(x, y): (f64, f64)| (x + side, y + top);
        let mut found = Done { size: Some(Size { width, height: inner.height + top + bottom }), ..Done::default() };
        found.children = children.iter().zip(&inner.at).map(|((_, child), at)| (*child, moved(*at))).collect();
        for ((port, _), at) in frame.ports.iter().zip(&inner.at[children.len()..]) {
            found.ports.insert(*port, at.1 + top);
        }
        let end = |tip: Tip| match tip {
            Tip::Leaf(leaf) => self.leaves[leaf].end,
            Tip::Port(port) => End::Port(port),
        };
        let own = |tip: &Tip| matches!(tip, Tip::Port(port) if self.ports[*port] == at);
        for ((from, to), path) in tips.iter().zip(inner.paths) {
            let mut points: Vec<(f64, f64)> = path.points.into_iter().map(moved).collect();
            // A port of this frame is in its border.
            if own(from)
                && let Some(&(_, y)) = points.first()
            {
                points.insert(0, (0.0, y));
            }
            if own(to)
                && let Some(&(_, y)) = points.last()
            {
                points.push((width, y));
            }
            found.lines.push(Line { from: end(*from), to: end(*to), points: layered::without_idle(points), is_back: path.is_back });
        }
        found
    }

    fn put_together(&self, graph: &Graph, done: &[Done]) -> Layout {
        let whole = done[0].size.unwrap_or(Size { width: 0.0, height: 0.0 });
        let mut picture = Layout {
            width: whole.width,
            height: whole.height,
            nodes: vec![None; graph.nodes.len()],
            groups: vec![None; graph.groups.len()],
            ports: self.ports.len(),
            lines: Vec::new(),
        };
        let mut at = vec![(0.0, 0.0); self.frames.len()];
        for (number, own) in done.iter().enumerate() {
            let (left, top) = at[number];
            for (child, (x, y)) in &own.children {
                let (x, y) = (left + x, top + y);
                let boxed = |size: Size| Some(Rect { x, y, width: size.width, height: size.height });
                match child {
                    Child::Frame(inner) => {
                        at[*inner] = (x, y);
                        if let (Some(group), Some(size)) = (self.frames[*inner].group, done[*inner].size) {
                            picture.groups[group] = boxed(size);
                        }
                    }
                    Child::Leaf(leaf) => match self.leaves[*leaf].end {
                        End::Node(node) => picture.nodes[node] = boxed(self.leaves[*leaf].size),
                        End::Group(group) => picture.groups[group] = boxed(self.leaves[*leaf].size),
                        End::Port(_) => {}
                    },
                }
            }
            for line in &own.lines {
                let points = line.points.iter().map(|(x, y)| (left + x, top + y)).collect();
                picture.lines.push(Line { points, ..*line });
            }
        }
        picture
    }
}
