//! Where the boxes and lines of a DAG go: a layered picture from left to right, with groups as boxes around what is in them.
//!
//! The API calls [`layout`] once for each version of a DAG and each choice of folded groups, and keeps the answer. Nothing here knows of DAG
//! files, runs or browsers: in come sizes and arrows, out come coordinates. Equal input gives equal output, on every machine.
//!
//! # How
//!
//! 1. **Nesting** (`nest`). Each open group is laid out by itself and is one box in the picture around it, so a group always contains its members
//!    and nothing else. An arrow that crosses the border of a group goes through a *port* there. Members with the same tasks before them outside
//!    of the group share a port, and so do those with the same tasks after them: a line of three before a group of thirty is 3 + 30 lines, not 90,
//!    and still says exactly what it said, since whoever leads to a port leads to all that is behind it.
//! 2. **Layers** (`layered`). Longest path; what has more arrows out than in is then moved towards what follows it. A cycle, which only groups
//!    can make (a task between two members of a group), is broken at its last arrow in the order of the file, and that line is marked.
//! 3. **Long arrows** become chains of waypoints, one in each layer. All arrows of one source share a chain.
//! 4. **Order** (`order`). Sweeps of barycentres, of which the one with the fewest crossings is kept.
//! 5. **Place** (`place`). The order stands, and each layer is moved as near to the medians of its neighbours as its gaps allow: least squares
//!    with an order is isotonic regression, solved exactly by pooling adjacent violators. Boxes cannot overlap, since the gaps are constraints.
//!
//! What has no arrow stands below, in rows.
//!
//! # Sources
//!
//! - Sugiyama, Tagawa, Toda: Methods for visual understanding of hierarchical system structures, IEEE Trans. SMC 11 (1981): the steps.
//! - Gansner, Koutsofios, North, Vo: A technique for drawing directed graphs, IEEE Trans. Software Eng. 19 (1993): medians, heavier long arrows.
//! - Barth, Jünger, Mutzel: Simple and efficient bilayer cross counting, Graph Drawing 2002.
//! - Best, Chakravarti: Active set algorithms for isotonic regression, Math. Programming 47 (1990): pooling adjacent violators.
//! - Dickerson, Eppstein, Goodrich, Meng: Confluent drawings, JGAA 9 (2005): lines that share their way and lose nothing.
//!
//! No crate that draws layers has groups (`rust-sugiyama` 0.4 has neither groups nor ports), which is why this is our own.

mod layered;
mod nest;
mod order;
mod place;

#[cfg(test)]
mod tests;

pub use nest::layout;

/// A box that is not opened: its size is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// To the right.
    pub width: f64,
    /// Downwards.
    pub height: f64,
}

/// A box in the picture; the origin is its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Its left side.
    pub x: f64,
    /// Its upper side.
    pub y: f64,
    /// To the right.
    pub width: f64,
    /// Downwards.
    pub height: f64,
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The size of its box.
    pub size: Size,
    /// The innermost group that it is in.
    pub group: Option<usize>,
}

/// Tasks that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The group around it; it stands before this one in the list.
    pub parent: Option<usize>,
    /// Whether it is one box, of this size.
    pub folded: Option<Size>,
    /// At least so wide when it is open: for its name.
    pub least_width: f64,
}

/// What is to be drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// In the order of the file, which decides where nothing else does.
    pub nodes: Vec<Node>,
    /// Outer ones before those inside them.
    pub groups: Vec<Group>,
    /// From a node to one that comes after it.
    pub edges: Vec<(usize, usize)>,
}

/// Where a line begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// At a task.
    Node(usize),
    /// At a group that is folded.
    Group(usize),
    /// At the border of an open group, where another line goes on.
    Port(usize),
}

/// A piece of an arrow. It is level within a layer and moves up or down only between two of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Where it begins.
    pub from: End,
    /// Where it ends.
    pub to: End,
    /// Its corners, x and y.
    pub points: Vec<(f64, f64)>,
    /// Whether it leads to the left, since groups wait for each other.
    pub is_back: bool,
}

/// A picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// Of all of it.
    pub width: f64,
    /// Of all of it.
    pub height: f64,
    /// The box of each node; none: it is in a folded group.
    pub nodes: Vec<Option<Rect>>,
    /// The box of each group; none: it is in a folded group, or has nothing in it.
    pub groups: Vec<Option<Rect>>,
    /// How many ports there are.
    pub ports: usize,
    /// Its lines.
    pub lines: Vec<Line>,
}
